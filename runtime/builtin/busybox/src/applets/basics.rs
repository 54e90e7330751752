//! `true`, `false`, `echo`, `pwd`, `sleep`.

use std::time::Duration;

use super::printf::unescape;
use crate::context::{Context, Error, Result};

/// `busybox [--list | APPLET [ARG]…]`
pub async fn busybox(cx: &mut Context) -> Result {
    match cx.args.get(1).map(String::as_str) {
        None | Some("--list" | "--help") => {
            let names: String = super::names().map(|name| format!("{name}\n")).collect();
            cx.stdout.write(names).await?;
            Ok(0)
        }
        Some(name) if super::find(name).is_none() => {
            cx.stderr.write_all(format!("{name}: applet not found\n").as_bytes()).await?;
            Ok(127)
        }
        Some(_) => Ok(cx.child(cx.args[1..].iter().cloned()).run().await),
    }
}

pub async fn yes(_: &mut Context) -> Result {
    Ok(0)
}

pub async fn no(_: &mut Context) -> Result {
    Ok(1)
}

/// `echo [-neE] [ARG]…`
pub async fn echo(cx: &mut Context) -> Result {
    let mut words = cx.args.iter().skip(1).peekable();
    let (mut newline, mut escapes) = (true, false);
    while let Some(flags) = words.peek().and_then(|word| word.strip_prefix('-')) {
        if flags.is_empty() || !flags.chars().all(|flag| "neE".contains(flag)) {
            break;
        }
        for flag in flags.chars() {
            match flag {
                'n' => newline = false,
                flag => escapes = flag == 'e',
            }
        }
        words.next();
    }
    let text = words.map(String::as_str).collect::<Vec<_>>().join(" ");
    let (mut bytes, more) = if escapes { unescape(&text) } else { (text.into_bytes(), true) };
    if newline && more {
        bytes.push(b'\n');
    }
    cx.stdout.write(bytes).await?;
    Ok(0)
}

/// `pwd [-LP]`
pub async fn pwd(cx: &mut Context) -> Result {
    let physical = cx.options("LP", &[])?.all().last().is_some_and(|(letter, _)| letter == 'P');
    let cwd = if physical { std::fs::canonicalize(&cx.cwd)?.to_string_lossy().into_owned() } else { cx.cwd.clone() };
    cx.stdout.write(format!("{cwd}\n")).await?;
    Ok(0)
}

/// `pause`: waits until the container is told to end.
pub async fn pause(cx: &mut Context) -> Result {
    for signal in [crate::signals::INT, crate::signals::TERM] {
        cx.signals.catch(signal);
    }
    cx.signals.caught().await;
    Ok(0)
}

/// `sleep N[smhd]…`
pub async fn sleep(cx: &mut Context) -> Result {
    let operands = cx.options("", &[])?.operands;
    if operands.is_empty() {
        return Err(Error::usage("missing operand"));
    }
    let mut total = Duration::ZERO;
    for operand in &operands {
        total = total.saturating_add(duration(operand).ok_or_else(|| Error::new(format!("invalid number '{operand}'")))?);
    }
    cx.sleep(total).await;
    Ok(0)
}

/// `1.5`, `10s`, `2m`, `1h`, `1d`, `infinity`.
pub fn duration(text: &str) -> Option<Duration> {
    if matches!(text, "inf" | "infinity") {
        return Some(Duration::MAX);
    }
    let (number, unit) = match text.char_indices().last()? {
        (at, 's') => (&text[..at], 1.0),
        (at, 'm') => (&text[..at], 60.0),
        (at, 'h') => (&text[..at], 3600.0),
        (at, 'd') => (&text[..at], 86400.0),
        _ => (text, 1.0),
    };
    if !number.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return None;
    }
    let seconds = number.parse::<f64>().ok()? * unit;
    Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}
