//! Whole objects inside of others (`x-kubernetes-embedded-resource`).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Map, Value};

use super::schema::Schema;
use crate::field::{Error, Errors, Path};
use crate::meta::{dns1035_label, path_segment_name, validate_object_meta};

/// What is wrong with what they say they are, and with their metadata.
pub(crate) fn check(map: &Map<String, Value>, schema: &Schema, at: &Path) -> Errors {
    let mut errors = Errors::new();
    object(map, schema, at, false, &mut errors);
    errors
}

fn value(found: &Value, schema: &Schema, at: &Path, errors: &mut Errors) {
    match found {
        Value::Object(map) => object(map, schema, at, schema.embedded, errors),
        Value::Array(list) => {
            let Some(items) = &schema.items else { return };
            for (i, item) in list.iter().enumerate() {
                value(item, items, &at.index(i), errors);
            }
        }
        _ => {}
    }
}

fn object(map: &Map<String, Value>, schema: &Schema, at: &Path, resource: bool, errors: &mut Errors) {
    if resource {
        metadata(map, at, errors);
    }
    for (name, inside) in map {
        if let Some(field) = schema.properties.get(name) {
            value(inside, field, &at.child(name), errors);
        } else if let Some(values) = schema.values() {
            value(inside, values, &at.key(name), errors);
        }
    }
}

fn metadata(map: &Map<String, Value>, at: &Path, errors: &mut Errors) {
    for name in ["apiVersion", "kind"] {
        let at = at.child(name);
        match map.get(name) {
            None => errors.push(Error::required(&at, "")),
            Some(Value::String(text)) if text.is_empty() => errors.push(Error::invalid(&at, text, "must not be empty")),
            Some(Value::String(text)) if name == "apiVersion" && text.matches('/').count() > 1 => {
                errors.push(Error::invalid(&at, text, format!("unexpected GroupVersion string: {text}")));
            }
            Some(Value::String(text)) if name == "kind" => {
                let wrong = dns1035_label(&text.to_lowercase());
                if !wrong.is_empty() {
                    errors.push(Error::invalid(&at, text, format!("may have mixed case, but should otherwise match: {}", wrong.join(","))));
                }
            }
            Some(Value::String(_)) => {}
            Some(other) => errors.push(Error::invalid(&at, other, "must be a string")),
        }
    }
    let Some(given) = map.get("metadata") else { return };
    let at = at.child("metadata");
    match serde_json::from_value::<ObjectMeta>(given.clone()) {
        Err(error) => errors.push(Error::invalid(&at, given, error.to_string())),
        Ok(mut meta) => {
            if meta.name.as_deref().unwrap_or_default().is_empty() {
                meta.name = Some("fakename".to_owned());
            }
            let namespaced = meta.namespace.as_deref().is_some_and(|n| !n.is_empty());
            for mut error in validate_object_meta(&meta, namespaced, &path_segment_name) {
                let inner = error.path.to_string();
                error.path = at.child(inner.trim_start_matches("metadata").trim_start_matches('.'));
                errors.push(error);
            }
        }
    }
}
