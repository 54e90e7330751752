//! What a Deployment's status says, which is what `kubectl rollout status` waits for.

use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::sets::{REVISION, Sets};
use super::{bounds, replicas};
use crate::action::Action;
use crate::resource::name;
use crate::world::Turn;

const AVAILABLE: &str = "Available";
const PROGRESSING: &str = "Progressing";
const REPLICA_FAILURE: &str = "ReplicaFailure";
const NEW_SET_AVAILABLE: &str = "NewReplicaSetAvailable";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";

/// Whether the rollout is done.
pub(super) fn complete(deployment: &Deployment, status: Option<&DeploymentStatus>) -> bool {
    let wanted = replicas(deployment);
    status.is_some_and(|s| {
        [s.updated_replicas, s.replicas, s.available_replicas].iter().all(|n| n.unwrap_or_default() == wanted)
            && s.observed_generation >= deployment.metadata.generation
    })
}

/// The status without a judgement of the progress.
pub(super) fn only(deployment: &Deployment, sets: &Sets<'_>, turn: &Turn<'_>, actions: &mut Vec<Action>) {
    let mut status = counted(deployment, sets, turn);
    paused(deployment, &mut status, turn);
    write(deployment, sets, status, actions);
}

/// The status, and how the rollout gets on.
pub(super) fn rollout(deployment: &Deployment, sets: &Sets<'_>, turn: &Turn<'_>, actions: &mut Vec<Action>) {
    let old = deployment.status.clone().unwrap_or_default();
    let mut status = counted(deployment, sets, turn);
    paused(deployment, &mut status, turn);
    if deadline(deployment).is_none() {
        remove(&mut status, PROGRESSING);
    } else {
        if let Some(created) = &sets.created {
            set(&mut status, PROGRESSING, "True", "NewReplicaSetCreated", format!("Created new replica set \"{}\"", created.name), turn);
        } else if let Some(new) = sets.new.as_ref().filter(|_| get(&status, PROGRESSING).is_none()) {
            set(&mut status, PROGRESSING, "True", "FoundNewReplicaSet", format!("Found new replica set \"{}\"", new.name()), turn);
        }
        progress(deployment, sets, &old, &mut status, turn);
    }
    let failure = sets.new.iter().chain(&sets.old).find_map(|s| {
        let conditions = s.is.status.as_ref()?.conditions.as_ref()?;
        conditions.iter().find(|c| c.type_.as_deref() == Some(REPLICA_FAILURE) && c.status.as_deref() == Some("True"))
    });
    match failure {
        Some(failure) => {
            set(&mut status, REPLICA_FAILURE, "True", failure.reason.as_deref().unwrap_or_default(), failure.message.clone().unwrap_or_default(), turn)
        }
        None => remove(&mut status, REPLICA_FAILURE),
    }
    if let Some(after) = stuck_in(deployment, &status, turn) {
        actions.push(Action::RequeueAfter(after));
    }
    write(deployment, sets, status, actions);
}

/// Whether the name of the new ReplicaSet is taken by another; then the hash is salted anew.
pub(super) fn collision(deployment: &Deployment, sets: &Sets<'_>, turn: &Turn<'_>, actions: &mut Vec<Action>) -> bool {
    let collides = sets.collides(turn.world);
    if collides {
        let mut written = deployment.clone();
        let count = &mut written.status.get_or_insert_default().collision_count;
        *count = Some(count.unwrap_or_default() + 1);
        actions.push(Action::set_status(&written));
    }
    collides
}

