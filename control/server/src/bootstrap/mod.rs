//! What every cluster has from its first start: namespaces, the RBAC policy, priority classes, flow schemas, the Services
//! `kubernetes` and `kube-dns`, the IngressClass `nginx`.
//!
//! What is missing is made, all of it in one go, so that the store commits it together. What is there is left alone, except that
//! roles and bindings get back what the policy has and they lack (unless `rbac.authorization.kubernetes.io/autoupdate` is
//! `false`), and that the endpoints of `kubernetes` follow the server's address.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use serde_json::{Value, json};
use wharf_api::meta::fill_on_create;
use wharf_store::{Expect, Write, WriteError};

use crate::StartError;
use crate::catalog::Served;
use crate::server::Shared;

/// Roles and bindings, priority classes and flow schemas, one JSON object a line.
const POLICY: &str = include_str!("policy.jsonl");
const RBAC: &str = "rbac.authorization.k8s.io/v1";
const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

/// Makes what is missing.
pub(crate) async fn run(shared: &Shared) -> Result<(), StartError> {
    let mut wanted = namespaces();
    wanted.extend(policy()?);
    wanted.extend(services(shared));
    wanted.extend(api_services(shared));
    let writes = wanted.into_iter().map(|object| ensure(shared, object));
    for result in futures::future::join_all(writes).await {
        result?;
    }
    shared.authorizer.rbac.changed();
    Ok(())
}

/// How often what must not be missing is looked after, as upstream does for the endpoints of `kubernetes`.
const AGAIN: Duration = Duration::from_secs(10);

/// Makes the Service `kubernetes` and the first namespaces again when somebody has deleted them: nothing in the cluster works without.
pub(crate) async fn keep(shared: &Shared) {
    loop {
        tokio::time::sleep(AGAIN).await;
        let kubernetes = services(shared).into_iter().filter(|object| object["metadata"]["name"] == "kubernetes");
        for object in namespaces().into_iter().chain(kubernetes) {
            if let Err(error) = ensure(shared, object).await {
                tracing::warn!(%error, "a bootstrap object could not be made again");
            }
        }
    }
}

