//! What a server's OpenAPI v3 document says of merging: which lists are merged, by which key.

use std::collections::HashMap;

use serde_json::Value;

/// The document of one group and version.
#[derive(Debug, Clone)]
pub struct Document {
    document: Value,
}

/// A place in a schema; it may be none.
#[derive(Debug, Clone, Copy)]
pub struct Schema<'a> {
    document: &'a Value,
    node: &'a Value,
}

/// How a field is merged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Strategy {
    /// Elements of a list are merged, or the fields of an object.
    pub merge: bool,
    /// The whole is replaced.
    pub replace: bool,
    /// Fields that are not named are cleared.
    pub retain_keys: bool,
    /// The field that tells elements apart.
    pub merge_key: String,
}

impl Document {
    /// Of a parsed document.
    pub fn new(document: Value) -> Document {
        Document { document }
    }

    /// The schema of a kind.
    pub fn kind(&self, group: &str, version: &str, kind: &str) -> Option<Schema<'_>> {
        let schemas = self.document["components"]["schemas"].as_object()?;
        let is = |gvk: &Value| gvk["group"] == group && gvk["version"] == version && gvk["kind"] == kind;
        let node = schemas.values().find(|schema| schema["x-kubernetes-group-version-kind"].as_array().is_some_and(|all| all.iter().any(is)))?;
        Some(Schema { document: &self.document, node })
    }

    /// Whether objects of the kind take strategic merge patches.
    pub fn takes_strategic(&self, group: &str, version: &str, kind: &str) -> bool {
        let paths = self.document["paths"].as_object().into_iter().flatten();
        let mut patches = paths.map(|(_, path)| &path["patch"]).filter(|patch| patch.is_object());
        patches
            .find(|patch| {
                let gvk = &patch["x-kubernetes-group-version-kind"];
                gvk["group"] == group && gvk["version"] == version && gvk["kind"] == kind
            })
            .is_some_and(|patch| patch["requestBody"]["content"].get("application/strategic-merge-patch+json").is_some())
    }
}

impl<'a> Schema<'a> {
    /// A schema that says nothing.
    pub fn none() -> Schema<'static> {
        Schema { document: &Value::Null, node: &Value::Null }
    }

    fn resolve(self, node: &'a Value) -> &'a Value {
        let mut node = node;
        // A reference leads to another at most a few times.
        for _ in 0..16 {
            let reference = node["$ref"].as_str().or_else(|| node["allOf"][0]["$ref"].as_str());
            match reference.and_then(|r| r.strip_prefix("#/components/schemas/")) {
                Some(name) => node = &self.document["components"]["schemas"][name],
                None => break,
            }
        }
        node
    }

    fn property(self, name: &str) -> &'a Value {
        let node = self.resolve(self.node);
        match node["properties"].get(name) {
            Some(property) => property,
            None => &node["additionalProperties"],
        }
    }

    /// The schema of a field, and how it is merged. Of a list it is the schema of its elements.
    pub fn field(self, name: &str) -> (Schema<'a>, Strategy) {
        let property = self.property(name);
        let strategies = property["x-kubernetes-patch-strategy"].as_str().unwrap_or_default();
        let has = |word: &str| strategies.split(',').any(|strategy| strategy == word);
        let strategy = Strategy {
            merge: has("merge"),
            replace: has("replace"),
            retain_keys: has("retainKeys"),
            merge_key: property["x-kubernetes-patch-merge-key"].as_str().unwrap_or_default().to_owned(),
        };
        let resolved = self.resolve(property);
        let node = if resolved["type"] == "array" { &resolved["items"] } else { property };
        (Schema { document: self.document, node }, strategy)
    }
}

/// Documents that were fetched, by group and version.
pub type Documents = HashMap<String, Document>;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::json;

    /// A document like that of apps/v1, as far as tests need it.
    pub(crate) fn document() -> Document {
        Document::new(json!({
            "paths": {"/apis/x/v1/things/{name}": {"patch": {
                "x-kubernetes-group-version-kind": {"group": "x", "version": "v1", "kind": "Thing"},
                "requestBody": {"content": {"application/strategic-merge-patch+json": {}}},
            }}},
            "components": {"schemas": {
                "Thing": {
                    "x-kubernetes-group-version-kind": [{"group": "x", "version": "v1", "kind": "Thing"}],
                    "properties": {
                        "metadata": {"properties": {
                            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                            "finalizers": {"type": "array", "items": {"type": "string"}, "x-kubernetes-patch-strategy": "merge"},
                        }},
                        "spec": {"allOf": [{"$ref": "#/components/schemas/Spec"}]},
                    },
                },
                "Spec": {"properties": {
                    "containers": {"type": "array", "items": {"$ref": "#/components/schemas/Container"}, "x-kubernetes-patch-strategy": "merge", "x-kubernetes-patch-merge-key": "name"},
                    "strategy": {"allOf": [{"$ref": "#/components/schemas/Strategy"}], "x-kubernetes-patch-strategy": "retainKeys"},
                    "args": {"type": "array", "items": {"type": "string"}},
                }},
                "Container": {"properties": {
                    "ports": {"type": "array", "items": {"$ref": "#/components/schemas/Port"}, "x-kubernetes-patch-strategy": "merge", "x-kubernetes-patch-merge-key": "containerPort"},
                }},
                "Port": {"properties": {}},
                "Strategy": {"properties": {"rollingUpdate": {"type": "object"}}},
            }},
        }))
    }

    #[test]
    fn strategies_are_found_behind_references() {
        let document = document();
        assert!(document.takes_strategic("x", "v1", "Thing"));
        assert!(!document.takes_strategic("x", "v1", "Other"));
        let (spec, _) = document.kind("x", "v1", "Thing").unwrap().field("spec");
        let (container, strategy) = spec.field("containers");
        assert_eq!((strategy.merge, strategy.merge_key.as_str()), (true, "name"));
        assert_eq!(container.field("ports").1.merge_key, "containerPort");
        assert!(spec.field("strategy").1.retain_keys);
        assert_eq!(spec.field("unknown").1, Strategy::default());
    }
}
