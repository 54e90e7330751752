//! Schemas of custom resources are structural: every value that a schema names has a type.

use serde_json::Value;

use crate::field::{Error, Errors, Path};
use crate::k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool};
use crate::kinds::normal::text;

/// Schemas deeper than this are refused; none that anybody writes is.
const MAX_DEPTH: usize = 64;

/// What is wrong with a version's schema.
pub(crate) fn validate(schema: &JSONSchemaProps, at: &Path) -> Errors {
    let mut errors = Errors::new();
    let kind = text(&schema.type_);
    if kind.is_empty() {
        errors.push(Error::required(&at.child("type"), "must not be empty at the root"));
    } else if kind != "object" {
        errors.push(Error::invalid(&at.child("type"), kind, "must be object at the root"));
    }
    inside(schema, at, 0, &mut errors);
    errors
}

fn inside(schema: &JSONSchemaProps, at: &Path, depth: usize, errors: &mut Errors) {
    if depth > MAX_DEPTH {
        errors.push(Error::forbidden(at, format!("schemas may not be nested deeper than {MAX_DEPTH} levels")));
        return;
    }
    for (name, property) in schema.properties.iter().flatten() {
        value(property, "must not be empty for specified object fields", &at.child("properties").key(name), depth, errors);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(of_values)) = &schema.additional_properties {
        if schema.properties.as_ref().is_some_and(|p| !p.is_empty()) {
            errors.push(Error::forbidden(&at.child("additionalProperties"), "additionalProperties and properties are mutual exclusive"));
        }
        value(of_values, "must not be empty for specified object fields", &at.child("additionalProperties"), depth, errors);
    }
    match &schema.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => value(items, "must not be empty for specified array items", &at.child("items"), depth, errors),
        Some(JSONSchemaPropsOrArray::Schemas(_)) => {
            errors.push(Error::forbidden(&at.child("items"), "items must be a schema object and not an array"));
        }
        None => {}
    }
}

fn value(schema: &JSONSchemaProps, untyped: &str, at: &Path, depth: usize, errors: &mut Errors) {
    let kind = text(&schema.type_);
    let open = schema.x_kubernetes_int_or_string == Some(true) || schema.x_kubernetes_preserve_unknown_fields == Some(true);
    if kind.is_empty() && !open {
        errors.push(Error::required(&at.child("type"), untyped));
    }
    if let Some(given) = schema.default.as_ref().map(|d| type_of(&d.0))
        && !kind.is_empty()
        && kind != given
        && !(kind == "number" && given == "integer")
    {
        errors.push(Error::invalid(&at.child("default"), given, format!(" in body must be of type {kind}: \"{given}\"")));
    }
    inside(schema, at, depth + 1, errors);
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_i64() || n.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(yaml: &str, expected: &Expect) {
        let errors = validate(&serde_yaml::from_str(yaml).unwrap(), &Path::new("schema"));
        expected.assert_eq(&errors.iter().map(|e| format!("{e}\n")).collect::<String>());
    }

    #[test]
    fn every_value_has_a_type() {
        check("{type: object, properties: {a: {x-kubernetes-int-or-string: true}, b: {type: array, items: {type: string}}}}", &expect![""]);
        check(
            "{properties: {a: {}, b: {type: array, items: {}}, c: {type: object, additionalProperties: {}}, d: {type: integer, default: x}}}",
            &expect![[r#"
                schema.type: Required value: must not be empty at the root
                schema.properties[a].type: Required value: must not be empty for specified object fields
                schema.properties[b].items.type: Required value: must not be empty for specified array items
                schema.properties[c].additionalProperties.type: Required value: must not be empty for specified object fields
                schema.properties[d].default: Invalid value: "string":  in body must be of type integer: "string"
            "#]],
        );
    }
}
