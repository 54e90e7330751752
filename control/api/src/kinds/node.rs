//! `v1` Node: a machine that runs Pods.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::field::{Error, Errors, Path, printed_json};
use crate::k8s_openapi::api::core::v1::{Node, NodeSpec, NodeStatus, Taint};
use crate::kind::{Kind, Merge, Names, Scope, Subresource};
use crate::kinds::checks::cidr;
use crate::kinds::columns::{age, age_cell, name, name_cell, or_none, text as text_column};
use crate::kinds::normal::{drop_empty, drop_false, text};
use crate::kinds::pod;
use crate::kinds::{merge, names, other};
use crate::table::{Columns, Now};

/// Node of `v1`.
pub struct Nodes;

impl Kind for Nodes {
    type Object = Node;

    const NAMES: Names = names("node", &["no"], &[]);
    const SCOPE: Scope = Scope::Cluster;
    const SUBRESOURCES: &[Subresource] = &[other("proxy", "", "NodeProxyOptions", &["create", "delete", "get", "patch", "update"]), Subresource::Status];
    const MERGES: &[Merge] = MERGES;
    const STATUS_ON_CREATE: bool = true;

    fn copy_status(to: &mut Self::Object, from: &Self::Object) {
        to.status.clone_from(&from.status);
    }

    fn selectable_fields(object: &Self::Object) -> Vec<(&'static str, String)> {
        vec![("spec.unschedulable", object.spec.as_ref().and_then(|s| s.unschedulable).unwrap_or(false).to_string())]
    }

    fn default(node: &mut Node) {
        let spec = node.spec.get_or_insert_default();
        drop_false(&mut spec.unschedulable);
        drop_empty(&mut spec.pod_cidr);
        drop_empty(&mut spec.provider_id);
        spec.taints.iter_mut().flatten().for_each(|t| drop_empty(&mut t.value));
        match (&spec.pod_cidr, spec.pod_cidrs.as_deref()) {
            (Some(cidr), None | Some([])) => spec.pod_cidrs = Some(vec![cidr.clone()]),
            (None, Some([first, ..])) => spec.pod_cidr = Some(first.clone()),
            _ => {}
        }
        let status = node.status.get_or_insert_default();
        status.daemon_endpoints.get_or_insert_default().kubelet_endpoint.get_or_insert_default();
        status.node_info.get_or_insert_default();
    }

    fn validate(node: &Node) -> Errors {
        let empty = NodeSpec::default();
        let (spec, at) = (node.spec.as_ref().unwrap_or(&empty), Path::new("spec"));
        let mut errors = taints(spec.taints.as_deref().unwrap_or_default(), &at.child("taints"));
        for (i, range) in spec.pod_cidrs.iter().flatten().enumerate() {
            errors.extend(cidr(range, &at.child("podCIDRs").index(i)));
        }
        errors
    }

    fn validate_update(new: &Node, old: &Node) -> Errors {
        let mut errors = Self::validate(new);
        let empty = NodeSpec::default();
        let (new, old) = (new.spec.as_ref().unwrap_or(&empty), old.spec.as_ref().unwrap_or(&empty));
        let at = Path::new("spec");
        let given = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
        if !given(&old.pod_cidrs).is_empty() && given(&new.pod_cidrs) != given(&old.pod_cidrs) {
            errors.push(Error::forbidden(&at.child("podCIDRs"), "node updates may not change podCIDR except from \"\" to valid"));
        }
        if !text(&old.provider_id).is_empty() && text(&new.provider_id) != text(&old.provider_id) {
            errors.push(Error::forbidden(&at.child("providerID"), "node updates may not change providerID except from \"\" to valid"));
        }
        errors
    }

