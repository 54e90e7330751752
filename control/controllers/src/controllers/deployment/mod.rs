//! Deployment controller: keeps ReplicaSets so that the newest template runs, within maxSurge and maxUnavailable.

mod rollout;
mod sets;
mod status;
pub(crate) mod template;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::action::{Action, Note};
use crate::controllers::Controller;
use crate::kinds::{matches, selects_everything};
use crate::pods::scaled;
use crate::queue::Queue;
use crate::resource::{Key, controller_of, namespace};
use crate::world::{Turn, World};

/// The controller `deployment-controller`.
pub struct Deployments;

impl Controller for Deployments {
    fn name(&self) -> &'static str {
        "deployment-controller"
    }

    fn account(&self) -> &'static str {
        "deployment-controller"
    }

    fn triggers(&self, world: &World, queue: &Arc<Queue>) {
        world.deployments.own_key(queue);
        world.replica_sets.owner_key(queue, "Deployment");
        world.replica_sets.on_change(queue, |world, change, add| {
            let set = change.latest();
            if change.new.is_some() && controller_of(&set.metadata).is_none() {
                for deployment in world.deployments.in_namespace(namespace(&set.metadata)) {
                    if matches(&deployment.spec.selector, set.metadata.labels.as_ref()) {
                        add(Key::of(&deployment.metadata));
                    }
                }
            }
        });
        // Recreate waits for the last old Pod to end.
        world.pods.on_change(queue, |world, change, add| {
            let pod = change.latest();
            if change.new.as_ref().is_some_and(|p| !crate::pods::has_ended(p)) {
                return;
            }
            let Some(owner) = controller_of(&pod.metadata).filter(|o| o.kind == "ReplicaSet") else { return };
            let Some(set) = world.replica_sets.get(namespace(&pod.metadata), &owner.name) else { return };
            let Some(owner) = controller_of(&set.metadata).filter(|o| o.kind == "Deployment") else { return };
            if world.deployments.get(namespace(&set.metadata), &owner.name).is_some_and(|d| recreates(&d)) {
                add(Key::new(namespace(&set.metadata), owner.name.clone()));
            }
        });
    }

    fn plan(&self, turn: &Turn<'_>) -> Vec<Action> {
        let Some(deployment) = turn.world.deployments.get(&turn.key.namespace, &turn.key.name) else { return Vec::new() };
        if selects_everything(&deployment.spec.selector) {
            return selecting_all(&deployment);
        }
        let mut actions = Vec::new();
        let mut sets = sets::Sets::observe(&deployment, turn.world, &mut actions);
        if deployment.metadata.deletion_timestamp.is_some() {
            status::only(&deployment, &sets, turn, &mut actions);
        } else if deployment.spec.paused == Some(true) {
            rollout::resize(&deployment, &mut sets, turn, &mut actions);
        } else if recreates(&deployment) {
            rollout::recreate(&deployment, &mut sets, turn, &mut actions);
        } else if sets.resized() {
            rollout::resize(&deployment, &mut sets, turn, &mut actions);
        } else {
            rollout::roll(&deployment, &mut sets, turn, &mut actions);
        }
        actions
    }
}

fn selecting_all(deployment: &Deployment) -> Vec<Action> {
    let mut actions = Vec::new();
    if deployment.status.as_ref().and_then(|s| s.observed_generation) < deployment.metadata.generation {
        let mut written = deployment.clone();
        written.status.get_or_insert_default().observed_generation = deployment.metadata.generation;
        actions.push(Action::Record(Note::warning(deployment, "SelectingAll", "This deployment is selecting all pods. A non-empty selector is required.")));
        actions.push(Action::set_status(&written));
    }
    actions
}

pub(crate) fn replicas(deployment: &Deployment) -> i32 {
    deployment.spec.replicas.unwrap_or(1)
}

fn recreates(deployment: &Deployment) -> bool {
    deployment.spec.strategy.as_ref().and_then(|s| s.type_.as_deref()) == Some("Recreate")
}

/// How many Pods more, and how many available ones fewer, than wanted there may be.
pub(crate) fn bounds(deployment: &Deployment) -> (i32, i32) {
    if recreates(deployment) {
        return (0, 0);
    }
    let wanted = replicas(deployment);
    let rolling = deployment.spec.strategy.as_ref().and_then(|s| s.rolling_update.as_ref());
    let quarter = IntOrString::String("25%".to_owned());
    let surge = scaled(rolling.and_then(|r| r.max_surge.as_ref()).unwrap_or(&quarter), wanted, true);
    let unavailable = scaled(rolling.and_then(|r| r.max_unavailable.as_ref()).unwrap_or(&quarter), wanted, false);
    // With neither, nothing could ever move.
    let unavailable = if surge == 0 && unavailable == 0 { 1 } else { unavailable };
    (surge, unavailable.min(wanted))
}
