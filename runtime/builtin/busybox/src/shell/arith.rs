//! `$((…))`: C's integer expressions on 64 bits, with `**` and `base#digits`.

use super::parse::is_name;

/// Where an expression's names lead.
pub trait Variables {
    fn value(&self, name: &str) -> Result<Option<String>, String>;
    fn assign(&mut self, name: &str, value: i64) -> Result<(), String>;
}

/// How deep parentheses, and variables whose values are expressions, may go.
const DEEPEST: u32 = 64;

/// What an expression is worth, or the words of its error.
pub fn evaluate(text: &str, variables: &mut dyn Variables) -> Result<i64, String> {
    evaluate_at(text, variables, 0)
}

fn evaluate_at(text: &str, variables: &mut dyn Variables, depth: u32) -> Result<i64, String> {
    if depth > DEEPEST {
        return Err("expression recursion loop detected".into());
    }
    let mut evaluator = Evaluator { rest: text, variables, depth, skipped: false };
    if evaluator.blank().is_empty() {
        return Ok(0);
    }
    let value = evaluator.comma()?;
    if evaluator.blank().is_empty() { value.number(&mut evaluator) } else { Err("arithmetic syntax error".into()) }
}

/// Operators of two operands, longest first, with how tightly they bind.
const BINARY: &[(&str, u32)] = &[
    ("**", 12),
    ("<<", 9),
    (">>", 9),
    ("<=", 8),
    (">=", 8),
    ("==", 7),
    ("!=", 7),
    ("&&", 3),
    ("||", 2),
    ("*", 11),
    ("/", 11),
    ("%", 11),
    ("+", 10),
    ("-", 10),
    ("<", 8),
    (">", 8),
    ("&", 6),
    ("^", 5),
    ("|", 4),
];
const ASSIGNING: &[&str] = &["<<=", ">>=", "*=", "/=", "%=", "+=", "-=", "&=", "^=", "|=", "="];

struct Evaluator<'a, 'v> {
    rest: &'a str,
    variables: &'v mut dyn Variables,
    depth: u32,
    /// Behind `0 &&`, `1 ||` or the branch that is not taken: parsed, without effect.
    skipped: bool,
}

/// A number, or a variable that may be assigned to.
#[derive(Clone)]
enum Value<'a> {
    Number(i64),
    Name(&'a str),
}

impl Value<'_> {
    fn number(&self, evaluator: &mut Evaluator<'_, '_>) -> Result<i64, String> {
        match self {
            Value::Number(number) => Ok(*number),
            Value::Name(_) if evaluator.skipped => Ok(0),
            Value::Name(name) => match evaluator.variables.value(name)? {
                None => Ok(0),
                Some(text) => match text.trim().parse() {
                    Ok(number) if !text.trim().starts_with('0') => Ok(number),
                    _ => evaluate_at(&text, evaluator.variables, evaluator.depth + 1),
                },
            },
        }
    }
}

