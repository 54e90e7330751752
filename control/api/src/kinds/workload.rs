//! What the kinds that make Pods from a template share.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::field::{Error, Errors, Path, printed_json};
use crate::k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec};
use crate::k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use crate::kinds::checks::{IMMUTABLE, not_negative};
use crate::kinds::normal::text;
use crate::kinds::{label_selector, pod};

/// Refusals of the selector and of the template, which must match it and restart always.
/// `kind` is the word in the refusal of an empty selector.
pub(crate) fn selector_and_template(selector: &LabelSelector, template: Option<&PodTemplateSpec>, kind: &str, at: &Path) -> Errors {
    let mut errors = Errors::new();
    if label_selector::is_empty(selector) {
        errors.push(if *selector == LabelSelector::default() {
            Error::required(&at.child("selector"), "")
        } else {
            Error::invalid(&at.child("selector"), printed_json(selector), format!("empty selector is invalid for {kind}"))
        });
    } else {
        errors.extend(label_selector::validate(selector, &at.child("selector")));
    }
    let at = at.child("template");
    let Some(template) = template else {
        errors.push(Error::required(&at, ""));
        return errors;
    };
    let labels = labels(template);
    if label_selector::is_empty(selector) || !label_selector::matches(selector, labels.unwrap_or(&BTreeMap::new())) {
        errors.push(selector_mismatch(labels, &at));
    }
    errors.extend(pod::validate_template(template, &at));
    errors.extend(restarts_always(template, &at));
    errors
}

/// The labels of a template.
pub(crate) fn labels(template: &PodTemplateSpec) -> Option<&BTreeMap<String, String>> {
    template.metadata.as_ref().and_then(|m| m.labels.as_ref())
}

/// The refusal of a template whose labels its owner would not find.
pub(crate) fn selector_mismatch(labels: Option<&BTreeMap<String, String>>, template_at: &Path) -> Error {
    Error::invalid(&template_at.child("metadata.labels"), printed_json(&labels), "`selector` does not match template `labels`")
}

/// Refusals of a template whose Pods would end by themselves.
pub(crate) fn restarts_always(template: &PodTemplateSpec, at: &Path) -> Errors {
    let empty = PodSpec::default();
    let spec = template.spec.as_ref().unwrap_or(&empty);
    let mut errors = Errors::new();
    let policy = text(&spec.restart_policy);
    if policy != "Always" {
        errors.push(Error::not_supported(&at.child("spec.restartPolicy"), policy, &["Always"]));
    }
    if spec.active_deadline_seconds.is_some() {
        let words = "activeDeadlineSeconds in ReplicaSet is not Supported";
        errors.push(Error::forbidden(&at.child("spec.activeDeadlineSeconds"), words));
    }
    errors
}

/// The refusal of a changed selector.
pub(crate) fn selector_is_immutable(new: &LabelSelector, old: &LabelSelector, at: &Path) -> Option<Error> {
    (new != old).then(|| Error::invalid(at, printed_json(new), IMMUTABLE))
}

/// Refusals of counts in a status: none is negative, and none of the `parts` is more than `whole`.
pub(crate) fn status_counts(whole: i32, parts: &[(&str, Option<i32>)], at: &Path) -> Errors {
    let mut errors: Errors = not_negative(Some(whole), &at.child("replicas")).into_iter().collect();
    for (field, count) in parts {
        errors.extend(not_negative(*count, &at.child(field)));
        if let Some(count) = count.filter(|n| *n > whole) {
            errors.push(Error::invalid(&at.child(field), count, "cannot be greater than status.replicas"));
        }
    }
    errors
}

/// Labels as tables show them: `a=b,c=d`, or `<none>`.
pub(crate) fn printed_labels(labels: Option<&BTreeMap<String, String>>) -> Value {
    let pairs: Vec<String> = labels.into_iter().flatten().map(|(k, v)| format!("{k}={v}")).collect();
    Value::from(if pairs.is_empty() { "<none>".to_owned() } else { pairs.join(",") })
}
