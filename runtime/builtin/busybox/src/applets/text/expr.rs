//! `expr EXPRESSION`

use crate::context::{Context, Error, Result};
use crate::regex::{Regex, Syntax};

/// How deep parentheses may nest.
const DEEPEST: usize = 200;

pub async fn expr(cx: &mut Context) -> Result {
    let words = &cx.args[1..];
    if words.is_empty() {
        return Err(Error::usage("syntax error").with_code(2));
    }
    let mut parser = Parser { words, at: 0, depth: 0 };
    let value = parser.or()?;
    if parser.at < words.len() {
        return Err(syntax());
    }
    cx.stdout.write(format!("{value}\n")).await?;
    Ok(i32::from(is_null(&value)))
}

fn syntax() -> Error {
    Error::new("syntax error").with_code(2)
}

fn is_null(value: &str) -> bool {
    value.is_empty() || value.parse() == Ok(0i64)
}

fn number(value: &str) -> Result<i64> {
    value.parse().map_err(|_| Error::new("non-numeric argument").with_code(2))
}

struct Parser<'a> {
    words: &'a [String],
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn take(&mut self, operators: &[&str]) -> Option<String> {
        let word = self.words.get(self.at).filter(|word| operators.contains(&word.as_str()))?;
        self.at += 1;
        Some(word.clone())
    }

    fn or(&mut self) -> Result<String> {
        let mut left = self.and()?;
        while self.take(&["|"]).is_some() {
            let right = self.and()?;
            if is_null(&left) {
                left = if is_null(&right) && right.is_empty() { "0".into() } else { right };
            }
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<String> {
        let mut left = self.comparison()?;
        while self.take(&["&"]).is_some() {
            let right = self.comparison()?;
            if is_null(&left) || is_null(&right) {
                left = "0".into();
            }
        }
        Ok(left)
    }

    fn comparison(&mut self) -> Result<String> {
        let mut left = self.sum()?;
        while let Some(operator) = self.take(&["<", "<=", "=", "==", "!=", ">=", ">"]) {
            let right = self.sum()?;
            let ordering = match (left.parse::<i64>(), right.parse::<i64>()) {
                (Ok(a), Ok(b)) => a.cmp(&b),
                _ => left.cmp(&right),
            };
            let holds = match operator.as_str() {
                "<" => ordering.is_lt(),
                "<=" => ordering.is_le(),
                "!=" => ordering.is_ne(),
                ">=" => ordering.is_ge(),
                ">" => ordering.is_gt(),
                _ => ordering.is_eq(),
            };
            left = i32::from(holds).to_string();
        }
        Ok(left)
    }

    fn sum(&mut self) -> Result<String> {
        let mut left = self.product()?;
        while let Some(operator) = self.take(&["+", "-"]) {
            let right = number(&self.product()?)?;
            let value = number(&left)?;
            left = if operator == "+" { value.wrapping_add(right) } else { value.wrapping_sub(right) }.to_string();
        }
        Ok(left)
    }

    fn product(&mut self) -> Result<String> {
        let mut left = self.matching()?;
        while let Some(operator) = self.take(&["*", "/", "%"]) {
            let right = number(&self.matching()?)?;
            let value = number(&left)?;
            if operator != "*" && right == 0 {
                return Err(Error::new("division by zero").with_code(2));
            }
            left = match operator.as_str() {
                "*" => value.wrapping_mul(right),
                "/" => value.wrapping_div(right),
                _ => value.wrapping_rem(right),
            }
            .to_string();
        }
        Ok(left)
    }

    fn matching(&mut self) -> Result<String> {
        let mut left = self.primary()?;
        while self.take(&[":"]).is_some() {
            let pattern = self.primary()?;
            left = matched(&left, &pattern)?;
        }
        Ok(left)
    }

    fn word(&mut self) -> Result<String> {
        let word = self.words.get(self.at).ok_or_else(syntax)?;
        self.at += 1;
        Ok(word.clone())
    }

    fn primary(&mut self) -> Result<String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(syntax());
        }
        let word = self.word()?;
        let value = match word.as_str() {
            "(" => {
                let value = self.or()?;
                self.take(&[")"]).ok_or_else(syntax)?;
                value
            }
            ")" => return Err(syntax()),
            "quote" if self.at < self.words.len() => self.word()?,
            "length" if self.at < self.words.len() => self.primary()?.chars().count().to_string(),
            "match" if self.at + 1 < self.words.len() => {
                let text = self.primary()?;
                let pattern = self.primary()?;
                matched(&text, &pattern)?
            }
            "index" if self.at + 1 < self.words.len() => {
                let (text, set) = (self.primary()?, self.primary()?);
                text.chars().position(|character| set.contains(character)).map_or(0, |index| index + 1).to_string()
            }
            "substr" if self.at + 2 < self.words.len() => {
                let text = self.primary()?;
                let (from, length) = (self.primary()?, self.primary()?);
                match (from.parse::<usize>(), length.parse::<usize>()) {
                    (Ok(from @ 1..), Ok(length)) => text.chars().skip(from - 1).take(length).collect(),
                    _ => String::new(),
                }
            }
            _ => word,
        };
        self.depth -= 1;
        Ok(value)
    }
}

/// The first group of a match at the text's beginning, or how long the match is.
fn matched(text: &str, pattern: &str) -> Result<String> {
    let regex = Regex::new(pattern, Syntax::default()).map_err(|error| Error::new(format!("bad regex '{pattern}': {error}")).with_code(2))?;
    let groups = regex.find_at(text.as_bytes(), 0).filter(|groups| groups[0].is_some_and(|(from, _)| from == 0));
    Ok(match groups {
        Some(groups) if groups.len() > 1 => groups[1].map_or(String::new(), |(from, to)| text[from..to].to_string()),
        Some(groups) => groups[0].map_or(0, |(from, to)| text[from..to].chars().count()).to_string(),
        None if regex.groups() > 1 => String::new(),
        None => "0".into(),
    })
}
