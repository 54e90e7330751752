//! Exec and attach over a WebSocket.
//!
//! `v5.channel.k8s.io` (KEP-4006) can end the client's input, by a message to channel 255; `v4.channel.k8s.io` cannot. Before v4 the error
//! stream had words in place of a `Status`.

use std::future::pending;

use axum::extract::ws::WebSocket;
use futures::stream::SplitStream;
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::sync::watch;
use wharf_engine::TerminalSize;

use super::activity::Activity;
use super::channels::{self, Codec};
use super::session::{Job, Wanted, size, sizes};
use super::{BUFFER, LINGER};
use crate::streams::{Stdio, Streams, Target};

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
/// Says that the channel in its second byte has ended.
const CLOSE: u8 = 255;

/// A subprotocol.
#[derive(Clone, Copy)]
pub(super) struct Protocol {
    pub(super) name: &'static str,
    codec: Codec,
    /// Whether a client can end its input and keep the rest.
    half_close: bool,
    /// Whether the error stream has a `Status`.
    status: bool,
}

/// The best first. A client that names none speaks the last.
pub(super) const PROTOCOLS: [Protocol; 5] = [
    Protocol { name: "v5.channel.k8s.io", codec: Codec::Binary, half_close: true, status: true },
    Protocol { name: "v4.channel.k8s.io", codec: Codec::Binary, half_close: false, status: true },
    Protocol { name: "v4.base64.channel.k8s.io", codec: Codec::Base64, half_close: false, status: true },
    Protocol { name: "base64.channel.k8s.io", codec: Codec::Base64, half_close: false, status: false },
    Protocol { name: "channel.k8s.io", codec: Codec::Binary, half_close: false, status: false },
];

/// Does a job on a client's connection.
pub(super) async fn serve(socket: WebSocket, protocol: Protocol, streams: &dyn Streams, target: Target, job: Job, wanted: Wanted) {
    let (mut sink, mut messages) = socket.split();
    let pipe = |wanted: bool| wanted.then(|| tokio::io::duplex(BUFFER)).unzip();
    let ((stdin, input), (stdout, output), (stderr, error)) = (pipe(wanted.stdin), pipe(wanted.stdout), pipe(wanted.stderr));
    let (resize, resized, sizes) = sizes();
    let stdio = Stdio {
        stdin: input.map(|pipe| Box::pin(pipe) as _),
        stdout: output.map(|pipe| Box::pin(pipe) as _),
        stderr: error.map(|pipe| Box::pin(pipe) as _),
        tty: wanted.tty,
        sizes,
    };
    let activity = Activity::new();
    // Tells the client that it is connected.
    let first = if wanted.stdout {
        STDOUT
    } else if wanted.stderr {
        STDERR
    } else {
        ERROR
    };
    if sink.send(protocol.codec.encode(first, &[])).await.is_err() {
        return;
    }
    let outputs = futures::stream::select(channels::pieces(STDOUT, stdout), channels::pieces(STDERR, stderr));
    let work = async {
        let sent = channels::send(&mut sink, protocol.codec, outputs, &activity);
        tokio::try_join!(async { Ok(job.run(streams, target, stdio).await) }, sent)
    };
    let ended = tokio::select! {
        ended = work => ended.ok(),
        () = receive(&mut messages, protocol, stdin, resize, &activity) => None,
        () = activity.idle() => None,
        never = async { resized.await; pending().await } => never,
    };
    // Without an outcome the client has left, and what ran for it has ended with `work`.
    let Some((outcome, ())) = ended else { return };
    let farewell = async {
        let told = if protocol.status { Some(outcome.status()) } else { outcome.words() };
        let sent = match told {
            Some(told) => sink.send(protocol.codec.encode(ERROR, told.as_bytes())).await,
            None => Ok(()),
        };
        if sent.is_ok() {
            channels::close(&mut sink, &mut messages).await;
        }
    };
    let _ = tokio::time::timeout(LINGER, farewell).await;
}

/// Takes the client's messages until it leaves.
async fn receive(
    messages: &mut SplitStream<WebSocket>,
    protocol: Protocol,
    mut stdin: Option<DuplexStream>,
    resize: watch::Sender<TerminalSize>,
    activity: &Activity,
) {
    while let Some(Ok(message)) = messages.next().await {
        let Some((channel, data)) = protocol.codec.decode(message) else { continue };
        activity.seen();
        match channel {
            STDIN => {
                // A process that has closed its input wants no more of it; the client may stay for the output.
                if let Some(pipe) = &mut stdin
                    && pipe.write_all(&data).await.is_err()
                {
                    stdin = None;
                }
            }
            RESIZE => {
                if let Some(size) = size(&data) {
                    resize.send_replace(size);
                }
            }
            CLOSE if protocol.half_close && *data == [STDIN] => stdin = None,
            _ => {}
        }
    }
}
