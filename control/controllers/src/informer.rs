//! Lists and watches one kind into the [`World`], for ever.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ListMeta, ObjectMeta};
use kube::Client;
use kube::api::WatchEvent;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::resource::{Key, Resource};
use crate::world::{Place, Progress, World};

const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(10);
const PAGE: usize = 500;
/// Asks for metadata only; a server that cannot sends whole objects, of which only the metadata is read.
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

/// Keeps a kind that is cached whole.
pub(crate) async fn whole<K: Place>(client: Client, world: Arc<World>, token: CancellationToken) {
    let resource = Arc::new(Resource::of::<K>());
    Informer::<Whole<K>> { client, progress: world.declare(&resource), resource, world, sink: std::marker::PhantomData }.run(token).await;
}

/// Keeps the metadata of a kind.
pub(crate) async fn metadata(client: Client, world: Arc<World>, resource: Arc<Resource>, token: CancellationToken) {
    Informer::<MetadataOnly> { client, progress: world.declare(&resource), resource, world, sink: std::marker::PhantomData }.run(token).await;
}

/// Where what is seen goes.
trait Sink {
    type Object: DeserializeOwned + Clone + Send + 'static;
    const ACCEPT: Option<(&'static str, &'static str)>;
    /// Whether plans are made from whole objects of the kind.
    const PLANNED_FROM: bool;
    fn meta(object: &Self::Object) -> &ObjectMeta;
    fn apply(world: &World, resource: &Arc<Resource>, object: Self::Object);
    fn remove(world: &World, key: &Key, uid: &str);
}

struct Whole<K>(std::marker::PhantomData<K>);

impl<K: Place> Sink for Whole<K> {
    type Object = K;
    const ACCEPT: Option<(&'static str, &'static str)> = None;
    const PLANNED_FROM: bool = true;
    fn meta(object: &K) -> &ObjectMeta {
        object.metadata()
    }
    fn apply(world: &World, resource: &Arc<Resource>, object: K) {
        world.applied(resource, object);
    }
    fn remove(world: &World, key: &Key, uid: &str) {
        world.removed::<K>(key, uid);
    }
}

struct MetadataOnly;

#[derive(Clone, Deserialize)]
struct OnlyMeta {
    #[serde(default)]
    metadata: ObjectMeta,
}

impl Sink for MetadataOnly {
    type Object = OnlyMeta;
    const ACCEPT: Option<(&'static str, &'static str)> = Some((METADATA_LIST, METADATA));
    const PLANNED_FROM: bool = false;
    fn meta(object: &OnlyMeta) -> &ObjectMeta {
        &object.metadata
    }
    fn apply(world: &World, resource: &Arc<Resource>, object: OnlyMeta) {
        world.applied_meta(resource, &object.metadata);
    }
    fn remove(world: &World, _key: &Key, uid: &str) {
        world.removed_meta(uid);
    }
}

#[derive(Deserialize)]
struct Page<T> {
    #[serde(default)]
    metadata: ListMeta,
    #[serde(default = "Vec::new")]
    items: Vec<T>,
}

struct Informer<S> {
    client: Client,
    progress: Arc<Progress>,
    resource: Arc<Resource>,
    world: Arc<World>,
    sink: std::marker::PhantomData<S>,
}

/// Why a watch ended.
enum Ended {
    /// Too old to be continued, or never begun.
    Relist,
    /// To be continued from where it was.
    Resume,
}

impl<S: Sink> Informer<S> {
    async fn run(mut self, token: CancellationToken) {
        token.clone().run_until_cancelled_owned(self.keep()).await;
    }

    async fn keep(&mut self) {
        let mut retry = FIRST_RETRY;
        let mut at: Option<String> = None;
        loop {
            let outcome = match &at {
                None => self.list().await.map(|revision| at = Some(revision)),
                Some(from) => {
                    let mut position = from.clone();
                    let ended = self.watch(&mut position).await;
                    let moved = position != *from;
                    at = Some(position);
                    match ended {
                        Ok(Ended::Relist) => at = None,
                        Ok(Ended::Resume) if moved => {}
                        Ok(Ended::Resume) => tokio::time::sleep(FIRST_RETRY).await, // a server that ends every watch at once is not hammered
                        Err(_) if moved => retry = FIRST_RETRY,
                        Err(_) => {}
                    }
                    ended.map(|_| ())
                }
            };
            match outcome {
                Ok(()) => retry = FIRST_RETRY,
                Err(error) => {
                    // What a plan reads is waited for, whatever the error: an empty cache would say that there is nothing. Of a kind for the
                    // graph alone that the server has no list of there is nothing to wait for; one that is forbidden is there, and unknown.
                    let unserved = !S::PLANNED_FROM && matches!(&error, kube::Error::Api(status) if matches!(status.code, 404 | 405));
                    if unserved {
                        self.progress.reach(1);
                    }
                    if retry >= Duration::from_secs(1) && !unserved {
                        tracing::warn!(resource = %self.resource.group_resource(), %error, "Failed to watch");
                    } else {
                        tracing::debug!(resource = %self.resource.group_resource(), %error, "Failed to watch");
                    }
                    tokio::time::sleep(retry).await;
                    retry = (retry * 2).min(LAST_RETRY);
                }
            }
        }
    }

