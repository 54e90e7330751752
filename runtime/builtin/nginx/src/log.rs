//! What is written to stdout: the notices of a start, and a line for each request in the combined format.

use crate::clock;

/// One request, as the log shows it.
#[derive(Default)]
pub struct Line<'a> {
    pub peer: &'a str,
    pub user: &'a str,
    pub method: &'a str,
    pub target: &'a str,
    pub status: u16,
    pub sent: u64,
    pub referer: &'a str,
    pub agent: &'a str,
    pub forwarded: &'a str,
}

/// The combined format, with X-Forwarded-For behind it as in the image's own configuration.
pub fn combined(line: &Line, now: u64) -> String {
    let or_dash = |text: &str| if text.is_empty() { "-".to_string() } else { escape(text) };
    format!(
        "{} - {} [{}] \"{} {} HTTP/1.1\" {} {} \"{}\" \"{}\" \"{}\"",
        or_dash(line.peer),
        or_dash(line.user),
        clock::access(now),
        escape(line.method),
        escape(line.target),
        line.status,
        line.sent,
        or_dash(line.referer),
        or_dash(line.agent),
        or_dash(line.forwarded),
    )
}

/// The notices of a start.
pub fn start(now: u64) -> String {
    let at = clock::notice(now);
    format!(
        "/docker-entrypoint.sh: Configuration complete; ready for start up\n{at} [notice] 1#1: using the \"wasi:http\" event method\n\
         {at} [notice] 1#1: nginx (Wharf built-in {})\n{at} [notice] 1#1: start worker processes",
        env!("CARGO_PKG_VERSION")
    )
}

/// Quotes, backslashes and what is not printable become `\xHH`, so that a request cannot write lines of its own.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for b in text.bytes().take(2048) {
        match b {
            b'"' | b'\\' | 0..=31 | 127.. => safe.push_str(&format!("\\x{b:02X}")),
            b => safe.push(b as char),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_cannot_be_forged() {
        let line = Line { method: "GET", target: "/\n\"x", status: 200, sent: 5, agent: "curl/8", ..Line::default() };
        assert_eq!(combined(&line, 0), r#"- - - [01/Jan/1970:00:00:00 +0000] "GET /\x0A\x22x HTTP/1.1" 200 5 "-" "curl/8" "-""#);
    }
}
