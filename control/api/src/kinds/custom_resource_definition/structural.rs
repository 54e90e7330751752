//! Schemas of custom resources are structural: what they say of the shape of a value stands outside of what they say by logic.

use crate::custom::schema::{MAX_DEPTH, compile};
use crate::field::{Error, Errors, Path};
use crate::k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool};
use crate::kinds::normal::text;

/// Where in a schema another stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// What is not structural about a schema, sorted as Kubernetes does.
pub(super) fn validate(schema: &JSONSchemaProps, at: &Path) -> Errors {
    let mut errors = Errors::new();
    if depth(schema, 0) > MAX_DEPTH {
        errors.push(Error::forbidden(at, format!("schemas may not be nested deeper than {MAX_DEPTH} levels")));
        return errors;
    }
    invariants(schema, Level::Root, at, &mut errors);
    complete(schema, schema, at, at, &mut errors);
    errors.sort_by_key(ToString::to_string);
    errors
}

/// How deep schemas stand in one another, looked at no deeper than it matters.
pub(super) fn depth(schema: &JSONSchemaProps, so_far: usize) -> usize {
    if so_far > MAX_DEPTH {
        return so_far;
    }
    children(schema).into_iter().map(|s| depth(s, so_far + 1)).max().unwrap_or(so_far)
}

/// All schemas that stand directly in another.
pub(super) fn children(schema: &JSONSchemaProps) -> Vec<&JSONSchemaProps> {
    let mut all: Vec<&JSONSchemaProps> = schema.properties.iter().flat_map(|p| p.values()).collect();
    all.extend(items(schema));
    all.extend(values(schema));
    if let Some(JSONSchemaPropsOrArray::Schemas(many)) = &schema.items {
        all.extend(many);
    }
    for many in [&schema.all_of, &schema.any_of, &schema.one_of] {
        all.extend(many.iter().flatten());
    }
    all.extend(schema.not.as_deref());
    all
}

/// The schema of a list's elements.
pub(crate) fn items(schema: &JSONSchemaProps) -> Option<&JSONSchemaProps> {
    match &schema.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => Some(items),
        _ => None,
    }
}

/// The schema of a map's values.
pub(crate) fn values(schema: &JSONSchemaProps) -> Option<&JSONSchemaProps> {
    match &schema.additional_properties {
        Some(JSONSchemaPropsOrBool::Schema(values)) => Some(values),
        _ => None,
    }
}

fn invariants(schema: &JSONSchemaProps, level: Level, at: &Path, errors: &mut Errors) {
    let kind = text(&schema.type_);
    let (open, either, embedded) = flags(schema);
    if kind == "array" && schema.items.is_none() {
        errors.push(Error::required(&at.child("items"), "must be specified"));
    }
    if let Some(items) = items(schema) {
        invariants(items, Level::Item, &at.child("items"), errors);
    }
    for (name, property) in schema.properties.iter().flatten() {
        invariants(property, Level::Field, &at.child("properties").key(name), errors);
    }
    if schema.additional_properties.is_some() {
        if level == Level::Root {
            errors.push(Error::forbidden(&at.child("additionalProperties"), "must not be used at the root"));
        }
        if let Some(values) = values(schema) {
            invariants(values, Level::Field, &at.child("additionalProperties"), errors);
        }
    }
    if either && open {
        errors.push(Error::invalid(&at.child("x-kubernetes-preserve-unknown-fields"), true, "must be false if x-kubernetes-int-or-string is true"));
    }
    if either && embedded {
        errors.push(Error::invalid(&at.child("x-kubernetes-embedded-resource"), true, "must be false if x-kubernetes-int-or-string is true"));
    }
    let first = schema.all_of.as_ref().and_then(|a| a.first());
    logic(schema, is_int_or_string(schema), first.is_some_and(is_int_or_string), at, errors);
    let must = "must be object if x-kubernetes-embedded-resource is true";
    if embedded && kind != "object" {
        let at = at.child("type");
        errors.push(if kind.is_empty() { Error::required(&at, must) } else { Error::invalid(&at, kind, must) });
    } else if kind.is_empty() && !either && !open {
        let words = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        errors.push(Error::required(&at.child("type"), words));
    }
    if embedded && schema.additional_properties.is_some() {
        errors.push(Error::forbidden(&at.child("additionalProperties"), "must not be used if x-kubernetes-embedded-resource is set"));
    }
    if level == Level::Root && !kind.is_empty() && kind != "object" {
        errors.push(Error::invalid(&at.child("type"), kind, "must be object at the root"));
    }
    metadata(schema, level, at, errors);
    if embedded && !open && schema.properties.as_ref().is_none_or(std::collections::BTreeMap::is_empty) {
        let words = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
        errors.push(Error::required(&at.child("properties"), words));
    }
}

