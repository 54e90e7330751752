//! Values against their schema, in the words of Kubernetes' OpenAPI validation.

use serde_json::Value;

use super::formats;
use super::object::word;
use super::schema::{Additional, Schema};
use crate::field::{Error, ErrorType, Errors, Path, Printed};

/// At most so many errors are looked for in a value.
const MOST: usize = 1000;

/// What is wrong with a value at a path. What has not changed since an old value is not looked at again.
pub(crate) fn check(value: &Value, old: Option<&Value>, schema: &Schema, at: &str) -> Errors {
    let mut found = Found::default();
    found.value(value, old, schema, at);
    found.errors
}

/// Errors, and how much of a value was recognised.
#[derive(Default)]
struct Found {
    errors: Errors,
    matches: usize,
}

impl Found {
    fn value(&mut self, value: &Value, old: Option<&Value>, schema: &Schema, at: &str) {
        self.matches += 1;
        if self.errors.len() >= MOST || old == Some(value) {
            return;
        }
        self.kind(value, schema, at);
        if !value.is_null() {
            self.combined(value, schema, at);
        }
        match value {
            Value::String(text) => self.text(text, schema, at),
            Value::Number(number) => self.number(number, schema, at),
            Value::Array(list) => self.list(list, old, schema, at),
            _ => {}
        }
        if let Some(values) = schema.limits.values.as_ref().filter(|v| !(v.contains(value) || value.is_null() && schema.nullable)) {
            let supported: Vec<String> = values.iter().map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)).collect();
            let supported: Vec<&str> = supported.iter().map(String::as_str).collect();
            self.errors.push(Error::not_supported(&path(at), value, &supported));
        }
        if let Value::Object(map) = value {
            self.object(map, old, schema, at);
        }
    }

    fn kind(&mut self, value: &Value, schema: &Schema, at: &str) {
        let wanted = if schema.int_or_string { "integer,string" } else { &schema.kind };
        if wanted.is_empty() || (value.is_null() && schema.nullable) {
            return;
        }
        let is = word(value);
        let whole = || value.as_f64().is_some_and(|f| f.fract() == 0.0);
        let fits = match wanted {
            "integer,string" => is == "string" || is == "integer" || is == "number" && whole(),
            "integer" => is == "integer" || is == "number" && whole(),
            "number" => matches!(is, "integer" | "number"),
            other => is == other,
        };
        if !fits {
            let words = format!("{} must be of type {wanted}: {}", named(at), crate::field::quoted(is));
            self.push(ErrorType::TypeInvalid, at, is.printed(), words);
        }
    }

    fn combined(&mut self, value: &Value, schema: &Schema, at: &str) {
        let of = |schema: &Schema| {
            let mut found = Found::default();
            found.value(value, None, schema, at);
            found
        };
        let root = |words: String| Error { kind: ErrorType::Invalid, path: Path::default(), value: "\"\"".to_owned(), detail: words };
        let name = crate::field::quoted(at);
        if !schema.any_of.is_empty() {
            match best(schema.any_of.iter().map(of)) {
                Ok(_) => {}
                Err(best) => {
                    self.errors.push(root(format!("{name} must validate at least one schema (anyOf)")));
                    self.errors.extend(best);
                }
            }
        }
        if !schema.one_of.is_empty() {
            match best(schema.one_of.iter().map(of)) {
                Ok(1) => {}
                Ok(valid) => self.errors.push(root(format!("{name} must validate one and only one schema (oneOf). Found {valid} valid alternatives"))),
                Err(best) => {
                    self.errors.push(root(format!("{name} must validate one and only one schema (oneOf). Found none valid")));
                    self.errors.extend(best);
                }
            }
        }
        if !schema.all_of.is_empty() {
            let all: Vec<Found> = schema.all_of.iter().map(of).collect();
            let valid = all.iter().filter(|f| f.errors.is_empty()).count();
            let count = all.len();
            self.errors.extend(all.into_iter().flat_map(|f| f.errors));
            if valid != count {
                let more = if valid == 0 { ". None validated" } else { "" };
                self.errors.push(root(format!("{name} must validate all the schemas (allOf){more}")));
            }
        }
        if schema.not.as_ref().is_some_and(|not| of(not).errors.is_empty()) {
            self.errors.push(root(format!("{name} must not validate the schema (not)")));
        }
    }

    fn text(&mut self, text: &str, schema: &Schema, at: &str) {
        let length = || i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
        if let Some(most) = schema.limits.length.1.filter(|m| length() > *m) {
            self.errors.push(Error::too_long(&path(at), usize::try_from(most).unwrap_or(0)));
        }
        if let Some(least) = schema.limits.length.0.filter(|m| length() < *m) {
            self.invalid(at, text.printed(), format!("should be at least {least} chars long"));
        }
        match &schema.limits.pattern {
            Some((pattern, Some(compiled))) if !compiled.is_match(text) => self.invalid(at, text.printed(), format!("should match '{pattern}'")),
            _ => {}
        }
        let of_text = matches!(schema.kind.as_str(), "" | "string") && !schema.format.is_empty();
        if of_text && !formats::holds(&schema.format, text) {
            let words = format!("{} must be of type {}: {}", named(at), schema.format, crate::field::quoted(text));
            self.push(ErrorType::TypeInvalid, at, text.printed(), words);
        }
    }

    fn number(&mut self, number: &serde_json::Number, schema: &Schema, at: &str) {
        let Some(value) = number.as_f64() else { return };
        let printed = || number.to_string();
        // What is said of a whole number is whole.
        let bound = |bound: f64| if number.is_f64() { format!("{bound}") } else { format!("{:.0}", bound.trunc()) };
        if let Some(factor) = schema.limits.multiple_of {
            if factor <= 0.0 {
                let words = format!("factor MultipleOf declared for {at} must be positive: {factor}");
                self.push(ErrorType::Invalid, at, printed(), words);
            } else if !is_multiple(value, factor) {
                self.invalid(at, printed(), format!("should be a multiple of {factor}"));
            }
        }
        if let Some((most, exclusive)) = schema.limits.maximum
            && (value > most || exclusive && value >= most)
        {
            let words = if exclusive { "should be less than" } else { "should be less than or equal to" };
            self.invalid(at, printed(), format!("{words} {}", bound(most)));
        }
        if let Some((least, exclusive)) = schema.limits.minimum
            && (value < least || exclusive && value <= least)
        {
            let words = if exclusive { "should be greater than" } else { "should be greater than or equal to" };
            self.invalid(at, printed(), format!("{words} {}", bound(least)));
        }
        let outside = match schema.format.as_str() {
            "int32" => number.as_i64().is_none_or(|n| i32::try_from(n).is_err()) && value.fract() == 0.0,
            _ if schema.kind == "integer" => number.as_i64().is_none() && value.fract() == 0.0,
            _ => false,
        };
        if outside {
            let format = if schema.format.is_empty() { " (default format)".to_owned() } else { format!(" with format {}", schema.format) };
            let words = format!("Checked value must be of type integer{format} in {at}");
            self.errors.push(Error { kind: ErrorType::Invalid, path: Path::default(), value: "\"\"".to_owned(), detail: words });
        }
    }

    fn list(&mut self, list: &[Value], old: Option<&Value>, schema: &Schema, at: &str) {
        if let Some(items) = &schema.items {
            let old = old.and_then(Value::as_array);
            for (i, item) in list.iter().enumerate() {
                let before = old.and_then(|old| same_element(item, old, schema));
                self.value(item, before, items, &format!("{at}[{i}]"));
            }
        }
        let size = list.len();
        if let Some(least) = schema.limits.items.0.filter(|m| usize::try_from(*m).is_ok_and(|m| size < m)) {
            self.invalid(at, size.to_string(), format!("should have at least {least} items"));
        }
        if let Some(most) = schema.limits.items.1.and_then(|m| usize::try_from(m).ok()).filter(|m| size > *m) {
            self.errors.push(Error::too_many(&path(at), size, most));
        }
    }

    fn object(&mut self, map: &serde_json::Map<String, Value>, old: Option<&Value>, schema: &Schema, at: &str) {
        let size = map.len();
        if let Some(least) = schema.limits.properties.0.filter(|m| usize::try_from(*m).is_ok_and(|m| size < m)) {
            self.invalid(at, size.to_string(), format!("should have at least {least} properties"));
        }
        if let Some(most) = schema.limits.properties.1.and_then(|m| usize::try_from(m).ok()).filter(|m| size > *m) {
            self.errors.push(Error::too_many(&path(at), size, most));
        }
        for (name, value) in map {
            let inside = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
            let before = old.and_then(|o| o.get(name));
            match (schema.properties.get(name), &schema.additional) {
                (Some(field), _) => self.value(value, before, field, &inside),
                (None, Some(Additional::Of(values))) => self.value(value, before, values, &inside),
                (None, Some(Additional::Allowed(false))) => {
                    let words = format!("{at}.{name} in body is a forbidden property");
                    self.push(ErrorType::Invalid, at, name.printed(), words);
                }
                _ => {}
            }
        }
        for name in schema.required.iter().filter(|name| !map.contains_key(*name)) {
            self.errors.push(Error::required(&path(&if at.is_empty() { name.clone() } else { format!("{at}.{name}") }), ""));
        }
    }

    fn invalid(&mut self, at: &str, value: String, words: String) {
        self.push(ErrorType::Invalid, at, value, format!("{} {words}", named(at)));
    }

    fn push(&mut self, kind: ErrorType, at: &str, value: String, detail: String) {
        self.errors.push(Error { kind, path: path(at), value, detail });
    }
}

