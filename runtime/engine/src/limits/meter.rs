use super::{CpuQuota, Ticker, Usage};
use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Sleep;

thread_local! {
    static BATCH: Cell<bool> = const { Cell::new(false) };
}

pub(crate) fn on_batch_thread() {
    BATCH.set(true);
}

/// Watches one instance. Counts its CPU time: what passes between the begin and the end of a poll of its future.
pub(crate) struct Meter {
    usage: Arc<Usage>,
    quota: Arc<CpuQuota>,
    ticker: Arc<Ticker>,
    /// What this instance used.
    total: AtomicU64,
    /// When the poll (or its part that is not yet counted) began.
    began: AtomicU64,
    /// The next poll, and the running one, count this thread's CPU time: the guest is under suspicion to compute for long.
    exact_next: AtomicBool,
    exact: AtomicBool,
    /// What was counted under suspicion.
    suspect: AtomicU64,
    /// The guest computes for long.
    heavy: AtomicBool,
    /// It was made to wait for its quota.
    throttled: AtomicBool,
    /// Memory was refused to it.
    refused: AtomicBool,
}

impl Meter {
    pub(crate) fn new(usage: Arc<Usage>, quota: Arc<CpuQuota>, ticker: Arc<Ticker>) -> Arc<Self> {
        Arc::new(Self {
            usage,
            quota,
            ticker,
            total: 0.into(),
            began: 0.into(),
            exact_next: false.into(),
            exact: false.into(),
            suspect: 0.into(),
            heavy: false.into(),
            throttled: false.into(),
            refused: false.into(),
        })
    }

    /// Whether the guest should go on elsewhere, so that others are not held up. Asked once.
    pub(crate) fn take_heavy(&self) -> bool {
        !BATCH.get() && self.heavy.load(Relaxed) && self.heavy.swap(false, Relaxed)
    }

    pub(crate) fn refuse_memory(&self) {
        self.refused.store(true, Relaxed);
    }

    /// Whether memory was ever refused: a trap after that is the container's running out of memory.
    pub(crate) fn memory_refused(&self) -> bool {
        self.refused.load(Relaxed)
    }

    /// Whether it was held back by its quota since this was asked last.
    pub(crate) fn take_throttled(&self) -> bool {
        self.throttled.swap(false, Relaxed)
    }

    /// CPU time of this instance, in nanoseconds.
    pub(crate) fn total(&self) -> u64 {
        self.total.load(Relaxed)
    }

    fn begin(&self) {
        self.ticker.wake();
        let exact = self.exact_next.load(Relaxed) && self.exact_next.swap(false, Relaxed);
        if self.exact.load(Relaxed) != exact {
            self.exact.store(exact, Relaxed);
            self.suspect.store(0, Relaxed);
        }
        self.began.store(self.now(), Relaxed);
    }

    fn count(&self) -> u64 {
        let now = self.now();
        let nanos = now.saturating_sub(self.began.swap(now, Relaxed));
        self.total.fetch_add(nanos, Relaxed);
        self.usage.add_cpu(nanos);
        self.quota.charge(nanos);
        nanos
    }

    /// At an epoch: counts, and says what the guest has to do before it may go on.
    ///
    /// A guest that was polled for most of a tick yields, and is watched by its thread's CPU time from then on: on a busy
    /// machine its thread may only have been kept waiting. One that really used most of a tick is to go elsewhere.
    pub(crate) fn at_epoch(&self, tick: Duration) -> AtEpoch {
        let (ran, much) = (self.count(), tick.as_nanos() as u64 / 2);
        let exact = self.exact.load(Relaxed);
        if !BATCH.get() && (exact || ran >= much) {
            self.exact_next.store(true, Relaxed);
            if exact && self.suspect.fetch_add(ran, Relaxed) + ran >= much {
                self.heavy.store(true, Relaxed);
            }
        }
        if let Some(wait) = self.quota.wait() {
            self.throttled.store(true, Relaxed);
            return AtEpoch::Sleep(wait);
        }
        if BATCH.get() || exact || ran >= much { AtEpoch::Yield } else { AtEpoch::GoOn }
    }

    /// CPU time of this thread where that matters, the (much cheaper) clock elsewhere.
    fn now(&self) -> u64 {
        let exact = BATCH.get() || self.exact.load(Relaxed);
        let t = rustix::time::clock_gettime(if exact { rustix::time::ClockId::ThreadCPUTime } else { rustix::time::ClockId::Monotonic });
        t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
    }
}

pub(crate) enum AtEpoch {
    GoOn,
    Yield,
    Sleep(Duration),
}

/// A guest's future with its time counted, held back while the quota is used up.
pub(crate) struct Metered<T> {
    meter: Arc<Meter>,
    waiting: Option<Pin<Box<Sleep>>>,
    future: Pin<Box<dyn Future<Output = T> + Send>>,
}

impl<T> Metered<T> {
    pub(crate) fn new(meter: Arc<Meter>, future: impl Future<Output = T> + Send + 'static) -> Self {
        Self { meter, waiting: None, future: Box::pin(future) }
    }

    pub(crate) fn meter(&self) -> &Meter {
        &self.meter
    }
}

impl<T> Future for Metered<T> {
    type Output = T;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let me = &mut *self;
        loop {
            if let Some(s) = &mut me.waiting {
                std::task::ready!(s.as_mut().poll(cx));
                me.waiting = None;
            }
            match me.meter.quota.wait() {
                Some(wait) => me.waiting = Some(Box::pin(tokio::time::sleep(wait))),
                None => break,
            }
        }
        me.meter.begin();
        let done = me.future.as_mut().poll(cx);
        me.meter.count();
        done
    }
}
