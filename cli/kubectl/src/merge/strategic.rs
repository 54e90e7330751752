//! Strategic merge patches made of three versions of an object: elements of lists are told apart by their keys,
//! and directives say what to delete and in which order the rest stands.

use serde_json::{Map, Value, json};

use super::schema::{Schema, Strategy};

type Object = Map<String, Value>;

const DELETE_PRIMITIVES: &str = "$deleteFromPrimitiveList";
const ORDER: &str = "$setElementOrder";
const RETAIN_KEYS: &str = "$retainKeys";

#[derive(Clone, Copy)]
struct Options {
    ignore_changes: bool,
    ignore_deletions: bool,
    retain_keys: bool,
}

/// The patch that makes `modified` of `current`; what is in neither `original` nor `modified` stays.
pub fn three_way(original: &Value, modified: &Value, current: &Value, schema: Schema<'_>) -> Result<Value, String> {
    let none = Map::new();
    let object = |value: &Value| value.as_object().cloned().unwrap_or_else(|| none.clone());
    let (original, modified, current) = (object(original), object(modified), object(current));
    let changes = difference(&current, &modified, schema, Options { ignore_changes: false, ignore_deletions: true, retain_keys: false })?;
    let mut patch = difference(&original, &modified, schema, Options { ignore_changes: true, ignore_deletions: false, retain_keys: false })?;
    merge(&mut patch, changes, schema);
    for field in ["apiVersion", "kind"] {
        if patch.contains_key(field) {
            return Err("At least one of apiVersion, kind and name was changed".into());
        }
    }
    if patch.get("metadata").is_some_and(|metadata| metadata.get("name").is_some()) {
        return Err("At least one of apiVersion, kind and name was changed".into());
    }
    Ok(Value::Object(patch))
}

fn difference(original: &Object, modified: &Object, schema: Schema<'_>, options: Options) -> Result<Object, String> {
    let mut patch = Map::new();
    for (key, new) in modified {
        let Some(old) = original.get(key) else {
            if !options.ignore_changes {
                patch.insert(key.clone(), new.clone());
            }
            continue;
        };
        match (old, new) {
            (Value::Object(old), Value::Object(inner)) => {
                let (schema, strategy) = schema.field(key);
                if strategy.replace {
                    if !options.ignore_changes {
                        patch.insert(key.clone(), new.clone());
                    }
                } else {
                    let below = difference(old, inner, schema, Options { retain_keys: strategy.retain_keys, ..options })?;
                    if !below.is_empty() {
                        patch.insert(key.clone(), Value::Object(below));
                    }
                }
            }
            (Value::Array(old), Value::Array(inner)) => {
                let (schema, strategy) = schema.field(key);
                if strategy.merge {
                    lists(key, old, inner, schema, &strategy, options, &mut patch)?;
                } else if old != inner && !options.ignore_changes {
                    patch.insert(key.clone(), new.clone());
                }
            }
            (old, new) if old != new && !options.ignore_changes => {
                patch.insert(key.clone(), new.clone());
            }
            _ => {}
        }
    }
    let gone: Vec<&String> = original.keys().filter(|key| !modified.contains_key(*key)).collect();
    if !options.ignore_deletions {
        gone.iter().for_each(|key| drop(patch.insert((*key).clone(), Value::Null)));
    }
    let kept: Vec<Value> = modified.iter().filter(|(_, value)| !value.is_null()).map(|(key, _)| key.clone().into()).collect();
    let more = gone.iter().any(|key| !original[*key].is_null());
    if options.retain_keys && !kept.is_empty() && (!patch.is_empty() || more) {
        patch.insert(RETAIN_KEYS.into(), Value::Array(kept));
    }
    Ok(patch)
}

fn lists(key: &str, old: &[Value], new: &[Value], schema: Schema<'_>, strategy: &Strategy, options: Options, patch: &mut Object) -> Result<(), String> {
    if old.is_empty() {
        if !new.is_empty() && !options.ignore_changes {
            patch.insert(key.to_owned(), new.to_vec().into());
        }
        return Ok(());
    }
    let objects = old.iter().chain(new).all(Value::is_object);
    if objects {
        let mut elements = elements(old, new, schema, &strategy.merge_key, options)?;
        let same_order = old.len() == new.len() && old.iter().zip(new).all(|(a, b)| a.get(&strategy.merge_key) == b.get(&strategy.merge_key));
        let ordered = (!options.ignore_changes && (!elements.is_empty() || !same_order)) || (!options.ignore_deletions && !elements.is_empty());
        // Those to change first, in the order in which they will stand, then those to delete.
        let place = |element: &Value| new.iter().position(|n| n.get(&strategy.merge_key) == element.get(&strategy.merge_key)).unwrap_or(usize::MAX);
        elements.sort_by_key(place);
        if !elements.is_empty() {
            patch.insert(key.to_owned(), elements.into());
        }
        if ordered {
            let order: Vec<Value> = new.iter().map(|element| json!({strategy.merge_key.as_str(): element[strategy.merge_key.as_str()]})).collect();
            patch.insert(format!("{ORDER}/{key}"), order.into());
        }
        return Ok(());
    }
    let mut added: Vec<Value> = if options.ignore_changes { Vec::new() } else { new.iter().filter(|v| !old.contains(v)).cloned().collect() };
    let mut deleted: Vec<Value> = if options.ignore_deletions { Vec::new() } else { old.iter().filter(|v| !new.contains(v)).cloned().collect() };
    added.dedup();
    deleted.dedup();
    let ordered = (!options.ignore_deletions && !deleted.is_empty()) || (!options.ignore_changes && old != new);
    if !added.is_empty() {
        patch.insert(key.to_owned(), added.into());
    }
    if !deleted.is_empty() {
        patch.insert(format!("{DELETE_PRIMITIVES}/{key}"), deleted.into());
    }
    if ordered {
        patch.insert(format!("{ORDER}/{key}"), new.to_vec().into());
    }
    Ok(())
}

