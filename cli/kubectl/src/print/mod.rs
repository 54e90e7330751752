//! What objects look like: tables, YAML, JSON, names and templates. Nothing here does I/O.

pub mod age;
pub mod columns;
pub mod json;
pub mod jsonpath;
pub mod output;
pub mod sort;
pub mod table;
pub mod tabwriter;
pub mod yaml;

use serde_json::Value;

/// A value as Go's `fmt` prints it.
pub fn go(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".into(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => n.to_string(),
        Value::String(s) => s.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(go).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => format!("map[{}]", map.iter().map(|(key, value)| format!("{key}:{}", go(value))).collect::<Vec<_>>().join(" ")),
    }
}

/// A text in quotes, as Go's `%q` has it.
pub fn quoted(text: &str) -> String {
    format!("{text:?}")
}
