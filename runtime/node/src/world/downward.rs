//! The downward API: what a Pod may learn of itself through `fieldRef` and `resourceFieldRef`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Container, ObjectFieldSelector, Pod, ResourceFieldSelector};

use crate::quantity;

/// What of a Pod is known to the node alone, or known to it before the API server.
#[derive(Debug, Clone)]
pub struct PodFacts {
    /// The Pod's address.
    pub pod_ip: Option<IpAddr>,
    /// The node's address.
    pub host_ip: IpAddr,
    /// What the node can give to Pods, for limits that are not set: thousandths of a CPU, and bytes.
    pub allocatable: Allocatable,
}

/// What a node can give to its Pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allocatable {
    /// Thousandths of a CPU.
    pub cpu_millis: i64,
    /// Bytes of memory.
    pub memory: i64,
    /// Bytes of disk.
    pub ephemeral_storage: i64,
    /// Pods.
    pub pods: i64,
}

/// The value of a `fieldRef`; the error is the kubelet's.
pub fn field(pod: &Pod, facts: &PodFacts, selector: &ObjectFieldSelector) -> Result<String, String> {
    let meta = &pod.metadata;
    let spec = pod.spec.as_ref();
    let path = selector.field_path.as_str();
    if let Some((map, key)) = subscript(path) {
        let map = match map {
            "metadata.labels" => &meta.labels,
            "metadata.annotations" => &meta.annotations,
            _ => return Err(format!("fieldPath {path:?} does not support subscript")),
        };
        return Ok(map.as_ref().and_then(|m| m.get(key)).cloned().unwrap_or_default());
    }
    let text = |s: &Option<String>| s.clone().unwrap_or_default();
    Ok(match path {
        "metadata.name" => text(&meta.name),
        "metadata.namespace" => text(&meta.namespace),
        "metadata.uid" => text(&meta.uid),
        "metadata.labels" => lines(meta.labels.as_ref()),
        "metadata.annotations" => lines(meta.annotations.as_ref()),
        "spec.nodeName" => spec.map(|s| text(&s.node_name)).unwrap_or_default(),
        "spec.serviceAccountName" => spec.map(|s| text(&s.service_account_name)).unwrap_or_default(),
        "spec.restartPolicy" => spec.map(|s| text(&s.restart_policy)).unwrap_or_default(),
        "status.hostIP" | "status.hostIPs" => facts.host_ip.to_string(),
        "status.podIP" | "status.podIPs" => facts.pod_ip.map(|ip| ip.to_string()).unwrap_or_default(),
        _ => return Err(format!("unsupported fieldPath: {path}")),
    })
}

/// The value of a `resourceFieldRef` in units of its divisor, rounded up.
pub fn resource(pod: &Pod, own: Option<&Container>, facts: &PodFacts, selector: &ResourceFieldSelector) -> Result<String, String> {
    let spec = pod.spec.as_ref().ok_or("the Pod has no spec")?;
    let named = selector.container_name.as_deref().filter(|name| !name.is_empty());
    let container = match named {
        Some(name) => {
            spec.containers.iter().chain(spec.init_containers.iter().flatten()).find(|c| c.name == name).ok_or_else(|| format!("container {name} not found"))?
        }
        None => own.ok_or("containerName is required")?,
    };
    let (kind, name) = selector.resource.split_once('.').ok_or_else(|| format!("unsupported container resource : {}", selector.resource))?;
    let resources = container.resources.as_ref();
    let limit = resources.and_then(|r| r.limits.as_ref()).and_then(|m| m.get(name));
    let found = match kind {
        "limits" => limit,
        "requests" => resources.and_then(|r| r.requests.as_ref()).and_then(|m| m.get(name)),
        _ => return Err(format!("unsupported container resource : {}", selector.resource)),
    };
    let millis = match found {
        Some(q) => quantity::millis(q).unwrap_or(0),
        None if kind == "requests" => 0,
        None => match name {
            "cpu" => i128::from(facts.allocatable.cpu_millis),
            "memory" => i128::from(facts.allocatable.memory) * 1000,
            "ephemeral-storage" => i128::from(facts.allocatable.ephemeral_storage) * 1000,
            _ => 0,
        },
    };
    let divisor = selector.divisor.as_ref().and_then(quantity::millis).filter(|d| *d > 0).unwrap_or(1000);
    Ok((millis / divisor + i128::from(millis % divisor != 0)).to_string())
}