    fn columns() -> Columns<Node> {
        Columns {
            columns: vec![
                name(),
                text_column("Status", "The status of the node"),
                text_column("Roles", "The roles of the node"),
                age(),
                text_column("Version", "Kubelet Version reported by the node."),
                text_column("Internal-IP", "List of addresses reachable to the node. Queried from cloud provider, if available. More info: https://kubernetes.io/docs/reference/node/node-status/#addresses Note: This field is declared as mergeable, but the merge key is not sufficiently unique, which can cause data corruption when it is merged. Callers should instead use a full-replacement patch. See https://pr.k8s.io/79391 for an example. Consumers should assume that addresses can change during the lifetime of a Node. However, there are some exceptions where this may not be possible, such as Pods that inherit a Node's address in its own status or consumers of the downward API (status.hostIP).").wide(),
                text_column("External-IP", "List of addresses reachable to the node. Queried from cloud provider, if available. More info: https://kubernetes.io/docs/reference/node/node-status/#addresses Note: This field is declared as mergeable, but the merge key is not sufficiently unique, which can cause data corruption when it is merged. Callers should instead use a full-replacement patch. See https://pr.k8s.io/79391 for an example. Consumers should assume that addresses can change during the lifetime of a Node. However, there are some exceptions where this may not be possible, such as Pods that inherit a Node's address in its own status or consumers of the downward API (status.hostIP).").wide(),
                text_column("OS-Image", "OS Image reported by the node from /etc/os-release (e.g. Debian GNU/Linux 7 (wheezy)).").wide(),
                text_column("Kernel-Version", "Kernel Version reported by the node from 'uname -r' (e.g. 3.16.0-0.bpo.4-amd64).").wide(),
                text_column("Container-Runtime", "ContainerRuntime Version reported by the node through runtime remote API (e.g. containerd://1.4.2).").wide(),
            ],
            row,
        }
    }
}

fn taints(taints: &[Taint], at: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut seen = BTreeSet::new();
    for (i, taint) in taints.iter().enumerate() {
        let at = at.index(i);
        errors.extend(pod::taint(&taint.key, text(&taint.value), &taint.effect, &at));
        if !seen.insert((&taint.key, &taint.effect)) {
            let mut error = Error::duplicate(&at, printed_json(taint));
            "taints must be unique by key and effect pair".clone_into(&mut error.detail);
            errors.push(error);
        }
    }
    errors
}

fn row(node: &Node, now: Now) -> Vec<Value> {
    let empty = NodeStatus::default();
    let status = node.status.as_ref().unwrap_or(&empty);
    let address = |kind: &str| status.addresses.iter().flatten().find(|a| a.type_ == kind).map(|a| a.address.as_str());
    let info = status.node_info.as_ref();
    let known = |text: Option<&String>| Value::from(text.filter(|t| !t.is_empty()).map_or("<unknown>", String::as_str));
    vec![
        name_cell(&node.metadata),
        Value::from(printed_status(node, status)),
        Value::from(roles(node)),
        age_cell(&node.metadata, now),
        Value::from(info.map_or("", |i| i.kubelet_version.as_str())),
        or_none(address("InternalIP")),
        or_none(address("ExternalIP")),
        known(info.map(|i| &i.os_image)),
        known(info.map(|i| &i.kernel_version)),
        known(info.map(|i| &i.container_runtime_version)),
    ]
}

fn printed_status(node: &Node, status: &NodeStatus) -> String {
    let ready = status.conditions.iter().flatten().find(|c| c.type_ == "Ready");
    let mut out = ready.map_or("Unknown", |c| if c.status == "True" { "Ready" } else { "NotReady" }).to_owned();
    if node.spec.as_ref().is_some_and(|s| s.unschedulable == Some(true)) {
        out.push_str(",SchedulingDisabled");
    }
    out
}

fn roles(node: &Node) -> String {
    let roles: BTreeSet<&str> = node
        .metadata
        .labels
        .iter()
        .flatten()
        .filter_map(|(key, value)| key.strip_prefix("node-role.kubernetes.io/").or_else(|| (key == "kubernetes.io/role").then_some(value.as_str())))
        .filter(|role| !role.is_empty())
        .collect();
    if roles.is_empty() { "<none>".to_owned() } else { roles.into_iter().collect::<Vec<_>>().join(",") }
}

