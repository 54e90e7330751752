//! Plugins of this process: their objects are watched and told to the host, what the host says becomes their status.

mod chain;
mod runner;
mod source;
mod wanted;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc;
use futures::stream::{self, BoxStream};
use futures::{SinkExt, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{WatchStreamExt, utils::StreamBackoff, watcher::DefaultBackoff};
use kube::{Client, Resource, ResourceExt};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::AbortOnDropHandle;
use wharf_api::kinds::plugin::{INGRESS, Plugin, PluginStatus};
use wharf_image::Images;
use wharf_plugin_host::{PluginHost, Report};

pub(crate) use chain::Chain;
pub(crate) use runner::Runner;

use wanted::{Key, Reference, Referenced, references, wanted};

/// The account that watches plugins.
pub(crate) const ACCOUNT: &str = "plugin-controller";
/// ConfigMaps and Secrets that are watched at most.
const MOST_REFERENCES: usize = 1024;
/// Changes that are taken together.
const TOGETHER: usize = 256;
/// After so long a status that could not be written is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// A host whose components are this process' images.
pub(crate) fn host(engine: impl Fn() -> Result<wharf_engine::Engine, String> + Send + Sync + 'static, images: Images) -> PluginHost {
    PluginHost::new(engine, Arc::new(source::FromImages(images)))
}

enum Change {
    Plugin(Box<Event<Plugin>>),
    ConfigMap(Key, Option<Box<ConfigMap>>),
    Secret(Key, Option<Box<Secret>>),
    /// The host has something to say, or has to be heard again.
    Report,
}

/// What a host is there for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// For the cluster: it has all plugins, and says in their status what became of them.
    Cluster,
    /// For an Ingress on a node: it has only the plugins of Ingresses, and is silent, as there is one on each node.
    Ingress,
}

/// Keeps the host as the objects say, until the token is cancelled.
pub(crate) async fn keep(client: Client, host: PluginHost, part: Part, chain: Option<Arc<Chain>>, token: CancellationToken) {
    let (references, from_references) = mpsc::channel(64);
    let reports = tokio_stream_of(host.changes());
    let changes: [BoxStream<'static, Change>; 3] = [
        follow(Api::<Plugin>::all(client.clone()), watcher::Config::default()).map(|event| Change::Plugin(Box::new(event))).boxed(),
        from_references.boxed(),
        reports.map(|()| Change::Report).boxed(),
    ];
    let mut keeper = Keeper {
        client,
        host,
        part,
        chain,
        references,
        plugins: BTreeMap::new(),
        listing: None,
        listed: false,
        known: Referenced::default(),
        watched: BTreeMap::new(),
        again: None,
    };
    let mut changes = stream::select_all(changes).ready_chunks(TOGETHER);
    let work = async {
        while let Some(changes) = changes.next().await {
            for change in changes {
                keeper.take(change);
            }
            if keeper.listed {
                keeper.settle().await;
            }
        }
    };
    tokio::select! {
        () = token.cancelled() => {}
        () = work => {}
    }
}

struct Keeper {
    client: Client,
    host: PluginHost,
    part: Part,
    /// The Ingress of this process, where there is one.
    chain: Option<Arc<Chain>>,
    references: mpsc::Sender<Change>,
    plugins: BTreeMap<String, Plugin>,
    /// What a listing that is under way has shown.
    listing: Option<BTreeMap<String, Plugin>>,
    listed: bool,
    known: Referenced,
    watched: BTreeMap<Reference, DropGuard>,
    /// Where a status could not be written.
    again: Option<AbortOnDropHandle<()>>,
}

impl Keeper {
    fn take(&mut self, change: Change) {
        match change {
            Change::Plugin(event) => self.plugin(*event),
            Change::ConfigMap(key, map) => {
                self.known.config_maps.insert(key, map.map(|map| *map));
            }
            Change::Secret(key, secret) => {
                self.known.secrets.insert(key, secret.map(|secret| *secret));
            }
            Change::Report => {}
        }
    }

