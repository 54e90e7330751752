//! The definitions behind the operations, with what Kubernetes says of them in extensions.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::operations::Dialect;
use crate::kind::Merge;
use crate::registry::{Registry, Resource};

const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";

/// The definition of a kind's list.
pub(super) fn list_definition(resource: &Resource) -> String {
    format!("{}List", resource.definition)
}

/// All definitions, as v2 writes them.
pub(super) fn v2(registry: &Registry) -> Map<String, Value> {
    let mut definitions = described(registry, Dialect::V2);
    for (name, schema) in &mut definitions {
        special(Dialect::V2, name, schema);
    }
    definitions
}

/// The definitions that the paths refer to, and those that they refer to in turn, as v3 writes them.
pub(super) fn v3(registry: &Registry, paths: &Map<String, Value>) -> Map<String, Value> {
    let all = described(registry, Dialect::V3);
    let mut wanted = BTreeSet::new();
    let mut open = BTreeSet::new();
    paths.values().for_each(|p| references(p, &mut open));
    while let Some(name) = open.pop_first() {
        if let Some(schema) = all.get(&name)
            && wanted.insert(name)
        {
            references(schema, &mut open);
        }
    }
    let mut schemas = Map::new();
    for name in wanted {
        let mut schema = all[&name].clone();
        special(Dialect::V3, &name, &mut schema);
        to_v3(&mut schema);
        schemas.insert(name, schema);
    }
    schemas
}

/// The registry's definitions with lists, kinds and merge strategies; `$ref`s are v2's.
fn described(registry: &Registry, dialect: Dialect) -> Map<String, Value> {
    let mut definitions = registry.definitions().clone();
    for resource in registry.resources() {
        let document = if dialect == Dialect::V2 { &resource.documents.v2 } else { &resource.documents.v3 };
        if let Some(document) = document {
            definitions.insert(resource.definition.clone(), (**document).clone());
        }
    }
    for merge in registry.merges() {
        let Some(schema) = definitions.get_mut(merge.definition) else { continue };
        let is_definition = merge.field.is_empty();
        let target =
            if is_definition { Some(schema) } else { schema.pointer_mut(&format!("/properties/{}", merge.field.replace('~', "~0").replace('/', "~1"))) };
        if let Some(Value::Object(target)) = target {
            describe_merge(merge, target);
        }
    }
    for resource in registry.resources() {
        let info = resource.info();
        let gvk = |kind: &str| json!([{"group": info.group, "version": info.version, "kind": kind}]);
        if let Some(schema) = definitions.get_mut(&resource.definition) {
            schema["x-kubernetes-group-version-kind"] = gvk(&info.kind);
            // Metadata may be left out of the kinds themselves.
            if let Some(Value::Array(required)) = schema.get_mut("required") {
                required.retain(|field| field != "metadata");
                if required.is_empty() {
                    schema.as_object_mut().and_then(|s| s.remove("required"));
                }
            }
        }
        let list = json!({
            "description": format!("{} is a list of {}", info.list_kind, if info.custom { info.kind.to_string() } else { format!("{}.", plural_words(&info.kind)) }),
            "type": "object",
            "required": ["items"],
            "properties": {
                "apiVersion": text(API_VERSION),
                "kind": text(KIND),
                "metadata": {"$ref": format!("#/definitions/{LIST_META}"), "description": "Standard list metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds"},
                "items": {"type": "array", "description": format!("List of {}.", info.plural), "items": {"$ref": format!("#/definitions/{}", resource.definition)}},
            },
            "x-kubernetes-group-version-kind": gvk(&info.list_kind),
        });
        definitions.insert(list_definition(resource), list);
    }
    for (name, group, version, kind) in
        [("io.k8s.api.autoscaling.v1.Scale", "autoscaling", "v1", "Scale"), ("io.k8s.apimachinery.pkg.apis.meta.v1.Status", "", "v1", "Status")]
    {
        if let Some(schema) = definitions.get_mut(name) {
            schema["x-kubernetes-group-version-kind"] = json!([{"group": group, "version": version, "kind": kind}]);
        }
    }
    // Delete options are of every group and version.
    let everywhere: BTreeMap<(&str, &str), ()> = registry.resources().iter().map(|r| ((&*r.info().group, &*r.info().version), ())).collect();
    if let Some(schema) = definitions.get_mut("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions") {
        schema["x-kubernetes-group-version-kind"] =
            everywhere.keys().map(|(group, version)| json!({"group": group, "version": version, "kind": "DeleteOptions"})).collect();
    }
    definitions
}

