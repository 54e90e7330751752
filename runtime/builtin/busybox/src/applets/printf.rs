//! `printf FORMAT [ARG]…`

use crate::context::{Context, Error, Result};

pub async fn printf(cx: &mut Context) -> Result {
    let mut arguments = cx.args.get(1..).unwrap_or_default();
    if arguments.first().is_some_and(|first| first == "--") {
        arguments = &arguments[1..];
    }
    let Some((format, arguments)) = arguments.split_first() else {
        return Err(Error::usage("usage: printf FORMAT [ARG]..."));
    };
    let mut printer = Printer { out: Vec::new(), arguments: arguments.iter(), consumed: false, complaints: Vec::new() };
    loop {
        printer.consumed = false;
        let more = match printer.once(format) {
            Ok(more) => more,
            Err(error) => {
                cx.stdout.write(&printer.out).await?;
                return Err(error);
            }
        };
        if !more || !printer.consumed || printer.arguments.len() == 0 {
            break;
        }
    }
    let (out, complaints) = (printer.out, printer.complaints);
    for complaint in &complaints {
        cx.warn(complaint).await;
    }
    cx.stdout.write(out).await?;
    Ok(i32::from(!complaints.is_empty()))
}

/// Escapes as `echo -e` and `%b` know them, and whether there is more (`\c` says no).
pub fn unescape(text: &str) -> (Vec<u8>, bool) {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        if rest.first() == Some(&b'c') {
            return (out, false);
        }
        // `\0nnn` has a digit more than `\nnn`.
        if rest.first() == Some(&b'0') {
            let (value, used) = digits(&rest[1..], 8, 3);
            out.push(value);
            rest = &rest[1 + used..];
            continue;
        }
        escape(&mut rest, &mut out);
    }
    (out, true)
}

/// One escape, behind its backslash.
fn escape(rest: &mut &[u8], out: &mut Vec<u8>) {
    let Some((&letter, after)) = rest.split_first() else {
        out.push(b'\\');
        return;
    };
    let plain = match letter {
        b'\\' => b'\\',
        b'a' => 7,
        b'b' => 8,
        b'e' => 27,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 11,
        b'x' if digits(after, 16, 2).1 > 0 => {
            let (value, used) = digits(after, 16, 2);
            out.push(value);
            *rest = &after[used..];
            return;
        }
        b'0'..=b'7' => {
            let (value, used) = digits(rest, 8, 3);
            out.push(value);
            *rest = &rest[used..];
            return;
        }
        _ => {
            out.push(b'\\');
            return;
        }
    };
    out.push(plain);
    *rest = after;
}

fn digits(text: &[u8], base: u32, most: usize) -> (u8, usize) {
    let all = text.iter().take(most).map_while(|byte| char::from(*byte).to_digit(base));
    all.fold((0, 0), |(value, used), digit| ((u32::from(value) * base + digit) as u8, used + 1))
}

struct Printer<'a> {
    out: Vec<u8>,
    arguments: std::slice::Iter<'a, String>,
    consumed: bool,
    complaints: Vec<String>,
}

/// `%-08.3d`: flags, width, precision.
#[derive(Clone, Copy, Default)]
pub struct Directive {
    left: bool,
    zero: bool,
    plus: bool,
    space: bool,
    alternate: bool,
    width: usize,
    precision: Option<usize>,
}

/// Wider than this, nothing is padded.
const WIDEST: usize = 1 << 16;