/// The rules of the ClusterRole `system:node`, which the Node authorizer goes by.
pub(crate) fn node_rules() -> Vec<PolicyRule> {
    let line = POLICY.lines().find(|l| l.contains(r#""kind":"ClusterRole","metadata":{"name":"system:node"}"#));
    let role: Option<ClusterRole> = line.and_then(|l| serde_json::from_str(l).ok());
    role.and_then(|r| r.rules).unwrap_or_default()
}

async fn ensure(shared: &Shared, wanted: Value) -> Result<(), StartError> {
    let text = |pointer: &str| wanted.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (api_version, kind, name, namespace) = (text("/apiVersion"), text("/kind"), text("/metadata/name"), text("/metadata/namespace"));
    let failed = |message: String| StartError::Bootstrap { object: format!("{kind} {name}"), message };
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let kinds = shared.catalog.now();
    let Some(served) = kinds.all().iter().find(|s| s.info().group == group && s.info().version == version && s.info().kind == kind) else {
        tracing::debug!(%api_version, %kind, "a bootstrap object is of a kind that is not served");
        return Ok(());
    };
    let key = served.key(&namespace, &name);
    for _ in 0..3 {
        let (expect, object) = match shared.cache().get(&key) {
            None => (Expect::Absent, create(served, wanted.clone()).map_err(failed)?),
            Some(item) => {
                let mut current: Value = serde_json::from_slice(&item.json()).map_err(|e| failed(e.to_string()))?;
                if !reconcile(&mut current, &wanted) {
                    return Ok(());
                }
                (Expect::Revision(item.revision()), served.kind().from_value(current).map_err(|e| failed(e.to_string()))?)
            }
        };
        let value = served.encode(&*object).map_err(|e| failed(e.to_string()))?;
        match shared.config.store.write(Write { key: key.clone(), expect, value: Some(value) }).await {
            Ok(_) => return Ok(()),
            // Another server on the same store was faster.
            Err(WriteError::Exists(_) | WriteError::Conflict(_) | WriteError::NotFound) => {}
            Err(error) => return Err(failed(error.to_string())),
        }
    }
    Ok(())
}

fn create(served: &Served, wanted: Value) -> Result<Box<dyn wharf_api::DynObject>, String> {
    let mut object = served.kind().from_value(wanted.clone()).map_err(|e| e.to_string())?;
    served.kind().default(&mut *object);
    fill_on_create(object.meta_mut(), uuid::Uuid::new_v4().to_string(), Timestamp::now());
    served.kind().prepare_create(&mut *object);
    if let Some(status) = wanted.get("status") {
        let mut tree = object.to_value().map_err(|e| e.to_string())?;
        tree["status"] = status.clone();
        object = served.kind().from_value(tree).map_err(|e| e.to_string())?;
    }
    Ok(object)
}

/// Gives an object that exists what it lacks; whether anything changed.
fn reconcile(current: &mut Value, wanted: &Value) -> bool {
    match wanted["kind"].as_str().unwrap_or_default() {
        "ClusterRole" | "Role" | "ClusterRoleBinding" | "RoleBinding" => {
            if current["metadata"]["annotations"][AUTOUPDATE] == "false" {
                return false;
            }
            // An aggregated role's rules are the aggregation's.
            let lists: &[&str] = if wanted.get("aggregationRule").is_some() { &[] } else { &["rules", "subjects"] };
            let mut changed = false;
            for list in lists {
                for entry in wanted[*list].as_array().into_iter().flatten() {
                    let present = current[*list].as_array().is_some_and(|have| have.iter().any(|h| same(h, entry)));
                    if !present {
                        match current[*list].as_array_mut() {
                            Some(have) => have.push(entry.clone()),
                            None => current[*list] = json!([entry]),
                        }
                        changed = true;
                    }
                }
            }
            changed
        }
        "Endpoints" => replace(current, wanted, "subsets"),
        "EndpointSlice" => replace(current, wanted, "endpoints") | replace(current, wanted, "ports"),
        "ConfigMap" => replace(current, wanted, "data"),
        _ => false,
    }
}

/// Whether a stored rule or subject is a wanted one, defaults aside.
fn same(have: &Value, wanted: &Value) -> bool {
    let (Some(have), Some(wanted)) = (have.as_object(), wanted.as_object()) else { return have == wanted };
    wanted.iter().all(|(k, v)| have.get(k) == Some(v)) && have.iter().all(|(k, v)| wanted.contains_key(k) || k == "apiGroup" || v.is_null())
}

fn replace(current: &mut Value, wanted: &Value, field: &str) -> bool {
    if covers(&current[field], &wanted[field]) {
        return false;
    }
    current[field] = wanted[field].clone();
    true
}

/// Whether everything wanted is there; what defaults have added does not count.
fn covers(have: &Value, wanted: &Value) -> bool {
    match (have, wanted) {
        (Value::Object(have), Value::Object(wanted)) => wanted.iter().all(|(k, v)| have.get(k).is_some_and(|h| covers(h, v))),
        (Value::Array(have), Value::Array(wanted)) => have.len() == wanted.len() && have.iter().zip(wanted).all(|(h, w)| covers(h, w)),
        _ => have == wanted,
    }
}

fn namespaces() -> Vec<Value> {
    let names = ["default", "kube-system", "kube-public", "kube-node-lease"];
    let make = |name: &str| {
        json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
            "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"},
        })
    };
    names.map(make).into()
}

fn policy() -> Result<Vec<Value>, StartError> {
    let parse = |line: &str| {
        let mut object: Value = serde_json::from_str(line).map_err(|e| StartError::Bootstrap { object: "policy".into(), message: e.to_string() })?;
        if object.get("apiVersion").is_none() {
            object["apiVersion"] = RBAC.into();
            object["metadata"]["labels"]["kubernetes.io/bootstrapping"] = "rbac-defaults".into();
            object["metadata"]["annotations"][AUTOUPDATE] = "true".into();
        }
        Ok(object)
    };
    POLICY.lines().map(parse).collect()
}

fn services(shared: &Shared) -> Vec<Value> {
    let config = &shared.config;
    let base = u32::from(config.service_cidr.network());
    let (api, dns) = (std::net::Ipv4Addr::from(base + 1).to_string(), std::net::Ipv4Addr::from(base + 10).to_string());
    let (ip, port) = (config.advertise.ip().to_string(), config.advertise.port());
    let service = |address: &str, more: Value| {
        let mut spec = json!({
            "type": "ClusterIP", "clusterIP": address, "clusterIPs": [address], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
            "internalTrafficPolicy": "Cluster", "sessionAffinity": "None",
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            spec[key] = value.clone();
        }
        spec
    };
    let account = |name: &str| json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "kube-system"}});
    vec![
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "kubernetes", "namespace": "default", "labels": {"component": "apiserver", "provider": "kubernetes"}},
            "spec": service(&api, json!({"ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}]})), "status": {"loadBalancer": {}},
        }),
        json!({
            "apiVersion": "v1", "kind": "Endpoints",
            "metadata": {"name": "kubernetes", "namespace": "default", "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
            "subsets": [{"addresses": [{"ip": ip}], "ports": [{"name": "https", "port": port, "protocol": "TCP"}]}],
        }),
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": "kubernetes", "namespace": "default", "labels": {"kubernetes.io/service-name": "kubernetes"}},
            "endpoints": [{"addresses": [ip], "conditions": {"ready": true}}], "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
        }),
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {
                "name": "kube-dns", "namespace": "kube-system",
                "labels": {"k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"},
                "annotations": {"prometheus.io/port": "9153", "prometheus.io/scrape": "true"},
            },
            "spec": service(&dns, json!({
                "selector": {"k8s-app": "kube-dns"},
                "ports": [
                    {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53}, {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
                    {"name": "metrics", "port": 9153, "protocol": "TCP", "targetPort": 9153},
                ],
            })),
            "status": {"loadBalancer": {}},
        }),
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
            "metadata": {
                "name": "nginx", "labels": {"app.kubernetes.io/name": "ingress-nginx", "app.kubernetes.io/component": "controller"},
                "annotations": {"ingressclass.kubernetes.io/is-default-class": "true"},
            },
            "spec": {"controller": "k8s.io/ingress-nginx"},
        }),
        account("coredns"),
        account("ingress-nginx"),
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"},
            "data": {"client-ca-file": config.pki.ca_certificate()},
        }),
    ]
}

