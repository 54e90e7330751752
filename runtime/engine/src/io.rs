//! Where a container's output goes, and where its input comes from.

use bytes::{Buf, Bytes, BytesMut};
use parking_lot::Mutex;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wasmtime_wasi::cli::{IsTerminal, StdinStream, StdoutStream};
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

/// Receives what a container writes to stdout or stderr.
///
/// Backpressure: a sink that cannot take more answers `Pending` (and wakes the task later); the guest's write then
/// waits. At most 64 KiB are held by the engine meanwhile.
pub trait LogSink: Send + Sync + 'static {
    /// Takes a prefix of `bytes` (at least one byte, when `bytes` is not empty) and says how many. An error closes the
    /// stream for the guest (`EPIPE`).
    fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;

    /// Whether the guest is to believe that it writes to a terminal.
    fn is_terminal(&self) -> bool {
        false
    }
}

/// Drops whatever is written.
#[derive(Debug, Default, Clone, Copy)]
pub struct Discard;

impl LogSink for Discard {
    fn poll_write(&self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }
}

/// Bytes that the engine holds for a sink that cannot take more.
const HELD: usize = 64 << 10;

/// One of a container's output streams; clones are the same stream.
#[derive(Clone)]
pub(crate) struct Output(Arc<Inner>);

struct Inner {
    sink: Arc<dyn LogSink>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    bytes: BytesMut,
    closed: bool,
}

impl Output {
    pub(crate) fn new(sink: Arc<dyn LogSink>) -> Self {
        Self(Arc::new(Inner { sink, held: Mutex::default() }))
    }

    /// Hands on what is held; ready when all is.
    pub(crate) fn poll_drain(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut held = self.0.held.lock();
        while !held.bytes.is_empty() {
            match self.0.sink.poll_write(cx, &held.bytes) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(n)) if n > 0 => {
                    let n = n.min(held.bytes.len());
                    held.bytes.advance(n);
                }
                Poll::Ready(failed) => {
                    held.closed = true;
                    held.bytes.clear();
                    return Poll::Ready(Err(failed.err().unwrap_or_else(|| io::ErrorKind::WriteZero.into())));
                }
            }
        }
        Poll::Ready(if held.closed { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) })
    }

    /// Writes `bytes`, holding what the sink does not take at once.
    fn put(&self, cx: &mut Context<'_>, mut bytes: &[u8]) -> io::Result<()> {
        if self.poll_drain(cx).is_ready() {
            let mut held = self.0.held.lock();
            if held.closed {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            while !bytes.is_empty() {
                match self.0.sink.poll_write(cx, bytes) {
                    Poll::Ready(Ok(n)) if n > 0 => bytes = &bytes[n.min(bytes.len())..],
                    Poll::Ready(failed) => {
                        held.closed = true;
                        return Err(failed.err().unwrap_or_else(|| io::ErrorKind::WriteZero.into()));
                    }
                    Poll::Pending => break,
                }
            }
        }
        self.0.held.lock().bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// Writes `bytes` in one piece, once all that was written before is gone.
    pub(crate) async fn write_whole(&self, bytes: &[u8]) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_drain(cx)).await?;
        std::future::poll_fn(|cx| Poll::Ready(self.put(cx, bytes))).await
    }

    fn room(&self) -> usize {
        HELD.saturating_sub(self.0.held.lock().bytes.len())
    }
}

fn noop() -> Context<'static> {
    Context::from_waker(futures::task::noop_waker_ref())
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        self.0.sink.is_terminal()
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {
        // Instances of a container share the stream: it is enough that there is room.
        let room = |cx: &mut Context<'_>| if self.poll_drain(cx).is_ready() || self.room() >= HELD / 2 { Poll::Ready(()) } else { Poll::Pending };
        std::future::poll_fn(room).await;
    }
}

#[async_trait::async_trait]
impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.put(&mut noop(), &bytes).map_err(|_| StreamError::Closed)
    }
    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }
    fn check_write(&mut self) -> StreamResult<usize> {
        match self.poll_drain(&mut noop()) {
            Poll::Ready(Ok(())) => Ok(HELD),
            Poll::Ready(Err(_)) => Err(StreamError::Closed),
            Poll::Pending => Ok(self.room()),
        }
    }
}

