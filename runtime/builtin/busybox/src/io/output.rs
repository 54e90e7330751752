//! A process's standard output: buffered, and never held back while the process waits.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::Descriptor;
use crate::rt::Boxed;

/// What is gathered before it is written.
const BUFFER: usize = 16 << 10;

/// A descriptor with a buffer in front. What is in it leaves when it is full, when the process waits for anything (input,
/// time, network), and at its end.
#[derive(Clone)]
pub struct Output {
    descriptor: Descriptor,
    state: Rc<RefCell<State>>,
}

#[derive(Default)]
struct State {
    buffer: Vec<u8>,
    leaving: Option<Boxed<'static, io::Result<()>>>,
    /// The first error, for whoever writes next.
    failed: Option<io::Error>,
}

impl Output {
    /// Writes to this descriptor.
    pub fn new(descriptor: Descriptor) -> Output {
        Output { descriptor, state: Rc::default() }
    }

    /// Where it writes to. What is in the buffer was not written yet: [`Output::flush`] first.
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Writes; waits only when the buffer is full.
    pub async fn write(&self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let full = {
            let mut state = self.state.borrow_mut();
            if let Some(error) = state.failed.take() {
                return Err(error);
            }
            state.buffer.extend_from_slice(bytes.as_ref());
            state.buffer.len() >= BUFFER
        };
        if full { self.flush().await } else { Ok(()) }
    }

    /// Writes all that is in the buffer.
    pub async fn flush(&self) -> io::Result<()> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state.borrow_mut();
        loop {
            if state.leaving.is_none() {
                if let Some(error) = state.failed.take() {
                    return Poll::Ready(Err(error));
                }
                if state.buffer.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                let (descriptor, bytes) = (self.descriptor.clone(), std::mem::take(&mut state.buffer));
                state.leaving = Some(Box::pin(async move { descriptor.write_all(&bytes).await }));
            }
            let Some(leaving) = &mut state.leaving else { continue };
            let written = ready!(leaving.as_mut().poll(cx));
            state.leaving = None;
            state.failed = written.err();
        }
    }

    /// Writes what the process left in the buffer while it waits; an error shows at its next write.
    pub(crate) fn drain(&self, cx: &mut Context<'_>) {
        if let Poll::Ready(Err(error)) = self.poll_flush(cx) {
            self.state.borrow_mut().failed = Some(error);
        }
    }
}
