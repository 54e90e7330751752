//! Exec and attach over a WebSocket: the first byte of each message says which stream it is of.
//!
//! `v5.channel.k8s.io` (KEP-4006) can end the client's input, by a message to channel 255; `v4.channel.k8s.io` cannot. Before v4 the error
//! stream had words in place of a `Status`. The `base64` variants, for browsers of old, send text.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::WebSocketUpgrade;
use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, Stream, StreamExt};
use http::StatusCode;
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_util::io::ReaderStream;
use wharf_engine::TerminalSize;

use super::activity::Activity;
use super::session::{Job, Wanted, size, sizes};
use super::{BUFFER, refuse};
use crate::streams::{Stdio, Streams, Target};

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
/// Says that the channel in its second byte has ended.
const CLOSE: u8 = 255;

/// The longest message of a client. Go's clients send 32 KiB, others what their user gave them at once.
pub(super) const MAX_MESSAGE: usize = 16 << 20;
/// How often the client is asked whether it is still there.
pub(super) const PING: Duration = Duration::from_secs(15);
/// How long a client may take to say that it has read the last word.
pub(super) const LINGER: Duration = Duration::from_secs(10);

/// A subprotocol.
#[derive(Clone, Copy)]
struct Protocol {
    name: &'static str,
    /// Messages are text in base64, channels are digits.
    base64: bool,
    /// Whether a client can end its input and keep the rest.
    half_close: bool,
    /// Whether the error stream has a `Status`.
    status: bool,
}

/// The best first.
const PROTOCOLS: [Protocol; 5] = [
    Protocol { name: "v5.channel.k8s.io", base64: false, half_close: true, status: true },
    Protocol { name: "v4.channel.k8s.io", base64: false, half_close: false, status: true },
    Protocol { name: "v4.base64.channel.k8s.io", base64: true, half_close: false, status: true },
    Protocol { name: "channel.k8s.io", base64: false, half_close: false, status: false },
    Protocol { name: "base64.channel.k8s.io", base64: true, half_close: false, status: false },
];
/// What a client speaks that names none.
const UNNAMED: Protocol = Protocol { name: "", base64: false, half_close: false, status: false };

/// Answers the upgrade, and does the job on the connection that comes of it.
pub(super) fn remote_command(
    upgrade: WebSocketUpgrade,
    streams: Arc<dyn Streams>,
    target: Target,
    job: Job,
    wanted: Wanted,
    turn: OwnedSemaphorePermit,
) -> Response {
    let upgrade = upgrade.max_message_size(MAX_MESSAGE).max_frame_size(MAX_MESSAGE).write_buffer_size(0).protocols(PROTOCOLS.map(|p| p.name));
    let chosen = upgrade.selected_protocol().and_then(|name| PROTOCOLS.into_iter().find(|p| p.name.as_bytes() == name.as_bytes()));
    let none_asked_for = upgrade.requested_protocols().next().is_none();
    let protocol = match chosen {
        Some(protocol) => protocol,
        None if none_asked_for => UNNAMED,
        None => return refuse(StatusCode::FORBIDDEN, "requested protocol(s) are not supported"),
    };
    upgrade.on_upgrade(move |socket| async move {
        serve(socket, protocol, &*streams, target, job, wanted).await;
        drop(turn);
    })
}

async fn serve(socket: WebSocket, protocol: Protocol, streams: &dyn Streams, target: Target, job: Job, wanted: Wanted) {
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
    let client = Client { protocol, resize, activity: activity.clone() };
    // Tells the client that it is connected.
    let first = [(wanted.stdout, STDOUT), (wanted.stderr, STDERR), (true, ERROR)].into_iter().find_map(|(is, channel)| is.then_some(channel));
    if sink.send(protocol.encode(first.unwrap_or(ERROR), &[])).await.is_err() {
        return;
    }
    let outputs = futures::stream::select(output_of(STDOUT, stdout), output_of(STDERR, stderr));
    let work = async { tokio::try_join!(async { Ok(job.run(streams, target, stdio).await) }, send(&mut sink, protocol, outputs, &activity)) };
    let ended = tokio::select! {
        ended = work => ended.ok(),
        () = client.receive(&mut messages, stdin) => None,
        () = activity.idle() => None,
        never = async { resized.await; std::future::pending().await } => never,
    };
    // Without an outcome the client has left, and what ran for it has ended with `work`.
    let Some((outcome, ())) = ended else { return };
    let told = if protocol.status { Some(outcome.status()) } else { outcome.words() };
    let farewell = async {
        if let Some(told) = told {
            sink.send(protocol.encode(ERROR, told.as_bytes())).await?;
        }
        sink.send(Message::Close(Some(CloseFrame { code: close_code::NORMAL, reason: "".into() }))).await?;
        // The client may still be sending. Closed now, the connection would be reset, and the client might not see its end.
        while messages.next().await.is_some_and(|message| message.is_ok()) {}
        Ok::<_, axum::Error>(())
    };
    let _ = tokio::time::timeout(LINGER, farewell).await;
}

