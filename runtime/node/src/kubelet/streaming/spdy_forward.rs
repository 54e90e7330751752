//! Port-forward over SPDY: two streams for each connection, one for its bytes and one for what went wrong. The same within a WebSocket
//! (KEP-4006), whose messages are then nothing but pieces of the connection.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use bytes::Bytes;
use futures::stream::FuturesUnordered;
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::io::{CopyToBytes, SinkWriter, StreamReader};

use super::forward::{Broken, Pod, forward};
use super::spdy::{self, Headers, Stream};
use crate::streams::Streams;

/// On a connection of SPDY.
pub(super) const PROTOCOL: &str = "portforward.k8s.io";
/// Within a WebSocket.
pub(super) const TUNNELED: &str = "SPDY/3.1+portforward.k8s.io";

/// How long a client may take to open the second stream of a connection.
const PAIR: Duration = Duration::from_secs(30);

/// Forwards connections for a client until it leaves.
pub(super) async fn serve(io: impl AsyncRead + AsyncWrite, permits: Arc<Semaphore>, streams: &dyn Streams, pod: &Pod) {
    spdy::serve(io, permits, accept, |opened| connections(opened, streams, pod)).await;
}

/// The same within a WebSocket.
pub(super) async fn serve_tunneled(socket: WebSocket, permits: Arc<Semaphore>, streams: &dyn Streams, pod: &Pod) {
    let (sink, messages) = socket.split();
    let sink = sink.with(|bytes: Bytes| std::future::ready(Ok::<_, axum::Error>(Message::Binary(bytes)))).sink_map_err(io::Error::other);
    let messages = messages.filter_map(|message| {
        std::future::ready(match message {
            Ok(Message::Binary(bytes)) => Some(Ok(bytes)),
            Ok(_) => None,
            Err(error) => Some(Err(io::Error::other(error))),
        })
    });
    let io = tokio::io::join(StreamReader::new(messages), SinkWriter::new(CopyToBytes::new(sink)));
    serve(io, permits, streams, pod).await;
}

fn accept(headers: &Headers) -> bool {
    ["error", "data"].contains(&headers.get("streamtype")) && port(headers).is_some()
}

fn port(headers: &Headers) -> Option<u16> {
    headers.get("port").parse().ok().filter(|port| *port > 0)
}

/// Which connection a stream is of. Clients of old do not say; then the error stream comes first, and the data stream after it.
fn request(stream: &Stream) -> String {
    match stream.headers.get("requestid") {
        "" if stream.headers.get("streamtype") == "error" => stream.id.to_string(),
        "" => stream.id.saturating_sub(2).to_string(),
        named => named.to_owned(),
    }
}

/// The first stream of a connection, and when it came.
struct Waiting {
    stream: Stream,
    since: Instant,
}

async fn connections(mut opened: mpsc::Receiver<Stream>, streams: &dyn Streams, pod: &Pod) {
    let mut waiting: HashMap<String, Waiting> = HashMap::new();
    let mut running = FuturesUnordered::new();
    let mut sweep = tokio::time::interval(PAIR);
    loop {
        tokio::select! {
            stream = opened.recv() => {
                let Some(stream) = stream else { return };
                let request = request(&stream);
                match waiting.remove(&request) {
                    Some(first) if first.stream.headers.get("streamtype") != stream.headers.get("streamtype") => {
                        running.push(connection(first.stream, stream, streams, pod));
                    }
                    Some(first) => {
                        waiting.insert(request, first);
                        stream.reset().await;
                    }
                    None => {
                        waiting.insert(request, Waiting { stream, since: Instant::now() });
                    }
                }
            }
            Some(()) = running.next(), if !running.is_empty() => {}
            _ = sweep.tick() => waiting.retain(|_, first| first.since.elapsed() < PAIR),
        }
    }
}

async fn connection(one: Stream, other: Stream, streams: &dyn Streams, pod: &Pod) {
    let (mut error, mut data) = if one.headers.get("streamtype") == "error" { (one, other) } else { (other, one) };
    let Some(port) = port(&data.headers) else { return };
    match forward(streams, pod, port, &mut data.io).await {
        Ok(()) => {}
        Err(Broken::Reset) => {
            data.reset().await;
            error.reset().await;
        }
        Err(Broken::Failed(words)) => {
            let _ = error.io.write_all(words.as_bytes()).await;
        }
    }
}
