//! What `&` starts.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use crate::rt::Task;
use crate::signals::{self, Delivered, Inbox};

thread_local! {
    /// Those that have not ended, by their numbers: whoever knows a number may send it a signal.
    static RUNNING: RefCell<BTreeMap<u32, Job>> = const { RefCell::new(BTreeMap::new()) };
}

/// Sends a signal to a process of the container, whoever started it; false when there is none of that number.
pub fn send(pid: u32, signal: i32) -> bool {
    let job = RUNNING.with_borrow(|running| running.get(&pid).cloned());
    let shell = signals::shell(pid);
    if signal == 0 {
        // Only whether it is there.
        return pid == 1 || job.is_some() || shell.is_some();
    }
    match (job, shell) {
        _ if pid == 1 => signals::deliver_to_root(signal),
        (Some(job), _) => return job.signal(signal),
        (None, Some(inbox)) => inbox.send(signal),
        (None, None) => return false,
    }
    true
}

/// A job: shared by the shell and its subshells.
#[derive(Clone)]
pub struct Job(Rc<State>);

struct State {
    pid: u32,
    signals: Rc<Inbox>,
    status: Cell<Option<i32>>,
    /// The signal that ended it.
    killed: Cell<Option<i32>>,
    task: RefCell<Option<Task<()>>>,
    waiting: RefCell<Vec<Waker>>,
}

impl Job {
    /// Starts a job.
    pub fn start(signals: Rc<Inbox>, work: impl Future<Output = i32> + 'static) -> Job {
        let pid = signals::new_pid();
        let job = Job(Rc::new(State { pid, signals, status: Cell::new(None), killed: Cell::new(None), task: RefCell::default(), waiting: RefCell::default() }));
        let weak = Rc::downgrade(&job.0);
        let task = crate::rt::spawn(async move {
            let status = work.await;
            if let Some(state) = weak.upgrade() {
                Job(state).end(status);
            }
        });
        *job.0.task.borrow_mut() = Some(task);
        RUNNING.with_borrow_mut(|running| running.insert(pid, job.clone()));
        job
    }

    pub fn pid(&self) -> u32 {
        self.0.pid
    }

    pub fn status(&self) -> Option<i32> {
        self.0.status.get()
    }

    /// What is told of a job that a signal ended.
    pub fn obituary(&self) -> Option<&'static str> {
        Some(match self.0.killed.get()? {
            signals::HUP => "Hangup",
            signals::QUIT => "Quit",
            signals::KILL => "Killed",
            signals::TERM => "Terminated",
            _ => return None,
        })
    }

    fn end(&self, status: i32) {
        let _ = RUNNING.with_borrow_mut(|running| running.remove(&self.pid()));
        self.0.status.set(Some(self.0.status.get().unwrap_or(status)));
        self.0.waiting.borrow_mut().drain(..).for_each(Waker::wake);
    }

    /// Waits for its end.
    pub async fn wait(&self) -> i32 {
        poll_fn(|cx| {
            if let Some(status) = self.status() {
                return Poll::Ready(status);
            }
            let mut waiting = self.0.waiting.borrow_mut();
            if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                waiting.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await
    }

    /// Sends it a signal; false when it is no more.
    fn signal(&self, signal: i32) -> bool {
        if self.status().is_some() {
            return false;
        }
        let harmless = matches!(signals::name(signal), Some("EXIT" | "CHLD" | "CONT" | "URG" | "WINCH"));
        if !harmless && self.0.signals.deliver(signal) == Delivered::Fatal {
            let task = self.0.task.borrow_mut().take();
            self.0.killed.set(Some(signal));
            self.end(128 + signal);
            drop(task);
        }
        true
    }
}

impl Drop for State {
    /// It may be its own task that lets go of it last.
    fn drop(&mut self) {
        if let Some(task) = self.task.borrow_mut().take() {
            task.detach();
        }
    }
}
