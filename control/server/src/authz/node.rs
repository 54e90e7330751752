//! The Node authorizer: a node may do what kubelets do, and read only what its own Pods refer to.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, PodSpec, Volume};
use k8s_openapi::api::rbac::v1::PolicyRule;
use parking_lot::Mutex;
use wharf_store::{Cursor, EventKind, Item, WatchCache};

use super::{Attributes, field_value, rbac};

/// What Pods refer to that nodes may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Referred {
    Secret,
    ConfigMap,
    Claim,
    ServiceAccount,
}

/// The graph of nodes, their Pods and what those refer to, fed from the watch cache when it is asked.
pub(crate) struct NodeAuthorizer {
    cache: WatchCache,
    graph: Mutex<Graph>,
    /// What all nodes may do that is not narrowed here: the rules of the ClusterRole `system:node`.
    rules: Vec<PolicyRule>,
}

#[derive(Default)]
struct Graph {
    cursor: Option<Cursor>,
    /// Key of a Pod → what it refers to.
    pods: HashMap<Arc<str>, OnNode>,
    /// How many Pods of the node refer to it.
    edges: HashMap<Arc<Edge>, usize>,
}

/// A node may read what a Pod of its own refers to.
#[derive(PartialEq, Eq, Hash)]
struct Edge {
    node: Box<str>,
    what: Referred,
    namespace: Box<str>,
    name: Box<str>,
}

struct OnNode {
    node: Box<str>,
    /// Shared with the other Pods of the node that refer to the same.
    refers: Box<[Arc<Edge>]>,
}

const PODS: &str = "core/pods";
/// Bits of a refusal, in Kubernetes' words.
const NO_PATH: &str = "no relationship found between node";

impl NodeAuthorizer {
    /// `rules`: those of the ClusterRole `system:node`.
    pub(crate) fn new(cache: WatchCache, rules: Vec<PolicyRule>) -> NodeAuthorizer {
        NodeAuthorizer { cache, graph: Mutex::default(), rules }
    }

    /// Whether the node may; `Err` says why not.
    pub(crate) fn authorize(&self, node: &str, attributes: &Attributes<'_>) -> Result<(), String> {
        let a = attributes;
        if a.path.is_some() {
            return Err(String::new());
        }
        match (a.group, a.plural) {
            ("", "secrets") => self.read(node, a, Referred::Secret),
            ("", "configmaps") => self.read(node, a, Referred::ConfigMap),
            ("", "persistentvolumeclaims") if a.subresource == "status" && matches!(a.verb, "update" | "patch") => self.related(node, a, Referred::Claim),
            ("", "persistentvolumeclaims") => self.get(node, a, Referred::Claim),
            ("", "serviceaccounts") if a.subresource == "token" => {
                if a.verb != "create" {
                    return Err("can only create tokens for individual service accounts".into());
                }
                self.related(node, a, Referred::ServiceAccount)
            }
            ("", "serviceaccounts") => self.get(node, a, Referred::ServiceAccount),
            ("coordination.k8s.io", "leases") => lease(node, a),
            ("storage.k8s.io", "csinodes") => own(node, a, "csinode"),
            // Not upstream: a node tells a namespace from a later one of its name, for what it keeps of it. Services, which nodes
            // list, show the names of namespaces anyway.
            ("", "namespaces") if a.verb == "get" && a.subresource.is_empty() && !a.name.is_empty() => Ok(()),
            ("", "nodes") => node_object(node, a).and_then(|()| self.by_rules(a)),
            ("", "pods") => self.pod(node, a).and_then(|()| self.by_rules(a)),
            _ => self.by_rules(a),
        }
    }

    fn by_rules(&self, a: &Attributes<'_>) -> Result<(), String> {
        let resource = a.resource();
        if self.rules.iter().any(|r| rbac::matches(r, a, &resource)) { Ok(()) } else { Err(String::new()) }
    }

    fn read(&self, node: &str, a: &Attributes<'_>, what: Referred) -> Result<(), String> {
        match a.verb {
            "get" | "list" | "watch" if a.subresource.is_empty() && !a.name.is_empty() => self.related(node, a, what),
            _ => Err("can only read resources of this type".into()),
        }
    }

    fn get(&self, node: &str, a: &Attributes<'_>, what: Referred) -> Result<(), String> {
        match a.verb {
            "get" if a.subresource.is_empty() && !a.name.is_empty() => self.related(node, a, what),
            _ => Err("can only get individual resources of this type".into()),
        }
    }

