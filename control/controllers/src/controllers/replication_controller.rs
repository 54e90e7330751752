//! ReplicationController controller: what a ReplicaSet's does, for the kind that was there before it.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::api::core::v1::{ReplicationControllerCondition, ReplicationControllerStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::replica_set::{Keeper, normal};
use crate::action::Action;
use crate::controllers::Controller;
use crate::kinds::holds;
use crate::queue::Queue;
use crate::resource::{Key, controller_of, namespace};
use crate::world::{Turn, World};

/// The controller `replicationcontroller-controller`.
pub struct ReplicationControllers;

impl Controller for ReplicationControllers {
    fn name(&self) -> &'static str {
        "replicationcontroller-controller"
    }

    fn account(&self) -> &'static str {
        "replication-controller"
    }

    fn triggers(&self, world: &World, queue: &Arc<Queue>) {
        world.replication_controllers.own_key(queue);
        world.pods.owner_key(queue, "ReplicationController");
        world.pods.on_change(queue, |world, change, add| {
            let pod = change.latest();
            if change.new.is_some() && controller_of(&pod.metadata).is_none() {
                for controller in world.replication_controllers.in_namespace(namespace(&pod.metadata)) {
                    let selector = controller.spec.as_ref().and_then(|s| s.selector.as_ref()).filter(|s| !s.is_empty());
                    if selector.is_some_and(|s| holds(pod.metadata.labels.as_ref(), s)) {
                        add(Key::of(&controller.metadata));
                    }
                }
            }
        });
    }

    fn plan(&self, turn: &Turn<'_>) -> Vec<Action> {
        let Some(controller) = turn.world.replication_controllers.get(&turn.key.namespace, &turn.key.name) else { return Vec::new() };
        let Some(spec) = &controller.spec else { return Vec::new() };
        let Some(labels) = spec.selector.clone().filter(|s| !s.is_empty()) else { return Vec::new() };
        let keeper = Keeper {
            owner: &*controller,
            selector: &LabelSelector { match_labels: Some(labels), match_expressions: None },
            replicas: spec.replicas,
            template: spec.template.as_ref(),
            min_ready_seconds: spec.min_ready_seconds.unwrap_or_default(),
            conditions: newer_conditions(controller.status.as_ref().and_then(|s| s.conditions.clone()).unwrap_or_default()),
            siblings: Vec::new(),
        };
        keeper.plan(turn, |status| {
            let mut written = (*controller).clone();
            let old = written.status.take().unwrap_or_default();
            // Pods that are ending are not told of here.
            let differs = older(status.clone()) != older(normal(&newer(old)));
            written.status = Some(older(status));
            differs.then(|| Action::set_status(&written))
        })
    }
}

/// A status in a ReplicaSet's words.
fn newer(status: ReplicationControllerStatus) -> ReplicaSetStatus {
    ReplicaSetStatus {
        replicas: status.replicas,
        fully_labeled_replicas: status.fully_labeled_replicas,
        ready_replicas: status.ready_replicas,
        available_replicas: status.available_replicas,
        terminating_replicas: None,
        observed_generation: status.observed_generation,
        conditions: status.conditions.map(newer_conditions),
    }
}

fn newer_conditions(conditions: Vec<ReplicationControllerCondition>) -> Vec<ReplicaSetCondition> {
    let newer = |c: ReplicationControllerCondition| ReplicaSetCondition {
        type_: Some(c.type_),
        status: Some(c.status),
        reason: c.reason,
        message: c.message,
        last_transition_time: c.last_transition_time,
    };
    conditions.into_iter().map(newer).collect()
}

fn older(status: ReplicaSetStatus) -> ReplicationControllerStatus {
    let condition = |c: ReplicaSetCondition| ReplicationControllerCondition {
        type_: c.type_.unwrap_or_default(),
        status: c.status.unwrap_or_default(),
        reason: c.reason,
        message: c.message,
        last_transition_time: c.last_transition_time,
    };
    ReplicationControllerStatus {
        replicas: status.replicas,
        fully_labeled_replicas: status.fully_labeled_replicas,
        ready_replicas: status.ready_replicas,
        available_replicas: status.available_replicas,
        observed_generation: status.observed_generation,
        conditions: status.conditions.map(|all| all.into_iter().map(condition).collect()),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::testing::{Cluster, check};

    const WEB: &str = "
apiVersion: v1
kind: ReplicationController
metadata: {name: web, generation: 1}
spec: {replicas: 2, selector: {app: web}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: i}]}}}
";

    #[test]
    fn it_keeps_its_pods() {
        check(
            &ReplicationControllers,
            WEB,
            "default/web",
            &["metadata.ownerReferences", "metadata.generateName", "status"],
            expect![[r#"
            create Pod 
              metadata.ownerReferences: [{"apiVersion":"v1","blockOwnerDeletion":true,"controller":true,"kind":"ReplicationController","name":"web","uid":"replicationcontroller-web"}]
              metadata.generateName: "web-"
            create Pod 
              metadata.ownerReferences: [{"apiVersion":"v1","blockOwnerDeletion":true,"controller":true,"kind":"ReplicationController","name":"web","uid":"replicationcontroller-web"}]
              metadata.generateName: "web-"
            update ReplicationController web status
              status: {"observedGeneration":1,"replicas":0}
        "#]],
        );
        let mut cluster = Cluster::new(WEB);
        cluster.turn(&ReplicationControllers, "web");
        cluster.turn(&ReplicationControllers, "web");
        assert_eq!(cluster.turn(&ReplicationControllers, "web").0, 0, "a status that is written is the same when it is read");
        assert_eq!(cluster.get("ReplicationController", "web")["status"]["replicas"], 2);
    }
}
