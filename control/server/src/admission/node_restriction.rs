//! NodeRestriction: a node changes only itself and the Pods bound to it. (Which tokens it gets is checked where they are made.)

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, Pod};
use wharf_api::DynObject;
use wharf_api::status::ApiError;

use super::{Admission, Operation};
use crate::authz::node::{Referred, references};

const RESTRICTED: &str = "node-restriction.kubernetes.io";
/// Labels of the kubelet's own under kubernetes.io and k8s.io.
const OWN_LABELS: [&str; 11] = [
    "kubernetes.io/hostname",
    "kubernetes.io/arch",
    "kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/instance-type",
    "node.kubernetes.io/instance-type",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
];

pub(super) fn validate(admission: &Admission<'_>, object: Option<&dyn DynObject>, old: Option<&dyn DynObject>) -> Result<(), ApiError> {
    let Some(node) = admission.ask.identity.node_name() else { return Ok(()) };
    let info = admission.ask.served.info();
    match (&*info.group, &*info.plural, admission.ask.path.subresource) {
        ("", "pods", "") => pod(admission, node, object, old),
        ("", "pods", "status") => status(admission, node, object, old),
        ("", "pods", "eviction") if node_of(old) != node => {
            Err(admission.forbidden(format!("node {node:?} can only evict pods with spec.nodeName set to itself")))
        }
        ("", "nodes", _) => node_object(admission, node, object, old),
        ("coordination.k8s.io", "leases", _) => lease(admission, node),
        _ => Ok(()),
    }
}

fn node_of(object: Option<&dyn DynObject>) -> &str {
    object.and_then(|o| o.as_any().downcast_ref::<Pod>()).and_then(|p| p.spec.as_ref()?.node_name.as_deref()).unwrap_or_default()
}

fn pod(admission: &Admission<'_>, node: &str, object: Option<&dyn DynObject>, old: Option<&dyn DynObject>) -> Result<(), ApiError> {
    match admission.operation {
        Operation::Create => {
            let pod = object.and_then(|o| o.as_any().downcast_ref::<Pod>());
            let mirror = pod.and_then(|p| p.metadata.annotations.as_ref()).is_some_and(|a| a.contains_key("kubernetes.io/config.mirror"));
            if !mirror {
                return Err(
                    admission.forbidden(format!("pod does not have \"kubernetes.io/config.mirror\" annotation, node {node:?} can only create mirror pods"))
                );
            }
            if node_of(object) != node {
                return Err(admission.forbidden(format!("node {node:?} can only create pods with spec.nodeName set to itself")));
            }
            mirrored(admission, node, pod)
        }
        Operation::Delete if node_of(old) != node => Err(admission.forbidden(format!("node {node:?} can only delete pods with spec.nodeName set to itself"))),
        Operation::Delete => Ok(()),
        Operation::Update => Err(admission.forbidden(format!("unexpected operation \"UPDATE\", node {node:?} can only create and delete mirror pods"))),
    }
}

/// A Pod that a node mirrors refers to nothing of the API: what its Pods refer to, a node may read.
fn mirrored(admission: &Admission<'_>, node: &str, pod: Option<&Pod>) -> Result<(), ApiError> {
    let Some(spec) = pod.and_then(|p| p.spec.as_ref()) else { return Ok(()) };
    let sources = spec.volumes.iter().flatten().filter_map(|v| v.projected.as_ref()?.sources.as_ref()).flatten();
    let what = if sources.into_iter().any(|s| s.service_account_token.is_some()) {
        Some("a service account")
    } else if spec.resource_claims.as_ref().is_some_and(|c| !c.is_empty()) {
        Some("resourceclaims")
    } else {
        references(spec, "", "").into_iter().map(|(what, ..)| what).min().map(|what| match what {
            Referred::ServiceAccount => "a service account",
            Referred::Secret => "secrets",
            Referred::ConfigMap => "configmaps",
            Referred::Claim => "persistentvolumeclaims",
        })
    };
    what.map_or(Ok(()), |what| Err(admission.forbidden(format!("node {node:?} can not create pods that reference {what}"))))
}

