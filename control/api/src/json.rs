//! A scanner over JSON bytes that builds nothing: it finds values, skips them, and says what is wrong in the words of Go's decoder.

use std::borrow::Cow;

use thiserror::Error;

/// Deeper values are refused, so that no input can exhaust the stack.
pub const MAX_DEPTH: usize = 120;

/// Why bytes are not JSON.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum SyntaxError {
    #[error("unexpected end of JSON input")]
    End,
    #[error("invalid character {} {}", go_char(*.found), .place)]
    Unexpected { found: char, place: &'static str },
    #[error("exceeded max depth")]
    Depth,
}

fn go_char(c: char) -> String {
    match c {
        '\'' => r"'\''".to_owned(),
        '"' => "'\"'".to_owned(),
        c => {
            let quoted = crate::field::quoted(&c.to_string());
            format!("'{}'", &quoted[1..quoted.len() - 1])
        }
    }
}

/// A position in JSON bytes.
#[derive(Clone, Debug)]
pub struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
}

/// A string's bytes between its quotes.
#[derive(Clone, Copy, Debug)]
pub struct RawText<'a> {
    /// As they stand, escapes and all.
    pub raw: &'a [u8],
    /// Whether there are escapes.
    pub escaped: bool,
}

impl<'a> RawText<'a> {
    /// The text, unescaped; bytes that are not UTF-8 are replaced.
    pub fn text(&self) -> Cow<'a, str> {
        if !self.escaped {
            return String::from_utf8_lossy(self.raw);
        }
        let mut quoted = Vec::with_capacity(self.raw.len() + 2);
        quoted.push(b'"');
        quoted.extend_from_slice(self.raw);
        quoted.push(b'"');
        serde_json::from_slice::<String>(&quoted).map_or_else(|_| String::from_utf8_lossy(self.raw), Cow::Owned)
    }
}

/// What a value begins as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Begin {
    Object,
    Array,
    String,
    Number,
    Bool,
    Null,
}

impl Begin {
    /// Go's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Begin::Object => "object",
            Begin::Array => "array",
            Begin::String => "string",
            Begin::Number => "number",
            Begin::Bool => "bool",
            Begin::Null => "null",
        }
    }
}

impl<'a> Scanner<'a> {
    /// At the beginning of the bytes.
    pub fn new(bytes: &'a [u8]) -> Scanner<'a> {
        Scanner { bytes, at: 0, depth: 0 }
    }

    /// Offset of the next byte.
    pub fn position(&self) -> usize {
        self.at
    }

    /// The bytes since an earlier position.
    pub fn since(&self, start: usize) -> &'a [u8] {
        &self.bytes[start..self.at]
    }

    /// What the next value is; it is not consumed.
    pub fn begin(&mut self) -> Result<Begin, SyntaxError> {
        match self.peek()? {
            b'{' => Ok(Begin::Object),
            b'[' => Ok(Begin::Array),
            b'"' => Ok(Begin::String),
            b'-' | b'0'..=b'9' => Ok(Begin::Number),
            b't' | b'f' => Ok(Begin::Bool),
            b'n' => Ok(Begin::Null),
            _ => Err(self.unexpected("looking for beginning of value")),
        }
    }

    /// Enters the object that comes next and stops before the value of `key`, whose offset it returns. `None` if there is none.
    pub fn enter(&mut self, key: &[u8]) -> Option<usize> {
        self.open(b'{').ok()?;
        let mut first = true;
        while let Some(found) = self.next_key(&mut first).ok()? {
            if found.raw == key {
                self.begin().ok()?;
                return Some(self.at);
            }
            self.skip().ok()?;
        }
        None
    }

