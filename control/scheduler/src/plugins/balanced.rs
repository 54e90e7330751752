//! NodeResourcesBalancedAllocation: prefers nodes whose processor and memory would be used in like shares.

use crate::framework::{MAX_SCORE, Plugin, State};
use crate::node::NodeInfo;
use crate::pod::PodInfo;

pub(super) struct NodeResourcesBalancedAllocation;

impl Plugin for NodeResourcesBalancedAllocation {
    fn name(&self) -> &'static str {
        "NodeResourcesBalancedAllocation"
    }

    fn weight(&self) -> i64 {
        1
    }

    fn scores(&self, _: &State, pod: &PodInfo) -> bool {
        // Best-effort Pods balance nothing.
        pod.requests.cpu > 0 || pod.requests.memory > 0
    }

    fn score(&self, _: &State, pod: &PodInfo, node: &NodeInfo) -> i64 {
        let share = |have: i64, used: i64, want: i64| (have > 0).then(|| (used.saturating_add(want) as f64 / have as f64).min(1.0));
        let cpu = share(node.allocatable.cpu, node.requested.cpu, pod.requests.cpu);
        let memory = share(node.allocatable.memory, node.requested.memory, pod.requests.memory);
        // Of two shares the standard deviation is half their distance.
        let deviation = match (cpu, memory) {
            (Some(cpu), Some(memory)) => (cpu - memory).abs() / 2.0,
            _ => 0.0,
        };
        ((1.0 - deviation) * MAX_SCORE as f64) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check;

    #[test]
    fn even_use_is_better() {
        // Both have the same free share on average; on a the Pod evens out what is used.
        let nodes = "a cpu=10 memory=10Gi pod={containers: [{name: c, resources: {requests: {memory: 4Gi}}}]}; b cpu=10 memory=10Gi pod={containers: [{name: c, resources: {requests: {cpu: 4}}}]}";
        check(nodes, "{containers: [{name: c, resources: {requests: {cpu: 4, memory: 1Mi}}}]}", "a");
    }
}
