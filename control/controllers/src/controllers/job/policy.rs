//! What a Job's policies say of a Pod that has failed (`podFailurePolicy`), and of the indexes that have succeeded (`successPolicy`).

use k8s_openapi::api::batch::v1::{PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, SuccessPolicy};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use super::indexes::Indexes;
use crate::resource::Key;

/// What follows from a Pod's failure.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It counts.
    Count,
    /// It does not.
    Ignore,
    /// Its index has failed.
    FailIndex,
    /// The Job has, for this reason.
    FailJob(String),
}

/// What the first rule says that matches the Pod; without one a failure counts.
pub(super) fn of_failure(policy: Option<&PodFailurePolicy>, pod: &Pod) -> Failure {
    for (at, rule) in policy.iter().flat_map(|p| &p.rules).enumerate() {
        let why = match (&rule.on_exit_codes, &rule.on_pod_conditions) {
            (Some(codes), _) => {
                exited(pod, codes).map(|(container, code)| format!("Container {container} for pod {} failed with exit code {code}", Key::of(&pod.metadata)))
            }
            (None, Some(patterns)) => {
                let mut conditions = pod.status.iter().flat_map(|s| s.conditions.iter().flatten());
                let held = conditions.find(|c| patterns.iter().any(|p| p.type_ == c.type_ && p.status.as_deref().unwrap_or("True") == c.status));
                held.map(|c| format!("Pod {} has condition {}", Key::of(&pod.metadata), c.type_))
            }
            (None, None) => None,
        };
        let Some(why) = why else { continue };
        return match rule.action.as_str() {
            "Ignore" => Failure::Ignore,
            "FailIndex" => Failure::FailIndex,
            "FailJob" => Failure::FailJob(format!("{why} matching FailJob rule at index {at}")),
            _ => Failure::Count,
        };
    }
    Failure::Count
}

/// The container, with its exit code, that a rule is about.
fn exited<'a>(pod: &'a Pod, rule: &PodFailurePolicyOnExitCodesRequirement) -> Option<(&'a str, i32)> {
    let status = pod.status.as_ref()?;
    let matching = |container: &'a ContainerStatus| {
        let code = container.state.as_ref()?.terminated.as_ref()?.exit_code;
        let named = rule.container_name.as_ref().is_none_or(|n| *n == container.name);
        let listed = rule.values.contains(&code);
        let holds = match rule.operator.as_str() {
            "In" => listed,
            "NotIn" => !listed,
            _ => false,
        };
        (named && code != 0 && holds).then_some((container.name.as_str(), code))
    };
    status.container_statuses.iter().flatten().chain(status.init_container_statuses.iter().flatten()).find_map(matching)
}

/// Why the Job has succeeded, if the policy says so.
pub(super) fn of_success(policy: Option<&SuccessPolicy>, completions: i32, succeeded: &Indexes) -> Option<String> {
    if succeeded.total() == 0 {
        return None;
    }
    let met = |rule: &k8s_openapi::api::batch::v1::SuccessPolicyRule| match &rule.succeeded_indexes {
        Some(text) => {
            let required = Indexes::parse(text, completions);
            let there = required.common(succeeded);
            required.total() > 0 && (there == required.total() || rule.succeeded_count.is_some_and(|n| there >= n))
        }
        None => rule.succeeded_count.is_some_and(|n| succeeded.total() >= n),
    };
    policy?.rules.iter().position(met).map(|at| format!("Matched rules at index {at}"))
}
