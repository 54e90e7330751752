//! `read`.

use std::time::Duration;

use super::{Done, status};
use crate::context::Error;
use crate::io::Descriptor;
use crate::options::Options;
use crate::rt;
use crate::shell::parse::is_name;
use crate::shell::state::{Fault, Shell};

/// `read [-rs] [-p PROMPT] [-t SECONDS] [-n COUNT] [-d END] [-u FD] [NAME]…`
pub async fn read(shell: &mut Shell, args: &[String]) -> Done {
    let options = Options::parse(&args[1..], "+rsp:t:n:N:d:u:", &[]).map_err(|Error { message, .. }| Fault::new(2, message))?;
    for name in &options.operands {
        if !is_name(name) {
            return Err(Fault::new(2, format!("'{name}': bad variable name")));
        }
    }
    let number = |letter| match options.value(letter) {
        Some(text) => text.parse::<u32>().map(Some).map_err(|_| Fault::new(2, "invalid count")),
        None => Ok(None),
    };
    let input = shell.cx.descriptor(number('u')?.unwrap_or(0));
    let limit = match options.value('t') {
        Some(text) => Some(crate::applets::duration(text).ok_or_else(|| Fault::new(2, "invalid timeout"))?),
        None => None,
    };
    let end = options.value('d').map_or(b'\n', |text| text.bytes().next().unwrap_or(0));
    if let Some(prompt) = options.value('p').filter(|_| input.is_terminal()) {
        let _ = shell.cx.stderr.write_all(prompt.as_bytes()).await;
    }
    let raw = options.has('r');
    let count = number('n')?.or(number('N')?);
    let line = match count {
        Some(count) => limited(limit, characters(&input, count, end, raw)).await,
        None => limited(limit, line(&input, end, raw)).await,
    };
    let (text, complete) = match line {
        None => (Vec::new(), false),
        Some(Ok(line)) => line,
        Some(Err(error)) => return Err(Fault::new(1, format!("read error: {}", crate::io::reason(&error)))),
    };
    let ifs = shell.get("IFS").unwrap_or(" \t\n").to_string();
    let names: Vec<String> = if options.operands.is_empty() { vec!["REPLY".into()] } else { options.operands.clone() };
    let values = if options.operands.is_empty() { vec![text.iter().map(|(c, _)| *c).collect()] } else { split(&text, &ifs, names.len()) };
    for (name, value) in names.iter().zip(values) {
        shell.set(name, value)?;
    }
    status(i32::from(!complete))
}

async fn limited<T>(limit: Option<Duration>, future: impl Future<Output = T>) -> Option<T> {
    match limit {
        Some(limit) => rt::timeout(limit, future).await,
        None => Some(future.await),
    }
}

/// Characters, and whether a backslash stood before.
type Line = Vec<(char, bool)>;

/// A line, and whether its end was there.
async fn line(input: &Descriptor, end: u8, raw: bool) -> std::io::Result<(Line, bool)> {
    let mut text = Line::new();
    loop {
        let Some(bytes) = input.read_until(end).await? else { return Ok((text, false)) };
        let complete = bytes.last() == Some(&end);
        let bytes = if complete { &bytes[..bytes.len() - 1] } else { &bytes[..] };
        let line = String::from_utf8_lossy(bytes);
        let mut characters = line.chars().filter(|character| *character != '\0');
        let mut continued = false;
        while let Some(character) = characters.next() {
            match character {
                '\\' if !raw => match characters.next() {
                    // A newline behind a backslash is no end.
                    None => continued = complete,
                    Some('\n') => {}
                    Some(escaped) => text.push((escaped, true)),
                },
                other => text.push((other, false)),
            }
        }
        if !continued {
            return Ok((text, complete));
        }
        if end != b'\n' {
            text.push((char::from(end), true));
        }
    }
}

/// At most so many characters.
async fn characters(input: &Descriptor, count: u32, end: u8, raw: bool) -> std::io::Result<(Line, bool)> {
    let mut text = Line::new();
    let mut bytes = Vec::new();
    let mut escaped = false;
    while text.len() < count as usize {
        let byte = input.read(1).await?;
        let Some(&byte) = byte.first() else { return Ok((text, false)) };
        if byte == end && !escaped && bytes.is_empty() {
            return Ok((text, true));
        }
        bytes.push(byte);
        let Ok(character) = std::str::from_utf8(&bytes).map(|text| text.chars().next().unwrap_or_default()) else {
            if bytes.len() < 4 {
                continue;
            }
            bytes.clear();
            continue;
        };
        bytes.clear();
        if character == '\\' && !raw && !escaped {
            escaped = true;
            continue;
        }
        text.push((character, std::mem::take(&mut escaped)));
    }
    Ok((text, true))
}

/// The line's fields; the last one takes all that is left.
fn split(line: &[(char, bool)], ifs: &str, names: usize) -> Vec<String> {
    let space = |&(character, escaped): &(char, bool)| !escaped && matches!(character, ' ' | '\t' | '\n') && ifs.contains(character);
    let delimiter = |&(character, escaped): &(char, bool)| !escaped && ifs.contains(character);
    let skip = |text: &[(char, bool)]| text.iter().take_while(|character| space(character)).count();
    let text = |part: &[(char, bool)]| part.iter().map(|(character, _)| *character).collect::<String>();
    // A field's length, and where the next one begins.
    let field = |rest: &[(char, bool)]| {
        let length = rest.iter().position(delimiter).unwrap_or(rest.len());
        let mut next = length + skip(&rest[length..]);
        if rest.get(next).is_some_and(|character| delimiter(character) && !space(character)) {
            next += 1;
            next += skip(&rest[next..]);
        }
        (length, next)
    };
    let mut rest = &line[skip(line)..];
    let mut values = Vec::new();
    for index in 0..names {
        let (length, next) = field(rest);
        if index + 1 < names || next >= rest.len() {
            values.push(text(&rest[..length]));
            rest = &rest[next..];
            continue;
        }
        let trailing = rest.iter().rev().take_while(|character| space(character)).count();
        values.push(text(&rest[..rest.len() - trailing]));
        rest = &[];
    }
    values
}
