//! The record and its fields.

use std::rc::Rc;

use super::code::Compiled;
use super::value::Value;

/// How text is split into fields.
#[derive(Clone)]
pub enum Separator {
    /// At blanks, those around it ignored.
    Blank,
    Character(char),
    /// Each character is a field.
    Nothing,
    Regex(Rc<Compiled>),
}

#[derive(Default)]
pub struct Record {
    text: Rc<str>,
    fields: Vec<Value>,
    /// The fields are those of the text.
    is_split: bool,
    /// The text is that of the fields.
    is_joined: bool,
}

impl Record {
    pub fn set(&mut self, text: Rc<str>) {
        self.text = text;
        self.fields.clear();
        self.is_split = false;
        self.is_joined = true;
    }

    pub fn needs_split(&self) -> bool {
        !self.is_split
    }

    pub fn split(&mut self, separator: &Separator) {
        self.fields = split(&self.text, separator).into_iter().map(Value::input).collect();
        self.is_split = true;
    }

    pub fn text(&mut self, between: &str, format: &str) -> Rc<str> {
        if !self.is_joined {
            let fields: Vec<Rc<str>> = self.fields.iter().map(|field| field.to_text(format)).collect();
            self.text = fields.join(between).into();
            self.is_joined = true;
        }
        self.text.clone()
    }

    /// The fields have to be split before; the first one is 1.
    pub fn field(&self, index: usize) -> Value {
        self.fields.get(index - 1).cloned().unwrap_or_default()
    }

    pub fn set_field(&mut self, index: usize, value: Value) {
        if self.fields.len() < index {
            self.fields.resize(index, Value::Unset);
        }
        self.fields[index - 1] = value;
        self.is_joined = false;
    }

    pub fn count(&self) -> usize {
        self.fields.len()
    }

    pub fn set_count(&mut self, count: usize) {
        self.fields.resize(count, Value::Unset);
        self.is_joined = false;
    }
}

/// Parts of a text.
pub fn split<'a>(text: &'a str, separator: &Separator) -> Vec<&'a str> {
    if text.is_empty() {
        return Vec::new();
    }
    match separator {
        Separator::Blank => text.split([' ', '\t', '\n']).filter(|part| !part.is_empty()).collect(),
        Separator::Character(character) => text.split(*character).collect(),
        Separator::Nothing => text.char_indices().map(|(at, character)| &text[at..at + character.len_utf8()]).collect(),
        Separator::Regex(compiled) => {
            let mut parts = Vec::new();
            let (mut begin, mut at) = (0, 0);
            while let Some(Some((from, to))) = compiled.regex.find_at(text.as_bytes(), at).and_then(|groups| groups.first().copied()) {
                if to == from {
                    // An empty match separates nothing.
                    let Some(next) = text[from..].chars().next() else { break };
                    at = from + next.len_utf8();
                    continue;
                }
                parts.push(&text[begin..from]);
                begin = to;
                at = to;
            }
            parts.push(&text[begin..]);
            parts
        }
    }
}
