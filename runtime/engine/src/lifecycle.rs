//! `wharf:container/lifecycle`: signals that a guest takes itself, and the size of its terminal.
//!
//! Bound by hand, as guests may name any WASI 0.2 for the pollable.

use crate::Signal;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::Notify;
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, Lower, Resource, ResourceTable};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

/// The interface, as guests import it.
pub(crate) const INTERFACE: &str = "wharf:container/lifecycle@0.1.0";

/// The size of a terminal, in characters; 0 where it is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(record)]
pub struct TerminalSize {
    /// Characters in a line.
    #[component(name = "columns")]
    pub columns: u16,
    /// Lines.
    #[component(name = "rows")]
    pub rows: u16,
}

/// The interface's signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
enum Queued {
    #[component(name = "hangup")]
    Hangup,
    #[component(name = "interrupt")]
    Interrupt,
    #[component(name = "quit")]
    Quit,
    #[component(name = "terminate")]
    Terminate,
    #[component(name = "window-change")]
    WindowChange,
}

/// A container's signals and terminal, shared by the guest and who holds its [`crate::Command`].
#[derive(Default)]
pub(crate) struct Lifecycle {
    inner: Mutex<Inner>,
    arrived: Notify,
}

#[derive(Default)]
struct Inner {
    /// As POSIX has it: of each signal, one at most is pending.
    pending: VecDeque<Queued>,
    terminal: Option<TerminalSize>,
}

impl Lifecycle {
    pub(crate) fn new(terminal: Option<TerminalSize>) -> Arc<Self> {
        Arc::new(Self { inner: Mutex::new(Inner { terminal, ..Inner::default() }), arrived: Notify::new() })
    }

    /// Queues a signal. Whether it is one that a guest can take.
    pub(crate) fn signal(&self, signal: Signal) -> bool {
        self.queue(match signal {
            Signal::Hup => Queued::Hangup,
            Signal::Int => Queued::Interrupt,
            Signal::Quit => Queued::Quit,
            Signal::Term => Queued::Terminate,
            Signal::Kill => return false,
        });
        true
    }

    /// The terminal's new size; tells the guest if it is another. No effect without a terminal.
    pub(crate) fn resize(&self, size: TerminalSize) {
        if self.inner.lock().terminal.as_mut().is_some_and(|now| std::mem::replace(now, size) != size) {
            self.queue(Queued::WindowChange);
        }
    }

    fn queue(&self, signal: Queued) {
        let mut inner = self.inner.lock();
        if !inner.pending.contains(&signal) {
            inner.pending.push_back(signal);
        }
        drop(inner);
        self.arrived.notify_waiters();
    }

    async fn arrived(&self) {
        loop {
            let arrived = self.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            if !self.inner.lock().pending.is_empty() {
                return;
            }
            arrived.await;
        }
    }
}

/// What a guest waits on.
struct Waiting(Arc<Lifecycle>);

#[async_trait::async_trait]
impl Pollable for Waiting {
    async fn ready(&mut self) {
        self.0.arrived().await;
    }
}

/// What a store's data must offer.
pub(crate) trait LifecycleView: 'static {
    fn lifecycle(&mut self) -> (&Arc<Lifecycle>, &mut ResourceTable);
}

pub(crate) fn add_to_linker<T: LifecycleView>(l: &mut Linker<T>) -> wasmtime::Result<()> {
    let mut i = l.instance(INTERFACE)?;
    i.func_wrap("take-signal", |mut s: StoreContextMut<'_, T>, (): ()| Ok((s.data_mut().lifecycle().0.inner.lock().pending.pop_front(),)))?;
    i.func_wrap("subscribe", |mut s: StoreContextMut<'_, T>, (): ()| {
        let (lifecycle, table) = s.data_mut().lifecycle();
        let waiting = table.push(Waiting(lifecycle.clone()))?;
        let pollable: Resource<DynPollable> = subscribe(table, waiting)?;
        Ok((pollable,))
    })?;
    i.func_wrap("terminal", |mut s: StoreContextMut<'_, T>, (): ()| Ok((s.data_mut().lifecycle().0.inner.lock().terminal,)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    #[tokio::test]
    async fn of_each_signal_one_is_pending() {
        let l = Lifecycle::new(Some(TerminalSize::default()));
        assert!(l.arrived().now_or_never().is_none());
        let waiter = tokio::spawn({
            let l = l.clone();
            async move { l.arrived().await }
        });
        let size = TerminalSize { columns: 80, rows: 24 };
        assert!(l.signal(Signal::Term) && l.signal(Signal::Int) && l.signal(Signal::Term));
        assert!(!l.signal(Signal::Kill));
        l.resize(size);
        l.resize(size);
        waiter.await.unwrap();
        let inner = l.inner.lock();
        assert_eq!(inner.pending, [Queued::Terminate, Queued::Interrupt, Queued::WindowChange]);
        assert_eq!(inner.terminal, Some(size));
        let none = Lifecycle::new(None);
        none.resize(size);
        let none = none.inner.lock();
        assert_eq!((none.terminal, none.pending.len()), (None, 0));
    }
}
