//! `printf` and `sprintf` of awk.

use super::value::Value;
use crate::applets::printf::Directive;

/// Formats values; those that are missing are nothing, or 0.
pub fn format(format: &str, values: &[Value], convert: &str) -> String {
    let mut out = Vec::new();
    let mut values = values.iter();
    let mut rest = format.as_bytes();
    while let Some(at) = rest.iter().position(|byte| *byte == b'%') {
        out.extend_from_slice(&rest[..at]);
        let begin = &rest[at..];
        rest = &rest[at + 1..];
        if let Some(behind) = rest.strip_prefix(b"%") {
            out.push(b'%');
            rest = behind;
            continue;
        }
        let mut next = || values.next().cloned().unwrap_or_default();
        let Some((directive, letter, behind)) = Directive::parse(rest, &mut || next().number() as i64) else {
            rest = begin;
            break;
        };
        rest = behind;
        match letter {
            b'd' | b'i' => directive.signed(whole(next().number()), &mut out),
            b'o' | b'x' | b'X' | b'u' => directive.unsigned(whole(next().number()), letter, &mut out),
            b'e' | b'E' | b'f' | b'F' | b'g' | b'G' => directive.float(next().number(), letter, &mut out),
            b'c' => {
                let value = next();
                let character = match &value {
                    Value::Number(number) => char::from_u32(*number as u32),
                    other => other.to_text(convert).chars().next(),
                };
                directive.text(character.map(String::from).unwrap_or_default().as_bytes(), &mut out);
            }
            b's' => directive.text(next().to_text(convert).as_bytes(), &mut out),
            _ => out.extend_from_slice(&begin[..begin.len() - behind.len()]),
        }
    }
    out.extend_from_slice(rest);
    String::from_utf8_lossy(&out).into_owned()
}

fn whole(number: f64) -> i64 {
    // Values beyond i64 but within u64 wrap, as a cast in C does.
    if number >= 9.223372036854775807e18 { number as u64 as i64 } else { number as i64 }
}
