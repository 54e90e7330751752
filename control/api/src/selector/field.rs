//! Field selectors: `metadata.name=a,spec.nodeName!=b`.

use std::borrow::Cow;
use std::fmt;

use crate::field::quoted;
use crate::kind::{DynKind, DynObject};
use crate::status::ApiError;

/// All terms must be met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    terms: Vec<Term>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    field: String,
    equal: bool,
    value: String,
}

impl FieldSelector {
    /// From the text of a `fieldSelector` parameter; errors are a 400 in Kubernetes' words.
    pub fn parse(text: &str) -> Result<FieldSelector, ApiError> {
        let mut terms = Vec::new();
        for part in split_terms(text).into_iter().filter(|p| !p.is_empty()) {
            let Some((field, equal, value)) = split_term(part) else {
                return Err(ApiError::bad_request(format!("invalid selector: '{text}'; can't understand '{part}'")));
            };
            terms.push(Term { field: field.to_owned(), equal, value: unescape(value)? });
        }
        Ok(FieldSelector { terms })
    }

    /// Whether the kind knows all fields that are named.
    pub fn check(&self, kind: &dyn DynKind) -> Result<(), ApiError> {
        if self.terms.iter().all(|t| is_metadata(&t.field)) {
            return Ok(());
        }
        let known: Vec<Cow<'static, str>> = match kind.from_value(serde_json::json!({})) {
            Ok(object) => kind.selectable_fields(object.as_ref()).into_iter().map(|(name, _)| name).collect(),
            Err(_) => Vec::new(),
        };
        match self.terms.iter().find(|t| !is_metadata(&t.field) && !known.iter().any(|k| *k == t.field)) {
            None => Ok(()),
            Some(term) if known.is_empty() => {
                let words = "is not a known field selector: only \"metadata.name\", \"metadata.namespace\"";
                Err(ApiError::bad_request(format!("{} {words}", quoted(&term.field))))
            }
            Some(term) => Err(ApiError::bad_request(format!("field label not supported: {}", term.field))),
        }
    }

    /// Whether an object is selected.
    pub fn matches(&self, kind: &dyn DynKind, object: &dyn DynObject) -> bool {
        if self.terms.is_empty() {
            return true;
        }
        let meta = object.meta();
        let own = if self.terms.iter().all(|t| is_metadata(&t.field)) { Vec::new() } else { kind.selectable_fields(object) };
        self.matches_with(|field| match field {
            "metadata.name" => meta.name.as_deref().unwrap_or(""),
            "metadata.namespace" => meta.namespace.as_deref().unwrap_or(""),
            other => own.iter().find(|(name, _)| *name == other).map_or("", |(_, value)| value),
        })
    }

    /// The same with a look-up for the fields; what an object lacks is empty text.
    pub fn matches_with<'a>(&self, value: impl Fn(&str) -> &'a str) -> bool {
        self.terms.iter().all(|t| (value(&t.field) == t.value) == t.equal)
    }

    /// Whether all objects are selected.
    pub fn is_everything(&self) -> bool {
        self.terms.is_empty()
    }

    /// The only value that the field may have, if there is one: `metadata.name=x` is a get in disguise.
    pub fn exact(&self, field: &str) -> Option<&str> {
        self.terms.iter().find(|t| t.equal && t.field == field).map(|t| t.value.as_str())
    }

    /// The fields that are named.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.terms.iter().map(|t| t.field.as_str())
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, term) in self.terms.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            let escaped = term.value.replace('\\', r"\\").replace(',', r"\,").replace('=', r"\=");
            write!(f, "{comma}{}{}{escaped}", term.field, if term.equal { "=" } else { "!=" })?;
        }
        Ok(())
    }
}

fn is_metadata(field: &str) -> bool {
    matches!(field, "metadata.name" | "metadata.namespace")
}

/// At commas that are not escaped.
fn split_terms(text: &str) -> Vec<&str> {
    let (mut terms, mut start, mut escaped) = (Vec::new(), 0, false);
    for (i, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

/// (field, equal, value) at the first operator.
fn split_term(term: &str) -> Option<(&str, bool, &str)> {
    for i in 0..term.len() {
        let rest = &term.as_bytes()[i..];
        if rest.starts_with(b"!=") {
            return Some((&term[..i], false, &term[i + 2..]));
        }
        if rest.starts_with(b"==") {
            return Some((&term[..i], true, &term[i + 2..]));
        }
        if rest[0] == b'=' {
            return Some((&term[..i], true, &term[i + 1..]));
        }
    }
    None
}

fn unescape(value: &str) -> Result<String, ApiError> {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => out.push(c),
                other => {
                    let sequence: String = ['\\'].into_iter().chain(other).collect();
                    return Err(ApiError::bad_request(format!("invalid field selector: invalid escape sequence: {sequence}")));
                }
            },
            ',' | '=' => return Err(ApiError::bad_request(format!("invalid field selector: unescaped character in value: {c}"))),
            c => out.push(c),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches() {
        let table = [
            ("", true),
            ("metadata.name=a", true),
            ("metadata.name==a,spec.x!=2", true),
            ("metadata.name!=a", false),
            (r"spec.y=\,\=\\", true),
            ("spec.absent=", true),
            (",metadata.name=a,", true),
        ];
        for (text, expected) in table {
            let selector = FieldSelector::parse(text).unwrap();
            let found = selector.matches_with(|f| match f {
                "metadata.name" => "a",
                "spec.x" => "1",
                "spec.y" => r",=\",
                _ => "",
            });
            assert_eq!(found, expected, "{text}");
            assert_eq!(FieldSelector::parse(&selector.to_string()).unwrap(), selector);
        }
        assert_eq!(FieldSelector::parse("a!=1,metadata.name=x").unwrap().exact("metadata.name"), Some("x"));
    }

    #[test]
    fn refuses_in_kubernetes_words() {
        let table = [
            ("a", "invalid selector: 'a'; can't understand 'a'"),
            (r"a=\x", r"invalid field selector: invalid escape sequence: \x"),
            ("a=b=c", "invalid field selector: unescaped character in value: ="),
        ];
        for (text, words) in table {
            assert_eq!(FieldSelector::parse(text).unwrap_err().message(), words);
        }
        let kinds = crate::kinds::all();
        let config_maps = kinds.iter().find(|k| k.info().kind == "ConfigMap").unwrap();
        assert_eq!(
            FieldSelector::parse("spec.x=1").unwrap().check(config_maps.as_ref()).unwrap_err().message(),
            r#""spec.x" is not a known field selector: only "metadata.name", "metadata.namespace""#
        );
    }
}
