//! Tasks over `wasi:io/poll`: one thread, no locks.
//!
//! A future waits for a [`Pollable`] with [`ready`]; everything else (pipes, [`Task`]s) wakes through ordinary wakers.
//! Dropping a future, or a [`Task`], cancels what it was doing.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use wasip2::clocks::monotonic_clock;
use wasip2::io::poll::{Pollable, poll};

/// A future in a box.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Polls of tasks between two looks at the pollables, so that a task that never waits starves nobody.
const TURNS: u32 = 128;

thread_local! {
    static RUNTIME: Runtime = const { Runtime::new() };
}

struct Runtime {
    next: Cell<u64>,
    /// `None` while the task is being polled.
    tasks: RefCell<BTreeMap<u64, Option<(Boxed<'static, ()>, Waker)>>>,
    awake: RefCell<VecDeque<u64>>,
    waiting: RefCell<BTreeMap<u64, (Rc<Pollable>, Waker)>>,
}

impl Runtime {
    const fn new() -> Runtime {
        Runtime { next: Cell::new(0), tasks: RefCell::new(BTreeMap::new()), awake: RefCell::new(VecDeque::new()), waiting: RefCell::new(BTreeMap::new()) }
    }

    fn number(&self) -> u64 {
        self.next.set(self.next.get() + 1);
        self.next.get()
    }

    fn start(&self, future: Boxed<'static, ()>) -> u64 {
        let id = self.number();
        let waker = Waker::from(Arc::new(TaskWaker(id)));
        waker.wake_by_ref();
        self.tasks.borrow_mut().insert(id, Some((future, waker)));
        id
    }

    /// Polls one task that was woken; false where none was.
    fn turn(&self) -> bool {
        let Some(id) = self.awake.borrow_mut().pop_front() else { return false };
        let Some((mut future, waker)) = self.tasks.borrow_mut().get_mut(&id).and_then(Option::take) else { return true };
        let done = future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        let mut tasks = self.tasks.borrow_mut();
        let ended = if done { tasks.remove(&id) } else { None };
        match tasks.get_mut(&id) {
            Some(slot) => *slot = Some((future, waker)),
            None => {
                // What a future drops may cancel other tasks.
                drop(tasks);
                drop(ended);
                drop(future);
            }
        }
        true
    }

    /// Wakes those whose pollable is ready; `patient` waits for the first.
    fn look(&self, patient: bool) {
        let mut waiting: Vec<(u64, Rc<Pollable>)> = self.waiting.borrow().iter().map(|(id, (pollable, _))| (*id, pollable.clone())).collect();
        if waiting.is_empty() {
            return;
        }
        if !patient {
            waiting.push((0, Rc::new(monotonic_clock::subscribe_duration(0))));
        }
        let ready = poll(&waiting.iter().map(|(_, pollable)| &**pollable).collect::<Vec<_>>());
        for index in ready {
            if let Some((_, waker)) = self.waiting.borrow_mut().remove(&waiting[index as usize].0) {
                waker.wake();
            }
        }
    }
}

struct TaskWaker(u64);

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let _ = RUNTIME.try_with(|runtime| {
            let mut awake = runtime.awake.borrow_mut();
            // Once is enough: so there are at most as many entries as tasks.
            if !awake.contains(&self.0) {
                awake.push_back(self.0);
            }
        });
    }
}

/// Runs a future to its end, and with it every task.
pub fn block_on<T: 'static>(future: impl Future<Output = T> + 'static) -> T {
    let main = spawn(future);
    RUNTIME.with(|runtime| {
        let mut turns = 0;
        loop {
            if let Some(value) = main.take() {
                return value;
            }
            if !runtime.turn() {
                if runtime.waiting.borrow().is_empty() {
                    // Nobody is left who could wake the main task: two ends of pipes that wait for each other.
                    wasip2::cli::exit::exit_with_code(141);
                }
                runtime.look(true);
                turns = 0;
            } else if turns >= TURNS {
                runtime.look(false);
                turns = 0;
            } else {
                turns += 1;
            }
        }
    })
}

