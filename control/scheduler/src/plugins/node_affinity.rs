//! NodeAffinity: `nodeSelector` and required node affinity by labels and names; preferred affinity as a score.

use k8s_openapi::api::core::v1::NodeSelectorTerm;
use wharf_api::placement::term_matches;

use crate::framework::{Plugin, State, Verdict, proportional};
use crate::node::NodeInfo;
use crate::pod::PodInfo;

pub(super) struct NodeAffinity;

impl Plugin for NodeAffinity {
    fn name(&self) -> &'static str {
        "NodeAffinity"
    }

    fn filter(&self, _: &State, pod: &PodInfo, node: &NodeInfo) -> Verdict {
        if matches(pod, node) { Verdict::Fits } else { Verdict::never("node(s) didn't match Pod's node affinity/selector") }
    }

    fn weight(&self) -> i64 {
        2
    }

    fn scores(&self, _: &State, pod: &PodInfo) -> bool {
        preferred(pod).next().is_some()
    }

    fn score(&self, _: &State, pod: &PodInfo, node: &NodeInfo) -> i64 {
        // An empty term is no wish here, while in a requirement it matches nothing.
        preferred(pod).filter(|(_, term)| term_matches(term, &node.name, &node.labels)).map(|(weight, _)| i64::from(weight)).sum()
    }

    fn normalise(&self, scores: &mut [i64]) {
        proportional(scores, false);
    }
}

/// Whether a node is one that the Pod's selector and required affinity allow.
pub(super) fn matches(pod: &PodInfo, node: &NodeInfo) -> bool {
    if pod.wishes().node_selector.iter().any(|(key, value)| node.labels.get(key) != Some(value)) {
        return false;
    }
    let required = pod.wishes().node_affinity.as_ref().and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
    required.is_none_or(|selector| selector.node_selector_terms.iter().any(|term| term_matches(term, &node.name, &node.labels)))
}

fn preferred(pod: &PodInfo) -> impl Iterator<Item = (i32, &NodeSelectorTerm)> {
    let affinity = pod.wishes().node_affinity.as_ref();
    let terms = affinity.and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_ref());
    terms.into_iter().flatten().filter(|t| t.weight != 0).map(|t| (t.weight, &t.preference))
}

#[cfg(test)]
mod tests {
    use super::super::check::check;

    fn required(expression: &str) -> String {
        format!("{{affinity: {{nodeAffinity: {{requiredDuringSchedulingIgnoredDuringExecution: {{nodeSelectorTerms: [{expression}]}}}}}}}}")
    }

    #[test]
    fn selectors() {
        check("a disk=ssd; b", "{nodeSelector: {disk: ssd}}", "a");
        check(
            "a disk=ssd; b",
            "{nodeSelector: {disk: hdd}}",
            "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector. no new claims to deallocate, preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.",
        );
        for (expression, want) in [
            ("{matchExpressions: [{key: disk, operator: In, values: [ssd]}]}", "a"),
            ("{matchExpressions: [{key: disk, operator: NotIn, values: [ssd]}]}", "b"),
            ("{matchExpressions: [{key: disk, operator: Exists}]}", "a"),
            ("{matchExpressions: [{key: disk, operator: DoesNotExist}]}", "b"),
            ("{matchExpressions: [{key: n, operator: Gt, values: ['3']}]}", "b"),
            ("{matchExpressions: [{key: n, operator: Lt, values: ['3']}]}", "a"),
            ("{matchFields: [{key: metadata.name, operator: In, values: [b]}]}", "b"),
            ("{}", "0/2"),
            ("{matchExpressions: [{key: x, operator: Exists}]}, {matchFields: [{key: metadata.name, operator: In, values: [a]}]}", "a"),
        ] {
            check("a disk=ssd n=2; b n=4", &required(expression), want);
        }
    }

    #[test]
    fn wishes() {
        let wish = "{affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 10, preference: {matchExpressions: [{key: disk, operator: Exists}]}}]}}}";
        check("a; b disk=ssd; c", wish, "b");
    }
}
