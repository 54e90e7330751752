//! `policy/v1` PodDisruptionBudget: how many Pods may be missing on purpose.

use jiff::Timestamp;
use serde_json::Value;

use crate::field::{Error, ErrorType, Errors, Path, printed_json};
use crate::k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec, PodDisruptionBudgetStatus};
use crate::k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use crate::k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use crate::kind::{Kind, Merge, Names, Scope, Subresource};
use crate::kinds::checks::{at_most_100_percent, count_or_percent};
use crate::kinds::columns::{age, age_cell, name, name_cell, text as text_column};
use crate::kinds::label_selector;
use crate::kinds::{merge, names};
use crate::meta::whole_second;
use crate::table::{Column, Columns};

/// PodDisruptionBudget of `policy/v1`.
pub struct PodDisruptionBudgets;

impl Kind for PodDisruptionBudgets {
    type Object = PodDisruptionBudget;

    const NAMES: Names = names("poddisruptionbudget", &["pdb"], &[]);
    const SCOPE: Scope = Scope::Namespaced;
    const SUBRESOURCES: &[Subresource] = &[Subresource::Status];
    const MERGES: &[Merge] = MERGES;
    const ALLOW_UNCONDITIONAL_UPDATE: bool = false;
    const HAS_GENERATION: bool = true;

    fn copy_status(to: &mut Self::Object, from: &Self::Object) {
        to.status.clone_from(&from.status);
    }

    fn desired_differs(new: &Self::Object, old: &Self::Object) -> bool {
        new.spec != old.spec
    }

    fn default(budget: &mut PodDisruptionBudget) {
        budget.spec.get_or_insert_default();
        budget.status.get_or_insert_with(empty_status);
    }

    fn prepare_create(budget: &mut PodDisruptionBudget) {
        budget.status = Some(empty_status());
    }

    fn validate(budget: &PodDisruptionBudget) -> Errors {
        let empty = PodDisruptionBudgetSpec::default();
        let (spec, at) = (budget.spec.as_ref().unwrap_or(&empty), Path::new("spec"));
        let mut errors = Errors::new();
        if spec.min_available.is_some() && spec.max_unavailable.is_some() {
            let detail = "minAvailable and maxUnavailable cannot be both set".to_owned();
            errors.push(Error { kind: ErrorType::Invalid, path: at.clone(), value: internal(spec), detail });
        }
        for (value, field) in [(&spec.min_available, "minAvailable"), (&spec.max_unavailable, "maxUnavailable")] {
            let Some(value) = value else { continue };
            errors.extend(count_or_percent(value, &at.child(field)));
            errors.extend(at_most_100_percent(value, &at.child(field)));
        }
        errors.extend(spec.selector.iter().flat_map(|s| label_selector::validate(s, &at.child("selector"))));
        if let Some(policy) = spec.unhealthy_pod_eviction_policy.as_ref().filter(|p| !matches!(p.as_str(), "AlwaysAllow" | "IfHealthyBudget")) {
            errors.push(Error::not_supported(&at.child("unhealthyPodEvictionPolicy"), policy, &["AlwaysAllow", "IfHealthyBudget"]));
        }
        errors
    }

    fn columns() -> Columns<PodDisruptionBudget> {
        Columns {
            columns: vec![
                name(),
                text_column("Min Available", "The minimum number of pods that must be available."),
                text_column("Max Unavailable", "The maximum number of pods that may be unavailable."),
                Column::new("Allowed Disruptions", "integer", "Calculated number of pods that may be disrupted at this time."),
                age(),
            ],
            row: |budget, now| {
                let empty = PodDisruptionBudgetSpec::default();
                let spec = budget.spec.as_ref().unwrap_or(&empty);
                let printed = |value: &Option<IntOrString>| match value {
                    None => Value::from("N/A"),
                    Some(IntOrString::Int(n)) => Value::from(n.to_string()),
                    Some(IntOrString::String(text)) => Value::from(text.clone()),
                };
                let allowed = budget.status.as_ref().and_then(|s| s.disruptions_allowed).unwrap_or(0);
                vec![
                    name_cell(&budget.metadata),
                    printed(&spec.min_available),
                    printed(&spec.max_unavailable),
                    Value::from(allowed),
                    age_cell(&budget.metadata, now),
                ]
            },
        }
    }
}

