//! What a DaemonSet's status says.

use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetStatus};

use super::Observed;
use crate::action::Action;
use crate::pods::{available_in, ready_since};
use crate::resource::name;

/// The name of the new ControllerRevision is taken: the hash is salted anew.
pub(super) fn collision(set: &DaemonSet) -> Action {
    let mut written = set.clone();
    let count = &mut written.status.get_or_insert_default().collision_count;
    *count = Some(count.unwrap_or_default() + 1);
    Action::set_status(&written)
}

pub(super) fn write(observed: &Observed<'_>, actions: &mut Vec<Action>) {
    let set = observed.set;
    let old = set.status.clone().unwrap_or_default();
    let (mut desired, mut current, mut misplaced, mut ready, mut available, mut updated) = (0, 0, 0, 0, 0, 0);
    let mut again = None;
    for node in &observed.nodes {
        let pods = observed.on(name(&node.node.metadata));
        if !node.should_run {
            misplaced += i32::from(!pods.is_empty());
            continue;
        }
        desired += 1;
        let Some(pod) = pods.first() else { continue };
        current += 1;
        updated += i32::from(observed.is_current(pod));
        let Some(since) = ready_since(pod) else { continue };
        ready += 1;
        let wait = available_in(since, set.spec.min_ready_seconds.unwrap_or_default(), observed.now);
        available += i32::from(wait.is_zero());
        again = again.into_iter().chain((!wait.is_zero()).then_some(wait)).min();
    }
    let some = |n: i32| (n > 0).then_some(n);
    let new = DaemonSetStatus {
        observed_generation: set.metadata.generation,
        desired_number_scheduled: desired,
        current_number_scheduled: current,
        number_misscheduled: misplaced,
        number_ready: ready,
        number_available: some(available),
        number_unavailable: some(desired - available),
        updated_number_scheduled: some(updated),
        collision_count: old.collision_count,
        conditions: old.conditions.clone(),
    };
    let zero = |n: Option<i32>| n.filter(|n| *n != 0);
    let normal = DaemonSetStatus {
        number_available: zero(old.number_available),
        number_unavailable: zero(old.number_unavailable),
        updated_number_scheduled: zero(old.updated_number_scheduled),
        ..old
    };
    if new != normal {
        let mut written = set.clone();
        written.status = Some(new);
        actions.push(Action::set_status(&written));
    }
    actions.extend(again.map(Action::RequeueAfter));
}
