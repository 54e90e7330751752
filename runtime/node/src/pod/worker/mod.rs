//! The worker of one Pod: reads what arrived, plans ([`super::sync`]), performs, writes the status; then waits.
//!
//! Everything that takes time runs in tasks of its own, which report to the inbox; so a Pod that is being pulled can be deleted.

mod act;
mod hear;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use tokio::task::JoinHandle;
use tokio_util::sync::DropGuard;
use wharf_image::Image;
use wharf_rest::Kept;

use super::context::{PodContext, View};
use super::create::Running;
use super::door::Door;
use super::inbox::Inbox;
use super::record::PodRecord;
use super::report::Reporter;
use super::status::status;
use super::sync::{Activities, World, sync};
use super::{prepare, stop};
use crate::backoff::Backoff;
use crate::volumes::changes::Following;

/// When volumes are brought up to date again that could not be, and how often though nothing is known to have changed.
const REFRESH: SignedDuration = SignedDuration::from_secs(60);
const SELDOM: SignedDuration = SignedDuration::from_secs(900);
/// How long containers may drain when the node stops.
const SHUTDOWN: Duration = Duration::from_secs(5);
/// How long nothing has to go on with a Pod until it rests.
const CALM: Duration = Duration::from_secs(2);

/// What a worker has in the place of a Pod that rests.
static NOTHING: LazyLock<Arc<Pod>> = LazyLock::new(Arc::default);

/// A Pod's worker.
pub(crate) struct Worker {
    context: Arc<PodContext>,
    inbox: Arc<Inbox>,
    /// While it is awake.
    pod: Arc<Pod>,
    kept: Arc<Kept<Pod>>,
    /// Shared with `saved` while it is the same.
    record: Arc<PodRecord>,
    /// The record as it is on disk and as the kubelet API shows it.
    saved: Arc<PodRecord>,
    slots: HashMap<String, Box<Slot>>,
    activity: Activities,
    restarts: Backoff,
    pulls: Backoff,
    prepared: bool,
    preparing: Option<Task>,
    prepare_at: Option<Timestamp>,
    prepare_failures: u32,
    refresh_at: Option<Timestamp>,
    refreshing: Option<Task>,
    /// What volumes are filled from has changed since.
    outdated: bool,
    /// Changes of what its volumes are filled from.
    following: Option<Following>,
    released: bool,
    gone: bool,
    deleting: Option<Task>,
    delete_at: Option<Timestamp>,
    done: bool,
    /// `pod` is not to be read.
    rests: bool,
    reporter: Reporter,
}

/// What goes on with one container.
#[derive(Default)]
struct Slot {
    run: u64,
    creating: Option<Task>,
    /// The image of the spec that it is being started with.
    image: String,
    /// What it was started with the last time: not to be removed while it may be started again.
    held: Option<Arc<Image>>,
    live: Option<Live>,
    /// When `ErrImagePull` becomes `ImagePullBackOff`.
    flip_at: Option<Timestamp>,
}

/// A container that runs.
struct Live {
    running: Running,
    door: Arc<Door>,
    /// Whoever came in through the door leaves with the container.
    _ended: DropGuard,
    message_file: Option<PathBuf>,
    probers: Vec<Task>,
    stopping: Option<(Duration, Task)>,
    _watcher: Task,
}

/// A task that ends with its owner.
struct Task(JoinHandle<()>);

impl Task {
    fn spawn(future: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(future))
    }
}

