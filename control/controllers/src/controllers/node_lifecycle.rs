//! Node lifecycle: a node that is heard of no more is `Unknown`, its Pods are not ready, and taints tell everyone so.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, NodeCondition, Pod, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::action::{Action, Note};
use crate::controllers::Controller;
use crate::pods::ready_since;
use crate::queue::Queue;
use crate::resource::{Key, Target, name, namespace};
use crate::world::{Turn, World};

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
/// Conditions that are taints while they hold.
const PRESSURES: [(&str, &str); 4] = [
    ("MemoryPressure", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "node.kubernetes.io/network-unavailable"),
];
/// Conditions that a node keeps, and that nobody knows any more when it is silent.
const KEPT: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

/// The controller `node-lifecycle-controller`.
#[derive(Default)]
pub struct NodeLifecycle {
    /// When each node was last heard of, by our own clock, since its clock may be wrong.
    heard: Arc<Mutex<HashMap<String, Timestamp>>>,
    /// The uids of the nodes that were announced, by their names.
    registered: Arc<Mutex<HashMap<String, Option<String>>>>,
}

impl Controller for NodeLifecycle {
    fn name(&self) -> &'static str {
        "node-lifecycle-controller"
    }

    fn account(&self) -> &'static str {
        "node-controller"
    }

    fn triggers(&self, world: &World, queue: &Arc<Queue>) {
        let heard = self.heard.clone();
        world.leases.on_change(queue, move |_, change, add| {
            let meta = &change.latest().metadata;
            if namespace(meta) == "kube-node-lease"
                && let Some(new) = &change.new
            {
                let renewed = |l: &k8s_openapi::api::coordination::v1::Lease| l.spec.as_ref().and_then(|s| s.renew_time.clone());
                if change.old.as_ref().is_none_or(|old| renewed(old) != renewed(new)) {
                    heard.lock().insert(name(meta).to_owned(), Timestamp::now());
                }
                if change.old.is_none() {
                    add(Key::new("", name(meta)));
                }
            }
        });
        let (heard, registered) = (self.heard.clone(), self.registered.clone());
        world.nodes.on_change(queue, move |_, change, add| {
            let node = change.latest();
            let beat = |n: &Node| condition(n, "Ready").and_then(|c| c.last_heartbeat_time.clone());
            match &change.new {
                None => {
                    heard.lock().remove(name(&node.metadata));
                    registered.lock().remove(name(&node.metadata));
                }
                Some(new) if change.old.as_ref().is_none_or(|old| beat(old) != beat(new)) => {
                    heard.lock().insert(name(&node.metadata).to_owned(), Timestamp::now());
                }
                Some(_) => {}
            }
            add(change.key());
        });
        // A Pod that comes late to a silent node is not ready either.
        world.pods.on_change(queue, |world, change, add| {
            let Some(node) = change.new.as_ref().and_then(|p| p.spec.as_ref()?.node_name.clone()) else { return };
            if world.nodes.get("", &node).is_some_and(|n| condition(&n, "Ready").is_some_and(|c| c.status == "Unknown")) {
                add(Key::new("", node));
            }
        });
    }

    fn plan(&self, turn: &Turn<'_>) -> Vec<Action> {
        let Some(node) = turn.world.nodes.get("", &turn.key.name) else { return Vec::new() };
        let heard = self.heard.lock().get(&turn.key.name).copied();
        let grace = SignedDuration::try_from(turn.world.options.node_monitor_grace_period).unwrap_or(SignedDuration::MAX);
        let silent = turn.now.duration_since(heard.unwrap_or_else(|| last_sign(&node, turn.world)));
        let mut actions = Vec::new();
        let uid = node.metadata.uid.clone();
        if self.registered.lock().insert(turn.key.name.clone(), uid.clone()) != Some(uid) {
            let message = format!("Node {0} event: Registered Node {0} in Controller", turn.key.name);
            actions.push(Action::Record(Note::normal(&*node, "RegisteredNode", message)));
        }
        let mut conditions = node.status.as_ref().and_then(|s| s.conditions.clone()).unwrap_or_default();
        if silent > grace {
            if forget(&node, &mut conditions, turn.now) {
                let target = Target::exactly(&*node);
                actions.push(Action::Patch { target, subresource: Some("status"), patch: json!({"status": {"conditions": conditions}}), announce: None });
                if condition(&node, "Ready").is_some_and(|c| c.status == "True") {
                    let message = format!("Node {} status is now: NodeNotReady", turn.key.name);
                    actions.push(Action::Record(Note::normal(&*node, "NodeNotReady", message)));
                }
            }
            return actions_for_pods(actions, turn, &node, &conditions);
        }
        let left = Duration::try_from(grace - silent).unwrap_or_default() + Duration::from_millis(100);
        actions.push(Action::RequeueAfter(left));
        actions_for_pods(actions, turn, &node, &conditions)
    }
}

