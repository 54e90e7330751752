//! Words of awk.

use std::rc::Rc;

#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    Number(f64),
    Text(Rc<str>),
    Name(Rc<str>),
    /// A name with a `(` right behind it.
    Function(Rc<str>),
    /// A word of the language, or the name of a builtin function.
    Word(&'static str),
    /// An operator or another sign.
    Sign(&'static str),
    Newline,
    End,
}

/// The language's words.
const WORDS: &[&str] = &[
    "BEGIN", "END", "break", "continue", "delete", "do", "else", "exit", "for", "func", "function", "getline", "if", "in", "next", "nextfile", "print",
    "printf", "return", "while", "switch", "case", "default",
];
/// Builtin functions.
pub const BUILTINS: &[&str] = &[
    "and", "atan2", "close", "compl", "cos", "exp", "fflush", "gensub", "gsub", "index", "int", "length", "log", "lshift", "match", "mktime", "or", "rand",
    "rshift", "sin", "split", "sprintf", "sqrt", "srand", "strftime", "sub", "substr", "system", "systime", "tolower", "toupper", "xor",
];
/// Longer ones first.
const SIGNS: &[&str] = &[
    "**=", "&&", "||", "++", "--", "+=", "-=", "*=", "/=", "%=", "^=", "**", "==", "!=", "<=", ">=", ">>", "!~", "{", "}", "(", ")", "[", "]", ";", ",", "+",
    "-", "*", "/", "%", "^", "!", ">", "<", "|", "?", ":", "~", "$", "=",
];

pub struct Lexer {
    text: Vec<char>,
    at: usize,
    pub line: u32,
}

impl Lexer {
    pub fn new(text: &str) -> Lexer {
        Lexer { text: text.chars().collect(), at: 0, line: 1 }
    }

    /// Where it is, to come back to.
    pub fn state(&self) -> (usize, u32) {
        (self.at, self.line)
    }

    pub fn reset(&mut self, (at, line): (usize, u32)) {
        (self.at, self.line) = (at, line);
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.text.get(self.at + ahead).copied()
    }

    pub fn next(&mut self) -> Result<Token, String> {
        loop {
            match self.peek(0) {
                Some(' ' | '\t' | '\r') => self.at += 1,
                Some('\\') if self.peek(1) == Some('\n') => {
                    self.at += 2;
                    self.line += 1;
                }
                Some('\\') if self.peek(1) == Some('\r') && self.peek(2) == Some('\n') => {
                    self.at += 3;
                    self.line += 1;
                }
                Some('#') => {
                    while self.peek(0).is_some_and(|character| character != '\n') {
                        self.at += 1;
                    }
                }
                _ => break,
            }
        }
        let Some(character) = self.peek(0) else { return Ok(Token::End) };
        if character == '\n' {
            self.at += 1;
            self.line += 1;
            return Ok(Token::Newline);
        }
        if character == '"' {
            self.at += 1;
            return self.text();
        }
        if character.is_ascii_digit() || character == '.' && self.peek(1).is_some_and(|next| next.is_ascii_digit()) {
            return Ok(self.number());
        }
        if character.is_alphabetic() || character == '_' {
            return Ok(self.name());
        }
        for sign in SIGNS {
            if self.text[self.at..].iter().take(sign.len()).copied().eq(sign.chars()) {
                self.at += sign.len();
                return Ok(Token::Sign(match *sign {
                    "**" => "^",
                    "**=" => "^=",
                    other => other,
                }));
            }
        }
        Err("Unexpected token".into())
    }

    fn number(&mut self) -> Token {
        let rest: String = self.text[self.at..].iter().take(400).collect();
        let (value, length) = super::value::leading_number(&rest);
        self.at += length.max(1);
        Token::Number(value)
    }

    fn name(&mut self) -> Token {
        let from = self.at;
        while self.peek(0).is_some_and(|character| character.is_alphanumeric() || character == '_') {
            self.at += 1;
        }
        let name: String = self.text[from..self.at].iter().collect();
        if let Some(word) = WORDS.iter().chain(BUILTINS).find(|word| **word == name) {
            return Token::Word(if *word == "func" { "function" } else { word });
        }
        if self.peek(0) == Some('(') { Token::Function(name.into()) } else { Token::Name(name.into()) }
    }

    fn text(&mut self) -> Result<Token, String> {
        let from = self.at;
        loop {
            match self.peek(0) {
                None | Some('\n') => return Err("Unterminated string".into()),
                Some('\\') => {
                    if self.peek(1) == Some('\n') {
                        self.line += 1;
                    }
                    self.at += 2;
                }
                Some('"') => break,
                Some(_) => self.at += 1,
            }
        }
        let raw: String = self.text[from..self.at.min(self.text.len())].iter().collect();
        self.at += 1;
        Ok(Token::Text(unescape(&raw).into()))
    }

    /// A regular expression; its first slash (and perhaps a `=`) was read already.
    pub fn regex(&mut self, begun: &str) -> Result<String, String> {
        let mut pattern = begun.to_string();
        let mut in_set = 0;
        loop {
            match self.peek(0) {
                None | Some('\n') => return Err("Unterminated regex".into()),
                Some('/') if in_set == 0 => {
                    self.at += 1;
                    return Ok(pattern);
                }
                Some('\\') => {
                    let escaped = self.peek(1).ok_or("Unterminated regex")?;
                    if escaped == '/' {
                        pattern.push('/')
                    } else {
                        pattern.extend(['\\', escaped])
                    }
                    self.at += 2;
                    continue;
                }
                Some('[') if in_set == 0 => {
                    in_set = 1;
                    pattern.push('[');
                    self.at += 1;
                    for first in ['^', ']'] {
                        if self.peek(0) == Some(first) {
                            pattern.push(first);
                            self.at += 1;
                        }
                    }
                    // A bracket that never closes is a slash's problem, not ours.
                    let closes = self.text[self.at..].iter().take_while(|character| **character != '\n').any(|character| *character == ']');
                    in_set *= u32::from(closes);
                    continue;
                }
                Some('[') if in_set > 0 && self.peek(1) == Some(':') => {
                    while let Some(character) = self.peek(0).filter(|character| *character != '\n') {
                        pattern.push(character);
                        self.at += 1;
                        if character == ']' {
                            break;
                        }
                    }
                    continue;
                }
                Some(character) => {
                    if character == ']' {
                        in_set = 0;
                    }
                    pattern.push(character);
                    self.at += 1;
                }
            }
        }
    }
}

/// Escapes of a string: a backslash before another character stays, as busybox has it for expressions in strings.
pub fn unescape(raw: &str) -> String {
    let mut out = String::new();
    let mut rest = raw.chars().peekable();
    while let Some(character) = rest.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        match rest.next() {
            None => out.push('\\'),
            Some('\n') => {}
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('a') => out.push('\x07'),
            Some('b') => out.push('\x08'),
            Some('f') => out.push('\x0c'),
            Some('v') => out.push('\x0b'),
            Some(escaped @ ('\\' | '"' | '/')) => out.push(escaped),
            Some('x') => {
                let mut value = None;
                while let Some(digit) = rest.peek().and_then(|digit| digit.to_digit(16)).filter(|_| value.is_none_or(|value: u32| value < 16)) {
                    value = Some(value.unwrap_or(0) * 16 + digit);
                    rest.next();
                }
                match value.and_then(char::from_u32) {
                    Some(character) => out.push(character),
                    None => out.push_str("\\x"),
                }
            }
            Some(digit @ '0'..='7') => {
                let mut value = digit as u32 - '0' as u32;
                for _ in 0..2 {
                    let Some(digit) = rest.peek().and_then(|digit| digit.to_digit(8)) else { break };
                    value = value * 8 + digit;
                    rest.next();
                }
                out.extend(char::from_u32(value));
            }
            Some(other) => out.extend(['\\', other]),
        }
    }
    out
}
