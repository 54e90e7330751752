//! ReplicaSet controller: keeps as many Pods as wanted, adopting those that match and letting go of those that do not.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, Time};
use k8s_openapi::jiff::Timestamp;

use crate::action::Action;
use crate::controllers::Controller;
use crate::kinds::{Labels, matches, selects_everything};
use crate::pods::{available_in, claim, created, deleted, is_active, node_of, phase, pod_of, ready_since};
use crate::queue::Queue;
use crate::resource::{Key, Typed, controller_of, namespace, uid};
use crate::world::{Turn, World};

/// At most so many Pods are created or deleted in one plan.
const BURST: usize = 500;

/// The controller `replicaset-controller`.
pub struct ReplicaSets;

impl Controller for ReplicaSets {
    fn name(&self) -> &'static str {
        "replicaset-controller"
    }

    fn account(&self) -> &'static str {
        "replicaset-controller"
    }

    fn triggers(&self, world: &World, queue: &Arc<Queue>) {
        world.replica_sets.own_key(queue);
        world.pods.owner_key(queue, "ReplicaSet");
        world.pods.on_change(queue, |world, change, add| {
            let pod = change.latest();
            if change.new.is_some() && controller_of(&pod.metadata).is_none() {
                for set in world.replica_sets.in_namespace(namespace(&pod.metadata)) {
                    if selector(&set).is_some_and(|s| matches(s, pod.metadata.labels.as_ref())) {
                        add(Key::of(&set.metadata));
                    }
                }
            }
        });
    }

    fn plan(&self, turn: &Turn<'_>) -> Vec<Action> {
        let Some(set) = turn.world.replica_sets.get(&turn.key.namespace, &turn.key.name) else { return Vec::new() };
        let Some(selector) = selector(&set) else { return Vec::new() };
        let siblings = controller_of(&set.metadata).map(|owner| turn.world.replica_sets.controlled_by(&owner.uid)).unwrap_or_default();
        let keeper = Keeper {
            owner: &*set,
            selector,
            replicas: set.spec.replicas,
            template: set.spec.template.as_ref(),
            min_ready_seconds: set.spec.min_ready_seconds.unwrap_or_default(),
            conditions: set.status.as_ref().and_then(|s| s.conditions.clone()).unwrap_or_default(),
            siblings: siblings.iter().map(|s| uid(&s.metadata).to_owned()).collect(),
        };
        keeper.plan(turn, |status| {
            let mut written = (*set).clone();
            let differs = status != normal(&written.status.take().unwrap_or_default());
            written.status = Some(status);
            differs.then(|| Action::set_status(&written))
        })
    }
}

fn selector(set: &ReplicaSet) -> Option<&LabelSelector> {
    Some(&set.spec.selector).filter(|s| !selects_everything(s))
}

/// What keeps so many Pods: a ReplicaSet, or a ReplicationController, which says the same in older words.
pub(super) struct Keeper<'a, K> {
    pub(super) owner: &'a K,
    pub(super) selector: &'a LabelSelector,
    pub(super) replicas: Option<i32>,
    pub(super) template: Option<&'a PodTemplateSpec>,
    pub(super) min_ready_seconds: i32,
    pub(super) conditions: Vec<ReplicaSetCondition>,
    /// The uids of those whose Pods count as doubled up with its own: all ReplicaSets of one Deployment.
    pub(super) siblings: Vec<String>,
}

