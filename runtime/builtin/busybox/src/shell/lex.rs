//! From text to words and operators.

use std::cell::OnceCell;
use std::rc::Rc;

use super::ast::{Operation, Parameter, Part, Word, literal};
use super::parse::Syntax;

/// Depth of quotes, substitutions and compound commands in each other.
pub const DEEPEST: u32 = 150;

#[derive(Debug, Clone)]
pub enum Token {
    Word(Word),
    Operator(&'static str),
    /// The number before a redirection.
    Number(u32),
    Newline,
    End,
}

/// Longer ones first.
const OPERATORS: &[&str] = &["<<<", "<<-", "&&", "||", ";;", ";&", "<<", ">>", "<&", ">&", "<>", ">|", "&>", "&", ";", "|", "(", ")", "<", ">"];

/// A here-document that was announced on a line that has not ended.
struct Pending {
    delimiter: String,
    tabs: bool,
    expands: bool,
    body: Rc<OnceCell<Word>>,
}

pub struct Lexer<'a> {
    text: &'a str,
    pub at: usize,
    pub line: u32,
    /// No more text will come.
    pub whole: bool,
    pub depth: u32,
    pending: Vec<Pending>,
}

/// Where a word's text ends.
#[derive(Clone, Copy, PartialEq)]
enum End {
    /// At a blank or operator.
    Word,
    /// At `"`.
    Quote,
    /// At `}`.
    Brace,
    /// At `/` or `}`.
    Slash,
    /// At `:` or `}`.
    Colon,
    /// With the text.
    Text,
}

impl<'a> Lexer<'a> {
    pub fn new(text: &'a str, line: u32, whole: bool) -> Lexer<'a> {
        Lexer { text, at: 0, line, whole, depth: 0, pending: Vec::new() }
    }

    /// A whole text as one word, as in double quotes: here-documents, prompts.
    pub fn document(text: &str, line: u32) -> Result<Word, Syntax> {
        Lexer::new(text, line, true).parts(true, End::Text)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn starts(&self, prefix: &str) -> bool {
        self.rest().starts_with(prefix)
    }

    pub fn error(&self, what: impl Into<String>) -> Syntax {
        Syntax::Wrong { message: what.into(), line: self.line }
    }

    /// The end of the text, in the middle of something.
    pub fn unfinished(&self, what: &str) -> Syntax {
        if self.whole { self.error(format!("syntax error: {what}")) } else { Syntax::Incomplete }
    }

    pub fn token(&mut self) -> Result<Token, Syntax> {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\r') => self.at += 1,
                Some(b'\\') if self.starts("\\\n") => self.continue_line(),
                Some(b'#') => self.at += self.rest().find('\n').unwrap_or(self.rest().len()),
                _ => break,
            }
        }
        let Some(byte) = self.peek() else {
            return match (self.pending.is_empty(), self.whole) {
                (false, false) => Err(Syntax::Incomplete),
                (false, true) => self.here_documents().map(|()| Token::End),
                _ => Ok(Token::End),
            };
        };
        if byte == b'\n' {
            self.at += 1;
            self.line += 1;
            self.here_documents()?;
            return Ok(Token::Newline);
        }
        if byte.is_ascii_digit() {
            let digits = self.rest().bytes().take_while(u8::is_ascii_digit).count();
            if matches!(self.rest().as_bytes().get(digits), Some(b'<' | b'>'))
                && let Ok(number) = self.rest()[..digits].parse()
            {
                self.at += digits;
                return Ok(Token::Number(number));
            }
        }
        if let Some(operator) = OPERATORS.iter().find(|operator| self.starts(operator)) {
            self.at += operator.len();
            return Ok(Token::Operator(operator));
        }
        self.parts(false, End::Word).map(Token::Word)
    }

    fn continue_line(&mut self) {
        self.at += 2;
        self.line += 1;
    }

