//! Patches: JSON patch (RFC 6902), JSON merge patch (RFC 7386), and Kubernetes' strategic merge patch.

mod strategic;

use serde_json::Value;

use crate::status::ApiError;
pub use strategic::strategic_merge;

/// A JSON patch may have so many operations.
pub const MAX_OPERATIONS: usize = 10_000;

/// The JSON of a patch's body, or a 400.
pub fn parse(body: &[u8]) -> Result<Value, ApiError> {
    let mut scanner = crate::json::Scanner::new(body);
    scanner.skip().and_then(|()| scanner.finish()).map_err(|e| ApiError::bad_request(format!("error decoding patch: {e}")))?;
    serde_json::from_slice(body).map_err(|e| ApiError::bad_request(format!("error decoding patch: {e}")))
}

/// Applies a list of operations.
pub fn json_patch(original: &Value, patch: &Value) -> Result<Value, ApiError> {
    let bad = |e: String| ApiError::bad_request(format!("error decoding patch: {e}"));
    let Value::Array(operations) = patch else {
        return Err(bad(format!("json: cannot unmarshal {} into Go value of type jsonpatch.Patch", word(patch))));
    };
    if operations.len() > MAX_OPERATIONS {
        let message = format!("The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}", operations.len());
        return Err(ApiError::too_large(message));
    }
    let mut patched = original.clone();
    let mut bounds = Bounds { copied: MAX_COPIED, visited: MAX_VISITED };
    for operation in operations {
        // One at a time, so that an unknown operation fails as one that cannot be applied.
        let operation: json_patch::PatchOperation = serde_json::from_value(operation.clone()).map_err(|_| ApiError::unprocessable())?;
        bounds.allow(&patched, &operation).ok_or_else(ApiError::unprocessable)?;
        json_patch::patch(&mut patched, std::slice::from_ref(&operation)).map_err(|_| ApiError::unprocessable())?;
    }
    Ok(patched)
}

/// What all copies of a patch may add together, in bytes: as much as a body may have.
const MAX_COPIED: usize = 3 << 20;
/// How many values may be looked at for it.
const MAX_VISITED: usize = 5_000_000;

/// What is left to a patch: operations on what earlier ones made could double the object with each, or nest it without end.
struct Bounds {
    copied: usize,
    visited: usize,
}

impl Bounds {
    /// Whether the operation stays within; `None` if not.
    fn allow(&mut self, document: &Value, operation: &json_patch::PatchOperation) -> Option<()> {
        use json_patch::PatchOperation::{Add, Copy, Move, Remove, Replace, Test};
        let (path, value, copies) = match operation {
            Add(o) => (&o.path, Some(&o.value), false),
            Replace(o) => (&o.path, Some(&o.value), false),
            Move(o) => (&o.path, document.pointer(o.from.as_str()), false),
            Copy(o) => (&o.path, document.pointer(o.from.as_str()), true),
            Remove(_) | Test(_) => return Some(()),
        };
        // What is not there fails when it is applied.
        let Some(value) = value else { return Some(()) };
        let room = crate::json::MAX_DEPTH.checked_sub(path.as_str().matches('/').count())?;
        let size = self.size(value, room)?;
        if copies {
            self.copied = self.copied.checked_sub(size)?;
        }
        Some(())
    }

    /// The bytes of a value, about; `None` if it is nested deeper than there is room, or too much has been looked at.
    fn size(&mut self, value: &Value, room: usize) -> Option<usize> {
        self.visited = self.visited.checked_sub(1)?;
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => Some(8),
            Value::String(text) => Some(text.len() + 2),
            Value::Array(list) => {
                let room = room.checked_sub(1)?;
                list.iter().try_fold(2, |sum, v| Some(sum + 1 + self.size(v, room)?))
            }
            Value::Object(map) => {
                let room = room.checked_sub(1)?;
                map.iter().try_fold(2, |sum, (k, v)| Some(sum + k.len() + 4 + self.size(v, room)?))
            }
        }
    }
}

/// Applies a merge patch, which must be an object.
pub fn merge_patch(original: &Value, patch: &Value) -> Result<Value, ApiError> {
    if !patch.is_object() {
        let message = format!("error decoding patch: json: cannot unmarshal {} into Go value of type map[string]interface {{}}", word(patch));
        return Err(ApiError::bad_request(message));
    }
    let mut patched = original.clone();
    json_patch::merge(&mut patched, patch);
    Ok(patched)
}

