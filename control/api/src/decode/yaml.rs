//! YAML to JSON, as the tools of Kubernetes convert it: keys become text, several documents are told apart.

use std::cell::{Cell, RefCell};
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// A YAML document.
#[derive(Debug, PartialEq)]
pub struct Parsed {
    /// As JSON.
    pub value: Value,
    /// `duplicate field "spec.foo"`, once for each.
    pub duplicates: Vec<String>,
}

/// The only document of the text.
pub fn parse(text: &str) -> Result<Parsed, serde_yaml::Error> {
    shallow(text)?;
    one(serde_yaml::Deserializer::from_str(text), text.len())
}

/// All documents of the text, without those that are empty.
pub fn parse_all(text: &str) -> Result<Vec<Parsed>, serde_yaml::Error> {
    shallow(text)?;
    let documents: Result<Vec<Parsed>, _> = serde_yaml::Deserializer::from_str(text).map(|document| one(document, text.len())).collect();
    Ok(documents?.into_iter().filter(|d| !d.value.is_null()).collect())
}

/// Brackets that may be open at the same time. The parser's time grows with the square of their number, so they are counted before it runs;
/// nothing near it is accepted afterwards, either (see [`crate::json::MAX_DEPTH`]).
const MAX_OPEN: usize = 1000;

/// Refuses what is nested absurdly. Brackets in quotes, comments and block scalars do not count.
fn shallow(text: &str) -> Result<(), serde_yaml::Error> {
    let mut open = 0_usize;
    let mut quote: Option<u8> = None;
    // Lines indented deeper than this are text of a block scalar.
    let mut block: Option<usize> = None;
    for line in text.lines() {
        let indent = line.len() - line.trim_start_matches(' ').len();
        if let Some(of) = block {
            if line.trim().is_empty() || indent > of {
                continue;
            }
            block = None;
        }
        let bytes = line.as_bytes();
        let mut at = 0;
        let mut dashes = 0_usize;
        while at < bytes.len() {
            let byte = bytes[at];
            let before = if at == 0 { b' ' } else { bytes[at - 1] };
            match (quote, byte) {
                (Some(b'"'), b'\\') => at += 1,
                (Some(q), b) if b == q => quote = None,
                (Some(_), _) => {}
                (None, b'"' | b'\'') if b" [{,:".contains(&before) => quote = Some(byte),
                (None, b'#') if before == b' ' => break,
                (None, b'[' | b'{') => open += 1,
                (None, b']' | b'}') => open = open.saturating_sub(1),
                (None, b'-' | b'?') if before == b' ' => dashes += 1,
                (None, _) => {}
            }
            if open.max(dashes) > MAX_OPEN {
                return Err(serde_yaml::Error::custom("exceeded max depth"));
            }
            at += 1;
        }
        let plain = line.split(" #").next().unwrap_or_default().trim_end().trim_end_matches(['-', '+', '1', '2', '3', '4', '5', '6', '7', '8', '9']);
        if quote.is_none() && open == 0 && plain.ends_with(['|', '>']) {
            block = Some(indent);
        }
    }
    Ok(())
}

/// What the aliases of a text may add to it, in bytes. Each of a few hundred thousand could stand for as much again.
const MAX_EXPANSION: usize = 3 << 20;
/// At most so many duplicates are told.
const MOST_DUPLICATES: usize = 100;

fn one(deserializer: serde_yaml::Deserializer, length: usize) -> Result<Parsed, serde_yaml::Error> {
    let reading = Reading { duplicates: RefCell::default(), left: Cell::new(length.saturating_mul(2).saturating_add(MAX_EXPANSION)) };
    let value = Node { at: None, reading: &reading, depth: 0 }.deserialize(deserializer)?;
    Ok(Parsed { value, duplicates: reading.duplicates.into_inner() })
}

/// What the reading of a document has found and may still spend.
struct Reading {
    duplicates: RefCell<Vec<String>>,
    left: Cell<usize>,
}

impl Reading {
    /// A value of so many bytes.
    fn spend<E: serde::de::Error>(&self, bytes: usize) -> Result<(), E> {
        let left = self.left.get().checked_sub(bytes.saturating_add(1)).ok_or_else(|| E::custom("document contains excessive aliasing"))?;
        self.left.set(left);
        Ok(())
    }
}

/// A place in the document: a key or an index, and what it is in.
#[derive(Clone, Copy)]
struct At<'a> {
    parent: Option<&'a At<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            write!(f, "{parent}")?;
        }
        match (self.step, self.parent) {
            (Step::Index(i), _) => write!(f, "[{i}]"),
            (Step::Key(key), None) => f.write_str(key),
            (Step::Key(key), Some(_)) => write!(f, ".{key}"),
        }
    }
}

