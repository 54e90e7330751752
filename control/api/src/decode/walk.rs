//! One pass over the JSON of an object beside its type: unknown and duplicate fields, wrong types in Go's words, and the few bytes to
//! change before it is parsed: quantities that are not canonical, `null` where Go reads a zero value, and empty lists and maps, which Go
//! does not write back.

use std::collections::HashSet;
use std::ops::Range;

use base64::Engine as _;

use crate::json::{Begin, RawText, Scanner, SyntaxError};
use crate::quantity;
use crate::types::{Type, Types};

/// At most so many problems are told.
const MOST_PROBLEMS: usize = 100;

/// What the walk found.
#[derive(Debug, Default)]
pub(super) struct Walked {
    /// The first wrong type.
    pub(super) type_error: Option<String>,
    /// `unknown field "…"`, `duplicate field "…"`.
    pub(super) problems: Vec<String>,
    /// Ranges of the JSON and what stands there instead, in order.
    pub(super) edits: Vec<(Range<usize>, String)>,
}

/// Walks the JSON. Problems are looked for only if `strict`.
pub(super) fn walk(types: &Types, ty: &Type, json: &[u8], strict: bool) -> Result<Walked, SyntaxError> {
    let mut walker = Walker { types, strict, scanner: Scanner::new(json), path: Vec::new(), owner: None, found: Walked::default() };
    walker.value(ty)?;
    walker.scanner.finish()?;
    Ok(walker.found)
}

/// The JSON with the edits made.
pub(super) fn edited(json: &[u8], edits: &[(Range<usize>, String)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len() + 64);
    let mut at = 0;
    for (range, text) in edits {
        out.extend_from_slice(&json[at..range.start]);
        out.extend_from_slice(text.as_bytes());
        at = range.end;
    }
    out.extend_from_slice(&json[at..]);
    out
}

#[derive(Clone, Copy)]
enum Segment<'a> {
    Field(&'a str),
    Key(RawText<'a>),
    Index(usize),
}

struct Walker<'a> {
    types: &'a Types,
    strict: bool,
    scanner: Scanner<'a>,
    path: Vec<Segment<'a>>,
    /// The struct whose field is being read, by its OpenAPI name.
    owner: Option<&'a str>,
    found: Walked,
}

impl<'a> Walker<'a> {
    fn value(&mut self, ty: &'a Type) -> Result<(), SyntaxError> {
        let begin = self.scanner.begin()?;
        if begin == Begin::Null || *ty == Type::Any {
            return self.scanner.skip();
        }
        match (ty, begin) {
            (Type::Struct(id), Begin::Object) => self.structure(*id),
            (Type::Map(inner), Begin::Object) => self.map(inner),
            (Type::List(inner), Begin::Array) => self.list(inner),
            (Type::String, Begin::String) => self.scanner.skip(),
            (Type::Bytes, Begin::String) => self.base64(),
            (Type::Time, Begin::String) => self.time(),
            (Type::Boolean, Begin::Bool) | (Type::Number, Begin::Number) => self.scanner.skip(),
            (Type::Integer { bits }, Begin::Number) => self.integer(ty, *bits),
            (Type::IntOrString, Begin::String) => self.scanner.skip(),
            (Type::IntOrString, Begin::Number) => self.integer(ty, 32),
            (Type::Quantity, Begin::String | Begin::Number) => self.quantity(begin),
            (Type::Quantity, _) => {
                self.type_error(quantity::QuantityError::Format.to_string());
                self.scanner.skip()
            }
            (Type::IntOrString, _) => {
                self.type_error(format!("json: cannot unmarshal {} into Go value of type int32", begin.word()));
                self.scanner.skip()
            }
            _ => {
                self.wrong_type(begin.word(), ty);
                self.scanner.skip()
            }
        }
    }

