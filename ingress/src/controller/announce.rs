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
    addresses: Vec<IngressLoadBalancerIngress>,
    served: Mutex<Option<Vec<Arc<Ingress>>>>,
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
    pub(super) fn new(client: Client, addresses: Vec<IpAddr>) -> Announcer {
        let addresses = addresses.into_iter().map(|ip| IngressLoadBalancerIngress { ip: Some(ip.to_string()), ..Default::default() });
        Announcer { client, addresses: addresses.collect(), served: Mutex::default(), changed: Notify::new() }
    }

    /// These are served now.
    pub(super) fn serves(&self, ingresses: Vec<Arc<Ingress>>) {
        *self.served.lock() = Some(ingresses);
        self.changed.notify_one();
    }

    pub(super) async fn run(&self) {
        let mut told: HashMap<Key, Told> = HashMap::new();
        loop {
            self.changed.notified().await;
            let Some(served) = self.served.lock().take() else { continue };
            let mut keep = HashMap::with_capacity(served.len());
            let mut failed = false;
            for ingress in &served {
                let key: Key = (ingress.metadata.namespace.clone().unwrap_or_default(), ingress.metadata.name.clone().unwrap_or_default());
                let mut now = told.remove(&key).filter(|told| told.uid == ingress.metadata.uid).unwrap_or_else(|| Told::new(ingress));
                self.record(&key, ingress, &mut now).await;
                failed |= !self.write_status(&key, ingress, &mut now).await;
                keep.insert(key, now);
            }
            told = keep;
            if failed {
                // Again in a while, unless there is newer work by then.
                tokio::time::sleep(Duration::from_secs(2)).await;
                self.served.lock().get_or_insert(served);
                self.changed.notify_one();
            }
        }
    }

    /// True when the status is (or need not be) as it should.
    async fn write_status(&self, (namespace, name): &Key, ingress: &Ingress, told: &mut Told) -> bool {
        // What was written may not have come back to the cache yet.
        if self.addresses.is_empty() || addresses_of(ingress) == self.addresses || told.written_over == ingress.metadata.resource_version {
            return true;
        }
        let api: Api<Ingress> = Api::namespaced(self.client.clone(), namespace);
        let mut newest = ingress.clone();
        for _ in 0..5 {
            newest.status = Some(IngressStatus { load_balancer: Some(IngressLoadBalancerStatus { ingress: Some(self.addresses.clone()) }) });
            newest.metadata.managed_fields = None;
            match api.replace_status(name, &PostParams::default(), &newest).await {
                Ok(_) => break,
                Err(Error::Api(status)) if status.code == 404 => break,
                Err(Error::Api(status)) if status.code == 409 => match api.get(name).await {
                    Ok(newer) if newer.metadata.uid != ingress.metadata.uid || addresses_of(&newer) == self.addresses => break,
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
