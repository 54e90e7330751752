//! What the program says to the person who started it: plain lines, coloured only where a terminal reads them.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// `error: what: why` on stderr.
pub(crate) fn error(error: &anyhow::Error) {
    let label = if std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none() { "\x1b[1;31merror\x1b[0m" } else { "error" };
    // Nobody is left to hear that this failed.
    let _ = writeln!(std::io::stderr(), "{label}: {error:#}");
}

/// An error and what is behind it, in one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut words = error.to_string();
    for cause in std::iter::successors(error.source(), |e| e.source()) {
        let more = cause.to_string();
        // Many say what is behind them themselves.
        if !words.contains(&more) {
            words.push_str(": ");
            words.push_str(&more);
        }
    }
    words
}

/// Progress of a start, with the time each step took.
pub(crate) struct Progress {
    start: Instant,
    colour: bool,
}

impl Progress {
    /// The clock starts now.
    pub(crate) fn new() -> Progress {
        Progress { start: Instant::now(), colour: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() }
    }

    /// A step is done.
    pub(crate) fn step(&self, text: &str) {
        let time = seconds(self.start.elapsed());
        let line = if self.colour { format!("\x1b[2m{time:>7}\x1b[0m  {text}") } else { format!("{time:>7}  {text}") };
        self.line(&line);
    }

    /// A line of its own.
    pub(crate) fn line(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        // A closed pipe must not end the cluster.
        let _ = writeln!(out, "{text}");
        let _ = out.flush();
    }

    /// Emphasised where a terminal is.
    pub(crate) fn strong(&self, text: &str) -> String {
        if self.colour { format!("\x1b[1;36m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn seconds(time: Duration) -> String {
    if time < Duration::from_secs(10) { format!("{}ms", time.as_millis()) } else { format!("{:.1}s", time.as_secs_f64()) }
}