fn counted(deployment: &Deployment, sets: &Sets<'_>, turn: &Turn<'_>) -> DeploymentStatus {
    let of = |f: fn(&k8s_openapi::api::apps::v1::ReplicaSetStatus) -> i32| sets.all().filter_map(|s| s.is.status.as_ref()).map(f).sum::<i32>();
    let available = of(|s| s.available_replicas.unwrap_or_default());
    let wanted_now: i32 = sets.all().map(|s| s.is.spec.replicas.unwrap_or(1)).sum();
    let some = |n: i32| (n > 0).then_some(n);
    let old = deployment.status.clone().unwrap_or_default();
    let mut status = DeploymentStatus {
        observed_generation: deployment.metadata.generation,
        replicas: some(of(|s| s.replicas)),
        updated_replicas: some(sets.new.as_ref().and_then(|s| s.is.status.as_ref()).map_or(0, |s| s.replicas)),
        ready_replicas: some(of(|s| s.ready_replicas.unwrap_or_default())),
        available_replicas: some(available),
        unavailable_replicas: some(wanted_now - available),
        terminating_replicas: Some(of(|s| s.terminating_replicas.unwrap_or_default())),
        collision_count: old.collision_count,
        conditions: old.conditions,
    };
    if available >= replicas(deployment) - bounds(deployment).1 {
        set(&mut status, AVAILABLE, "True", "MinimumReplicasAvailable", "Deployment has minimum availability.".to_owned(), turn);
    } else {
        set(&mut status, AVAILABLE, "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.".to_owned(), turn);
    }
    status
}

fn paused(deployment: &Deployment, status: &mut DeploymentStatus, turn: &Turn<'_>) {
    let reason = get(status, PROGRESSING).and_then(|c| c.reason.clone());
    if deadline(deployment).is_none() || reason.as_deref() == Some(TIMED_OUT) {
        return;
    }
    let was = reason.as_deref() == Some("DeploymentPaused");
    match (deployment.spec.paused == Some(true), was) {
        (true, false) => set(status, PROGRESSING, "Unknown", "DeploymentPaused", "Deployment is paused".to_owned(), turn),
        (false, true) => set(status, PROGRESSING, "Unknown", "DeploymentResumed", "Deployment is resumed".to_owned(), turn),
        _ => {}
    }
}

fn progress(deployment: &Deployment, sets: &Sets<'_>, old: &DeploymentStatus, status: &mut DeploymentStatus, turn: &Turn<'_>) {
    let current = get(status, PROGRESSING).cloned();
    let reason = current.as_ref().and_then(|c| c.reason.as_deref()).unwrap_or_default().to_owned();
    if status.replicas == status.updated_replicas && reason == NEW_SET_AVAILABLE {
        return; // what was once complete is not judged again until the template changes
    }
    let subject = match (&sets.new, &sets.created) {
        (Some(new), _) => format!("ReplicaSet \"{}\"", new.name()),
        (None, Some(created)) => format!("ReplicaSet \"{}\"", created.name),
        (None, None) => format!("Deployment \"{}\"", name(&deployment.metadata)),
    };
    let n = |n: Option<i32>| n.unwrap_or_default();
    if complete(deployment, Some(status)) {
        set(status, PROGRESSING, "True", NEW_SET_AVAILABLE, format!("{subject} has successfully progressed."), turn);
    } else if n(status.updated_replicas) > n(old.updated_replicas)
        || n(status.replicas) - n(status.updated_replicas) < n(old.replicas) - n(old.updated_replicas)
        || n(status.ready_replicas) > n(old.ready_replicas)
        || n(status.available_replicas) > n(old.available_replicas)
    {
        // Said anew each time, since the deadline counts from the last progress.
        let since = current.filter(|c| c.status.as_deref() == Some("True")).and_then(|c| c.last_transition_time);
        remove(status, PROGRESSING);
        set(status, PROGRESSING, "True", "ReplicaSetUpdated", format!("{subject} is progressing."), turn);
        if let (Some(since), Some(condition)) = (since, status.conditions.iter_mut().flatten().find(|c| c.type_.as_deref() == Some(PROGRESSING))) {
            condition.last_transition_time = Some(since);
        }
    } else if overdue(deployment, status, turn).is_some_and(|left| left.is_zero()) {
        set(status, PROGRESSING, "False", TIMED_OUT, format!("{subject} has timed out progressing."), turn);
    }
}

