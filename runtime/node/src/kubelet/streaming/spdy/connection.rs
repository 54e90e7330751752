//! A connection: one side reads frames into the streams' pipes, the other writes what comes out of them.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_stream::StreamMap;
use tokio_util::io::ReaderStream;

use super::frame::{self, CANCEL, Control, Head, Malformed, REFUSED_STREAM};
use super::headers::{Deflater, Headers, Inflater};
use crate::kubelet::streaming::BUFFER;
use crate::kubelet::streaming::activity::Activity;

/// Streams that a client may have open on a connection.
const MAX_STREAMS: usize = 1000;
/// What is read or written of a stream at once.
const CHUNK: usize = 32 << 10;
/// Frames that wait to be written, those of data aside.
const COMMANDS: usize = 64;
/// How often the client is asked whether it is still there, as kubectl asks the server. One whose input nobody reads is not heard leaving.
const PING: Duration = Duration::from_secs(5);
/// How long a client may take to leave after it was told that all is over.
const LINGER: Duration = Duration::from_secs(10);

/// A stream that the client opened. Dropping it ends what the server sends.
pub(in super::super) struct Stream {
    pub(in super::super) id: u32,
    pub(in super::super) headers: Headers,
    /// Both ways. Its end of file is the client's last word, or its leaving.
    pub(in super::super) io: DuplexStream,
    commands: mpsc::Sender<Command>,
}

impl Stream {
    /// Breaks the stream off, which is not the same as ending it.
    pub(in super::super) async fn reset(self) {
        let _ = self.commands.send(Command::Reset { stream: self.id, status: CANCEL }).await;
    }
}

/// What the reading side has the writing side do.
enum Command {
    /// Accept a stream, and send what comes out of it.
    Open { stream: u32, output: ReadHalf<DuplexStream>, permit: Arc<OwnedSemaphorePermit> },
    /// Tell the client that a stream is over.
    Reset { stream: u32, status: u32 },
    /// The client does not want to hear of the stream.
    Forget { stream: u32 },
    /// Answer a ping.
    Pong { id: u32 },
}

/// Serves a client's connection: `accept` looks at a stream's headers, `handle` gets those that were accepted. When `handle` is done the client
/// is told the rest; when the client leaves first, `handle` is dropped.
pub(in super::super) async fn serve<F: Future<Output = ()>>(
    io: impl AsyncRead + AsyncWrite,
    permits: Arc<Semaphore>,
    accept: impl Fn(&Headers) -> bool,
    handle: impl FnOnce(mpsc::Receiver<Stream>) -> F,
) {
    let (input, output) = tokio::io::split(io);
    let activity = Activity::new();
    let (commands, orders) = mpsc::channel(COMMANDS);
    let (opened, streams) = mpsc::channel(1);
    let (done, finished) = oneshot::channel();
    let reader = Reader { input, inflater: Inflater::new(), streams: HashMap::new(), last: 0, commands, opened, permits, accept, activity: activity.clone() };
    let mut reading = std::pin::pin!(reader.run());
    let handled = async {
        handle(streams).await;
        let _ = done.send(());
        Ok(())
    };
    let writer = Writer { output, deflater: Deflater::new(), outputs: StreamMap::new(), last: 0, activity: activity.clone() };
    let mut working = std::pin::pin!(async { tokio::try_join!(handled, writer.run(orders, finished)) });
    tokio::select! {
        worked = &mut working => {
            // The client may still be sending. Closed now, the connection would be reset, and the client might not read what it was told.
            if worked.is_ok() {
                let _ = tokio::time::timeout(LINGER, reading).await;
            }
        }
        read = &mut reading => if let Err(error) = read {
            tracing::debug!(%error, "a client's streams broke off");
        },
        () = activity.idle() => {}
    }
}

struct Reader<R, A> {
    input: ReadHalf<R>,
    inflater: Inflater,
    /// Where what the client sends goes.
    streams: HashMap<u32, Input>,
    /// The last stream that the client opened.
    last: u32,
    commands: mpsc::Sender<Command>,
    opened: mpsc::Sender<Stream>,
    permits: Arc<Semaphore>,
    accept: A,
    activity: Activity,
}

struct Input {
    pipe: WriteHalf<DuplexStream>,
    _permit: Arc<OwnedSemaphorePermit>,
}

impl<R: AsyncRead, A: Fn(&Headers) -> bool> Reader<R, A> {
    /// Until the client leaves.
    async fn run(mut self) -> io::Result<()> {
        let mut chunk = vec![0; CHUNK];
        loop {
            let mut head = [0; 8];
            match self.input.read_exact(&mut head).await {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                read => read?,
            };
            match Head::parse(head).map_err(broken)? {
                Head::Data { stream, fin, length } => self.data(stream, fin, length, &mut chunk).await?,
                Head::Control { kind, flags, length } => {
                    let mut payload = vec![0; length];
                    self.input.read_exact(&mut payload).await?;
                    let control = frame::control(kind, flags, &payload, &mut self.inflater).map_err(broken)?;
                    self.control(control).await?;
                }
            }
        }
    }