/// What an object is and is called is not for a schema to say, but for its name.
fn metadata(schema: &JSONSchemaProps, level: Level, at: &Path, errors: &mut Errors) {
    let (_, _, embedded) = flags(schema);
    let checked = level == Level::Root || embedded;
    let property = |name: &str| schema.properties.as_ref().and_then(|p| p.get(name));
    for name in ["kind", "apiVersion"] {
        if let Some(given) = property(name).filter(|p| checked && text(&p.type_) != "string") {
            errors.push(Error::invalid(&at.child("properties").key(name).child("type"), text(&given.type_), "must be string"));
        }
    }
    let Some(given) = property("metadata") else { return };
    let at = at.child("properties").key("metadata");
    if checked && text(&given.type_) != "object" {
        errors.push(Error::invalid(&at.child("type"), text(&given.type_), "must be object"));
    }
    if level == Level::Root {
        let mut rest = given.clone();
        if rest.properties.as_ref().is_some_and(|p| p.keys().all(|k| k == "name" || k == "generateName")) {
            rest.properties = None;
        }
        (rest.type_, rest.default) = (None, None);
        if rest != JSONSchemaProps::default() {
            errors.push(Error::forbidden(&at, "must not specify anything other than name and generateName, but metadata is implicitly specified"));
        }
    }
}

fn flags(schema: &JSONSchemaProps) -> (bool, bool, bool) {
    (
        schema.x_kubernetes_preserve_unknown_fields == Some(true),
        schema.x_kubernetes_int_or_string == Some(true),
        schema.x_kubernetes_embedded_resource == Some(true),
    )
}

/// `anyOf: [{type: integer}, {type: string}]`
fn is_int_or_string(schema: &JSONSchemaProps) -> bool {
    let only = |kind: &str| JSONSchemaProps { type_: Some(kind.to_owned()), ..JSONSchemaProps::default() };
    schema.any_of.as_ref().is_some_and(|any| *any == [only("integer"), only("string")])
}

/// What stands in `anyOf`, `allOf`, `oneOf` and `not`.
fn logic(schema: &JSONSchemaProps, skip_any: bool, skip_first: bool, at: &Path, errors: &mut Errors) {
    if !skip_any {
        for (i, inner) in schema.any_of.iter().flatten().enumerate() {
            nested(inner, false, &at.child("anyOf").index(i), errors);
        }
    }
    for (i, inner) in schema.all_of.iter().flatten().enumerate() {
        nested(inner, skip_first && i == 0, &at.child("allOf").index(i), errors);
    }
    for (i, inner) in schema.one_of.iter().flatten().enumerate() {
        nested(inner, false, &at.child("oneOf").index(i), errors);
    }
    if let Some(inner) = &schema.not {
        nested(inner, false, &at.child("not"), errors);
    }
    if let Some(pattern) = schema.pattern.as_deref().filter(|p| !p.is_empty())
        && let Err(why) = compile(pattern)
    {
        errors.push(Error::invalid(&at.child("pattern"), pattern, format!("must be a valid regular expression, but isn't: {why}")));
    }
}

