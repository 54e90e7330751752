//! StatefulSet controller: Pods with names of their own, made in order and deleted in reverse, and the claims that go with them.

mod claims;
mod identity;
mod status;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use k8s_openapi::jiff::Timestamp;

use crate::action::{Action, Announce, Note};
use crate::controllers::Controller;
use crate::history::{self, HASH_LABEL, History, Owner};
use crate::kinds::{matches, selects_everything};
use crate::pods::{announce, claim, has_ended, is_available, is_terminating, phase, ready_since, release, scaled};
use crate::queue::Queue;
use crate::resource::{Key, Target, controller_of, name, namespace, uid};
use crate::world::{Turn, World};

/// At most so many Pods are created or deleted in one plan.
const BURST: usize = 500;

/// The controller `statefulset-controller`.
pub struct StatefulSets;

impl Controller for StatefulSets {
    fn name(&self) -> &'static str {
        "statefulset-controller"
    }

    fn account(&self) -> &'static str {
        "statefulset-controller"
    }

    fn triggers(&self, world: &World, queue: &Arc<Queue>) {
        world.stateful_sets.own_key(queue);
        world.pods.owner_key(queue, "StatefulSet");
        world.controller_revisions.owner_key(queue, "StatefulSet");
        world.pods.on_change(queue, |world, change, add| {
            let Some(pod) = change.new.as_ref().filter(|p| controller_of(&p.metadata).is_none()) else { return };
            let Some((set, _)) = identity::of(name(&pod.metadata)) else { return };
            if world.stateful_sets.get(namespace(&pod.metadata), set).is_some_and(|s| matches(&s.spec.selector, pod.metadata.labels.as_ref())) {
                add(Key::new(namespace(&pod.metadata), set));
            }
        });
        world.persistent_volume_claims.on_change(queue, |world, change, add| {
            for set in world.stateful_sets.in_namespace(namespace(&change.latest().metadata)) {
                if claims::may_be_of(&set, name(&change.latest().metadata)) {
                    add(Key::of(&set.metadata));
                }
            }
        });
    }

    fn plan(&self, turn: &Turn<'_>) -> Vec<Action> {
        let Some(set) = turn.world.stateful_sets.get(&turn.key.namespace, &turn.key.name) else { return Vec::new() };
        if selects_everything(&set.spec.selector) {
            return vec![Action::Record(Note::warning(&*set, "SelectingAll", "This stateful set is selecting all pods. A non-empty selector is required."))];
        }
        let mut actions = Vec::new();
        let pods = members(&set, turn.world, &mut actions);
        let collisions = set.status.as_ref().and_then(|s| s.collision_count);
        let template = &set.spec.template;
        let owner = Owner { object: &*set, selector: &set.spec.selector, template, collisions, hash_label: "controller.kubernetes.io/hash" };
        let Some(history) = History::sync(&owner, turn.world, &mut actions) else {
            actions.push(status::collision(&set));
            return actions;
        };
        let observed = Observed::new(&set, &history, &pods, turn);
        let mut work = Work::default();
        if set.metadata.deletion_timestamp.is_none() {
            observed.manage(&mut work);
        }
        let deleted = work.perform(&set, &mut actions);
        let mut in_use: BTreeSet<String> = pods.iter().map(|p| revision_of(p).to_owned()).collect();
        in_use.insert(name(&observed.current.metadata).to_owned());
        history.clean_up(set.spec.revision_history_limit, &in_use, &mut actions);
        status::write(&observed, &deleted, &mut actions);
        actions
    }
}

/// The Pods that are the set's by owner, selector and name; those that no longer are, are let go.
fn members(set: &StatefulSet, world: &World, actions: &mut Vec<Action>) -> Vec<Arc<Pod>> {
    let is_member = |pod: &Arc<Pod>| identity::of(name(&pod.metadata)).is_some_and(|(of, _)| of == name(&set.metadata));
    let (owned, strangers): (Vec<_>, Vec<_>) = world.pods.controlled_by(uid(&set.metadata)).into_iter().partition(is_member);
    if set.metadata.deletion_timestamp.is_none() {
        actions.extend(strangers.iter().map(|p| release(Target::of(&**p), &p.metadata, uid(&set.metadata))));
    }
    let mut orphans = world.pods.orphans(namespace(&set.metadata));
    orphans.retain(is_member);
    claim(set, &set.spec.selector, &owned, &orphans, actions)
}

