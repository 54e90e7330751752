//! JSON as Go writes it, which escapes what HTML would misread.

use serde_json::Value;

/// One line.
pub fn compact(value: &Value) -> String {
    escape(&value.to_string())
}

/// Indented by four spaces, with a line break at its end.
pub fn pretty(value: &Value) -> String {
    use serde::Serialize;
    let mut bytes = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, serde_json::ser::PrettyFormatter::with_indent(b"    "));
    // A Value is always serialisable.
    let _ = value.serialize(&mut serializer);
    let mut text = escape(&String::from_utf8_lossy(&bytes));
    text.push('\n');
    text
}

/// The same without the line break, with fields in the order that `order` has for the field they are in (`""` at the
/// top); others follow by name.
pub fn pretty_in_order(value: &Value, order: &dyn Fn(&str) -> &'static [&'static str]) -> String {
    let mut text = String::new();
    in_order(value, "", 0, order, &mut text);
    text
}

fn in_order(value: &Value, parent: &str, indent: usize, order: &dyn Fn(&str) -> &'static [&'static str], out: &mut String) {
    let pad = |indent: usize, out: &mut String| out.extend(std::iter::repeat_n(' ', indent));
    let (open, close, entries): (char, char, Vec<(Option<&String>, &Value)>) = match value {
        Value::Object(map) if !map.is_empty() => {
            let known = order(parent);
            let mut fields: Vec<_> = map.iter().map(|(key, value)| (Some(key), value)).collect();
            fields.sort_by_key(|(key, _)| known.iter().position(|known| key.is_some_and(|key| key == known)).unwrap_or(known.len()));
            ('{', '}', fields)
        }
        Value::Array(items) if !items.is_empty() => ('[', ']', items.iter().map(|item| (None, item)).collect()),
        other => {
            out.push_str(&compact(other));
            return;
        }
    };
    out.push(open);
    for (at, (key, value)) in entries.into_iter().enumerate() {
        out.push_str(if at > 0 { ",\n" } else { "\n" });
        pad(indent + 4, out);
        if let Some(key) = key {
            out.push_str(&format!("{}: ", compact(&Value::String(key.clone()))));
        }
        in_order(value, key.map_or(parent, String::as_str), indent + 4, order, out);
    }
    out.push('\n');
    pad(indent, out);
    out.push(close);
}

fn escape(text: &str) -> String {
    if !text.contains(['<', '>', '&', '\u{2028}', '\u{2029}', '\u{8}', '\u{c}']) && !text.contains("\\b") && !text.contains("\\f") {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn it_is_escaped_as_go_does() {
        assert_eq!(compact(&json!({"b": "a<b&c>", "a": [1]})), r#"{"a":[1],"b":"a\u003cb\u0026c\u003e"}"#);
        assert_eq!(pretty(&json!({"a": {}, "b": [], "c": [1]})), "{\n    \"a\": {},\n    \"b\": [],\n    \"c\": [\n        1\n    ]\n}\n");
    }
}
