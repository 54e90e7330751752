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
    ConfigMap(Arc<str>),
    /// A Secret's name.
    Secret(Arc<str>),
}

/// The objects that a Pod's volumes are filled from.
pub fn sources(pod: &Pod) -> Box<[Source]> {
    let volumes = pod.spec.iter().flat_map(|s| s.volumes.iter().flatten());
    volumes.flat_map(of_volume).collect::<BTreeSet<_>>().into_iter().collect()
}

fn of_volume(volume: &Volume) -> Vec<Source> {
    let mut all = vec![];
    all.extend(volume.config_map.as_ref().map(|c| Source::ConfigMap(c.name.as_str().into())));
    all.extend(volume.secret.as_ref().and_then(|s| s.secret_name.as_deref()).map(|name| Source::Secret(name.into())));
    for projection in volume.projected.iter().flat_map(|p| p.sources.iter().flatten()) {
        all.extend(projection.config_map.as_ref().map(|c| Source::ConfigMap(c.name.as_str().into())));
        all.extend(projection.secret.as_ref().map(|s| Source::Secret(s.name.as_str().into())));
    }
    all
}

/// Told of a change; must not wait.
pub type Told = Arc<dyn Fn() + Send + Sync>;

/// The watches of a node.
pub struct Changes {
    client: kube::Client,
    watched: Mutex<HashMap<Key, Watched>>,
}

/// A namespace and what is in it.
type Key = (Arc<str>, Source);

struct Watched {
    /// Who is told, by a Pod's uid.
    told: HashMap<Arc<str>, Told>,
    _watch: AbortOnDropHandle<()>,
}

impl Changes {
    /// No watches yet.
    pub fn new(client: kube::Client) -> Arc<Self> {
        Arc::new(Self { client, watched: Mutex::default() })
    }

    /// Tells a Pod of changes of what its volumes are filled from, until what is returned is dropped.
    pub fn follow(self: &Arc<Self>, namespace: &str, uid: &str, sources: Box<[Source]>, told: Told) -> Following {
        let mut watched = self.watched.lock();
        let (namespace, uid): (Arc<str>, Arc<str>) = (namespace.into(), uid.into());
        let follow = |source: Source| {
            let key = (namespace.clone(), source);
            // What others follow as well is named once.
            let key = watched.get_key_value(&key).map_or(key, |(known, _)| known.clone());
            let entry = watched.entry(key.clone()).or_insert_with(|| Watched { told: HashMap::new(), _watch: self.watch(key.clone()) });
            entry.told.insert(uid.clone(), told.clone());
            key
        };
        let sources = sources.into_iter().map(follow).collect();
        drop(watched);
        Following { changes: self.clone(), uid, sources }
    }

    fn watch(self: &Arc<Self>, key: Key) -> AbortOnDropHandle<()> {
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
async fn follow<K>(client: kube::Client, namespace: Arc<str>, name: Arc<str>, tell: impl Fn())
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
            Ok(Event::Apply(object) | Event::Delete(object)) if *object.name_any() == *name => tell(),
            // Listed anew after a break: it may have changed meanwhile.
            Ok(Event::InitDone) if std::mem::replace(&mut begun, true) => tell(),
            Ok(_) => {}
            Err(error) => tracing::debug!(%namespace, %name, %error, "watching what volumes are filled from"),
        }
    }
}

/// A Pod that is told. Dropping it ends that.
pub struct Following {
    changes: Arc<Changes>,
    uid: Arc<str>,
    sources: Box<[Key]>,
}

impl Drop for Following {
    fn drop(&mut self) {
        let mut watched = self.changes.watched.lock();
        for key in std::mem::take(&mut self.sources) {
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
