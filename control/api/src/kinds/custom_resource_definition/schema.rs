//! What a schema may say: `ValidateCustomResourceDefinitionOpenAPISchema` of Kubernetes.

use std::collections::BTreeSet;

use super::structural::{items, values};
use super::{defaults, rules, structural};
use crate::custom::schema::MAX_DEPTH;
use crate::field::{Error, Errors, Path};
use crate::k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool};
use crate::kinds::normal::text;

const TYPES: &[&str] = &["array", "boolean", "integer", "number", "object", "string"];

/// What is refused of a version's schema.
pub(super) fn validate(schema: &JSONSchemaProps, has_status: bool, at: &Path) -> Errors {
    let mut errors = Errors::new();
    if has_status {
        errors.extend(at_root(schema, at));
    }
    if schema.nullable == Some(true) {
        errors.push(Error::forbidden(&at.child("nullable"), "nullable cannot be true at the root"));
    }
    let shape = structural::validate(schema, at);
    let shaped = shape.is_empty();
    errors.extend(shape);
    if structural::depth(schema, 0) > MAX_DEPTH {
        return errors;
    }
    let mut sound = shaped;
    if shaped {
        let wrong = defaults::validate(schema, at);
        sound = wrong.is_empty();
        errors.extend(wrong);
    }
    let mut checker = Checker { errors: Errors::new() };
    checker.schema(schema, at, true, Inside { no_defaults: None, metadata: false });
    sound &= checker.errors.is_empty();
    errors.extend(checker.errors);
    if sound {
        errors.extend(rules::validate(schema, at));
    }
    errors
}

/// With a status of its own, a schema is taken apart at its root.
fn at_root(schema: &JSONSchemaProps, at: &Path) -> Option<Error> {
    if text(&schema.type_) != "object" && schema.type_.is_some() {
        let words = "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled";
        return Some(Error::invalid(&at.child("type"), text(&schema.type_), words));
    }
    let bare = JSONSchemaProps {
        description: None,
        type_: None,
        format: None,
        title: None,
        maximum: None,
        exclusive_maximum: None,
        minimum: None,
        exclusive_minimum: None,
        max_length: None,
        min_length: None,
        pattern: None,
        max_items: None,
        min_items: None,
        unique_items: None,
        multiple_of: None,
        required: None,
        items: None,
        properties: None,
        external_docs: None,
        example: None,
        x_kubernetes_preserve_unknown_fields: None,
        x_kubernetes_validations: None,
        nullable: None,
        ..schema.clone()
    };
    (bare != JSONSchemaProps::default()).then(|| {
        let words = "only [Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength Pattern MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example XPreserveUnknownFields XValidations] fields are allowed at the root of the schema if the status subresource is enabled";
        Error::invalid(at, crate::field::printed_json(schema), words)
    })
}

/// Where a schema stands.
#[derive(Clone, Copy)]
struct Inside {
    /// Why there may be no defaults, if so.
    no_defaults: Option<&'static str>,
    /// In metadata, or what an object says it is.
    metadata: bool,
}

struct Checker {
    errors: Errors,
}