struct Node<'a> {
    at: Option<&'a At<'a>>,
    reading: &'a Reading,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if self.depth > crate::json::MAX_DEPTH {
            return Err(D::Error::custom("exceeded max depth"));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a YAML value")
    }
    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Value, E> {
        self.reading.spend(0)?;
        Ok(Value::Bool(value))
    }
    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Value, E> {
        self.reading.spend(0)?;
        Ok(Value::from(value))
    }
    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        self.reading.spend(0)?;
        Ok(Value::from(value))
    }
    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        self.reading.spend(0)?;
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }
    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        self.reading.spend(value.len())?;
        Ok(Value::from(value))
    }
    fn visit_string<E: serde::de::Error>(self, value: String) -> Result<Value, E> {
        self.reading.spend(value.len())?;
        Ok(Value::from(value))
    }
    fn visit_unit<E: serde::de::Error>(self) -> Result<Value, E> {
        self.reading.spend(0)?;
        Ok(Value::Null)
    }
    fn visit_none<E: serde::de::Error>(self) -> Result<Value, E> {
        self.visit_unit()
    }
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        self.reading.spend(0)?;
        let mut out = Vec::new();
        loop {
            let at = At { parent: self.at, step: Step::Index(out.len()) };
            let Some(value) = list.next_element_seed(Node { at: Some(&at), reading: self.reading, depth: self.depth + 1 })? else { break };
            out.push(value);
        }
        Ok(Value::Array(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        self.reading.spend(0)?;
        let mut out = Map::new();
        while let Some(Key(key)) = map.next_key()? {
            self.reading.spend(key.len())?;
            let at = At { parent: self.at, step: Step::Key(&key) };
            if out.contains_key(&key) {
                let mut duplicates = self.reading.duplicates.borrow_mut();
                if duplicates.len() < MOST_DUPLICATES {
                    duplicates.push(format!("duplicate field {}", crate::field::quoted(&at.to_string())));
                }
            }
            let value = map.next_value_seed(Node { at: Some(&at), reading: self.reading, depth: self.depth + 1 })?;
            out.insert(key, value);
        }
        Ok(Value::Object(out))
    }
}

/// A key of a mapping, as text.
struct Key(String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Key, D::Error> {
        struct KeyVisitor;
        impl Visitor<'_> for KeyVisitor {
            type Value = Key;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_bool<E>(self, value: bool) -> Result<Key, E> {
                Ok(Key(value.to_string()))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Key, E> {
                Ok(Key(value.to_string()))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Key, E> {
                Ok(Key(value.to_string()))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Key, E> {
                Ok(Key(value.to_string()))
            }
            fn visit_str<E>(self, value: &str) -> Result<Key, E> {
                Ok(Key(value.to_owned()))
            }
            fn visit_unit<E>(self) -> Result<Key, E> {
                Ok(Key("null".to_owned()))
            }
        }
        deserializer.deserialize_any(KeyVisitor)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents() {
        let parsed = parse("a: 1\nb: [x, 1.5, null, true]\n80: y\nc: {d: e, d: f}\n").unwrap();
        assert_eq!(parsed.value, json!({"a": 1, "b": ["x", 1.5, null, true], "80": "y", "c": {"d": "f"}}));
        assert_eq!(parsed.duplicates, ["duplicate field \"c.d\""]);
        let all = parse_all("---\na: 1\n---\n# nothing\n---\nb: 2\n").unwrap();
        assert_eq!(all.into_iter().map(|p| p.value).collect::<Vec<_>>(), [json!({"a": 1}), json!({"b": 2})]);
        assert!(parse("a: [").is_err());
    }
}

#[cfg(test)]
mod depth {
    use super::*;

    #[test]
    fn absurd_nesting_is_refused_at_once_and_brackets_in_text_are_not() {
        for deep in [format!("a: {}", "[".repeat(100_000)), format!("{}x", "- ".repeat(100_000)), "a:\n  {[".repeat(5_000)] {
            assert!(parse(&deep).unwrap_err().to_string().contains("exceeded max depth"));
        }
        // What many aliases of much would make is never made.
        for much in [format!("a: &a [{}]", "x,".repeat(10_000)), format!("a: &a {}", "x".repeat(10_000)), format!("a: &a {{{}: 1}}", "x".repeat(900))] {
            let bomb = format!("{much}\nb: [{}]\n", "*a,".repeat(20_000));
            assert!(parse(&bomb).unwrap_err().to_string().contains("excessive aliasing"));
        }
        assert_eq!(parse("a: &a {b: [1]}\nc: [*a, *a]").unwrap().value, serde_json::json!({"a": {"b": [1]}, "c": [{"b": [1]}, {"b": [1]}]}));
        assert_eq!(parse("x: [{a: {b: 1, b: 2}}]").unwrap().duplicates, ["duplicate field \"x[0].a.b\""]);
        let text = format!("a: |\n{}b: '{}'\nc: x", "  [ [\n".repeat(2_000), "[".repeat(2_000));
        assert_eq!(parse(&text).unwrap().value["c"], "x");
    }
}
