//! `attach`: taking part in the process of a container.

use crate::error::{Error, Result};
use crate::pods;
use crate::session::Session;
use crate::streams::{self, Streams};

pub(super) const EXAMPLES: &str = "Examples:
  wharf attach web
  wharf attach web -c nginx -i -t
  wharf attach deploy/web";

/// What `attach` is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// POD or TYPE/NAME
    words: Vec<String>,
    /// The container.
    #[arg(long, short = 'c', default_value = "", hide_default_value = true)]
    container: String,
    /// Pass standard input on.
    #[arg(long, short = 'i')]
    stdin: bool,
    /// Standard input is a terminal.
    #[arg(long, short = 't')]
    tty: bool,
    /// Say nothing but what the process says.
    #[arg(long, short = 'q')]
    quiet: bool,
    /// How long to wait for a Pod to run.
    #[arg(long, default_value = "1m0s", hide = true)]
    pod_running_timeout: String,
}

/// Does it.
pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<()> {
    let [word] = arguments.words.as_slice() else {
        return Err(Error::message(match arguments.words.len() {
            0 => "at least 1 argument is required for attach".to_owned(),
            n => format!("expected POD, TYPE/NAME, or TYPE NAME, got {n} arguments: {:?}", arguments.words),
        }));
    };
    let (_, found) = pods::behind(session, word).await?;
    let pod = found.first().ok_or_else(|| Error::message("timed out waiting for the condition"))?;
    let (namespace, name) = pods::place(pod);
    let phase = pod["status"]["phase"].as_str().unwrap_or_default();
    if matches!(phase, "Succeeded" | "Failed") {
        return Err(Error::message(format!("cannot attach a container in a completed pod; current phase is {phase}")));
    }
    let container = pods::container(pod, Some(&arguments.container), arguments.quiet)?;
    let streams = Streams { stdin: arguments.stdin, tty: arguments.tty, quiet: arguments.quiet }.checked();
    streams::attach(session, namespace, name, Some(&container), streams).await
}
