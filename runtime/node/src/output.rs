//! Output on its way: a container's to whoever watches it besides the log, or a process's to the client that started it.
//!
//! A [`Fan`] holds the writer back while one of its readers has no room. Who reads nothing for too long has to go, which is for the reader's
//! side to see to: see [`Tap::copy`].

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc::{self, error::TrySendError};
use wharf_engine::LogSink;

use crate::logs::Stream;
use crate::terminal::Terminal;

/// Pieces that one reader may be behind.
const PIECES: usize = 32;
/// Bytes that are taken from a guest at one time: the size of a piece, but for what a terminal adds to it.
const PIECE: usize = 16 << 10;
/// How long a client may take nothing.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Where a guest's output goes: asked for room first, it then takes all.
pub(crate) trait Outlet: Send + Sync + 'static {
    /// Whether there is room. An error closes the guest's stream.
    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Takes bytes.
    fn put(&self, stream: Stream, bytes: &[u8]);
}

/// One of a guest's output streams.
pub(crate) struct Sink {
    to: Arc<dyn Outlet>,
    stream: Stream,
    /// It is a terminal's screen.
    terminal: Option<Arc<Terminal>>,
}

impl Sink {
    /// Standard output and standard error; at a terminal both are its screen.
    pub(crate) fn both(to: Arc<dyn Outlet>, terminal: Option<&Arc<Terminal>>) -> (Arc<dyn LogSink>, Arc<dyn LogSink>) {
        let sink = |stream| Arc::new(Self { to: to.clone(), stream, terminal: terminal.cloned() });
        (sink(Stream::Stdout), sink(Stream::Stderr))
    }
}

impl LogSink for Sink {
    fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        std::task::ready!(self.to.poll_room(cx))?;
        let bytes = &bytes[..bytes.len().min(PIECE)];
        match &self.terminal {
            Some(terminal) => terminal.show(bytes),
            None => self.to.put(self.stream, bytes),
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn is_terminal(&self) -> bool {
        self.terminal.is_some()
    }
}

/// Copies output to its readers.
#[derive(Default)]
pub(crate) struct Fan {
    inner: Mutex<Inner>,
    /// Pieces so far.
    count: AtomicU64,
}

#[derive(Default)]
struct Inner {
    readers: Vec<mpsc::Sender<(Stream, Bytes)>>,
    /// Writers that wait for room.
    waiting: Vec<Waker>,
    closed: bool,
}

impl Fan {
    /// A reader of all that comes from now on; at its end at once if nothing will come any more.
    pub(crate) fn tap(self: &Arc<Self>) -> Tap {
        let (sender, pieces) = mpsc::channel(PIECES);
        let mut inner = self.inner.lock();
        if !inner.closed {
            inner.readers.push(sender);
        }
        Tap { pieces, fan: self.clone() }
    }

    /// Whether every reader has room.
    pub(crate) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.inner.lock();
        inner.readers.retain(|r| !r.is_closed());
        if inner.readers.iter().all(|r| r.capacity() > 0) {
            return Poll::Ready(());
        }
        if !inner.waiting.iter().any(|w| w.will_wake(cx.waker())) {
            inner.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// How many pieces there were so far.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }

    /// Copies bytes to every reader that has room.
    pub(crate) fn send(&self, stream: Stream, bytes: &[u8]) {
        self.count.fetch_add(1, Relaxed);
        let mut inner = self.inner.lock();
        if inner.readers.is_empty() || bytes.is_empty() {
            return;
        }
        let bytes = Bytes::copy_from_slice(bytes);
        inner.readers.retain(|r| !matches!(r.try_send((stream, bytes.clone())), Err(TrySendError::Closed(_))));
    }

    /// Whether nobody reads.
    pub(crate) fn is_unread(&self) -> bool {
        let mut inner = self.inner.lock();
        inner.readers.retain(|r| !r.is_closed());
        inner.readers.is_empty()
    }

    /// Nothing more comes: readers come to their end once they have read all.
    pub(crate) fn close(&self) {
        let mut inner = self.inner.lock();
        inner.closed = true;
        inner.readers.clear();
        inner.wake();
    }
}

impl Inner {
    fn wake(&mut self) {
        self.waiting.drain(..).for_each(Waker::wake);
    }
}

/// A reader of a [`Fan`].
pub(crate) struct Tap {
    pieces: mpsc::Receiver<(Stream, Bytes)>,
    fan: Arc<Fan>,
}

/// What a client receives.
type Client = Pin<Box<dyn AsyncWrite + Send>>;

impl Tap {
    /// The next piece; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<(Stream, Bytes)> {
        let piece = self.pieces.recv().await;
        self.fan.inner.lock().wake();
        piece
    }