    fn structure(&mut self, id: crate::types::StructId) -> Result<(), SyntaxError> {
        let types = self.types;
        let this = types.get(id);
        let outer = self.owner.replace(this.definition.as_str());
        let mut seen = [0_u64; 4];
        let mut unknown: HashSet<&[u8]> = HashSet::new();
        self.scanner.open(b'{')?;
        let mut first = true;
        while let Some(key) = self.scanner.next_key(&mut first)? {
            let known = if key.escaped {
                this.field(&key.text())
            } else {
                this.fields.binary_search_by(|f| f.name.as_bytes().cmp(key.raw)).ok().map(|i| (i, &this.fields[i]))
            };
            match known {
                Some((i, field)) => {
                    self.path.push(Segment::Field(&field.name));
                    if let Some(word) = seen.get_mut(i / 64) {
                        if *word & (1 << (i % 64)) != 0 {
                            self.problem("duplicate");
                        }
                        seen[i / 64] |= 1 << (i % 64);
                    }
                    if self.scanner.begin()? == Begin::Null {
                        self.scanner.skip()?;
                    } else {
                        let start = self.scanner.position();
                        self.value(&field.ty)?;
                        let left_out = match field.ty {
                            Type::Map(_) | Type::List(_) => is_empty(self.scanner.since(start)),
                            Type::String => self.scanner.since(start) == b"\"\"" && this.definition.ends_with(".ObjectMeta"),
                            _ => false,
                        };
                        if left_out {
                            self.found.edits.push((start..self.scanner.position(), "null".to_owned()));
                        }
                    }
                    self.path.pop();
                }
                None => {
                    if this.open {
                        self.path.push(Segment::Key(key));
                        if self.strict && !unknown.insert(key.raw) {
                            self.problem("duplicate");
                        }
                        self.tree()?;
                        self.path.pop();
                        continue;
                    }
                    if self.strict && unknown.insert(key.raw) {
                        self.path.push(Segment::Key(key));
                        self.problem("unknown");
                        self.path.pop();
                    }
                    self.scanner.skip()?;
                }
            }
        }
        self.owner = outer;
        Ok(())
    }

    /// A value of which only a schema knows more: names may not be there twice.
    fn tree(&mut self) -> Result<(), SyntaxError> {
        match self.scanner.begin()? {
            Begin::Object if self.strict => {
                let mut seen: HashSet<&[u8]> = HashSet::new();
                self.scanner.open(b'{')?;
                let mut first = true;
                while let Some(key) = self.scanner.next_key(&mut first)? {
                    self.path.push(Segment::Key(key));
                    if !seen.insert(key.raw) {
                        self.problem("duplicate");
                    }
                    self.tree()?;
                    self.path.pop();
                }
                Ok(())
            }
            Begin::Array if self.strict => {
                self.scanner.open(b'[')?;
                let (mut first, mut index) = (true, 0);
                while self.scanner.next_element(&mut first)? {
                    self.path.push(Segment::Index(index));
                    self.tree()?;
                    self.path.pop();
                    index += 1;
                }
                Ok(())
            }
            _ => self.scanner.skip(),
        }
    }

    fn map(&mut self, inner: &'a Type) -> Result<(), SyntaxError> {
        let mut seen: HashSet<&[u8]> = HashSet::new();
        self.scanner.open(b'{')?;
        let mut first = true;
        while let Some(key) = self.scanner.next_key(&mut first)? {
            self.path.push(Segment::Key(key));
            if self.strict && !seen.insert(key.raw) {
                self.problem("duplicate");
            }
            self.element(inner)?;
            self.path.pop();
        }
        Ok(())
    }

    fn list(&mut self, inner: &'a Type) -> Result<(), SyntaxError> {
        self.scanner.open(b'[')?;
        let (mut first, mut index) = (true, 0);
        while self.scanner.next_element(&mut first)? {
            self.path.push(Segment::Index(index));
            self.element(inner)?;
            self.path.pop();
            index += 1;
        }
        Ok(())
    }

    /// An element of a list or map: `null` is the zero value.
    fn element(&mut self, ty: &'a Type) -> Result<(), SyntaxError> {
        if self.scanner.begin()? != Begin::Null {
            return self.value(ty);
        }
        let start = self.scanner.position();
        self.scanner.skip()?;
        let zero = match ty {
            Type::String | Type::Bytes => "\"\"",
            Type::Quantity => "\"0\"",
            Type::Boolean => "false",
            Type::Integer { .. } | Type::Number | Type::IntOrString => "0",
            Type::Struct(_) | Type::Map(_) => "{}",
            Type::List(_) => "[]",
            Type::Any | Type::Time => return Ok(()),
        };
        self.found.edits.push((start..self.scanner.position(), zero.to_owned()));
        Ok(())
    }

