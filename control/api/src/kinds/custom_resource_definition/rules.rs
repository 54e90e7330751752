//! `x-kubernetes-validations` in a schema: what stands beside a rule, and the rule itself.

use serde_json::Value;

use super::structural::{items, values};
use crate::custom::rules::{parse, types};
use crate::field::{Error, ErrorType, Errors, Path, html_safe};
use crate::k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{JSONSchemaProps, ValidationRule};
use crate::kinds::normal::text;

const REASONS: &[&str] = &["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];

/// What is wrong with a node's rules, whatever they mean.
pub(super) fn shape(schema: &JSONSchemaProps, at: &Path, errors: &mut Errors) {
    let breaks = |text: &str| text.contains(['\n', '\r']);
    for (i, rule) in schema.x_kubernetes_validations.iter().flatten().enumerate() {
        let at = at.child("x-kubernetes-validations").index(i);
        let message = text(&rule.message);
        if rule.rule.trim().is_empty() {
            errors.push(Error::required(&at.child("rule"), "rule is not specified"));
        } else if !message.is_empty() && message.trim().is_empty() {
            errors.push(Error::invalid(&at.child("message"), message, "must be non-empty if specified"));
        } else if breaks(message.trim()) {
            errors.push(Error::invalid(&at.child("message"), message, "must not contain line breaks"));
        } else if breaks(rule.rule.trim()) && message.trim().is_empty() {
            errors.push(Error::required(&at.child("message"), "message must be specified if rule contains line breaks"));
        }
        let expression = text(&rule.message_expression);
        if !expression.is_empty() && expression.trim().is_empty() {
            errors.push(Error::required(&at.child("messageExpression"), "messageExpression must be non-empty if specified"));
        }
        if let Some(reason) = rule.reason.as_deref().filter(|r| !REASONS.contains(r)) {
            errors.push(Error::not_supported(&at.child("reason"), reason, REASONS));
        }
        let path = text(&rule.field_path);
        if !path.is_empty() && path.trim().is_empty() {
            errors.push(Error::invalid(&at.child("fieldPath"), path, "must be non-empty if specified"));
        }
        if breaks(path) {
            errors.push(Error::invalid(&at.child("fieldPath"), path, "must not contain line breaks"));
        }
        if !path.is_empty() && super::paths::find(path, schema, true).is_err() {
            errors.push(Error::invalid(&at.child("fieldPath"), path, "must be a valid path"));
        }
    }
}

/// What is wrong with what the rules mean, in a schema that is sound otherwise.
pub(super) fn validate(schema: &JSONSchemaProps, at: &Path) -> Errors {
    let mut errors = Errors::new();
    node(schema, at, true, None, &mut errors);
    errors
}

/// `apart` is the list whose elements cannot be told to be the ones that they were.
fn node(schema: &JSONSchemaProps, at: &Path, resource: bool, apart: Option<&Path>, errors: &mut Errors) {
    for (i, said) in schema.x_kubernetes_validations.iter().flatten().enumerate() {
        let at = at.child("x-kubernetes-validations").index(i);
        one(said, schema, resource, &at, apart, errors);
    }
    let embedded = |s: &JSONSchemaProps| s.x_kubernetes_embedded_resource == Some(true);
    for (name, property) in schema.properties.iter().flatten() {
        node(property, &at.child("properties").key(name), embedded(property), apart, errors);
    }
    if let Some(values) = values(schema) {
        node(values, &at.child("additionalProperties"), embedded(values), apart, errors);
    }
    if let Some(items) = items(schema) {
        let own = (text(&schema.x_kubernetes_list_type) != "map").then_some(at);
        node(items, &at.child("items"), embedded(items), apart.or(own), errors);
    }
}

fn one(said: &ValidationRule, schema: &JSONSchemaProps, resource: bool, at: &Path, apart: Option<&Path>, errors: &mut Errors) {
    let optional = said.optional_old_self == Some(true);
    let wrong = |field: &str, words: String| Error { kind: ErrorType::Invalid, path: at.child(field), value: printed(said), detail: words };
    match parse(&said.rule) {
        Err(why) => errors.push(wrong("rule", format!("compilation failed: {why}"))),
        Ok(expression) => {
            if let Err(words) = types::check_rule(&said.rule, &expression, schema, resource, optional) {
                errors.push(wrong("rule", words));
            }
            let uses_old = types::mentions(&expression, "oldSelf");
            match (apart, said.optional_old_self) {
                (Some(list), _) if uses_old => {
                    let words = format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {list}");
                    errors.push(Error::invalid(&at.child("rule"), &said.rule, words));
                }
                (_, Some(given)) if !uses_old => {
                    errors.push(Error::invalid(&at.child("optionalOldSelf"), given, "may not be set if oldSelf is not used in rule"));
                }
                _ => {}
            }
        }
    }
    let Some(message) = said.message_expression.as_deref().filter(|m| !m.is_empty()) else { return };
    let told = parse(message).map_err(|why| format!("messageExpression compilation failed: {why}"));
    if let Err(words) = told.and_then(|expression| types::check_message(message, &expression, schema, resource, optional)) {
        errors.push(wrong("messageExpression", words));
    }
}

/// A rule as Kubernetes prints it in errors.
fn printed(said: &ValidationRule) -> String {
    let text = |given: &Option<String>| Value::from(given.as_deref().unwrap_or_default());
    let reason = said.reason.as_deref().map_or(Value::Null, Value::from);
    let optional = said.optional_old_self.map_or(Value::Null, Value::from);
    html_safe(&format!(
        r#"{{"Rule":{},"Message":{},"MessageExpression":{},"Reason":{reason},"FieldPath":{},"OptionalOldSelf":{optional}}}"#,
        Value::from(said.rule.as_str()),
        text(&said.message),
        text(&said.message_expression),
        text(&said.field_path)
    ))
}