fn describe_merge(merge: &Merge, target: &mut Map<String, Value>) {
    let mut put = |key: &str, value: Value| {
        target.insert(format!("x-kubernetes-{key}"), value);
    };
    if !merge.strategy.is_empty() {
        put("patch-strategy", Value::from(merge.strategy));
    }
    if !merge.key.is_empty() {
        put("patch-merge-key", Value::from(merge.key));
    }
    if !merge.list_map_keys.is_empty() {
        put("list-map-keys", json!(merge.list_map_keys));
    }
    if !merge.list_type.is_empty() {
        let list = target.get("type").and_then(Value::as_str) == Some("array");
        target.insert(if list { "x-kubernetes-list-type" } else { "x-kubernetes-map-type" }.to_owned(), Value::from(merge.list_type));
    }
}

/// Types whose JSON is not what their schema can say.
fn special(dialect: Dialect, name: &str, schema: &mut Value) {
    let Some(schema) = schema.as_object_mut().filter(|_| name.starts_with("io.k8s.api")) else { return };
    let short = name.rsplit('.').next().unwrap_or_default();
    match short {
        "IntOrString" | "Quantity" => {
            schema.remove("x-kubernetes-int-or-string");
            match (dialect, short) {
                (Dialect::V2, _) => {
                    schema.insert("type".to_owned(), json!("string"));
                }
                (Dialect::V3, "Quantity") => {
                    schema.insert("oneOf".to_owned(), json!([{"type": "string"}, {"type": "number"}]));
                }
                (Dialect::V3, _) => {
                    schema.insert("oneOf".to_owned(), json!([{"type": "integer"}, {"type": "string"}]));
                }
            }
            if short == "IntOrString" {
                schema.insert("format".to_owned(), json!("int-or-string"));
            }
        }
        "JSON" | "JSONSchemaPropsOrArray" | "JSONSchemaPropsOrBool" | "JSONSchemaPropsOrStringArray" => {
            schema.retain(|key, _| !matches!(key.as_str(), "type" | "oneOf" | "x-kubernetes-int-or-string"));
        }
        _ => {}
    }
}

/// `$ref`s lead to the components; one that has siblings goes into an `allOf`, since v3 ignores what stands beside it.
fn to_v3(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            map.values_mut().for_each(to_v3);
            if let Some(Value::String(reference)) = map.get("$ref") {
                let reference = json!({"$ref": reference.replace("#/definitions/", "#/components/schemas/")});
                if map.len() == 1 {
                    *schema = reference;
                } else {
                    map.remove("$ref");
                    map.insert("allOf".to_owned(), json!([reference]));
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(to_v3),
        _ => {}
    }
}

fn references(value: &Value, into: &mut BTreeSet<String>) {
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

fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

/// The kind in the plural: `Pods`, `Ingresses`, `NetworkPolicies`.
fn plural_words(kind: &str) -> String {
    match kind.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'o']) => format!("{stem}ies"),
        _ if kind.ends_with("ss") => format!("{kind}es"),
        _ if kind.ends_with('s') => kind.to_owned(),
        _ => format!("{kind}s"),
    }
}

pub(crate) const API_VERSION: &str = "APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized schemas to the latest internal value, and may reject unrecognized values. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources";
pub(crate) const KIND: &str = "Kind is a string value representing the REST resource this object represents. Servers may infer this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";