/// The last sign of life that the node left in the API.
fn last_sign(node: &Node, world: &World) -> Timestamp {
    let lease = world.leases.get("kube-node-lease", name(&node.metadata));
    let renewed = lease.and_then(|l| l.spec.as_ref()?.renew_time.as_ref().map(|t| t.0));
    let beat = condition(node, "Ready").and_then(|c| c.last_heartbeat_time.as_ref().map(|t| t.0));
    let created = node.metadata.creation_timestamp.as_ref().map(|t| t.0);
    renewed.max(beat).or(created).unwrap_or(Timestamp::MIN)
}

fn condition<'a>(node: &'a Node, type_: &str) -> Option<&'a NodeCondition> {
    node.status.as_ref()?.conditions.iter().flatten().find(|c| c.type_ == type_)
}

/// Whether any condition was not yet `Unknown`.
fn forget(node: &Node, conditions: &mut Vec<NodeCondition>, now: Timestamp) -> bool {
    let mut changed = false;
    for type_ in KEPT {
        match conditions.iter_mut().find(|c| c.type_ == type_) {
            Some(condition) if condition.status != "Unknown" => {
                condition.status = "Unknown".to_owned();
                condition.reason = Some("NodeStatusUnknown".to_owned());
                condition.message = Some("Kubelet stopped posting node status.".to_owned());
                condition.last_transition_time = Some(Time(now));
                changed = true;
            }
            Some(_) => {}
            None => {
                conditions.push(NodeCondition {
                    type_: type_.to_owned(),
                    status: "Unknown".to_owned(),
                    reason: Some("NodeStatusNeverUpdated".to_owned()),
                    message: Some("Kubelet never posted node status.".to_owned()),
                    last_heartbeat_time: node.metadata.creation_timestamp.clone(),
                    last_transition_time: Some(Time(now)),
                });
                changed = true;
            }
        }
    }
    changed
}

