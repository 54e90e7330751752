//! Pod garbage collection: Pods of nodes that are gone, Pods that were deleted before they had a node, and too many that have ended.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::jiff::Timestamp;
use serde_json::json;

use crate::action::Action;
use crate::controllers::Controller;
use crate::pods::{has_ended, is_active};
use crate::queue::Queue;
use crate::resource::{Key, Resource, Target};
use crate::world::{Turn, World};

/// The namespace of keys that are names of nodes, which no namespace can have.
const OF_NODE: &str = "node/";
/// The key for Pods that have ended, wherever they are.
const ENDED: &str = "ended/";

/// How old a Pod is at least before it goes for want of its node, which may be about to come.
const QUARANTINE: Duration = Duration::from_secs(40);

/// The controller `pod-garbage-collector-controller`.
pub struct PodGc;

impl Controller for PodGc {
    fn name(&self) -> &'static str {
        "pod-garbage-collector-controller"
    }

    fn account(&self) -> &'static str {
        "pod-garbage-collector"
    }

    fn triggers(&self, world: &World, queue: &Arc<Queue>) {
        world.nodes.on_change(queue, |_, change, add| {
            if change.new.is_none() {
                add(Key::new(OF_NODE, change.key().name));
            }
        });
        world.pods.on_change(queue, |world, change, add| {
            let Some(pod) = &change.new else { return };
            match pod.spec.as_ref().and_then(|s| s.node_name.as_ref()).filter(|n| !n.is_empty()) {
                Some(node) if world.nodes.get("", node).is_none() => add(Key::new(OF_NODE, node.clone())),
                None if pod.metadata.deletion_timestamp.is_some() => add(change.key()),
                _ => {}
            }
            if !is_active(pod) && world.pods.count("terminated") > world.options.terminated_pod_gc_threshold {
                add(Key::new(ENDED, ""));
            }
        });
    }

    fn plan(&self, turn: &Turn<'_>) -> Vec<Action> {
        let world = turn.world;
        match turn.key.namespace.as_str() {
            OF_NODE if world.nodes.get("", &turn.key.name).is_none() => {
                let node =
                    Target { resource: Resource::of::<Node>(), namespace: String::new(), name: turn.key.name.clone(), uid: None, resource_version: None };
                let pods = world.pods.by(&format!("node/{}", turn.key.name));
                let (young, old): (Vec<_>, Vec<_>) = pods.iter().partition(|pod| age(pod, turn.now) < QUARANTINE);
                let mut actions: Vec<Action> = old.into_iter().flat_map(|pod| orphaned(pod, &node)).collect();
                actions.extend(young.into_iter().map(|pod| QUARANTINE.saturating_sub(age(pod, turn.now))).max().map(Action::RequeueAfter));
                actions
            }
            OF_NODE => Vec::new(),
            ENDED => {
                let mut ended = world.pods.by("terminated");
                let excess = ended.len().saturating_sub(world.options.terminated_pod_gc_threshold);
                ended.sort_by_key(|p| p.metadata.creation_timestamp.as_ref().map(|t| t.0));
                ended.iter().filter(|p| p.metadata.deletion_timestamp.is_none()).take(excess).map(|p| force(p, Vec::new())).collect()
            }
            namespace => {
                let pod = world.pods.get(namespace, &turn.key.name);
                let unbound = |p: &Pod| p.spec.as_ref().and_then(|s| s.node_name.as_deref()).is_none_or(str::is_empty);
                pod.filter(|p| p.metadata.deletion_timestamp.is_some() && unbound(p)).map(|p| force(&p, Vec::new())).into_iter().collect()
            }
        }
    }
}

fn force(pod: &Pod, unless: Vec<Target>) -> Action {
    Action::Delete { target: Target::of(pod), propagation: None, grace: Some(0), unless, announce: None }
}

fn age(pod: &Pod, now: Timestamp) -> Duration {
    let created = pod.metadata.creation_timestamp.as_ref();
    created.map_or(Duration::MAX, |at| Duration::try_from(now.duration_since(at.0)).unwrap_or_default())
}

/// A Pod without its node has failed, and nobody else will say so.
fn orphaned(pod: &Pod, node: &Target) -> Vec<Action> {
    let mut actions = Vec::new();
    if !has_ended(pod) {
        let mut conditions = pod.status.as_ref().and_then(|s| s.conditions.clone()).unwrap_or_default();
        conditions.retain(|c| c.type_ != "DisruptionTarget");
        conditions.push(k8s_openapi::api::core::v1::PodCondition {
            type_: "DisruptionTarget".to_owned(),
            status: "True".to_owned(),
            reason: Some("DeletionByPodGC".to_owned()),
            message: Some("PodGC: node no longer exists".to_owned()),
            ..Default::default()
        });
        let patch = json!({"status": {"phase": "Failed", "conditions": conditions}});
        actions.push(Action::Patch { target: Target::exactly(pod), subresource: Some("status"), patch, announce: None });
    }
    actions.push(force(pod, vec![node.clone()]));
    actions
}

#[cfg(test)]
mod tests {
    use super::*;

    const PODS: &str = "
apiVersion: v1
kind: Node
metadata: {name: there}
---
apiVersion: v1
kind: Pod
metadata: {name: a}
spec: {nodeName: gone, containers: []}
status: {phase: Succeeded}
---
apiVersion: v1
kind: Pod
metadata: {name: b}
spec: {nodeName: there, containers: []}
---
apiVersion: v1
kind: Pod
metadata: {name: c, deletionTimestamp: '2026-01-01T00:00:00Z'}
spec: {containers: []}
";

    #[test]
    fn pods_without_a_node_go() {
        let world = crate::testing::world(PODS);
        let plan = |key: Key| {
            let turn = Turn { world: &world, key: &key, now: crate::testing::now(), failure: None };
            crate::testing::text(&PodGc.plan(&turn), &[])
        };
        assert_eq!(plan(Key::new(OF_NODE, "gone")), "delete Pod a grace=0 unless Node gone\n");
        assert_eq!(plan(Key::new(OF_NODE, "there")), "");
        let created = crate::testing::now() - Duration::from_secs(15);
        let young = format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: y, creationTimestamp: '{created}'}}\nspec: {{nodeName: gone, containers: []}}\n");
        let world = crate::testing::world(&format!("{PODS}---\n{young}"));
        let turn = Turn { world: &world, key: &Key::new(OF_NODE, "gone"), now: crate::testing::now(), failure: None };
        assert_eq!(crate::testing::text(&PodGc.plan(&turn), &[]), "delete Pod a grace=0 unless Node gone\nagain in 25s\n");
        assert_eq!(plan(Key::new("default", "c")), "delete Pod c grace=0\n");
        assert_eq!(plan(Key::new("default", "b")), "");
    }
}
