//! What validating and mutating webhooks share.

use crate::field::{Error, Errors, Path};
use crate::k8s_openapi::api::admissionregistration::v1::{RuleWithOperations, WebhookClientConfig};
use crate::k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use crate::kinds::checks::{each, in_range, one_of};
use crate::kinds::normal::fill;
use crate::meta::dns1123_subdomain;

/// The fields that are filled in alike.
pub(crate) struct Fields<'a> {
    pub(crate) failure_policy: &'a mut Option<String>,
    pub(crate) match_policy: &'a mut Option<String>,
    pub(crate) namespace_selector: &'a mut Option<LabelSelector>,
    pub(crate) object_selector: &'a mut Option<LabelSelector>,
    pub(crate) timeout_seconds: &'a mut Option<i32>,
    pub(crate) rules: &'a mut Option<Vec<RuleWithOperations>>,
    pub(crate) client: &'a mut WebhookClientConfig,
}

/// Fills in a webhook.
pub(crate) fn default(hook: &mut Fields) {
    fill(hook.failure_policy, "Fail");
    fill(hook.match_policy, "Equivalent");
    hook.namespace_selector.get_or_insert_default();
    hook.object_selector.get_or_insert_default();
    fill(hook.timeout_seconds, 10);
    for rule in hook.rules.iter_mut().flatten() {
        fill(&mut rule.scope, "*");
    }
    if let Some(service) = &mut hook.client.service {
        fill(&mut service.port, 443);
    }
}

/// What is wrong with a webhook.
#[expect(clippy::too_many_arguments, reason = "two types with the same fields and no common one")]
pub(crate) fn validate(
    name: &str,
    side_effects: &str,
    versions: &[String],
    timeout: Option<i32>,
    failure_policy: Option<&str>,
    match_policy: Option<&str>,
    client: &WebhookClientConfig,
    at: &Path,
) -> Errors {
    let mut errors = Errors::new();
    if name.is_empty() {
        errors.push(Error::required(&at.child("name"), ""));
    } else if name.split('.').count() < 3 {
        let words = "should be a domain with at least three segments separated by dots";
        errors.push(Error::invalid(&at.child("name"), name, words));
    } else {
        errors.extend(each(&at.child("name"), name, dns1123_subdomain(name)));
    }
    if !matches!(side_effects, "None" | "NoneOnDryRun") {
        errors.push(match side_effects {
            "" => Error::required(&at.child("sideEffects"), "must specify one of None, NoneOnDryRun"),
            other => Error::not_supported(&at.child("sideEffects"), other, &["None", "NoneOnDryRun"]),
        });
    }
    let versions_at = at.child("admissionReviewVersions");
    if versions.is_empty() {
        errors.push(Error::required(&versions_at, "must specify one of v1, v1beta1"));
    } else if !versions.iter().any(|v| v == "v1" || v == "v1beta1") {
        let words = "must include at least one of v1, v1beta1";
        errors.push(Error::invalid(&versions_at, crate::field::printed_json(&versions), words));
    }
    if let Some(seconds) = timeout
        && in_range(seconds.into(), 1, 30, at).is_some()
    {
        errors.push(Error::invalid(&at.child("timeoutSeconds"), seconds, "the timeout value must be between 1 and 30 seconds"));
    }
    errors.extend(one_of(failure_policy, &["Fail", "Ignore"], &at.child("failurePolicy")));
    errors.extend(one_of(match_policy, &["Equivalent", "Exact"], &at.child("matchPolicy")));
    if client.url.is_some() == client.service.is_some() {
        errors.push(Error::required(&at.child("clientConfig"), "exactly one of url or service is required"));
    }
    errors
}
