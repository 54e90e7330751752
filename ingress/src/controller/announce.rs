//! Tells the Ingresses that are served: their status names the address, and an Event says so.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::api::networking::v1::{Ingress, IngressLoadBalancerIngress, IngressLoadBalancerStatus, IngressStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, Error};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Key;

const COMPONENT: &str = "nginx-ingress-controller";

/// Works through the served Ingresses in its own time, the newest state of each.
pub(super) struct Announcer {
    client: Client,
    /// What Ingresses are told; `None` while another replica tells them.
    addresses: Mutex<Option<Vec<IngressLoadBalancerIngress>>>,
    served: Mutex<Vec<Arc<Ingress>>>,
    changed: Notify,
}

/// What an Ingress was told.
struct Told {
    uid: Option<String>,
    generation: Option<i64>,
    annotations: Option<BTreeMap<String, String>>,
    /// The name of its Event.
    event: Option<String>,
    count: i32,
    /// The version whose status was replaced.
    written_over: Option<String>,
}

impl Told {
    fn new(ingress: &Ingress) -> Told {
        Told { uid: ingress.metadata.uid.clone(), generation: None, annotations: None, event: None, count: 0, written_over: None }
    }
}

impl Announcer {
    /// Silent until it is told what to say.
    pub(super) fn new(client: Client) -> Announcer {
        Announcer { client, addresses: Mutex::default(), served: Mutex::default(), changed: Notify::new() }
    }

    /// These are served now.
    pub(super) fn serves(&self, ingresses: Vec<Arc<Ingress>>) {
        *self.served.lock() = ingresses;
        self.changed.notify_one();
    }

    /// They are served at these addresses. `None`: it is for another to say.
    pub(super) fn publish(&self, addresses: Option<Vec<IpAddr>>) {
        let entry = |ip: IpAddr| IngressLoadBalancerIngress { ip: Some(ip.to_string()), ..Default::default() };
        let addresses = addresses.map(|all| all.into_iter().map(entry).collect());
        if std::mem::replace(&mut *self.addresses.lock(), addresses.clone()) != addresses {
            self.changed.notify_one();
        }
    }

    pub(super) async fn run(&self) {
        let mut told: HashMap<Key, Told> = HashMap::new();
        loop {
            self.changed.notified().await;
            let (served, addresses) = (self.served.lock().clone(), self.addresses.lock().clone());
            let Some(addresses) = addresses else {
                told.clear();
                continue;
            };
            let mut keep = HashMap::with_capacity(served.len());
            let mut failed = false;
            for ingress in &served {
                let key: Key = (ingress.metadata.namespace.clone().unwrap_or_default(), ingress.metadata.name.clone().unwrap_or_default());
                let mut now = told.remove(&key).filter(|told| told.uid == ingress.metadata.uid).unwrap_or_else(|| Told::new(ingress));
                self.record(&key, ingress, &mut now).await;
                failed |= !self.write_status(&key, ingress, &addresses, &mut now).await;
                keep.insert(key, now);
            }
            told = keep;
            if failed {
                // Again in a while, unless there is newer work by then.
                tokio::time::sleep(Duration::from_secs(2)).await;
                self.changed.notify_one();
            }
        }
    }

    /// True when the status is (or need not be) as it should.
    async fn write_status(&self, (namespace, name): &Key, ingress: &Ingress, addresses: &[IngressLoadBalancerIngress], told: &mut Told) -> bool {
        // What was written may not have come back to the cache yet.
        if addresses.is_empty() || addresses_of(ingress) == addresses || told.written_over == ingress.metadata.resource_version {
            return true;
        }
        let api: Api<Ingress> = Api::namespaced(self.client.clone(), namespace);
        let mut newest = ingress.clone();
        for _ in 0..5 {
            newest.status = Some(IngressStatus { load_balancer: Some(IngressLoadBalancerStatus { ingress: Some(addresses.to_vec()) }) });
            newest.metadata.managed_fields = None;
            match api.replace_status(name, &PostParams::default(), &newest).await {
                Ok(_) => break,
                Err(Error::Api(status)) if status.code == 404 => break,
                Err(Error::Api(status)) if status.code == 409 => match api.get(name).await {
                    Ok(newer) if newer.metadata.uid != ingress.metadata.uid || addresses_of(&newer) == addresses => break,
                    Ok(newer) => newest = newer,
                    Err(_) => return false,
                },
                Err(error) => {
                    tracing::warn!(%namespace, %name, %error, "updating the Ingress' status");
                    return false;
                }
            }
        }
        told.written_over.clone_from(&ingress.metadata.resource_version);
        true
    }

    /// Records that the Ingress was taken up, once for each version of it that the user made.
    async fn record(&self, (namespace, name): &Key, ingress: &Ingress, told: &mut Told) {
        let meta = &ingress.metadata;
        if told.event.is_some() && told.generation == meta.generation && told.annotations == meta.annotations {
            return;
        }
        (told.generation, told.annotations) = (meta.generation, meta.annotations.clone());
        tracing::info!(object = %format!("{namespace}/{name}"), kind = "Ingress", reason = "Sync", note = "Scheduled for sync", "Event occurred");
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let now = Time(jiff::Timestamp::now());
        if let Some(event) = &told.event {
            told.count += 1;
            let patch = serde_json::json!({ "count": told.count, "lastTimestamp": now });
            if api.patch(event, &PatchParams::default(), &Patch::Merge(patch)).await.is_ok() {
                return;
            }
        }
        let event = Event {
            metadata: ObjectMeta { name: Some(format!("{name}.{:016x}", rand::random::<u64>())), namespace: Some(namespace.clone()), ..ObjectMeta::default() },
            involved_object: ObjectReference {
                api_version: Some("networking.k8s.io/v1".to_owned()),
                kind: Some("Ingress".to_owned()),
                namespace: Some(namespace.clone()),
                name: Some(name.clone()),
                uid: meta.uid.clone(),
                resource_version: meta.resource_version.clone(),
                ..ObjectReference::default()
            },
            type_: Some("Normal".to_owned()),
            reason: Some("Sync".to_owned()),
            message: Some("Scheduled for sync".to_owned()),
            source: Some(EventSource { component: Some(COMPONENT.to_owned()), host: None }),
            reporting_component: Some(COMPONENT.to_owned()),
            first_timestamp: Some(now.clone()),
            last_timestamp: Some(now),
            count: Some(1),
            ..Event::default()
        };
        match api.create(&PostParams::default(), &event).await {
            Ok(created) => (told.event, told.count) = (created.metadata.name, 1),
            Err(error) => tracing::debug!(%namespace, %name, %error, "recording an Event"),
        }
    }
}

fn addresses_of(ingress: &Ingress) -> &[IngressLoadBalancerIngress] {
    let balancer = ingress.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    balancer.and_then(|balancer| balancer.ingress.as_deref()).unwrap_or_default()
}