fn nested(schema: &JSONSchemaProps, skip_any: bool, at: &Path, errors: &mut Errors) {
    logic(schema, skip_any, false, at, errors);
    if let Some(items) = items(schema) {
        nested(items, false, &at.child("items"), errors);
    }
    for (name, property) in schema.properties.iter().flatten() {
        nested(property, false, &at.child("properties").key(name), errors);
    }
    let (open, either, embedded) = flags(schema);
    let said = |text_of: &Option<String>| !text(text_of).is_empty();
    let forbidden = [
        (said(&schema.type_), "type", "empty"),
        (schema.additional_properties.is_some(), "additionalProperties", "undefined"),
        (schema.default.is_some(), "default", "undefined"),
        (said(&schema.title), "title", "empty"),
        (said(&schema.description), "description", "empty"),
        (schema.nullable == Some(true), "nullable", "false"),
        (open, "x-kubernetes-preserve-unknown-fields", "false"),
        (embedded, "x-kubernetes-embedded-resource", "false"),
        (either, "x-kubernetes-int-or-string", "false"),
        (schema.x_kubernetes_list_map_keys.as_ref().is_some_and(|k| !k.is_empty()), "x-kubernetes-list-map-keys", "empty"),
        (schema.x_kubernetes_list_type.is_some(), "x-kubernetes-list-type", "undefined"),
        (schema.x_kubernetes_map_type.is_some(), "x-kubernetes-map-type", "undefined"),
        (schema.x_kubernetes_validations.as_ref().is_some_and(|v| !v.is_empty()), "x-kubernetes-validations", "empty"),
    ];
    for (_, field, what) in forbidden.into_iter().filter(|(is, _, _)| *is) {
        errors.push(Error::forbidden(&at.child(field), format!("must be {what} to be structural")));
    }
    if schema.properties.as_ref().is_some_and(|p| p.contains_key("metadata")) {
        errors.push(Error::forbidden(&at.child("properties").key("metadata"), "must not be specified in a nested context"));
    }
}

/// What logic speaks of must be there outside of it.
fn complete(logic: &JSONSchemaProps, shape: &JSONSchemaProps, shape_at: &Path, at: &Path, errors: &mut Errors) {
    if let Some(inner) = &logic.not {
        complete_nested(inner, Some(shape), shape_at, &at.child("not"), errors);
    }
    for (many, name) in [(&logic.all_of, "allOf"), (&logic.any_of, "anyOf"), (&logic.one_of, "oneOf")] {
        for (i, inner) in many.iter().flatten().enumerate() {
            complete_nested(inner, Some(shape), shape_at, &at.child(name).index(i), errors);
        }
    }
}

fn complete_nested(logic: &JSONSchemaProps, shape: Option<&JSONSchemaProps>, shape_at: &Path, at: &Path, errors: &mut Errors) {
    let Some(shape) = shape else {
        errors.push(Error::required(shape_at, format!("because it is defined in {at}")));
        return;
    };
    complete(logic, shape, shape_at, at, errors);
    if let Some(inner) = items(logic) {
        complete_nested(inner, items(shape), &shape_at.child("items"), &at.child("items"), errors);
    }
    for (name, inner) in logic.properties.iter().flatten() {
        let (shape_at, at) = (shape_at.child("properties").key(name), at.child("properties").key(name));
        complete_nested(inner, shape.properties.as_ref().and_then(|p| p.get(name)), &shape_at, &at, errors);
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
            "{properties: {a: {}, b: {type: array, items: {}}, c: {type: object, additionalProperties: {}}, d: {type: array}}}",
            &expect![[r#"
                schema.properties[a].type: Required value: must not be empty for specified object fields
                schema.properties[b].items.type: Required value: must not be empty for specified array items
                schema.properties[c].additionalProperties.type: Required value: must not be empty for specified object fields
                schema.properties[d].items: Required value: must be specified
                schema.type: Required value: must not be empty at the root
            "#]],
        );
    }

    #[test]
    fn logic_only_refuses() {
        check(
            "{type: object, anyOf: [{properties: {b: {minimum: 1}}}], properties: {a: {type: object, anyOf: [{type: string, description: x}], not: {default: 1}}}}",
            &expect![[r#"
                schema.properties[a].anyOf[0].description: Forbidden: must be empty to be structural
                schema.properties[a].anyOf[0].type: Forbidden: must be empty to be structural
                schema.properties[a].not.default: Forbidden: must be undefined to be structural
                schema.properties[b]: Required value: because it is defined in schema.anyOf[0].properties[b]
            "#]],
        );
        check("{type: object, properties: {a: {x-kubernetes-int-or-string: true, anyOf: [{type: integer}, {type: string}]}}}", &expect![""]);
    }

    #[test]
    fn metadata_is_not_the_schemas() {
        check(
            "{type: object, properties: {metadata: {type: object, properties: {labels: {type: object}}}, kind: {type: integer}, e: {type: object, x-kubernetes-embedded-resource: true}}}",
            &expect![[r#"
                schema.properties[e].properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields
                schema.properties[kind].type: Invalid value: "integer": must be string
                schema.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified
            "#]],
        );
    }
}