    /// Consumes `{` or `[`.
    pub fn open(&mut self, bracket: u8) -> Result<(), SyntaxError> {
        if self.peek()? != bracket {
            return Err(self.unexpected("looking for beginning of value"));
        }
        self.at += 1;
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(SyntaxError::Depth) } else { Ok(()) }
    }

    /// The next key of an open object, its colon consumed; `None` at the closing brace, which is consumed.
    pub fn next_key(&mut self, first: &mut bool) -> Result<Option<RawText<'a>>, SyntaxError> {
        match self.peek()? {
            b'}' => {
                self.at += 1;
                self.depth -= 1;
                return Ok(None);
            }
            b',' if !*first => {
                self.at += 1;
                self.peek()?;
            }
            _ if !*first => return Err(self.unexpected("after object key:value pair")),
            _ => {}
        }
        *first = false;
        if self.peek()? != b'"' {
            return Err(self.unexpected("looking for beginning of object key string"));
        }
        let key = self.string()?;
        if self.peek()? != b':' {
            return Err(self.unexpected("after object key"));
        }
        self.at += 1;
        Ok(Some(key))
    }

    /// Whether an open array has another element; at the closing bracket, which is consumed, it has not.
    pub fn next_element(&mut self, first: &mut bool) -> Result<bool, SyntaxError> {
        match self.peek()? {
            b']' => {
                self.at += 1;
                self.depth -= 1;
                return Ok(false);
            }
            b',' if !*first => self.at += 1,
            _ if !*first => return Err(self.unexpected("after array element")),
            _ => {}
        }
        *first = false;
        Ok(true)
    }

    /// Consumes a string.
    pub fn string(&mut self) -> Result<RawText<'a>, SyntaxError> {
        self.peek()?;
        let start = self.at + 1;
        self.at = start;
        let mut escaped = false;
        loop {
            match self.bytes.get(self.at) {
                None => return Err(SyntaxError::End),
                Some(b'"') => {
                    let raw = &self.bytes[start..self.at];
                    self.at += 1;
                    return Ok(RawText { raw, escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    self.at += 1;
                    match self.bytes.get(self.at) {
                        None => return Err(SyntaxError::End),
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
                        Some(b'u') => {
                            self.at += 1;
                            for _ in 0..4 {
                                match self.bytes.get(self.at) {
                                    None => return Err(SyntaxError::End),
                                    Some(c) if c.is_ascii_hexdigit() => self.at += 1,
                                    Some(_) => return Err(self.unexpected("in \\u hexadecimal character escape")),
                                }
                            }
                        }
                        Some(_) => return Err(self.unexpected("in string escape code")),
                    }
                }
                Some(c) if *c < 0x20 => return Err(self.unexpected("in string literal")),
                Some(_) => self.at += 1,
            }
        }
    }

    /// Consumes a number, `true`, `false` or `null`.
    pub fn scalar(&mut self) -> Result<&'a [u8], SyntaxError> {
        self.peek()?;
        let start = self.at;
        match self.bytes[start] {
            b't' => self.literal(b"true", "in literal true")?,
            b'f' => self.literal(b"false", "in literal false")?,
            b'n' => self.literal(b"null", "in literal null")?,
            _ => self.number()?,
        }
        Ok(&self.bytes[start..self.at])
    }

    /// Consumes a value of any kind.
    pub fn skip(&mut self) -> Result<(), SyntaxError> {
        match self.begin()? {
            Begin::Object => {
                self.open(b'{')?;
                let mut first = true;
                while self.next_key(&mut first)?.is_some() {
                    self.skip()?;
                }
            }
            Begin::Array => {
                self.open(b'[')?;
                let mut first = true;
                while self.next_element(&mut first)? {
                    self.skip()?;
                }
            }
            Begin::String => {
                self.string()?;
            }
            Begin::Number | Begin::Bool | Begin::Null => {
                self.scalar()?;
            }
        }
        Ok(())
    }

    /// Nothing but white space may follow.
    pub fn finish(&mut self) -> Result<(), SyntaxError> {
        match self.peek() {
            Err(SyntaxError::End) => Ok(()),
            _ => Err(self.unexpected("after top-level value")),
        }
    }

    fn peek(&mut self) -> Result<u8, SyntaxError> {
        while let Some(c) = self.bytes.get(self.at) {
            match c {
                b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                c => return Ok(*c),
            }
        }
        Err(SyntaxError::End)
    }

    fn literal(&mut self, word: &[u8], place: &'static str) -> Result<(), SyntaxError> {
        for expected in word {
            match self.bytes.get(self.at) {
                None => return Err(SyntaxError::End),
                Some(c) if c == expected => self.at += 1,
                Some(_) => return Err(self.unexpected(place)),
            }
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), SyntaxError> {
        if self.bytes[self.at] == b'-' {
            self.at += 1;
        }
        match self.bytes.get(self.at) {
            None => return Err(SyntaxError::End),
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            Some(_) => return Err(self.unexpected("in numeric literal")),
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.some_digits("after decimal point in numeric literal")?;
        }
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.bytes.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.some_digits("in exponent of numeric literal")?;
        }
        Ok(())
    }

    fn some_digits(&mut self, place: &'static str) -> Result<(), SyntaxError> {
        match self.bytes.get(self.at) {
            None => Err(SyntaxError::End),
            Some(c) if c.is_ascii_digit() => {
                self.digits();
                Ok(())
            }
            Some(_) => Err(self.unexpected(place)),
        }
    }

    fn digits(&mut self) {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
    }

    fn unexpected(&self, place: &'static str) -> SyntaxError {
        let Some(rest) = self.bytes.get(self.at..).filter(|r| !r.is_empty()) else { return SyntaxError::End };
        let piece = String::from_utf8_lossy(&rest[..rest.len().min(4)]);
        SyntaxError::Unexpected { found: piece.chars().next().unwrap_or('\u{fffd}'), place }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scan(text: &str) -> String {
        let mut scanner = Scanner::new(text.as_bytes());
        match scanner.skip().and_then(|()| scanner.finish()) {
            Ok(()) => "ok".to_owned(),
            Err(e) => e.to_string(),
        }
    }

    #[test]
    fn says_what_go_says() {
        let table = [
            (r#" {"a": [1, -2.5e3, "x\n\u00e9", true, false, null, {}], "b": []} "#, "ok"),
            ("", "unexpected end of JSON input"),
            ("{", "unexpected end of JSON input"),
            ("{]", "invalid character ']' looking for beginning of object key string"),
            (r#"{"a" 1}"#, "invalid character '1' after object key"),
            (r#"{"a":1 "b"}"#, "invalid character '\"' after object key:value pair"),
            (r#"{"a":}"#, "invalid character '}' looking for beginning of value"),
            ("[1 2]", "invalid character '2' after array element"),
            ("1 2", "invalid character '2' after top-level value"),
            ("\"a\nb\"", "invalid character '\\n' in string literal"),
            ("'a'", r"invalid character '\'' looking for beginning of value"),
            ("-x", "invalid character 'x' in numeric literal"),
            ("apiVersion: v1", "invalid character 'a' looking for beginning of value"),
        ];
        for (text, words) in table {
            assert_eq!(scan(text), words, "{text}");
        }
        assert_eq!(scan(&"[".repeat(100_000)), "exceeded max depth");
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json(text in r#"[\[\]{}:,"a1.e\-truefalsn \\]{0,24}"#) {
            prop_assert_eq!(scan(&text) == "ok", serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok());
        }
    }
}
