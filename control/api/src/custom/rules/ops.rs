//! What needs no scope: values compared, looked into, weighed and named.

use std::cmp::Ordering;
use std::sync::Arc;

use kube_cel::cel::common::ast::{LiteralValue, operators};
use kube_cel::cel::objects::{Key, OptionalValue};
use kube_cel::cel::{ExecutionError, Value};

use super::eval::{Result, Stop, error, no_overload};

pub(super) const TYPES: [&str; 9] = ["int", "uint", "double", "bool", "string", "bytes", "list", "map", "null_type"];

pub(super) fn type_name(value: &Value) -> String {
    match value {
        Value::Float(_) => "double".to_owned(),
        Value::Null => "null_type".to_owned(),
        other => other.type_of().to_string(),
    }
}

pub(super) fn of_literal(literal: &LiteralValue) -> Value {
    match literal {
        LiteralValue::Boolean(b) => Value::Bool(*b.inner()),
        LiteralValue::Bytes(b) => Value::Bytes(Arc::new(b.inner().to_vec())),
        LiteralValue::Double(d) => Value::Float(*d.inner()),
        LiteralValue::Int(i) => Value::Int(*i.inner()),
        LiteralValue::Null => Value::Null,
        LiteralValue::String(s) => Value::String(Arc::new(s.inner().to_owned())),
        LiteralValue::UInt(u) => Value::UInt(*u.inner()),
    }
}

pub(super) fn compare(name: &str, left: &Value, right: &Value) -> Result<Value> {
    match name {
        operators::EQUALS => return Ok(Value::Bool(left == right)),
        operators::NOT_EQUALS => return Ok(Value::Bool(left != right)),
        _ => {}
    }
    let Some(order) = left.partial_cmp(right) else { return no_overload() };
    Ok(Value::Bool(match name {
        operators::LESS => order == Ordering::Less,
        operators::LESS_EQUALS => order != Ordering::Greater,
        operators::GREATER => order == Ordering::Greater,
        _ => order != Ordering::Less,
    }))
}

pub(super) fn index(of: &Value, at: &Value) -> Result<Value> {
    match (of, at) {
        (Value::List(list), Value::Int(i)) => {
            let found = usize::try_from(*i).ok().and_then(|i| list.get(i));
            found.cloned().map_or_else(|| error(format!("index out of bounds: {i}")), Ok)
        }
        (Value::Map(map), key) => {
            let found = map.map.get(&as_key(key)?).cloned();
            found.map_or_else(|| error(format!("no such key: {}", printed(key))), Ok)
        }
        _ => no_overload(),
    }
}

pub(super) fn field(of: &Value, name: &str) -> Option<Value> {
    if let Value::Map(map) = of { map.map.get(&Key::from(name)).cloned() } else { None }
}

pub(super) fn as_key(value: &Value) -> Result<Key> {
    match value {
        Value::String(text) => Ok(Key::String(text.clone())),
        Value::Int(i) => Ok(Key::Int(*i)),
        Value::UInt(u) => Ok(Key::Uint(*u)),
        Value::Bool(b) => Ok(Key::Bool(*b)),
        _ => no_overload(),
    }
}

pub(super) fn printed(value: &Value) -> String {
    match value {
        Value::String(text) => text.to_string(),
        Value::Int(i) => i.to_string(),
        other => format!("{other:?}"),
    }
}

pub(super) fn optional(value: &Value) -> Option<&OptionalValue> {
    <&OptionalValue>::try_from(value).ok()
}

/// A value that may not be there.
pub(super) fn of_optional(value: Option<Value>) -> Value {
    Value::Opaque(Arc::new(value.map_or_else(OptionalValue::none, OptionalValue::of)))
}

/// How much there is to look at in a value, up to a limit.
pub(super) fn weight(value: &Value, most: usize) -> usize {
    let mut left = most;
    weigh(value, &mut left);
    most - left
}

pub(super) fn weigh(value: &Value, left: &mut usize) {
    if *left == 0 {
        return;
    }
    let own = match value {
        Value::String(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        _ => 1,
    };
    *left = left.saturating_sub(own);
    match value {
        Value::List(list) => list.iter().for_each(|v| weigh(v, left)),
        Value::Map(map) => map.map.values().for_each(|v| weigh(v, left)),
        _ => {}
    }
}

pub(super) fn told(error: ExecutionError) -> Stop {
    let words = match &error {
        ExecutionError::NoSuchKey(key) => format!("no such key: {key}"),
        ExecutionError::DivisionByZero(_) => "division by zero".to_owned(),
        ExecutionError::RemainderByZero(_) => "modulus by zero".to_owned(),
        ExecutionError::Overflow(..) => "integer overflow".to_owned(),
        ExecutionError::IndexOutOfBounds(at) => format!("index out of bounds: {}", printed(at)),
        ExecutionError::NoSuchOverload
        | ExecutionError::UnsupportedBinaryOperator(..)
        | ExecutionError::ValuesNotComparable(..)
        | ExecutionError::UnsupportedTargetType { .. }
        | ExecutionError::NotSupportedAsMethod { .. }
        | ExecutionError::UnexpectedType { .. }
        | ExecutionError::InvalidArgumentCount { .. } => "no such overload".to_owned(),
        ExecutionError::UndeclaredReference(name) => format!("undeclared reference to '{name}'"),
        ExecutionError::FunctionError { message, .. } => message.clone(),
        other => other.to_string(),
    };
    Stop::Error(words)
}