/// The name of the revision that a Pod was made from.
fn revision_of(pod: &Pod) -> &str {
    pod.metadata.labels.as_ref().and_then(|l| l.get(HASH_LABEL)).map_or("", String::as_str)
}

/// A set, its revisions and its Pods.
struct Observed<'a> {
    set: &'a StatefulSet,
    world: &'a World,
    now: Timestamp,
    /// The revision that Pods below the partition have.
    current: Arc<ControllerRevision>,
    /// The revision of the template as it is.
    update: Arc<ControllerRevision>,
    /// The first ordinal.
    start: i32,
    /// A place for each ordinal of the range.
    replicas: Vec<Option<Arc<Pod>>>,
    /// Pods out of the range, the highest ordinal first.
    condemned: Vec<Arc<Pod>>,
}

/// What a plan does.
#[derive(Default)]
struct Work {
    /// Steps that have to succeed before Pods are made: the claims' own.
    claims: Vec<Action>,
    create: Vec<Pod>,
    delete: Vec<Arc<Pod>>,
    relabel: Vec<Action>,
    notes: Vec<Note>,
}

impl<'a> Observed<'a> {
    fn new(set: &'a StatefulSet, history: &History, pods: &[Arc<Pod>], turn: &Turn<'a>) -> Observed<'a> {
        let named = set.status.as_ref().and_then(|s| s.current_revision.as_deref()).unwrap_or_default();
        let current = history.old.iter().find(|r| name(&r.metadata) == named).unwrap_or(&history.current);
        let start = set.spec.ordinals.as_ref().and_then(|o| o.start).unwrap_or(0);
        let count = usize::try_from(set.spec.replicas.unwrap_or(1)).unwrap_or_default();
        let (mut replicas, mut condemned) = (vec![None; count], Vec::new());
        for pod in pods {
            let Some((_, ordinal)) = identity::of(name(&pod.metadata)) else { continue };
            match usize::try_from(ordinal - start).ok().and_then(|at| replicas.get_mut(at)) {
                Some(place) => *place = Some(pod.clone()),
                None => condemned.push((ordinal, pod.clone())),
            }
        }
        condemned.sort_by_key(|(ordinal, _)| std::cmp::Reverse(*ordinal));
        let condemned = condemned.into_iter().map(|(_, pod)| pod).collect();
        Observed { set, world: turn.world, now: turn.now, current: current.clone(), update: history.current.clone(), start, replicas, condemned }
    }

    /// Whether each step waits for the one before it.
    fn ordered(&self) -> bool {
        self.set.spec.pod_management_policy.as_deref() != Some("Parallel")
    }

    fn is_available(&self, pod: &Pod) -> bool {
        is_running_and_ready(pod) && is_available(pod, self.set.spec.min_ready_seconds.unwrap_or_default(), self.now)
    }

    fn is_unavailable(&self, pod: &Pod) -> bool {
        is_terminating(pod) || !self.is_available(pod)
    }

    fn ordinal(&self, at: usize) -> i32 {
        self.start.saturating_add(i32::try_from(at).unwrap_or(i32::MAX))
    }

    fn partition(&self) -> usize {
        let rolling = self.set.spec.update_strategy.as_ref().and_then(|s| s.rolling_update.as_ref());
        usize::try_from(rolling.and_then(|r| r.partition).unwrap_or(0)).unwrap_or_default()
    }

    fn manage(&self, work: &mut Work) {
        if self.fill(work) && self.shrink(work) {
            self.update(work);
        }
    }

    /// Makes the Pods that are missing; whether all that come before the next step is as it shall be.
    fn fill(&self, work: &mut Work) -> bool {
        let mut all = true;
        for (at, place) in self.replicas.iter().enumerate() {
            let Some(pod) = place else {
                all &= self.make(at, work);
                if self.ordered() {
                    return false;
                }
                continue;
            };
            if has_ended(pod) {
                if !is_terminating(pod) {
                    work.delete.push(pod.clone());
                }
                if self.ordered() {
                    return false;
                }
                continue;
            }
            if phase(pod) == "Pending" {
                claims::create_missing(self, self.ordinal(at), work);
            }
            if self.ordered() && self.is_unavailable(pod) {
                return false;
            }
            work.relabel.extend(identity::relabel(self.set, pod, self.ordinal(at)));
            claims::own(self, pod, false, work);
        }
        all
    }

    /// Makes the Pod of an ordinal; whether it can be made.
    fn make(&self, at: usize, work: &mut Work) -> bool {
        let ordinal = self.ordinal(at);
        if claims::are_stale(self, ordinal) {
            return false;
        }
        if let Some(ending) = claims::create_missing(self, ordinal, work) {
            let message = format!("create Pod {0}-{ordinal} in StatefulSet {0} failed error: pvc {ending} is being deleted", name(&self.set.metadata));
            work.notes.push(Note::warning(self.set, "FailedCreate", message));
            return false;
        }
        let rolls = self.set.spec.update_strategy.as_ref().and_then(|s| s.type_.as_deref()) != Some("OnDelete");
        let revision = if rolls && at < self.partition() { &self.current } else { &self.update };
        let template = self.template(revision);
        work.create.push(identity::pod(self.set, &template, name(&revision.metadata), ordinal));
        true
    }

    fn template(&self, revision: &Arc<ControllerRevision>) -> PodTemplateSpec {
        if Arc::ptr_eq(revision, &self.update) {
            return self.set.spec.template.clone();
        }
        history::template_of(revision).unwrap_or_else(|| self.set.spec.template.clone())
    }

    /// Deletes Pods out of the range; whether none is left to wait for.
    fn shrink(&self, work: &mut Work) -> bool {
        self.condemned.iter().for_each(|pod| claims::own(self, pod, true, work));
        let first_unavailable = self.condemned.iter().rev().find(|p| self.is_unavailable(p));
        for pod in &self.condemned {
            if self.ordered() {
                let is_first = first_unavailable.is_some_and(|first| first.metadata.uid == pod.metadata.uid);
                if !is_terminating(pod) && (self.is_available(pod) || is_first) {
                    work.delete.push(pod.clone());
                }
                return false;
            }
            if !is_terminating(pod) {
                work.delete.push(pod.clone());
            }
        }
        true
    }

    /// Deletes Pods of another revision, the highest ordinal first; those that serve nobody cost nothing.
    fn update(&self, work: &mut Work) {
        let strategy = self.set.spec.update_strategy.as_ref();
        if strategy.and_then(|s| s.type_.as_deref()) == Some("OnDelete") {
            return;
        }
        let wanted = i32::try_from(self.replicas.len()).unwrap_or(i32::MAX);
        let most = strategy.and_then(|s| s.rolling_update.as_ref()?.max_unavailable.as_ref()).map_or(1, |m: &IntOrString| scaled(m, wanted, false).max(1));
        let unavailable = self.replicas.iter().filter(|place| place.as_ref().is_none_or(|p| self.is_unavailable(p))).count();
        let mut spare = usize::try_from(most).unwrap_or(1).saturating_sub(unavailable);
        for pod in self.replicas.iter().skip(self.partition()).rev().flatten() {
            if is_terminating(pod) || revision_of(pod) == name(&self.update.metadata) || has_ended(pod) {
                continue;
            }
            if !self.is_unavailable(pod) {
                if spare == 0 {
                    return;
                }
                spare -= 1;
            }
            work.delete.push(pod.clone());
        }
    }
}