    /// Lists all objects, and gives the revision from which to watch.
    async fn list(&mut self) -> Result<String, kube::Error> {
        let mut proceed = String::new();
        // What of these the list does not show went while nobody looked; what it shows under another uid was made anew.
        let mut before = self.world.graph.of(&self.resource);
        loop {
            let mut path = format!("{}?limit={PAGE}", self.resource.path(""));
            if !proceed.is_empty() {
                path.push_str("&continue=");
                path.push_str(&query(&proceed));
            }
            let page: Page<S::Object> = self.client.request(request(path, S::ACCEPT.map(|a| a.0))).await?;
            for object in page.items {
                let key = Key::of(S::meta(&object));
                if let Some(known) = before.remove(&key).filter(|uid| **uid != *crate::resource::uid(S::meta(&object))) {
                    S::remove(&self.world, &key, &known);
                }
                S::apply(&self.world, &self.resource, object);
            }
            match page.metadata.continue_.filter(|c| !c.is_empty()) {
                Some(more) => proceed = more,
                None => {
                    for (key, uid) in before {
                        S::remove(&self.world, &key, &uid);
                    }
                    let revision = page.metadata.resource_version.unwrap_or_default();
                    self.progress.reach(revision.parse().unwrap_or(1).max(1));
                    return Ok(revision);
                }
            }
        }
    }

    async fn watch(&mut self, position: &mut String) -> Result<Ended, kube::Error> {
        let path = format!("{}?watch=true&allowWatchBookmarks=true&timeoutSeconds={}&resourceVersion={position}", self.resource.path(""), 300);
        let events = match self.client.request_events::<S::Object>(request(path, S::ACCEPT.map(|a| a.1))).await {
            Ok(events) => events,
            Err(error) if expired(&error) => return Ok(Ended::Relist),
            Err(error) => return Err(error),
        };
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.next().await {
            match event {
                Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => {
                    self.move_to(position, S::meta(&object).resource_version.clone(), |me| S::apply(&me.world, &me.resource, object));
                }
                Ok(WatchEvent::Deleted(object)) => {
                    let (key, uid) = (Key::of(S::meta(&object)), crate::resource::uid(S::meta(&object)).to_owned());
                    self.move_to(position, S::meta(&object).resource_version.clone(), |me| S::remove(&me.world, &key, &uid));
                }
                Ok(WatchEvent::Bookmark(mark)) => self.move_to(position, Some(mark.metadata.resource_version), |_| {}),
                Ok(WatchEvent::Error(status)) if status.code == 410 => return Ok(Ended::Relist),
                Ok(WatchEvent::Error(status)) => return Err(kube::Error::Api(status)),
                Err(error) if expired(&error) => return Ok(Ended::Relist),
                Err(error) => return Err(error),
            }
        }
        Ok(Ended::Resume)
    }

    fn move_to(&mut self, position: &mut String, revision: Option<String>, change: impl FnOnce(&mut Self)) {
        change(self);
        if let Some(revision) = revision.filter(|r| !r.is_empty()) {
            if let Ok(number) = revision.parse() {
                self.progress.reach(number);
            }
            *position = revision;
        }
    }
}

fn expired(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 410)
}

fn request(path: String, accept: Option<&'static str>) -> http::Request<Vec<u8>> {
    let mut request = http::Request::get(path);
    if let Some(accept) = accept {
        request = request.header(http::header::ACCEPT, accept);
    }
    request.body(Vec::new()).expect("paths of resources are valid URIs")
}

fn query(value: &str) -> String {
    value.bytes().map(|b| if b.is_ascii_alphanumeric() || b"-._~".contains(&b) { (b as char).to_string() } else { format!("%{b:02X}") }).collect()
}