    fn plugin(&mut self, event: Event<Plugin>) {
        match event {
            Event::Init => self.listing = Some(BTreeMap::new()),
            Event::InitApply(plugin) if self.is_wanted(&plugin) => {
                self.listing.get_or_insert_default().insert(plugin.name_any(), plugin);
            }
            Event::InitDone => {
                self.plugins = self.listing.take().unwrap_or_default();
                self.listed = true;
            }
            Event::InitApply(_) => {}
            Event::Apply(plugin) if self.is_wanted(&plugin) => {
                self.plugins.insert(plugin.name_any(), plugin);
            }
            Event::Apply(plugin) | Event::Delete(plugin) => {
                self.plugins.remove(&plugin.name_any());
            }
        }
    }

    fn is_wanted(&self, plugin: &Plugin) -> bool {
        self.part == Part::Cluster || plugin.spec.world == INGRESS
    }

    /// Watches what plugins refer to, tells the host what there should be, and the objects what there is.
    async fn settle(&mut self) {
        let wanted_references: BTreeSet<Reference> = self.plugins.values().flat_map(references).take(MOST_REFERENCES).collect();
        self.watched.retain(|reference, _| wanted_references.contains(reference));
        self.known.config_maps.retain(|key, _| wanted_references.contains(&Reference::ConfigMap(key.clone())));
        self.known.secrets.retain(|key, _| wanted_references.contains(&Reference::Secret(key.clone())));
        for reference in wanted_references {
            if !self.watched.contains_key(&reference) {
                let token = CancellationToken::new();
                tokio::spawn(token.clone().run_until_cancelled_owned(watch_one(self.client.clone(), reference.clone(), self.references.clone())));
                self.watched.insert(reference, token.drop_guard());
            }
        }
        // What a plugin refers to has to be seen once, or it would be loaded without.
        let seen = |plugin: &Plugin| {
            references(plugin).iter().all(|reference| match reference {
                Reference::ConfigMap(key) => self.known.config_maps.contains_key(key),
                Reference::Secret(key) => self.known.secrets.contains_key(key),
            })
        };
        let known = |name: &String| self.host.reports().contains_key(name);
        if self.plugins.iter().all(|(name, plugin)| seen(plugin) || !known(name)) {
            self.host.set(self.plugins.iter().filter(|(_, plugin)| seen(plugin)).map(|(name, plugin)| (name.clone(), wanted(plugin, &self.known))).collect());
        }
        if let Some(chain) = &self.chain {
            chain.set(self.plugins.values());
        }
        self.again = None;
        if self.part == Part::Ingress {
            return;
        }
        for (name, report) in self.host.reports() {
            let Some(plugin) = self.plugins.get_mut(&name) else { continue };
            let status = status(plugin, &report, Timestamp::now());
            if plugin.status.as_ref() == Some(&status) {
                continue;
            }
            let api: Api<Plugin> = Api::all(self.client.clone());
            let patch = serde_json::json!({"status": status});
            match api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&patch)).await {
                // Until the watch says so.
                Ok(_) => plugin.status = Some(status),
                // It is gone, and the watch will say so.
                Err(kube::Error::Api(status)) if status.is_not_found() => {}
                Err(error) => {
                    tracing::debug!(plugin = name, %error, "writing a plugin's status");
                    let mut to = self.references.clone();
                    self.again = Some(AbortOnDropHandle::new(tokio::spawn(async move {
                        tokio::time::sleep(AGAIN).await;
                        let _ = to.send(Change::Report).await;
                    })));
                }
            }
        }
    }
}

/// What a report says of an object.
fn status(plugin: &Plugin, report: &Report, now: Timestamp) -> PluginStatus {
    let old = plugin.status.clone().unwrap_or_default();
    let (ready, current) = match (&report.serving, &report.current) {
        (Some(_), Some(Ok(()))) => (("True", "Serving", String::new()), ("True", "Loaded", String::new())),
        (Some((image, _)), Some(Err(error))) => (("True", "Serving", format!("still {image}")), ("False", error.reason.as_str(), error.message.clone())),
        (Some((image, _)), None) => (("True", "Serving", format!("still {image}")), ("False", "Loading", "pulling and compiling the image".to_owned())),
        (None, Some(Err(error))) => (("False", error.reason.as_str(), error.message.clone()), ("False", error.reason.as_str(), error.message.clone())),
        (None, _) => {
            let words = || "pulling and compiling the image".to_owned();
            (("False", "Loading", words()), ("False", "Loading", words()))
        }
    };
    let conditions = [("Ready", ready), ("Current", current)].map(|(type_, (status, reason, message))| {
        let before = old.conditions.iter().flatten().find(|c| c.type_ == type_ && c.status == status);
        Condition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message,
            observed_generation: Some(report.generation),
            last_transition_time: before.map_or_else(|| Time(wharf_api::meta::whole_second(now)), |c| c.last_transition_time.clone()),
        }
    });
    let (image_id, digest) = report.serving.clone().unzip();
    PluginStatus { observed_generation: Some(report.generation), image_id, digest, conditions: Some(conditions.into()) }
}

