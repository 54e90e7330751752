//! One rule a file. The order is that in which a node is asked: the first that refuses is the reason given.

mod balanced;
mod fit;
mod inter_pod_affinity;
mod node_affinity;
mod node_name;
mod node_ports;
mod node_unschedulable;
mod taint_toleration;
mod topology_spread;

#[cfg(test)]
pub(crate) mod check;

use crate::framework::Plugin;

/// The standard plugins.
pub fn all() -> Vec<Box<dyn Plugin>> {
    vec![
        Box::new(node_unschedulable::NodeUnschedulable),
        Box::new(node_name::NodeName),
        Box::new(taint_toleration::TaintToleration),
        Box::new(node_affinity::NodeAffinity),
        Box::new(node_ports::NodePorts),
        Box::new(fit::NodeResourcesFit),
        Box::new(balanced::NodeResourcesBalancedAllocation),
        Box::new(topology_spread::PodTopologySpread),
        Box::new(inter_pod_affinity::InterPodAffinity),
    ]
}