    /// Remembers a here-document until the line ends.
    pub fn here(&mut self, delimiter: &Word, tabs: bool) -> Rc<OnceCell<Word>> {
        fn text(word: &Word) -> String {
            let part = |part: &Part| match part {
                Part::Literal(text) | Part::Quoted(text) => text.clone(),
                Part::Double(word) => text(word),
                Part::Parameter(parameter) => format!("${}", parameter.name),
                _ => String::new(),
            };
            word.iter().map(part).collect()
        }
        let body = Rc::new(OnceCell::new());
        let expands = literal(delimiter).is_some();
        self.pending.push(Pending { delimiter: text(delimiter), tabs, expands, body: body.clone() });
        body
    }

    fn here_documents(&mut self) -> Result<(), Syntax> {
        for pending in std::mem::take(&mut self.pending) {
            let first = self.line;
            let mut body = String::new();
            loop {
                if self.at >= self.text.len() {
                    if self.whole {
                        break;
                    }
                    return Err(Syntax::Incomplete);
                }
                let rest = self.rest();
                let line = &rest[..rest.find('\n').map_or(rest.len(), |end| end + 1)];
                self.at += line.len();
                self.line += 1;
                let line = if pending.tabs { line.trim_start_matches('\t') } else { line };
                if line.strip_suffix('\n').unwrap_or(line) == pending.delimiter {
                    break;
                }
                body.push_str(line);
            }
            let word = if pending.expands { Lexer::document(&body, first)? } else { vec![Part::Quoted(body)] };
            let _ = pending.body.set(word);
        }
        Ok(())
    }

