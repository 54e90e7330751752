//! Merge patches of RFC 7386, made of three versions of an object.

use serde_json::{Map, Value};

/// The patch that makes `modified` of `current`; what is in neither `original` nor `modified` stays.
pub fn three_way(original: &Value, modified: &Value, current: &Value) -> Value {
    let mut changes = difference(current, modified);
    keep(&mut changes, false);
    let mut deletions = difference(original, modified);
    keep(&mut deletions, true);
    combine(&mut deletions, changes);
    if deletions.is_null() { Value::Object(Map::new()) } else { deletions }
}

/// The merge patch from one value to another.
pub fn difference(from: &Value, to: &Value) -> Value {
    let none = Map::new();
    let (from, Some(to)) = (from.as_object().unwrap_or(&none), to.as_object()) else { return to.clone() };
    let mut patch = Map::new();
    for (key, value) in to {
        match from.get(key) {
            Some(old) if old == value => {}
            Some(old) if old.is_object() && value.is_object() => {
                patch.insert(key.clone(), difference(old, value));
            }
            _ => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    for key in from.keys().filter(|key| !to.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    Value::Object(patch)
}

/// Keeps only the nulls of a patch, or everything else.
fn keep(patch: &mut Value, nulls: bool) {
    let Some(map) = patch.as_object_mut() else { return };
    map.retain(|_, value| {
        keep(value, nulls);
        match value {
            Value::Null => nulls,
            Value::Object(inner) => !inner.is_empty() || !nulls,
            _ => !nulls,
        }
    });
    if !nulls {
        map.retain(|_, value| !value.as_object().is_some_and(Map::is_empty));
    }
}

fn combine(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                match into.get_mut(&key) {
                    Some(old) => combine(old, value),
                    None => {
                        into.insert(key, value);
                    }
                }
            }
        }
        (into, from) => *into = from,
    }
}

/// A patch applied.
pub fn apply(target: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    if let Some(map) = target.as_object_mut() {
        for (key, value) in patch {
            if value.is_null() {
                map.remove(key);
            } else {
                apply(map.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_was_never_said_stays() {
        let original = json!({"a": 1, "gone": 2, "deep": {"x": 1, "gone": 1}});
        let modified = json!({"a": 2, "deep": {"x": 1, "new": [1]}});
        let current = json!({"a": 1, "gone": 2, "deep": {"x": 1, "gone": 1, "server": 1}, "status": 1});
        let patch = three_way(&original, &modified, &current);
        assert_eq!(patch, json!({"a": 2, "gone": null, "deep": {"gone": null, "new": [1]}}));
        let mut live = current;
        apply(&mut live, &patch);
        assert_eq!(live, json!({"a": 2, "deep": {"x": 1, "server": 1, "new": [1]}, "status": 1}));
        assert_eq!(three_way(&modified, &modified, &modified), json!({}));
    }
}