fn output_of(channel: u8, pipe: Option<DuplexStream>) -> impl Stream<Item = (u8, Bytes)> + Unpin {
    let chunks = futures::stream::iter(pipe).flat_map(|pipe| ReaderStream::with_capacity(pipe, BUFFER / 2));
    Box::pin(chunks.filter_map(move |chunk| std::future::ready(chunk.ok().map(|bytes| (channel, bytes)))))
}

/// Sends what the process writes, until it has written all.
async fn send(
    sink: &mut SplitSink<WebSocket, Message>,
    protocol: Protocol,
    mut outputs: impl Stream<Item = (u8, Bytes)> + Unpin,
    activity: &Activity,
) -> Result<(), axum::Error> {
    let mut ping = tokio::time::interval(PING);
    loop {
        tokio::select! {
            output = outputs.next() => {
                let Some((channel, bytes)) = output else { return Ok(()) };
                activity.seen();
                sink.send(protocol.encode(channel, &bytes)).await?;
            }
            _ = ping.tick() => sink.send(Message::Ping(Bytes::new())).await?,
        }
    }
}

/// The client's messages, and where they go.
struct Client {
    protocol: Protocol,
    resize: watch::Sender<TerminalSize>,
    activity: Activity,
}

impl Client {
    /// Takes the client's messages until it leaves.
    async fn receive(self, messages: &mut SplitStream<WebSocket>, mut stdin: Option<DuplexStream>) {
        while let Some(Ok(message)) = messages.next().await {
            let Some((channel, data)) = self.protocol.decode(message) else { continue };
            self.activity.seen();
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
                        self.resize.send_replace(size);
                    }
                }
                CLOSE if self.protocol.half_close && *data == [STDIN] => stdin = None,
                _ => {}
            }
        }
    }
}

impl Protocol {
    fn encode(self, channel: u8, data: &[u8]) -> Message {
        if self.base64 {
            let mut text = String::with_capacity(1 + data.len().div_ceil(3) * 4);
            text.push(char::from(b'0' + channel));
            BASE64.encode_string(data, &mut text);
            return Message::Text(text.into());
        }
        let mut bytes = Vec::with_capacity(1 + data.len());
        bytes.push(channel);
        bytes.extend_from_slice(data);
        Message::Binary(bytes.into())
    }

    /// Channel and data. `None` for what carries none.
    fn decode(self, message: Message) -> Option<(u8, Bytes)> {
        let bytes = match message {
            Message::Binary(bytes) => bytes,
            Message::Text(text) => Bytes::from(text),
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) => return None,
        };
        let channel = *bytes.first()?;
        if self.base64 {
            return Some((channel.wrapping_sub(b'0'), BASE64.decode(&bytes[1..]).ok()?.into()));
        }
        Some((channel, bytes.slice(1..)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Protocol {
        PROTOCOLS.into_iter().find(|p| p.name == name).unwrap_or(UNNAMED)
    }

    #[test]
    fn messages() {
        #[rustfmt::skip]
        let table = [
            // protocol, message → channel and data
            ("v5.channel.k8s.io", Message::Binary(Bytes::from_static(b"\x00hi")), Some((STDIN, "hi"))),
            ("v5.channel.k8s.io", Message::Binary(Bytes::from_static(&[255, 0])), Some((CLOSE, "\0"))),
            ("v4.channel.k8s.io", Message::Text("\0hi".into()), Some((STDIN, "hi"))),
            ("v4.base64.channel.k8s.io", Message::Text("0aGk=".into()), Some((STDIN, "hi"))),
            ("v4.base64.channel.k8s.io", Message::Text("0!".into()), None),
            ("base64.channel.k8s.io", Message::Text("4e30=".into()), Some((RESIZE, "{}"))),
            ("", Message::Binary(Bytes::new()), None),
            ("", Message::Ping(Bytes::from_static(b"\x00hi")), None),
        ];
        for (name, message, wanted) in table {
            let wanted = wanted.map(|(channel, data)| (channel, Bytes::from(data)));
            assert_eq!(named(name).decode(message.clone()), wanted, "{name} {message:?}");
        }
        assert_eq!(named("v5.channel.k8s.io").encode(STDOUT, b"hi"), Message::Binary(Bytes::from_static(b"\x01hi")));
        assert_eq!(named("base64.channel.k8s.io").encode(ERROR, b"hi"), Message::Text("3aGk=".into()));
    }
}
