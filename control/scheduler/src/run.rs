//! The loop: what is watched goes into the snapshot and the queue; what is next is decided, assumed, and bound beside it.

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use futures::stream::FuturesUnordered;
use futures::{FutureExt, Stream, StreamExt};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use tokio_util::sync::CancellationToken;

use crate::framework::{Change, FitError, Framework};
use crate::node::Snapshot;
use crate::nominations::Nominations;
use crate::plugins;
use crate::pod::{PodInfo, has_ended};
use crate::preemption::Preemption;
use crate::queue::Queue;
use crate::report::{Nomination, Reporter};
use crate::surroundings::{News, Surroundings};

/// What may be configured.
#[derive(Clone, Debug)]
pub struct Options {
    /// Pods whose `spec.schedulerName` says this are ours; also the component of our Events.
    pub name: String,
    /// Writes at a time: bindings, and what is said of Pods that have no place.
    pub writes: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options { name: "default-scheduler".into(), writes: 64 }
    }
}

/// Why the scheduler ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A watch ended for good.
    #[error("the watch of {what} ended")]
    WatchEnded {
        /// Nodes or Pods.
        what: &'static str,
    },
}

/// Schedules until `token` is cancelled. The client's identity should be `system:kube-scheduler`.
///
/// Bindings that are under way when it is cancelled are given up; the next scheduler sees what came of them.
pub async fn run(client: Client, options: Options, token: CancellationToken) -> Result<(), RunError> {
    let nodes = watcher::watcher(Api::<Node>::all(client.clone()), watcher::Config::default()).default_backoff();
    let pods = watcher::watcher(Api::<Pod>::all(client.clone()), watcher::Config::default()).default_backoff();
    let around = Surroundings::watch(&client);
    let reporter = Arc::new(Reporter::new(client, options.name.clone()));
    let mut scheduler = Scheduler::new(options, reporter);
    tokio::select! {
        () = token.cancelled() => Ok(()),
        ended = scheduler.work(Box::pin(nodes), Box::pin(pods), Box::pin(around)) => Err(ended),
    }
}

type Around = Pin<Box<dyn Stream<Item = News> + Send>>;
type Watch<K> = Pin<Box<dyn Stream<Item = watcher::Result<Event<K>>> + Send>>;

/// What a write came to.
enum Written {
    Bound {
        uid: Arc<str>,
        node: String,
        result: Result<(), kube::Error>,
    },
    /// Those who could not be made to leave.
    Preempted {
        remain: Vec<Arc<PodInfo>>,
    },
    Said,
}

struct Scheduler {
    options: Options,
    reporter: Arc<Reporter>,
    snapshot: Snapshot,
    queue: Queue,
    framework: Framework,
    nominations: Nominations,
    /// uid → node of Pods that were given a node which the watch has not shown yet.
    assumed: HashMap<Arc<str>, String>,
    writes: FuturesUnordered<Pin<Box<dyn Future<Output = Written> + Send>>>,
    /// During a list: what it has shown.
    listed_nodes: Option<HashSet<String>>,
    listed_pods: Option<HashSet<String>>,
    /// The first lists are complete.
    ready: (bool, bool),
}

impl Scheduler {
    fn new(options: Options, reporter: Arc<Reporter>) -> Scheduler {
        Scheduler {
            options,
            reporter,
            snapshot: Snapshot::default(),
            queue: Queue::default(),
            framework: Framework::new(plugins::all()),
            nominations: Nominations::default(),
            assumed: HashMap::new(),
            writes: FuturesUnordered::new(),
            listed_nodes: None,
            listed_pods: None,
            ready: (false, false),
        }
    }

