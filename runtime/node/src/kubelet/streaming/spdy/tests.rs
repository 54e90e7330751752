//! A client of its own against the server's side of a connection.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::{Semaphore, mpsc};

use super::connection::{Stream, serve};
use super::frame::{self, Control, Head};
use super::headers::{Deflater, Headers, Inflater};

struct Client {
    io: DuplexStream,
    deflater: Deflater,
    inflater: Inflater,
}

impl Client {
    /// A client of a server whose streams are handled so.
    fn of<F: Future<Output = ()> + Send + 'static>(permits: usize, handle: impl FnOnce(mpsc::Receiver<Stream>) -> F + Send + 'static) -> Client {
        let (near, far) = tokio::io::duplex(1 << 10);
        let permits = Arc::new(Semaphore::new(permits));
        tokio::spawn(serve(far, permits, |headers: &Headers| headers.get("streamtype") != "bad", handle));
        Client { io: near, deflater: Deflater::new(), inflater: Inflater::new() }
    }

    async fn open(&mut self, stream: u32, kind: &str) {
        let frame = frame::syn_stream(stream, &Headers::from([("streamtype", kind)]), &mut self.deflater);
        self.io.write_all(&frame).await.unwrap();
    }

    async fn send(&mut self, frame: &[u8]) {
        self.io.write_all(frame).await.unwrap();
    }

    /// What the server sends until it goes away or leaves, as words; data is put together by stream.
    async fn told(mut self) -> (Vec<String>, BTreeMap<u32, Vec<u8>>) {
        let (mut told, mut data) = (Vec::new(), BTreeMap::<u32, Vec<u8>>::new());
        let mut head = [0; 8];
        while self.io.read_exact(&mut head).await.is_ok() {
            match Head::parse(head).unwrap() {
                Head::Data { stream, fin, length } => {
                    let bytes = data.entry(stream).or_default();
                    let from = bytes.len();
                    bytes.resize(from + length, 0);
                    self.io.read_exact(&mut bytes[from..]).await.unwrap();
                    if fin {
                        told.push(format!("end {stream}"));
                    }
                }
                Head::Control { kind, flags, length } => {
                    let mut payload = vec![0; length];
                    self.io.read_exact(&mut payload).await.unwrap();
                    match frame::control(kind, flags, &payload, &mut self.inflater).unwrap() {
                        Control::SynReply { stream, .. } => told.push(format!("accept {stream}")),
                        Control::Reset { stream } => told.push(format!("reset {stream}")),
                        Control::Ping { id } if id % 2 == 1 => told.push(format!("pong {id}")),
                        Control::GoAway => {
                            told.push("go away".to_owned());
                            return (told, data);
                        }
                        _ => {}
                    }
                }
            }
        }
        (told, data)
    }
}

/// Sends back what comes on the first streams, and is done.
async fn echo(mut opened: mpsc::Receiver<Stream>, count: usize) {
    for _ in 0..count {
        let Some(mut stream) = opened.recv().await else { return };
        let mut all = Vec::new();
        stream.io.read_to_end(&mut all).await.unwrap();
        stream.io.write_all(&all).await.unwrap();
    }
}

#[tokio::test]
async fn streams_are_accepted_served_and_ended() {
    let mut client = Client::of(10, |opened| echo(opened, 2));
    client.open(1, "good").await;
    client.send(&frame::ping(7)).await;
    client.open(3, "bad").await;
    client.send(&frame::data(1, false, b"he")).await;
    client.send(&frame::data(1, true, b"llo")).await;
    client.open(5, "good").await;
    client.send(&frame::data(99, false, b"to nobody")).await;
    client.send(&frame::data(5, true, b"")).await;
    let (mut told, data) = client.told().await;
    // Streams end in an order of their own.
    assert_eq!(told.pop().as_deref(), Some("go away"));
    told.sort();
    assert_eq!(told, ["accept 1", "accept 5", "end 1", "end 5", "pong 7", "reset 3"]);
    assert_eq!(data[&1], b"hello");
    assert!(data[&5].is_empty());
}

#[tokio::test]
async fn a_stream_longer_than_all_buffers_is_whole() {
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let mut client = Client::of(10, |mut opened| async move {
        let Stream { io, .. } = opened.recv().await.unwrap();
        let (mut read, mut write) = tokio::io::split(io);
        tokio::io::copy(&mut read, &mut write).await.unwrap();
    });
    client.open(1, "good").await;
    let (read, mut write) = tokio::io::split(client.io);
    let sending = {
        let bytes = bytes.clone();
        async move {
            // One frame that is longer than anybody should hold at once.
            write.write_all(&frame::data(1, false, &bytes[..2_000_000])).await.unwrap();
            write.write_all(&frame::data(1, true, &bytes[2_000_000..])).await.unwrap();
            write
        }
    };
    let sending = tokio::spawn(sending);
    let mut received = Vec::new();
    let mut read = read;
    let mut head = [0; 8];
    let mut inflater = Inflater::new();
    loop {
        read.read_exact(&mut head).await.unwrap();
        match Head::parse(head).unwrap() {
            Head::Data { fin, length, .. } => {
                let from = received.len();
                received.resize(from + length, 0);
                read.read_exact(&mut received[from..]).await.unwrap();
                if fin {
                    break;
                }
            }
            Head::Control { kind, flags, length } => {
                let mut payload = vec![0; length];
                read.read_exact(&mut payload).await.unwrap();
                frame::control(kind, flags, &payload, &mut inflater).unwrap();
            }
        }
    }
    drop(sending.await.unwrap());
    assert!(received == bytes);
}

#[tokio::test]
async fn streams_are_bounded() {
    let mut client = Client::of(1, |opened| echo(opened, 1));
    client.open(1, "good").await;
    client.open(3, "good").await;
    client.send(&frame::data(1, true, b"")).await;
    let (mut told, _) = client.told().await;
    assert_eq!(told.pop().as_deref(), Some("go away"));
    told.sort();
    assert_eq!(told, ["accept 1", "end 1", "reset 3"]);
}

#[tokio::test]
async fn who_breaks_the_protocol_is_left() {
    let mut client = Client::of(10, |opened| echo(opened, 1));
    client.open(1, "good").await;
    client.open(1, "good").await;
    let (told, _) = client.told().await;
    assert!(!told.contains(&"go away".to_owned()), "{told:?}");
}

#[tokio::test]
async fn who_leaves_ends_what_is_handled() {
    let (alive, mut dead) = mpsc::channel::<()>(1);
    let mut client = Client::of(10, |opened| async move {
        let _alive = alive;
        let _opened = opened;
        std::future::pending().await
    });
    client.open(1, "good").await;
    drop(client);
    assert!(dead.recv().await.is_none());
}

#[tokio::test]
async fn a_reset_ends_both_ways() {
    let (sent, mut seen) = mpsc::channel(1);
    let mut client = Client::of(10, |mut opened| async move {
        let mut stream = opened.recv().await.unwrap();
        let mut all = Vec::new();
        let read = stream.io.read_to_end(&mut all).await.unwrap();
        while stream.io.write_all(&[0; 1024]).await.is_ok() {}
        sent.send(read).await.unwrap();
    });
    client.open(1, "good").await;
    client.send(&frame::data(1, false, b"hi")).await;
    client.send(&frame::reset(1, 5)).await;
    let told = tokio::spawn(client.told());
    assert_eq!(seen.recv().await, Some(2));
    told.abort();
}
