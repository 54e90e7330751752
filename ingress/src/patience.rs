//! How long others may keep the Ingress waiting: a client that takes nothing, a tunnel in which nothing moves, an endpoint that says nothing.

use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::Sleep;

/// What a tunnel carries at a time, each way.
const PART: usize = 16 << 10;

/// When something moved the last time.
pub(crate) struct Activity {
    began: Instant,
    /// Milliseconds after `began`.
    last: AtomicU64,
    /// Somebody else keeps us waiting, and is watched elsewhere.
    excused: AtomicBool,
    /// While something is sent, this long may nothing move; in milliseconds, 0 once it is sent.
    sending: AtomicU64,
}

impl Activity {
    pub(crate) fn new() -> Activity {
        Activity { began: Instant::now(), last: AtomicU64::new(0), excused: AtomicBool::new(false), sending: AtomicU64::new(0) }
    }

    /// Something is sent, whose every part has to be taken within this time.
    pub(crate) fn sending(within: Duration) -> Activity {
        let sending = AtomicU64::new(within.as_millis() as u64);
        Activity { sending, ..Activity::new() }
    }

    /// It is sent: from here on the other side's time counts.
    pub(crate) fn sent(&self) {
        self.sending.store(0, Ordering::Relaxed);
        self.now();
    }

    pub(crate) fn now(&self) {
        self.last.store(self.began.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    pub(crate) fn excuse(&self, excused: bool) {
        self.excused.store(excused, Ordering::Relaxed);
    }

    fn left(&self, of: Duration) -> Duration {
        let of = match self.sending.load(Ordering::Relaxed) {
            0 => of,
            within => Duration::from_millis(within),
        };
        if self.excused.load(Ordering::Relaxed) {
            return of;
        }
        let idle = self.began.elapsed().saturating_sub(Duration::from_millis(self.last.load(Ordering::Relaxed)));
        of.saturating_sub(idle)
    }

    /// Ends when nothing has moved for so long.
    async fn idle(&self, within: Duration) {
        loop {
            match self.left(within) {
                Duration::ZERO => return,
                left => tokio::time::sleep(left).await,
            }
        }
    }
}

/// Waits for a future as long as something moves; `None`: nothing has for too long.
pub(crate) async fn patiently<T>(within: Duration, activity: Option<&Activity>, future: impl Future<Output = T>) -> Option<T> {
    let Some(activity) = activity else { return tokio::time::timeout(within, future).await.ok() };
    activity.now();
    tokio::select! {
        biased;
        done = future => Some(done),
        () = activity.idle(within) => None,
    }
}

/// Carries bytes both ways until both sides have ended, one breaks, or nothing moves for too long.
pub(crate) async fn tunnel(a: impl AsyncRead + AsyncWrite, b: impl AsyncRead + AsyncWrite, within: Duration) {
    let activity = Activity::new();
    let ((from_a, to_a), (from_b, to_b)) = (tokio::io::split(a), tokio::io::split(b));
    let both = async { tokio::try_join!(carry(from_a, to_b, &activity), carry(from_b, to_a, &activity)) };
    tokio::select! {
        ended = both => if let Err(error) = ended { tracing::trace!(%error, "a tunnel broke") },
        () = activity.idle(within) => tracing::debug!("a tunnel is closed: nothing moved in it"),
    }
}

async fn carry(from: impl AsyncRead, to: impl AsyncWrite, activity: &Activity) -> io::Result<()> {
    let (mut from, mut to) = (pin!(from), pin!(to));
    let mut part = vec![0; PART];
    loop {
        let length = from.read(&mut part).await?;
        activity.now();
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&part[..length]).await?;
        to.flush().await?;
        activity.now();
    }
}

/// A stream whose other side must take what is written, in time: who reads nothing must not hold a connection (and a guest) for ever.
pub(crate) struct Impatient<S> {
    stream: S,
    within: Duration,
    /// Made only when a write has to wait.
    sleep: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

impl<S> Impatient<S> {
    pub(crate) fn new(stream: S, within: Duration) -> Impatient<S> {
        Impatient { stream, within, sleep: None, waiting: false }
    }

    fn watched<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = false;
            return written;
        }
        let deadline = tokio::time::Instant::now() + self.within;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if !std::mem::replace(&mut self.waiting, true) {
            sleep.as_mut().reset(deadline);
        }
        ready!(sleep.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Impatient<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Impatient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watched(cx, written)
    }
    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.watched(cx, written)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.watched(cx, flushed)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.watched(cx, ended)
    }
}
