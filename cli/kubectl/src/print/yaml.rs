//! Values as YAML, in the form that Kubernetes' tools write: sorted keys, lists not indented, text with line
//! breaks as literal blocks, and quotes just where YAML 1.1 would read something else.

use serde_json::Value;

/// A document, with a line break at its end.
pub fn to_string(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => mapping(map, 0, &mut out),
        Value::Array(items) if !items.is_empty() => sequence(items, 0, &mut out),
        other => {
            scalar(other, 0, &mut out);
            out.push('\n');
        }
    }
    out
}

fn pad(indent: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', indent));
}

fn mapping(map: &serde_json::Map<String, Value>, indent: usize, out: &mut String) {
    let mut keys: Vec<&String> = map.keys().collect();
    keys.sort_by(|a, b| natural(a, b));
    for (at, key) in keys.into_iter().enumerate() {
        if at > 0 {
            pad(indent, out);
        }
        out.push_str(&text(key, None));
        out.push(':');
        match &map[key] {
            Value::Object(inner) if !inner.is_empty() => {
                out.push('\n');
                pad(indent + 2, out);
                mapping(inner, indent + 2, out);
            }
            Value::Array(items) if !items.is_empty() => {
                out.push('\n');
                pad(indent, out);
                sequence(items, indent, out);
            }
            other => {
                out.push(' ');
                scalar(other, indent, out);
                out.push('\n');
            }
        }
    }
}

fn sequence(items: &[Value], indent: usize, out: &mut String) {
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            pad(indent, out);
        }
        out.push_str("- ");
        match item {
            Value::Object(inner) if !inner.is_empty() => mapping(inner, indent + 2, out),
            Value::Array(inner) if !inner.is_empty() => sequence(inner, indent + 2, out),
            other => {
                scalar(other, indent, out);
                out.push('\n');
            }
        }
    }
}

fn scalar(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Number(n) => out.push_str(&n.to_string()),
        Value::String(s) => {
            let column = out.rsplit('\n').next().unwrap_or_default().chars().count();
            out.push_str(&fold(&text(s, Some(indent)), column, indent + 2));
        }
        Value::Array(_) => out.push_str("[]"),
        Value::Object(_) => out.push_str("{}"),
    }
}

/// The column behind which a line may be broken.
const WIDTH: usize = 80;

/// Breaks a long scalar at single spaces.
fn fold(scalar: &str, mut column: usize, indent: usize) -> String {
    if scalar.starts_with('|') || column + scalar.chars().count() <= WIDTH {
        return scalar.to_owned();
    }
    let chars: Vec<char> = scalar.chars().collect();
    let double = scalar.starts_with('"');
    // Quotes do not count as text.
    let (first, last) = if double || scalar.starts_with('\'') { (1, chars.len() - 2) } else { (0, chars.len() - 1) };
    let (mut out, mut after_space) = (String::new(), false);
    for (at, c) in chars.iter().copied().enumerate() {
        let next_is_space = chars.get(at + 1) == Some(&' ');
        if c == ' ' && !after_space && column > WIDTH && at > first && at < last && (double || !next_is_space) {
            out.push('\n');
            pad(indent, &mut out);
            column = indent;
            if double && next_is_space {
                out.push('\\');
                column += 1;
            }
        } else {
            out.push(c);
            column += 1;
        }
        after_space = c == ' ';
    }
    out
}

/// The order of keys: letters before others where they differ, and numbers within by their value.
fn natural(a: &str, b: &str) -> std::cmp::Ordering {
    use std::cmp::Ordering;
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut digits = false;
    for i in 0..a.len().min(b.len()) {
        if a[i] == b[i] {
            digits = a[i].is_ascii_digit();
            continue;
        }
        let (letter_a, letter_b) = (a[i].is_alphabetic(), b[i].is_alphabetic());
        if letter_a && letter_b {
            return a[i].cmp(&b[i]);
        }
        if letter_a || letter_b {
            return if digits == letter_a { Ordering::Less } else { Ordering::Greater };
        }
        // A zero after other digits counts as their continuation.
        let zero = a[i] == '0' || b[i] == '0';
        let start = i64::from(zero && a[..i].iter().rev().take_while(|c| c.is_ascii_digit()).any(|c| *c != '0'));
        let value = |text: &[char]| -> (i64, usize) {
            let mut end = i;
            let mut number = start;
            while end < text.len() && text[end].is_ascii_digit() {
                number = number.saturating_mul(10).saturating_add(i64::from(text[end] as u32 - '0' as u32));
                end += 1;
            }
            (number, end)
        };
        let ((number_a, end_a), (number_b, end_b)) = (value(&a), value(&b));
        if number_a != number_b {
            return number_a.cmp(&number_b);
        }
        if end_a != end_b {
            return end_a.cmp(&end_b);
        }
        return a[i].cmp(&b[i]);
    }
    a.len().cmp(&b.len())
}

/// What a scalar allows.
struct Shape {
    plain: bool,
    single_quoted: bool,
    block: bool,
}

