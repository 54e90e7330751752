//! Bodies in Kubernetes' protobuf, which kubectl sends for what it builds itself (`create deployment`, `drain`, …): read into JSON.
//! Answers are never protobuf; its clients accept JSON, too.

use std::collections::HashMap;
use std::sync::OnceLock;

use base64::Engine as _;
use jiff::Timestamp;
use serde_json::{Map, Value};
use wharf_api::status::ApiError;

/// The media type.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";
/// What a body begins with.
const MAGIC: &[u8] = b"k8s\0";
/// Messages inside of messages.
const MAX_DEPTH: usize = 64;
/// Numbers, names and types of all fields; see its head.
const MESSAGES: &str = include_str!("messages.txt");

/// Why a body is no good.
#[derive(Debug, thiserror::Error, PartialEq)]
enum Fault {
    #[error("unexpected EOF")]
    Short,
    #[error("illegal wireType")]
    Wire,
    #[error("the message is nested too deeply")]
    Deep,
    #[error("unknown message {0}")]
    Unknown(String),
}

#[derive(Clone, Debug, PartialEq)]
enum Type {
    Text,
    Boolean,
    Integer,
    Double,
    Bytes,
    Time,
    Duration,
    Quantity,
    IntOrString,
    Raw,
    Texts,
    Message(String),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Plain,
    Optional,
    Repeated,
    Map,
}

struct Field {
    /// Empty: inlined in the message around it.
    name: &'static str,
    form: Form,
    ty: Type,
}

type Messages = HashMap<&'static str, HashMap<u64, Field>>;

