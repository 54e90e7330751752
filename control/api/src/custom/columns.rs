//! Paths into objects (`.spec.size`, `.status.conditions[?(@.type=="Ready")].status`), and the columns that show what is there.

use std::borrow::Cow;

use jsonpath_rust::parser::model::JpQuery;
use jsonpath_rust::parser::parse_json_path;
use jsonpath_rust::query::js_path_process;
use serde_json::Value;

use crate::k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceColumnDefinition;
use crate::kinds::columns::{CREATED, human_duration, name};
use crate::kinds::normal::text;
use crate::table::{Column, Now};

/// A path that was understood.
pub(crate) struct Query(JpQuery);

impl Query {
    /// As kubectl and CustomResourceDefinitions write them. `None` if it is none.
    pub(crate) fn parse(path: &str) -> Option<Query> {
        parse_json_path(&standard(path)?).ok().map(Query)
    }

    /// The first value that it leads to.
    pub(crate) fn first<'v>(&self, tree: &'v Value) -> Option<&'v Value> {
        js_path_process(&self.0, tree).ok()?.into_iter().next().map(|found| found.val())
    }
}

/// A kind's columns, beside the name.
pub(crate) struct Printer {
    pub(crate) columns: Vec<Column>,
    queries: Vec<Option<Query>>,
}

impl Printer {
    /// What a version says; without a word the age.
    pub(crate) fn new(defined: &[CustomResourceColumnDefinition]) -> Printer {
        let mut printer = Printer { columns: vec![name()], queries: Vec::new() };
        if defined.is_empty() {
            printer.columns.push(Column::new("Age", "date", CREATED));
            printer.queries.push(Query::parse(".metadata.creationTimestamp"));
        }
        for column in defined {
            let described = text(&column.description);
            printer.columns.push(Column {
                name: Cow::Owned(column.name.clone()),
                kind: one_of(&column.type_, &["integer", "number", "string", "boolean", "date"]),
                format: one_of(text(&column.format), &["int32", "int64", "float", "double", "byte", "date", "date-time", "password"]),
                description: if described.is_empty() {
                    format!("Custom resource definition column (in JSONPath format): {}", column.json_path).into()
                } else {
                    described.to_owned().into()
                },
                priority: column.priority.unwrap_or(0),
            });
            printer.queries.push(Query::parse(&column.json_path));
        }
        printer
    }

    /// The cells of an object.
    pub(crate) fn row(&self, name: &str, tree: &Value, now: Now) -> Vec<Value> {
        let mut cells = vec![Value::from(name)];
        for (column, query) in self.columns[1..].iter().zip(&self.queries) {
            cells.push(query.as_ref().and_then(|q| q.first(tree)).map_or(Value::Null, |v| cell(column.kind, v, now)));
        }
        cells
    }
}

fn cell(kind: &str, value: &Value, now: Now) -> Value {
    match (kind, value) {
        (_, Value::Null) => Value::Null,
        ("string", Value::String(text)) => Value::from(text.as_str()),
        ("string", other) => Value::from(other.to_string()),
        ("integer", Value::Number(n)) => {
            #[expect(clippy::cast_possible_truncation, reason = "as Kubernetes does")]
            let whole = || n.as_f64().map(|f| f as i64);
            n.as_i64().or_else(whole).map_or(Value::Null, Value::from)
        }
        ("number", Value::Number(n)) => Value::Number(n.clone()),
        ("boolean", Value::Bool(b)) => Value::from(*b),
        ("date", Value::String(text)) => match text.parse::<jiff::Timestamp>() {
            Ok(time) => Value::from(human_duration(now.0.as_second() - time.as_second())),
            Err(_) => Value::from("<invalid>"),
        },
        _ => Value::Null,
    }
}