fn is_running_and_ready(pod: &Pod) -> bool {
    phase(pod) == "Running" && ready_since(pod).is_some()
}

impl Work {
    /// Adds the steps; gives the Pods that are deleted.
    fn perform(self, set: &StatefulSet, actions: &mut Vec<Action>) -> Vec<Arc<Pod>> {
        if !self.claims.is_empty() {
            actions.extend(self.claims);
            actions.push(Action::Barrier);
        }
        let deleted: Vec<_> = self.delete.into_iter().take(BURST).collect();
        actions.extend(self.create.iter().take(BURST).map(|p| Action::create(p).announced(told(set, "create"))));
        actions.extend(deleted.iter().map(|p| Action::delete(&**p).announced(told(set, "delete"))));
        actions.extend(self.relabel);
        actions.extend(self.notes.into_iter().map(Action::Record));
        deleted
    }
}

/// The Events for what is done to a Pod.
fn told(set: &StatefulSet, verb: &str) -> Announce {
    let (done, failed) = match verb {
        "create" => ("SuccessfulCreate", "FailedCreate"),
        "delete" => ("SuccessfulDelete", "FailedDelete"),
        _ => ("SuccessfulUpdate", "FailedUpdate"),
    };
    let of = format!("{verb} Pod {{name}} in StatefulSet {}", name(&set.metadata));
    announce(set, (done, &format!("{of} successful")), (failed, &format!("{of} failed error: {{error}}")))
}