/// The JSON of a body.
pub(crate) fn to_json(body: &[u8]) -> Result<Vec<u8>, ApiError> {
    let refuse = |e: Fault| ApiError::bad_request(format!("unable to decode the protobuf body: {e}"));
    let Some(envelope) = body.strip_prefix(MAGIC) else {
        return Err(ApiError::bad_request("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"));
    };
    let (mut api_version, mut kind, mut raw): (&str, &str, &[u8]) = ("", "", &[]);
    for field in Wire(envelope) {
        match field.map_err(refuse)? {
            (1, Datum::Bytes(meta)) => {
                for field in Wire(meta) {
                    match field.map_err(refuse)? {
                        (1, Datum::Bytes(text)) => api_version = std::str::from_utf8(text).unwrap_or_default(),
                        (2, Datum::Bytes(text)) => kind = std::str::from_utf8(text).unwrap_or_default(),
                        _ => {}
                    }
                }
            }
            (2, Datum::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let package = if kind.ends_with("Options") { "meta" } else { group.split('.').next().filter(|g| !g.is_empty()).unwrap_or("core") };
    let version = if package == "meta" { "v1" } else { version };
    let message = format!("{package}.{version}.{kind}");
    let mut object = Map::new();
    object.insert("apiVersion".into(), api_version.into());
    object.insert("kind".into(), kind.into());
    read(messages(), &message, raw, &mut object, 0).map_err(refuse)?;
    Ok(Value::Object(object).to_string().into_bytes())
}

fn read(messages: &Messages, name: &str, bytes: &[u8], into: &mut Map<String, Value>, depth: usize) -> Result<(), Fault> {
    if depth > MAX_DEPTH {
        return Err(Fault::Deep);
    }
    let fields = messages.get(name).ok_or_else(|| Fault::Unknown(name.to_owned()))?;
    for field in Wire(bytes) {
        let (number, datum) = field?;
        let Some(field) = fields.get(&number) else { continue };
        if field.name.is_empty() {
            let (Type::Message(inner), Datum::Bytes(bytes)) = (&field.ty, datum) else { return Err(Fault::Wire) };
            read(messages, inner, bytes, into, depth + 1)?;
            continue;
        }
        match field.form {
            Form::Plain => {
                let value = scalar(messages, &field.ty, datum, depth)?;
                // Go writes what is not set as its zero value.
                let unset = match &value {
                    Value::Null | Value::Bool(false) => true,
                    Value::String(text) => text.is_empty(),
                    Value::Number(number) => number.as_f64() == Some(0.0),
                    _ => false,
                };
                if !unset {
                    into.insert(field.name.into(), value);
                }
            }
            Form::Optional => {
                let value = scalar(messages, &field.ty, datum, depth)?;
                into.insert(field.name.into(), value);
            }
            Form::Repeated => {
                let value = scalar(messages, &field.ty, datum, depth)?;
                if let Value::Array(list) = into.entry(field.name).or_insert_with(|| Value::Array(Vec::new())) {
                    list.push(value);
                }
            }
            Form::Map => {
                let Datum::Bytes(entry) = datum else { return Err(Fault::Wire) };
                let (mut key, mut value) = (String::new(), None);
                for part in Wire(entry) {
                    match part? {
                        (1, Datum::Bytes(text)) => key = String::from_utf8_lossy(text).into_owned(),
                        (2, datum) => value = Some(scalar(messages, &field.ty, datum, depth)?),
                        _ => {}
                    }
                }
                let value = value.map_or_else(|| scalar(messages, &field.ty, Datum::Bytes(&[]), depth), Ok)?;
                if let Value::Object(map) = into.entry(field.name).or_insert_with(|| Value::Object(Map::new())) {
                    map.insert(key, value);
                }
            }
        }
    }
    Ok(())
}

fn scalar(messages: &Messages, ty: &Type, datum: Datum<'_>, depth: usize) -> Result<Value, Fault> {
    let bytes = match (ty, datum) {
        (Type::Boolean, Datum::Varint(n)) => return Ok(Value::Bool(n != 0)),
        (Type::Integer, Datum::Varint(n)) => return Ok(Value::from(n.cast_signed())),
        (Type::Double, Datum::Fixed(bits)) => return Ok(Value::from(f64::from_bits(bits))),
        (Type::Boolean | Type::Integer | Type::Double, _) | (_, Datum::Varint(_) | Datum::Fixed(_)) => return Err(Fault::Wire),
        (_, Datum::Bytes(bytes)) => bytes,
    };
    let text = |bytes: &[u8]| Value::from(String::from_utf8_lossy(bytes).into_owned());
    Ok(match ty {
        Type::Text => text(bytes),
        Type::Boolean | Type::Integer | Type::Double => return Err(Fault::Wire),
        Type::Bytes => base64::engine::general_purpose::STANDARD.encode(bytes).into(),
        Type::Time => time(bytes)?,
        Type::Duration => match part(bytes, 1)? {
            Some(Datum::Varint(nanos)) => format!("{}s", nanos.cast_signed() / 1_000_000_000).into(),
            _ => Value::Null,
        },
        Type::Quantity => match part(bytes, 1)? {
            Some(Datum::Bytes(quantity)) if !quantity.is_empty() => text(quantity),
            _ => "0".into(),
        },
        Type::IntOrString => match (part(bytes, 1)?, part(bytes, 2)?, part(bytes, 3)?) {
            (Some(Datum::Varint(1)), _, Some(Datum::Bytes(bytes))) => text(bytes),
            (_, Some(Datum::Varint(n)), _) => Value::from(n.cast_signed()),
            _ => Value::from(0),
        },
        Type::Raw => match part(bytes, 1)? {
            Some(Datum::Bytes(raw)) => serde_json::from_slice(raw).unwrap_or(Value::Null),
            _ => Value::Null,
        },
        Type::Texts => {
            let mut list = Vec::new();
            for field in Wire(bytes) {
                if let (1, Datum::Bytes(bytes)) = field? {
                    list.push(text(bytes));
                }
            }
            Value::Array(list)
        }
        Type::Message(name) => {
            let mut object = Map::new();
            read(messages, name, bytes, &mut object, depth + 1)?;
            Value::Object(object)
        }
    })
}

/// A `Timestamp`; nothing in it means none.
fn time(bytes: &[u8]) -> Result<Value, Fault> {
    let Some(Datum::Varint(seconds)) = part(bytes, 1)? else { return Ok(Value::Null) };
    let nanos = match part(bytes, 2)? {
        Some(Datum::Varint(nanos)) => i32::try_from(nanos).unwrap_or(0),
        _ => 0,
    };
    Ok(Timestamp::new(seconds.cast_signed(), nanos).map_or(Value::Null, |t| t.to_string().into()))
}

/// The last field of that number.
fn part(bytes: &[u8], number: u64) -> Result<Option<Datum<'_>>, Fault> {
    let mut found = None;
    for field in Wire(bytes) {
        let (n, datum) = field?;
        if n == number {
            found = Some(datum);
        }
    }
    Ok(found)
}

#[derive(Clone, Copy)]
enum Datum<'a> {
    Varint(u64),
    Fixed(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message.
struct Wire<'a>(&'a [u8]);

impl<'a> Wire<'a> {
    fn varint(&mut self) -> Result<u64, Fault> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (first, rest) = self.0.split_first().ok_or(Fault::Short)?;
            self.0 = rest;
            value |= u64::from(first & 0x7f) << shift;
            if first & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Fault::Wire)
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8], Fault> {
        let count = usize::try_from(count).map_err(|_| Fault::Short)?;
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Fault::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn field(&mut self) -> Result<(u64, Datum<'a>), Fault> {
        let tag = self.varint()?;
        let datum = match tag & 7 {
            0 => Datum::Varint(self.varint()?),
            1 => Datum::Fixed(u64::from_le_bytes(self.take(8)?.try_into().map_err(|_| Fault::Short)?)),
            2 => {
                let length = self.varint()?;
                Datum::Bytes(self.take(length)?)
            }
            5 => Datum::Fixed(f64::from(f32::from_le_bytes(self.take(4)?.try_into().map_err(|_| Fault::Short)?)).to_bits()),
            _ => return Err(Fault::Wire),
        };
        Ok((tag >> 3, datum))
    }
}

impl<'a> Iterator for Wire<'a> {
    type Item = Result<(u64, Datum<'a>), Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

fn messages() -> &'static Messages {
    static PARSED: OnceLock<Messages> = OnceLock::new();
    PARSED.get_or_init(|| {
        let lines = MESSAGES.lines().filter(|l| !l.starts_with('#'));
        lines.filter_map(|line| line.split_once(": ")).map(|(name, fields)| (name, fields.split(", ").filter_map(field).collect())).collect()
    })
}

/// `3 containerPort i`
fn field(text: &'static str) -> Option<(u64, Field)> {
    let mut words = text.split(' ');
    let (number, name, ty) = (words.next()?.parse().ok()?, words.next()?, words.next()?);
    let (form, ty) = match ty.split_at_checked(1)? {
        ("*", rest) => (Form::Optional, rest),
        ("+", rest) => (Form::Repeated, rest),
        ("%", rest) => (Form::Map, rest),
        _ => (Form::Plain, ty),
    };
    let ty = match ty {
        "s" => Type::Text,
        "b" => Type::Boolean,
        "i" => Type::Integer,
        "d" => Type::Double,
        "y" => Type::Bytes,
        "t" | "u" => Type::Time,
        "D" => Type::Duration,
        "q" => Type::Quantity,
        "p" => Type::IntOrString,
        "r" => Type::Raw,
        "x" => Type::Texts,
        message => Type::Message(message.to_owned()),
    };
    Some((number, Field { name: if name == "-" { "" } else { name }, form, ty }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(number: u8, content: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, u8::try_from(content.len()).unwrap()], content].concat()
    }

    fn envelope(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let meta = [bytes(1, api_version.as_bytes()), bytes(2, kind.as_bytes())].concat();
        [MAGIC, &bytes(1, &meta), &bytes(2, raw)].concat()
    }

    fn json(body: &[u8]) -> Value {
        serde_json::from_slice(&to_json(body).unwrap()).unwrap()
    }

    #[test]
    fn objects() {
        let meta = [bytes(1, b"web"), bytes(5, b""), bytes(8, b""), bytes(11, &[bytes(1, b"app"), bytes(2, b"web")].concat())].concat();
        let spec = [vec![1 << 3, 0], bytes(3, b""), vec![5 << 3, 0]].concat();
        let body = envelope("apps/v1", "Deployment", &[bytes(1, &meta), bytes(2, &spec)].concat());
        let wanted = serde_json::json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "labels": {"app": "web"}}, "spec": {"replicas": 0, "template": {}},
        });
        assert_eq!(json(&body), wanted);
        let secret = envelope("v1", "Secret", &bytes(2, &[bytes(1, b"k"), bytes(2, b"v1")].concat()));
        assert_eq!(json(&secret)["data"]["k"], "djE=");
        let options = envelope("policy/v1", "DeleteOptions", &[1 << 3, 30]);
        assert_eq!(json(&options)["gracePeriodSeconds"], 30);
    }

    #[test]
    fn every_message_that_is_named_exists() {
        for (name, fields) in messages() {
            for field in fields.values() {
                if let Type::Message(inner) = &field.ty {
                    assert!(messages().contains_key(inner.as_str()), "{name} holds {inner}");
                }
            }
        }
        assert!(messages().len() > 500);
    }

    #[test]
    fn rubbish_is_refused() {
        assert!(to_json(b"{}").is_err());
        assert!(to_json(&envelope("v1", "Nonsense", b"")).is_err());
        for end in 1..40 {
            // Whatever is cut off, nothing panics.
            let body = envelope("v1", "Pod", &bytes(1, &bytes(1, b"name-of-some-length")));
            let _ = to_json(&body[..end.min(body.len())]);
        }
    }
}
