//! Exec and attach over SPDY: the client opens a stream for each of the process's, one for how it ended, one for the terminal's sizes.

use std::time::Duration;

use futures::StreamExt;
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::sync::{mpsc, watch};
use tokio_util::codec::{FramedRead, LinesCodec};
use wharf_engine::TerminalSize;

use super::outcome::Outcome;
use super::session::{Job, Wanted, size, sizes};
use super::spdy::{Headers, Stream};
use crate::streams::{Stdio, Streams, Target};

/// The best first.
pub(super) const PROTOCOLS: [&str; 4] = [V4, V3, "v2.channel.k8s.io", "channel.k8s.io"];
/// The error stream has a `Status`.
const V4: &str = "v4.channel.k8s.io";
/// There is a stream of sizes.
const V3: &str = "v3.channel.k8s.io";

/// How long a client may take to open its streams.
const STREAMS: Duration = Duration::from_secs(30);
/// The longest message of a terminal's size.
const SIZE: usize = 1024;

/// Whether a stream is one of an exec.
pub(super) fn accept(headers: &Headers) -> bool {
    ["error", "stdin", "stdout", "stderr", "resize"].contains(&headers.get("streamtype"))
}

/// Does a job on the streams of a client.
pub(super) async fn serve(opened: mpsc::Receiver<Stream>, protocol: &str, streams: &dyn Streams, target: Target, job: Job, wanted: Wanted) {
    let has_sizes = wanted.tty && [V4, V3].contains(&protocol);
    let Ok(Some(client)) = tokio::time::timeout(STREAMS, Client::of(opened, wanted, has_sizes)).await else { return };
    let (resize, resized, sizes) = sizes();
    let stdio = Stdio {
        stdin: client.stdin.map(|io| Box::pin(io) as _),
        stdout: client.stdout.map(|io| Box::pin(io) as _),
        stderr: client.stderr.map(|io| Box::pin(io) as _),
        tty: wanted.tty,
        sizes,
    };
    let outcome = tokio::select! {
        outcome = job.run(streams, target, stdio) => outcome,
        never = async {
            tokio::join!(read_sizes(client.resize, resize), resized);
            std::future::pending().await
        } => never,
    };
    tell(client.error, protocol, &outcome).await;
}

async fn tell(mut error: DuplexStream, protocol: &str, outcome: &Outcome) {
    let told = if protocol == V4 { Some(outcome.status()) } else { outcome.words() };
    if let Some(told) = told {
        let _ = error.write_all(told.as_bytes()).await;
    }
}

async fn read_sizes(stream: Option<DuplexStream>, resize: watch::Sender<TerminalSize>) {
    let Some(stream) = stream else { return };
    let mut lines = FramedRead::new(stream, LinesCodec::new_with_max_length(SIZE));
    while let Some(Ok(line)) = lines.next().await {
        if let Some(size) = size(line.as_bytes()) {
            resize.send_replace(size);
        }
    }
}

/// The streams that a client opened.
struct Client {
    error: DuplexStream,
    stdin: Option<DuplexStream>,
    stdout: Option<DuplexStream>,
    stderr: Option<DuplexStream>,
    resize: Option<DuplexStream>,
}

impl Client {
    /// Waits for all that are wanted.
    async fn of(mut opened: mpsc::Receiver<Stream>, wanted: Wanted, has_sizes: bool) -> Option<Self> {
        let (mut error, mut stdin, mut stdout, mut stderr, mut resize) = (None, None, None, None, None);
        loop {
            let complete = (error.is_some(), stdin.is_some() || !wanted.stdin, stdout.is_some() || !wanted.stdout);
            if complete == (true, true, true) && (stderr.is_some() || !wanted.stderr) && (resize.is_some() || !has_sizes) {
                return Some(Client { error: error?, stdin, stdout, stderr, resize });
            }
            let stream = opened.recv().await?;
            let place = match stream.headers.get("streamtype") {
                "error" => &mut error,
                "stdin" => &mut stdin,
                "stdout" => &mut stdout,
                "stderr" => &mut stderr,
                _ => &mut resize,
            };
            *place = Some(stream.io);
        }
    }
}