/// A string; with an indent it may be a literal block below it.
fn text(s: &str, indent: Option<usize>) -> String {
    let shape = analyse(s);
    if s.contains('\n') {
        return match indent {
            Some(indent) if shape.block => literal(s, indent),
            _ => double_quoted(s),
        };
    }
    if !reads_as_text(s) {
        return double_quoted(s);
    }
    if shape.plain {
        s.to_owned()
    } else if shape.single_quoted {
        format!("'{}'", s.replace('\'', "''"))
    } else {
        double_quoted(s)
    }
}

/// Whether it would be read as a string without quotes, by its value (not by its punctuation).
fn reads_as_text(s: &str) -> bool {
    const WORDS: &[&str] = &[
        "", "~", "null", "Null", "NULL", "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON", "n", "N", "no", "No", "NO", "false", "False",
        "FALSE", "off", "Off", "OFF", ".nan", ".NaN", ".NAN", ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF", "<<",
    ];
    if WORDS.contains(&s) {
        return false;
    }
    let first = s.chars().next().unwrap_or(' ');
    if first == '.' {
        return !float(s);
    }
    if !(first.is_ascii_digit() || first == '+' || first == '-') {
        return true;
    }
    let plain = s.replace('_', "");
    !(timestamp(s) || integer(&plain) || float(&plain) || base_60(s))
}

fn unsigned(s: &str) -> &str {
    s.strip_prefix(['+', '-']).unwrap_or(s)
}

fn integer(s: &str) -> bool {
    let digits = unsigned(s);
    let lower = digits.to_ascii_lowercase();
    let of = |digits: &str, radix| !digits.is_empty() && digits.chars().all(|c| char::is_digit(c, radix));
    if let Some(rest) = lower.strip_prefix("0x") {
        of(rest, 16)
    } else if let Some(rest) = lower.strip_prefix("0o") {
        of(rest, 8)
    } else if let Some(rest) = lower.strip_prefix("0b") {
        of(rest, 2)
    } else {
        of(digits, 10)
    }
}

fn float(s: &str) -> bool {
    let s = unsigned(s);
    let (mantissa, exponent) = match s.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(unsigned(exponent))),
        None => (s, None),
    };
    let digits = |s: &str| s.chars().all(|c| c.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let some = !whole.is_empty() || !fraction.is_empty();
    some && digits(whole) && digits(fraction) && exponent.is_none_or(|e| !e.is_empty() && digits(e))
}

fn timestamp(s: &str) -> bool {
    let bytes = s.as_bytes();
    if bytes.len() < 6 || !bytes[..4].iter().all(u8::is_ascii_digit) || bytes[4] != b'-' {
        return false;
    }
    let number = |s: &str, most: u32| (1..=2).contains(&s.len()) && s.parse::<u32>().is_ok_and(|n| n <= most);
    let (date, time) = match s.find(['T', 't', ' ']) {
        Some(at) => (&s[..at], Some((s.as_bytes()[at], &s[at + 1..]))),
        None => (s, None),
    };
    let mut parts = date.splitn(3, '-');
    let (_, month, day) = (parts.next(), parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    if !number(month, 12) || !number(day, 31) {
        return false;
    }
    let Some((separator, time)) = time else { return true };
    let (clock, zoned) = match time.strip_suffix('Z') {
        Some(clock) => (clock, true),
        None => match time.rfind(['+', '-']) {
            Some(at) if at > 0 => (&time[..at], true),
            _ => (time, false),
        },
    };
    if zoned == (separator == b' ') {
        return false;
    }
    let mut parts = clock.splitn(3, ':');
    let (hour, minute, second) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    number(hour, 23) && number(minute, 59) && number(second.split('.').next().unwrap_or_default(), 59)
}

/// `1:30` is a number to YAML 1.1.
fn base_60(s: &str) -> bool {
    let s = unsigned(s);
    let mut parts = s.split(':');
    let head = parts.next().unwrap_or_default();
    if head.is_empty() || !head.starts_with(|c: char| c.is_ascii_digit()) || !head.chars().all(|c| c.is_ascii_digit() || c == '_') {
        return false;
    }
    let rest: Vec<&str> = parts.collect();
    !rest.is_empty()
        && rest.iter().enumerate().all(|(at, part)| {
            let part = if at + 1 == rest.len() { part.split('.').next().unwrap_or_default() } else { part };
            (1..=2).contains(&part.len()) && part.parse::<u32>().is_ok_and(|n| n < 60)
        })
}

fn analyse(s: &str) -> Shape {
    let chars: Vec<char> = s.chars().collect();
    if chars.is_empty() {
        return Shape { plain: false, single_quoted: true, block: false };
    }
    let mut block_indicators = s.starts_with("---") || s.starts_with("...");
    let (mut breaks, mut special, mut tabs) = (false, false, false);
    let (mut leading, mut trailing_space, mut trailing_break, mut break_space, mut space_break) = (false, false, false, false, false);
    let (mut previous_space, mut previous_break, mut preceded) = (false, false, true);
    for (at, c) in chars.iter().copied().enumerate() {
        let followed = chars.get(at + 1).is_none_or(|next| matches!(next, ' ' | '\t' | '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}'));
        let last = at + 1 == chars.len();
        if at == 0 {
            block_indicators |= match c {
                '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`' => true,
                '?' | ':' | '-' => followed,
                _ => false,
            };
        } else {
            block_indicators |= match c {
                ':' => followed,
                '#' => preceded,
                _ => false,
            };
        }
        if c == '\t' {
            tabs = true;
        } else if !printable(c) {
            special = true;
        }
        if c == ' ' {
            leading |= at == 0;
            trailing_space |= last;
            break_space |= previous_break;
            (previous_space, previous_break) = (true, false);
        } else if is_break(c) {
            breaks = true;
            leading |= at == 0;
            trailing_break |= last;
            space_break |= previous_space;
            (previous_space, previous_break) = (false, true);
        } else {
            (previous_space, previous_break) = (false, false);
        }
        preceded = c == ' ' || c == '\t' || is_break(c);
    }
    let odd = space_break || special;
    Shape {
        plain: !(leading || trailing_space || trailing_break || break_space || odd || tabs || breaks || block_indicators),
        single_quoted: !(break_space || odd || tabs),
        block: !(trailing_space || odd),
    }
}

fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}') && c != '\u{feff}'
}

