//! An object of a kind that was defined while the server runs: its metadata is typed, the rest is a tree.

use std::any::Any;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Map, Number, Value};

use crate::kind::DynObject;

/// What an object says it is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TypeMeta {
    pub(crate) api_version: String,
    pub(crate) kind: String,
}

/// A custom object.
#[derive(Clone, Debug)]
pub struct Custom {
    pub(crate) is: Arc<TypeMeta>,
    pub(crate) metadata: ObjectMeta,
    /// All but `apiVersion`, `kind` and `metadata`.
    pub(crate) content: Map<String, Value>,
}

impl PartialEq for Custom {
    fn eq(&self, other: &Custom) -> bool {
        self.is == other.is && self.metadata == other.metadata && self.content == other.content
    }
}

impl Custom {
    /// From JSON.
    pub(crate) fn read(is: &Arc<TypeMeta>, json: &[u8]) -> serde_json::Result<Custom> {
        Custom::of(is, serde_json::from_slice(json)?)
    }

    /// From a tree.
    pub(crate) fn of(is: &Arc<TypeMeta>, value: Value) -> serde_json::Result<Custom> {
        let mut content = match value {
            Value::Object(map) => map,
            other => return Err(serde::de::Error::custom(format!("invalid type: {}, expected an object", word(&other)))),
        };
        content.remove("apiVersion");
        content.remove("kind");
        let metadata = match content.remove("metadata") {
            None | Some(Value::Null) => ObjectMeta::default(),
            Some(metadata) => serde_json::from_value(metadata)?,
        };
        let content = content.into_iter().map(|(name, value)| (name, plain(value))).collect();
        Ok(Custom { is: is.clone(), metadata, content })
    }

    /// The whole object as a tree, as rules and columns see it.
    pub(crate) fn tree(&self) -> serde_json::Result<Value> {
        let mut map = Map::new();
        map.insert("apiVersion".to_owned(), Value::from(self.is.api_version.as_str()));
        map.insert("kind".to_owned(), Value::from(self.is.kind.as_str()));
        map.insert("metadata".to_owned(), serde_json::to_value(&self.metadata)?);
        map.extend(self.content.iter().map(|(name, value)| (name.clone(), value.clone())));
        Ok(Value::Object(map))
    }
}

impl DynObject for Custom {
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
    fn encode(&self, into: &mut Vec<u8>) -> serde_json::Result<()> {
        into.extend_from_slice(b"{\"apiVersion\":");
        serde_json::to_writer(&mut *into, &self.is.api_version)?;
        into.extend_from_slice(b",\"kind\":");
        serde_json::to_writer(&mut *into, &self.is.kind)?;
        into.extend_from_slice(b",\"metadata\":");
        serde_json::to_writer(&mut *into, &self.metadata)?;
        for (name, value) in &self.content {
            into.push(b',');
            serde_json::to_writer(&mut *into, name)?;
            into.push(b':');
            serde_json::to_writer(&mut *into, value)?;
        }
        into.push(b'}');
        Ok(())
    }
    fn to_value(&self) -> serde_json::Result<Value> {
        self.tree()
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
    fn clone_box(&self) -> Box<dyn DynObject> {
        Box::new(self.clone())
    }
    fn equals(&self, other: &dyn DynObject) -> bool {
        other.as_any().downcast_ref::<Custom>().is_some_and(|o| o == self)
    }
}

/// A tree whose numbers are as Kubernetes writes them back: `1.0` is `1`.
pub(crate) fn plain(value: Value) -> Value {
    match value {
        Value::Number(number) => Value::Number(plain_number(number)),
        Value::Array(list) => Value::Array(list.into_iter().map(plain).collect()),
        Value::Object(map) => Value::Object(map.into_iter().map(|(name, value)| (name, plain(value))).collect()),
        other => other,
    }
}

fn plain_number(number: Number) -> Number {
    const WHOLE: f64 = 9_007_199_254_740_992.0;
    match number.as_f64() {
        Some(float) if !number.is_i64() && !number.is_u64() && float.fract() == 0.0 && float.abs() < WHOLE => {
            #[expect(clippy::cast_possible_truncation, reason = "it is whole, and small enough")]
            let whole = float as i64;
            Number::from(whole)
        }
        _ => number,
    }
}

/// What a value is called in errors.
pub(crate) fn word(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_i64() || n.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