/// `metadata.labels['key']` → (`metadata.labels`, `key`).
fn subscript(path: &str) -> Option<(&str, &str)> {
    let (map, rest) = path.split_once("['")?;
    Some((map, rest.strip_suffix("']")?))
}

/// A map as a downward API file shows it: `key="value"` lines, values quoted as Go does.
fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let mut out = String::new();
    for (key, value) in map.into_iter().flatten() {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(key);
        out.push_str("=\"");
        for c in value.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                '\r' => out.push_str("\\r"),
                c => out.push(c),
            }
        }
        out.push('"');
    }
    out
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn facts() -> PodFacts {
        PodFacts {
            pod_ip: Some("10.244.0.5".parse().unwrap()),
            host_ip: "10.88.0.1".parse().unwrap(),
            allocatable: Allocatable { cpu_millis: 2000, memory: 1 << 30, ephemeral_storage: 1 << 40, pods: 110 },
        }
    }

    #[test]
    fn fields() {
        let pod: Pod = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "web", "namespace": "shop", "uid": "u-1", "labels": {"app": "web", "tier": "a\"b"}, "annotations": {"x/y": "1\n2"}},
            "spec": {"nodeName": "n1", "serviceAccountName": "sa", "containers": []}
        }))
        .unwrap();
        for (path, want) in [
            ("metadata.name", "web"),
            ("metadata.namespace", "shop"),
            ("metadata.uid", "u-1"),
            ("metadata.labels['app']", "web"),
            ("metadata.labels['none']", ""),
            ("metadata.annotations['x/y']", "1\n2"),
            ("metadata.labels", "app=\"web\"\ntier=\"a\\\"b\""),
            ("metadata.annotations", "x/y=\"1\\n2\""),
            ("spec.nodeName", "n1"),
            ("spec.serviceAccountName", "sa"),
            ("status.podIP", "10.244.0.5"),
            ("status.hostIP", "10.88.0.1"),
        ] {
            let got = field(&pod, &facts(), &ObjectFieldSelector { api_version: None, field_path: path.into() });
            assert_eq!(got.as_deref(), Ok(want), "{path}");
        }
        assert!(field(&pod, &facts(), &ObjectFieldSelector { api_version: None, field_path: "spec.x".into() }).is_err());
    }

    #[test]
    fn resources() {
        let pod: Pod = serde_json::from_value(serde_json::json!({
            "metadata": {}, "spec": {"containers": [
                {"name": "a", "resources": {"limits": {"cpu": "1500m", "memory": "64Mi"}, "requests": {"cpu": "250m"}}},
                {"name": "b"}]}
        }))
        .unwrap();
        let containers = &pod.spec.as_ref().unwrap().containers;
        for (own, name, what, divisor, want) in [
            (0, None, "limits.cpu", None, "2"),
            (0, None, "limits.cpu", Some("1m"), "1500"),
            (0, None, "requests.cpu", Some("1m"), "250"),
            (0, None, "limits.memory", None, "67108864"),
            (0, None, "limits.memory", Some("1Mi"), "64"),
            (1, None, "limits.cpu", None, "2"),
            (1, None, "limits.memory", Some("1Mi"), "1024"),
            (1, None, "requests.memory", None, "0"),
            (1, Some("a"), "limits.memory", Some("1Mi"), "64"),
        ] {
            let selector = ResourceFieldSelector {
                container_name: name.map(str::to_owned),
                resource: what.into(),
                divisor: divisor.map(|d: &str| k8s_openapi::apimachinery::pkg::api::resource::Quantity(d.into())),
            };
            assert_eq!(resource(&pod, Some(&containers[own]), &facts(), &selector).as_deref(), Ok(want), "{what} {divisor:?}");
        }
    }
}