impl<K: Typed> Keeper<'_, K> {
    /// The plan. `set_status` writes the status if it changes.
    pub(super) fn plan(&self, turn: &Turn<'_>, set_status: impl Fn(ReplicaSetStatus) -> Option<Action>) -> Vec<Action> {
        let mut actions = Vec::new();
        let meta = self.owner.metadata();
        let owned = turn.world.pods.controlled_by(uid(meta));
        let pods = claim(self.owner, self.selector, &owned, &turn.world.pods.orphans(namespace(meta)), &mut actions);
        let active: Vec<Arc<Pod>> = pods.iter().filter(|p| is_active(p)).cloned().collect();
        if meta.deletion_timestamp.is_none() {
            self.scale(&active, turn, &mut actions);
        }
        let (status, again) = self.observe(&pods, &active, turn);
        actions.extend(set_status(status));
        if let Some(after) = again {
            actions.push(Action::RequeueAfter(after.max(Duration::from_millis(1))));
        }
        actions
    }

    fn scale(&self, active: &[Arc<Pod>], turn: &Turn<'_>, actions: &mut Vec<Action>) {
        let wanted = usize::try_from(self.replicas.unwrap_or(1)).unwrap_or_default();
        if active.len() < wanted {
            let body = pod_of(self.owner, self.template);
            for _ in 0..(wanted - active.len()).min(BURST) {
                actions.push(Action::create(&body).announced(created(self.owner)));
            }
        } else if active.len() > wanted {
            let mut ranked = self.rank(active, turn);
            ranked.truncate((active.len() - wanted).min(BURST));
            for pod in ranked {
                actions.push(Action::delete(&*pod).announced(deleted(self.owner)));
            }
        }
    }

    /// The Pods, those that are deleted first in front: unassigned, pending, unready, of low deletion cost, doubled up on a
    /// node, ready or made recently, restarted often.
    fn rank(&self, active: &[Arc<Pod>], turn: &Turn<'_>) -> Vec<Arc<Pod>> {
        let mut on_node = std::collections::HashMap::<String, usize>::new();
        for sibling in self.siblings.iter().filter(|s| *s != uid(self.owner.metadata())) {
            for pod in turn.world.pods.controlled_by(sibling).iter().filter(|p| is_active(p)) {
                *on_node.entry(node_of(pod).to_owned()).or_default() += 1;
            }
        }
        for pod in active {
            *on_node.entry(node_of(pod).to_owned()).or_default() += 1;
        }
        let mut ranked = active.to_vec();
        ranked.sort_by_cached_key(|pod| {
            let phase = match phase(pod) {
                "Pending" | "" => 0,
                "Unknown" => 1,
                _ => 2,
            };
            let ready = ready_since(pod);
            let cost: i32 = pod
                .metadata
                .annotations
                .iter()
                .flatten()
                .find(|(k, _)| *k == "controller.kubernetes.io/pod-deletion-cost")
                .map_or(0, |(_, v)| v.parse().unwrap_or(0));
            let doubled = std::cmp::Reverse(on_node.get(node_of(pod)).copied().unwrap_or_default());
            // Times are compared in powers of two, so that a second more or less does not decide; the youngest goes first.
            let age = |since: Option<Timestamp>| since.map_or(0, |s| (turn.now.as_second() - s.as_second()).max(1).ilog2());
            let restarts: i32 = pod.status.iter().flat_map(|s| s.container_statuses.iter().flatten()).map(|c| c.restart_count).max().unwrap_or_default();
            let created = pod.metadata.creation_timestamp.as_ref().map(|t| t.0);
            (
                (!node_of(pod).is_empty(), phase, ready.is_some(), cost),
                (doubled, age(ready.flatten()), std::cmp::Reverse(restarts), age(created), uid(&pod.metadata).to_owned()),
            )
        });
        ranked
    }

    /// The status as it is, and when a Pod is available that is not yet.
    fn observe(&self, pods: &[Arc<Pod>], active: &[Arc<Pod>], turn: &Turn<'_>) -> (ReplicaSetStatus, Option<Duration>) {
        let labels: Labels = self.template.and_then(|t| t.metadata.as_ref()).and_then(|m| m.labels.clone()).unwrap_or_default();
        let (mut fully, mut ready, mut available) = (0, 0, 0);
        let mut again: Option<Duration> = None;
        for pod in active {
            fully += i32::from(crate::kinds::holds(pod.metadata.labels.as_ref(), &labels));
            let Some(since) = ready_since(pod) else { continue };
            ready += 1;
            match available_in(since, self.min_ready_seconds, turn.now) {
                Duration::ZERO => available += 1,
                wait => again = Some(again.map_or(wait, |a| a.min(wait))),
            }
        }
        let terminating = pods.iter().filter(|p| p.metadata.deletion_timestamp.is_some() && !matches!(phase(p), "Succeeded" | "Failed")).count();
        let status = ReplicaSetStatus {
            replicas: count(active.len()),
            fully_labeled_replicas: some(fully),
            ready_replicas: some(ready),
            available_replicas: some(available),
            terminating_replicas: Some(count(terminating)),
            observed_generation: self.owner.metadata().generation,
            conditions: conditions(self.conditions.clone(), turn),
        };
        (status, again)
    }
}

