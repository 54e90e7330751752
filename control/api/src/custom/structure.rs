//! What becomes of a value before it is checked: unknown fields go, defaults come.

use serde_json::{Map, Value};

use super::schema::{Additional, Schema};

/// The fields of an object that no schema has to name.
const META: [&str; 3] = ["apiVersion", "kind", "metadata"];
/// The fields of metadata.
const FIELDS_OF_META: [&str; 15] = [
    "name",
    "generateName",
    "namespace",
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "managedFields",
];
/// At most so many unknown fields are told.
const MOST_UNKNOWN: usize = 100;

/// Drops the fields of an object's content that the schema does not name. Returns their paths, sorted.
pub(crate) fn prune(content: &mut Map<String, Value>, schema: &Schema) -> Vec<String> {
    let mut pruner = Pruner { path: Vec::new(), unknown: Vec::new() };
    pruner.object(content, Some(schema), true);
    pruner.unknown.sort();
    pruner.unknown
}

/// The same of a value that is no object of the API.
pub(crate) fn prune_value(value: &mut Value, schema: &Schema) {
    Pruner { path: Vec::new(), unknown: Vec::new() }.value(value, Some(schema));
}

struct Pruner {
    path: Vec<String>,
    unknown: Vec<String>,
}

impl Pruner {
    fn value(&mut self, value: &mut Value, schema: Option<&Schema>) {
        match value {
            Value::Object(map) => self.object(map, schema, schema.is_some_and(|s| s.embedded)),
            Value::Array(list) => self.list(list, schema),
            _ => {}
        }
    }

    fn object(&mut self, map: &mut Map<String, Value>, schema: Option<&Schema>, resource: bool) {
        let open = schema.is_some_and(|s| s.open);
        map.retain(|name, value| {
            if resource && META.contains(&name.as_str()) {
                if name == "metadata"
                    && let Value::Object(meta) = value
                {
                    self.metadata(meta);
                }
                return true;
            }
            self.path.push(if self.path.is_empty() { name.clone() } else { format!(".{name}") });
            let kept = match schema.map(|s| (s.properties.get(name), &s.additional)) {
                Some((Some(field), _)) => {
                    self.value(value, Some(field));
                    true
                }
                Some((None, Some(additional))) => {
                    let inner = if let Additional::Of(inner) = additional { Some(&**inner) } else { None };
                    self.value(value, inner);
                    true
                }
                _ if open => true,
                _ => {
                    if self.unknown.len() < MOST_UNKNOWN {
                        self.unknown.push(self.path.concat());
                    }
                    false
                }
            };
            self.path.pop();
            kept
        });
    }

    /// What no object has in its metadata. An object's own is not here: it is typed.
    fn metadata(&mut self, meta: &mut Map<String, Value>) {
        meta.retain(|name, _| {
            let known = FIELDS_OF_META.contains(&name.as_str());
            if !known && self.unknown.len() < MOST_UNKNOWN {
                self.unknown.push(format!("{}.metadata.{name}", self.path.concat()));
            }
            known
        });
    }

    fn list(&mut self, list: &mut [Value], schema: Option<&Schema>) {
        let open = schema.is_some_and(|s| s.open);
        let items = schema.and_then(|s| s.items.as_deref());
        if open && items.is_none() {
            return;
        }
        for (i, value) in list.iter_mut().enumerate() {
            self.path.push(format!("[{i}]"));
            self.value(value, items);
            self.path.pop();
        }
    }
}

/// Fills in what the schema says of fields that are not there. A `null` that may not be is as good as nothing.
pub(crate) fn default(content: &mut Map<String, Value>, schema: &Schema) {
    drop_nulls(content, schema);
    fill(content, schema);
}

fn drop_nulls(map: &mut Map<String, Value>, schema: &Schema) {
    map.retain(|name, value| {
        let Some(field) = schema.field(name) else { return true };
        if value.is_null() {
            return field.nullable || field.default.is_some();
        }
        drop_nulls_in(value, field);
        true
    });
}

fn drop_nulls_in(value: &mut Value, schema: &Schema) {
    match value {
        Value::Object(map) => drop_nulls(map, schema),
        Value::Array(list) => {
            if let Some(items) = &schema.items {
                list.iter_mut().for_each(|v| drop_nulls_in(v, items));
            }
        }
        _ => {}
    }
}

fn fill(map: &mut Map<String, Value>, schema: &Schema) {
    for (name, field) in &schema.properties {
        let Some(default) = &field.default else { continue };
        if map.get(name).is_none_or(|v| v.is_null() && !field.nullable) {
            map.insert(name.clone(), default.clone());
        }
    }
    for (name, value) in map.iter_mut() {
        let Some(field) = schema.field(name) else { continue };
        if let (Value::Null, false, Some(default)) = (&*value, field.nullable, &field.default) {
            *value = default.clone();
        }
        fill_in(value, field);
    }
}

fn fill_in(value: &mut Value, schema: &Schema) {
    match value {
        Value::Object(map) => fill(map, schema),
        Value::Array(list) => {
            let Some(items) = &schema.items else { return };
            for value in list {
                if let (Value::Null, false, Some(default)) = (&*value, items.nullable, &items.default) {
                    *value = default.clone();
                }
                fill_in(value, items);
            }
        }
        _ => {}
    }
}