/// How lists and maps of these types are merged, from the OpenAPI document.
const MERGES: &[Merge] = &[
    merge("io.k8s.api.core.v1.ContainerImage", "names", "", "", "atomic", &[]),
    merge("io.k8s.api.core.v1.NodeSpec", "podCIDRs", "merge", "", "set", &[]),
    merge("io.k8s.api.core.v1.NodeSpec", "taints", "", "", "atomic", &[]),
    merge("io.k8s.api.core.v1.NodeStatus", "addresses", "merge", "type", "map", &["type"]),
    merge("io.k8s.api.core.v1.NodeStatus", "conditions", "merge", "type", "map", &["type"]),
    merge("io.k8s.api.core.v1.NodeStatus", "declaredFeatures", "", "", "atomic", &[]),
    merge("io.k8s.api.core.v1.NodeStatus", "images", "", "", "atomic", &[]),
    merge("io.k8s.api.core.v1.NodeStatus", "runtimeHandlers", "", "", "atomic", &[]),
    merge("io.k8s.api.core.v1.NodeStatus", "volumesAttached", "", "", "atomic", &[]),
    merge("io.k8s.api.core.v1.NodeStatus", "volumesInUse", "", "", "atomic", &[]),
];

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::kinds::testing::{check_default, check_refused, check_row, check_update_refused};

    #[test]
    fn fills_in_what_is_left_out() {
        check_default::<Nodes>(
            r#"
metadata: {name: n}
spec: {podCIDR: 10.244.0.0/24, unschedulable: false}
status: {phase: x}
"#,
            &expect![[r#"
                apiVersion: v1
                kind: Node
                metadata:
                  name: n
                spec:
                  podCIDR: 10.244.0.0/24
                  podCIDRs:
                  - 10.244.0.0/24
                status:
                  daemonEndpoints:
                    kubeletEndpoint:
                      Port: 0
                  nodeInfo:
                    architecture: ''
                    bootID: ''
                    containerRuntimeVersion: ''
                    kernelVersion: ''
                    kubeProxyVersion: ''
                    kubeletVersion: ''
                    machineID: ''
                    operatingSystem: ''
                    osImage: ''
                    systemUUID: ''
                  phase: x
            "#]],
        );
    }

    #[test]
    fn refuses_in_kubernetes_words() {
        check_refused::<Nodes>(
            r#"
spec: {podCIDR: x, taints: [{key: "a b", effect: Nope}, {key: k, effect: NoSchedule}, {key: k, effect: NoSchedule, value: v}]}
"#,
            &expect![[r#"
                spec.taints[0].key: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
                spec.taints[0].effect: Unsupported value: "Nope": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"
                spec.taints[2]: Duplicate value: {"effect":"NoSchedule","key":"k","value":"v"}: taints must be unique by key and effect pair
                spec.podCIDRs[0]: Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)
            "#]],
        );
        check_update_refused::<Nodes>(
            r#"
spec: {podCIDR: 10.244.0.0/24, providerID: a}
"#,
            r#"
spec: {podCIDR: 10.244.1.0/24, providerID: b}
"#,
            &expect![[r#"
                spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid
                spec.providerID: Forbidden: node updates may not change providerID except from "" to valid
            "#]],
        );
        check_update_refused::<Nodes>(
            r#"
spec: {}
"#,
            r#"
spec: {podCIDR: 10.244.1.0/24, providerID: b}
"#,
            &expect![[r#""#]],
        );
    }

    #[test]
    fn prints_a_row() {
        check_row::<Nodes>(
            r#"
metadata: {name: n, creationTimestamp: 2025-12-30T00:00:00Z, labels: {node-role.kubernetes.io/worker: "", node-role.kubernetes.io/control-plane: ""}}
spec: {unschedulable: true}
status: {conditions: [{type: Ready, status: "False"}], addresses: [{type: InternalIP, address: 10.88.0.1}], nodeInfo: {kubeletVersion: v1.37.0, osImage: Wharf}}
"#,
            &expect![[r#"
                Name: n
                Status: NotReady,SchedulingDisabled
                Roles: control-plane,worker
                Age: 2d
                Version: v1.37.0
                Internal-IP: 10.88.0.1
                External-IP: <none>
                OS-Image: Wharf
                Kernel-Version: <unknown>
                Container-Runtime: <unknown>
            "#]],
        );
        check_row::<Nodes>(
            r#"
metadata: {name: n}
"#,
            &expect![[r#"
                Name: n
                Status: Unknown
                Roles: <none>
                Age: <unknown>
                Version: 
                Internal-IP: <none>
                External-IP: <none>
                OS-Image: <unknown>
                Kernel-Version: <unknown>
                Container-Runtime: <unknown>
            "#]],
        );
    }
}
