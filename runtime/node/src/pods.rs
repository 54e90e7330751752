//! The Pods of this node, from the API to one worker each.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use parking_lot::RwLock;
use tokio::sync::watch;
use tokio::task::{self, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use wharf_rest::Kept;

use crate::backoff;
use crate::mirror::{self, Seen};
use crate::pod::context::{PodContext, Shared};
use crate::pod::inbox::Inbox;
use crate::pod::record::PodRecord;
use crate::pod::worker::{Worker, read_record};

/// All Pods that have a worker.
pub(crate) struct Pods {
    node: Arc<Shared>,
    workers: RwLock<HashMap<String, Entry>>,
}

struct Entry {
    inbox: Arc<Inbox>,
    context: Arc<PodContext>,
    /// As the API had it the last time.
    pod: Arc<Kept<Pod>>,
    /// Workers of it that panicked.
    panics: u32,
    /// A static Pod's: what the API has in its mirror's place.
    mirror: Option<watch::Sender<Seen>>,
}

impl Entry {
    /// Whether it is a static Pod in whose place a Pod of the API stands.
    fn is_mirrored_by(&self, pod: &Pod) -> bool {
        let (namespace, name) = (pod.metadata.namespace.as_ref(), pod.metadata.name.as_ref());
        self.mirror.is_some() && namespace == Some(&self.context.namespace) && name == Some(&self.context.name)
    }

    /// A static Pod has no mirror, unless it has another one than those that are `gone`.
    fn unmirrored(&self, gone: impl Fn(&str) -> bool) {
        let Some(seen) = &self.mirror else { return };
        let stays = matches!(&*seen.borrow(), Seen::There(mirror) if !gone(mirror.metadata.uid.as_deref().unwrap_or_default()));
        if !stays {
            self.context.object.store(None);
            seen.send_replace(Seen::Absent);
        }
    }
}

/// The workers' tasks.
struct Tasks {
    running: JoinSet<()>,
    /// The node stops.
    token: CancellationToken,
    /// The Pods' uids.
    uids: HashMap<task::Id, String>,
}

impl Tasks {
    fn spawn(&mut self, uid: String, work: impl Future<Output = ()> + Send + 'static) {
        let id = self.running.spawn(work).id();
        self.uids.insert(id, uid);
    }

    /// The next one that ended, and how.
    async fn next(&mut self) -> Option<(String, Result<(), JoinError>)> {
        let (id, ended) = match self.running.join_next_with_id().await? {
            Ok((id, ())) => (id, Ok(())),
            Err(error) => (error.id(), Err(error)),
        };
        Some((self.uids.remove(&id).unwrap_or_default(), ended))
    }
}

impl Pods {
    pub(crate) fn new(node: Arc<Shared>) -> Arc<Self> {
        Arc::new(Self { node, workers: RwLock::default() })
    }

    /// What the kubelet API shows.
    pub(crate) fn contexts(&self) -> Vec<Arc<PodContext>> {
        self.workers.read().values().map(|e| e.context.clone()).collect()
    }

    /// The Pod of that name; the newest, should one with the same name still be ending.
    pub(crate) fn find(&self, namespace: &str, name: &str) -> Option<Arc<PodContext>> {
        let workers = self.workers.read();
        let named = workers.values().map(|e| &e.context).filter(|c| c.namespace == namespace && c.name == name);
        named.max_by_key(|c| c.view.load().record.started_at).cloned()
    }

    /// Follows the API until `token` is cancelled; then ends all containers.
    pub(crate) async fn run(&self, token: CancellationToken) {
        let mut remembered = self.remembered();
        self.claim(&remembered);
        let mut tasks = Tasks { running: JoinSet::new(), token: token.clone(), uids: HashMap::new() };
        for pod in self.node.config.static_pods.clone() {
            self.begin_static(pod, &mut remembered, &mut tasks);
        }
        let api: kube::Api<Pod> = kube::Api::all(self.node.config.client.clone());
        let config = watcher::Config::default().fields(&format!("spec.nodeName={}", self.node.config.name)).streaming_lists();
        let mut events = std::pin::pin!(watcher::watcher(api, config).default_backoff());
        let mut listed = HashSet::new();
        loop {
            let event = tokio::select! {
                () = token.cancelled() => break,
                Some((uid, ended)) = tasks.next(), if !tasks.running.is_empty() => {
                    match ended {
                        Ok(()) => drop(self.workers.write().remove(&uid)),
                        Err(error) => self.replace(&uid, &error, &mut tasks),
                    }
                    continue;
                }
                event = events.next() => event,
            };
            match event {
                Some(Ok(Event::Init)) => listed.clear(),
                Some(Ok(Event::InitApply(pod))) => {
                    listed.insert(pod.metadata.uid.clone().unwrap_or_default());
                    self.apply(pod, &mut remembered, &mut tasks);
                }
                Some(Ok(Event::InitDone)) => {
                    for (uid, entry) in self.workers.read().iter() {
                        if entry.mirror.is_some() {
                            entry.unmirrored(|mirror| !listed.contains(mirror));
                        } else if !listed.contains(uid) {
                            entry.inbox.gone();
                        }
                    }
                    self.forget(std::mem::take(&mut remembered));
                }
                Some(Ok(Event::Apply(pod))) => self.apply(pod, &mut remembered, &mut tasks),
                Some(Ok(Event::Delete(pod))) => {
                    let workers = self.workers.read();
                    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
                    if mirror::shows(&pod).is_none() {
                        workers.get(uid).iter().for_each(|entry| entry.inbox.gone());
                    } else if let Some(entry) = workers.values().find(|e| e.is_mirrored_by(&pod)) {
                        entry.unmirrored(|mirror| mirror == uid);
                    }
                }
                Some(Err(error)) => tracing::debug!(node = self.node.config.name, %error, "watching Pods"),
                None => break,
            }
        }
        self.workers.read().values().for_each(|entry| entry.inbox.shutdown());
        while tasks.next().await.is_some() {}
        self.workers.write().clear();
    }

    fn apply(&self, mut pod: Pod, remembered: &mut HashMap<String, PodRecord>, tasks: &mut Tasks) {
        // Nobody here reads them, and they are half of an object's memory.
        pod.metadata.managed_fields = None;
        if mirror::shows(&pod).is_some() {
            return self.apply_mirror(Arc::new(pod), tasks);
        }
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let pod = Arc::new(Kept::new(Arc::new(pod)));
        if let Some(entry) = self.workers.write().get_mut(&uid) {
            entry.pod = pod.clone();
            return entry.inbox.pod(pod);
        }
        let record = remembered.remove(&uid);
        self.begin(uid, pod, None, record, 0, tasks);
    }

    /// Runs a static Pod, and shows it.
    fn begin_static(&self, pod: Pod, remembered: &mut HashMap<String, PodRecord>, tasks: &mut Tasks) {
        let pod = Arc::new(mirror::static_pod(pod, &self.node.config.name, Timestamp::now()));
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let record = remembered.remove(&uid);
        let (seen, looks) = watch::channel(Seen::Unknown);
        self.begin(uid, Arc::new(Kept::new(pod.clone())), Some(seen), record, 0, tasks);
        tasks.spawn(String::new(), mirror::keep(self.node.clone(), pod, looks, tasks.token.clone()));
    }

    /// A mirror in the API: the static Pod that it shows, if there is one, has its status from there.
    fn apply_mirror(&self, mirror: Arc<Pod>, tasks: &mut Tasks) {
        let mut workers = self.workers.write();
        let Some(entry) = workers.values_mut().find(|e| e.is_mirrored_by(&mirror)) else {
            tracing::info!(namespace = mirror.metadata.namespace, name = mirror.metadata.name, "Trying to delete orphaned mirror pod");
            let (node, token) = (self.node.clone(), tasks.token.clone());
            tasks.spawn(String::new(), async move {
                let _ = token.run_until_cancelled(mirror::delete(&node, &mirror)).await;
            });
            return;
        };
        if mirror::shows(&mirror) == Some(&entry.context.uid) {
            entry.pod = Arc::new(Kept::new(Arc::new(mirror::with_status(&entry.pod.look(), &mirror))));
            entry.context.object.store(mirror.metadata.uid.clone().map(Arc::new));
            entry.inbox.pod(entry.pod.clone());
        }
        if let Some(seen) = &entry.mirror {
            seen.send_replace(Seen::There(mirror));
        }
    }

    fn begin(
        &self,
        uid: String,
        pod: Arc<Kept<Pod>>,
        mirror: Option<watch::Sender<Seen>>,
        record: Option<PodRecord>,
        panics: u32,
        tasks: &mut Tasks,
    ) -> Arc<Inbox> {
        let context = Arc::new(PodContext::new(self.node.clone(), &pod.look()));
        if let Some(seen) = &mirror {
            let object = if let Seen::There(mirror) = &*seen.borrow() { mirror.metadata.uid.clone() } else { None };
            context.object.store(object.map(Arc::new));
        }
        let inbox = Arc::new(Inbox::default());
        // In a piece of memory of its own, for a future has room for what it moves more than once.
        let worker = Box::new(Worker::new(context.clone(), inbox.clone(), pod.clone(), record));
        self.workers.write().insert(uid.clone(), Entry { inbox: inbox.clone(), context, pod, panics, mirror });
        // Whatever makes a worker panic may do so again.
        let pause = match panics {
            0 | 1 => Duration::ZERO,
            n => backoff::INITIAL.saturating_mul(1 << (n - 2).min(16)).min(backoff::MAX),
        };
        let token = tasks.token.clone();
        tasks.spawn(uid, async move {
            if !pause.is_zero() {
                Box::pin(token.run_until_cancelled(tokio::time::sleep(pause))).await;
            }
            worker.run().await;
        });
        inbox
    }

    /// A worker panicked, and its containers ended with it: another one takes the Pod up, as after a restart of the node.
    fn replace(&self, uid: &str, error: &JoinError, tasks: &mut Tasks) {
        let Some(Entry { inbox, context, pod, panics, mirror }) = self.workers.write().remove(uid) else { return };
        tracing::error!(%error, namespace = context.namespace, name = context.name, uid, panics, "the worker of a Pod failed");
        let mut record = read_record(&context.dir());
        if let Some(record) = &mut record {
            record.recover(Timestamp::now());
        }
        let next = self.begin(uid.to_owned(), pod, mirror, record, panics.saturating_add(1), tasks);
        let unread = inbox.take();
        if unread.gone {
            next.gone();
        }
    }

    /// The records that an earlier process left.
    fn remembered(&self) -> HashMap<String, PodRecord> {
        let now = Timestamp::now();
        let dir = std::fs::read_dir(self.node.config.data_dir.join("pods"));
        let records = dir.into_iter().flatten().flatten().filter_map(|entry| {
            let uid = entry.file_name().into_string().ok()?;
            // One that cannot be read is still a Pod's folder, to be cleaned up.
            let mut record = read_record(&entry.path()).unwrap_or_default();
            record.recover(now);
            Some((uid, record))
        });
        records.collect()
    }

    /// Keeps the addresses that Pods had before, so that a Pod which is new does not get one that another, listed later, comes back for.
    fn claim(&self, remembered: &HashMap<String, PodRecord>) {
        let Some(ipam) = self.node.ipam.get() else { return };
        for (uid, record) in remembered {
            if let Some(ip) = record.ip.filter(|_| !record.released) {
                ipam.claim(ip, uid);
            }
        }
    }

    /// Cleans up after Pods that were deleted while no process ran.
    fn forget(&self, orphans: HashMap<String, PodRecord>) {
        for (uid, record) in orphans {
            let (dir, node) = (self.node.pod_dir(&uid), self.node.clone());
            if let (Some(ip), Some(ipam)) = (record.ip, node.ipam.get()) {
                ipam.release(ip, &uid);
            }
            tracing::info!(namespace = record.namespace, name = record.name, uid, "cleaning up after a Pod that is gone");
            tokio::task::spawn_blocking(move || {
                let _ = std::fs::remove_dir_all(dir);
                if !record.name.is_empty() {
                    node.logs.remove_pod(&node.logs.pod_dir(&record.namespace, &record.name, &uid));
                }
            });
        }
    }
}

#[cfg(test)]
mod tests;
