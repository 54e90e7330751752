//! Signals: what the container is sent, and what `kill` sends to a shell's own jobs.
//!
//! A process has an [`Inbox`]. What it does not catch or ignore ends it: the component's own process with 128 + the
//! signal's number, as the kernel would.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};

pub const HUP: i32 = 1;
pub const INT: i32 = 2;
pub const QUIT: i32 = 3;
pub const KILL: i32 = 9;
pub const TERM: i32 = 15;
pub const STOP: i32 = 19;

const NAMES: &[(&str, i32)] = &[
    ("EXIT", 0),
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("POLL", 29),
    ("PWR", 30),
    ("SYS", 31),
];

/// `TERM`, `SIGTERM`, `term` or `15`.
pub fn number(name: &str) -> Option<i32> {
    if let Ok(number) = name.parse() {
        return (0..=64).contains(&number).then_some(number);
    }
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("SIG").unwrap_or(&upper);
    NAMES.iter().find(|(known, _)| *known == short).map(|(_, number)| *number)
}

/// `TERM`.
pub fn name(number: i32) -> Option<&'static str> {
    NAMES.iter().find(|(_, known)| *known == number).map(|(name, _)| *name)
}

/// Names with their numbers, from 1 on.
pub fn all() -> impl Iterator<Item = (&'static str, i32)> {
    NAMES.iter().skip(1).copied()
}

/// What became of a signal.
#[derive(Debug, PartialEq, Eq)]
pub enum Delivered {
    /// Nobody wanted it: the process ends.
    Fatal,
    Ignored,
    Caught,
}

impl State {
    fn wait(&mut self, waker: &Waker) {
        if !self.waiting.iter().any(|other| other.will_wake(waker)) {
            self.waiting.push(waker.clone());
        }
    }
}

/// The signals of one process.
#[derive(Default)]
pub struct Inbox(RefCell<State>);

#[derive(Default)]
struct State {
    /// Those that are caught (`true`) or ignored.
    actions: BTreeMap<i32, bool>,
    /// Each signal at most once.
    pending: VecDeque<i32>,
    waiting: Vec<Waker>,
    /// The signal that ends the process.
    fatal: Option<i32>,
}

impl Inbox {
    pub fn catch(&self, signal: i32) {
        self.0.borrow_mut().actions.insert(signal, true);
    }

    pub fn ignore(&self, signal: i32) {
        self.0.borrow_mut().actions.insert(signal, false);
    }

    /// Lets it do what it does when nobody asked.
    pub fn reset(&self, signal: i32) {
        self.0.borrow_mut().actions.remove(&signal);
    }

    /// What another program inherits: ignored signals stay so.
    pub fn reset_caught(&self) {
        self.0.borrow_mut().actions.retain(|_, caught| !*caught);
    }

    /// An inbox for a new process that inherits from this one.
    pub fn inherited(&self) -> Rc<Inbox> {
        let actions = self.0.borrow().actions.iter().filter(|(_, caught)| !**caught).map(|(signal, _)| (*signal, false)).collect();
        Rc::new(Inbox(RefCell::new(State { actions, ..State::default() })))
    }

    pub fn deliver(&self, signal: i32) -> Delivered {
        let mut state = self.0.borrow_mut();
        if matches!(signal, KILL | STOP) {
            return Delivered::Fatal;
        }
        match state.actions.get(&signal) {
            None => Delivered::Fatal,
            Some(false) => Delivered::Ignored,
            Some(true) => {
                if !state.pending.contains(&signal) {
                    state.pending.push_back(signal);
                }
                state.waiting.drain(..).for_each(Waker::wake);
                Delivered::Caught
            }
        }
    }

    /// Delivers a signal and ends the process if nobody wants it.
    pub fn send(&self, signal: i32) {
        let harmless = matches!(name(signal), Some("CHLD" | "CONT" | "URG" | "WINCH" | "EXIT"));
        if self.deliver(signal) == Delivered::Fatal && !harmless {
            let mut state = self.0.borrow_mut();
            state.fatal = Some(signal);
            state.waiting.drain(..).for_each(Waker::wake);
        }
    }

    /// Waits for a signal that ends the process.
    pub async fn killed(&self) -> i32 {
        poll_fn(|cx| {
            let mut state = self.0.borrow_mut();
            if let Some(signal) = state.fatal {
                return Poll::Ready(signal);
            }
            state.wait(cx.waker());
            Poll::Pending
        })
        .await
    }

    /// The oldest signal that was caught and not taken yet.
    pub fn take(&self) -> Option<i32> {
        self.0.borrow_mut().pending.pop_front()
    }

    /// The same, and it stays.
    pub fn first(&self) -> Option<i32> {
        self.0.borrow().pending.front().copied()
    }

    pub fn has_pending(&self) -> bool {
        !self.0.borrow().pending.is_empty()
    }

    /// Waits until a signal is there to be taken.
    pub async fn caught(&self) {
        poll_fn(|cx| {
            let mut state = self.0.borrow_mut();
            if !state.pending.is_empty() {
                return Poll::Ready(());
            }
            state.wait(cx.waker());
            Poll::Pending
        })
        .await
    }
}

thread_local! {
    static ROOT: Rc<Inbox> = Rc::default();
    /// Number of the next process. The component's own process is 1.
    static NEXT: Cell<u32> = const { Cell::new(2) };
    /// Shells other than the first, by their numbers.
    static SHELLS: RefCell<BTreeMap<u32, Weak<Inbox>>> = const { RefCell::new(BTreeMap::new()) };
}

/// The number that the next process gets.
pub fn next_pid() -> u32 {
    NEXT.with(Cell::get)
}

/// A number for a new process.
pub fn new_pid() -> u32 {
    NEXT.with(|next| next.replace(next.get().wrapping_add(1).max(2)))
}

/// The number of a shell; from now on it is found by it.
pub fn register(inbox: &Rc<Inbox>) -> u32 {
    if Rc::ptr_eq(inbox, &root()) {
        return 1;
    }
    let pid = new_pid();
    SHELLS.with_borrow_mut(|shells| {
        shells.retain(|_, inbox| inbox.strong_count() > 0);
        shells.insert(pid, Rc::downgrade(inbox));
    });
    pid
}

/// The signals of a shell.
pub fn shell(pid: u32) -> Option<Rc<Inbox>> {
    SHELLS.with_borrow(|shells| shells.get(&pid).and_then(Weak::upgrade))
}

/// The inbox of the component's own process: what the container is sent arrives here.
pub fn root() -> Rc<Inbox> {
    ROOT.with(Rc::clone)
}

/// Delivers a signal to the component's own process.
pub fn deliver_to_root(signal: i32) {
    let harmless = matches!(name(signal), Some("CHLD" | "CONT" | "URG" | "WINCH" | "EXIT"));
    if root().deliver(signal) == Delivered::Fatal && !harmless {
        wasip2::cli::exit::exit_with_code((128 + signal) as u8);
    }
}

/// Takes the container's signals, from now on.
pub fn watch() {
    crate::rt::spawn(lifecycle::watch()).detach();
}

mod lifecycle {
    use crate::container::lifecycle::{Signal, subscribe, take_signal};

    pub(super) async fn watch() {
        loop {
            crate::rt::ready(subscribe()).await;
            while let Some(signal) = take_signal() {
                super::deliver_to_root(match signal {
                    Signal::Hangup => super::HUP,
                    Signal::Interrupt => super::INT,
                    Signal::Quit => super::QUIT,
                    Signal::Terminate => super::TERM,
                    Signal::WindowChange => super::number("WINCH").unwrap_or_default(),
                });
            }
        }
    }
}
