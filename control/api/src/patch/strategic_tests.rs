use expect_test::{Expect, expect};
use serde_json::json;

use super::*;
use crate::kind::Merge;

const PLAIN: Merge = Merge { definition: "x.v1.Spec", field: "", strategy: "", key: "", list_type: "", list_map_keys: &[] };

/// `Spec` with a list of `Item` merged by name (each with a merged list of ports), a merged list of scalars, a plain list, a union.
fn types() -> Types {
    let definitions = json!({
        "x.v1.Spec": {"type": "object", "properties": {
            "items": {"type": "array", "items": {"$ref": "#/definitions/x.v1.Item"}},
            "names": {"type": "array", "items": {"type": "string"}},
            "plain": {"type": "array", "items": {"type": "string"}},
            "whole": {"$ref": "#/definitions/x.v1.Item"},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "one": {"$ref": "#/definitions/x.v1.Item"},
        }},
        "x.v1.Item": {"type": "object", "properties": {
            "name": {"type": "string"},
            "image": {"type": "string"},
            "ports": {"type": "array", "items": {"$ref": "#/definitions/x.v1.Port"}},
        }},
        "x.v1.Port": {"type": "object", "properties": {"port": {"type": "integer"}, "protocol": {"type": "string"}}},
    });
    let merges = [
        Merge { field: "items", strategy: "merge", key: "name", ..PLAIN },
        Merge { field: "names", strategy: "merge", ..PLAIN },
        Merge { field: "whole", strategy: "replace", ..PLAIN },
        Merge { field: "one", strategy: "retainKeys", ..PLAIN },
        Merge { definition: "x.v1.Item", field: "ports", strategy: "merge", key: "port", ..PLAIN },
    ];
    Types::new(definitions.as_object().unwrap(), &merges)
}

fn merged(original: Value, patch: Value) -> Result<Value, ApiError> {
    let types = types();
    strategic_merge(&types, types.named("x.v1.Spec").unwrap(), &original, &patch)
}

#[test]
fn merges() {
    let items = json!({"items": [{"name": "a", "image": "1"}, {"name": "b", "image": "2", "ports": [{"port": 80}, {"port": 81}]}]});
    let table = [
        // Elements are found by key; what is new comes first, unless the server has both.
        (
            items.clone(),
            json!({"items": [{"name": "b", "image": "3"}]}),
            json!({"items": [{"name": "a", "image": "1"}, {"name": "b", "image": "3", "ports": [{"port": 80}, {"port": 81}]}]}),
        ),
        (json!({"items": [{"name": "a"}]}), json!({"items": [{"name": "n", "image": null}]}), json!({"items": [{"name": "n"}, {"name": "a"}]})),
        (
            items.clone(),
            json!({"items": [{"name": "a", "$patch": "delete"}, {"name": "b", "ports": [{"port": 80, "$patch": "delete"}, {"port": 81, "protocol": "UDP"}]}]}),
            json!({"items": [{"name": "b", "image": "2", "ports": [{"port": 81, "protocol": "UDP"}]}]}),
        ),
        (items.clone(), json!({"items": [{"$patch": "replace"}, {"name": "only"}]}), json!({"items": [{"name": "only"}]})),
        (items.clone(), json!({"items": null}), json!({})),
        (
            items.clone(),
            json!({"$setElementOrder/items": [{"name": "b"}, {"name": "a"}]}),
            json!({"items": [{"name": "b", "image": "2", "ports": [{"port": 80}, {"port": 81}]}, {"name": "a", "image": "1"}]}),
        ),
        (
            json!({"items": [{"name": "a"}, {"name": "s"}, {"name": "b"}]}),
            json!({"$setElementOrder/items": [{"name": "b"}, {"name": "n"}, {"name": "a"}], "items": [{"name": "n", "image": "x"}]}),
            json!({"items": [{"name": "s"}, {"name": "b"}, {"name": "n", "image": "x"}, {"name": "a"}]}),
        ),
        // Scalars.
        (json!({"names": ["x", "y"]}), json!({"names": ["z", "x"]}), json!({"names": ["z", "x", "y"]})),
        (json!({"names": ["x", "y"]}), json!({"$deleteFromPrimitiveList/names": ["x"]}), json!({"names": ["y"]})),
        (
            json!({"names": ["x", "y"]}),
            json!({"$deleteFromPrimitiveList/names": ["x"], "$setElementOrder/names": ["z", "y"], "names": ["z"]}),
            json!({"names": ["z", "y"]}),
        ),
        (json!({"plain": ["x", "y"]}), json!({"plain": ["z"]}), json!({"plain": ["z"]})),
        // Maps.
        (json!({"labels": {"a": "1", "b": "2"}}), json!({"labels": {"a": null, "c": "3"}}), json!({"labels": {"b": "2", "c": "3"}})),
        (json!({"labels": {"a": "1"}}), json!({"labels": {"$patch": "replace", "c": "3"}}), json!({"labels": {"c": "3"}})),
        (json!({"labels": {"a": "1"}}), json!({"labels": {"$patch": "delete"}}), json!({"labels": {}})),
        (json!({"whole": {"name": "a", "image": "1"}}), json!({"whole": {"name": "b"}}), json!({"whole": {"name": "b"}})),
        (json!({"one": {"name": "a", "image": "1"}}), json!({"one": {"$retainKeys": ["name"], "name": "b"}}), json!({"one": {"name": "b"}})),
        (
            json!({}),
            json!({"one": {"$retainKeys": ["name"], "name": "b", "image": null}, "items": [{"name": "x", "$patch": "delete"}]}),
            json!({"one": {"name": "b"}, "items": []}),
        ),
        (json!({"labels": {"a": "1"}}), json!({"$patch": "replace", "names": ["n"]}), json!({"names": ["n"]})),
    ];
    for (original, patch, expected) in table {
        assert_eq!(merged(original.clone(), patch.clone()), Ok(expected), "{original} with {patch}");
    }
}

fn refused(original: Value, patch: Value, expected: Expect) {
    let error = merged(original, patch).unwrap_err();
    expected.assert_eq(&format!("{} {}", error.code(), error.message()));
}

#[test]
fn refuses_in_kubernetes_words() {
    let items = || json!({"items": [{"name": "a"}], "names": ["x"]});
    refused(items(), json!({"items": [{"image": "z"}]}), expect!["500 map: map[image:z] does not contain declared merge key: name"]);
    refused(items(), json!({"items": [{"$patch": "what", "name": "a"}]}), expect!["500 unknown patch type: 'what' in map: map[$patch:what name:a]"]);
    refused(items(), json!({"$deleteFromPrimitiveList": ["x"]}), expect!["400 invalid patch format of primitive list"]);
    refused(items(), json!({"$retainKeys": ["items"], "names": []}), expect!["400 invalid patch format of retainKeys"]);
    refused(
        items(),
        json!({"$setElementOrder/items": [{"name": "b"}, {"name": "a"}], "items": [{"name": "a"}, {"name": "b"}]}),
        expect!["500 The order in patch list:\n[map[name:a] map[name:b]]\n doesn't match $setElementOrder list:\n[map[name:b] map[name:a]]\n"],
    );
    refused(items(), json!([]), expect!["400 json: cannot unmarshal array into Go value of type map[string]interface {}"]);
    refused(items(), json!("x"), expect!["400 json: cannot unmarshal string into Go value of type map[string]interface {}"]);
}