fn status(admission: &Admission<'_>, node: &str, object: Option<&dyn DynObject>, old: Option<&dyn DynObject>) -> Result<(), ApiError> {
    if node_of(old) == node {
        let labels = |o: Option<&dyn DynObject>| o.and_then(|o| o.meta().labels.clone()).unwrap_or_default();
        if object.is_some() && labels(object) != labels(old) {
            return Err(admission.forbidden(format!("node {node:?} cannot update labels through pod status")));
        }
        return Ok(());
    }
    Err(admission.forbidden(format!("node {node:?} can only update pod status for pods with spec.nodeName set to itself")))
}

fn node_object(admission: &Admission<'_>, node: &str, object: Option<&dyn DynObject>, old: Option<&dyn DynObject>) -> Result<(), ApiError> {
    let new = object.and_then(|o| o.as_any().downcast_ref::<Node>());
    let name = if admission.name.is_empty() { new.and_then(|n| n.metadata.name.as_deref()).unwrap_or_default() } else { &admission.name };
    if name != node {
        return Err(admission.forbidden(format!("node {node:?} is not allowed to modify node {name:?}")));
    }
    let Some(new) = new else { return Ok(()) };
    let old = old.and_then(|o| o.as_any().downcast_ref::<Node>());
    let empty = BTreeMap::new();
    let before = old.and_then(|o| o.metadata.labels.as_ref()).unwrap_or(&empty);
    let after = new.metadata.labels.as_ref().unwrap_or(&empty);
    let changed = before.keys().chain(after.keys()).filter(|k| before.get(*k) != after.get(*k));
    let mut refused: Vec<&str> = changed.map(String::as_str).filter(|k| !may_label(k)).collect();
    refused.sort_unstable();
    refused.dedup();
    if !refused.is_empty() {
        let verb = if old.is_some() { "modify" } else { "set" };
        return Err(admission.forbidden(format!("is not allowed to {verb} labels: {}", refused.join(", "))));
    }
    if let Some(old) = old {
        let taints = |n: &Node| n.spec.as_ref().and_then(|s| s.taints.clone()).unwrap_or_default();
        if taints(old) != taints(new) {
            return Err(admission.forbidden(format!("node {node:?} is not allowed to modify taints")));
        }
        if old.metadata.owner_references != new.metadata.owner_references {
            return Err(admission.forbidden(format!("node {node:?} is not allowed to modify ownerReferences")));
        }
    }
    Ok(())
}

/// Whether a node may set this label on itself.
fn may_label(key: &str) -> bool {
    let namespace = key.split_once('/').map_or("", |(n, _)| n);
    let within = |domain: &str| namespace == domain || namespace.ends_with(&format!(".{domain}"));
    if within(RESTRICTED) {
        return false;
    }
    if !(within("kubernetes.io") || within("k8s.io")) {
        return true;
    }
    OWN_LABELS.contains(&key) || within("kubelet.kubernetes.io") || within("node.kubernetes.io")
}

fn lease(admission: &Admission<'_>, node: &str) -> Result<(), ApiError> {
    if admission.ask.namespace() != "kube-node-lease" {
        return Err(admission.forbidden(format!("can only access leases in the \"kube-node-lease\" system namespace, not {:?}", admission.ask.namespace())));
    }
    if admission.name != node {
        return Err(admission.forbidden(format!("can only access node lease with the same name as the requesting node, {node:?}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_a_node() {
        for (key, wanted) in [
            ("kubernetes.io/hostname", true),
            ("node.kubernetes.io/anything", true),
            ("example.com/x", true),
            ("plain", true),
            ("node-restriction.kubernetes.io/x", false),
            ("foo.node-restriction.kubernetes.io/x", false),
            ("node-role.kubernetes.io/control-plane", false),
            ("kubernetes.io/anything", false),
        ] {
            assert_eq!(may_label(key), wanted, "{key}");
        }
    }
}
