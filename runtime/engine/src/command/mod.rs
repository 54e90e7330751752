//! `wasi:cli` commands: a process that runs from start to exit.

mod run;

pub(crate) use run::start;

use crate::TerminalSize;
use crate::lifecycle::Lifecycle;
use std::fmt;
use std::sync::Arc;
use tokio::sync::watch;

/// A running command. Dropping the last handle kills it.
#[derive(Clone)]
pub struct Command {
    pub(crate) inner: Arc<Handle>,
}

pub(crate) struct Handle {
    pub(crate) end: watch::Sender<Option<Signal>>,
    pub(crate) exit: watch::Receiver<Option<Exit>>,
    pub(crate) lifecycle: Arc<Lifecycle>,
    pub(crate) takes_signals: bool,
}

impl Command {
    /// Waits for the end. Always resolves once the command ended, however it ended; any number may wait.
    pub async fn wait(&self) -> Exit {
        let mut exit = self.inner.exit.clone();
        let ended = exit.wait_for(Option::is_some).await;
        match ended.as_deref() {
            Ok(Some(e)) => e.clone(),
            // The task is gone without a word: its runtime was shut down.
            _ => Exit::signaled(Signal::Kill),
        }
    }

    /// How it ended, if it did.
    pub fn ended(&self) -> Option<Exit> {
        self.inner.exit.borrow().clone()
    }

    /// Ends it: `TERM` at once with 143, `KILL` with 137, and so on. A guest that imports `wharf:container/lifecycle` gets
    /// every signal but `KILL` to take itself, and goes on. No effect after the end.
    pub fn signal(&self, signal: Signal) {
        if !(self.inner.takes_signals && self.inner.lifecycle.signal(signal)) {
            self.inner.end.send_replace(Some(signal));
        }
    }

    /// The terminal's size is another one now. No effect on a command without a terminal.
    pub fn resize(&self, size: TerminalSize) {
        self.inner.lifecycle.resize(size);
    }

    /// [`Signal::Kill`].
    pub fn kill(&self) {
        self.signal(Signal::Kill);
    }
}

/// What may be sent to a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM, 15.
    Term,
    /// SIGKILL, 9.
    Kill,
    /// SIGINT, 2.
    Int,
    /// SIGHUP, 1.
    Hup,
    /// SIGQUIT, 3.
    Quit,
}

impl Signal {
    /// The POSIX number.
    pub fn number(self) -> i32 {
        match self {
            Signal::Hup => 1,
            Signal::Int => 2,
            Signal::Quit => 3,
            Signal::Kill => 9,
            Signal::Term => 15,
        }
    }
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// The exit code: the guest's own, 128 + the signal's number, 137 out of memory, 134 after a trap (as `SIGABRT`
    /// gives natively), 128 when it could not be started.
    pub code: i32,
    /// Why.
    pub reason: ExitReason,
}

/// Why a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExitReason {
    /// It returned, or called `exit`.
    Exited,
    /// It was ended by a signal.
    Signaled(Signal),
    /// It was refused memory and trapped.
    OutOfMemory,
    /// It trapped; with wasmtime's words and backtrace.
    Trap(String),
    /// It never ran (no instance, no memory for it, an import refused).
    StartFailed(String),
}

impl Exit {
    pub(crate) fn code(code: i32) -> Self {
        Exit { code, reason: ExitReason::Exited }
    }
    pub(crate) fn signaled(signal: Signal) -> Self {
        Exit { code: 128 + signal.number(), reason: ExitReason::Signaled(signal) }
    }
    pub(crate) fn out_of_memory() -> Self {
        Exit { code: 137, reason: ExitReason::OutOfMemory }
    }
    pub(crate) fn trap(words: String) -> Self {
        Exit { code: 134, reason: ExitReason::Trap(words) }
    }
    pub(crate) fn start_failed(words: String) -> Self {
        Exit { code: 128, reason: ExitReason::StartFailed(words) }
    }

    /// Ended because memory ran out (`OOMKilled`).
    pub fn is_out_of_memory(&self) -> bool {
        self.reason == ExitReason::OutOfMemory
    }

    /// Words for a container's status message, empty for an ordinary exit.
    pub fn message(&self) -> &str {
        match &self.reason {
            ExitReason::Trap(m) | ExitReason::StartFailed(m) => m,
            _ => "",
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            ExitReason::Exited => write!(f, "exit code {}", self.code),
            ExitReason::Signaled(s) => write!(f, "killed by signal {}", s.number()),
            ExitReason::OutOfMemory => write!(f, "out of memory"),
            ExitReason::Trap(m) => write!(f, "trap: {m}"),
            ExitReason::StartFailed(m) => write!(f, "could not be started: {m}"),
        }
    }
}
