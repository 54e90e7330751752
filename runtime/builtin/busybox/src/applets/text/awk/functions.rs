//! Builtin functions that wait for nothing.

use std::rc::Rc;

use super::ast::Variable;
use super::machine::{Machine, RLENGTH, RSTART};
use super::value::Value;
use super::{format, record};
use crate::calendar;
use crate::context::{Context, Error, Result};

impl Machine {
    pub fn builtin(&mut self, name: &str, arguments: Vec<Value>, cx: &Context) -> Result<Value> {
        let number = |index: usize| arguments.get(index).map_or(0.0, Value::number);
        let text = |index: usize| arguments.get(index).map_or_else(|| "".into(), |value| self.text_of(value));
        Ok(Value::Number(match name {
            "length" => match arguments.first() {
                None => self.record_text().chars().count() as f64,
                Some(Value::Array(array)) => array.borrow().len() as f64,
                Some(value) => self.text_of(value).chars().count() as f64,
            },
            "int" => number(0).trunc(),
            "sqrt" => number(0).sqrt(),
            "exp" => number(0).exp(),
            "log" => number(0).ln(),
            "sin" => number(0).sin(),
            "cos" => number(0).cos(),
            "atan2" => number(0).atan2(number(1)),
            "rand" => {
                self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (self.random >> 11) as f64 / (1u64 << 53) as f64
            }
            "srand" => {
                let before = self.seed;
                self.seed = if arguments.is_empty() { calendar::now().0 as u64 } else { number(0) as i64 as u64 };
                self.random = self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d;
                before as f64
            }
            "systime" => calendar::now().0 as f64,
            "and" => (number(0) as u64 & number(1) as u64) as f64,
            "or" => (number(0) as u64 | number(1) as u64) as f64,
            "xor" => (number(0) as u64 ^ number(1) as u64) as f64,
            "lshift" => ((number(0) as u64).wrapping_shl(number(1) as u32)) as f64,
            "rshift" => ((number(0) as u64).wrapping_shr(number(1) as u32)) as f64,
            "compl" => f64::from(!(number(0) as u32)),
            "index" => {
                let (whole, part) = (text(0), text(1));
                Some(&*part).filter(|part| !part.is_empty()).and_then(|part| whole.find(part)).map_or(0.0, |at| whole[..at].chars().count() as f64 + 1.0)
            }
            "mktime" => {
                let whole = text(0);
                let parts: Vec<i64> = whole.split_whitespace().filter_map(|part| part.parse().ok()).collect();
                let [year, month, day, hour, minute, second, ..] = parts.as_slice() else { return Ok(Value::Number(-1.0)) };
                let days = calendar::days(*year, *month, *day);
                calendar::Zone::of(cx).to_utc(days * 86400 + hour * 3600 + minute * 60 + second) as f64
            }
            "strftime" => {
                let pattern = if arguments.is_empty() { "%c".into() } else { text(0) };
                let seconds = if arguments.len() > 1 { number(1) as i64 } else { calendar::now().0 };
                let zone = if number(2) != 0.0 { calendar::Zone::utc() } else { calendar::Zone::of(cx) };
                return Ok(Value::text(calendar::Moment::new(seconds, 0, &zone).format(&pattern)));
            }
            "tolower" => return Ok(Value::text(text(0).to_lowercase())),
            "toupper" => return Ok(Value::text(text(0).to_uppercase())),
            "sprintf" => return Ok(Value::text(format::format(&text(0), arguments.get(1..).unwrap_or_default(), &self.convfmt()))),
            "substr" => {
                let whole = text(0);
                return Ok(Value::text(substr(&whole, number(1), arguments.get(2).map(Value::number))));
            }
            "match" => return self.find(&arguments),
            "split" => return self.split(&arguments),
            "sub" | "gsub" => return self.substitute(&arguments, name == "gsub"),
            "gensub" => return self.gensub(&arguments),
            other => return Err(Error::new(format!("{other}: no such function"))),
        }))
    }

    fn find(&mut self, arguments: &[Value]) -> Result<Value> {
        let compiled = self.regex_of(&arguments[1])?;
        let text = self.text_of(&arguments[0]);
        let groups = compiled.regex.find_at(text.as_bytes(), 0);
        let (start, length) = match groups.as_ref().and_then(|groups| groups[0]) {
            Some((from, to)) => (text[..from].chars().count() as f64 + 1.0, text[from..to].chars().count() as f64),
            None => (0.0, -1.0),
        };
        self.store(Variable::Global(RSTART), Value::Number(start));
        self.store(Variable::Global(RLENGTH), Value::Number(length));
        if let Some(Value::Array(array)) = arguments.get(2) {
            let array = &mut *array.borrow_mut();
            array.clear();
            for (index, group) in groups.iter().flatten().enumerate() {
                if let Some((from, to)) = group {
                    array.set(index.to_string().into(), Value::input(&text[*from..*to]));
                }
            }
        }
        Ok(Value::Number(start))
    }

