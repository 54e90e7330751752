//! Which nodes a DaemonSet's Pods are for, and the Pod for one of them.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec, Toleration};
use wharf_api::placement::{allows, tolerates};

use super::Place;
use crate::history::HASH_LABEL;
use crate::pods::{node_of, pod_of};
use crate::resource::name;

const NODE_NAME: &str = "metadata.name";
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";
/// What every Pod of a DaemonSet tolerates.
const TOLERATED: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];

/// What a node means to the set, whose Pods have the spec `wanted`.
pub(super) fn judge(set: &DaemonSet, wanted: &PodSpec, node: Arc<Node>) -> Place {
    let node_name = name(&node.metadata);
    let template = set.spec.template.spec.as_ref();
    let chosen = template.and_then(|s| s.node_name.as_deref()).is_none_or(|n| n.is_empty() || n == node_name)
        && template.is_none_or(|s| allows(s, node_name, &node.metadata.labels.clone().unwrap_or_default()));
    let tolerated = |effects: &[&str]| {
        let mut taints = node.spec.iter().flat_map(|s| s.taints.iter().flatten()).filter(|t| effects.contains(&t.effect.as_str()));
        taints.all(|taint| wanted.tolerations.iter().flatten().any(|t| tolerates(t, taint)))
    };
    let should_run = chosen && tolerated(&["NoSchedule", "NoExecute"]);
    let may_stay = chosen && tolerated(&["NoExecute"]);
    Place { node, should_run, may_stay }
}

/// The node that a Pod is on, or waits for.
pub(super) fn target(pod: &Pod) -> Option<&str> {
    if !node_of(pod).is_empty() {
        return Some(node_of(pod));
    }
    let affinity = pod.spec.as_ref()?.affinity.as_ref()?.node_affinity.as_ref()?;
    let terms = &affinity.required_during_scheduling_ignored_during_execution.as_ref()?.node_selector_terms;
    let mut fields = terms.iter().flat_map(|t| t.match_fields.iter().flatten());
    let by_name = fields.find(|f| f.key == NODE_NAME && f.operator == "In")?;
    by_name.values.as_ref()?.first().map(String::as_str)
}

/// The Pod for a node: bound to it by its affinity, so that the scheduler places it.
pub(super) fn pod_for(set: &DaemonSet, node: &str, hash: &str) -> Pod {
    let mut pod = pod_of(set, Some(&set.spec.template));
    let labels = pod.metadata.labels.get_or_insert_default();
    if let Some(generation) = set.metadata.annotations.as_ref().and_then(|a| a.get(TEMPLATE_GENERATION)) {
        labels.insert("pod-template-generation".to_owned(), generation.clone());
    }
    labels.insert(HASH_LABEL.to_owned(), hash.to_owned());
    let spec = pod.spec.get_or_insert_default();
    let affinity = spec.affinity.get_or_insert_default().node_affinity.get_or_insert_default();
    let by_name = NodeSelectorRequirement { key: NODE_NAME.to_owned(), operator: "In".to_owned(), values: Some(vec![node.to_owned()]) };
    let term = NodeSelectorTerm { match_fields: Some(vec![by_name]), match_expressions: None };
    affinity.required_during_scheduling_ignored_during_execution = Some(NodeSelector { node_selector_terms: vec![term] });
    let network = (spec.host_network == Some(true)).then_some(("node.kubernetes.io/network-unavailable", "NoSchedule"));
    let tolerations = spec.tolerations.get_or_insert_default();
    for (key, effect) in TOLERATED.into_iter().chain(network) {
        let toleration =
            Toleration { key: Some(key.to_owned()), operator: Some("Exists".to_owned()), effect: Some(effect.to_owned()), ..Toleration::default() };
        let same = |t: &&mut Toleration| t.key.as_deref() == Some(key) && t.effect.as_deref() == Some(effect) && t.value.as_deref().is_none_or(str::is_empty);
        match tolerations.iter_mut().find(same) {
            Some(there) => *there = toleration,
            None => tolerations.push(toleration),
        }
    }
    pod
}