/// A task: dropping it cancels it.
pub struct Task<T> {
    id: u64,
    done: Rc<RefCell<Done<T>>>,
}

struct Done<T> {
    value: Option<T>,
    waker: Option<Waker>,
}

/// Starts a task.
pub fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> Task<T> {
    let done = Rc::new(RefCell::new(Done { value: None, waker: None }));
    let to = done.clone();
    let id = RUNTIME.with(|runtime| {
        runtime.start(Box::pin(async move {
            let value = future.await;
            let mut done = to.borrow_mut();
            done.value = Some(value);
            if let Some(waker) = done.waker.take() {
                waker.wake();
            }
        }))
    });
    Task { id, done }
}

impl<T> Task<T> {
    fn take(&self) -> Option<T> {
        self.done.borrow_mut().value.take()
    }

    /// Whether it came to its end.
    pub fn is_done(&self) -> bool {
        self.done.borrow().value.is_some()
    }

    /// Lets it run to its end on its own.
    pub fn detach(mut self) {
        self.id = 0;
    }
}

impl<T> Future for Task<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let mut done = self.done.borrow_mut();
        match done.value.take() {
            Some(value) => Poll::Ready(value),
            None => {
                done.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if self.id != 0 {
            let ended = RUNTIME.try_with(|runtime| runtime.tasks.borrow_mut().remove(&self.id));
            drop(ended);
        }
    }
}

/// Waits until a pollable is ready.
pub async fn ready(pollable: Pollable) {
    struct Waiting {
        pollable: Rc<Pollable>,
        id: u64,
    }
    impl Drop for Waiting {
        fn drop(&mut self) {
            let _ = RUNTIME.try_with(|runtime| runtime.waiting.borrow_mut().remove(&self.id));
        }
    }
    let waiting = Waiting { pollable: Rc::new(pollable), id: RUNTIME.with(Runtime::number) };
    let mut registered = false;
    poll_fn(|cx| {
        RUNTIME.with(|runtime| {
            let mut all = runtime.waiting.borrow_mut();
            if registered && !all.contains_key(&waiting.id) {
                return Poll::Ready(());
            }
            registered = true;
            all.insert(waiting.id, (waiting.pollable.clone(), cx.waker().clone()));
            Poll::Pending
        })
    })
    .await
}

/// Waits for a while.
pub async fn sleep(duration: Duration) {
    ready(monotonic_clock::subscribe_duration(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))).await;
}

/// Lets the other tasks run.
pub async fn pause() {
    let mut paused = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut paused, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

/// What came first; the other is cancelled.
pub enum Either<A, B> {
    /// The first future's value.
    Left(A),
    /// The second one's.
    Right(B),
}

/// Runs two futures until one of them is done; the first one is asked first.
pub async fn select<A, B>(left: impl Future<Output = A>, right: impl Future<Output = B>) -> Either<A, B> {
    let (mut left, mut right) = (pin!(left), pin!(right));
    poll_fn(|cx| {
        if let Poll::Ready(value) = left.as_mut().poll(cx) {
            return Poll::Ready(Either::Left(value));
        }
        right.as_mut().poll(cx).map(Either::Right)
    })
    .await
}

/// Runs two futures, both to their ends.
pub async fn join<A, B>(left: impl Future<Output = A>, right: impl Future<Output = B>) -> (A, B) {
    let (mut left, mut right) = (pin!(left), pin!(right));
    let (mut a, mut b) = (None, None);
    poll_fn(|cx| {
        if a.is_none()
            && let Poll::Ready(value) = left.as_mut().poll(cx)
        {
            a = Some(value);
        }
        if b.is_none()
            && let Poll::Ready(value) = right.as_mut().poll(cx)
        {
            b = Some(value);
        }
        match (a.take(), b.take()) {
            (Some(left), Some(right)) => Poll::Ready((left, right)),
            (left, right) => {
                (a, b) = (left, right);
                Poll::Pending
            }
        }
    })
    .await
}

/// A future's value, or `None` when it took too long (and was cancelled).
pub async fn timeout<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    match select(future, sleep(limit)).await {
        Either::Left(value) => Some(value),
        Either::Right(()) => None,
    }
}