    fn split(&mut self, arguments: &[Value]) -> Result<Value> {
        let text = self.text_of(&arguments[0]);
        let separator = match arguments.get(2) {
            None => self.separator()?,
            Some(Value::Regex(compiled)) if *compiled.text == *" " => record::Separator::Character(' '),
            Some(Value::Regex(compiled)) => record::Separator::Regex(compiled.clone()),
            Some(value) => {
                let separator = self.text_of(value);
                self.separator_of(&separator)?
            }
        };
        let Some(Value::Array(array)) = arguments.get(1) else { return Err(Error::new("split: not an array")) };
        let parts = record::split(&text, &separator);
        let array = &mut *array.borrow_mut();
        array.clear();
        for (index, part) in parts.iter().enumerate() {
            array.set((index + 1).to_string().into(), Value::input(*part));
        }
        Ok(Value::Number(parts.len() as f64))
    }

    /// Text, expression, replacement: the new text, and how often in the status.
    fn substitute(&mut self, arguments: &[Value], all: bool) -> Result<Value> {
        let compiled = self.regex_of(&arguments[1])?;
        let (text, with) = (self.text_of(&arguments[0]), self.text_of(&arguments[2]));
        let (out, count) = replace(&compiled.regex, &text, &with, if all { None } else { Some(1) }, false);
        self.status = count as f64;
        Ok(Value::text(out))
    }

    fn gensub(&mut self, arguments: &[Value]) -> Result<Value> {
        let compiled = self.regex_of(&arguments[0])?;
        let with = self.text_of(&arguments[1]);
        let text = match arguments.get(3) {
            Some(value) => self.text_of(value),
            None => self.record_text(),
        };
        let how: Rc<str> = self.text_of(&arguments[2]);
        let nth = if how.starts_with(['g', 'G']) { None } else { Some((arguments[2].number() as usize).max(1)) };
        Ok(Value::text(replace(&compiled.regex, &text, &with, nth, true).0))
    }
}

/// Replaces all matches, or the nth. `\1` stands for a group where `groups` says so, `&` for the match.
fn replace(regex: &crate::regex::Regex, text: &str, with: &str, nth: Option<usize>, groups: bool) -> (String, usize) {
    let mut out = String::new();
    let (mut at, mut copied, mut seen, mut count, mut last_end) = (0, 0, 0, 0, None);
    while at <= text.len() {
        let Some(found) = regex.find_at(text.as_bytes(), at) else { break };
        let Some((from, to)) = found[0] else { break };
        at = if to > from { to } else { from + text[from..].chars().next().map_or(1, char::len_utf8) };
        if from == to && last_end == Some(from) {
            continue;
        }
        last_end = Some(to);
        seen += 1;
        if nth.is_some_and(|nth| seen != nth) {
            continue;
        }
        out += &text[copied..from];
        let mut rest = with.chars().peekable();
        while let Some(character) = rest.next() {
            match (character, rest.peek().copied()) {
                ('\\', Some('&')) => {
                    out.push('&');
                    rest.next();
                }
                ('\\', Some('\\')) => {
                    out.push('\\');
                    rest.next();
                }
                ('\\', Some(digit @ '0'..='9')) if groups => {
                    rest.next();
                    if let Some(Some((from, to))) = found.get(digit as usize - '0' as usize) {
                        out += &text[*from..*to];
                    }
                }
                ('&', _) => out += &text[from..to],
                (other, _) => out.push(other),
            }
        }
        copied = to;
        count += 1;
        if nth.is_some() {
            break;
        }
    }
    out += &text[copied..];
    (out, count)
}

fn substr(text: &str, from: f64, length: Option<f64>) -> String {
    let round = |number: f64| if number.is_nan() { 0.0 } else { number.round_ties_even() };
    let begin = round(from);
    let end = length.map_or(f64::INFINITY, |length| begin + round(length));
    text.chars().enumerate().filter(|(index, _)| (*index as f64 + 1.0) >= begin && (*index as f64 + 1.0) < end).map(|(_, character)| character).collect()
}