impl Checker {
    fn schema(&mut self, schema: &JSONSchemaProps, at: &Path, root: bool, inside: Inside) {
        self.standard(schema, at, inside);
        if schema.unique_items == Some(true) {
            let words = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
            self.errors.push(Error::forbidden(&at.child("uniqueItems"), words));
        }
        if let Some(additional) = &schema.additional_properties {
            let named = schema.properties.as_ref().is_some_and(|p| !p.is_empty());
            if named && !matches!(additional, JSONSchemaPropsOrBool::Bool(true)) {
                self.errors.push(Error::forbidden(&at.child("additionalProperties"), "additionalProperties and properties are mutual exclusive"));
            }
            if let Some(values) = values(schema) {
                let why = if inside.metadata { Some("inside additionalProperties applying to object metadata") } else { inside.no_defaults };
                self.schema(values, &at.child("additionalProperties"), false, Inside { no_defaults: why, ..inside });
            }
        }
        let resource = root || schema.x_kubernetes_embedded_resource == Some(true);
        for (name, property) in schema.properties.iter().flatten() {
            let mut of = inside;
            if resource {
                let why = match name.as_str() {
                    "metadata" => Some("in top-level metadata"),
                    "kind" => Some("in top-level kind"),
                    "apiVersion" => Some("in top-level apiVersion"),
                    _ => None,
                };
                of.metadata |= why.is_some();
                of.no_defaults = if root { why.or(of.no_defaults) } else { of.no_defaults };
            }
            self.schema(property, &at.child("properties").key(name), false, of);
        }
        if let Some(not) = &schema.not {
            self.schema(not, &at.child("not"), false, inside);
        }
        for (many, name) in [(&schema.all_of, "allOf"), (&schema.one_of, "oneOf"), (&schema.any_of, "anyOf")] {
            for (i, inner) in many.iter().flatten().enumerate() {
                self.schema(inner, &at.child(name).index(i), false, inside);
            }
        }
        if let Some(items) = items(schema) {
            self.schema(items, &at.child("items"), false, inside);
        }
        if schema.x_kubernetes_preserve_unknown_fields == Some(false) {
            self.errors.push(Error::invalid(&at.child("x-kubernetes-preserve-unknown-fields"), false, "must be true or undefined"));
        }
        self.merged(schema, at);
        if text(&schema.x_kubernetes_list_type) == "map" {
            self.keyed(schema, at);
        }
        self.elements(schema, at);
        rules::shape(schema, at, &mut self.errors);
    }

    fn standard(&mut self, schema: &JSONSchemaProps, at: &Path, inside: Inside) {
        let kind = text(&schema.type_);
        if !kind.is_empty() && !TYPES.contains(&kind) {
            self.errors.push(Error::not_supported(&at.child("type"), kind, TYPES));
        }
        if let (Some(_), Some(why)) = (&schema.default, inside.no_defaults) {
            self.errors.push(Error::forbidden(&at.child("default"), format!("must not be set {why}")));
        }
        let unsupported = [
            (schema.id.is_some(), "id"),
            (schema.additional_items.is_some(), "additionalItems"),
            (schema.pattern_properties.as_ref().is_some_and(|p| !p.is_empty()), "patternProperties"),
            (schema.definitions.as_ref().is_some_and(|d| !d.is_empty()), "definitions"),
            (schema.dependencies.is_some(), "dependencies"),
            (schema.ref_path.is_some(), "$ref"),
        ];
        for (_, field) in unsupported.into_iter().filter(|(is, _)| *is) {
            self.errors.push(Error::forbidden(&at.child(field), format!("{field} is not supported")));
        }
        if kind == "null" {
            self.errors.push(Error::forbidden(&at.child("type"), "type cannot be set to null, use nullable as an alternative"));
        }
        if matches!(schema.items, Some(JSONSchemaPropsOrArray::Schemas(_))) {
            self.errors.push(Error::forbidden(&at.child("items"), "items must be a schema object and not an array"));
        }
        if inside.metadata && schema.x_kubernetes_embedded_resource == Some(true) {
            self.errors.push(Error::forbidden(&at.child("x-kubernetes-embedded-resource"), "must not be used inside of resource meta"));
        }
    }

