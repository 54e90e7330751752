//! `wasi:logging/logging`: a message is one entry on the container's standard error, `LEVEL context: message`.

use crate::io::Output;
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker};

/// The interface, as guests import it.
pub(crate) const INTERFACE: &str = "wasi:logging/logging";
/// Its version.
pub(crate) const VERSION: &str = "0.1.0-draft";

/// Bytes of a context, and of a message; what is longer is cut off.
const MAX_CONTEXT: usize = 256;
const MAX_MESSAGE: usize = 32 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "guests make them")]
pub(crate) enum Level {
    #[component(name = "trace")]
    Trace,
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
    #[component(name = "critical")]
    Critical,
}

/// What a store's data must offer.
pub(crate) trait LoggingView: 'static {
    fn log(&self) -> &Output;
}

pub(crate) fn add_to_linker<T: LoggingView + Send>(l: &mut Linker<T>) -> wasmtime::Result<()> {
    let mut i = l.instance(&format!("{INTERFACE}@{VERSION}"))?;
    i.func_wrap_async("log", |s: StoreContextMut<'_, T>, (level, context, message): (Level, String, String)| {
        let output = s.data().log().clone();
        Box::new(async move {
            // Where nobody takes it any more there is nothing to tell the guest: the interface has no errors.
            let _ = output.write_whole(entry(level, &context, &message).as_bytes()).await;
            Ok(())
        })
    })
}

/// An entry begins with its level, at the beginning of a line; further lines of a message are indented, so that no message
/// can pass for another.
fn entry(level: Level, context: &str, message: &str) -> String {
    let level = match level {
        Level::Trace => "TRACE",
        Level::Debug => "DEBUG",
        Level::Info => "INFO",
        Level::Warn => "WARN",
        Level::Error => "ERROR",
        Level::Critical => "CRITICAL",
    };
    let (context, message) = (cut(context, MAX_CONTEXT), cut(message.trim_end_matches(['\r', '\n']), MAX_MESSAGE));
    let mut out = format!("{level} ");
    if !context.0.is_empty() {
        out.extend(context.0.chars().map(|c| if c.is_control() { ' ' } else { c }));
        out.push_str(": ");
    }
    for c in message.0.chars() {
        match c {
            '\n' => out.push_str("\n    "),
            '\t' => out.push('\t'),
            // What would move a terminal's cursor.
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out.push_str(if message.1 { "…\n" } else { "\n" });
    out
}

/// The beginning of a text, and whether something was cut off.
fn cut(text: &str, most: usize) -> (&str, bool) {
    if text.len() <= most { (text, false) } else { (&text[..text.floor_char_boundary(most)], true) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_entry_a_message() {
        for (level, context, message, expected) in [
            (Level::Info, "shop", "order 7 paid", "INFO shop: order 7 paid\n"),
            (Level::Critical, "", "", "CRITICAL \n"),
            (Level::Warn, "a\nb", "first\nERROR shop: forged\r\n\n", "WARN a b: first\n    ERROR shop: forged\n"),
            (Level::Debug, "", "\x1b[31mred\x07\tand plain", "DEBUG [31mred\tand plain\n"),
        ] {
            assert_eq!(entry(level, context, message), expected);
        }
        let long = entry(Level::Error, &"c".repeat(1000), &"é".repeat(MAX_MESSAGE));
        assert!(long.len() < MAX_MESSAGE + MAX_CONTEXT + 20 && long.ends_with("é…\n"), "{}", long.len());
    }
}