/// How many of alternatives hold, or the errors of the one that fits best.
fn best(all: impl Iterator<Item = Found>) -> Result<usize, Errors> {
    let (mut valid, mut closest): (usize, Option<Found>) = (0, None);
    for found in all {
        if found.errors.is_empty() {
            valid += 1;
        } else if closest.as_ref().is_none_or(|c| found.matches > c.matches) {
            closest = Some(found);
        }
    }
    if valid > 0 { Ok(valid) } else { Err(closest.map(|c| c.errors).unwrap_or_default()) }
}

/// The old element of a list that an element is a new version of.
pub(crate) fn same_element<'o>(item: &Value, old: &'o [Value], schema: &Schema) -> Option<&'o Value> {
    if schema.list_type != "map" {
        return None;
    }
    old.iter().find(|o| schema.list_map_keys.iter().all(|key| o.get(key) == item.get(key)))
}

fn is_multiple(value: f64, factor: f64) -> bool {
    let times = if factor < 1.0 { 1.0 / factor * value } else { value / factor };
    (times - times.round()).abs() < 1e-9
}

/// How a value is named in words.
fn named(at: &str) -> String {
    format!("{at} in body")
}

fn path(at: &str) -> Path {
    if at.is_empty() { Path::default() } else { Path::new(at) }
}
