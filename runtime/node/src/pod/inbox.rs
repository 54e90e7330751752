//! How a worker is told things: the newest Pod replaces the one before, messages queue. Bounded by the number of the Pod's containers.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use parking_lot::Mutex;
use tokio::sync::Notify;
use wharf_rest::Kept;

use super::create::{Created, Failure};
use crate::probes::{ProbeKind, Report};

/// A worker's letter box.
#[derive(Default)]
pub(crate) struct Inbox {
    inner: Mutex<Letters>,
    arrived: Notify,
}

/// What arrived since the last look.
#[derive(Default)]
pub(crate) struct Letters {
    /// The Pod, as the API has it now.
    pub(crate) pod: Option<Arc<Kept<Pod>>>,
    /// The API has it no more; once true, in all letters.
    pub(crate) gone: bool,
    /// The node stops.
    pub(crate) shutdown: bool,
    /// What volumes are filled from has changed.
    pub(crate) changed: bool,
    pub(crate) messages: Vec<Message>,
}

/// What the Pod's tasks have to say. `run` numbers the starts of a container: messages of an earlier start are stale.
pub(crate) enum Message {
    /// Address, folders and volumes are there, or why not.
    Prepared(Result<(), super::prepare::Unprepared>),
    /// Volumes were brought up to date, or as far as could be.
    Refreshed(bool),
    /// A container was started, or not.
    Created { container: String, run: u64, result: Box<Result<Created, Failure>> },
    /// A container's preStop hook is over: it may be ended, within so much time.
    Stopping { container: String, run: u64, grace: Duration },
    /// A container ended: exit code, reason and message.
    Ended { container: String, run: u64, code: i32, reason: String, message: Option<String> },
    /// Requests of a `wasi:http` container failed for lack of memory or by traps: how many in all, and the last one's words.
    Faults { container: String, run: u64, out_of_memory: u64, traps: u64, words: Option<String> },
    /// A probe was answered.
    Probed { container: String, run: u64, kind: ProbeKind, report: Report },
    /// The Pod is deleted from the API (or was not there any more).
    Deleted(Result<(), String>),
    /// The worker is to panic.
    #[cfg(test)]
    Panic,
}

impl Inbox {
    pub(crate) fn pod(&self, pod: Arc<Kept<Pod>>) {
        self.inner.lock().pod = Some(pod);
        self.arrived.notify_one();
    }

    pub(crate) fn gone(&self) {
        self.inner.lock().gone = true;
        self.arrived.notify_one();
    }

    pub(crate) fn shutdown(&self) {
        self.inner.lock().shutdown = true;
        self.arrived.notify_one();
    }

    pub(crate) fn changed(&self) {
        self.inner.lock().changed = true;
        self.arrived.notify_one();
    }

    pub(crate) fn send(&self, message: Message) {
        self.inner.lock().messages.push(message);
        self.arrived.notify_one();
    }

    /// Everything that arrived.
    pub(crate) fn take(&self) -> Letters {
        let mut inner = self.inner.lock();
        let gone = inner.gone;
        std::mem::replace(&mut inner, Letters { gone, ..Letters::default() })
    }

    /// Waits for something to arrive.
    pub(crate) async fn arrived(&self) {
        self.arrived.notified().await;
    }
}