    fn related(&self, node: &str, a: &Attributes<'_>, what: Referred) -> Result<(), String> {
        let mut graph = self.graph.lock();
        graph.sync(&self.cache);
        let edge = Edge { node: node.into(), what, namespace: a.namespace.into(), name: a.name.into() };
        if graph.edges.contains_key(&edge) { Ok(()) } else { Err(format!("{NO_PATH} {node:?} and this object")) }
    }

    /// Pods are read one by one, or listed by `spec.nodeName`.
    fn pod(&self, node: &str, a: &Attributes<'_>) -> Result<(), String> {
        match a.verb {
            "list" | "watch" if field_value(a.field_selector, "spec.nodeName") == node => Ok(()),
            "list" | "watch" if a.name.is_empty() => Err("can only list/watch pods with spec.nodeName field selector".into()),
            "get" | "list" | "watch" if a.subresource.is_empty() => {
                let mut graph = self.graph.lock();
                graph.sync(&self.cache);
                let key = wharf_store::key("", "pods", a.namespace, a.name);
                match graph.pods.get(&key) {
                    Some(pod) if *pod.node == *node => Ok(()),
                    // Whether there is such a Pod is no secret to a node that has just lost it. What is still to come is, and so is what goes
                    // by that name in any namespace.
                    None if a.verb == "get" && !a.namespace.is_empty() && self.cache.get(&key).is_none() => Ok(()),
                    _ => Err(format!("{NO_PATH} {node:?} and this object")),
                }
            }
            _ => Ok(()),
        }
    }
}

fn lease(node: &str, a: &Attributes<'_>) -> Result<(), String> {
    match a.verb {
        "get" | "create" | "update" | "patch" | "delete" => {}
        _ => return Err("can only get, create, update, patch, or delete a node lease".into()),
    }
    if a.namespace != "kube-node-lease" {
        return Err("can only access leases in the \"kube-node-lease\" system namespace".into());
    }
    if a.verb != "create" && a.name != node {
        return Err("can only access node lease with the same name as the requesting node".into());
    }
    Ok(())
}

fn own(node: &str, a: &Attributes<'_>, what: &str) -> Result<(), String> {
    match a.verb {
        "get" | "create" | "update" | "patch" | "delete" => {}
        _ => return Err(format!("can only get, create, update, patch, or delete a {what}")),
    }
    if a.verb != "create" && a.name != node {
        return Err(format!("can only access {what} with the same name as the requesting node"));
    }
    Ok(())
}

fn node_object(node: &str, a: &Attributes<'_>) -> Result<(), String> {
    match a.verb {
        "get" | "list" | "watch" if a.subresource.is_empty() && a.name != node => {
            Err(format!("node {node:?} cannot read {}, only its own Node object", if a.name.is_empty() { "all nodes".into() } else { format!("{:?}", a.name) }))
        }
        _ => Ok(()),
    }
}

impl Graph {
    /// Takes up what happened since the last time.
    fn sync(&mut self, cache: &WatchCache) {
        loop {
            let Some(cursor) = &mut self.cursor else {
                let snapshot = cache.snapshot(PODS);
                self.pods.clear();
                self.edges.clear();
                for item in snapshot.range("", None) {
                    self.set(item);
                }
                self.cursor = cache.watch(PODS, snapshot.revision()).ok();
                if self.cursor.is_none() {
                    return;
                }
                continue;
            };
            match cursor.poll() {
                Ok(events) if events.is_empty() => return,
                Ok(events) => {
                    for event in events {
                        match event.kind {
                            EventKind::Deleted => self.remove(event.item.key()),
                            EventKind::Added | EventKind::Modified => self.set(&event.item),
                        }
                    }
                }
                Err(_) => self.cursor = None,
            }
        }
    }

    fn set(&mut self, item: &Item) {
        let Ok(pod) = serde_json::from_slice::<Pod>(&item.json()) else { return };
        self.remove(item.key());
        let namespace = pod.metadata.namespace.unwrap_or_default();
        let Some(spec) = pod.spec else { return };
        let Some(node) = spec.node_name.as_deref().filter(|n| !n.is_empty()) else { return };
        let refers = references(&spec, &namespace, pod.metadata.name.as_deref().unwrap_or_default());
        let refers = refers.into_iter().map(|(what, namespace, name)| {
            let edge = Edge { node: node.into(), what, namespace: namespace.into(), name: name.into() };
            let edge = self.edges.get_key_value(&edge).map_or_else(|| Arc::new(edge), |(known, _)| known.clone());
            *self.edges.entry(edge.clone()).or_default() += 1;
            edge
        });
        let refers = refers.collect();
        self.pods.insert(item.key().clone(), OnNode { node: node.into(), refers });
    }

