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