/// Seconds without progress after which a rollout has failed.
fn deadline(deployment: &Deployment) -> Option<i32> {
    deployment.spec.progress_deadline_seconds.filter(|s| *s != i32::MAX)
}

/// How long it is until the rollout has timed out, if it can.
fn overdue(deployment: &Deployment, status: &DeploymentStatus, turn: &Turn<'_>) -> Option<Duration> {
    let condition = get(status, PROGRESSING)?;
    match condition.reason.as_deref() {
        Some(NEW_SET_AVAILABLE) => None,
        Some(TIMED_OUT) => Some(Duration::ZERO),
        _ => {
            let since = condition.last_update_time.as_ref().or(condition.last_transition_time.as_ref())?.0;
            let passed = turn.now.as_second() - since.as_second();
            Some(Duration::from_secs(u64::try_from(i64::from(deadline(deployment)?) - passed).unwrap_or_default()))
        }
    }
}

/// When to look again at a rollout that may be stuck.
fn stuck_in(deployment: &Deployment, status: &DeploymentStatus, turn: &Turn<'_>) -> Option<Duration> {
    deadline(deployment)?;
    if complete(deployment, Some(status)) || get(status, PROGRESSING)?.reason.as_deref() == Some(TIMED_OUT) {
        return None;
    }
    overdue(deployment, status, turn).map(|left| left + Duration::from_secs(1))
}

fn write(deployment: &Deployment, sets: &Sets<'_>, status: DeploymentStatus, actions: &mut Vec<Action>) {
    let mut written = deployment.clone();
    written.status = Some(status);
    // The revision travels with the status, whose update may touch annotations.
    let revision = sets.new.as_ref().map(super::sets::Set::revision).or(sets.created.as_ref().map(|c| c.revision)).filter(|r| *r > 0);
    if let Some(revision) = revision {
        written.metadata.annotations.get_or_insert_default().insert(REVISION.to_owned(), revision.to_string());
    }
    let normal = |d: &Deployment| {
        let mut d = d.clone();
        let status = d.status.get_or_insert_default();
        let zero = |n: &mut Option<i32>| *n = n.filter(|n| *n != 0);
        zero(&mut status.replicas);
        zero(&mut status.updated_replicas);
        zero(&mut status.ready_replicas);
        zero(&mut status.available_replicas);
        zero(&mut status.unavailable_replicas);
        zero(&mut status.terminating_replicas);
        (d.metadata.annotations, d.status)
    };
    if normal(&written) != normal(deployment) {
        actions.push(Action::set_status(&written));
    }
}

fn get<'a>(status: &'a DeploymentStatus, type_: &str) -> Option<&'a DeploymentCondition> {
    status.conditions.iter().flatten().find(|c| c.type_.as_deref() == Some(type_))
}

fn remove(status: &mut DeploymentStatus, type_: &str) {
    if let Some(conditions) = &mut status.conditions {
        conditions.retain(|c| c.type_.as_deref() != Some(type_));
    }
}

fn set(status: &mut DeploymentStatus, type_: &str, value: &str, reason: &str, message: String, turn: &Turn<'_>) {
    let current = get(status, type_);
    let same_value = current.is_some_and(|c| c.status.as_deref() == Some(value));
    if same_value && current.is_some_and(|c| c.reason.as_deref() == Some(reason)) {
        return;
    }
    let since = current.filter(|_| same_value).and_then(|c| c.last_transition_time.clone()).unwrap_or(Time(turn.now));
    remove(status, type_);
    status.conditions.get_or_insert_default().push(DeploymentCondition {
        type_: Some(type_.to_owned()),
        status: Some(value.to_owned()),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_update_time: Some(Time(turn.now)),
        last_transition_time: Some(since),
    });
}
