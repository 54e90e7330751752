//! A pipe in memory: as many bytes as Linux gives one, then its writer waits.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::{Descriptor, Kind};

const CAPACITY: usize = 64 << 10;

/// A new pipe: its end for reading and its end for writing.
pub fn pipe() -> (Descriptor, Descriptor) {
    let shared = Rc::new(RefCell::new(Shared { bytes: VecDeque::new(), readable: true, writable: true, waiting: Vec::new() }));
    (Descriptor::new(Kind::Reader(Reader(shared.clone()))), Descriptor::new(Kind::Writer(Writer(shared))))
}

struct Shared {
    bytes: VecDeque<u8>,
    /// There is somebody to read.
    readable: bool,
    /// There is somebody to write.
    writable: bool,
    /// At most one for each task.
    waiting: Vec<Waker>,
}

impl Shared {
    fn wake(&mut self) {
        self.waiting.drain(..).for_each(Waker::wake);
    }

    fn wait(&mut self, waker: &Waker) {
        if !self.waiting.iter().any(|other| other.will_wake(waker)) {
            self.waiting.push(waker.clone());
        }
    }
}

/// The end for reading; there is one, shared by clones of its [`Descriptor`].
pub(super) struct Reader(Rc<RefCell<Shared>>);

impl Reader {
    pub(super) async fn read(&self, max: usize) -> Vec<u8> {
        poll_fn(|cx| {
            let mut shared = self.0.borrow_mut();
            if !shared.bytes.is_empty() {
                let count = max.min(shared.bytes.len());
                let bytes = shared.bytes.drain(..count).collect();
                shared.wake();
                return Poll::Ready(bytes);
            }
            if !shared.writable {
                return Poll::Ready(Vec::new());
            }
            shared.wait(cx.waker());
            Poll::Pending
        })
        .await
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut shared = self.0.borrow_mut();
        shared.readable = false;
        shared.bytes = VecDeque::new();
        shared.wake();
    }
}

/// The end for writing.
pub(super) struct Writer(Rc<RefCell<Shared>>);

impl Writer {
    pub(super) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        poll_fn(|cx| {
            let mut shared = self.0.borrow_mut();
            if !shared.readable {
                return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
            }
            let room = CAPACITY - shared.bytes.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            if !now.is_empty() {
                shared.bytes.extend(now);
                shared.wake();
            }
            bytes = later;
            if bytes.is_empty() {
                return Poll::Ready(Ok(()));
            }
            shared.wait(cx.waker());
            Poll::Pending
        })
        .await
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let mut shared = self.0.borrow_mut();
        shared.writable = false;
        shared.wake();
    }
}