/// Says in the condition `DisruptionAllowed` whether `status.disruptionsAllowed` leaves room for one.
pub fn set_disruption_allowed(status: &mut PodDisruptionBudgetStatus, now: Timestamp) {
    let (value, reason) = if status.disruptions_allowed.unwrap_or(0) > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
    set_condition(status, value, reason, "", now);
}

/// Sets the condition `DisruptionAllowed`.
pub fn set_condition(status: &mut PodDisruptionBudgetStatus, value: &str, reason: &str, message: &str, now: Timestamp) {
    let conditions = status.conditions.get_or_insert_default();
    let same = conditions.iter().find(|c| c.type_ == "DisruptionAllowed" && c.status == value);
    let condition = Condition {
        type_: "DisruptionAllowed".to_owned(),
        status: value.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        observed_generation: status.observed_generation,
        last_transition_time: same.map_or_else(|| Time(whole_second(now)), |c| c.last_transition_time.clone()),
    };
    match conditions.iter_mut().find(|c| c.type_ == "DisruptionAllowed") {
        Some(there) => *there = condition,
        None => conditions.push(condition),
    }
}

fn empty_status() -> PodDisruptionBudgetStatus {
    PodDisruptionBudgetStatus {
        disruptions_allowed: Some(0),
        current_healthy: Some(0),
        desired_healthy: Some(0),
        expected_pods: Some(0),
        ..PodDisruptionBudgetStatus::default()
    }
}

/// As the internal type is printed: its fields, in its order.
fn internal(spec: &PodDisruptionBudgetSpec) -> String {
    format!(
        r#"{{"MinAvailable":{},"Selector":{},"MaxUnavailable":{},"UnhealthyPodEvictionPolicy":{}}}"#,
        printed_json(&spec.min_available),
        printed_json(&spec.selector),
        printed_json(&spec.max_unavailable),
        printed_json(&spec.unhealthy_pod_eviction_policy)
    )
}

/// How lists and maps of these types are merged, from the OpenAPI document.
const MERGES: &[Merge] = &[
    merge("io.k8s.api.policy.v1.PodDisruptionBudgetSpec", "selector", "replace", "", "", &[]),
    merge("io.k8s.api.policy.v1.PodDisruptionBudgetStatus", "conditions", "merge", "type", "map", &["type"]),
];

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::kinds::testing::{check_refused, check_row};

    #[test]
    fn refuses_in_kubernetes_words() {
        check_refused::<PodDisruptionBudgets>(
            r#"
metadata: {name: p, creationTimestamp: 2026-01-01T00:00:00Z}
spec: {minAvailable: 1, maxUnavailable: 200%, selector: {}, unhealthyPodEvictionPolicy: Never}
"#,
            &expect![[r#"
                spec: Invalid value: {"MinAvailable":1,"Selector":{},"MaxUnavailable":"200%","UnhealthyPodEvictionPolicy":"Never"}: minAvailable and maxUnavailable cannot be both set
                spec.maxUnavailable: Invalid value: "200%": must not be greater than 100%
                spec.unhealthyPodEvictionPolicy: Unsupported value: "Never": supported values: "AlwaysAllow", "IfHealthyBudget"
            "#]],
        );
    }

    #[test]
    fn prints_a_row() {
        check_row::<PodDisruptionBudgets>(
            r#"
metadata: {name: p, creationTimestamp: 2026-01-01T00:00:00Z}
spec: {minAvailable: 50%}
status: {disruptionsAllowed: 2}
"#,
            &expect![[r#"
                Name: p
                Min Available: 50%
                Max Unavailable: N/A
                Allowed Disruptions: 2
                Age: 15m
            "#]],
        );
    }
}