    /// Copies everything to a client, to the end; then shuts its streams down. What the client has no stream for is dropped. A client that
    /// takes nothing for too long is an error.
    pub(crate) async fn copy(mut self, mut stdout: Option<Client>, mut stderr: Option<Client>) -> io::Result<()> {
        while let Some((stream, bytes)) = self.next().await {
            let to = match stream {
                Stream::Stdout => &mut stdout,
                Stream::Stderr => &mut stderr,
            };
            if let Some(to) = to {
                let write = async {
                    to.write_all(&bytes).await?;
                    to.flush().await
                };
                tokio::time::timeout(PATIENCE, write).await??;
            }
        }
        for mut client in stdout.into_iter().chain(stderr) {
            tokio::time::timeout(PATIENCE, client.shutdown()).await??;
        }
        Ok(())
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.pieces.close();
        self.fan.inner.lock().wake();
    }
}

/// The output of a process that one client started: when the client has gone, so has the process's standard output.
impl Outlet for Fan {
    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_unread() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        self.poll_ready(cx).map(Ok)
    }

    fn put(&self, stream: Stream, bytes: &[u8]) {
        self.send(stream, bytes);
    }
}

/// What a process wrote, up to a bound; the rest is dropped.
pub(crate) struct Collected {
    bytes: Mutex<Vec<u8>>,
    most: usize,
}

impl Collected {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { bytes: Mutex::default(), most })
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock()).into_owned()
    }
}

impl LogSink for Collected {
    fn poll_write(&self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut all = self.bytes.lock();
        let room = self.most.saturating_sub(all.len());
        all.extend_from_slice(&bytes[..bytes.len().min(room)]);
        Poll::Ready(Ok(bytes.len()))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_reader_without_room_holds_the_writer_back_until_it_reads_or_goes() {
        let fan = Arc::new(Fan::default());
        assert!(fan.is_unread());
        let (mut one, two) = (fan.tap(), fan.tap());
        for _ in 0..PIECES {
            poll_fn(|cx| fan.poll_ready(cx)).await;
            fan.send(Stream::Stdout, b"x");
        }
        let waiter = tokio::spawn({
            let fan = fan.clone();
            async move { poll_fn(|cx| fan.poll_ready(cx)).await }
        });
        tokio::task::yield_now().await;
        assert_eq!(one.next().await, Some((Stream::Stdout, Bytes::from_static(b"x"))));
        assert!(poll_fn(|cx| fan.poll_ready(cx)).now_or_never().is_none(), "the other one has no room yet");
        drop(two);
        waiter.await.unwrap();
        fan.close();
        let mut left = 0;
        while one.next().await.is_some() {
            left += 1;
        }
        assert_eq!(left, PIECES - 1, "what was written before the end is read");
        assert_eq!(fan.tap().next().await, None);
    }

    #[tokio::test]
    async fn a_client_gets_what_it_has_streams_for() {
        let fan = Arc::new(Fan::default());
        let (client, mut got) = tokio::io::duplex(1024);
        let copied = tokio::spawn(fan.tap().copy(Some(Box::pin(client)), None));
        fan.send(Stream::Stdout, b"out");
        fan.send(Stream::Stderr, b"err");
        fan.close();
        copied.await.unwrap().unwrap();
        let mut text = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut got, &mut text).await.unwrap();
        assert_eq!(text, "out");
    }
}