    async fn work(&mut self, mut nodes: Watch<Node>, mut pods: Watch<Pod>, mut around: Around) -> RunError {
        loop {
            // All that has happened first: a decision on old news is a worse one.
            while let Some(event) = nodes.next().now_or_never() {
                let Some(event) = event else { return RunError::WatchEnded { what: "Nodes" } };
                self.on_node(event);
            }
            while let Some(event) = pods.next().now_or_never() {
                let Some(event) = event else { return RunError::WatchEnded { what: "Pods" } };
                self.on_pod(event);
            }
            while let Some(news) = around.next().now_or_never() {
                let Some(news) = news else { return RunError::WatchEnded { what: "what is around" } };
                self.on_news(news);
            }
            if self.ready == (true, true) && self.snapshot.surroundings.ready() && self.writes.len() < self.options.writes && self.decide() {
                // The writes begun are moved on as well.
                while let Some(Some(written)) = self.writes.next().now_or_never() {
                    self.on_written(written);
                }
                tokio::task::yield_now().await;
                continue;
            }
            let due = self.queue.next_due();
            let sleep = async {
                match due {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                event = nodes.next() => match event {
                    Some(event) => self.on_node(event),
                    None => return RunError::WatchEnded { what: "Nodes" },
                },
                event = pods.next() => match event {
                    Some(event) => self.on_pod(event),
                    None => return RunError::WatchEnded { what: "Pods" },
                },
                news = around.next() => match news {
                    Some(news) => self.on_news(news),
                    None => return RunError::WatchEnded { what: "what is around" },
                },
                Some(written) = self.writes.next() => self.on_written(written),
                () = sleep => {}
            }
        }
    }

    fn on_node(&mut self, event: watcher::Result<Event<Node>>) {
        match event {
            Ok(Event::Init) => self.listed_nodes = Some(HashSet::new()),
            Ok(Event::InitApply(node)) => {
                if let Some(listed) = &mut self.listed_nodes {
                    listed.insert(node.metadata.name.clone().unwrap_or_default());
                }
                self.node(&node);
            }
            Ok(Event::InitDone) => {
                let listed = self.listed_nodes.take().unwrap_or_default();
                for name in self.snapshot.names() {
                    if !listed.contains(&*name) {
                        self.snapshot.remove_node(&name);
                    }
                }
                self.ready.0 = true;
            }
            Ok(Event::Apply(node)) => self.node(&node),
            Ok(Event::Delete(node)) => self.snapshot.remove_node(node.metadata.name.as_deref().unwrap_or_default()),
            Err(error) => tracing::warn!(%error, "watch of Nodes"),
        }
    }

    fn node(&mut self, node: &Node) {
        if self.snapshot.apply_node(node) {
            self.wake(Change::Node);
        }
    }

    fn on_news(&mut self, news: News) {
        if self.snapshot.surroundings.hear(news) {
            self.wake(Change::Namespace);
        }
    }

    fn on_pod(&mut self, event: watcher::Result<Event<Pod>>) {
        match event {
            Ok(Event::Init) => self.listed_pods = Some(HashSet::new()),
            Ok(Event::InitApply(pod)) => {
                if let Some(listed) = &mut self.listed_pods {
                    listed.insert(pod.metadata.uid.clone().unwrap_or_default());
                }
                self.pod(&pod);
            }
            Ok(Event::InitDone) => {
                let listed = self.listed_pods.take().unwrap_or_default();
                let known: Vec<Arc<str>> = self.snapshot.placed().cloned().chain(self.queue.known()).collect();
                for uid in known {
                    // What was assumed after the list was made is not in it; its binding tells.
                    if !listed.contains(&*uid) && !self.assumed.contains_key(&uid) {
                        self.gone(&uid);
                    }
                }
                self.ready.1 = true;
            }
            Ok(Event::Apply(pod)) => self.pod(&pod),
            Ok(Event::Delete(pod)) => self.gone(pod.metadata.uid.as_deref().unwrap_or_default()),
            Err(error) => tracing::warn!(%error, "watch of Pods"),
        }
    }

    fn pod(&mut self, pod: &Pod) {
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        if has_ended(pod) {
            return self.gone(uid);
        }
        let spec = pod.spec.as_ref();
        let node = spec.and_then(|s| s.node_name.as_deref()).unwrap_or("");
        if node.is_empty() {
            let ours = spec.and_then(|s| s.scheduler_name.as_deref()).unwrap_or("default-scheduler") == self.options.name;
            let gated = spec.and_then(|s| s.scheduling_gates.as_ref()).is_some_and(|gates| !gates.is_empty());
            if pod.metadata.deletion_timestamp.is_some() || gated || !ours {
                self.queue.remove(uid);
                self.nominations.clear(uid);
            } else if !self.assumed.contains_key(uid) {
                let info = PodInfo::of(pod);
                // What an earlier scheduler nominated.
                let nominated = pod.status.as_ref().and_then(|s| s.nominated_node_name.as_deref()).filter(|n| !n.is_empty());
                if let Some(node) = nominated.filter(|_| !self.ready.1) {
                    self.nominations.set(Arc::new(info.clone()), node);
                }
                self.queue.add(info, Instant::now());
            }
            return;
        }
        self.queue.remove(uid);
        self.assumed.remove(uid);
        self.nominations.clear(uid);
        let info = PodInfo::of(pod).placed();
        let before = self.snapshot.node(node).and_then(|n| n.pods.get(uid)).cloned();
        match before {
            Some(before) if *before == info => {}
            before => {
                // Since when it runs matters to nobody who waits.
                let same = before.is_some_and(|b| PodInfo { started: info.started, ..(*b).clone() } == info);
                self.snapshot.place(Arc::new(info), node);
                if !same {
                    self.wake(Change::PodPlaced);
                }
            }
        }
    }

    fn gone(&mut self, uid: &str) {
        self.queue.remove(uid);
        self.assumed.remove(uid);
        self.nominations.clear(uid);
        self.reporter.forget(uid);
        if self.snapshot.remove_pod(uid).is_some() {
            self.wake(Change::PodGone);
        }
    }

    fn wake(&mut self, change: Change) {
        let framework = &self.framework;
        // A Pod that no plugin refused waits for anything at all.
        self.queue.wake(|refused_by| refused_by.is_empty() || framework.wakes(refused_by, change), Instant::now());
    }

    /// Decides on one Pod; `false` when none is to be decided on.
    fn decide(&mut self) -> bool {
        let Some(pod) = self.queue.pop(Instant::now()) else { return false };
        let nominated = self.nominations.of(&pod.uid).map(str::to_owned);
        let guests = self.nominations.reserve(&mut self.snapshot, &pod);
        let mut decision = self.framework.schedule(&self.snapshot, &pod, nominated.as_deref());
        if let Ok(node) = &decision
            && !guests.is_empty()
        {
            // Nominated Pods may never come: what holds only with them does not hold.
            Nominations::release(&mut self.snapshot, &guests);
            if let Err(reasons) = self.framework.fits(&self.snapshot, &pod, node) {
                let reasons = reasons.into_iter().map(|reason| (reason, 1)).collect();
                decision = Err(FitError { nodes: self.snapshot.names().len(), reasons, ..FitError::default() });
            }
        }
        let decision = decision.map_err(|error| self.framework.preempt(&mut self.snapshot, &pod, nominated.as_deref(), error));
        Nominations::release(&mut self.snapshot, &guests);
        match decision {
            Ok(node) => self.assume(pod, node),
            Err((error, preemption)) => self.refuse(pod, error, preemption),
        }
        true
    }

    fn assume(&mut self, pod: Arc<PodInfo>, node: String) {
        self.nominations.clear(&pod.uid);
        self.snapshot.place(Arc::new((*pod).clone().placed()), &node);
        self.assumed.insert(pod.uid.clone(), node.clone());
        let reporter = self.reporter.clone();
        self.writes.push(Box::pin(async move {
            let result = reporter.bind(&pod, &node).await;
            if result.is_ok() {
                tracing::info!(pod = pod.full_name(), node, "Successfully bound pod to node");
                reporter.scheduled(&pod, &node).await;
            }
            Written::Bound { uid: pod.uid.clone(), node, result }
        }));
    }

    fn refuse(&mut self, pod: Arc<PodInfo>, error: FitError, preemption: Preemption) {
        tracing::info!(pod = pod.full_name(), err = %error, "Unable to schedule pod; no fit; waiting");
        let message = error.to_string();
        self.queue.unschedulable(&pod.uid, error.plugins, Instant::now());
        let nomination = match preemption {
            Preemption::Nobody { void: false, .. } => Nomination::Keep,
            Preemption::Nobody { void: true, .. } if self.nominations.of(&pod.uid).is_none() => Nomination::Keep,
            Preemption::Nobody { void: true, .. } => {
                self.nominations.clear(&pod.uid);
                Nomination::Clear
            }
            Preemption::Nominated { node, victims } => {
                self.nominations.displace(&node, pod.priority);
                self.nominations.set(pod.clone(), &node);
                self.make_leave(&pod, &node, victims);
                Nomination::Set(node)
            }
        };
        let reporter = self.reporter.clone();
        self.writes.push(Box::pin(async move {
            reporter.failed(&pod, "Unschedulable", &message, nomination).await;
            Written::Said
        }));
    }

    /// The victims count as leaving from now on: nobody is made to leave twice, and the Pod waits.
    fn make_leave(&mut self, pod: &Arc<PodInfo>, node: &str, victims: Vec<Arc<PodInfo>>) {
        for victim in &victims {
            self.snapshot.place(Arc::new(PodInfo { terminating: true, ..(**victim).clone() }), node);
        }
        let (reporter, pod, node) = (self.reporter.clone(), pod.clone(), node.to_owned());
        self.writes.push(Box::pin(async move {
            let mut remain = Vec::new();
            for victim in victims {
                tracing::info!(pod = victim.full_name(), preemptor = pod.full_name(), node, "Preempting pod");
                if let Err(error) = reporter.evict(&victim, &pod, &node).await {
                    tracing::warn!(pod = victim.full_name(), %error, "a Pod that should leave was not deleted");
                    remain.push(victim);
                }
            }
            Written::Preempted { remain }
        }));
    }

    fn on_written(&mut self, written: Written) {
        let (uid, node, error) = match written {
            Written::Bound { uid, node, result: Err(error) } => (uid, node, error),
            Written::Preempted { remain } => return self.stayed(remain),
            Written::Bound { .. } | Written::Said => return,
        };
        // The watch may have been quicker to tell what became of the Pod.
        if self.assumed.get(&uid) != Some(&node) {
            return;
        }
        self.assumed.remove(&uid);
        let pod = self.snapshot.remove_pod(&uid);
        self.wake(Change::PodGone);
        if matches!(&error, kube::Error::Api(status) if status.code == 404) {
            self.queue.remove(&uid);
            return;
        }
        self.queue.failed(&uid, Instant::now());
        if let Some(pod) = pod {
            tracing::warn!(namespace = pod.namespace, name = pod.name, node, %error, "binding refused");
            let reporter = self.reporter.clone();
            let message = format!("binding rejected: {error}");
            self.writes.push(Box::pin(async move {
                reporter.failed(&pod, "SchedulerError", &message, Nomination::Keep).await;
                Written::Said
            }));
        }
    }

    /// Pods that could not be made to leave stay as they were; whoever waits for them looks again.
    fn stayed(&mut self, remain: Vec<Arc<PodInfo>>) {
        for pod in remain {
            let Some(node) = self.snapshot.place_of(&pod.uid).map(str::to_owned) else { continue };
            self.snapshot.place(pod, &node);
            self.wake(Change::PodGone);
        }
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
