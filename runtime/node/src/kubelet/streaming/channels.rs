//! Messages of a WebSocket whose first byte says which stream they are of. `base64`, for browsers of old, has text: a digit, and the rest encoded.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, Stream, StreamExt};
use tokio::io::AsyncRead;
use tokio_util::io::ReaderStream;

use super::BUFFER;
use super::activity::Activity;

/// How often the client is asked whether it is still there, as kubectl asks the server. One whose input nobody reads is not heard leaving.
const PING: Duration = Duration::from_secs(5);

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    Binary,
    Base64,
}

impl Codec {
    pub(super) fn encode(self, channel: u8, data: &[u8]) -> Message {
        match self {
            Codec::Binary => {
                let mut bytes = Vec::with_capacity(1 + data.len());
                bytes.push(channel);
                bytes.extend_from_slice(data);
                Message::Binary(bytes.into())
            }
            Codec::Base64 => {
                let mut text = String::with_capacity(1 + data.len().div_ceil(3) * 4);
                text.push(char::from(b'0'.wrapping_add(channel)));
                BASE64.encode_string(data, &mut text);
                Message::Text(text.into())
            }
        }
    }

    /// Channel and data. `None` for what carries none.
    pub(super) fn decode(self, message: Message) -> Option<(u8, Bytes)> {
        let bytes = match message {
            Message::Binary(bytes) => bytes,
            Message::Text(text) => Bytes::from(text),
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) => return None,
        };
        let channel = *bytes.first()?;
        match self {
            Codec::Binary => Some((channel, bytes.slice(1..))),
            Codec::Base64 => Some((channel.wrapping_sub(b'0'), BASE64.decode(&bytes[1..]).ok()?.into())),
        }
    }
}

/// What comes out of a pipe, for a channel.
pub(super) fn pieces<R: AsyncRead + Send + 'static>(channel: u8, pipe: Option<R>) -> impl Stream<Item = (u8, Bytes)> + Send + Unpin {
    let chunks = futures::stream::iter(pipe).flat_map(|pipe| ReaderStream::with_capacity(Box::pin(pipe), BUFFER / 2));
    Box::pin(chunks.filter_map(move |chunk| std::future::ready(chunk.ok().map(|bytes| (channel, bytes)))))
}

/// Sends what comes, until all has come.
pub(super) async fn send(
    sink: &mut SplitSink<WebSocket, Message>,
    codec: Codec,
    mut outputs: impl Stream<Item = (u8, Bytes)> + Unpin,
    activity: &Activity,
) -> Result<(), axum::Error> {
    let mut ping = tokio::time::interval(PING);
    loop {
        tokio::select! {
            output = outputs.next() => {
                let Some((channel, bytes)) = output else { return Ok(()) };
                activity.seen();
                sink.send(codec.encode(channel, &bytes)).await?;
            }
            _ = ping.tick() => sink.send(Message::Ping(Bytes::new())).await?,
        }
    }
}

/// Says that all is over, and waits for the client to leave: it may still be sending, and a connection that is closed meanwhile would be reset,
/// so that the client might not read to its end.
pub(super) async fn close(sink: &mut SplitSink<WebSocket, Message>, messages: &mut SplitStream<WebSocket>) {
    let last = CloseFrame { code: close_code::NORMAL, reason: "".into() };
    if sink.send(Message::Close(Some(last))).await.is_ok() {
        while messages.next().await.is_some_and(|message| message.is_ok()) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages() {
        use Codec::{Base64, Binary};
        #[rustfmt::skip]
        let table = [
            // message → channel and data
            (Binary, Message::Binary(Bytes::from_static(b"\x00hi")), Some((0, "hi"))),
            (Binary, Message::Binary(Bytes::from_static(&[255, 0])), Some((255, "\0"))),
            (Binary, Message::Text("\0hi".into()), Some((0, "hi"))),
            (Binary, Message::Binary(Bytes::new()), None),
            (Binary, Message::Ping(Bytes::from_static(b"\x00hi")), None),
            (Base64, Message::Text("0aGk=".into()), Some((0, "hi"))),
            (Base64, Message::Text("4e30=".into()), Some((4, "{}"))),
            (Base64, Message::Text("0!".into()), None),
        ];
        for (codec, message, wanted) in table {
            let wanted = wanted.map(|(channel, data)| (channel, Bytes::from(data)));
            assert_eq!(codec.decode(message.clone()), wanted, "{codec:?} {message:?}");
        }
        assert_eq!(Binary.encode(1, b"hi"), Message::Binary(Bytes::from_static(b"\x01hi")));
        assert_eq!(Base64.encode(3, b"hi"), Message::Text("3aGk=".into()));
    }
}