fn one_of(given: &str, known: &[&'static str]) -> &'static str {
    known.iter().find(|k| **k == given).copied().unwrap_or_default()
}

/// The path in the standard's form: `$['spec']['size']`.
fn standard(path: &str) -> Option<String> {
    let path = path.trim().trim_start_matches('{').trim_end_matches('}');
    let mut out = String::from("$");
    segments(path.strip_prefix('$').unwrap_or(path), &mut out)?;
    Some(out)
}

fn segments(path: &str, out: &mut String) -> Option<()> {
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(behind) = rest.strip_prefix("..") {
            out.push_str("..");
            rest = behind;
            if !rest.starts_with(['[', '*']) {
                rest = field(rest, out)?;
            } else if let Some(behind) = rest.strip_prefix('*') {
                out.push('*');
                rest = behind;
            }
        } else if let Some(behind) = rest.strip_prefix('.') {
            if behind.is_empty() {
                return Some(());
            }
            rest = match behind.strip_prefix('*') {
                Some(behind) => {
                    out.push_str("[*]");
                    behind
                }
                None if behind.starts_with('[') => behind,
                None => field(behind, out)?,
            };
        } else if rest.starts_with('[') {
            let end = closing(rest)?;
            let inside = rest[1..end].trim();
            out.push('[');
            match inside.strip_prefix('?') {
                Some(filter) => {
                    out.push('?');
                    conditions(filter, out)?;
                }
                None => out.push_str(inside),
            }
            out.push(']');
            rest = &rest[end + 1..];
        } else {
            rest = field(rest, out)?;
        }
    }
    Some(())
}

/// A name, up to the next `.` or `[` that is not escaped.
fn field<'p>(path: &'p str, out: &mut String) -> Option<&'p str> {
    let mut name = String::new();
    let mut chars = path.char_indices();
    let mut end = path.len();
    while let Some((i, c)) = chars.next() {
        match c {
            '\\' => name.push(chars.next()?.1),
            '.' | '[' => {
                end = i;
                break;
            }
            c => name.push(c),
        }
    }
    if name.is_empty() {
        return None;
    }
    out.push_str("['");
    out.push_str(&name.replace('\\', "\\\\").replace('\'', "\\'"));
    out.push_str("']");
    Some(&path[end..])
}

/// Where the bracket that a path begins with closes.
fn closing(path: &str) -> Option<usize> {
    let (mut depth, mut quote) = (0, None);
    for (i, c) in path.char_indices() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') => {
                depth -= 1;
                if depth == 0 {
                    return Some(i);
                }
            }
            _ => {}
        }
    }
    None
}

/// A filter, whose own paths begin with `@`.
fn conditions(filter: &str, out: &mut String) -> Option<()> {
    let mut rest = filter;
    while let Some(c) = rest.chars().next() {
        match c {
            '@' => {
                let behind = &rest[1..];
                let mut end = behind.len();
                let mut depth = 0;
                for (i, c) in behind.char_indices() {
                    match c {
                        '[' => depth += 1,
                        ']' => depth -= 1,
                        c if depth == 0 && (c.is_whitespace() || "=!<>)&|,".contains(c)) => {
                            end = i;
                            break;
                        }
                        _ => {}
                    }
                }
                out.push('@');
                segments(&behind[..end], out)?;
                rest = &behind[end..];
            }
            '\'' | '"' => {
                let end = rest[1..].find(c)? + 2;
                out.push_str(&rest[..end]);
                rest = &rest[end..];
            }
            c => {
                out.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_to_values() {
        let tree = json!({
            "metadata": {"annotations": {"a.b/c-d": "x"}, "labels": {"foo-bar": "y"}},
            "spec": {"list": [1, 2, 3], "n": null},
            "status": {"conditions": [{"type": "Other", "status": "False"}, {"type": "Ready", "status": "True"}]},
        });
        let table = [
            (".spec.list[0]", json!(1)),
            (".spec.list[-1]", json!(3)),
            (".spec.list[*]", json!(1)),
            ("{.spec.list[1:2]}", json!(2)),
            (r".metadata.annotations.a\.b/c-d", json!("x")),
            (".metadata.annotations['a.b/c-d']", json!("x")),
            (".metadata.labels.foo-bar", json!("y")),
            (r#".status.conditions[?(@.type=="Ready")].status"#, json!("True")),
            (".status.conditions[?(@.type == 'Ready')].status", json!("True")),
            ("..labels.foo-bar", json!("y")),
        ];
        for (path, wanted) in table {
            assert_eq!(Query::parse(path).unwrap().first(&tree), Some(&wanted), "{path}: {:?}", standard(path));
        }
        assert!(Query::parse(".spec[").is_none());
        assert_eq!(Query::parse(".spec.none.there").unwrap().first(&tree), None);
    }

    #[test]
    fn cells_are_of_their_columns_type() {
        let now = Now("2026-01-01T01:00:00Z".parse().unwrap());
        let table = [
            ("string", json!({"a": 1}), json!("{\"a\":1}")),
            ("string", json!(3), json!("3")),
            ("integer", json!(3.7), json!(3)),
            ("integer", json!("3"), Value::Null),
            ("boolean", json!(true), json!(true)),
            ("date", json!("2026-01-01T00:00:00Z"), json!("60m")),
            ("date", json!("then"), json!("<invalid>")),
        ];
        for (kind, value, wanted) in table {
            assert_eq!(cell(kind, &value, now), wanted, "{kind} {value}");
        }
    }
}
