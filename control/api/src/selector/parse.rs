//! The text form of label selectors: Kubernetes' grammar, with its errors.

use std::collections::BTreeSet;

use super::label::{Operator, Requirement, key_error, requirement};
use crate::field::Path;

/// The requirements that the text lists, in its order.
pub(super) fn requirements(text: &str) -> Result<Vec<Requirement>, String> {
    Parser::new(text).parse()
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    End,
    Open,
    Close,
    Comma,
    Not,
    Equals,
    DoubleEquals,
    NotEquals,
    Greater,
    Less,
    In,
    NotIn,
    Identifier,
}

struct Parser {
    tokens: Vec<(Token, String)>,
    at: usize,
}

impl Parser {
    fn new(text: &str) -> Parser {
        let mut tokens = Vec::new();
        let mut rest = text;
        loop {
            rest = rest.trim_start_matches([' ', '\t', '\r', '\n']);
            let Some(first) = rest.chars().next() else { break };
            let special = |c: char| matches!(c, '=' | '!' | '(' | ')' | ',' | '>' | '<');
            let (token, length) = if special(first) {
                match &rest.as_bytes()[..rest.len().min(2)] {
                    b"==" => (Token::DoubleEquals, 2),
                    b"!=" => (Token::NotEquals, 2),
                    _ => match first {
                        '=' => (Token::Equals, 1),
                        '!' => (Token::Not, 1),
                        '(' => (Token::Open, 1),
                        ')' => (Token::Close, 1),
                        ',' => (Token::Comma, 1),
                        '>' => (Token::Greater, 1),
                        _ => (Token::Less, 1),
                    },
                }
            } else {
                let end = rest.find(|c: char| special(c) || matches!(c, ' ' | '\t' | '\r' | '\n')).unwrap_or(rest.len());
                let token = match &rest[..end] {
                    "in" => Token::In,
                    "notin" => Token::NotIn,
                    _ => Token::Identifier,
                };
                (token, end)
            };
            tokens.push((token, rest[..length].to_owned()));
            rest = &rest[length..];
        }
        Parser { tokens, at: 0 }
    }

    /// The next token; keywords are identifiers unless an operator is wanted.
    fn look(&self, operator: bool) -> (Token, String) {
        let (token, text) = self.tokens.get(self.at).cloned().unwrap_or((Token::End, String::new()));
        match token {
            Token::In | Token::NotIn if !operator => (Token::Identifier, text),
            _ => (token, text),
        }
    }

    fn next(&mut self, operator: bool) -> (Token, String) {
        let token = self.look(operator);
        self.at += 1;
        token
    }

    fn parse(&mut self) -> Result<Vec<Requirement>, String> {
        let mut requirements = Vec::new();
        loop {
            let (token, text) = self.look(false);
            match token {
                Token::Identifier | Token::Not => {
                    requirements.push(self.requirement().map_err(|e| format!("unable to parse requirement: {e}"))?);
                    let (token, text) = self.next(false);
                    match token {
                        Token::End => return Ok(requirements),
                        Token::Comma => {
                            let (token, text) = self.look(false);
                            if !matches!(token, Token::Identifier | Token::Not) {
                                return Err(format!("found '{text}', expected: identifier after ','"));
                            }
                        }
                        _ => return Err(format!("found '{text}', expected: ',' or 'end of string'")),
                    }
                }
                Token::End => return Ok(requirements),
                _ => return Err(format!("found '{text}', expected: !, identifier, or 'end of string'")),
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let (mut token, mut key) = self.next(false);
        let negated = token == Token::Not;
        if negated {
            (token, key) = self.next(false);
        }
        if token != Token::Identifier {
            return Err(format!("found '{key}', expected: identifier"));
        }
        if let Some(error) = key_error(&key, &Path::default()) {
            return Err(error.to_string());
        }
        if negated {
            return requirement(&key, Operator::DoesNotExist, BTreeSet::new());
        }
        if matches!(self.look(false).0, Token::End | Token::Comma) {
            return requirement(&key, Operator::Exists, BTreeSet::new());
        }
        let (token, text) = self.next(true);
        let operator = match token {
            Token::In => Operator::In,
            Token::NotIn => Operator::NotIn,
            Token::Equals => Operator::Equals,
            Token::DoubleEquals => Operator::DoubleEquals,
            Token::NotEquals => Operator::NotEquals,
            Token::Greater => Operator::GreaterThan,
            Token::Less => Operator::LessThan,
            _ => return Err(format!("found '{text}', expected: in, notin, =, ==, !=, gt, lt, exists, !")),
        };
        let values = if matches!(operator, Operator::In | Operator::NotIn) { self.values()? } else { self.value()? };
        requirement(&key, operator, values)
    }

    fn value(&mut self) -> Result<BTreeSet<String>, String> {
        if matches!(self.look(false).0, Token::End | Token::Comma) {
            return Ok([String::new()].into());
        }
        match self.next(false) {
            (Token::Identifier, text) => Ok([text].into()),
            (_, text) => Err(format!("found '{text}', expected: identifier")),
        }
    }

    fn values(&mut self) -> Result<BTreeSet<String>, String> {
        let (token, text) = self.next(false);
        if token != Token::Open {
            return Err(format!("found '{text}' expected: '('"));
        }
        let (token, text) = self.look(false);
        match token {
            Token::Identifier | Token::Comma => {
                let values = self.identifiers()?;
                match self.next(false) {
                    (Token::Close, _) => Ok(values),
                    _ => Err(format!("found '{text}', expected: ')'")),
                }
            }
            Token::Close => {
                self.at += 1;
                Ok(BTreeSet::new())
            }
            _ => Err(format!("found '{text}', expected: ',', ')' or identifier")),
        }
    }

    fn identifiers(&mut self) -> Result<BTreeSet<String>, String> {
        let mut values = BTreeSet::new();
        loop {
            match self.next(false) {
                (Token::Identifier, text) => {
                    values.insert(text);
                    match self.look(false) {
                        (Token::Comma, _) => {}
                        (Token::Close, _) => return Ok(values),
                        (_, text) => return Err(format!("found '{text}', expected: ',' or ')'")),
                    }
                }
                (Token::Comma, _) => {
                    if values.is_empty() {
                        values.insert(String::new());
                    }
                    match self.look(false).0 {
                        Token::Close => {
                            values.insert(String::new());
                            return Ok(values);
                        }
                        Token::Comma => {
                            self.at += 1;
                            values.insert(String::new());
                        }
                        _ => {}
                    }
                }
                (_, text) => return Err(format!("found '{text}', expected: ',', or identifier")),
            }
        }
    }
}
