//! `v1` ConfigMap: configuration, as text or bytes under keys.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::field::{Error, Errors, Path};
use crate::k8s_openapi::api::core::v1::ConfigMap;
use crate::kind::{Kind, Names, Scope};
use crate::kinds::checks::each;
use crate::kinds::columns::{age, age_cell, name, name_cell, text};
use crate::kinds::names;
use crate::meta::names::config_map_key;
use crate::table::Columns;

/// ConfigMap of `v1`.
pub struct ConfigMaps;

impl Kind for ConfigMaps {
    type Object = ConfigMap;

    const NAMES: Names = names("configmap", &["cm"], &[]);
    const SCOPE: Scope = Scope::Namespaced;

    fn validate(map: &ConfigMap) -> Errors {
        let mut errors = Errors::new();
        let mut size = 0;
        for (key, value) in map.data.iter().flatten() {
            let at = Path::new("data").key(key);
            errors.extend(each(&at, key, config_map_key(key)));
            if map.binary_data.as_ref().is_some_and(|data| data.contains_key(key)) {
                errors.push(Error::invalid(&at, key, "duplicate of key present in binaryData"));
            }
            size += value.len();
        }
        for (key, value) in map.binary_data.iter().flatten() {
            errors.extend(each(&Path::new("binaryData").key(key), key, config_map_key(key)));
            size += value.0.len();
        }
        if size > MAX_SIZE {
            errors.push(Error::too_long(&Path::new("[]"), MAX_SIZE));
        }
        errors
    }

    fn validate_update(new: &ConfigMap, old: &ConfigMap) -> Errors {
        let mut errors = Errors::new();
        if old.immutable == Some(true) {
            for (changed, field) in [
                (new.immutable != Some(true), "immutable"),
                (given(&new.data) != given(&old.data), "data"),
                (given(&new.binary_data) != given(&old.binary_data), "binaryData"),
            ] {
                if changed {
                    errors.push(Error::forbidden(&Path::new(field), IMMUTABLE));
                }
            }
        }
        errors.extend(Self::validate(new));
        errors
    }

    fn columns() -> Columns<ConfigMap> {
        Columns {
            columns: vec![
                name(),
                text(
                    "Data",
                    "Data contains the configuration data. Each key must consist of alphanumeric characters, '-', '_' or '.'. Values with non-UTF-8 byte sequences must use the BinaryData field. The keys stored in Data must not overlap with the keys in the BinaryData field, this is enforced during validation process.",
                ),
                age(),
            ],
            row: |map, now| {
                let keys = map.data.as_ref().map_or(0, BTreeMap::len) + map.binary_data.as_ref().map_or(0, BTreeMap::len);
                vec![name_cell(&map.metadata), Value::from(keys), age_cell(&map.metadata, now)]
            },
        }
    }
}

/// The most that all values may take, in bytes. The same holds for Secrets.
pub(crate) const MAX_SIZE: usize = 1024 * 1024;
/// Refused changes of what was sealed.
pub(crate) const IMMUTABLE: &str = "field is immutable when `immutable` is set";

/// A map in which nothing is the same as no map.
pub(crate) fn given<V>(map: &Option<BTreeMap<String, V>>) -> Option<&BTreeMap<String, V>> {
    map.as_ref().filter(|m| !m.is_empty())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::kinds::testing::{check_refused, check_row, check_update_refused};

    #[test]
    fn refuses_in_kubernetes_words() {
        check_refused::<ConfigMaps>(
            r#"
metadata: {name: m}
data: {a/b: "", x: ""}
binaryData: {x: ""}
"#,
            &expect![[r#"
                data[a/b]: Invalid value: "a/b": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')
                data[x]: Invalid value: "x": duplicate of key present in binaryData
            "#]],
        );
        check_update_refused::<ConfigMaps>(
            r#"
immutable: true
data: {a: "1"}
"#,
            r#"
data: {a: "2"}
"#,
            &expect![[r#"
                immutable: Forbidden: field is immutable when `immutable` is set
                data: Forbidden: field is immutable when `immutable` is set
            "#]],
        );
        check_update_refused::<ConfigMaps>(
            r#"
immutable: true
data: {a: "1"}
"#,
            r#"
immutable: true
data: {a: "1"}
metadata: {labels: {a: b}}
"#,
            &expect![[r#""#]],
        );
    }

    #[test]
    fn values_have_room_for_a_mebibyte() {
        let map = |n: usize| ConfigMap { data: Some([("a".to_owned(), "x".repeat(n))].into()), ..ConfigMap::default() };
        assert!(ConfigMaps::validate(&map(MAX_SIZE)).is_empty());
        assert_eq!(ConfigMaps::validate(&map(MAX_SIZE + 1))[0].to_string(), "[]: Too long: may not be more than 1048576 bytes");
    }

    #[test]
    fn prints_a_row() {
        check_row::<ConfigMaps>(
            r#"
metadata: {name: m, creationTimestamp: 2026-01-01T00:14:30Z}
data: {a: "1"}
binaryData: {b: AAEC}
"#,
            &expect![[r#"
                Name: m
                Data: 2
                Age: 30s
            "#]],
        );
    }
}
