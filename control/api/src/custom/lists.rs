//! Lists whose elements may be there only once: sets, and maps by key.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::schema::Schema;
use crate::field::{Error, Errors, Path};

/// The elements that are there twice, of all lists in an object.
pub(crate) fn duplicates(map: &Map<String, Value>, schema: &Schema, at: &Path) -> Errors {
    let mut errors = Errors::new();
    for (name, value) in map {
        if let Some(field) = schema.properties.get(name) {
            inside(value, field, &at.child(name), &mut errors);
        } else if let Some(values) = schema.values() {
            inside(value, values, &at.key(name), &mut errors);
        }
    }
    errors
}

fn inside(value: &Value, schema: &Schema, at: &Path, errors: &mut Errors) {
    match value {
        Value::Object(map) => errors.extend(duplicates(map, schema, at)),
        Value::Array(list) => {
            match schema.list_type.as_str() {
                "set" => errors.extend(repeated(list.iter()).into_iter().map(|i| Error::duplicate(&at.index(i), &list[i]))),
                "map" => keyed(list, schema, at, errors),
                _ => {}
            }
            if let Some(items) = &schema.items {
                for (i, item) in list.iter().enumerate() {
                    inside(item, items, &at.index(i), errors);
                }
            }
        }
        _ => {}
    }
}

fn keyed(list: &[Value], schema: &Schema, at: &Path, errors: &mut Errors) {
    if let Some(i) = list.iter().position(|v| !v.is_null() && !v.is_object()) {
        errors.push(Error::invalid(&at.index(i), &list[i], "must be an object for an array of list-type map"));
        return;
    }
    let key = |item: &Value| -> Value {
        let named = schema.list_map_keys.iter().filter_map(|k| Some((k.clone(), item.get(k)?.clone())));
        Value::Object(named.collect())
    };
    let keys: Vec<Value> = list.iter().map(key).collect();
    errors.extend(repeated(keys.iter()).into_iter().map(|i| Error::duplicate(&at.index(i), &keys[i])));
}

/// Where each value that is there more than once is for the second time.
fn repeated<'v>(values: impl Iterator<Item = &'v Value>) -> Vec<usize> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut twice = Vec::new();
    for (i, value) in values.enumerate() {
        let times = seen.entry(value.to_string()).or_default();
        *times += 1;
        if *times == 2 {
            twice.push(i);
        }
    }
    twice
}
