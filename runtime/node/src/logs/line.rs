//! One line of a log file: `2026-11-24T16:20:01.123456789Z stdout F text`.

/// A line, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// As written.
    pub(super) time: &'a str,
    /// `stdout` or `stderr`.
    pub(super) stream: &'a str,
    /// The guest's line ends here; otherwise more of it follows.
    pub(super) full: bool,
    /// The guest's bytes.
    pub(super) text: &'a [u8],
}

impl<'a> Line<'a> {
    /// Takes a line (without its newline) apart; `None` for what is none.
    pub(super) fn parse(line: &'a [u8]) -> Option<Self> {
        let mut parts = line.splitn(4, |b| *b == b' ');
        let time = std::str::from_utf8(parts.next()?).ok()?;
        let stream = std::str::from_utf8(parts.next()?).ok()?;
        let tag = parts.next()?;
        Some(Self { time, stream, full: tag == b"F", text: parts.next()? })
    }
}
