//! The Ingress controller: what is watched becomes routes and certificates, and its Ingresses are told where they are served.

mod announce;
mod replicas;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::channel::mpsc;
use futures::stream::{self, BoxStream};
use futures::{SinkExt, StreamExt};
use k8s_openapi::api::core::v1::{Pod, Secret};
use k8s_openapi::api::networking::v1::{Ingress as Object, IngressClass};
use kube::api::Api;
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{WatchStreamExt, utils::StreamBackoff, watcher::DefaultBackoff};
use kube::{Client, Resource};
use rustls::sign::CertifiedKey;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::kept::{name_of, parts};
use crate::tls::certificate_of;
use crate::{Ingress, Kept, Published, Routes};
use announce::Announcer;

/// Namespace and name of a Secret.
type Key = (String, String);

/// At most so many Secrets are watched.
const MOST_SECRETS: usize = 4096;
/// Events that are taken together before the table is built anew.
const TOGETHER: usize = 512;

enum Change {
    Ingress(Event<Object>),
    Class(Event<IngressClass>),
    Replica(Box<Event<Pod>>),
    /// The referenced Secret is this now; `None`: it is gone.
    Secret(Key, Option<Box<Secret>>),
}

impl Ingress {
    /// Runs the controller until the token is cancelled. The client's identity may watch Ingresses, IngressClasses and Secrets, update
    /// Ingresses' status and record Events (`kube-system/ingress-nginx`).
    pub async fn run(self: Arc<Self>, client: Client, token: CancellationToken) {
        let (secrets, from_secrets) = mpsc::channel(64);
        let replicas = match &self.options.published {
            Published::Fixed(_) => stream::empty().boxed(),
            Published::Replicas { namespace, labels, .. } => {
                follow(Api::<Pod>::namespaced(client.clone(), namespace), watcher::Config::default().labels(labels))
                    .map(|event| Change::Replica(Box::new(event)))
                    .boxed()
            }
        };
        let changes: [BoxStream<'static, Change>; 4] = [
            replicas,
            follow(Api::<Object>::all(client.clone()), watcher::Config::default()).map(Change::Ingress).boxed(),
            follow(Api::<IngressClass>::all(client.clone()), watcher::Config::default()).map(Change::Class).boxed(),
            from_secrets.boxed(),
        ];
        let announcer = Announcer::new(client.clone());
        if let Published::Fixed(addresses) = &self.options.published {
            announcer.publish(Some(addresses.clone()));
        }
        let mut known = Known { client, secrets, ingresses: Listed::new(), classes: Listed::new(), replicas: Listed::new(), referenced: BTreeMap::new() };
        let mut changes = stream::select_all(changes).ready_chunks(TOGETHER);
        let work = async {
            while let Some(changes) = changes.next().await {
                let mut rebuild = false;
                for change in changes {
                    rebuild |= !matches!(change, Change::Replica(_));
                    known.take(change);
                }
                if let Published::Replicas { own, .. } = &self.options.published
                    && known.replicas.complete
                {
                    announcer.publish(replicas::published(known.replicas.objects.values(), *own));
                }
                if rebuild && known.listed() {
                    known.rebuild(&self, &announcer);
                    self.synced.send_replace(true);
                }
            }
        };
        tokio::select! {
            () = token.cancelled() => {}
            () = work => {}
            () = announcer.run() => {}
        }
    }
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

/// What the watches have said.
struct Known {
    client: Client,
    secrets: mpsc::Sender<Change>,
    ingresses: Listed<Arc<Kept>>,
    classes: Listed<IngressClass>,
    replicas: Listed<Pod>,
    referenced: BTreeMap<Key, Referenced>,
}

/// What is kept of objects of a kind, by `namespace/name`, and of those seen so far by a listing that is under way.
struct Listed<V> {
    objects: BTreeMap<Arc<str>, V>,
    listing: BTreeMap<Arc<str>, V>,
    complete: bool,
}

struct Referenced {
    _watch: DropGuard,
    certificate: Option<Arc<CertifiedKey>>,
}

impl<V> Listed<V> {
    fn new() -> Listed<V> {
        Listed { objects: BTreeMap::new(), listing: BTreeMap::new(), complete: false }
    }

