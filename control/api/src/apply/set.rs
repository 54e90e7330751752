//! Sets of fields, as `managedFields` keep them (`FieldsV1`).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// A set of fields: whether the field itself is in it, and the sets below it.
///
/// Steps are written as in `FieldsV1`: `f:name`, `k:{"name":"c"}`, `v:"text"`, `i:0`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    pub(super) here: bool,
    pub(super) below: BTreeMap<String, Set>,
}

impl Set {
    /// From `FieldsV1`.
    pub fn from_fields_v1(fields: &Value) -> Set {
        let mut set = Set::default();
        for (step, below) in fields.as_object().into_iter().flatten() {
            if step == "." {
                set.here = true;
                continue;
            }
            let mut child = Set::from_fields_v1(below);
            child.here |= child.below.is_empty();
            set.below.insert(step.clone(), child);
        }
        set
    }

    /// As `FieldsV1`.
    pub fn to_fields_v1(&self) -> Value {
        let mut out = Map::new();
        if self.here && !self.below.is_empty() {
            out.insert(".".to_owned(), Value::Object(Map::new()));
        }
        for (step, below) in &self.below {
            out.insert(step.clone(), below.to_fields_v1());
        }
        Value::Object(out)
    }

    /// Whether no field is in it.
    pub fn is_empty(&self) -> bool {
        !self.here && self.below.values().all(Set::is_empty)
    }

    /// The set below a step, made if there is none.
    pub(super) fn child(&mut self, step: String) -> &mut Set {
        self.below.entry(step).or_default()
    }

    /// What is in either.
    #[must_use]
    pub fn union(&self, other: &Set) -> Set {
        let mut out = self.clone();
        out.here |= other.here;
        for (step, below) in &other.below {
            let merged = out.below.get(step).map_or_else(|| below.clone(), |b| b.union(below));
            out.below.insert(step.clone(), merged);
        }
        out
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(&self, other: &Set) -> Set {
        let below = self.below.iter().filter_map(|(step, set)| Some((step.clone(), set.intersection(other.below.get(step)?))));
        Set { here: self.here && other.here, below: below.filter(|(_, s)| !s.is_empty()).collect() }
    }

    /// What is in this one only.
    #[must_use]
    pub fn difference(&self, other: &Set) -> Set {
        let below = self.below.iter().map(|(step, set)| (step.clone(), other.below.get(step).map_or_else(|| set.clone(), |o| set.difference(o))));
        Set { here: self.here && !other.here, below: below.filter(|(_, s)| !s.is_empty()).collect() }
    }

    /// Without these fields and all below them.
    #[must_use]
    pub fn without(&self, paths: &[&[&str]]) -> Set {
        let mut out = self.clone();
        for path in paths {
            out.remove(path);
        }
        out
    }

    fn remove(&mut self, path: &[&str]) {
        match path {
            [] => {}
            [last] => {
                self.below.remove(*last);
            }
            [step, rest @ ..] => {
                if let Some(child) = self.below.get_mut(*step) {
                    child.remove(rest);
                    if child.is_empty() {
                        self.below.remove(*step);
                    }
                }
            }
        }
    }

    /// Every field in it, as Kubernetes writes paths: `.spec.containers[name="c"].image`.
    pub fn paths(&self) -> Vec<String> {
        let mut out = Vec::new();
        self.collect_paths("", &mut out);
        out
    }

    fn collect_paths(&self, prefix: &str, out: &mut Vec<String>) {
        if self.here {
            out.push(prefix.to_owned());
        }
        for (step, below) in &self.below {
            below.collect_paths(&format!("{prefix}{}", printed(step)), out);
        }
    }
}

fn printed(step: &str) -> String {
    let scalar = |v: &Value| v.as_str().map_or_else(|| v.to_string(), crate::field::quoted);
    match step.split_once(':') {
        Some(("f", name)) => format!(".{name}"),
        Some(("i", index)) => format!("[{index}]"),
        Some(("v", value)) => format!("[={}]", serde_json::from_str(value).map_or_else(|_| value.to_owned(), |v: Value| scalar(&v))),
        Some(("k", keys)) => {
            let keys: BTreeMap<String, Value> = serde_json::from_str(keys).unwrap_or_default();
            let keys: Vec<String> = keys.iter().map(|(k, v)| format!("{k}={}", scalar(v))).collect();
            format!("[{}]", keys.join(","))
        }
        _ => step.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_and_writes_fields_v1() {
        let fields = json!({"f:metadata": {"f:labels": {".": {}, "f:a": {}}}, "f:spec": {"f:containers": {"k:{\"name\":\"c\",\"port\":80}": {".": {}, "f:image": {}}},
            "f:finalizers": {"v:\"x\"": {}}}});
        let set = Set::from_fields_v1(&fields);
        assert_eq!(set.to_fields_v1(), fields);
        let paths = [
            ".metadata.labels",
            ".metadata.labels.a",
            ".spec.containers[name=\"c\",port=80]",
            ".spec.containers[name=\"c\",port=80].image",
            ".spec.finalizers[=\"x\"]",
        ];
        assert_eq!(set.paths(), paths);
        assert_eq!(set.without(&[&["f:spec", "f:containers"], &["f:metadata"]]).paths(), [".spec.finalizers[=\"x\"]"]);
    }

    fn sets() -> impl Strategy<Value = Set> {
        let leaf = Just(Set { here: true, below: BTreeMap::new() });
        leaf.prop_recursive(3, 12, 3, |inner| {
            (any::<bool>(), prop::collection::btree_map("f:[a-c]", inner, 1..3)).prop_map(|(here, below)| Set { here, below })
        })
        .prop_map(|mut s| {
            s.here = false;
            s
        })
    }

    proptest! {
        #[test]
        fn set_algebra(a in sets(), b in sets()) {
            prop_assert_eq!(Set::from_fields_v1(&a.to_fields_v1()), a.clone());
            let (only_a, both, only_b) = (a.difference(&b), a.intersection(&b), b.difference(&a));
            prop_assert_eq!(only_a.union(&both).union(&only_b).paths(), a.union(&b).paths());
            prop_assert!(only_a.intersection(&b).is_empty());
        }
    }
}