fn word(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn json_patches() {
        let original = json!({"a": {"b": [1, 2]}, "c": "x"});
        let apply = |patch: Value| json_patch(&original, &patch).map_err(|e| (e.code(), e.message().to_owned()));
        assert_eq!(apply(json!([{"op": "add", "path": "/a/b/-", "value": 3}])), Ok(json!({"a": {"b": [1, 2, 3]}, "c": "x"})));
        assert_eq!(apply(json!([{"op": "add", "path": "/a/x~1y~0", "value": 1}])), Ok(json!({"a": {"b": [1, 2], "x/y~": 1}, "c": "x"})));
        assert_eq!(apply(json!([{"op": "test", "path": "/c", "value": "x"}, {"op": "remove", "path": "/a/b/0"}])), Ok(json!({"a": {"b": [2]}, "c": "x"})));
        let refused = (422, "the server rejected our request due to an error in our request".to_owned());
        for patch in [json!([{"op": "test", "path": "/c", "value": "y"}]), json!([{"op": "remove", "path": "/z"}]), json!([{"op": "what", "path": "/c"}])] {
            assert_eq!(apply(patch), Err(refused.clone()));
        }
        assert_eq!(apply(json!({})).unwrap_err().0, 400);
    }

    #[test]
    fn patches_that_feed_on_themselves_end() {
        let original = json!({"a": {"b": "x".repeat(1000)}});
        let doubled: Vec<Value> = (0..14).map(|i| json!({"op": "copy", "from": "/a", "path": format!("/a/c{i}")})).collect();
        assert_eq!(json_patch(&original, &json!(doubled)).unwrap_err().code(), 422);
        assert!(json_patch(&original, &json!(doubled[..8])).is_ok());
        // Each move puts what there is below one level more.
        let nested: Vec<Value> = (0..400)
            .flat_map(|_| {
                [
                    json!({"op": "move", "from": "/a", "path": "/b"}),
                    json!({"op": "add", "path": "/a", "value": {}}),
                    json!({"op": "move", "from": "/b", "path": "/a/a"}),
                ]
            })
            .collect();
        assert_eq!(json_patch(&original, &json!(nested)).unwrap_err().code(), 422);
        assert!(json_patch(&original, &json!(nested[..90])).is_ok());
        let wide = json!({"a": vec![0; 100_000], "b": 1});
        let moved: Vec<Value> = (0..10_000)
            .map(|i| if i % 2 == 0 { json!({"op": "move", "from": "/a", "path": "/c"}) } else { json!({"op": "move", "from": "/c", "path": "/a"}) })
            .collect();
        assert_eq!(json_patch(&wide, &json!(moved)).unwrap_err().code(), 422);
    }

    #[test]
    fn merge_patches() {
        let original = json!({"a": {"b": 1, "c": 2}, "d": [1]});
        assert_eq!(merge_patch(&original, &json!({"a": {"b": null, "x": {"y": null}}, "d": [2]})).unwrap(), json!({"a": {"c": 2, "x": {}}, "d": [2]}));
        assert_eq!(merge_patch(&original, &json!([])).unwrap_err().code(), 400);
        assert_eq!(parse(b"{]").unwrap_err().message(), "error decoding patch: invalid character ']' looking for beginning of object key string");
    }

    fn trees() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![Just(json!(1)), Just(json!("x")), Just(json!([1, 2]))];
        leaf.prop_recursive(3, 16, 3, |inner| prop::collection::btree_map("[a-c]", inner, 0..3).prop_map(|m| json!(m)))
            .prop_map(|v| if v.is_object() { v } else { json!({ "a": v }) })
    }

    /// The merge patch that leads from one tree to another.
    fn difference(from: &Value, to: &Value) -> Value {
        let (Some(from), Some(to)) = (from.as_object(), to.as_object()) else { return to.clone() };
        let mut patch = serde_json::Map::new();
        for key in from.keys().filter(|k| !to.contains_key(*k)) {
            patch.insert(key.clone(), Value::Null);
        }
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
        Value::Object(patch)
    }

    proptest! {
        #[test]
        fn a_difference_leads_from_one_to_the_other(from in trees(), to in trees()) {
            let patch = difference(&from, &to);
            prop_assert_eq!(merge_patch(&from, &patch).unwrap(), to.clone());
            // Where no list is merged by key, a strategic merge patch does the same.
            let types = crate::types::Types::default();
            prop_assert_eq!(strategic_merge(&types, &crate::types::Type::Any, &from, &patch).unwrap(), to);
        }
    }
}