/// A task's result, or the words of its panic: who waits for its message must not wait for ever.
async fn unpanicked<T>(future: impl Future<Output = T>) -> Result<T, String> {
    let result = std::panic::AssertUnwindSafe(future).catch_unwind().await;
    result.map_err(|panic| {
        let words = panic.downcast_ref::<&str>().map(|words| (*words).to_owned()).or_else(|| panic.downcast_ref::<String>().cloned());
        format!("internal error: {}", words.unwrap_or_else(|| "panic".to_owned()))
    })
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Worker {
    /// For a Pod, with what an earlier process remembered of it.
    pub(crate) fn new(context: Arc<PodContext>, inbox: Arc<Inbox>, kept: Arc<Kept<Pod>>, record: Option<PodRecord>) -> Self {
        let mut record = record.unwrap_or_default();
        record.namespace.clone_from(&context.namespace);
        record.name.clone_from(&context.name);
        Self {
            context,
            inbox,
            pod: kept.wake(),
            kept,
            record: Arc::new(record),
            saved: Arc::default(),
            slots: HashMap::new(),
            activity: Activities::new(),
            restarts: Backoff::default(),
            pulls: Backoff::default(),
            prepared: false,
            preparing: None,
            prepare_at: None,
            prepare_failures: 0,
            refresh_at: None,
            refreshing: None,
            outdated: false,
            following: None,
            released: false,
            gone: false,
            deleting: None,
            delete_at: None,
            done: false,
            rests: false,
            reporter: Reporter::default(),
        }
    }

    /// Works until the Pod is gone or the node stops.
    pub(crate) async fn run(mut self: Box<Self>) {
        loop {
            let letters = self.inbox.take();
            if letters.shutdown {
                return Box::pin((*self).shutdown()).await;
            }
            self.read(letters);
            let wake = self.step();
            if self.done {
                return self.clean();
            }
            self.wait(wake).await;
        }
    }

    /// Waits for something to do, by `wake` at the latest. When nothing comes for a while, the Pod rests meanwhile.
    async fn wait(&mut self, wake: Option<Timestamp>) {
        let mut calm = std::pin::pin!(tokio::time::sleep(CALM));
        loop {
            let sleep = async {
                match wake {
                    Some(at) => tokio::time::sleep(Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.inbox.arrived() => break,
                () = self.reporter.wait() => break,
                () = sleep => break,
                () = &mut calm, if !self.rests => {}
            }
            self.rests = true;
            self.kept.rest(&self.context.node.pods_at_rest, Instant::now());
            self.pod = NOTHING.clone();
        }
        if std::mem::take(&mut self.rests) {
            self.pod = self.kept.wake();
        }
    }

    /// Plans and performs; says when to look again.
    fn step(&mut self) -> Option<Timestamp> {
        let now = Timestamp::now();
        if self.record.started_at.is_none() {
            self.record_mut().started_at = Some(now);
        }
        // An ended Pod of which this node remembers nothing: another process ran it.
        let foreign = self.record.containers.is_empty() && self.record.verdict.is_none() && is_terminal(&self.pod);
        let ending = self.gone || self.pod.metadata.deletion_timestamp.is_some();
        if ending || self.record.verdict.is_some() {
            self.give_up_starts();
        }
        let mut wake = None;
        // A verdict changes the plan at once.
        for _ in 0..2 {
            let verdict = self.record.verdict.is_some();
            if foreign && !ending {
                break;
            }
            let plan = sync(&World { pod: &self.pod, record: &self.record, activity: &self.activity, prepared: self.prepared, ending, now });
            wake = plan.wake;
            for action in plan.actions {
                self.perform(action, ending, foreign, now);
            }
            if verdict == self.record.verdict.is_some() {
                break;
            }
        }
        self.flip(now);
        self.refresh(now, ending);
        self.save();
        if !foreign && !self.gone {
            let wanted = status(&self.pod, &self.record, &self.activity, self.prepared, self.context.node.config.address.into(), now);
            self.reporter.report(&self.context, &self.pod, &wanted, now);
        }
        let flips = self.slots.values().filter_map(|s| s.flip_at);
        let refresh_at = self.refresh_at.filter(|_| self.refreshing.is_none());
        let own = [self.prepare_at, refresh_at, self.delete_at, self.reporter.retry_at()];
        own.into_iter().flatten().chain(flips).chain(wake).min()
    }

    /// What is still being pulled, configured or started is not waited for: a registry may take for ever. What a task has brought about by now
    /// ends with it, and its message is one of an earlier run.
    fn give_up_starts(&mut self) {
        for (name, slot) in &mut self.slots {
            if slot.creating.take().is_some() {
                slot.run += 1;
                slot.flip_at = None;
                if let Some(activity) = self.activity.get_mut(name) {
                    activity.busy = false;
                }
            }
        }
    }

    /// Writes the record to disk if it changed, and shows it to the kubelet API.
    fn save(&mut self) {
        if self.saved == self.record {
            self.record = self.saved.clone();
        } else {
            self.saved = self.record.clone();
            if let Err(error) = write_record(&self.context.dir(), &self.record) {
                tracing::warn!(namespace = self.context.namespace, name = self.context.name, %error, "the record of a Pod cannot be written");
            }
        }
        let doors = self.slots.iter().filter_map(|(n, s)| s.live.as_ref().map(|l| (n.clone(), l.door.clone()))).collect();
        self.context.view.store(Arc::new(View { pod: Some(self.kept.clone()), record: self.saved.clone(), doors }));
    }

    /// The record, to be changed.
    fn record_mut(&mut self) -> &mut PodRecord {
        Arc::make_mut(&mut self.record)
    }

    /// Forgets the Pod.
    fn clean(self: Box<Self>) {
        self.context.node.dismiss(&self.context.uid);
        if let (Some(ip), Some(ipam)) = (self.record.ip, self.context.node.ipam.get()) {
            ipam.release(ip, &self.context.uid);
        }
        let (context, dir) = (self.context.clone(), self.context.dir());
        drop(self);
        tokio::task::spawn_blocking(move || {
            let _ = std::fs::remove_dir_all(dir);
            context.node.logs.remove_pod(&context.log_dir());
        });
    }

    /// The node stops: containers end, the Pod stays. The record still says that they ran, so that the next process starts them again.
    async fn shutdown(mut self) {
        let mut ends = vec![];
        for slot in self.slots.values_mut() {
            slot.creating = None;
            let Some(live) = &mut slot.live else { continue };
            match &mut live.running {
                Running::Command(command) => {
                    let command = command.clone();
                    ends.push(Box::pin(async move { stop::command(command.clone(), SHUTDOWN).await }) as std::pin::Pin<Box<dyn Future<Output = ()> + Send>>);
                }
                Running::Native(native) => ends.push(Box::pin(native.clone().shutdown(SHUTDOWN))),
                Running::Http(container, server) => {
                    server.close();
                    let container = container.clone();
                    ends.push(Box::pin(async move {
                        stop::http(container, SHUTDOWN).await;
                    }));
                }
            }
        }
        futures::future::join_all(ends).await;
        for slot in self.slots.values() {
            if let Some(live) = &slot.live {
                self.context.node.logs.end(&live.door.log);
            }
        }
    }
}

fn is_terminal(pod: &Pod) -> bool {
    matches!(pod.status.as_ref().and_then(|s| s.phase.as_deref()), Some("Succeeded" | "Failed"))
}

fn after(now: Timestamp, wait: SignedDuration) -> Option<Timestamp> {
    now.checked_add(wait).ok()
}

/// After a time and up to a quarter more, so that not all Pods come at once.
fn jittered(now: Timestamp, wait: SignedDuration) -> Option<Timestamp> {
    after(now, wait + SignedDuration::from_millis(rand::random_range(0..i64::try_from(wait.as_millis() / 4).unwrap_or(1))))
}

fn write_record(dir: &Path, record: &PodRecord) -> std::io::Result<()> {
    prepare::private_dir(dir)?;
    let (file, fresh) = (dir.join("state.json"), dir.join("state.json.new"));
    std::fs::write(&fresh, serde_json::to_vec(record)?)?;
    std::fs::rename(fresh, file)
}

/// Reads a Pod's record.
pub(crate) fn read_record(dir: &Path) -> Option<PodRecord> {
    serde_json::from_slice(&std::fs::read(dir.join("state.json")).ok()?).ok()
}
