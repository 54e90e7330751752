//! NodeResourcesFit: what a Pod requests must be free; the node with the greatest free share is the best ("least allocated").

use crate::framework::{Change, MAX_SCORE, Plugin, State, Verdict};
use crate::node::NodeInfo;
use crate::pod::PodInfo;

pub(super) struct NodeResourcesFit;

impl Plugin for NodeResourcesFit {
    fn name(&self) -> &'static str {
        "NodeResourcesFit"
    }

    fn wakes(&self, change: Change) -> bool {
        matches!(change, Change::Node | Change::PodGone)
    }

    fn filter(&self, _: &State, pod: &PodInfo, node: &NodeInfo) -> Verdict {
        let (want, have, used) = (&pod.requests, &node.allocatable, &node.requested);
        let mut reasons = Vec::new();
        let mut hopeless = false;
        let mut lacks = |want: i64, have: i64, used: i64, reason: &dyn Fn() -> String| {
            if want > 0 && want > have.saturating_sub(used) {
                reasons.push(reason());
                hopeless |= want > have;
            }
        };
        if node.pods.len() as i64 + 1 > have.pods {
            lacks(1, have.pods, have.pods, &|| "Too many pods".into());
        }
        lacks(want.cpu, have.cpu, used.cpu, &|| "Insufficient cpu".into());
        lacks(want.memory, have.memory, used.memory, &|| "Insufficient memory".into());
        lacks(want.storage, have.storage, used.storage, &|| "Insufficient ephemeral-storage".into());
        for (name, amount) in &want.other {
            let of = |resources: &crate::resources::Resources| resources.other.get(name).copied().unwrap_or(0);
            lacks(*amount, of(have), of(used), &|| format!("Insufficient {name}"));
        }
        match (reasons.is_empty(), hopeless) {
            (true, _) => Verdict::Fits,
            (false, true) => Verdict::Unresolvable(reasons),
            (false, false) => Verdict::Unschedulable(reasons),
        }
    }

    fn weight(&self) -> i64 {
        1
    }

    fn score(&self, _: &State, pod: &PodInfo, node: &NodeInfo) -> i64 {
        let free = |have: i64, used: i64, want: i64| {
            let used = used.saturating_add(want);
            (have > 0).then(|| if used > have { 0 } else { (have - used) * MAX_SCORE / have })
        };
        let cpu = free(node.allocatable.cpu, node.compared.cpu, pod.compared.cpu);
        let memory = free(node.allocatable.memory, node.compared.memory, pod.compared.memory);
        let known: Vec<i64> = [cpu, memory].into_iter().flatten().collect();
        known.iter().sum::<i64>() / known.len().max(1) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check;

    fn want(requests: &str) -> String {
        format!("{{containers: [{{name: c, resources: {{requests: {{{requests}}}}}}}]}}")
    }

    #[test]
    fn room() {
        check("a cpu=1; b cpu=2", &want("cpu: 1500m"), "b");
        check(
            "a cpu=1; b cpu=2; c cpu=4 taint=k:NoSchedule",
            &want("cpu: 3"),
            "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu. no new claims to deallocate, preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.",
        );
        check(
            "a cpu=2 pod={containers: [{name: c, resources: {requests: {cpu: 1500m}}}]}",
            &want("cpu: 1, memory: 64Gi"),
            "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory. no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
        );
        check(
            "a cpu=2 pod={containers: [{name: c, resources: {requests: {cpu: 1500m}}}]}",
            &want("cpu: 1"),
            "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.",
        );
        check("a pods=1 pod={}", "{}", "0/1 nodes are available: 1 Too many pods.");
        check("a", &want("example.com/gpu: 1"), "0/1 nodes are available: 1 Insufficient example.com/gpu.");
        check("", "{}", "no nodes available to schedule pods");
    }

    #[test]
    fn the_emptiest_node_is_best() {
        check("a cpu=4 pod={containers: [{name: c, resources: {requests: {cpu: 3}}}]}; b cpu=4", "{}", "b");
        // Pods without requests count as well, or all would go to one node.
        check("a pod={}; b", "{}", "b");
    }
}
