//! Taint eviction: Pods leave a node whose `NoExecute` taints they do not tolerate, or no longer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, PodCondition, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::json;
use wharf_api::placement::tolerates;

use crate::action::{Action, Note};
use crate::controllers::Controller;
use crate::queue::Queue;
use crate::resource::{Key, Target, name};
use crate::world::{Turn, World};

/// The controller `taint-eviction-controller`.
#[derive(Default)]
pub struct TaintEviction {
    /// Since when a taint without a time of its own has been seen on a node.
    seen: Mutex<HashMap<(String, String), Timestamp>>,
}

impl Controller for TaintEviction {
    fn name(&self) -> &'static str {
        "taint-eviction-controller"
    }

    fn account(&self) -> &'static str {
        "node-controller"
    }

    fn component(&self) -> &'static str {
        "taint-eviction-controller"
    }

    fn triggers(&self, world: &World, queue: &Arc<Queue>) {
        world.nodes.on_change(queue, |world, change, add| {
            let taints = |n: Option<&k8s_openapi::api::core::v1::Node>| n.and_then(|n| n.spec.as_ref()?.taints.clone()).unwrap_or_default();
            let new = taints(change.new.as_deref());
            if new != taints(change.old.as_deref()) && new.iter().any(executes) {
                for pod in world.pods.by(&format!("node/{}", name(&change.latest().metadata))) {
                    add(Key::of(&pod.metadata));
                }
            }
        });
        world.pods.on_change(queue, |world, change, add| {
            let Some(node) = change.new.as_ref().and_then(|p| world.nodes.get("", p.spec.as_ref()?.node_name.as_deref()?)) else { return };
            if node.spec.iter().flat_map(|s| s.taints.iter().flatten()).any(executes) {
                add(change.key());
            }
        });
    }

    fn plan(&self, turn: &Turn<'_>) -> Vec<Action> {
        let world = turn.world;
        let Some(pod) = world.pods.get(&turn.key.namespace, &turn.key.name).filter(|p| p.metadata.deletion_timestamp.is_none()) else { return Vec::new() };
        let Some(spec) = &pod.spec else { return Vec::new() };
        let Some(node) = spec.node_name.as_ref().and_then(|n| world.nodes.get("", n)) else { return Vec::new() };
        let taints: Vec<Taint> = node.spec.iter().flat_map(|s| s.taints.iter().flatten()).filter(|t| executes(t)).cloned().collect();
        let mut seen = self.seen.lock();
        seen.retain(|(n, key), _| n != name(&node.metadata) || taints.iter().any(|t| t.key == *key));
        let mut leaves: Option<Timestamp> = None;
        for taint in &taints {
            let since = taint.time_added.as_ref().map(|t| t.0);
            let since = since.unwrap_or_else(|| *seen.entry((name(&node.metadata).to_owned(), taint.key.clone())).or_insert(turn.now));
            let mut tolerations = spec.tolerations.iter().flatten().filter(|t| tolerates(t, taint)).peekable();
            if tolerations.peek().is_none() {
                leaves = Some(turn.now);
                break;
            }
            // Of several tolerations for a time the shortest counts; one without end alone lets the Pod stay.
            if let Some(seconds) = tolerations.filter_map(|t| t.toleration_seconds).min() {
                let at = since.checked_add(Duration::from_secs(u64::try_from(seconds).unwrap_or_default())).unwrap_or(Timestamp::MAX);
                leaves = Some(leaves.map_or(at, |l| l.min(at)));
            }
        }
        match leaves {
            None => Vec::new(),
            Some(at) if at > turn.now => vec![Action::RequeueAfter(Duration::try_from(at.duration_since(turn.now)).unwrap_or_default())],
            Some(_) => evict(&pod, turn.now),
        }
    }
}

fn executes(taint: &Taint) -> bool {
    taint.effect == "NoExecute"
}

fn evict(pod: &Pod, now: Timestamp) -> Vec<Action> {
    let mut conditions = pod.status.as_ref().and_then(|s| s.conditions.clone()).unwrap_or_default();
    conditions.retain(|c| c.type_ != "DisruptionTarget");
    conditions.push(PodCondition {
        type_: "DisruptionTarget".to_owned(),
        status: "True".to_owned(),
        reason: Some("DeletionByTaintManager".to_owned()),
        message: Some("Taint manager: deleting due to NoExecute taint".to_owned()),
        last_transition_time: Some(Time(now)),
        ..PodCondition::default()
    });
    let patch = json!({"status": {"conditions": conditions}});
    vec![
        Action::Record(Note::normal(pod, "TaintManagerEviction", format!("Marking for deletion Pod {}", Key::of(&pod.metadata)))),
        Action::Patch { target: Target::exactly(pod), subresource: Some("status"), patch, announce: None },
        Action::Barrier,
        Action::delete(pod),
    ]
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::testing::check;

    fn world(tolerations: &str) -> String {
        format!(
            "
apiVersion: v1
kind: Node
metadata: {{name: a}}
spec: {{taints: [{{key: node.kubernetes.io/unreachable, effect: NoExecute, timeAdded: '2026-01-01T11:55:00Z'}}]}}
---
apiVersion: v1
kind: Pod
metadata: {{name: p}}
spec: {{nodeName: a, containers: [], tolerations: {tolerations}}}
"
        )
    }

    #[test]
    fn pods_leave_in_their_time() {
        let unreachable = |seconds: &str| world(&format!("[{{key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute{seconds}}}]"));
        check(
            &TaintEviction::default(),
            &unreachable(", tolerationSeconds: 310"),
            "default/p",
            &[],
            expect![[r#"
            again in 10s
        "#]],
        );
        check(&TaintEviction::default(), &unreachable(""), "default/p", &[], expect![[""]]);
        check(&TaintEviction::default(), &world("[{operator: Exists}]"), "default/p", &[], expect![[""]]);
        let gone = || {
            expect![[r#"
            event p Normal TaintManagerEviction: Marking for deletion Pod default/p
            patch Pod p status: {"status":{"conditions":[{"lastTransitionTime":"2026-01-01T12:00:00Z","message":"Taint manager: deleting due to NoExecute taint","reason":"DeletionByTaintManager","status":"True","type":"DisruptionTarget"}]}}
            barrier
            delete Pod p
        "#]]
        };
        check(&TaintEviction::default(), &unreachable(", tolerationSeconds: 300"), "default/p", &[], gone());
        check(&TaintEviction::default(), &world("[]"), "default/p", &[], gone());
    }
}
