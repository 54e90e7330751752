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
use tokio::task::{self, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::backoff;
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
    pod: Arc<Pod>,
    /// Workers of it that panicked.
    panics: u32,
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
                    for (_, entry) in self.workers.read().iter().filter(|(uid, _)| !listed.contains(*uid)) {
                        entry.inbox.gone();
                    }
                    self.forget(std::mem::take(&mut remembered));
                }
                Some(Ok(Event::Apply(pod))) => self.apply(pod, &mut remembered, &mut tasks),
                Some(Ok(Event::Delete(pod))) => {
                    if let Some(entry) = self.workers.read().get(pod.metadata.uid.as_deref().unwrap_or_default()) {
                        entry.inbox.gone();
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
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let pod = Arc::new(pod);
        if let Some(entry) = self.workers.write().get_mut(&uid) {
            entry.pod = pod.clone();
            return entry.inbox.pod(pod);
        }
        let record = remembered.remove(&uid);
        self.begin(uid, pod, record, 0, tasks);
    }

    fn begin(&self, uid: String, pod: Arc<Pod>, record: Option<PodRecord>, panics: u32, tasks: &mut Tasks) -> Arc<Inbox> {
        let context = Arc::new(PodContext::new(self.node.clone(), &pod));
        let inbox = Arc::new(Inbox::default());
        let worker = Worker::new(context.clone(), inbox.clone(), pod.clone(), record);
        self.workers.write().insert(uid.clone(), Entry { inbox: inbox.clone(), context, pod, panics });
        // Whatever makes a worker panic may do so again.
        let pause = match panics {
            0 | 1 => Duration::ZERO,
            n => backoff::INITIAL.saturating_mul(1 << (n - 2).min(16)).min(backoff::MAX),
        };
        let token = tasks.token.clone();
        tasks.spawn(uid, async move {
            token.run_until_cancelled(tokio::time::sleep(pause)).await;
            worker.run().await;
        });
        inbox
    }

    /// A worker panicked, and its containers ended with it: another one takes the Pod up, as after a restart of the node.
    fn replace(&self, uid: &str, error: &JoinError, tasks: &mut Tasks) {
        let Some(Entry { inbox, context, pod, panics }) = self.workers.write().remove(uid) else { return };
        tracing::error!(%error, namespace = context.namespace, name = context.name, uid, panics, "the worker of a Pod failed");
        let mut record = read_record(&context.dir);
        if let Some(record) = &mut record {
            record.recover(Timestamp::now());
        }
        let next = self.begin(uid.to_owned(), pod, record, panics.saturating_add(1), tasks);
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
