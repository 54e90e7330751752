//! What the OpenAPI documents say of a kind, from its schema; and the same as types, for server-side apply.

use serde_json::{Map, Value, json};

use super::CustomKind;
use super::schema::MAX_DEPTH;
use crate::kind::DynKind;
use crate::openapi::{API_VERSION, KIND};

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// What a definition is called: `com.example.stable.v1.CronTab`.
pub(crate) fn name(kind: &CustomKind) -> String {
    let info = kind.info();
    let group: Vec<&str> = info.group.split('.').rev().collect();
    format!("{}.{}.{}", group.join("."), info.version, info.kind)
}

/// The definitions that a kind needs beside its own, of those there are: its metadata.
pub(crate) fn definitions(kind: &CustomKind, all: &Map<String, Value>) -> Map<String, Value> {
    let mut out = Map::new();
    let mut open = vec![OBJECT_META.to_owned()];
    while let Some(next) = open.pop() {
        let Some(schema) = all.get(&next).filter(|_| !out.contains_key(&next)) else { continue };
        references(schema, &mut open);
        out.insert(next, schema.clone());
    }
    out.insert(name(kind), schema(kind));
    out.insert(read_name(kind), read_schema());
    out
}

/// What a body is read as: typed as far as every object is.
pub(crate) fn read_name(kind: &CustomKind) -> String {
    format!("{}.read", name(kind))
}

fn read_schema() -> Value {
    json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": meta()})
}

/// The definition; references are v2's.
pub(crate) fn schema(kind: &CustomKind) -> Value {
    let mut schema = kind.props().clone();
    if !schema.is_object() {
        schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    }
    let own = meta();
    if let (Some(map), Value::Object(own)) = (schema.as_object_mut(), own) {
        let properties = map.entry("properties").or_insert_with(|| json!({}));
        if let Some(properties) = properties.as_object_mut() {
            properties.extend(own);
        }
    }
    schema
}

/// Without what v2 has no words for.
pub(crate) fn schema_v2(kind: &CustomKind) -> Value {
    let mut schema = schema(kind);
    strip(&mut schema, 0);
    schema
}

fn strip(schema: &mut Value, depth: usize) {
    let Some(map) = schema.as_object_mut().filter(|_| depth <= MAX_DEPTH) else { return };
    let open = map.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
    let either = map.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true));
    let nullable = map.get("nullable") == Some(&Value::Bool(true));
    map.retain(|key, _| !matches!(key.as_str(), "nullable" | "oneOf" | "anyOf" | "allOf" | "not" | "x-kubernetes-validations" | "default"));
    // Clients take a type by its word; these have none that is the whole truth.
    if either || nullable {
        map.remove("type");
        map.remove("format");
    }
    if nullable {
        map.remove("items");
        map.remove("properties");
    }
    if open && depth > 0 {
        map.retain(|key, _| matches!(key.as_str(), "description" | "type" | "x-kubernetes-preserve-unknown-fields"));
        map.remove("type");
    }
    if let Some(properties) = map.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(|p| strip(p, depth + 1));
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = map.get_mut(key) {
            strip(inner, depth + 1);
        }
    }
}

fn meta() -> Value {
    json!({
        "apiVersion": {"type": "string", "description": API_VERSION},
        "kind": {"type": "string", "description": KIND},
        "metadata": {
            "$ref": format!("#/definitions/{OBJECT_META}"),
            "description": "Standard object's metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata",
        },
    })
}

fn references(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            if let Some(reference) = map.get("$ref").and_then(Value::as_str) {
                into.extend(reference.rsplit('/').next().map(str::to_owned));
            }
            map.values().for_each(|v| references(v, into));
        }
        Value::Array(list) => list.iter().for_each(|v| references(v, into)),
        _ => {}
    }
}
