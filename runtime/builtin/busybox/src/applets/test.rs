//! `test` and `[`: POSIX's rules by the number of arguments, and busybox's `-a`, `-o`, `( )`, `<`, `>`, `-nt`, `-ot`, `-ef`.

use std::cmp::Ordering;
use std::fs::{self, Metadata};
use std::time::SystemTime;

use super::printf::integer;
use crate::context::{Context, Error, Result};

pub async fn test(cx: &mut Context) -> Result {
    let arguments = cx.args[1..].to_vec();
    verdict(cx, &arguments)
}

pub async fn bracket(cx: &mut Context) -> Result {
    match cx.args[1..].split_last() {
        Some((last, arguments)) if last == "]" => verdict(cx, &arguments.to_vec()),
        _ => Err(Error::new("missing ]").with_code(2)),
    }
}

fn verdict(cx: &Context, arguments: &[String]) -> Result {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    evaluate(cx, &words).map(|holds| i32::from(!holds))
}

fn evaluate(cx: &Context, words: &[&str]) -> Result<bool> {
    match words {
        [] => return Ok(false),
        [word] => return Ok(!word.is_empty()),
        ["!", word] => return Ok(word.is_empty()),
        [operator, operand] if is_unary(operator) => return about(cx, operator, operand),
        [left, operator, right] if is_binary(operator) => return compare(cx, left, operator, right),
        ["!", rest @ ..] if rest.len() <= 3 => return evaluate(cx, rest).map(|holds| !holds),
        ["(", inner @ .., ")"] if inner.len() <= 2 => return evaluate(cx, inner),
        _ => {}
    }
    let mut parser = Parser { cx, words, at: 0 };
    let holds = parser.or()?;
    match parser.words.get(parser.at) {
        None => Ok(holds),
        Some(word) => Err(unknown(word)),
    }
}

fn unknown(word: &str) -> Error {
    Error::new(format!("{word}: unknown operand")).with_code(2)
}

struct Parser<'a> {
    cx: &'a Context,
    words: &'a [&'a str],
    at: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self, ahead: usize) -> Option<&'a str> {
        self.words.get(self.at + ahead).copied()
    }

    fn or(&mut self) -> Result<bool> {
        let mut holds = self.and()?;
        while self.peek(0) == Some("-o") {
            self.at += 1;
            holds |= self.and()?;
        }
        Ok(holds)
    }

    fn and(&mut self) -> Result<bool> {
        let mut holds = self.not()?;
        while self.peek(0) == Some("-a") {
            self.at += 1;
            holds &= self.not()?;
        }
        Ok(holds)
    }

    fn not(&mut self) -> Result<bool> {
        let mut negated = false;
        while self.peek(0) == Some("!") && self.peek(1).is_some() {
            self.at += 1;
            negated = !negated;
        }
        Ok(self.primary()? != negated)
    }

    fn primary(&mut self) -> Result<bool> {
        let word = self.peek(0).ok_or_else(|| Error::new("argument expected").with_code(2))?;
        if let (Some(operator), Some(right)) = (self.peek(1), self.peek(2))
            && is_binary(operator)
        {
            self.at += 3;
            return compare(self.cx, word, operator, right);
        }
        if word == "(" {
            self.at += 1;
            let holds = self.or()?;
            if self.peek(0) != Some(")") {
                return Err(Error::new("closing paren expected").with_code(2));
            }
            self.at += 1;
            return Ok(holds);
        }
        if is_unary(word)
            && let Some(operand) = self.peek(1)
        {
            self.at += 2;
            return about(self.cx, word, operand);
        }
        self.at += 1;
        Ok(!word.is_empty())
    }
}

/// Whether an operator asks something about one operand.
pub fn is_unary(operator: &str) -> bool {
    matches!(operator.as_bytes(), [b'-', letter] if b"bcdefgGhkLnOprsStuwxz".contains(letter))
}

/// Whether an operator compares two operands.
pub fn is_binary(operator: &str) -> bool {
    matches!(operator, "=" | "==" | "!=" | "<" | ">" | "-eq" | "-ne" | "-lt" | "-le" | "-gt" | "-ge" | "-nt" | "-ot" | "-ef")
}

/// What a unary operator says.
pub fn about(cx: &Context, operator: &str, operand: &str) -> Result<bool> {
    let file = || file(cx, operand);
    let is = |test: fn(&Metadata) -> bool| file().is_some_and(|metadata| test(&metadata));
    Ok(match operator {
        "-z" => operand.is_empty(),
        "-n" => !operand.is_empty(),
        "-t" => operand.trim().parse().is_ok_and(|number| cx.descriptor(number).is_terminal()),
        "-h" | "-L" => fs::symlink_metadata(cx.path(operand)).is_ok_and(|metadata| metadata.is_symlink()),
        "-c" => device(operand),
        "-f" => !device(operand) && is(|metadata| metadata.is_file()),
        "-d" => is(|metadata| metadata.is_dir()),
        "-s" => is(|metadata| metadata.len() > 0),
        "-e" | "-r" | "-w" | "-O" | "-G" => device(operand) || file().is_some(),
        // There are no execution bits: a folder can be entered, a file be run if it looks like a program.
        "-x" => crate::applets::find(operand).is_some_and(|_| operand.contains('/')) || file().is_some(),
        _ => false,
    })
}

fn file(cx: &Context, path: &str) -> Option<Metadata> {
    if path.is_empty() { None } else { fs::metadata(cx.path(path)).ok() }
}

fn device(path: &str) -> bool {
    matches!(path, "/dev/null" | "/dev/zero" | "/dev/random" | "/dev/urandom" | "/dev/stdin" | "/dev/stdout" | "/dev/stderr")
}

/// What a binary operator says.
pub fn compare(cx: &Context, left: &str, operator: &str, right: &str) -> Result<bool> {
    let modified = |path: &str| -> Option<SystemTime> { file(cx, path)?.modified().ok() };
    let numbers = || -> Result<Ordering> { Ok(number(left)?.cmp(&number(right)?)) };
    Ok(match operator {
        "=" | "==" => left == right,
        "!=" => left != right,
        "<" => left < right,
        ">" => left > right,
        "-eq" => numbers()?.is_eq(),
        "-ne" => numbers()?.is_ne(),
        "-lt" => numbers()?.is_lt(),
        "-le" => numbers()?.is_le(),
        "-gt" => numbers()?.is_gt(),
        "-ge" => numbers()?.is_ge(),
        "-nt" => modified(left).zip(modified(right)).is_some_and(|(left, right)| left > right),
        "-ot" => modified(left).zip(modified(right)).is_some_and(|(left, right)| left < right),
        "-ef" => match (fs::canonicalize(cx.path(left)), fs::canonicalize(cx.path(right))) {
            (Ok(left), Ok(right)) => left == right,
            _ => false,
        },
        _ => return Err(unknown(operator)),
    })
}

/// Decimal, always: `010` is ten.
fn number(text: &str) -> Result<i64> {
    let digits = text.trim();
    let decimal = digits.strip_prefix('+').unwrap_or(digits).parse().ok();
    decimal.or_else(|| if digits.starts_with("0x") { None } else { integer(digits) }).ok_or_else(|| Error::new(format!("{text}: bad number")).with_code(2))
}
