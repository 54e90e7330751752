//! TaintToleration: a node keeps off the Pods that do not tolerate its taints; `PreferNoSchedule` only counts against it.

use k8s_openapi::api::core::v1::Taint;
use wharf_api::placement::tolerates;

use crate::framework::{Plugin, State, Verdict, proportional};
use crate::node::NodeInfo;
use crate::pod::PodInfo;

pub(super) struct TaintToleration;

impl Plugin for TaintToleration {
    fn name(&self) -> &'static str {
        "TaintToleration"
    }

    fn filter(&self, _: &State, pod: &PodInfo, node: &NodeInfo) -> Verdict {
        let hard = node.taints.iter().filter(|t| t.effect == "NoSchedule" || t.effect == "NoExecute");
        if untolerated(hard, pod) == 0 { Verdict::Fits } else { Verdict::never("node(s) had untolerated taint(s)") }
    }

    fn weight(&self) -> i64 {
        3
    }

    fn score(&self, _: &State, pod: &PodInfo, node: &NodeInfo) -> i64 {
        untolerated(node.taints.iter().filter(|t| t.effect == "PreferNoSchedule"), pod)
    }

    fn normalise(&self, scores: &mut [i64]) {
        proportional(scores, true);
    }
}

fn untolerated<'a>(taints: impl Iterator<Item = &'a Taint>, pod: &PodInfo) -> i64 {
    taints.filter(|taint| !pod.wishes().tolerations.iter().any(|t| tolerates(t, taint))).count() as i64
}

#[cfg(test)]
mod tests {
    use super::super::check::check;

    #[test]
    fn taints() {
        let nodes = "cp taint=node-role.kubernetes.io/control-plane:NoSchedule; w";
        check(nodes, "{}", "w");
        let only = "cp taint=node-role.kubernetes.io/control-plane:NoSchedule";
        check(
            only,
            "{}",
            "0/1 nodes are available: 1 node(s) had untolerated taint(s). no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
        );
        check(only, "{tolerations: [{key: node-role.kubernetes.io/control-plane, effect: NoSchedule}]}", "cp");
        check(only, "{tolerations: [{operator: Exists}]}", "cp");
        check(only, "{tolerations: [{key: node-role.kubernetes.io/control-plane, effect: NoExecute, operator: Exists}]}", "0/1");
        check("a taint=k=v:NoExecute", "{tolerations: [{key: k, value: v}]}", "a");
        check("a taint=k=v:NoExecute", "{tolerations: [{key: k, value: w}]}", "0/1");
        check("a taint=k=v:PreferNoSchedule", "{}", "a");
        check("a taint=k=v:PreferNoSchedule; b", "{}", "b");
    }
}
