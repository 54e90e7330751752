//! Defaults in a schema: they hold what the schema allows, and no more.

use serde_json::Value;

use super::structural::items;
use crate::custom::object::plain;
use crate::custom::schema::Schema;
use crate::custom::{check, structure};
use crate::field::{Error, Errors, Path};
use crate::k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;

/// What is wrong with the defaults of a schema and of all in it. In the values of maps there are none.
pub(super) fn validate(schema: &JSONSchemaProps, at: &Path) -> Errors {
    let mut errors = Errors::new();
    inside(schema, at, true, &mut errors);
    errors
}

fn inside(schema: &JSONSchemaProps, at: &Path, resource: bool, errors: &mut Errors) {
    if let Some(default) = &schema.default {
        one(&plain(default.0.clone()), schema, &at.child("default"), errors);
    }
    if let Some(items) = items(schema) {
        inside(items, &at.child("items"), items.x_kubernetes_embedded_resource == Some(true), errors);
    }
    for (name, property) in schema.properties.iter().flatten() {
        // Those of metadata are forbidden elsewhere.
        if resource && matches!(name.as_str(), "metadata" | "apiVersion" | "kind") {
            continue;
        }
        inside(property, &at.child("properties").key(name), property.x_kubernetes_embedded_resource == Some(true), errors);
    }
}

fn one(default: &Value, schema: &JSONSchemaProps, at: &Path, errors: &mut Errors) {
    let schema = Schema::of(schema);
    let mut pruned = default.clone();
    structure::prune_value(&mut pruned, &schema);
    if pruned != *default {
        errors.push(Error::invalid(at, default, "must not have unknown fields"));
    }
    for mut error in check(default, None, &schema, "") {
        error.path = if error.path == Path::default() { at.clone() } else { at.child(&error.path.to_string()) };
        errors.push(error);
    }
}
