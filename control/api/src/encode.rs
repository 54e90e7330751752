//! Objects to the bytes that are stored and served.

use crate::json::Scanner;
use crate::kind::DynObject;
use crate::status::ApiError;

/// The JSON of an object with an empty `metadata.resourceVersion`, and the offset between its quotes, where the store puts the revision.
pub fn encode(object: &dyn DynObject) -> Result<(Vec<u8>, usize), ApiError> {
    let mut json = Vec::with_capacity(1024);
    object.encode(&mut json).map_err(|e| ApiError::internal(format!("encoding the object: {e}")))?;
    let at = empty_resource_version(&mut json).ok_or_else(|| ApiError::internal("encoding the object: it has no metadata"))?;
    Ok((json, at))
}

/// Empties the resource version that stands in the JSON, or puts in an empty one.
pub fn empty_resource_version(json: &mut Vec<u8>) -> Option<usize> {
    const FIELD: &[u8] = b"\"resourceVersion\":\"\"";
    let mut scanner = Scanner::new(json);
    let metadata = scanner.enter(b"metadata")?;
    match scanner.enter(b"resourceVersion") {
        Some(value) => {
            scanner.skip().ok()?;
            let end = scanner.position();
            json.drain(value + 1..end - 1);
            Some(value + 1)
        }
        None => {
            let open = metadata + 1;
            let empty = json.get(open) == Some(&b'}');
            let comma: &[u8] = if empty { b"" } else { b"," };
            json.splice(open..open, FIELD.iter().chain(comma).copied());
            Some(open + FIELD.len() - 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(object: serde_json::Value) {
        let mut bytes = serde_json::to_vec(&object).unwrap();
        let at = empty_resource_version(&mut bytes).unwrap();
        bytes.splice(at..at, *b"42");
        let mut expected = object;
        expected["metadata"]["resourceVersion"] = json!("42");
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&bytes).unwrap(), expected);
    }

    #[test]
    fn the_revision_goes_where_it_belongs() {
        check(json!({"metadata": {}}));
        check(json!({"metadata": {"name": "a"}}));
        check(json!({"metadata": {"resourceVersion": ""}}));
        check(json!({"metadata": {"name": "a", "resourceVersion": "17", "uid": "u"}, "spec": {"resourceVersion": "1"}}));
        check(
            json!({"a": {"metadata": {"resourceVersion": ""}}, "metadata": {"annotations": {"resourceVersion": "", "x": "\"resourceVersion\":\"\"\\"}, "uid": "u"}}),
        );
    }

    #[test]
    fn without_metadata_there_is_no_place() {
        assert_eq!(empty_resource_version(&mut b"{}".to_vec()), None);
        assert_eq!(empty_resource_version(&mut b"[".to_vec()), None);
    }
}
