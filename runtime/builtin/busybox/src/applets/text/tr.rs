//! `tr [-cds] SET1 [SET2]`: characters into others.

use crate::context::{Context, Error, Result};
use crate::regex::class;

pub async fn tr(cx: &mut Context) -> Result {
    let options = cx.options("+cCdst", &[("complement", 'c'), ("delete", 'd'), ("squeeze-repeats", 's'), ("truncate-set1", 't')])?;
    let (deletes, squeezes) = (options.has('d'), options.has('s'));
    let complement = options.has('c') || options.has('C');
    let (first, second) = match options.operands.as_slice() {
        [first] if deletes != squeezes => (first, None),
        [first, second] if !deletes || squeezes => (first, Some(second)),
        _ => return Err(Error::usage("usage: tr [-cds] STRING1 [STRING2]")),
    };
    let from = expand(first);
    let mut to = second.map(|text| expand(text));
    // Characters, not bytes, where a set has one that is more than a byte.
    let wide = |set: &[char]| set.iter().any(|character| !character.is_ascii());
    let characters = wide(&from) || to.as_deref().is_some_and(wide);
    let inside = |character: char| from.contains(&character) != complement;
    if let Some(to) = &mut to
        && !complement
        && let Some(last) = to.last().copied()
    {
        while to.len() < from.len() {
            to.push(last);
        }
    }
    let squeezed = |character: char| match &to {
        Some(to) => to.contains(&character),
        None => inside(character),
    };
    let map = |character: char| -> Option<char> {
        if deletes {
            return if inside(character) { None } else { Some(character) };
        }
        let Some(to) = to.as_ref().filter(|to| !to.is_empty()) else { return Some(character) };
        if complement {
            return Some(if inside(character) { to[to.len() - 1] } else { character });
        }
        Some(from.iter().rposition(|known| *known == character).map_or(character, |index| to[index]))
    };
    let table: Vec<Option<u8>> = (0..=255u8).map(|byte| map(char::from(byte)).map(|character| character as u32 as u8)).collect();
    let table_squeezed: Vec<bool> = (0..=255u8).map(|byte| squeezed(char::from(byte))).collect();
    let mut last_byte: Option<u8> = None;
    let mut last: Option<char> = None;
    loop {
        let bytes = if characters { cx.stdin.read_line().await?.unwrap_or_default() } else { cx.stdin.read(64 << 10).await? };
        if bytes.is_empty() {
            return Ok(0);
        }
        if !characters {
            let mut out = Vec::with_capacity(bytes.len());
            for byte in bytes {
                let Some(byte) = table[usize::from(byte)] else { continue };
                if squeezes && last_byte == Some(byte) && table_squeezed[usize::from(byte)] {
                    continue;
                }
                last_byte = Some(byte);
                out.push(byte);
            }
            cx.stdout.write(out).await?;
            continue;
        }
        let mut out = String::new();
        for character in String::from_utf8_lossy(&bytes).chars() {
            let Some(character) = map(character) else { continue };
            if squeezes && last == Some(character) && squeezed(character) {
                continue;
            }
            last = Some(character);
            out.push(character);
        }
        cx.stdout.write(out).await?;
    }
}

/// Escapes, ranges `a-z`, classes `[:alpha:]`, `[=x=]`, and `[a-z]` with its brackets taken away (as System V had it).
fn expand(text: &str) -> Vec<char> {
    let text: Vec<char> = text.chars().collect();
    let mut out = Vec::new();
    let mut at = 0;
    while at < text.len() {
        if text[at] == '['
            && let Some(mark @ (':' | '=')) = text.get(at + 1)
            && let Some(end) = text[at + 2..].windows(2).position(|pair| pair == [*mark, ']'])
        {
            let name: String = text[at + 2..at + 2 + end].iter().collect();
            if *mark == '=' {
                out.extend(name.chars());
                at += end + 4;
                continue;
            }
            if let Some(ranges) = class(&name) {
                out.extend(ranges.iter().filter(|(from, _)| from.is_ascii()).flat_map(|(from, to)| *from..=(*to).min('\x7f')));
                at += end + 4;
                continue;
            }
        }
        let (from, next) = character(&text, at);
        if text.get(next) == Some(&'-') && next + 1 < text.len() {
            let (to, behind) = character(&text, next + 1);
            if from <= to {
                out.extend(from..=to);
                at = behind;
                continue;
            }
        }
        out.push(from);
        at = next;
    }
    out
}

/// A character or an escape, and where the next one is.
fn character(text: &[char], at: usize) -> (char, usize) {
    if text[at] != '\\' || at + 1 >= text.len() {
        return (text[at], at + 1);
    }
    let next = text[at + 1];
    let plain = match next {
        'a' => '\x07',
        'b' => '\x08',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        '0'..='7' => {
            let digits = text[at + 1..].iter().take(3).take_while(|digit| digit.is_digit(8)).count();
            let value = text[at + 1..at + 1 + digits].iter().fold(0, |value, digit| value * 8 + digit.to_digit(8).unwrap_or(0));
            return (char::from(value as u8), at + 1 + digits);
        }
        other => other,
    };
    (plain, at + 2)
}
