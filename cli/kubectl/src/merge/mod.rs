//! Three-way merges: what must change so that the live object becomes what the manifest says, leaving alone what
//! the manifest never said. Pure: values in, a patch out.

pub mod json;
pub mod schema;
pub mod strategic;

use serde_json::{Value, json};

use crate::print::json::compact;

/// Where `apply` keeps what it applied last.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The manifest with itself in the annotation.
#[must_use]
pub fn annotated(manifest: &Value) -> Value {
    let mut bare = manifest.clone();
    if !bare["metadata"]["annotations"].is_object() {
        bare["metadata"]["annotations"] = json!({});
    }
    if let Some(annotations) = bare["metadata"]["annotations"].as_object_mut() {
        annotations.remove(LAST_APPLIED);
    }
    let text = format!("{}\n", compact(&bare));
    bare["metadata"]["annotations"][LAST_APPLIED] = text.into();
    bare
}

/// What was applied last; Null where there was nothing.
pub fn last_applied(live: &Value) -> Value {
    live["metadata"]["annotations"][LAST_APPLIED].as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null)
}

/// Leaves out fields that are null.
pub fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_annotation_says_what_was_applied() {
        let manifest = json!({"kind": "A", "metadata": {"name": "x"}});
        let modified = annotated(&manifest);
        assert_eq!(modified["metadata"]["annotations"][LAST_APPLIED], "{\"kind\":\"A\",\"metadata\":{\"annotations\":{},\"name\":\"x\"}}\n");
        assert_eq!(annotated(&modified), modified);
        assert_eq!(last_applied(&modified)["metadata"]["name"], "x");
    }
}
