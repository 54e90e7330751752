//! The streams of a process in a container: this program's own, passed on, and the terminal they may be.

use std::io::IsTerminal;

use futures::SinkExt;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::Api;
use kube::api::{AttachParams, AttachedProcess, TerminalSize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::error::{Error, Result};
use crate::session::Session;

/// Which streams are passed on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Streams {
    /// Standard input.
    pub stdin: bool,
    /// As a terminal.
    pub tty: bool,
    /// Nothing is said but what the process says.
    pub quiet: bool,
}

impl Streams {
    /// A terminal only where there is one.
    pub fn checked(mut self) -> Streams {
        if self.tty && self.stdin && !std::io::stdin().is_terminal() {
            eprintln!("Unable to use a TTY - input is not a terminal or the right kind of file");
            self.tty = false;
        }
        self
    }

    fn parameters(self, container: Option<&str>) -> AttachParams {
        let parameters = AttachParams::default().stdin(self.stdin).stdout(true).stderr(!self.tty).tty(self.tty);
        match container {
            Some(container) => parameters.container(container),
            None => parameters,
        }
    }
}

/// Runs a command in a container.
pub async fn exec(session: &Session, namespace: &str, pod: &str, container: Option<&str>, command: &[String], streams: Streams) -> Result<()> {
    let api: Api<Pod> = Api::namespaced(session.client.clone(), namespace);
    let process = api.exec(pod, command, &streams.parameters(container)).await?;
    ended(run(process, streams).await?)
}

/// Takes part in a process that runs.
pub async fn attach(session: &Session, namespace: &str, pod: &str, container: Option<&str>, streams: Streams) -> Result<()> {
    let api: Api<Pod> = Api::namespaced(session.client.clone(), namespace);
    if streams.stdin && streams.tty && !streams.quiet {
        eprintln!("If you don't see a command prompt, try pressing enter.");
    }
    let process = api.attach(pod, &streams.parameters(container)).await?;
    ended(run(process, streams).await?)
}

/// What the end of a process means for this program.
pub(crate) fn ended(status: Option<Status>) -> Result<()> {
    let Some(status) = status else { return Ok(()) };
    if status.status.as_deref() != Some("Failure") {
        return Ok(());
    }
    let causes = status.details.iter().flat_map(|details| details.causes.iter().flatten());
    let code = causes.filter(|cause| cause.reason.as_deref() == Some("ExitCode")).find_map(|cause| cause.message.as_deref()?.parse::<i32>().ok());
    match code {
        Some(code) => Err(Error::Code(format!("command terminated with exit code {code}"), u8::try_from(code).unwrap_or(1))),
        None => Err(Error::message(status.message.unwrap_or_default())),
    }
}

/// Passes streams on until the process ends.
async fn run(mut process: AttachedProcess, streams: Streams) -> Result<Option<Status>> {
    let _terminal = if streams.tty { Terminal::raw() } else { None };
    let status = process.take_status();
    if let (true, Some(mut sizes)) = (streams.tty, process.terminal_size()) {
        tokio::spawn(async move {
            let mut changes = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::window_change()).ok();
            loop {
                if let Some((width, height)) = terminal_size()
                    && sizes.send(TerminalSize { width, height }).await.is_err()
                {
                    return;
                }
                match &mut changes {
                    Some(changes) => drop(changes.recv().await),
                    None => return,
                }
            }
        });
    }
    if let Some(mut stdin) = process.stdin() {
        tokio::spawn(async move {
            let _ = tokio::io::copy(&mut tokio::io::stdin(), &mut stdin).await;
            // The end of the input is an end for the process too.
            let _ = stdin.shutdown().await;
        });
    }
    let (out, err) = (process.stdout(), process.stderr());
    let outputs = async {
        let out = async {
            if let Some(out) = out {
                pass_on(out, tokio::io::stdout()).await;
            }
        };
        let err = async {
            if let Some(err) = err {
                pass_on(err, tokio::io::stderr()).await;
            }
        };
        tokio::join!(out, err);
    };
    outputs.await;
    match status {
        Some(status) => Ok(status.await),
        None => Ok(None),
    }
}

pub(crate) async fn pass_on(mut from: impl tokio::io::AsyncRead + Unpin, mut to: impl tokio::io::AsyncWrite + Unpin) {
    let mut buffer = vec![0; 32 << 10];
    while let Ok(n) = from.read(&mut buffer).await {
        if n == 0 || to.write_all(&buffer[..n]).await.is_err() || to.flush().await.is_err() {
            return;
        }
    }
}

/// The terminal's columns and rows.
fn terminal_size() -> Option<(u16, u16)> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the call writes a `winsize` to the place it is given.
    let answer = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    (answer == 0 && size.ws_col > 0).then_some((size.ws_col, size.ws_row))
}

/// A terminal whose keys all go to the process; it is as before when this ends.
struct Terminal(libc::termios);

impl Terminal {
    fn raw() -> Option<Terminal> {
        // SAFETY: `termios` is plain data that `tcgetattr` fills in.
        let mut before: libc::termios = unsafe { std::mem::zeroed() };
        // SAFETY: standard input is open, and the place is a `termios`.
        if unsafe { libc::tcgetattr(libc::STDIN_FILENO, &raw mut before) } != 0 {
            return None;
        }
        let mut raw = before;
        // SAFETY: both calls read and write the `termios` they are given.
        unsafe {
            libc::cfmakeraw(&raw mut raw);
            libc::tcsetattr(libc::STDIN_FILENO, libc::TCSANOW, &raw const raw);
        }
        Some(Terminal(before))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // SAFETY: the `termios` is the one that was there before.
        unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSANOW, &raw const self.0) };
    }
}