fn elements(old: &[Value], new: &[Value], schema: Schema<'_>, merge_key: &str, options: Options) -> Result<Vec<Value>, String> {
    let mut patch = Vec::new();
    for element in old.iter().chain(new) {
        if element.get(merge_key).is_none() {
            return Err(format!("map: {} does not contain declared merge key: {merge_key}", crate::print::go(element)));
        }
    }
    let none = Map::new();
    for element in new {
        let name = &element[merge_key];
        match old.iter().find(|o| o[merge_key] == *name) {
            Some(existing) => {
                let mut below = difference(existing.as_object().unwrap_or(&none), element.as_object().unwrap_or(&none), schema, options)?;
                if !below.is_empty() {
                    below.insert(merge_key.to_owned(), name.clone());
                    patch.push(Value::Object(below));
                }
            }
            None if !options.ignore_changes => patch.push(element.clone()),
            None => {}
        }
    }
    if !options.ignore_deletions {
        for element in old.iter().filter(|o| !new.iter().any(|n| n[merge_key] == o[merge_key])) {
            patch.push(json!({"$patch": "delete", merge_key: element[merge_key]}));
        }
    }
    Ok(patch)
}

/// Puts one patch into another.
fn merge(into: &mut Object, from: Object, schema: Schema<'_>) {
    for (key, value) in from {
        let Some(old) = into.get_mut(&key) else {
            into.insert(key, value);
            continue;
        };
        match (old, value) {
            (Value::Object(old), Value::Object(new)) => merge(old, new, schema.field(&key).0),
            (Value::Array(old), Value::Array(new)) => {
                let (below, strategy) = schema.field(&key);
                if strategy.merge && new.iter().all(Value::is_object) {
                    for element in new {
                        match old.iter_mut().find(|o| o[strategy.merge_key.as_str()] == element[strategy.merge_key.as_str()]) {
                            Some(Value::Object(old)) => {
                                if let Value::Object(element) = element {
                                    merge(old, element, below);
                                }
                            }
                            _ => old.push(element),
                        }
                    }
                    // What is deleted comes last.
                    old.sort_by_key(|element| element.get("$patch").is_some());
                } else {
                    *old = new;
                }
            }
            (old, new) => *old = new,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::schema::tests::document;
    use super::*;

    fn check(original: &Value, modified: &Value, current: &Value, expected: &Value) {
        let document = document();
        let patch = three_way(original, modified, current, document.kind("x", "v1", "Thing").unwrap()).unwrap();
        assert_eq!(patch, *expected);
    }

    #[test]
    fn lists_are_merged_by_their_keys() {
        let original = json!({"spec": {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]}});
        let modified = json!({"spec": {"containers": [{"name": "a", "image": "2"}]}});
        let current = json!({"spec": {"containers": [{"name": "a", "image": "1", "x": 1}, {"name": "b", "image": "1"}, {"name": "injected"}]}});
        check(
            &original,
            &modified,
            &current,
            &json!({"spec": {"$setElementOrder/containers": [{"name": "a"}], "containers": [{"image": "2", "name": "a"}, {"$patch": "delete", "name": "b"}]}}),
        );
    }

    #[test]
    fn nothing_to_do_is_an_empty_patch() {
        let applied = json!({"spec": {"containers": [{"name": "a", "ports": [{"containerPort": 80}]}], "args": ["x"]}});
        let current = json!({"spec": {"containers": [{"name": "a", "ports": [{"containerPort": 80, "protocol": "TCP"}], "pull": "x"}], "args": ["x"], "y": 1}, "status": {}});
        check(&applied, &applied, &current, &json!({}));
    }

    #[test]
    fn values_of_plain_lists_and_kept_keys() {
        let original = json!({"metadata": {"labels": {"a": "1", "b": "2"}, "finalizers": ["x", "y"]}, "spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {}}}});
        let modified = json!({"metadata": {"labels": {"a": "2"}, "finalizers": ["y", "z"]}, "spec": {"strategy": {"type": "Recreate"}}});
        check(
            &original,
            &modified,
            &original,
            &json!({
                "metadata": {
                    "labels": {"a": "2", "b": null},
                    "$deleteFromPrimitiveList/finalizers": ["x"], "$setElementOrder/finalizers": ["y", "z"], "finalizers": ["z"],
                },
                "spec": {"strategy": {"$retainKeys": ["type"], "rollingUpdate": null, "type": "Recreate"}},
            }),
        );
    }

    #[test]
    fn names_do_not_change() {
        let named = |name: &str| json!({"metadata": {"name": name}});
        let document = document();
        assert!(three_way(&named("a"), &named("b"), &named("a"), document.kind("x", "v1", "Thing").unwrap()).is_err());
    }
}
