use super::{Batch, Meter, Metered};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio_util::task::AbortOnDropHandle;

/// How long a guest is watched before it may come back from the threads for long computations,
const CALM: Duration = Duration::from_secs(1);
/// and which part of that time it may have computed: one in so many.
const CALM_SHARE: u32 = 5;

/// A guest at work: in the task that polls this, until it computes for a whole tick; then on the threads for long
/// computations, until it is calm again. Dropping it ends the guest.
pub(crate) enum Guest<T> {
    /// Polled here.
    Here(Metered<T>),
    /// Polled on its own.
    Away(AbortOnDropHandle<Back<T>>),
    /// On the way from here to there.
    Moving,
}

/// The guest is gone without a result: it panicked in the host, or the runtime is shutting down.
#[derive(Debug)]
pub(crate) struct Lost(pub(crate) String);

impl<T: Send + 'static> Guest<T> {
    pub(crate) fn new(meter: Arc<Meter>, future: impl Future<Output = T> + Send + 'static) -> Self {
        Guest::Here(Metered::new(meter, future))
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, batch: &Batch) -> Poll<Result<T, Lost>> {
        loop {
            match self {
                Guest::Here(f) => match Pin::new(&mut *f).poll(cx) {
                    Poll::Ready(t) => return Poll::Ready(Ok(t)),
                    Poll::Pending if !f.meter().take_heavy() => return Poll::Pending,
                    Poll::Pending => {
                        let Some(batch) = batch.handle() else { return Poll::Pending };
                        if let Guest::Here(f) = std::mem::replace(self, Guest::Moving) {
                            *self = Guest::Away(AbortOnDropHandle::new(batch.spawn(Watched::new(f))));
                        }
                    }
                },
                Guest::Away(task) => match std::task::ready!(Pin::new(task).poll(cx)) {
                    Ok(Back::Done(t)) => return Poll::Ready(Ok(t)),
                    Ok(Back::Calm(f)) => *self = Guest::Here(f),
                    Err(e) => return Poll::Ready(Err(Lost(e.to_string()))),
                },
                Guest::Moving => return Poll::Pending,
            }
        }
    }
}

/// How a guest comes back.
pub(crate) enum Back<T> {
    /// It is done.
    Done(T),
    /// It waits more than it computes.
    Calm(Metered<T>),
}

/// A guest on the threads for long computations.
struct Watched<T> {
    guest: Option<Metered<T>>,
    since: Instant,
    used: u64,
}

impl<T> Watched<T> {
    fn new(guest: Metered<T>) -> Self {
        Self { used: guest.meter().total(), guest: Some(guest), since: Instant::now() }
    }
}

impl<T> Future for Watched<T> {
    type Output = Back<T>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Back<T>> {
        let me = &mut *self;
        let Some(guest) = &mut me.guest else { return Poll::Pending };
        if let Poll::Ready(t) = Pin::new(&mut *guest).poll(cx) {
            return Poll::Ready(Back::Done(t));
        }
        let time = me.since.elapsed();
        if time < CALM {
            return Poll::Pending;
        }
        let (meter, before) = (guest.meter(), me.used);
        (me.since, me.used) = (Instant::now(), meter.total());
        // One that waits only because its quota is used up is not calm.
        let calm = Duration::from_nanos(me.used - before) < time / CALM_SHARE && !meter.take_throttled();
        match me.guest.take_if(|_| calm) {
            Some(guest) => Poll::Ready(Back::Calm(guest)),
            None => Poll::Pending,
        }
    }
}
