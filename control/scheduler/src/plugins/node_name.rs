//! NodeName: a Pod that names its node runs there only.

use crate::framework::{Plugin, State, Verdict};
use crate::node::NodeInfo;
use crate::pod::PodInfo;

pub(super) struct NodeName;

impl Plugin for NodeName {
    fn name(&self) -> &'static str {
        "NodeName"
    }

    fn filter(&self, _: &State, pod: &PodInfo, node: &NodeInfo) -> Verdict {
        let named = &pod.wishes().node_name;
        if named.is_empty() || **named == *node.name { Verdict::Fits } else { Verdict::never("node(s) didn't match the requested node name") }
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check;

    #[test]
    fn the_named_node() {
        check("a; b", "{nodeName: b}", "b");
    }
}