fn literal(s: &str, indent: usize) -> String {
    let mut out = String::from("|");
    if s.starts_with([' ', '\n']) {
        out.push('2');
    }
    if !s.ends_with('\n') {
        out.push('-');
    } else if s.ends_with("\n\n") || s == "\n" {
        out.push('+');
    }
    let lines = s.strip_suffix('\n').unwrap_or(s);
    for line in lines.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            pad(indent + 2, &mut out);
            out.push_str(line);
        }
    }
    out
}

fn double_quoted(s: &str) -> String {
    let mut out = String::from("\"");
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\0' => out.push_str("\\0"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            '\u{1b}' => out.push_str("\\e"),
            '\u{85}' => out.push_str("\\N"),
            '\u{a0}' => out.push_str("\\_"),
            '\u{2028}' => out.push_str("\\L"),
            '\u{2029}' => out.push_str("\\P"),
            c if printable(c) => out.push(c),
            c if (c as u32) < 256 => out.push_str(&format!("\\x{:02X}", c as u32)),
            c if (c as u32) < 65536 => out.push_str(&format!("\\u{:04X}", c as u32)),
            c => out.push_str(&format!("\\U{:08X}", c as u32)),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use serde_json::json;

    #[test]
    fn documents_look_like_kubectls() {
        let value = json!({
            "metadata": {"name": "x", "labels": {}, "annotations": {"a": "{\"b\":1}\n", "when": "2026-11-28T22:58:20Z"}},
            "spec": {"list": [{"name": "a", "args": ["-c", "true", "8080", ""]}, []], "null": null, "n": 3, "deep": [[1, 2], [3]]},
        });
        expect![[r#"
            metadata:
              annotations:
                a: |
                  {"b":1}
                when: "2026-11-28T22:58:20Z"
              labels: {}
              name: x
            spec:
              deep:
              - - 1
                - 2
              - - 3
              list:
              - args:
                - -c
                - "true"
                - "8080"
                - ""
                name: a
              - []
              "n": 3
              "null": null
        "#]]
        .assert_eq(&to_string(&value));
    }

    #[test]
    fn long_lines_are_broken() {
        let long = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen";
        expect![[r#"
            a: one two three four five six seven eight nine ten eleven twelve thirteen fourteen
              fifteen sixteen seventeen
            b:
            - 'one: two three four five six seven eight nine ten eleven twelve thirteen fourteen
              fifteen sixteen seventeen'
        "#]]
        .assert_eq(&to_string(&json!({"a": long, "b": [long.replacen(' ', ": ", 1)]})));
    }

    #[test]
    fn quotes_stand_where_they_must() {
        let cases = [
            ("plain text", "plain text"),
            ("a: b", "'a: b'"),
            ("a:b", "a:b"),
            ("it's", "it's"),
            ("'quoted'", "'''quoted'''"),
            ("# no", "'# no'"),
            ("a #b", "'a #b'"),
            ("*", "'*'"),
            ("-", "'-'"),
            ("- a", "'- a'"),
            ("-a", "-a"),
            ("yes", "\"yes\""),
            ("0755", "\"0755\""),
            ("1e3", "\"1e3\""),
            ("1.2.3", "1.2.3"),
            ("127.0.0.1", "127.0.0.1"),
            ("1:30", "\"1:30\""),
            ("10Mi", "10Mi"),
            ("2026-11-28", "\"2026-11-28\""),
            ("a\tb", "\"a\\tb\""),
            ("trailing ", "'trailing '"),
            ("a\nb", "|-\n  a\n  b"),
            ("a\n\nb\n\n", "|+\n  a\n\n  b\n"),
            ("한글", "한글"),
            ("%x", "'%x'"),
            ("{}", "'{}'"),
        ];
        for (value, expected) in cases {
            assert_eq!(text(value, Some(0)), expected, "{value:?}");
        }
    }
}