/// A watch whose errors are logged and waited out.
fn follow<K>(api: Api<K>, config: watcher::Config) -> impl futures::Stream<Item = Event<K>> + Send
where
    K: Resource<DynamicType = ()> + Clone + serde::de::DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let events: StreamBackoff<_, DefaultBackoff> = watcher(api, config).default_backoff();
    events.filter_map(|event| {
        let event = event.inspect_err(|error| tracing::debug!(%error, kind = %K::kind(&()), "watching")).ok();
        async move { event }
    })
}

/// Tells of an object each time that it changes, and of its absence.
async fn watch_one(client: Client, reference: Reference, to: mpsc::Sender<Change>) {
    match reference {
        Reference::ConfigMap(key) => watch_object::<ConfigMap>(client, key, to, Change::ConfigMap).await,
        Reference::Secret(key) => watch_object::<Secret>(client, key, to, Change::Secret).await,
    }
}

async fn watch_object<K>(client: Client, key: Key, mut to: mpsc::Sender<Change>, change: fn(Key, Option<Box<K>>) -> Change)
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope> + Clone + serde::de::DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let (namespace, name) = &key;
    let api: Api<K> = Api::namespaced(client, namespace);
    let mut events = std::pin::pin!(follow(api, watcher::Config::default().fields(&format!("metadata.name={name}"))));
    let mut listed = None;
    while let Some(event) = events.next().await {
        let object = match event {
            Event::Init => {
                listed = None;
                continue;
            }
            Event::InitApply(object) => {
                listed = Some(Box::new(object));
                continue;
            }
            Event::InitDone => listed.take(),
            Event::Apply(object) => Some(Box::new(object)),
            Event::Delete(_) => None,
        };
        if to.send(change(key.clone(), object)).await.is_err() {
            return;
        }
    }
}

/// One item each time that the value changes.
fn tokio_stream_of(changes: tokio::sync::watch::Receiver<u64>) -> impl futures::Stream<Item = ()> + Send {
    stream::unfold(changes, |mut changes| async move { changes.changed().await.ok().map(|()| ((), changes)) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_plugin_host::host::FetchError;

    #[test]
    fn the_status_says_what_serves_and_whether_that_is_what_is_wanted() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let failed = FetchError { reason: "ErrImagePull".into(), message: "no".into() };
        let serving = Some(("x@sha256:1".to_owned(), "sha256:1".to_owned()));
        let table = [
            (None, None, "Ready=False/Loading Current=False/Loading"),
            (None, Some(Err(failed.clone())), "Ready=False/ErrImagePull Current=False/ErrImagePull"),
            (serving.clone(), Some(Ok(())), "Ready=True/Serving Current=True/Loaded"),
            (serving.clone(), None, "Ready=True/Serving Current=False/Loading"),
            (serving, Some(Err(failed)), "Ready=True/Serving Current=False/ErrImagePull"),
        ];
        let mut plugin = Plugin::default();
        for (serving, current, expected) in table {
            let report = Report { generation: 3, serving, current };
            let status = status(&plugin, &report, now);
            let told: Vec<String> = status.conditions.iter().flatten().map(|c| format!("{}={}/{}", c.type_, c.status, c.reason)).collect();
            assert_eq!(told.join(" "), expected);
            plugin.status = Some(status.clone());
            let later = super::status(&plugin, &report, "2026-01-01T01:00:00Z".parse().unwrap());
            assert_eq!(later, status, "nothing has changed");
        }
    }
}