/// `ReplicaFailure` while the last plan failed to create or delete Pods.
fn conditions(mut conditions: Vec<ReplicaSetCondition>, turn: &Turn<'_>) -> Option<Vec<ReplicaSetCondition>> {
    let had = conditions.iter().position(|c| c.type_.as_deref() == Some("ReplicaFailure"));
    match turn.failure.filter(|f| !f.lost_race && matches!(f.verb, "create" | "delete")) {
        Some(failure) => {
            let reason = if failure.verb == "create" { "FailedCreate" } else { "FailedDelete" };
            let same = had.is_some_and(|at| conditions[at].reason.as_deref() == Some(reason) && conditions[at].status.as_deref() == Some("True"));
            if !same {
                had.map(|at| conditions.remove(at));
                conditions.push(ReplicaSetCondition {
                    type_: Some("ReplicaFailure".to_owned()),
                    status: Some("True".to_owned()),
                    reason: Some(reason.to_owned()),
                    message: Some(failure.message.clone()),
                    last_transition_time: Some(Time(turn.now)),
                });
            }
        }
        None => {
            had.map(|at| conditions.remove(at));
        }
    }
    (!conditions.is_empty()).then_some(conditions)
}

/// What is zero or empty is not written.
pub(super) fn normal(status: &ReplicaSetStatus) -> ReplicaSetStatus {
    ReplicaSetStatus {
        fully_labeled_replicas: status.fully_labeled_replicas.filter(|n| *n != 0),
        ready_replicas: status.ready_replicas.filter(|n| *n != 0),
        available_replicas: status.available_replicas.filter(|n| *n != 0),
        conditions: status.conditions.clone().filter(|c| !c.is_empty()),
        ..status.clone()
    }
}

