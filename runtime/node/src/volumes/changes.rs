//! Tells Pods when ConfigMaps and Secrets of their volumes change: one watch for each object, however many Pods have it.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Debug;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Volume};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Resource, ResourceExt};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio_util::task::AbortOnDropHandle;

/// An object that volumes are filled from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// A ConfigMap's name.
    ConfigMap(String),
    /// A Secret's name.
    Secret(String),
}

/// The objects that a Pod's volumes are filled from.
pub fn sources(pod: &Pod) -> BTreeSet<Source> {
    let volumes = pod.spec.iter().flat_map(|s| s.volumes.iter().flatten());
    volumes.flat_map(of_volume).collect()
}

fn of_volume(volume: &Volume) -> Vec<Source> {
    let mut all = vec![];
    all.extend(volume.config_map.as_ref().map(|c| Source::ConfigMap(c.name.clone())));
    all.extend(volume.secret.as_ref().and_then(|s| s.secret_name.clone()).map(Source::Secret));
    for projection in volume.projected.iter().flat_map(|p| p.sources.iter().flatten()) {
        all.extend(projection.config_map.as_ref().map(|c| Source::ConfigMap(c.name.clone())));
        all.extend(projection.secret.as_ref().map(|s| Source::Secret(s.name.clone())));
    }
    all
}

/// Told of a change; must not wait.
pub type Told = Arc<dyn Fn() + Send + Sync>;

/// The watches of a node.
pub struct Changes {
    client: kube::Client,
    watched: Mutex<HashMap<(String, Source), Watched>>,
}

struct Watched {
    /// Who is told, by a Pod's uid.
    told: HashMap<String, Told>,
    _watch: AbortOnDropHandle<()>,
}

impl Changes {
    /// No watches yet.
    pub fn new(client: kube::Client) -> Arc<Self> {
        Arc::new(Self { client, watched: Mutex::default() })
    }

    /// Tells a Pod of changes of what its volumes are filled from, until what is returned is dropped.
    pub fn follow(self: &Arc<Self>, namespace: &str, uid: &str, sources: BTreeSet<Source>, told: Told) -> Following {
        let mut watched = self.watched.lock();
        for source in &sources {
            let key = (namespace.to_owned(), source.clone());
            let entry = watched.entry(key.clone()).or_insert_with(|| Watched { told: HashMap::new(), _watch: self.watch(key) });
            entry.told.insert(uid.to_owned(), told.clone());
        }
        Following { changes: self.clone(), namespace: namespace.to_owned(), uid: uid.to_owned(), sources }
    }

    fn watch(self: &Arc<Self>, key: (String, Source)) -> AbortOnDropHandle<()> {
        let changes = Arc::downgrade(self);
        let (client, namespace) = (self.client.clone(), key.0.clone());
        let tell = {
            let key = key.clone();
            move || {
                let told: Vec<Told> = match changes.upgrade() {
                    Some(changes) => changes.watched.lock().get(&key).map(|w| w.told.values().cloned().collect()).unwrap_or_default(),
                    None => vec![],
                };
                told.iter().for_each(|told| told());
            }
        };
        AbortOnDropHandle::new(match key.1 {
            Source::ConfigMap(name) => tokio::spawn(follow::<ConfigMap>(client, namespace, name, tell)),
            Source::Secret(name) => tokio::spawn(follow::<Secret>(client, namespace, name, tell)),
        })
    }
}

/// Watches one object, and tells of each of its changes. What it is at first, who fills a volume reads for itself.
async fn follow<K>(client: kube::Client, namespace: String, name: String, tell: impl Fn())
where
    K: Resource<Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Send + 'static,
    K::DynamicType: Default,
{
    let api: kube::Api<K> = kube::Api::namespaced(client, &namespace);
    let config = watcher::Config::default().fields(&format!("metadata.name={name}")).streaming_lists();
    let mut events = std::pin::pin!(watcher::watcher(api, config).default_backoff());
    let mut begun = false;
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Apply(object) | Event::Delete(object)) if object.name_any() == name => tell(),
            // Listed anew after a break: it may have changed meanwhile.
            Ok(Event::InitDone) if std::mem::replace(&mut begun, true) => tell(),
            Ok(_) => {}
            Err(error) => tracing::debug!(namespace, name, %error, "watching what volumes are filled from"),
        }
    }
}

/// A Pod that is told. Dropping it ends that.
pub struct Following {
    changes: Arc<Changes>,
    namespace: String,
    uid: String,
    sources: BTreeSet<Source>,
}

impl Drop for Following {
    fn drop(&mut self) {
        let mut watched = self.changes.watched.lock();
        for source in std::mem::take(&mut self.sources) {
            let key = (self.namespace.clone(), source);
            if let Some(entry) = watched.get_mut(&key) {
                entry.told.remove(&self.uid);
                if entry.told.is_empty() {
                    watched.remove(&key);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_volumes_are_filled_from() {
        let pod: Pod = serde_json::from_value(serde_json::json!({"metadata": {}, "spec": {"containers": [], "volumes": [
            {"name": "a", "configMap": {"name": "one"}}, {"name": "b", "secret": {"secretName": "two"}}, {"name": "c", "emptyDir": {}},
            {"name": "d", "projected": {"sources": [{"configMap": {"name": "three"}}, {"secret": {"name": "two"}}, {"serviceAccountToken": {"path": "t"}}]}}]}}))
        .unwrap();
        let want = [Source::ConfigMap("one".into()), Source::ConfigMap("three".into()), Source::Secret("two".into())];
        assert_eq!(sources(&pod).into_iter().collect::<Vec<_>>(), want);
    }
}