    async fn data(&mut self, stream: u32, fin: bool, length: usize, chunk: &mut [u8]) -> io::Result<()> {
        self.activity.seen();
        let mut left = length;
        while left > 0 {
            let size = left.min(chunk.len());
            let n = self.input.read(&mut chunk[..size]).await?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            left -= n;
            // What nobody wants any more is dropped.
            if let Some(input) = self.streams.get_mut(&stream)
                && input.pipe.write_all(&chunk[..n]).await.is_err()
            {
                self.streams.remove(&stream);
            }
        }
        if fin {
            self.end(stream).await;
        }
        Ok(())
    }

    async fn control(&mut self, control: Control) -> io::Result<()> {
        match control {
            Control::SynStream { stream, fin, headers } => {
                self.open(stream, headers).await?;
                if fin {
                    self.end(stream).await;
                }
            }
            Control::SynReply { stream, fin } | Control::Headers { stream, fin } if fin => self.end(stream).await,
            Control::Reset { stream } => {
                self.end(stream).await;
                self.order(Command::Forget { stream }).await;
            }
            // Even numbers are answers to the server's own.
            Control::Ping { id } if id % 2 == 1 => self.order(Command::Pong { id }).await,
            _ => {}
        }
        Ok(())
    }

    async fn open(&mut self, stream: u32, headers: Headers) -> io::Result<()> {
        if stream.is_multiple_of(2) || stream <= self.last {
            return Err(broken(Malformed("a stream's number is not a new one of a client")));
        }
        self.last = stream;
        let room = self.streams.len() < MAX_STREAMS && (self.accept)(&headers);
        let permit = room.then(|| self.permits.clone().try_acquire_owned().ok()).flatten();
        let Some(permit) = permit.map(Arc::new) else {
            self.order(Command::Reset { stream, status: REFUSED_STREAM }).await;
            return Ok(());
        };
        let (near, far) = tokio::io::duplex(BUFFER);
        let (output, pipe) = tokio::io::split(near);
        self.streams.insert(stream, Input { pipe, _permit: permit.clone() });
        self.order(Command::Open { stream, output, permit }).await;
        let opened = Stream { id: stream, headers, io: far, commands: self.commands.clone() };
        // Nobody takes it when all is over; then it ends at once.
        let _ = self.opened.send(opened).await;
        Ok(())
    }

    /// The client has said its last word on a stream.
    async fn end(&mut self, stream: u32) {
        if let Some(mut input) = self.streams.remove(&stream) {
            let _ = input.pipe.shutdown().await;
        }
    }

    /// When the writing side is gone, so is the client that the order is for.
    async fn order(&mut self, command: Command) {
        let _ = self.commands.send(command).await;
    }
}

fn broken(error: Malformed) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Pieces of a stream, and at last `None`.
type Pieces = std::pin::Pin<Box<dyn futures::Stream<Item = Option<Bytes>> + Send>>;

struct Writer<W> {
    output: WriteHalf<W>,
    deflater: Deflater,
    outputs: StreamMap<u32, Pieces>,
    last: u32,
    activity: Activity,
}

impl<W: AsyncWrite> Writer<W> {
    /// Until `finished` and all that the streams held is written.
    async fn run(mut self, mut orders: mpsc::Receiver<Command>, mut finished: oneshot::Receiver<()>) -> io::Result<()> {
        let mut ping = tokio::time::interval(PING);
        let mut pings = 0_u32;
        let mut over = false;
        loop {
            if over && self.outputs.is_empty() {
                // What was ordered before the end: streams to reset, or to open that have been served already.
                let Ok(order) = orders.try_recv() else {
                    return self.write(&frame::go_away(self.last)).await;
                };
                self.obey(order).await?;
                continue;
            }
            tokio::select! {
                Some(order) = orders.recv() => self.obey(order).await?,
                Some((stream, piece)) = self.outputs.next(), if !self.outputs.is_empty() => {
                    self.activity.seen();
                    let (fin, bytes) = piece.map_or((true, Bytes::new()), |bytes| (false, bytes));
                    self.write(&frame::data(stream, fin, &bytes)).await?;
                }
                _ = ping.tick() => {
                    pings = pings.wrapping_add(2) & 0x7fff_ffff;
                    self.write(&frame::ping(pings.max(2))).await?;
                }
                _ = &mut finished, if !over => over = true,
            }
        }
    }

    async fn obey(&mut self, command: Command) -> io::Result<()> {
        match command {
            Command::Open { stream, output, permit } => {
                let pieces = ReaderStream::with_capacity(output, CHUNK).filter_map(|piece| std::future::ready(piece.ok())).map(Some);
                // The permit is held for as long as either side of the stream is.
                let end = futures::stream::once(async move {
                    drop(permit);
                    None
                });
                self.outputs.insert(stream, Box::pin(pieces.chain(end)));
                self.last = stream;
                let reply = frame::syn_reply(stream, &mut self.deflater);
                self.write(&reply).await
            }
            Command::Reset { stream, status } => {
                self.outputs.remove(&stream);
                self.write(&frame::reset(stream, status)).await
            }
            Command::Forget { stream } => {
                self.outputs.remove(&stream);
                Ok(())
            }
            Command::Pong { id } => self.write(&frame::ping(id)).await,
        }
    }

    async fn write(&mut self, frame: &[u8]) -> io::Result<()> {
        self.output.write_all(frame).await?;
        self.output.flush().await
    }
}
