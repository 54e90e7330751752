//! Objects as rules see them: fields by the names that an expression can say, texts as what their format makes of them.

use std::collections::HashMap;
use std::sync::Arc;

use kube_cel::cel::Value as Cel;
use kube_cel::cel::objects::{Key, Map};
use serde_json::Value;

use super::eval::function;
use crate::custom::schema::{Additional, Schema};

const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// A field's name in expressions; `None` where it has none.
pub(crate) fn escaped(name: &str) -> Option<String> {
    if RESERVED.contains(&name) {
        return Some(format!("__{name}__"));
    }
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(c) = rest.chars().next() {
        let mut used = c.len_utf8();
        match c {
            '_' if rest.starts_with("__") => {
                out.push_str("__underscores__");
                used = 2;
            }
            '.' => out.push_str("__dot__"),
            '-' => out.push_str("__dash__"),
            '/' => out.push_str("__slash__"),
            c if c.is_ascii_alphanumeric() || c == '_' => out.push(c),
            _ => return None,
        }
        rest = &rest[used..];
    }
    Some(out)
}

/// A value of a schema. At the root of a resource there is also what every object has.
pub(crate) fn of(value: &Value, schema: &Schema, resource: bool) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(b) => Cel::Bool(*b),
        Value::Number(n) => match (n.as_i64(), schema.kind.as_str()) {
            (Some(i), "number") => Cel::Float(i as f64),
            (Some(i), _) => Cel::Int(i),
            (None, _) => Cel::Float(n.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => of_text(text, schema),
        Value::Array(list) => {
            let any = Schema::default();
            let items = schema.items.as_deref().unwrap_or(&any);
            Cel::List(Arc::new(list.iter().map(|v| of(v, items, items.embedded)).collect()))
        }
        Value::Object(map) => {
            let mut out = HashMap::new();
            let named = !schema.properties.is_empty() || schema.additional.is_none();
            for (name, value) in map {
                if resource && matches!(name.as_str(), "apiVersion" | "kind") {
                    out.insert(Key::from(name.as_str()), untyped(value));
                } else if resource && name == "metadata" {
                    out.insert(Key::from("metadata"), metadata(value));
                } else if let Some(field) = schema.properties.get(name) {
                    if let Some(name) = escaped(name) {
                        out.insert(Key::from(name), of(value, field, field.embedded));
                    }
                } else if let Some(Additional::Of(values)) = &schema.additional {
                    out.insert(Key::from(name.as_str()), of(value, values, values.embedded));
                } else if !named {
                    out.insert(Key::from(name.as_str()), untyped(value));
                }
            }
            Cel::Map(Map { map: Arc::new(out) })
        }
    }
}

fn of_text(text: &str, schema: &Schema) -> Cel {
    let plain = || Cel::String(Arc::new(text.to_owned()));
    if schema.int_or_string {
        return plain();
    }
    match schema.format.replace('-', "").as_str() {
        "datetime" => function("timestamp", plain()).unwrap_or_else(plain),
        "date" => function("timestamp", Cel::from(format!("{text}T00:00:00Z"))).unwrap_or_else(plain),
        "duration" => function("duration", plain()).unwrap_or_else(plain),
        "byte" => {
            use base64::Engine as _;
            base64::engine::general_purpose::STANDARD.decode(text).map_or_else(|_| plain(), |bytes| Cel::Bytes(Arc::new(bytes)))
        }
        _ => plain(),
    }
}

/// Of its metadata a rule sees the name.
fn metadata(value: &Value) -> Cel {
    let named = ["name", "generateName"].into_iter().filter_map(|n| Some((Key::from(n), untyped(value.get(n)?))));
    Cel::Map(Map { map: Arc::new(named.collect()) })
}

fn untyped(value: &Value) -> Cel {
    of(value, &Schema { additional: Some(Additional::Allowed(true)), ..Schema::default() }, false)
}
