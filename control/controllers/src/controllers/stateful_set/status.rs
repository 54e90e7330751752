//! What a StatefulSet's status says.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetStatus};
use k8s_openapi::api::core::v1::Pod;

use super::{Observed, is_running_and_ready, revision_of};
use crate::action::Action;
use crate::pods::{available_in, is_terminating, ready_since};
use crate::resource::{name, uid};

/// The name of the new ControllerRevision is taken: the hash is salted anew.
pub(super) fn collision(set: &StatefulSet) -> Action {
    let mut written = set.clone();
    let count = &mut written.status.get_or_insert_default().collision_count;
    *count = Some(count.unwrap_or_default() + 1);
    Action::set_status(&written)
}

pub(super) fn write(observed: &Observed<'_>, deleted: &[Arc<Pod>], actions: &mut Vec<Action>) {
    let set = observed.set;
    let (mut replicas, mut ready, mut available, mut current, mut updated) = (0, 0, 0, 0, 0);
    let mut again = None;
    for pod in observed.replicas.iter().flatten().chain(&observed.condemned) {
        replicas += 1;
        if is_running_and_ready(pod) {
            ready += 1;
            let wait = available_in(ready_since(pod).flatten(), set.spec.min_ready_seconds.unwrap_or_default(), observed.now);
            available += i32::from(wait.is_zero());
            again = again.into_iter().chain((!wait.is_zero()).then_some(wait)).min();
        }
        let stays = !is_terminating(pod) && !deleted.iter().any(|d| uid(&d.metadata) == uid(&pod.metadata));
        current += i32::from(stays && revision_of(pod) == name(&observed.current.metadata));
        updated += i32::from(stays && revision_of(pod) == name(&observed.update.metadata));
    }
    let old = set.status.clone().unwrap_or_default();
    let some = |n: i32| (n > 0).then_some(n);
    let mut new = StatefulSetStatus {
        observed_generation: set.metadata.generation,
        replicas,
        ready_replicas: some(ready),
        available_replicas: Some(available),
        current_replicas: some(current),
        updated_replicas: some(updated),
        current_revision: observed.current.metadata.name.clone(),
        update_revision: observed.update.metadata.name.clone(),
        collision_count: Some(old.collision_count.unwrap_or_default()),
        conditions: old.conditions.clone(),
    };
    let rolls = set.spec.update_strategy.as_ref().and_then(|s| s.type_.as_deref()) != Some("OnDelete");
    let wanted = set.spec.replicas.unwrap_or(1);
    if rolls && [updated, ready, replicas].iter().all(|n| *n == wanted) {
        new.current_replicas = some(updated);
        new.current_revision.clone_from(&new.update_revision);
    }
    let zero = |n: Option<i32>| n.filter(|n| *n != 0);
    let normal = StatefulSetStatus {
        ready_replicas: zero(old.ready_replicas),
        current_replicas: zero(old.current_replicas),
        updated_replicas: zero(old.updated_replicas),
        ..old
    };
    if new != normal {
        let mut written = set.clone();
        written.status = Some(new);
        actions.push(Action::set_status(&written));
    }
    actions.extend(again.map(Action::RequeueAfter));
}
