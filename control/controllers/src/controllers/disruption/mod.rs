//! Disruption controller: reckons what each PodDisruptionBudget allows, for evictions to go by.

mod expected;
mod stale;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, Time};
use k8s_openapi::jiff::Timestamp;
use wharf_api::kinds::pod_disruption_budget::{set_condition, set_disruption_allowed};

pub use self::stale::StaleDisruption;
use crate::action::{Action, Note};
use crate::controllers::Controller;
use crate::kinds::matches;
use crate::pods::{is_terminating, ready_since};
use crate::queue::Queue;
use crate::resource::{Key, name, namespace};
use crate::world::{Turn, World};

/// A Pod that was to be evicted and has not begun to end by then will not.
const DELETION_TIMEOUT: Duration = Duration::from_secs(2 * 60);

/// The controller `disruption-controller`.
pub struct Disruption;

impl Controller for Disruption {
    fn name(&self) -> &'static str {
        "disruption-controller"
    }

    fn account(&self) -> &'static str {
        "disruption-controller"
    }

    fn component(&self) -> &'static str {
        "controllermanager"
    }

    fn triggers(&self, world: &World, queue: &Arc<Queue>) {
        world.pod_disruption_budgets.own_key(queue);
        world.pods.on_change(queue, |world, change, add| {
            for budget in world.pod_disruption_budgets.in_namespace(namespace(&change.latest().metadata)) {
                if change.sides().any(|pod| selects(&budget, pod)) {
                    add(Key::of(&budget.metadata));
                }
            }
        });
    }

    fn plan(&self, turn: &Turn<'_>) -> Vec<Action> {
        let Some(budget) = turn.world.pod_disruption_budgets.get(&turn.key.namespace, &turn.key.name) else { return Vec::new() };
        let mut pods = turn.world.pods.in_namespace(&turn.key.namespace);
        pods.retain(|pod| selects(&budget, pod));
        let old = budget.status.clone().unwrap_or_default();
        let mut actions = Vec::new();
        if pods.is_empty() {
            actions.push(Action::Record(Note::normal(&*budget, "NoPods", "No matching pods found")));
        }
        let expected = match expected::reckon(&budget, &pods, turn.world) {
            Ok(expected) => expected,
            Err(why) => {
                let message = format!("Failed to calculate the number of expected pods: {why}");
                actions.push(Action::Record(Note::warning(&*budget, "CalculateExpectedPodCountFailed", message)));
                // Nothing is allowed while nothing is known.
                let mut status = PodDisruptionBudgetStatus { disruptions_allowed: Some(0), ..old };
                set_condition(&mut status, "False", "SyncFailed", &why, turn.now);
                write(&budget, status, &mut actions);
                return actions;
            }
        };
        if expected.unmanaged {
            let selector = budget.spec.as_ref().and_then(|s| s.selector.as_ref());
            let message = format!(
                "Pods selected by this PodDisruptionBudget (selector: {}) were found to be unmanaged. As a result, the status of the PDB cannot be \
                 calculated correctly, which may result in undefined behavior. To account for these pods please set \".spec.minAvailable\" field of the \
                 PDB to an integer value.",
                selector.map(printed).unwrap_or_default()
            );
            actions.push(Action::Record(Note::warning(&*budget, "UnmanagedPods", message)));
        }
        let (disrupted, again) = disrupted(&budget, &pods, turn.now, &mut actions);
        let healthy = pods.iter().filter(|p| !is_terminating(p) && !disrupted.contains_key(name(&p.metadata)) && ready_since(p).is_some()).count();
        let healthy = i32::try_from(healthy).unwrap_or(i32::MAX);
        let spare = (healthy - expected.healthy).max(0);
        let mut status = PodDisruptionBudgetStatus {
            conditions: old.conditions,
            current_healthy: Some(healthy),
            desired_healthy: Some(expected.healthy),
            disrupted_pods: (!disrupted.is_empty()).then_some(disrupted),
            disruptions_allowed: Some(if expected.pods > 0 { spare } else { 0 }),
            expected_pods: Some(expected.pods),
            observed_generation: budget.metadata.generation,
        };
        set_disruption_allowed(&mut status, turn.now);
        write(&budget, status, &mut actions);
        actions.extend(again.map(Action::RequeueAfter));
        actions
    }
}

/// Whether a Pod is the budget's; without a selector none is, with an empty one each is.
fn selects(budget: &PodDisruptionBudget, pod: &Pod) -> bool {
    budget.spec.as_ref().and_then(|s| s.selector.as_ref()).is_some_and(|s| matches(s, pod.metadata.labels.as_ref()))
}

/// The Pods that were allowed to be evicted and have not begun to end, and when one of them is overdue next.
fn disrupted(budget: &PodDisruptionBudget, pods: &[Arc<Pod>], now: Timestamp, actions: &mut Vec<Action>) -> (BTreeMap<String, Time>, Option<Duration>) {
    let (mut disrupted, mut again) = (BTreeMap::new(), None);
    let listed = budget.status.as_ref().and_then(|s| s.disrupted_pods.as_ref());
    for pod in pods.iter().filter(|p| !is_terminating(p)) {
        let Some((name, since)) = listed.and_then(|l| l.get_key_value(name(&pod.metadata))) else { continue };
        let waited = Duration::try_from(now.duration_since(since.0)).unwrap_or_default();
        if waited > DELETION_TIMEOUT {
            let message = format!("Pod was expected by PDB {}/{0} to be deleted but it wasn't", namespace(&budget.metadata));
            actions.push(Action::Record(Note::warning(&**pod, "NotDeleted", message)));
            continue;
        }
        let left = DELETION_TIMEOUT - waited + Duration::from_millis(1);
        again = Some(again.map_or(left, |a: Duration| a.min(left)));
        disrupted.insert(name.clone(), since.clone());
    }
    (disrupted, again)
}

fn write(budget: &PodDisruptionBudget, status: PodDisruptionBudgetStatus, actions: &mut Vec<Action>) {
    if budget.status.as_ref() != Some(&status) {
        let mut written = budget.clone();
        written.status = Some(status);
        actions.push(Action::set_status(&written));
    }
}

/// A selector as Kubernetes prints it in messages.
fn printed(selector: &LabelSelector) -> String {
    let labels: String = selector.match_labels.iter().flatten().map(|(key, value)| format!("{key}: {value},")).collect();
    let expression = |e: &k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelectorRequirement| {
        let values = e.values.as_ref().map(|v| v.join(" ")).unwrap_or_default();
        format!("LabelSelectorRequirement{{Key:{},Operator:{},Values:[{values}],}},", e.key, e.operator)
    };
    let expressions: String = selector.match_expressions.iter().flatten().map(expression).collect();
    format!("&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}")
}
