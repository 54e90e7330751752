//! Port-forward over a WebSocket as it was before it had SPDY within, and as client libraries still have it: the ports are in the query, and
//! each has one connection, with a channel for its bytes and a channel for what went wrong.

use axum::extract::ws::WebSocket;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{FuturesUnordered, SplitStream};
use tokio::io::{AsyncWriteExt, DuplexStream, WriteHalf};

use super::activity::Activity;
use super::channels::{self, Codec};
use super::forward::{Broken, Pod, forward};
use super::{BUFFER, LINGER};
use crate::streams::Streams;

/// The subprotocols, and how their messages are written.
pub(super) const PROTOCOLS: [(&str, Codec); 2] = [("v4.channel.k8s.io", Codec::Binary), ("v4.base64.channel.k8s.io", Codec::Base64)];

/// Each takes two of the channels, which are numbered by a byte.
const MAX_PORTS: usize = 100;

/// Reads the ports of a query.
pub(super) fn ports(query: &[(String, String)]) -> Result<Vec<u16>, String> {
    let mut ports = Vec::new();
    for text in query.iter().filter(|(key, _)| key == "port" || key == "ports").map(|(_, value)| value) {
        if text.is_empty() {
            return Err("query parameter \"port\" cannot be empty".to_owned());
        }
        for part in text.split(',') {
            match part.parse() {
                Ok(0) => return Err(format!("port {text:?} must be > 0")),
                Ok(port) => ports.push(port),
                Err(error) => return Err(format!("unable to parse {text:?} as a port: {error}")),
            }
        }
    }
    match ports.len() {
        0 => Err("query parameter \"port\" is required".to_owned()),
        1..=MAX_PORTS => Ok(ports),
        _ => Err(format!("at most {MAX_PORTS} ports can be forwarded at once")),
    }
}

/// Forwards one connection to each port, until all have ended or the client leaves.
pub(super) async fn serve(socket: WebSocket, codec: Codec, streams: &dyn Streams, pod: &Pod, ports: &[u16]) {
    let (mut sink, mut messages) = socket.split();
    let activity = Activity::new();
    let running = FuturesUnordered::new();
    let mut inputs = Vec::new();
    let mut outputs = futures::stream::SelectAll::new();
    for (index, port) in ports.iter().enumerate() {
        let channel = u8::try_from(2 * index).unwrap_or(u8::MAX);
        let (near, far) = tokio::io::duplex(BUFFER);
        let (output, input) = tokio::io::split(near);
        let (error, failure) = tokio::io::duplex(BUFFER);
        inputs.push(Some(input));
        // Both channels begin with the port.
        let first = Bytes::copy_from_slice(&port.to_le_bytes());
        outputs.push(futures::stream::iter([(channel, first.clone()), (channel + 1, first)]).boxed());
        outputs.push(channels::pieces(channel, Some(output)).boxed());
        outputs.push(channels::pieces(channel + 1, Some(error)).boxed());
        running.push(connection(far, failure, streams, pod, *port));
    }
    let work = async {
        let (sent, ()) = tokio::join!(channels::send(&mut sink, codec, outputs, &activity), running.collect::<()>());
        sent
    };
    let ended = tokio::select! {
        ended = work => ended,
        () = receive(&mut messages, codec, inputs, &activity) => return,
        () = activity.idle() => return,
    };
    if ended.is_ok() {
        let _ = tokio::time::timeout(LINGER, channels::close(&mut sink, &mut messages)).await;
    }
}

async fn connection(mut client: DuplexStream, mut failure: DuplexStream, streams: &dyn Streams, pod: &Pod, port: u16) {
    if let Err(Broken::Failed(words)) = forward(streams, pod, port, &mut client).await {
        let _ = failure.write_all(words.as_bytes()).await;
    }
}

/// Takes the client's messages until it leaves.
async fn receive(messages: &mut SplitStream<WebSocket>, codec: Codec, mut inputs: Vec<Option<WriteHalf<DuplexStream>>>, activity: &Activity) {
    while let Some(Ok(message)) = messages.next().await {
        let Some((channel, data)) = codec.decode(message) else { continue };
        activity.seen();
        let input = (channel % 2 == 0).then(|| inputs.get_mut(usize::from(channel / 2))).flatten();
        if let Some(place) = input
            && let Some(pipe) = place
            && pipe.write_all(&data).await.is_err()
        {
            *place = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_of_a_query() {
        let table = [
            ("port=80&port=443", "[80, 443]"),
            ("ports=80,443", "[80, 443]"),
            ("other=80", "query parameter \"port\" is required"),
            ("port=", "query parameter \"port\" cannot be empty"),
            ("port=0", "port \"0\" must be > 0"),
            ("port=70000", "unable to parse \"70000\" as a port: number too large to fit in target type"),
        ];
        for (query, wanted) in table {
            let pairs: Vec<_> = query.split('&').filter_map(|pair| pair.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
            let got = ports(&pairs).map_or_else(|words| words, |ports| format!("{ports:?}"));
            assert_eq!(got, wanted, "{query}");
        }
    }
}