/// One APIService for each group and version served here.
fn api_services(shared: &Shared) -> Vec<Value> {
    const PRIORITIES: [(&str, i32); 20] = [
        ("", 18000),
        ("apps", 17800),
        ("events.k8s.io", 17750),
        ("authentication.k8s.io", 17700),
        ("authorization.k8s.io", 17600),
        ("autoscaling", 17500),
        ("batch", 17400),
        ("certificates.k8s.io", 17300),
        ("networking.k8s.io", 17200),
        ("policy", 17100),
        ("rbac.authorization.k8s.io", 17000),
        ("storage.k8s.io", 16800),
        ("admissionregistration.k8s.io", 16700),
        ("apiextensions.k8s.io", 16700),
        ("scheduling.k8s.io", 16600),
        ("coordination.k8s.io", 16500),
        ("node.k8s.io", 16300),
        ("discovery.k8s.io", 16200),
        ("flowcontrol.apiserver.k8s.io", 16100),
        (crate::usage::GROUP, 100),
    ];
    let kinds = shared.catalog.now();
    let mut pairs: Vec<(&str, &str)> = kinds.all().iter().map(|s| (&*s.info().group, &*s.info().version)).collect();
    pairs.extend([("authentication.k8s.io", "v1"), ("authorization.k8s.io", "v1"), (crate::usage::GROUP, crate::usage::VERSION)]);
    pairs.sort_unstable();
    pairs.dedup();
    let now = wharf_api::meta::whole_second(Timestamp::now()).to_string();
    pairs
        .into_iter()
        .filter(|(group, _)| *group != "apiregistration.k8s.io")
        .map(|(group, version)| {
            let priority = PRIORITIES.iter().find(|(g, _)| *g == group).map_or(1000, |(_, p)| *p);
            let rank = match (group, version) {
                ("", _) => 1,
                ("autoscaling", "v2") => 30,
                ("flowcontrol.apiserver.k8s.io", _) => 21,
                (crate::usage::GROUP, _) => 100,
                _ => 15,
            };
            let mut spec = json!({"groupPriorityMinimum": priority, "version": version, "versionPriority": rank});
            if !group.is_empty() {
                spec["group"] = group.into();
            }
            json!({
                "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
                "metadata": {"name": format!("{version}.{group}"), "labels": {"kube-aggregator.kubernetes.io/automanaged": "onstart"}}, "spec": spec,
                "status": {"conditions": [{
                    "type": "Available", "status": "True", "reason": "Local", "message": "Local APIServices are always available", "lastTransitionTime": now,
                }]},
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_parses_and_nodes_have_rules() {
        let policy = policy().unwrap();
        assert!(policy.len() > 100);
        assert!(policy.iter().any(|o| o["kind"] == "ClusterRole" && o["metadata"]["name"] == "ingress-nginx"));
        assert!(node_rules().len() > 10);
    }

    #[test]
    fn roles_get_back_what_they_lost_and_keep_what_was_added() {
        let wanted = json!({"kind": "ClusterRole", "rules": [{"verbs": ["get"]}, {"verbs": ["list"]}]});
        let mut current = json!({"kind": "ClusterRole", "rules": [{"verbs": ["list"]}, {"verbs": ["own"]}]});
        assert!(reconcile(&mut current, &wanted));
        assert_eq!(current["rules"], json!([{"verbs": ["list"]}, {"verbs": ["own"]}, {"verbs": ["get"]}]));
        assert!(!reconcile(&mut current, &wanted));
        let mut off = json!({"kind": "ClusterRole", "metadata": {"annotations": {AUTOUPDATE: "false"}}});
        assert!(!reconcile(&mut off, &wanted));
    }
}