impl Printer<'_> {
    /// The format, once; false when `\c` ended it all.
    fn once(&mut self, format: &str) -> Result<bool> {
        let mut rest = format.as_bytes();
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            match byte {
                b'\\' if rest.first() == Some(&b'c') => return Ok(false),
                b'\\' => escape(&mut rest, &mut self.out),
                b'%' if rest.first() == Some(&b'%') => {
                    self.out.push(b'%');
                    rest = &rest[1..];
                }
                b'%' => {
                    if !self.directive(&mut rest)? {
                        return Ok(false);
                    }
                }
                _ => self.out.push(byte),
            }
        }
        Ok(true)
    }

    fn directive(&mut self, rest: &mut &[u8]) -> Result<bool> {
        let start = *rest;
        let Some((directive, letter, behind)) = Directive::parse(start, &mut || self.integer()) else {
            return Err(Error::new(format!("%{}: invalid format", String::from_utf8_lossy(start))));
        };
        *rest = behind;
        match letter {
            b's' => {
                let argument = self.next();
                directive.text(argument.as_bytes(), &mut self.out);
            }
            b'b' => {
                let argument = self.next();
                let (bytes, more) = unescape(&argument);
                directive.text(&bytes, &mut self.out);
                return Ok(more);
            }
            b'c' => {
                let argument = self.next();
                directive.text(&argument.as_bytes()[..argument.len().min(1)], &mut self.out);
            }
            b'd' | b'i' => {
                let value = self.integer();
                directive.signed(value, &mut self.out);
            }
            b'u' | b'o' | b'x' | b'X' => {
                let value = self.integer();
                directive.unsigned(value, letter, &mut self.out);
            }
            b'e' | b'E' | b'f' | b'F' | b'g' | b'G' => {
                let value = self.float();
                directive.float(value, letter, &mut self.out);
            }
            _ => return Err(Error::new(format!("%{}: invalid format", String::from_utf8_lossy(start)))),
        }
        Ok(true)
    }

    fn next(&mut self) -> String {
        self.consumed = true;
        self.arguments.next().cloned().unwrap_or_default()
    }

    fn integer(&mut self) -> i64 {
        let argument = self.next();
        let text = argument.trim();
        // A quote stands for the next character's number.
        if let Some(rest) = text.strip_prefix(['"', '\'']) {
            return rest.chars().next().map_or(0, |c| i64::from(u32::from(c)));
        }
        if text.is_empty() {
            return 0;
        }
        integer(text).unwrap_or_else(|| {
            self.complaints.push(format!("invalid number '{argument}'"));
            0
        })
    }

    fn float(&mut self) -> f64 {
        let argument = self.next();
        let text = argument.trim();
        if text.is_empty() {
            return 0.0;
        }
        text.parse().ok().or_else(|| integer(text).map(|value| value as f64)).unwrap_or_else(|| {
            self.complaints.push(format!("invalid number '{argument}'"));
            0.0
        })
    }
}