impl AsyncWrite for Output {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.room() < HELD / 2 {
            std::task::ready!(self.poll_drain(cx))?;
        }
        let n = bytes.len().min(self.room());
        Poll::Ready(self.put(cx, &bytes[..n]).map(|()| n))
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_drain(cx)
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_drain(cx)
    }
}

/// Bytes of stdin that are read ahead of the guest.
const AHEAD: usize = 64 << 10;

/// A container's stdin; the streams made of it are one.
///
/// The end of input is met each time the source says so, and reading goes on behind it: at a terminal, Ctrl-D ends what
/// one program reads and not what the next one does.
#[derive(Clone)]
pub(crate) struct Input {
    reader: Arc<Mutex<Reader>>,
    terminal: bool,
}

struct Reader {
    from: Box<dyn AsyncRead + Send + Sync + Unpin>,
    ahead: BytesMut,
    /// What comes after `ahead`: the end (`Ok`), or an error.
    end: Option<io::Result<()>>,
}

impl Reader {
    /// Ready when there is something to take.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.ahead.is_empty() && self.end.is_none() {
            self.ahead.reserve(AHEAD);
            match std::task::ready!(tokio_util::io::poll_read_buf(Pin::new(&mut self.from), cx, &mut self.ahead)) {
                Ok(0) => self.end = Some(Ok(())),
                Ok(_) => {}
                Err(e) => self.end = Some(Err(e)),
            }
        }
        Poll::Ready(())
    }
}

impl Input {
    pub(crate) fn new(from: Box<dyn AsyncRead + Send + Sync + Unpin>, terminal: bool) -> Self {
        Self { reader: Arc::new(Mutex::new(Reader { from, ahead: BytesMut::new(), end: None })), terminal }
    }
}

impl IsTerminal for Input {
    fn is_terminal(&self) -> bool {
        self.terminal
    }
}

impl StdinStream for Input {
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        Box::new(self.clone())
    }
    fn p2_stream(&self) -> Box<dyn InputStream> {
        Box::new(self.clone())
    }
}

#[async_trait::async_trait]
impl Pollable for Input {
    async fn ready(&mut self) {
        std::future::poll_fn(|cx| self.reader.lock().poll_fill(cx)).await;
    }
}

#[async_trait::async_trait]
impl InputStream for Input {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        let mut reader = self.reader.lock();
        if size == 0 || reader.poll_fill(&mut noop()).is_pending() {
            return Ok(Bytes::new());
        }
        if reader.ahead.is_empty() {
            return Err(match reader.end.take() {
                Some(Err(e)) if e.kind() != io::ErrorKind::BrokenPipe => StreamError::LastOperationFailed(e.into()),
                _ => StreamError::Closed,
            });
        }
        let size = size.min(reader.ahead.len());
        Ok(reader.ahead.split_to(size).freeze())
    }
}

impl AsyncRead for Input {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut reader = self.reader.lock();
        std::task::ready!(reader.poll_fill(cx));
        if reader.ahead.is_empty() {
            return Poll::Ready(reader.end.take().unwrap_or(Ok(())));
        }
        let size = into.remaining().min(reader.ahead.len());
        into.put_slice(&reader.ahead.split_to(size));
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one piece after the other; an empty one is an end.
    struct Pieces(Vec<&'static [u8]>);

    impl AsyncRead for Pieces {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            if !self.0.is_empty() {
                into.put_slice(self.0.remove(0));
            }
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn reading_goes_on_behind_an_end() {
        let mut input = Input::new(Box::new(Pieces(vec![b"one", b"", b"", b"two"])), true);
        let mut got = vec![];
        for _ in 0..6 {
            got.push(match input.blocking_read(2).await {
                Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                Err(StreamError::Closed) => "end".to_owned(),
                Err(e) => panic!("{e}"),
            });
        }
        assert_eq!(got, ["on", "e", "end", "end", "tw", "o"]);
    }
}