    fn remove(&mut self, key: &str) {
        let Some(pod) = self.pods.remove(key) else { return };
        for edge in pod.refers {
            if let Some(count) = self.edges.get_mut(&edge) {
                *count -= 1;
                if *count == 0 {
                    self.edges.remove(&edge);
                }
            }
        }
    }
}

/// Everything that a Pod's specification names.
pub(crate) fn references(spec: &PodSpec, namespace: &str, pod: &str) -> HashSet<(Referred, String, String)> {
    let mut found = HashSet::new();
    let mut add = |what: Referred, name: &str| {
        if !name.is_empty() {
            found.insert((what, namespace.to_owned(), name.to_owned()));
        }
    };
    // Admission has filled in the default one; a Pod that a node mirrors has none.
    add(Referred::ServiceAccount, spec.service_account_name.as_deref().unwrap_or_default());
    for secret in spec.image_pull_secrets.iter().flatten() {
        add(Referred::Secret, &secret.name);
    }
    for container in spec.containers.iter().chain(spec.init_containers.iter().flatten()) {
        for source in container.env_from.iter().flatten() {
            add(Referred::Secret, source.secret_ref.as_ref().map_or("", |r| &r.name));
            add(Referred::ConfigMap, source.config_map_ref.as_ref().map_or("", |r| &r.name));
        }
        for from in container.env.iter().flatten().filter_map(|e| e.value_from.as_ref()) {
            add(Referred::Secret, from.secret_key_ref.as_ref().map_or("", |r| &r.name));
            add(Referred::ConfigMap, from.config_map_key_ref.as_ref().map_or("", |r| &r.name));
        }
    }
    for volume in spec.volumes.iter().flatten() {
        volume_references(volume, pod, &mut add);
    }
    found
}

fn volume_references(volume: &Volume, pod: &str, add: &mut impl FnMut(Referred, &str)) {
    add(Referred::Secret, volume.secret.as_ref().and_then(|s| s.secret_name.as_deref()).unwrap_or_default());
    add(Referred::ConfigMap, volume.config_map.as_ref().map_or("", |c| &c.name));
    add(Referred::Claim, volume.persistent_volume_claim.as_ref().map_or("", |c| &c.claim_name));
    if volume.ephemeral.is_some() {
        add(Referred::Claim, &format!("{pod}-{}", volume.name));
    }
    for source in volume.projected.iter().filter_map(|p| p.sources.as_ref()).flatten() {
        add(Referred::Secret, source.secret.as_ref().map_or("", |r| &r.name));
        add(Referred::ConfigMap, source.config_map.as_ref().map_or("", |r| &r.name));
    }
    add(Referred::Secret, volume.csi.as_ref().and_then(|c| c.node_publish_secret_ref.as_ref()).map_or("", |r| &r.name));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_refers_to() {
        let spec: PodSpec = serde_json::from_value(serde_json::json!({
            "serviceAccountName": "sa", "imagePullSecrets": [{"name": "pull"}],
            "containers": [{"name": "c", "envFrom": [{"configMapRef": {"name": "all"}}], "env": [{"name": "E", "valueFrom": {"secretKeyRef": {"name": "one", "key": "k"}}}]}],
            "volumes": [{"name": "v", "projected": {"sources": [{"configMap": {"name": "kube-root-ca.crt"}}]}}, {"name": "w", "persistentVolumeClaim": {"claimName": "pvc"}}],
        }))
        .unwrap();
        let mut found: Vec<String> = references(&spec, "ns", "p").into_iter().map(|(what, _, name)| format!("{what:?} {name}")).collect();
        found.sort();
        assert_eq!(found, ["Claim pvc", "ConfigMap all", "ConfigMap kube-root-ca.crt", "Secret one", "Secret pull", "ServiceAccount sa"]);
    }

    #[test]
    fn leases_and_nodes_of_its_own() {
        let a = Attributes { verb: "update", group: "coordination.k8s.io", plural: "leases", namespace: "kube-node-lease", name: "n", ..Attributes::default() };
        assert_eq!(lease("n", &a), Ok(()));
        assert!(lease("m", &a).is_err());
        assert!(lease("n", &Attributes { namespace: "default", ..a }).is_err());
        assert!(node_object("n", &Attributes { verb: "get", name: "m", ..Attributes::default() }).is_err());
    }
}