impl Directive {
    /// Reads one behind its `%`: what it says, its letter, and what is left. `star` gives the numbers for `*`.
    pub fn parse<'a>(text: &'a [u8], star: &mut dyn FnMut() -> i64) -> Option<(Directive, u8, &'a [u8])> {
        let mut rest = text;
        let mut directive = Directive::default();
        while let Some((&byte, after)) = rest.split_first() {
            match byte {
                b'-' => directive.left = true,
                b'0' => directive.zero = true,
                b'+' => directive.plus = true,
                b' ' => directive.space = true,
                b'#' => directive.alternate = true,
                _ => break,
            }
            rest = after;
        }
        let mut number = |rest: &mut &[u8]| -> Option<i64> {
            if let Some(after) = rest.strip_prefix(b"*") {
                *rest = after;
                return Some(star());
            }
            let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let (digits, after) = rest.split_at(count);
            *rest = after;
            std::str::from_utf8(digits).ok()?.parse().ok()
        };
        if let Some(width) = number(&mut rest) {
            directive.left |= width < 0;
            directive.width = (width.unsigned_abs() as usize).min(WIDEST);
        }
        if let Some(after) = rest.strip_prefix(b".") {
            rest = after;
            directive.precision = usize::try_from(number(&mut rest).unwrap_or(0)).ok().map(|precision| precision.min(WIDEST));
        }
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            if !b"hlLqjzt".contains(&byte) {
                return Some((directive, byte, rest));
            }
        }
        None
    }

    /// `%d`
    pub fn signed(&self, value: i64, out: &mut Vec<u8>) {
        let sign = if value < 0 { "-" } else { self.sign() };
        self.number(sign, value.unsigned_abs().to_string(), out);
    }

    /// `%u`, `%o`, `%x`, `%X`
    pub fn unsigned(&self, value: i64, letter: u8, out: &mut Vec<u8>) {
        let (prefix, digits) = match letter {
            b'o' => (if self.alternate { "0" } else { "" }, format!("{value:o}")),
            b'x' => (if self.alternate && value != 0 { "0x" } else { "" }, format!("{value:x}")),
            b'X' => (if self.alternate && value != 0 { "0X" } else { "" }, format!("{value:X}")),
            _ => ("", (value as u64).to_string()),
        };
        self.number(prefix, digits, out);
    }

    /// `%e`, `%f`, `%g`
    pub fn float(&self, value: f64, letter: u8, out: &mut Vec<u8>) {
        let sign = if value.is_sign_negative() { "-" } else { self.sign() };
        let digits = float(value.abs(), letter, self.precision.unwrap_or(6));
        let zero = self.zero && value.is_finite();
        Directive { precision: None, zero, ..*self }.number(sign, digits, out);
    }

    fn sign(&self) -> &'static str {
        match (self.plus, self.space) {
            (true, _) => "+",
            (_, true) => " ",
            _ => "",
        }
    }

    /// `%s`
    pub fn text(&self, bytes: &[u8], out: &mut Vec<u8>) {
        let text = String::from_utf8_lossy(bytes);
        let bytes = match self.precision {
            Some(most) => &bytes[..text.char_indices().nth(most).map_or(bytes.len(), |(at, _)| at.min(bytes.len()))],
            None => bytes,
        };
        let padding = self.width.saturating_sub(String::from_utf8_lossy(bytes).chars().count());
        if !self.left {
            out.extend(std::iter::repeat_n(b' ', padding));
        }
        out.extend_from_slice(bytes);
        if self.left {
            out.extend(std::iter::repeat_n(b' ', padding));
        }
    }

    fn number(&self, sign: &str, mut digits: String, out: &mut Vec<u8>) {
        if let Some(least) = self.precision {
            digits.insert_str(0, &"0".repeat(least.saturating_sub(digits.len())));
        }
        let padding = self.width.saturating_sub(sign.len() + digits.len());
        let text = match (self.left, self.zero && self.precision.is_none()) {
            (true, _) => format!("{sign}{digits}{}", " ".repeat(padding)),
            (false, true) => format!("{sign}{}{digits}", "0".repeat(padding)),
            (false, false) => format!("{}{sign}{digits}", " ".repeat(padding)),
        };
        out.extend(text.bytes());
    }
}

/// C's integers: `10`, `0x1f`, `017`, with a sign.
pub fn integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let value = if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        u64::from_str_radix(hex, 16)
    } else if digits.len() > 1 && digits.starts_with('0') {
        u64::from_str_radix(digits, 8)
    } else {
        digits.parse()
    };
    let value = value.ok()?;
    Some(if negative { (value as i64).wrapping_neg() } else { value as i64 })
}

/// C's `%e`, `%f`, `%g` of a number that is not negative.
fn float(value: f64, letter: u8, precision: usize) -> String {
    let upper = letter.is_ascii_uppercase();
    let text = if !value.is_finite() {
        if value.is_nan() { "nan".into() } else { "inf".into() }
    } else {
        match letter.to_ascii_lowercase() {
            b'f' => format!("{value:.precision$}"),
            b'e' => exponential(value, precision),
            _ => {
                let significant = precision.max(1);
                let scientific = exponential(value, significant - 1);
                let exponent: i32 = scientific.rsplit_once('e').and_then(|(_, e)| e.parse().ok()).unwrap_or(0);
                if exponent < -4 || exponent >= significant as i32 {
                    let (mantissa, e) = scientific.split_once('e').unwrap_or((&scientific, "+00"));
                    format!("{}e{e}", shorten(mantissa))
                } else {
                    shorten(&format!("{value:.*}", (significant as i32 - 1 - exponent).max(0) as usize)).to_string()
                }
            }
        }
    };
    if upper { text.to_uppercase() } else { text }
}

/// Without zeros at the end of a fraction.
fn shorten(digits: &str) -> &str {
    if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits }
}

fn exponential(value: f64, precision: usize) -> String {
    let text = format!("{value:.precision$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}
