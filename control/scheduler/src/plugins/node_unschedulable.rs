//! NodeUnschedulable: a cordoned node takes no Pod, unless the Pod tolerates `node.kubernetes.io/unschedulable:NoSchedule`.

use k8s_openapi::api::core::v1::Taint;

use crate::framework::{Plugin, State, Verdict};
use crate::node::NodeInfo;
use crate::pod::PodInfo;
use wharf_api::placement::tolerates;

pub(super) struct NodeUnschedulable;

impl Plugin for NodeUnschedulable {
    fn name(&self) -> &'static str {
        "NodeUnschedulable"
    }

    fn filter(&self, _: &State, pod: &PodInfo, node: &NodeInfo) -> Verdict {
        if !node.unschedulable {
            return Verdict::Fits;
        }
        let taint = Taint { key: "node.kubernetes.io/unschedulable".into(), effect: "NoSchedule".into(), ..Taint::default() };
        if pod.wishes().tolerations.iter().any(|t| tolerates(t, &taint)) { Verdict::Fits } else { Verdict::never("node(s) were unschedulable") }
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check;

    #[test]
    fn cordoned_nodes() {
        check("a unschedulable; b", "{}", "b");
        check(
            "a unschedulable",
            "{}",
            "0/1 nodes are available: 1 node(s) were unschedulable. no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
        );
        check("a unschedulable", "{tolerations: [{key: node.kubernetes.io/unschedulable, operator: Exists}]}", "a");
    }
}