    fn parts(&mut self, quoted: bool, end: End) -> Result<Word, Syntax> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.error("syntax error: too deeply nested"));
        }
        let mut word = Word::new();
        let mut text = String::new();
        loop {
            let Some(byte) = self.peek() else {
                match end {
                    End::Word | End::Text => break,
                    End::Quote => return Err(self.unfinished("unterminated quoted string")),
                    _ => return Err(self.unfinished("unterminated ${")),
                }
            };
            match (end, byte) {
                (End::Word, b' ' | b'\t' | b'\n' | b';' | b'&' | b'|' | b'<' | b'>' | b'(' | b')') => break,
                (End::Quote, b'"') | (End::Brace | End::Slash | End::Colon, b'}') | (End::Slash, b'/') | (End::Colon, b':') => break,
                _ => {}
            }
            let part = match byte {
                b'\\' if self.starts("\\\n") => {
                    self.continue_line();
                    continue;
                }
                b'\\' => {
                    let Some(next) = self.rest()[1..].chars().next() else {
                        if !self.whole && end != End::Text {
                            return Err(Syntax::Incomplete);
                        }
                        text.push('\\');
                        self.at += 1;
                        continue;
                    };
                    let escapes = match next {
                        '$' | '`' | '\\' => true,
                        '"' => end != End::Text,
                        '}' => matches!(end, End::Brace | End::Slash | End::Colon),
                        _ => !quoted,
                    };
                    if !escapes {
                        text.push('\\');
                        self.at += 1;
                        continue;
                    }
                    self.at += 1 + next.len_utf8();
                    Part::Quoted(next.into())
                }
                b'\'' if !quoted => Part::Quoted(self.single()?),
                b'"' if end != End::Text => {
                    self.at += 1;
                    let inner = self.parts(true, End::Quote)?;
                    self.at += 1;
                    Part::Double(inner)
                }
                b'`' => {
                    let script = self.backquoted(quoted)?;
                    let lines = self.line;
                    Part::Command(Rc::new(super::parse::Parser::new(&script, lines, true).script()?))
                }
                b'$' => match self.dollar(quoted)? {
                    Some(part) => part,
                    None => {
                        text.push('$');
                        continue;
                    }
                },
                _ => {
                    // All up to the next byte that may mean something.
                    let rest = self.rest();
                    let first = rest.chars().next().map_or(1, char::len_utf8);
                    let more = rest[first..].find(|c: char| c.is_ascii() && !c.is_ascii_alphanumeric());
                    let count = more.map_or(rest.len(), |more| first + more);
                    self.line += u32::from(byte == b'\n');
                    text.push_str(&rest[..count]);
                    self.at += count;
                    continue;
                }
            };
            if !text.is_empty() {
                word.push(Part::Literal(std::mem::take(&mut text)));
            }
            word.push(part);
        }
        if !text.is_empty() {
            word.push(Part::Literal(text));
        }
        self.depth -= 1;
        Ok(word)
    }

    fn single(&mut self) -> Result<String, Syntax> {
        let text = &self.rest()[1..];
        let Some(length) = text.find('\'') else { return Err(self.unfinished("unterminated quoted string")) };
        let text = &text[..length];
        self.line += text.matches('\n').count() as u32;
        self.at += length + 2;
        Ok(text.into())
    }

    /// `$'…'`: C's escapes.
    fn ansi(&mut self) -> Result<String, Syntax> {
        let text = &self.rest()[2..];
        let mut escaped = false;
        let end = text.bytes().position(|byte| {
            let ends = byte == b'\'' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        });
        let Some(length) = end else { return Err(self.unfinished("unterminated quoted string")) };
        let text = text[..length].replace("\\'", "'").replace("\\\"", "\"");
        self.line += text.matches('\n').count() as u32;
        self.at += length + 3;
        Ok(String::from_utf8_lossy(&crate::applets::unescape(&text).0).into_owned())
    }

    fn backquoted(&mut self, quoted: bool) -> Result<String, Syntax> {
        let mut script = String::new();
        let mut characters = self.rest()[1..].char_indices();
        while let Some((index, character)) = characters.next() {
            match character {
                '`' => {
                    let length = index + 2;
                    self.line += script.matches('\n').count() as u32;
                    self.at += length;
                    return Ok(script);
                }
                '\\' => match characters.next() {
                    Some((_, escaped)) => {
                        if !matches!(escaped, '`' | '\\' | '$') && !(quoted && escaped == '"') {
                            script.push('\\');
                        }
                        script.push(escaped);
                    }
                    None => break,
                },
                other => script.push(other),
            }
        }
        Err(self.unfinished("unterminated ` "))
    }

    /// What `$` begins; `None` when it is only a dollar.
    fn dollar(&mut self, quoted: bool) -> Result<Option<Part>, Syntax> {
        let rest = &self.rest().as_bytes()[1..];
        let Some(&next) = rest.first() else {
            self.at += 1;
            return Ok(None);
        };
        let name = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
        let value = |name: String| Some(Part::Parameter(Rc::new(Parameter { name, operation: Operation::Value })));
        match next {
            b'(' if rest.get(1) == Some(&b'(') => {
                if let Some(length) = arithmetic(&self.rest()[3..]) {
                    let (first, text) = (self.line, &self.rest()[3..3 + length]);
                    self.line += text.matches('\n').count() as u32;
                    self.at += length + 5;
                    let depth = self.depth;
                    let mut lexer = Lexer::new(text, first, true);
                    lexer.depth = depth;
                    return Ok(Some(Part::Arithmetic(lexer.parts(true, End::Text)?)));
                }
                if !self.whole && !closed(&self.rest()[1..]) {
                    return Err(Syntax::Incomplete);
                }
                self.command().map(Some)
            }
            b'(' => self.command().map(Some),
            b'{' => {
                self.at += 2;
                self.braced(quoted).map(Some)
            }
            b'\'' if !quoted => self.ansi().map(|text| Some(Part::Quoted(text))),
            b'"' if !quoted => {
                self.at += 1;
                Ok(Some(Part::Literal(String::new())))
            }
            b'0'..=b'9' | b'@' | b'*' | b'#' | b'?' | b'-' | b'$' | b'!' => {
                self.at += 2;
                Ok(value(name(&[next])))
            }
            _ => {
                let length = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
                self.at += 1 + length;
                Ok(if length == 0 { None } else { value(name(&rest[..length])) })
            }
        }
    }

    /// `$(…)`
    fn command(&mut self) -> Result<Part, Syntax> {
        let mut parser = super::parse::Parser::new(&self.text[self.at + 2..], self.line, self.whole);
        parser.set_depth(self.depth + 1);
        let list = parser.substitution()?;
        self.line = parser.line();
        self.at += 2 + parser.at();
        Ok(Part::Command(Rc::new(list)))
    }

    /// `${…}`, behind the brace.
    fn braced(&mut self, quoted: bool) -> Result<Part, Syntax> {
        let mut length = false;
        if self.peek() == Some(b'#') && !self.starts("#}") {
            // `${#name}`, but `${#-x}` and `${##x}` are operations on `$#`.
            let after = &self.rest()[1..];
            let name = name_length(after);
            length = name > 0 && after.as_bytes().get(name) == Some(&b'}');
            self.at += usize::from(length);
        }
        let count = name_length(self.rest());
        if count == 0 {
            return Err(if self.peek().is_none() { self.unfinished("unterminated ${") } else { self.error("syntax error: bad substitution") });
        }
        let name = self.rest()[..count].to_string();
        self.at += count;
        let operation = if length { Operation::Length } else { self.operation(quoted)? };
        if self.peek() != Some(b'}') {
            return Err(if self.peek().is_none() { self.unfinished("unterminated ${") } else { self.error("syntax error: bad substitution") });
        }
        self.at += 1;
        Ok(Part::Parameter(Rc::new(Parameter { name, operation })))
    }

    fn operation(&mut self, quoted: bool) -> Result<Operation, Syntax> {
        let Some(byte) = self.peek() else { return Err(self.unfinished("unterminated ${")) };
        let null = byte == b':';
        let operator = if null { self.rest().as_bytes().get(1).copied().unwrap_or(b':') } else { byte };
        Ok(match operator {
            b'}' if !null => Operation::Value,
            b'-' | b'=' | b'?' | b'+' => {
                self.at += 1 + usize::from(null);
                Operation::Absent { operator, null, word: self.parts(quoted, End::Brace)? }
            }
            _ if null => {
                self.at += 1;
                let offset = self.parts(true, End::Colon)?;
                let length = match self.peek() {
                    Some(b':') => {
                        self.at += 1;
                        Some(self.parts(true, End::Brace)?)
                    }
                    _ => None,
                };
                Operation::Slice { offset, length }
            }
            b'#' | b'%' => {
                self.at += 1;
                let longest = self.peek() == Some(operator);
                self.at += usize::from(longest);
                Operation::Trim { suffix: operator == b'%', longest, pattern: self.parts(false, End::Brace)? }
            }
            b'/' => {
                self.at += 1;
                let all = self.peek() == Some(b'/');
                self.at += usize::from(all);
                let pattern = self.parts(false, End::Slash)?;
                let with = if self.peek() == Some(b'/') {
                    self.at += 1;
                    self.parts(quoted, End::Brace)?
                } else {
                    Word::new()
                };
                Operation::Replace { all, pattern, with }
            }
            _ => return Err(self.error("syntax error: bad substitution")),
        })
    }
}

/// Bytes of a parameter's name at the start of a text.
fn name_length(text: &str) -> usize {
    match text.as_bytes().first() {
        Some(b'0'..=b'9') => text.bytes().take_while(u8::is_ascii_digit).count(),
        Some(b'@' | b'*' | b'#' | b'?' | b'-' | b'$' | b'!') => 1,
        _ => text.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count(),
    }
}

/// Length of the expression before `))`, if that is how its parentheses close.
fn arithmetic(text: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' if depth > 0 => depth -= 1,
            b')' => return text[at..].starts_with("))").then_some(at),
            _ => {}
        }
    }
    None
}

/// Whether parentheses close at all; roughly, for interactive input.
fn closed(text: &str) -> bool {
    let mut depth = 0;
    text.bytes().any(|byte| {
        match byte {
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {}
        }
        depth == 0
    })
}
