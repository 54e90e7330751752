//! Node IPAM: gives each node its part of the Pods' network, the lowest that is free.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use serde_json::json;

use crate::action::{Action, Note};
use crate::controllers::Controller;
use crate::queue::Queue;
use crate::resource::{Key, Target, name};
use crate::world::{Turn, World};

/// The controller `node-ipam-controller`. It has one key, since it looks at all nodes to give one its range.
pub struct NodeIpam;

/// A network that is cut into ranges of one size.
pub struct Pool {
    first: u32,
    count: u32,
    bits: u8,
}

impl Pool {
    /// A network such as `10.244.0.0/16`, cut into ranges with a prefix of `node_bits`.
    pub fn new(cidr: &str, node_bits: u8) -> Result<Pool, String> {
        let (first, bits) = parse(cidr).ok_or_else(|| format!("{cidr:?} is not an IPv4 CIDR"))?;
        if node_bits < bits || node_bits > 30 || node_bits - bits > 16 {
            return Err(format!("a node's /{node_bits} does not fit {cidr}"));
        }
        Ok(Pool { first, count: 1 << (node_bits - bits), bits: node_bits })
    }

    /// The lowest range that overlaps none of those taken.
    fn free(&self, taken: &BTreeSet<(u32, u32)>) -> Option<(u32, u32)> {
        let size = 1u32 << (32 - self.bits);
        (0..self.count)
            .map(|n| self.first + n * size)
            .map(|start| (start, start + (size - 1)))
            .find(|range| !taken.iter().any(|t| t.0 <= range.1 && range.0 <= t.1))
    }
}

/// First address and prefix length.
fn parse(cidr: &str) -> Option<(u32, u8)> {
    let (address, bits) = cidr.split_once('/')?;
    let (address, bits): (Ipv4Addr, u8) = (address.parse().ok()?, bits.parse().ok()?);
    (1..=32).contains(&bits).then(|| (address.to_bits() & (u32::MAX << (32 - u32::from(bits))), bits))
}

impl Controller for NodeIpam {
    fn name(&self) -> &'static str {
        "node-ipam-controller"
    }

    fn account(&self) -> &'static str {
        "node-controller"
    }

    fn triggers(&self, world: &World, queue: &Arc<Queue>) {
        world.nodes.on_change(queue, |_, change, add| {
            if change.new.as_ref().is_some_and(|n| n.spec.as_ref().and_then(|s| s.pod_cidr.as_ref()).is_none()) {
                add(Key::default());
            }
        });
    }

    fn plan(&self, turn: &Turn<'_>) -> Vec<Action> {
        let options = &turn.world.options;
        let Some(pool) = options.cluster_cidr.as_ref().and_then(|cidr| Pool::new(cidr, options.node_cidr_mask_size).ok()) else { return Vec::new() };
        let mut nodes = turn.world.nodes.all();
        nodes.sort_by_key(|n| n.metadata.creation_timestamp.as_ref().map(|t| t.0));
        let mut taken = BTreeSet::new();
        for cidr in nodes.iter().filter_map(|n| n.spec.as_ref()?.pod_cidr.as_ref()) {
            if let Some((start, bits)) = parse(cidr) {
                taken.insert((start, start + (u32::MAX >> bits)));
            }
        }
        let mut actions = Vec::new();
        for node in nodes.iter().filter(|n| n.metadata.deletion_timestamp.is_none() && n.spec.as_ref().and_then(|s| s.pod_cidr.as_ref()).is_none()) {
            match pool.free(&taken) {
                Some(range) => {
                    taken.insert(range);
                    let cidr = format!("{}/{}", Ipv4Addr::from_bits(range.0), pool.bits);
                    actions.push(Action::patch(Target::of(&**node), json!({"spec": {"podCIDR": cidr, "podCIDRs": [cidr]}})));
                }
                None => {
                    let message = format!("Node {} status is now: CIDRNotAvailable", name(&node.metadata));
                    actions.push(Action::Record(Note::normal(&**node, "CIDRNotAvailable", message)));
                }
            }
        }
        actions
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::testing::check;

    #[test]
    fn the_lowest_free_range_to_the_oldest() {
        check(
            &NodeIpam,
            "
apiVersion: v1
kind: Node
metadata: {name: a, creationTimestamp: '2026-01-01T00:00:02Z'}
---
apiVersion: v1
kind: Node
metadata: {name: b, creationTimestamp: '2026-01-01T00:00:01Z'}
---
apiVersion: v1
kind: Node
metadata: {name: c}
spec: {podCIDR: 10.244.0.0/24}
",
            "/",
            &[],
            expect![[r#"
                patch Node b: {"spec":{"podCIDR":"10.244.1.0/24","podCIDRs":["10.244.1.0/24"]}}
                patch Node a: {"spec":{"podCIDR":"10.244.2.0/24","podCIDRs":["10.244.2.0/24"]}}
            "#]],
        );
    }

    #[test]
    fn pools_end() {
        let pool = Pool::new("10.0.0.0/29", 30).unwrap();
        let mut taken = BTreeSet::new();
        taken.extend(pool.free(&taken));
        taken.extend(pool.free(&taken));
        assert_eq!(pool.free(&taken), None);
        for (cidr, bits) in [("10.0.0.0/24", 16), ("x", 24), ("10.0.0.0/0", 24), ("10.0.0.0/33", 24), ("10.0.0.0/8", 31)] {
            assert!(Pool::new(cidr, bits).is_err(), "{cidr} {bits}");
        }
    }
}
