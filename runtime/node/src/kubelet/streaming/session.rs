//! An exec or attach, apart from the protocol: what was asked for, and the terminal's sizes.

use serde::Deserialize;
use tokio::sync::{mpsc, watch};
use wharf_engine::TerminalSize;

use super::outcome::Outcome;
use crate::streams::{Stdio, Streams, Target};

/// What to do with the streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// To run this command.
    Exec(Vec<String>),
    /// To join the container's own process.
    Attach,
}

impl Job {
    /// Does it. Dropping the future ends it.
    pub(super) async fn run(self, streams: &dyn Streams, target: Target, stdio: Stdio) -> Outcome {
        if let Err(error) = streams.find(&target.namespace, &target.pod, Some(&target.container)) {
            return Outcome::Failed(format!("unable to upgrade connection: {error}"));
        }
        match self {
            Job::Exec(command) => Outcome::of_exec(&command, streams.exec(target, command.clone(), stdio).await),
            Job::Attach => Outcome::of_attach(streams.attach(target, stdio).await),
        }
    }
}

/// The streams that a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) stdin: bool,
    pub(super) stdout: bool,
    pub(super) stderr: bool,
    pub(super) tty: bool,
}

impl Wanted {
    /// Reads the query, under the kubelet's names and those of the public API. `None` when no stream is wanted. A terminal has no stderr.
    pub(super) fn from_query(query: &[(String, String)]) -> Option<Self> {
        let flag = |names: [&str; 2]| query.iter().any(|(key, value)| names.contains(&key.as_str()) && matches!(value.as_str(), "1" | "true"));
        let tty = flag(["tty", "tty"]);
        let wanted = Wanted { stdin: flag(["input", "stdin"]), stdout: flag(["output", "stdout"]), stderr: flag(["error", "stderr"]) && !tty, tty };
        (wanted.stdin || wanted.stdout || wanted.stderr).then_some(wanted)
    }
}

/// A terminal's size on the wire.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireSize {
    width: u16,
    height: u16,
}

/// Reads a size, as the resize stream has it: `{"Width":80,"Height":24}`.
pub(super) fn size(json: &[u8]) -> Option<TerminalSize> {
    let size: WireSize = serde_json::from_slice(json).ok()?;
    Some(TerminalSize { columns: size.width, rows: size.height })
}

/// The sizes of a terminal: whoever is slow sees the last one.
pub(super) fn sizes() -> (watch::Sender<TerminalSize>, impl Future<Output = ()>, mpsc::Receiver<TerminalSize>) {
    let (sender, mut latest) = watch::channel(TerminalSize::default());
    let (each, receiver) = mpsc::channel(1);
    let forward = async move {
        while latest.changed().await.is_ok() {
            let size = *latest.borrow_and_update();
            if each.send(size).await.is_err() {
                return;
            }
        }
    };
    (sender, forward, receiver)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Vec<(String, String)> {
        text.split('&').filter_map(|pair| pair.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
    }

    #[test]
    fn what_is_wanted() {
        let told = |text: &str| {
            Wanted::from_query(&query(text))
                .map(|w| [(w.stdin, "in "), (w.stdout, "out "), (w.stderr, "err "), (w.tty, "tty")].iter().filter(|p| p.0).map(|p| p.1).collect::<String>())
        };
        #[rustfmt::skip]
        let table = [
            ("command=ls", None),
            ("tty=1", None),
            ("output=1&error=1", Some("out err ")),
            ("input=1&output=1&error=1&tty=1", Some("in out tty")),
            ("stdin=true&stdout=true&stderr=false", Some("in out ")),
            ("input=0&output=1", Some("out ")),
        ];
        for (text, wanted) in table {
            assert_eq!(told(text).as_deref(), wanted, "{text}");
        }
    }

    #[test]
    fn sizes_of_the_wire() {
        assert_eq!(size(br#"{"Width":80,"Height":24}"#), Some(TerminalSize { columns: 80, rows: 24 }));
        assert_eq!(size(br#"{"Width":-1,"Height":24}"#), None);
        assert_eq!(size(b"nonsense"), None);
    }

    #[tokio::test]
    async fn the_last_size_arrives() {
        let (sender, forward, mut receiver) = sizes();
        let reader = async {
            for columns in 1..=100 {
                sender.send_replace(TerminalSize { columns, rows: 1 });
            }
            while receiver.recv().await.is_some_and(|s| s.columns < 100) {}
            drop(sender);
        };
        tokio::join!(forward, reader);
    }
}