impl<'a> Evaluator<'a, '_> {
    fn blank(&mut self) -> &'a str {
        self.rest = self.rest.trim_start();
        self.rest
    }

    fn take(&mut self, operator: &str) -> bool {
        match self.blank().strip_prefix(operator) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn comma(&mut self) -> Result<Value<'a>, String> {
        let mut value = self.assignment()?;
        while self.take(",") {
            value.number(self)?;
            value = self.assignment()?;
        }
        Ok(value)
    }

    fn assignment(&mut self) -> Result<Value<'a>, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("expression recursion loop detected".into());
        }
        let target = self.conditional()?;
        let rest = self.blank();
        let operator = ASSIGNING.iter().find(|operator| rest.starts_with(**operator) && !(**operator == "=" && rest.starts_with("==")));
        let value = match (operator, &target) {
            (Some(operator), Value::Name(name)) => {
                self.rest = &rest[operator.len()..];
                let right = self.assignment()?.number(self)?;
                let value = match operator.strip_suffix('=') {
                    Some("") | None => right,
                    Some(operator) => {
                        let left = target.number(self)?;
                        self.apply(operator, left, right)?
                    }
                };
                self.store(name, value)?;
                Value::Number(value)
            }
            (Some(_), Value::Number(_)) => return Err("arithmetic syntax error".into()),
            (None, _) => target,
        };
        self.depth -= 1;
        Ok(value)
    }

    fn store(&mut self, name: &str, value: i64) -> Result<(), String> {
        if self.skipped { Ok(()) } else { self.variables.assign(name, value) }
    }

    fn conditional(&mut self) -> Result<Value<'a>, String> {
        let condition = self.binary(0)?;
        if !self.take("?") {
            return Ok(condition);
        }
        let holds = condition.number(self)? != 0;
        let yes = self.branch(holds)?;
        if !self.take(":") {
            return Err("malformed ?: operator".into());
        }
        let no = self.branch(!holds)?;
        Ok(Value::Number(if holds { yes } else { no }))
    }

    fn branch(&mut self, taken: bool) -> Result<i64, String> {
        let before = self.skipped;
        self.skipped |= !taken;
        let value = self.assignment().and_then(|value| value.number(self));
        self.skipped = before;
        value
    }

    fn binary(&mut self, least: u32) -> Result<Value<'a>, String> {
        let mut left = self.unary()?;
        loop {
            let rest = self.blank();
            let Some((operator, strength)) = BINARY.iter().find(|(operator, _)| rest.starts_with(operator)) else { return Ok(left) };
            let behind = &rest[operator.len()..];
            // `+=` is an assignment, `a<=b` is not.
            let assigns = behind.starts_with('=') && !matches!(*operator, "<=" | ">=" | "==" | "!=" | "&&" | "||" | "<" | ">" | "**");
            if *strength < least || assigns {
                return Ok(left);
            }
            self.rest = behind;
            let number = left.number(self)?;
            let decided = match *operator {
                "&&" if number == 0 => Some(0),
                "||" if number != 0 => Some(1),
                _ => None,
            };
            let before = self.skipped;
            self.skipped |= decided.is_some();
            // `**` groups from the right.
            let right = self.binary(if *operator == "**" { *strength } else { strength + 1 }).and_then(|value| value.number(self));
            self.skipped = before;
            let right = right?;
            left = Value::Number(match decided {
                Some(value) => value,
                None => self.apply(operator, number, right)?,
            });
        }
    }

    fn apply(&self, operator: &str, left: i64, right: i64) -> Result<i64, String> {
        let zero = || if self.skipped { Ok(0) } else { Err("divide by zero".to_string()) };
        Ok(match operator {
            "**" if right < 0 => return Err("exponent less than 0".into()),
            "**" => left.wrapping_pow(u32::try_from(right).unwrap_or(u32::MAX)),
            "*" => left.wrapping_mul(right),
            "/" if right == 0 => zero()?,
            "/" => left.wrapping_div(right),
            "%" if right == 0 => zero()?,
            "%" => left.wrapping_rem(right),
            "+" => left.wrapping_add(right),
            "-" => left.wrapping_sub(right),
            "<<" => left.wrapping_shl(right as u32),
            ">>" => left.wrapping_shr(right as u32),
            "<" => i64::from(left < right),
            ">" => i64::from(left > right),
            "<=" => i64::from(left <= right),
            ">=" => i64::from(left >= right),
            "==" => i64::from(left == right),
            "!=" => i64::from(left != right),
            "&" => left & right,
            "^" => left ^ right,
            "|" => left | right,
            "&&" => i64::from(left != 0 && right != 0),
            _ => i64::from(left != 0 || right != 0),
        })
    }

    fn unary(&mut self) -> Result<Value<'a>, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("expression recursion loop detected".into());
        }
        let value = self.prefixed();
        self.depth -= 1;
        value
    }

    fn prefixed(&mut self) -> Result<Value<'a>, String> {
        for (operator, step) in [("++", 1), ("--", -1)] {
            if self.blank().starts_with(operator) {
                let after = self.rest[2..].trim_start();
                if after.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') {
                    self.rest = after;
                    let Value::Name(name) = self.primary()? else { return Err("arithmetic syntax error".into()) };
                    let value = Value::Name(name).number(self)?.wrapping_add(step);
                    self.store(name, value)?;
                    return Ok(Value::Number(value));
                }
            }
        }
        if self.take("-") {
            return Ok(Value::Number(self.unary()?.number(self)?.wrapping_neg()));
        }
        if self.take("+") {
            return Ok(Value::Number(self.unary()?.number(self)?));
        }
        if self.take("~") {
            return Ok(Value::Number(!self.unary()?.number(self)?));
        }
        if self.blank().starts_with('!') && !self.rest.starts_with("!=") {
            self.rest = &self.rest[1..];
            return Ok(Value::Number(i64::from(self.unary()?.number(self)? == 0)));
        }
        let value = self.primary()?;
        for (operator, step) in [("++", 1), ("--", -1)] {
            if let Value::Name(name) = value
                && self.take(operator)
            {
                let before = Value::Name(name).number(self)?;
                self.store(name, before.wrapping_add(step))?;
                return Ok(Value::Number(before));
            }
        }
        Ok(value)
    }

    fn primary(&mut self) -> Result<Value<'a>, String> {
        if self.take("(") {
            let value = self.comma()?.number(self)?;
            return if self.take(")") { Ok(Value::Number(value)) } else { Err("arithmetic syntax error".into()) };
        }
        let rest = self.blank();
        let length = rest.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'#' | b'@')).count();
        let (word, behind) = rest.split_at(length);
        self.rest = behind;
        if is_name(word) {
            return Ok(Value::Name(word));
        }
        number(word).map(Value::Number).ok_or_else(|| "arithmetic syntax error".into())
    }
}

/// `10`, `0x1f`, `017`, `2#101`.
fn number(word: &str) -> Option<i64> {
    if let Some((base, digits)) = word.split_once('#') {
        let base: u32 = base.parse().ok().filter(|base| (2..=64).contains(base))?;
        return digits.chars().try_fold(0i64, |value, digit| {
            let digit = match digit {
                '0'..='9' => u32::from(digit) - 48,
                'a'..='z' => u32::from(digit) - 87,
                'A'..='Z' if base <= 36 => u32::from(digit) - 55,
                'A'..='Z' => u32::from(digit) - 29,
                '@' => 62,
                '_' => 63,
                _ => return None,
            };
            (digit < base).then(|| value.wrapping_mul(i64::from(base)).wrapping_add(i64::from(digit)))
        });
    }
    if let Some(hex) = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        return u64::from_str_radix(hex, 16).ok().map(|value| value as i64);
    }
    if word.len() > 1 && word.starts_with('0') {
        return u64::from_str_radix(word, 8).ok().map(|value| value as i64);
    }
    if word.is_empty() || !word.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // What does not fit is the largest number, as strtoll has it.
    Some(word.parse().unwrap_or(i64::MAX))
}
