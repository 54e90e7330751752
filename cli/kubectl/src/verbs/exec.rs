//! `exec`: a command in a container.

use crate::error::{Error, Result};
use crate::pods;
use crate::session::Session;
use crate::streams::{self, Streams};

pub(super) const EXAMPLES: &str = "Examples:
  wharf exec web -- date
  wharf exec -it web -- sh
  wharf exec deploy/web -c nginx -- cat /etc/resolv.conf
  echo text | wharf exec -i web -- cat";

/// What `exec` is told.
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
    /// Say nothing but what the command says.
    #[arg(long, short = 'q')]
    quiet: bool,
    /// How long to wait for a Pod to run.
    #[arg(long, default_value = "1m0s", hide = true)]
    pod_running_timeout: String,
    /// The command and its arguments.
    #[arg(last = true)]
    command: Vec<String>,
}

/// Does it.
pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<()> {
    let word = match arguments.words.as_slice() {
        [] => return Err(Error::message("pod, type/name or --filename must be specified")),
        [word] => word,
        _ if arguments.command.is_empty() => {
            return Err(Error::Usage("exec [POD] [COMMAND] is not supported anymore. Use exec [POD] -- [COMMAND] instead".into()));
        }
        _ => return Err(Error::Usage("exec [POD] -- [COMMAND] takes one pod".into())),
    };
    if arguments.command.is_empty() {
        return Err(Error::message("you must specify at least one command for the container"));
    }
    let (_, found) = pods::behind(session, word).await?;
    let running = found.iter().find(|pod| pod["status"]["phase"] == "Running");
    let pod = running.or(found.first()).ok_or_else(|| Error::message("timed out waiting for the condition"))?;
    let (namespace, name) = pods::place(pod);
    let phase = pod["status"]["phase"].as_str().unwrap_or_default();
    if matches!(phase, "Succeeded" | "Failed") {
        return Err(Error::message(format!("cannot exec into a container in a completed pod; current phase is {phase}")));
    }
    let container = pods::container(pod, Some(&arguments.container), arguments.quiet)?;
    let streams = Streams { stdin: arguments.stdin, tty: arguments.tty, quiet: arguments.quiet }.checked();
    streams::exec(session, namespace, name, Some(&container), &arguments.command, streams).await
}