    /// `x-kubernetes-map-type` and `x-kubernetes-list-type`.
    fn merged(&mut self, schema: &JSONSchemaProps, at: &Path) {
        let kind = text(&schema.type_);
        let mut must_be = |wanted: &str, said: &str| {
            let (at, words) = (at.child("type"), format!("must be {wanted} if {said} is specified"));
            self.errors.push(if kind.is_empty() { Error::required(&at, words) } else { Error::invalid(&at, kind, words) });
        };
        let (map_type, list_type) = (schema.x_kubernetes_map_type.as_deref(), schema.x_kubernetes_list_type.as_deref());
        if map_type.is_some() && kind != "object" {
            must_be("object", "x-kubernetes-map-type");
        }
        if list_type.is_some() && kind != "array" {
            must_be("array", "x-kubernetes-list-type");
        }
        if let Some(other) = map_type.filter(|t| !matches!(*t, "atomic" | "granular")) {
            self.errors.push(Error::not_supported(&at.child("x-kubernetes-map-type"), other, &["atomic", "granular"]));
        }
        if let (Some("set"), "array", Some(items)) = (list_type, kind, items(schema)) {
            let words = "must be atomic as item of a list with x-kubernetes-list-type=set";
            let (atomic, field) = match text(&items.type_) {
                "array" => (items.x_kubernetes_list_type.as_deref().is_none_or(|t| t == "atomic"), "x-kubernetes-list-type"),
                "object" => (items.x_kubernetes_map_type.as_deref() == Some("atomic"), "x-kubernetes-map-type"),
                _ => (true, ""),
            };
            if !atomic {
                self.errors.push(Error::invalid(&at.child("items").child(field), items.x_kubernetes_list_type.as_ref(), words));
            }
        }
        if let Some(other) = list_type.filter(|t| !matches!(*t, "atomic" | "set" | "map")) {
            self.errors.push(Error::not_supported(&at.child("x-kubernetes-list-type"), other, &["atomic", "set", "map"]));
        }
        if schema.x_kubernetes_list_map_keys.as_ref().is_some_and(|k| !k.is_empty()) {
            let (at, words) = (at.child("x-kubernetes-list-type"), "must be map if x-kubernetes-list-map-keys is non-empty");
            match list_type {
                None => self.errors.push(Error::required(&at, words)),
                Some("map") => {}
                Some(other) => self.errors.push(Error::invalid(&at, other, words)),
            }
        }
    }

    /// A list whose elements are told apart by keys.
    fn keyed(&mut self, schema: &JSONSchemaProps, at: &Path) {
        let keys = schema.x_kubernetes_list_map_keys.clone().unwrap_or_default();
        let keys_at = at.child("x-kubernetes-list-map-keys");
        if keys.is_empty() {
            self.errors.push(Error::required(&keys_at, "must not be empty if x-kubernetes-list-type is map"));
        }
        if schema.items.is_none() {
            self.errors.push(Error::required(&at.child("items"), "must have a schema if x-kubernetes-list-type is map"));
        }
        let Some(items) = items(schema) else { return };
        let kind = text(&items.type_);
        if kind != "object" {
            let words = "must be object if parent array's x-kubernetes-list-type is map";
            self.errors.push(Error::invalid(&at.child("items").child("type"), kind, words));
            return;
        }
        let mut seen = BTreeSet::new();
        let printed = || crate::field::printed_json(&keys);
        for key in &keys {
            match items.properties.as_ref().and_then(|p| p.get(key)) {
                None => self.errors.push(Error::invalid(&keys_at, printed(), "entries must all be names of item properties")),
                Some(property) if matches!(text(&property.type_), "array" | "object") => {
                    let at = at.child("items").child("properties").key(key).child("type");
                    self.errors.push(Error::invalid(&at, kind, "must be a scalar type if parent array's x-kubernetes-list-type is map"));
                }
                Some(_) => {}
            }
            if !seen.insert(key) {
                self.errors.push(Error::invalid(&keys_at, printed(), "must not contain duplicate entries"));
            }
        }
    }

    /// What sets and maps cannot hold.
    fn elements(&mut self, schema: &JSONSchemaProps, at: &Path) {
        let list_type = text(&schema.x_kubernetes_list_type);
        let Some(items) = items(schema).filter(|_| matches!(list_type, "set" | "map")) else { return };
        let at = at.child("items");
        if items.nullable == Some(true) {
            self.errors.push(Error::forbidden(&at.child("nullable"), format!("cannot be nullable when x-kubernetes-list-type is {list_type}")));
        }
        if list_type != "map" {
            return;
        }
        for key in schema.x_kubernetes_list_map_keys.iter().flatten() {
            let Some(property) = items.properties.as_ref().and_then(|p| p.get(key)) else { continue };
            let at = at.child("properties").key(key);
            if !items.required.iter().flatten().any(|r| r == key) && property.default.is_none() {
                let words = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
                self.errors.push(Error::required(&at.child("default"), words));
            }
            if property.nullable == Some(true) {
                let words = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
                self.errors.push(Error::forbidden(&at.child("nullable"), words));
            }
        }
    }
}