/// Taints after the conditions, and Pods that are not ready after a node that is not.
fn actions_for_pods(mut actions: Vec<Action>, turn: &Turn<'_>, node: &Node, conditions: &[NodeCondition]) -> Vec<Action> {
    let status = |type_: &str| conditions.iter().find(|c| c.type_ == type_).map(|c| c.status.as_str());
    let mut wanted: Vec<(&str, &str)> = Vec::new();
    match status("Ready") {
        Some("True") => {}
        Some("Unknown") => wanted.extend([(UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")]),
        _ => wanted.extend([(NOT_READY, "NoSchedule"), (NOT_READY, "NoExecute")]),
    }
    // A node that was not ready yet has nothing to evict.
    if status("Ready").is_none() {
        wanted.retain(|(_, effect)| *effect == "NoSchedule");
    }
    wanted.extend(PRESSURES.iter().filter(|(type_, _)| status(type_) == Some("True")).map(|(_, key)| (*key, "NoSchedule")));
    if node.spec.as_ref().and_then(|s| s.unschedulable) == Some(true) {
        wanted.push((UNSCHEDULABLE, "NoSchedule"));
    }
    let old = node.spec.as_ref().and_then(|s| s.taints.clone()).unwrap_or_default();
    let ours = |t: &Taint| [NOT_READY, UNREACHABLE, UNSCHEDULABLE].contains(&t.key.as_str()) || PRESSURES.iter().any(|(_, key)| *key == t.key);
    let is = |t: &Taint, w: &(&str, &str)| t.key == w.0 && t.effect == w.1;
    let mut new: Vec<Taint> = old.iter().filter(|t| !ours(t) || wanted.iter().any(|w| is(t, w))).cloned().collect();
    for want in wanted.iter().filter(|w| !old.iter().any(|t| is(t, w))) {
        new.push(Taint { key: want.0.to_owned(), effect: want.1.to_owned(), value: None, time_added: Some(Time(turn.now)) });
    }
    if new != old {
        let taints = if new.is_empty() { Value::Null } else { json!(new) };
        // Of an earlier patch of this plan the version is old already; the uid still holds.
        let target = if actions.iter().any(|a| matches!(a, Action::Patch { .. })) { Target::of(node) } else { Target::exactly(node) };
        actions.push(Action::patch(target, json!({"spec": {"taints": taints}})));
    }
    if status("Ready") == Some("Unknown") || status("Ready") == Some("False") {
        for pod in turn.world.pods.by(&format!("node/{}", turn.key.name)).iter().filter(|p| ready_since(p).is_some()) {
            not_ready(pod, turn.now, &mut actions);
        }
    }
    actions
}

fn not_ready(pod: &Pod, now: Timestamp, actions: &mut Vec<Action>) {
    let mut conditions = pod.status.as_ref().and_then(|s| s.conditions.clone()).unwrap_or_default();
    if let Some(ready) = conditions.iter_mut().find(|c| c.type_ == "Ready") {
        ready.status = "False".to_owned();
        ready.last_transition_time = Some(Time(now));
    }
    let patch = json!({"status": {"conditions": conditions}});
    actions.push(Action::Patch { target: Target::exactly(pod), subresource: Some("status"), patch, announce: None });
    actions.push(Action::Record(Note::warning(pod, "NodeNotReady", "Node is not ready")));
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::testing::check;

    fn node(ready: &str, renewed: &str, taints: &str) -> String {
        format!(
            "
apiVersion: v1
kind: Node
metadata: {{name: a}}
spec: {{taints: {taints}}}
status: {{conditions: [{{type: Ready, status: '{ready}'}}, {{type: MemoryPressure, status: 'False'}}, {{type: DiskPressure, status: 'False'}}, {{type: PIDPressure, status: 'False'}}]}}
---
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {{name: a, namespace: kube-node-lease}}
spec: {{renewTime: '{renewed}'}}
---
apiVersion: v1
kind: Pod
metadata: {{name: p}}
spec: {{nodeName: a, containers: []}}
status: {{phase: Running, conditions: [{{type: Ready, status: 'True'}}]}}
"
        )
    }

    #[test]
    fn a_silent_node_is_unknown() {
        check(
            &NodeLifecycle::default(),
            &node("True", "2026-01-01T11:59:19.000000Z", "[{key: mine, effect: NoSchedule}]"),
            "a",
            &[],
            expect![[r#"
                event a Normal RegisteredNode: Node a event: Registered Node a in Controller
                patch Node a status: {"status":{"conditions":[{"lastTransitionTime":"2026-01-01T12:00:00Z","message":"Kubelet stopped posting node status.","reason":"NodeStatusUnknown","status":"Unknown","type":"Ready"},{"lastTransitionTime":"2026-01-01T12:00:00Z","message":"Kubelet stopped posting node status.","reason":"NodeStatusUnknown","status":"Unknown","type":"MemoryPressure"},{"lastTransitionTime":"2026-01-01T12:00:00Z","message":"Kubelet stopped posting node status.","reason":"NodeStatusUnknown","status":"Unknown","type":"DiskPressure"},{"lastTransitionTime":"2026-01-01T12:00:00Z","message":"Kubelet stopped posting node status.","reason":"NodeStatusUnknown","status":"Unknown","type":"PIDPressure"}]}}
                event a Normal NodeNotReady: Node a status is now: NodeNotReady
                patch Node a: {"spec":{"taints":[{"effect":"NoSchedule","key":"mine"},{"effect":"NoSchedule","key":"node.kubernetes.io/unreachable","timeAdded":"2026-01-01T12:00:00Z"},{"effect":"NoExecute","key":"node.kubernetes.io/unreachable","timeAdded":"2026-01-01T12:00:00Z"}]}}
                patch Pod p status: {"status":{"conditions":[{"lastTransitionTime":"2026-01-01T12:00:00Z","status":"False","type":"Ready"}]}}
                event p Warning NodeNotReady: Node is not ready
            "#]],
        );
    }

    #[test]
    fn a_node_that_is_back_loses_its_taints() {
        check(
            &NodeLifecycle::default(),
            &node("True", "2026-01-01T11:59:50.000000Z", "[{key: node.kubernetes.io/unreachable, effect: NoExecute}]"),
            "a",
            &[],
            expect![[r#"
                event a Normal RegisteredNode: Node a event: Registered Node a in Controller
                again in 30.1s
                patch Node a: {"spec":{"taints":null}}
            "#]],
        );
    }

    #[test]
    fn a_well_node_is_left_alone() {
        check(
            &NodeLifecycle::default(),
            &node("True", "2026-01-01T12:00:00.000000Z", "[]"),
            "a",
            &[],
            expect![[r#"
                event a Normal RegisteredNode: Node a event: Registered Node a in Controller
                again in 40.1s
            "#]],
        );
    }
}
