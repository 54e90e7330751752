//! How the sizes of a Deployment's ReplicaSets move: rolling, recreating, resizing.

use k8s_openapi::api::apps::v1::Deployment;

use super::sets::{Set, Sets};
use super::{bounds, recreates, replicas, status};
use crate::action::Action;
use crate::world::Turn;

/// RollingUpdate: first up, then down, within the bounds.
pub(super) fn roll(deployment: &Deployment, sets: &mut Sets<'_>, turn: &Turn<'_>, actions: &mut Vec<Action>) {
    if status::collision(deployment, sets, turn, actions) {
        return;
    }
    sets.sync_new(true, actions);
    if sets.new.is_some() && !grow_new(deployment, sets) && !shrink_old(deployment, sets) && status::complete(deployment, deployment.status.as_ref()) {
        sets.clean_up(actions);
    }
    sets.finish(actions);
    status::rollout(deployment, sets, turn, actions);
}

/// Recreate: all old Pods end before the first new one is made.
pub(super) fn recreate(deployment: &Deployment, sets: &mut Sets<'_>, turn: &Turn<'_>, actions: &mut Vec<Action>) {
    let old: Vec<String> = sets.old.iter().filter(|s| s.replicas() > 0).map(|s| s.name().to_owned()).collect();
    old.iter().for_each(|set| sets.scale(set, 0));
    if old.is_empty() && !sets.old_pods_run(turn.world) {
        if status::collision(deployment, sets, turn, actions) {
            return;
        }
        sets.sync_new(true, actions);
        if let Some(new) = &sets.new {
            let name = new.name().to_owned();
            if new.replicas() != replicas(deployment) {
                sets.scale(&name, replicas(deployment));
            } else if status::complete(deployment, deployment.status.as_ref()) {
                sets.clean_up(actions);
            }
        }
    } else {
        sets.sync_new(false, actions);
    }
    sets.finish(actions);
    status::rollout(deployment, sets, turn, actions);
}

/// Scaling, also while paused: in proportion, so that a rollout that is under way keeps its shape.
pub(super) fn resize(deployment: &Deployment, sets: &mut Sets<'_>, turn: &Turn<'_>, actions: &mut Vec<Action>) {
    sets.sync_new(false, actions);
    spread(deployment, sets);
    if deployment.spec.paused == Some(true) {
        sets.clean_up(actions);
    }
    sets.finish(actions);
    status::only(deployment, sets, turn, actions);
}

/// Whether the newest set changed its size.
fn grow_new(deployment: &Deployment, sets: &mut Sets<'_>) -> bool {
    let Some(new) = &sets.new else { return false };
    let (name, is, wanted) = (new.name().to_owned(), new.replicas(), replicas(deployment));
    let to = if is > wanted { wanted } else { sets.new_size() };
    if to != is {
        sets.scale(&name, to);
    }
    to != is
}

/// Whether old sets changed their sizes: first Pods that serve nobody go, then as many as availability allows.
fn shrink_old(deployment: &Deployment, sets: &mut Sets<'_>) -> bool {
    let Some(new) = &sets.new else { return false };
    if sets.old_total() == 0 {
        return false;
    }
    let least = replicas(deployment) - bounds(deployment).1;
    let new_unavailable = new.replicas() - new.available();
    let mut unhealthy = sets.total() - least - new_unavailable;
    if unhealthy <= 0 {
        return false;
    }
    let before = sets.old_total();
    let mut sizes: Vec<(String, i32, i32)> = sets.old.iter().map(|s| (s.name().to_owned(), s.replicas(), s.available())).collect();
    for (_, size, available) in &mut sizes {
        let gone = (*size - *available).clamp(0, unhealthy);
        *size -= gone;
        unhealthy -= gone;
    }
    let mut spare = sets.available() - least;
    for (_, size, _) in &mut sizes {
        let gone = (*size).clamp(0, spare.max(0));
        *size -= gone;
        spare -= gone;
    }
    for (name, size, _) in sizes {
        if sets.old.iter().any(|s| s.name() == name && s.replicas() != size) {
            sets.scale(&name, size);
        }
    }
    sets.old_total() != before
}

fn spread(deployment: &Deployment, sets: &mut Sets<'_>) {
    let (wanted, surge) = (replicas(deployment), bounds(deployment).0);
    let mut active: Vec<&Set> = sets.all().filter(|s| s.replicas() > 0).collect();
    match active[..] {
        [] => {
            let latest = sets.new.as_ref().or_else(|| sets.old.last()).map(|s| s.name().to_owned());
            return latest.iter().for_each(|set| sets.scale(set, wanted));
        }
        [only] => {
            let only = only.name().to_owned();
            return sets.scale(&only, wanted);
        }
        _ => {}
    }
    let saturated = |s: &Set| s.replicas() == wanted && s.desired_replicas() == Some(wanted) && s.available() == wanted;
    if sets.new.as_ref().is_some_and(saturated) {
        let old: Vec<String> = sets.old.iter().filter(|s| s.replicas() > 0).map(|s| s.name().to_owned()).collect();
        return old.iter().for_each(|set| sets.scale(set, 0));
    }
    if recreates(deployment) {
        return;
    }
    let to_add = if wanted > 0 { wanted + surge } else { 0 } - active.iter().map(|s| s.replicas()).sum::<i32>();
    // The largest first; of equals the newest when growing, the oldest when shrinking.
    let created = |s: &Set| s.is.metadata.creation_timestamp.as_ref().map(|t| t.0);
    active.sort_by(|a, b| {
        let age = if to_add > 0 { created(b).cmp(&created(a)) } else { created(a).cmp(&created(b)) };
        b.replicas().cmp(&a.replicas()).then(age)
    });
    let was = deployment.status.as_ref().and_then(|s| s.replicas).unwrap_or_default();
    let mut added = 0;
    let mut sizes: Vec<(String, i32)> = Vec::new();
    for set in active {
        let share = if to_add == added {
            0
        } else {
            let share = share(set, wanted, wanted + surge, was);
            if to_add > 0 { share.min(to_add - added) } else { share.max(to_add - added) }
        };
        added += share;
        sizes.push((set.name().to_owned(), set.replicas() + share));
    }
    if let Some((_, largest)) = sizes.first_mut() {
        *largest = (*largest + to_add - added).max(0);
    }
    for (name, size) in sizes {
        sets.scale(&name, size);
    }
}

/// How much a set grows when the whole grows from what it was to `largest`.
fn share(set: &Set, wanted: i32, largest: i32, was: i32) -> i32 {
    if wanted == 0 {
        return -set.replicas();
    }
    let before = set.max_replicas().unwrap_or(was);
    if before <= 0 {
        return 0;
    }
    #[expect(clippy::cast_possible_truncation, reason = "the quotient of numbers of replicas, rounded")]
    let size = (f64::from(set.replicas()) * f64::from(largest) / f64::from(before)).round() as i32;
    size - set.replicas()
}
