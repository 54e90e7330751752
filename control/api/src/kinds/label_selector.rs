//! `LabelSelector` inside other kinds: its refusals, its text, whether it matches.

use std::collections::BTreeMap;

use crate::field::{Error, Errors, Path};
use crate::k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use crate::meta::{label_value, qualified_name, validate_labels};

/// What is wrong with a selector.
pub(crate) fn validate(selector: &LabelSelector, at: &Path) -> Errors {
    let mut errors = validate_labels(selector.match_labels.as_ref(), &at.child("matchLabels"));
    for (i, requirement) in selector.match_expressions.iter().flatten().enumerate() {
        errors.extend(validate_requirement(requirement, &at.child("matchExpressions").index(i)));
    }
    errors
}

fn validate_requirement(requirement: &LabelSelectorRequirement, at: &Path) -> Errors {
    let mut errors = Errors::new();
    let values = requirement.values.as_deref().unwrap_or_default();
    match requirement.operator.as_str() {
        "In" | "NotIn" if values.is_empty() => {
            errors.push(Error::required(&at.child("values"), "must be specified when `operator` is 'In' or 'NotIn'"));
        }
        "In" | "NotIn" => {}
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            errors.push(Error::forbidden(&at.child("values"), "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"));
        }
        "Exists" | "DoesNotExist" => {}
        other => errors.push(Error::invalid(&at.child("operator"), other, "not a valid selector operator")),
    }
    errors.extend(qualified_name(&requirement.key).into_iter().map(|e| Error::invalid(&at.child("key"), &requirement.key, e)));
    for (i, value) in values.iter().enumerate() {
        errors.extend(label_value(value).into_iter().map(|e| Error::invalid(&at.child("values").index(i), value, e)));
    }
    errors
}

/// Whether the selector asks for nothing.
pub(crate) fn is_empty(selector: &LabelSelector) -> bool {
    selector.match_labels.as_ref().is_none_or(BTreeMap::is_empty) && selector.match_expressions.as_ref().is_none_or(Vec::is_empty)
}

/// Whether labels are as the selector wants them. A selector that asks for nothing matches all.
pub(crate) fn matches(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    crate::selector::LabelSelector::from_object(Some(selector)).is_ok_and(|s| s.matches(Some(labels)))
}

/// The text form, as tables show it: `<none>` for one that asks for nothing.
pub(crate) fn printed(selector: Option<&LabelSelector>) -> String {
    match selector.filter(|s| !is_empty(s)).map(|s| crate::selector::LabelSelector::from_object(Some(s))) {
        None => "<none>".to_owned(),
        Some(Ok(selector)) => selector.to_string(),
        Some(Err(_)) => "<error>".to_owned(),
    }
}
