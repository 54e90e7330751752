//! What the scheduler knows beside nodes and Pods: labels of namespaces, disruption budgets, and the selectors of what
//! Pods belong to. Only what matters of each is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::pin::Pin;

use futures::stream::select_all;
use futures::{Stream, StreamExt};
use k8s_openapi::api::apps::v1::{ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{Namespace, ReplicationController, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelectorRequirement;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use wharf_rest::Pairs;

use crate::pod::PodInfo;

/// A PodDisruptionBudget, as preemption sees it.
#[derive(Clone, Debug, Default)]
pub struct Budget {
    /// `spec.selector`
    pub selector: LabelSelector,
    /// `status.disruptionsAllowed`
    pub allowed: i32,
    /// Names in `status.disruptedPods`: Pods that are counted already.
    pub disrupted: BTreeSet<String>,
}

/// A selector, of which there are as many as there are controllers.
#[derive(Clone, Debug)]
struct Selecting {
    /// `matchLabels`
    equal: Pairs,
    /// `matchExpressions`
    expressions: Box<[LabelSelectorRequirement]>,
}

impl Selecting {
    fn of(selector: LabelSelector) -> Selecting {
        Selecting { equal: selector.match_labels.as_ref().into(), expressions: selector.match_expressions.unwrap_or_default().into() }
    }
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    namespaces: Known<Pairs>,
    budgets: Known<Budget>,
    services: Known<Pairs>,
    replication_controllers: Known<Pairs>,
    replica_sets: Known<Selecting>,
    stateful_sets: Known<Selecting>,
}

/// Something was seen.
#[expect(clippy::large_enum_variant, reason = "one at a time, on its way from a watch")]
pub(crate) enum News {
    Namespace(Event<Namespace>),
    Budget(Event<PodDisruptionBudget>),
    Service(Event<Service>),
    ReplicationController(Event<ReplicationController>),
    ReplicaSet(Event<ReplicaSet>),
    StatefulSet(Event<StatefulSet>),
    Failed(&'static str, watcher::Error),
}

impl Surroundings {
    /// Watches all of it.
    pub(crate) fn watch(client: &Client) -> impl Stream<Item = News> + Send + use<> {
        select_all([
            told(client, "Namespaces", News::Namespace),
            told(client, "PodDisruptionBudgets", News::Budget),
            told(client, "Services", News::Service),
            told(client, "ReplicationControllers", News::ReplicationController),
            told(client, "ReplicaSets", News::ReplicaSet),
            told(client, "StatefulSets", News::StatefulSet),
        ])
    }

    /// Takes in what was seen; whether labels of a namespace are others now.
    pub(crate) fn hear(&mut self, news: News) -> bool {
        match news {
            News::Namespace(event) => return self.namespaces.hear(event, |n| n.metadata.labels.as_ref().map(Pairs::from)),
            News::Budget(event) => self.budgets.hear(event, |b| {
                let status = b.status.unwrap_or_default();
                let disrupted = status.disrupted_pods.into_iter().flatten().map(|(name, _)| name).collect();
                Some(Budget { selector: b.spec?.selector?, allowed: status.disruptions_allowed.unwrap_or(0), disrupted })
            }),
            News::Service(event) => self.services.hear(event, |s| s.spec?.selector.as_ref().filter(|s| !s.is_empty()).map(Pairs::from)),
            News::ReplicationController(event) => self.replication_controllers.hear(event, |c| c.spec?.selector.as_ref().map(Pairs::from)),
            News::ReplicaSet(event) => self.replica_sets.hear(event, |s| Some(Selecting::of(s.spec.selector))),
            News::StatefulSet(event) => self.stateful_sets.hear(event, |s| Some(Selecting::of(s.spec.selector))),
            News::Failed(what, error) => {
                tracing::warn!(%error, "watch of {what}");
                false
            }
        };
        false
    }

    /// Everything was listed once.
    pub(crate) fn ready(&self) -> bool {
        self.namespaces.listed
            && self.budgets.listed
            && self.services.listed
            && self.replication_controllers.listed
            && self.replica_sets.listed
            && self.stateful_sets.listed
    }

    /// The labels of a namespace.
    pub fn namespace_labels(&self, name: &str) -> Option<&Pairs> {
        self.namespaces.get("", name)
    }

    /// The budgets of a namespace.
    pub fn budgets<'s>(&'s self, namespace: &'s str) -> impl Iterator<Item = (&'s str, &'s Budget)> {
        self.budgets.within(namespace)
    }

    /// What selects the Pods like this one: the Services that choose it and the controller that it belongs to. `None` when nothing does.
    pub fn siblings(&self, pod: &PodInfo) -> Option<LabelSelector> {
        let mut equal = BTreeMap::new();
        let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        let mut expressions = Vec::new();
        for (_, selector) in self.services.within(&pod.namespace) {
            if selector.iter().all(|(key, value)| pod.labels.get(key) == Some(value)) {
                equal.extend(selector.iter().map(owned));
            }
        }
        if let Some((kind, name)) = &pod.wishes().owner {
            let sets = match kind.as_str() {
                "ReplicaSet" => self.replica_sets.get(&pod.namespace, name),
                "StatefulSet" => self.stateful_sets.get(&pod.namespace, name),
                _ => None,
            };
            if let Some(selector) = sets {
                equal.extend(selector.equal.iter().map(owned));
                expressions.extend(selector.expressions.iter().cloned());
            }
            if let Some(selector) = self.replication_controllers.get(&pod.namespace, name).filter(|_| kind == "ReplicationController") {
                equal.extend(selector.iter().map(owned));
            }
        }
        let some = !equal.is_empty() || !expressions.is_empty();
        some.then_some(LabelSelector { match_labels: Some(equal), match_expressions: Some(expressions) })
    }

    /// For tests: as if it had been seen.
    #[cfg(test)]
    pub(crate) fn learn(&mut self, news: News) {
        self.hear(news);
    }
}

type Stories = Pin<Box<dyn Stream<Item = News> + Send>>;

fn told<K>(client: &Client, what: &'static str, news: fn(Event<K>) -> News) -> Stories
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let watch = watcher::watcher(Api::<K>::all(client.clone()), watcher::Config::default()).default_backoff();
    Box::pin(watch.map(move |event| match event {
        Ok(event) => news(event),
        Err(error) => News::Failed(what, error),
    }))
}

/// What is known of the objects of one kind, by `namespace/name`.
#[derive(Clone, Debug)]
struct Known<V> {
    now: BTreeMap<Box<str>, V>,
    /// During a list: what it has shown.
    listing: Option<BTreeMap<Box<str>, V>>,
    listed: bool,
}

impl<V> Default for Known<V> {
    fn default() -> Self {
        Known { now: BTreeMap::new(), listing: None, listed: false }
    }
}

impl<V> Known<V> {
    /// Takes in an event, of whose object `of` keeps what matters (an object of which nothing does is none); whether anything changed for which others may wait.
    fn hear<K: Resource>(&mut self, event: Event<K>, of: impl Fn(K) -> Option<V>) -> bool {
        let key = |object: &K| key(object.meta().namespace.as_deref().unwrap_or_default(), object.meta().name.as_deref().unwrap_or_default());
        match event {
            Event::Init => self.listing = Some(BTreeMap::new()),
            Event::InitApply(object) => {
                let key = key(&object);
                if let (Some(listing), Some(value)) = (&mut self.listing, of(object)) {
                    listing.insert(key, value);
                }
            }
            Event::InitDone => {
                self.now = self.listing.take().unwrap_or_default();
                self.listed = true;
                return true;
            }
            Event::Apply(object) => {
                let key = key(&object);
                match of(object) {
                    Some(value) => self.now.insert(key, value),
                    None => self.now.remove(&key),
                };
                return true;
            }
            Event::Delete(object) => {
                self.now.remove(&key(&object));
            }
        }
        false
    }

    fn get(&self, namespace: &str, name: &str) -> Option<&V> {
        self.now.get(&key(namespace, name))
    }

    fn within<'s>(&'s self, namespace: &'s str) -> impl Iterator<Item = (&'s str, &'s V)> {
        let all = self.now.range(key(namespace, "")..);
        all.map_while(move |(key, value)| Some((key.strip_prefix(namespace)?.strip_prefix('/')?, value)))
    }
}

fn key(namespace: &str, name: &str) -> Box<str> {
    format!("{namespace}/{name}").into()
}
