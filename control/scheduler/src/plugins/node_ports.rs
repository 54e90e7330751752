//! NodePorts: two Pods cannot have one port of a node (`hostPort`).

use crate::framework::{Change, Plugin, State, Verdict};
use crate::node::NodeInfo;
use crate::pod::PodInfo;

pub(super) struct NodePorts;

impl Plugin for NodePorts {
    fn name(&self) -> &'static str {
        "NodePorts"
    }

    fn wakes(&self, change: Change) -> bool {
        matches!(change, Change::Node | Change::PodGone)
    }

    fn filter(&self, _: &State, pod: &PodInfo, node: &NodeInfo) -> Verdict {
        let taken = pod.ports.iter().any(|port| node.has_port(port));
        if taken { Verdict::not_now("node(s) didn't have free ports for the requested pod ports") } else { Verdict::Fits }
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check;

    #[test]
    fn ports() {
        let want = |ports: &str| format!("{{containers: [{{name: c, ports: [{ports}]}}]}}");
        let nodes = "a pod={containers: [{name: c, ports: [{containerPort: 1, hostPort: 80}, {containerPort: 2, hostPort: 81, hostIP: 10.0.0.1}]}]}";
        check(nodes, &want("{containerPort: 80}"), "a");
        check(nodes, &want("{containerPort: 80, hostPort: 80, protocol: UDP}"), "a");
        check(nodes, &want("{containerPort: 80, hostPort: 81, hostIP: 10.0.0.2}"), "a");
        check(nodes, &want("{containerPort: 80, hostPort: 81}"), "0/1");
        check(
            nodes,
            &want("{containerPort: 80, hostPort: 80}"),
            "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports. no new claims to deallocate, preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.",
        );
    }
}