    fn take<K: Resource<DynamicType = ()>>(&mut self, event: Event<K>, kept: impl Fn(K) -> (Arc<str>, V)) {
        match event {
            Event::Init => self.listing.clear(),
            Event::InitApply(object) => self.listing.extend([kept(object)]),
            Event::InitDone => {
                self.objects = std::mem::take(&mut self.listing);
                self.complete = true;
            }
            Event::Apply(object) => self.objects.extend([kept(object)]),
            Event::Delete(object) => {
                self.objects.remove(&name_of(object.meta()));
            }
        }
    }
}

/// Nobody here reads who set which field, and it is half of an object's memory.
fn whole<K: Resource<DynamicType = ()>>(mut object: K) -> (Arc<str>, K) {
    object.meta_mut().managed_fields = None;
    (name_of(object.meta()), object)
}

impl Known {
    fn take(&mut self, change: Change) {
        match change {
            Change::Ingress(event) => self.ingresses.take(event, |object| {
                let kept = Arc::new(Kept::of(&object));
                (kept.name.clone(), kept)
            }),
            Change::Class(event) => self.classes.take(event, whole),
            Change::Replica(event) => self.replicas.take(*event, whole),
            Change::Secret(key, secret) => {
                let Some(referenced) = self.referenced.get_mut(&key) else { return };
                let (namespace, name) = &key;
                referenced.certificate = secret.and_then(|secret| {
                    certificate_of(&secret).inspect_err(|error| tracing::warn!(%namespace, %name, %error, "the Secret's certificate is not used")).ok()
                });
            }
        }
    }

    fn listed(&self) -> bool {
        self.ingresses.complete && self.classes.complete
    }

    fn rebuild(&mut self, ingress: &Ingress, announcer: &Announcer) {
        let mut ours: Vec<Arc<Kept>> = self.ingresses.objects.values().filter(|ingress| ingress.is_ours(self.classes.objects.values())).cloned().collect();
        ours.sort_by(|a, b| a.by_age(b));
        ingress.set_routes(Routes::build(&ours, &ingress.net.services));
        let hosts = secret_by_host(&ours);
        self.watch_secrets(hosts.values());
        tracing::info!(ingresses = ours.len(), "Backend successfully reloaded");
        let certificates = hosts.into_iter().filter_map(|(host, key)| Some((host, self.referenced.get(&key)?.certificate.clone()?)));
        ingress.certificates.replace(certificates);
        announcer.serves(ours);
    }

    /// Watches the Secrets that are referenced, each by its name, and no others.
    fn watch_secrets<'a>(&mut self, wanted: impl Iterator<Item = &'a Key>) {
        let wanted: BTreeSet<&Key> = wanted.collect::<BTreeSet<_>>().into_iter().take(MOST_SECRETS).collect();
        self.referenced.retain(|key, _| wanted.contains(key));
        for key in wanted {
            if self.referenced.contains_key(key) {
                continue;
            }
            let (namespace, name) = key;
            let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
            let events = follow(Api::<Secret>::namespaced(self.client.clone(), namespace), config);
            let (mut to, token, key) = (self.secrets.clone(), CancellationToken::new(), key.clone());
            self.referenced.insert(key.clone(), Referenced { _watch: token.clone().drop_guard(), certificate: None });
            tokio::spawn(async move {
                let forward = async {
                    let (mut events, mut found) = (Box::pin(events), false);
                    while let Some(event) = events.next().await {
                        let secret = match event {
                            Event::Init => {
                                found = false;
                                continue;
                            }
                            Event::InitDone if found => continue,
                            Event::InitDone | Event::Delete(_) => None,
                            Event::InitApply(secret) | Event::Apply(secret) => {
                                found = true;
                                Some(Box::new(secret))
                            }
                        };
                        if to.send(Change::Secret(key.clone(), secret)).await.is_err() {
                            return;
                        }
                    }
                };
                token.run_until_cancelled(forward).await;
            });
        }
    }
}

/// The Secret that certifies each host: the oldest Ingress', also while it is not to be used, so that nobody else can stand in for a host.
fn secret_by_host(ingresses: &[Arc<Kept>]) -> BTreeMap<String, Key> {
    let mut hosts: BTreeMap<String, Key> = BTreeMap::new();
    for ingress in ingresses {
        let namespace = parts(&ingress.name).0;
        for tls in ingress.tls.iter().filter(|tls| !tls.secret.is_empty()) {
            for host in &tls.hosts {
                hosts.entry(host.to_string()).or_insert_with(|| (namespace.to_owned(), tls.secret.to_string()));
            }
        }
    }
    hosts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_ingress_has_the_certificate() {
        let ingress = |namespace: &str, second: u32, tls: &str| -> Arc<Kept> {
            let yaml = format!(
                "{{metadata: {{namespace: {namespace}, name: a, creationTimestamp: '2026-01-01T00:00:{second:02}Z'}}, spec: {{tls: [{tls}], rules: [{{host: bank.test}}]}}}}"
            );
            Arc::new(Kept::of(&serde_yaml::from_str(&yaml).unwrap()))
        };
        let mut both = vec![ingress("a-thief", 5, "{hosts: [bank.test, thief.test], secretName: z}"), ingress("bank", 1, "{secretName: real}")];
        both.sort_by(|a, b| a.by_age(b));
        let hosts: Vec<String> = secret_by_host(&both).into_iter().map(|(host, (namespace, name))| format!("{host} {namespace}/{name}")).collect();
        assert_eq!(hosts, ["bank.test bank/real", "thief.test a-thief/z"]);
    }
}
