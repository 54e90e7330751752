//! Takes back `DisruptionTarget` from Pods that were to be disrupted and were not.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use crate::action::Action;
use crate::controllers::Controller;
use crate::pods::{has_ended, is_terminating};
use crate::queue::Queue;
use crate::resource::{Key, Target};
use crate::world::{Turn, World};

/// A Pod that has not begun to end so long after it was to be disrupted stays.
const STALE_AFTER: Duration = Duration::from_secs(2 * 60);

/// The part of `disruption-controller` that looks at Pods.
pub struct StaleDisruption;

impl Controller for StaleDisruption {
    fn name(&self) -> &'static str {
        "disruption-controller-stale-pods"
    }

    fn account(&self) -> &'static str {
        "disruption-controller"
    }

    fn triggers(&self, world: &World, queue: &Arc<Queue>) {
        world.pods.on_change(queue, |_, change, add| {
            if let Some(pod) = change.new.as_ref().filter(|p| to_be_disrupted(p).is_some()) {
                add(Key::of(&pod.metadata));
            }
        });
    }

    fn plan(&self, turn: &Turn<'_>) -> Vec<Action> {
        let Some(pod) = turn.world.pods.get(&turn.key.namespace, &turn.key.name) else { return Vec::new() };
        let Some(condition) = to_be_disrupted(&pod) else { return Vec::new() };
        let since = condition.last_transition_time.as_ref().map_or(turn.now, |t| t.0);
        let left = STALE_AFTER.saturating_sub(Duration::try_from(turn.now.duration_since(since)).unwrap_or_default());
        if !left.is_zero() {
            return vec![Action::RequeueAfter(left)];
        }
        let mut conditions = pod.status.as_ref().and_then(|s| s.conditions.clone()).unwrap_or_default();
        for condition in conditions.iter_mut().filter(|c| c.type_ == "DisruptionTarget") {
            let over = PodCondition {
                type_: condition.type_.clone(),
                status: "False".to_owned(),
                last_transition_time: Some(Time(turn.now)),
                ..PodCondition::default()
            };
            *condition = over;
        }
        vec![Action::Patch {
            target: Target::exactly(&*pod),
            subresource: Some("status"),
            patch: json!({"status": {"conditions": conditions}}),
            announce: None,
        }]
    }
}

/// The condition of a Pod that is to be disrupted, has not begun to end, and was not chosen by its node, which takes its time.
fn to_be_disrupted(pod: &Pod) -> Option<&PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let condition = conditions.iter().find(|c| c.type_ == "DisruptionTarget" && c.status == "True")?;
    let stays = !is_terminating(pod) && !has_ended(pod) && condition.reason.as_deref() != Some("TerminationByKubelet");
    stays.then_some(condition)
}
