//! Values of awk: numbers, texts, and texts that look like numbers because they were read.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

#[derive(Clone, Debug, Default)]
pub enum Value {
    #[default]
    Unset,
    Number(f64),
    Text(Rc<str>),
    /// Text from input that is a number too.
    Both(Rc<str>, f64),
    Array(Rc<RefCell<Array>>),
    /// An argument of `match` and its like.
    Regex(Rc<super::code::Compiled>),
}

impl Value {
    /// Text from outside: a number as well, if it looks like one.
    pub fn input(text: impl Into<Rc<str>>) -> Value {
        let text = text.into();
        let trimmed = text.trim_matches(|character: char| matches!(character, ' ' | '\t' | '\n' | '\r'));
        if trimmed.is_empty() {
            return Value::Text(text);
        }
        let (number, length) = leading_number(trimmed);
        if length == trimmed.len() && length > 0 { Value::Both(text, number) } else { Value::Text(text) }
    }

    pub fn text(text: impl Into<Rc<str>>) -> Value {
        Value::Text(text.into())
    }

    pub fn number(&self) -> f64 {
        match self {
            Value::Number(number) | Value::Both(_, number) => *number,
            Value::Text(text) => leading_number(text.trim_start_matches([' ', '\t', '\n', '\r'])).0,
            Value::Unset | Value::Array(_) | Value::Regex(_) => 0.0,
        }
    }

    /// As text; numbers that are not whole by a format such as `%.6g`.
    pub fn to_text(&self, format: &str) -> Rc<str> {
        match self {
            Value::Text(text) | Value::Both(text, _) => text.clone(),
            Value::Number(number) => number_text(*number, format).into(),
            Value::Unset | Value::Array(_) | Value::Regex(_) => "".into(),
        }
    }

    pub fn truth(&self) -> bool {
        match self {
            Value::Number(number) | Value::Both(_, number) => *number != 0.0,
            Value::Text(text) => !text.is_empty(),
            Value::Unset | Value::Array(_) | Value::Regex(_) => false,
        }
    }

    pub fn compare(&self, other: &Value, format: &str) -> std::cmp::Ordering {
        let numeric = |value: &Value| matches!(value, Value::Number(_) | Value::Both(..) | Value::Unset);
        if numeric(self) && numeric(other) {
            return self.number().partial_cmp(&other.number()).unwrap_or(std::cmp::Ordering::Equal);
        }
        self.to_text(format).as_bytes().cmp(other.to_text(format).as_bytes())
    }
}

pub fn number_text(number: f64, format: &str) -> String {
    if number.fract() == 0.0 && number.abs() < 1e16 {
        return format!("{}", number as i64);
    }
    if number.is_nan() {
        return if number.is_sign_negative() { "-nan".into() } else { "nan".into() };
    }
    if number.is_infinite() {
        return if number < 0.0 { "-inf".into() } else { "inf".into() };
    }
    super::format::format(format, &[Value::Number(number)], format)
}

/// The number that a text begins with, and its length.
pub fn leading_number(text: &str) -> (f64, usize) {
    let bytes = text.as_bytes();
    let digits = |from: usize| bytes[from.min(bytes.len())..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut at = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    for word in ["inf", "nan"] {
        if at > 0 && text.get(at..at + 3).is_some_and(|begin| begin.eq_ignore_ascii_case(word)) {
            let value = if word == "inf" { f64::INFINITY } else { f64::NAN };
            return (if bytes[0] == b'-' { -value } else { value }, at + 3);
        }
    }
    if matches!(bytes.get(at..at + 2), Some(b"0x" | b"0X")) {
        let length = bytes[at + 2..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        if length > 0 {
            let value = bytes[at + 2..at + 2 + length].iter().fold(0.0, |value, digit| value * 16.0 + f64::from(char::from(*digit).to_digit(16).unwrap_or(0)));
            return (if bytes[0] == b'-' { -value } else { value }, at + 2 + length);
        }
    }
    let whole = digits(at);
    at += whole;
    let mut any = whole > 0;
    if bytes.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        if any || fraction > 0 {
            at += 1 + fraction;
            any = true;
        }
    }
    if !any {
        return (0.0, 0);
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        let exponent = digits(at + 1 + sign);
        if exponent > 0 {
            at += 1 + sign + exponent;
        }
    }
    (text[..at].trim_start_matches('+').parse().unwrap_or(0.0), at)
}

/// An array; it remembers the order in which its elements came.
#[derive(Debug, Default)]
pub struct Array {
    elements: HashMap<Rc<str>, (u64, Value)>,
    next: u64,
}

impl Array {
    /// An element, made where there is none.
    pub fn get(&mut self, key: &Rc<str>) -> Value {
        if let Some((_, value)) = self.elements.get(key) {
            return value.clone();
        }
        self.set(key.clone(), Value::Unset);
        Value::Unset
    }

    pub fn set(&mut self, key: Rc<str>, value: Value) {
        match self.elements.get_mut(&key) {
            Some((_, known)) => *known = value,
            None => {
                self.next += 1;
                self.elements.insert(key, (self.next, value));
            }
        }
    }

    pub fn has(&self, key: &str) -> bool {
        self.elements.contains_key(key)
    }

    pub fn remove(&mut self, key: &str) {
        self.elements.remove(key);
    }

    pub fn clear(&mut self) {
        self.elements.clear();
    }

    pub fn len(&self) -> usize {
        self.elements.len()
    }

    /// Keys, in the order in which they came.
    pub fn keys(&self) -> Vec<Rc<str>> {
        let mut keys: Vec<(u64, Rc<str>)> = self.elements.iter().map(|(key, (order, _))| (*order, key.clone())).collect();
        keys.sort_unstable_by_key(|(order, _)| *order);
        keys.into_iter().map(|(_, key)| key).collect()
    }
}