    fn integer(&mut self, ty: &'a Type, bits: u8) -> Result<(), SyntaxError> {
        let digits = self.scanner.scalar()?;
        let text = std::str::from_utf8(digits).unwrap_or_default();
        let fits = if bits == 32 { text.parse::<i32>().is_ok() } else { text.parse::<i64>().is_ok() };
        if !fits {
            match ty {
                Type::IntOrString => self.type_error(format!("json: cannot unmarshal number {text} into Go value of type int32")),
                _ => self.wrong_type(&format!("number {text}"), ty),
            }
        }
        Ok(())
    }

    fn quantity(&mut self, begin: Begin) -> Result<(), SyntaxError> {
        let start = self.scanner.position();
        let result = if begin == Begin::String {
            let raw = self.scanner.string()?;
            quantity::canonical(&raw.text())
        } else {
            let digits = self.scanner.scalar()?;
            let text = String::from_utf8_lossy(digits);
            // Written back as text, even if canonical.
            quantity::canonical(&text).map(|c| Some(c.unwrap_or_else(|| text.into_owned())))
        };
        match result {
            Ok(None) => {}
            Ok(Some(canonical)) => self.found.edits.push((start..self.scanner.position(), format!("\"{canonical}\""))),
            Err(error) => self.type_error(error.to_string()),
        }
        Ok(())
    }

    fn base64(&mut self) -> Result<(), SyntaxError> {
        let start = self.scanner.position();
        let raw = self.scanner.string()?;
        let text = raw.text();
        // As Go does, line ends inside are no fault.
        let plain: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
        match base64::engine::general_purpose::STANDARD.decode(plain.as_bytes()) {
            Ok(_) if plain.len() == text.len() => {}
            Ok(_) => self.found.edits.push((start..self.scanner.position(), format!("\"{plain}\""))),
            Err(error) => {
                use base64::DecodeError::{InvalidByte, InvalidLastSymbol, InvalidLength, InvalidPadding};
                let at = match error {
                    InvalidByte(at, _) | InvalidLastSymbol(at, _) => at,
                    InvalidLength(_) | InvalidPadding => plain.len() / 4 * 4,
                };
                self.type_error(format!("illegal base64 data at input byte {at}"));
            }
        }
        Ok(())
    }

    fn time(&mut self) -> Result<(), SyntaxError> {
        let raw = self.scanner.string()?;
        let text = raw.text();
        if text.parse::<jiff::Timestamp>().is_err() {
            let words = if text.starts_with(|c: char| c.is_ascii_digit()) {
                format!("parsing time {0:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse {0:?} as a time", text)
            } else {
                format!("parsing time {0:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse {0:?} as \"2006\"", text)
            };
            self.type_error(words);
        }
        Ok(())
    }

    fn wrong_type(&mut self, found: &str, ty: &Type) {
        let wanted = self.types.go_name(ty);
        let fields: Vec<&str> = self.path.iter().filter_map(|s| if let Segment::Field(name) = s { Some(*name) } else { None }).collect();
        let place = match self.owner {
            Some(owner) if !fields.is_empty() => format!("struct field {}.{}", owner.rsplit('.').next().unwrap_or_default(), fields.join(".")),
            _ => "value".to_owned(),
        };
        self.type_error(format!("json: cannot unmarshal {found} into Go {place} of type {wanted}"));
    }

    fn type_error(&mut self, words: String) {
        self.found.type_error.get_or_insert(words);
    }

    fn problem(&mut self, what: &str) {
        if !self.strict || self.found.problems.len() >= MOST_PROBLEMS {
            return;
        }
        let mut path = String::new();
        for segment in &self.path {
            match segment {
                Segment::Index(i) => path.push_str(&format!("[{i}]")),
                Segment::Field(name) => append(&mut path, name),
                Segment::Key(key) => append(&mut path, &key.text()),
            }
        }
        let problem = format!("{what} field {}", crate::field::quoted(&path));
        if !self.found.problems.contains(&problem) {
            self.found.problems.push(problem);
        }
    }
}

/// `{}` or `[]`.
fn is_empty(value: &[u8]) -> bool {
    value.len() >= 2 && value[1..value.len() - 1].iter().all(u8::is_ascii_whitespace)
}

fn append(path: &mut String, name: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(name);
}