fn count(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

fn some(n: i32) -> Option<i32> {
    (n != 0).then_some(n)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::testing::{check, plan_after, text, world};
    use crate::world::Failure;

    const SET: &str = "
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: web, generation: 3}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web, tier: front}, annotations: {a: b}}, spec: {containers: [{name: c, image: i}]}}
";
    const OWNED: &str = "ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web, uid: replicaset-web, controller: true}]";

    fn pod(name: &str, meta: &str, spec: &str, status: &str) -> String {
        format!("\n---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, {meta}}}\nspec: {{containers: [], {spec}}}\nstatus: {{{status}}}\n")
    }

    fn ready(since: &str) -> String {
        format!("phase: Running, conditions: [{{type: Ready, status: 'True', lastTransitionTime: '{since}'}}]")
    }

    #[test]
    fn pods_are_made_from_the_template() {
        check(
            &ReplicaSets,
            SET,
            "default/web",
            &["metadata", "spec", "status"],
            expect![[r#"
                create Pod 
                  metadata: {"annotations":{"a":"b"},"generateName":"web-","labels":{"app":"web","tier":"front"},"namespace":"default","ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"ReplicaSet","name":"web","uid":"replicaset-web"}]}
                  spec: {"containers":[{"image":"i","name":"c"}]}
                create Pod 
                  metadata: {"annotations":{"a":"b"},"generateName":"web-","labels":{"app":"web","tier":"front"},"namespace":"default","ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"ReplicaSet","name":"web","uid":"replicaset-web"}]}
                  spec: {"containers":[{"image":"i","name":"c"}]}
                update ReplicaSet web status
                  metadata: {"generation":3,"name":"web","namespace":"default","resourceVersion":"1","uid":"replicaset-web"}
                  spec: {"replicas":2,"selector":{"matchLabels":{"app":"web"}},"template":{"metadata":{"annotations":{"a":"b"},"labels":{"app":"web","tier":"front"}},"spec":{"containers":[{"image":"i","name":"c"}]}}}
                  status: {"observedGeneration":3,"replicas":0,"terminatingReplicas":0}
            "#]],
        );
    }

    #[test]
    fn orphans_are_adopted_and_strangers_let_go() {
        let yaml = format!(
            "{SET}{}{}{}",
            pod("orphan", "labels: {app: web}", "", "phase: Running"),
            pod("stranger", &format!("labels: {{app: other}}, {OWNED}"), "", "phase: Running"),
            pod("ended", "labels: {app: web}", "", "phase: Failed"),
        );
        check(
            &ReplicaSets,
            &yaml,
            "default/web",
            &["status"],
            expect![[r#"
                patch Pod stranger: {"metadata":{"ownerReferences":[]}}
                patch Pod orphan: {"metadata":{"ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"ReplicaSet","name":"web","uid":"replicaset-web"}]}}
                create Pod 
                update ReplicaSet web status
                  status: {"observedGeneration":3,"replicas":1,"terminatingReplicas":0}
            "#]],
        );
    }

    #[test]
    fn the_least_useful_go_first() {
        let owned = format!("labels: {{app: web}}, {OWNED}");
        let yaml = format!(
            "{}{}{}{}{}{}",
            SET.replace("replicas: 2", "replicas: 0"),
            pod("e-old", &owned, "nodeName: a", &ready("2026-01-01T00:00:00Z")),
            pod("d-young", &owned, "nodeName: a", &ready("2026-01-01T11:59:00Z")),
            pod("c-unready", &owned, "nodeName: a", "phase: Running"),
            pod("b-pending", &owned, "nodeName: a", "phase: Pending"),
            pod("a-unassigned", &owned, "", "phase: Pending"),
        );
        check(
            &ReplicaSets,
            &yaml,
            "default/web",
            &[],
            expect![[r#"
                delete Pod a-unassigned
                delete Pod b-pending
                delete Pod c-unready
                delete Pod d-young
                delete Pod e-old
                update ReplicaSet web status
            "#]],
        );
    }

    #[test]
    fn available_after_min_ready_seconds() {
        let owned = format!("labels: {{app: web, tier: front}}, {OWNED}");
        let yaml = format!(
            "{}{}{}",
            SET.replace("replicas: 2", "replicas: 2\n  minReadySeconds: 30"),
            pod("a", &owned, "nodeName: a", &ready("2026-01-01T11:59:00Z")),
            pod("b", &owned, "nodeName: a", &ready("2026-01-01T11:59:50Z")),
        );
        check(
            &ReplicaSets,
            &yaml,
            "default/web",
            &["status"],
            expect![[r#"
                update ReplicaSet web status
                  status: {"availableReplicas":1,"fullyLabeledReplicas":2,"observedGeneration":3,"readyReplicas":2,"replicas":2,"terminatingReplicas":0}
                again in 20s
            "#]],
        );
    }

    #[test]
    fn failures_are_a_condition() {
        let failure = Failure { verb: "create", message: "exceeded quota".to_owned(), lost_race: false };
        let actions = plan_after(&ReplicaSets, &world(SET), "default/web", Some(&failure));
        expect![[r#"
            create Pod 
            create Pod 
            update ReplicaSet web status
              status.conditions: [{"lastTransitionTime":"2026-01-01T12:00:00Z","message":"exceeded quota","reason":"FailedCreate","status":"True","type":"ReplicaFailure"}]
        "#]]
        .assert_eq(&text(&actions, &["status.conditions"]));
    }
}
