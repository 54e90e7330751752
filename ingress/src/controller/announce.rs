//! Tells the Ingresses that are served: their status names the address, and an Event says so.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::api::networking::v1::{Ingress, IngressLoadBalancerStatus, IngressStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, Error};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::Kept;
use crate::kept::{address, addresses_of, parts};

const COMPONENT: &str = "nginx-ingress-controller";

/// Works through the served Ingresses in its own time, the newest state of each.
pub(super) struct Announcer {
    client: Client,
    /// What Ingresses are told; `None` while another replica tells them.
    addresses: Mutex<Option<Vec<IpAddr>>>,
    served: Mutex<Vec<Arc<Kept>>>,
    changed: Notify,
}

/// What an Ingress was told.
struct Told {
    /// As it was then.
    ingress: Arc<Kept>,
    /// What ends the name of its Event.
    event: Option<u64>,
    count: i32,
    /// The status of this version was replaced.
    written: bool,
}

impl Announcer {
    /// Silent until it is told what to say.
    pub(super) fn new(client: Client) -> Announcer {
        Announcer { client, addresses: Mutex::default(), served: Mutex::default(), changed: Notify::new() }
    }

    /// These are served now.
    pub(super) fn serves(&self, ingresses: Vec<Arc<Kept>>) {
        *self.served.lock() = ingresses;
        self.changed.notify_one();
    }

    /// They are served at these addresses. `None`: it is for another to say.
    pub(super) fn publish(&self, addresses: Option<Vec<IpAddr>>) {
        if std::mem::replace(&mut *self.addresses.lock(), addresses.clone()) != addresses {
            self.changed.notify_one();
        }
    }

    pub(super) async fn run(&self) {
        let mut told: Vec<Told> = Vec::new();
        loop {
            self.changed.notified().await;
            let (served, addresses) = (self.served.lock().clone(), self.addresses.lock().clone());
            let mut before: HashMap<Arc<str>, Told> = std::mem::take(&mut told).into_iter().map(|told| (told.ingress.name.clone(), told)).collect();
            let Some(addresses) = addresses else { continue };
            told.reserve_exact(served.len());
            let mut failed = false;
            for ingress in served {
                let last = before.remove(&ingress.name).filter(|told| told.ingress.uid == ingress.uid);
                let known = last
                    .as_ref()
                    .is_some_and(|told| told.event.is_some() && (told.ingress.generation, told.ingress.annotated) == (ingress.generation, ingress.annotated));
                let written = last.as_ref().is_some_and(|told| told.written && told.ingress.version == ingress.version);
                let (event, count) = last.map_or((None, 0), |told| (told.event, told.count));
                let mut now = Told { ingress, event, count, written };
                if !known {
                    self.record(&mut now).await;
                }
                // What was written may not have come back to the watch yet.
                if !now.written && !addresses.is_empty() && now.ingress.addresses.as_deref() != Some(&addresses) {
                    now.written = self.write_status(&now.ingress, &addresses).await;
                    failed |= !now.written;
                }
                told.push(now);
            }
            if failed {
                // Again in a while, unless there is newer work by then.
                tokio::time::sleep(Duration::from_secs(2)).await;
                self.changed.notify_one();
            }
        }
    }

    /// True when the status is as it should.
    async fn write_status(&self, ingress: &Kept, addresses: &[IpAddr]) -> bool {
        let (namespace, name) = parts(&ingress.name);
        let api: Api<Ingress> = Api::namespaced(self.client.clone(), namespace);
        for _ in 0..5 {
            match replace_status(&api, name, ingress.uid.as_deref(), addresses).await {
                Ok(()) => break,
                Err(Error::Api(status)) if status.code == 404 => break,
                Err(Error::Api(status)) if status.code == 409 => {}
                Err(error) => {
                    tracing::warn!(%namespace, %name, %error, "updating the Ingress' status");
                    return false;
                }
            }
        }
        true
    }

    /// Records that the Ingress was taken up, once for each version of it that the user made.
    async fn record(&self, told: &mut Told) {
        let ingress = &told.ingress;
        let (namespace, name) = parts(&ingress.name);
        tracing::info!(object = %ingress.name, kind = "Ingress", reason = "Sync", note = "Scheduled for sync", "Event occurred");
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let named = |event: u64| format!("{name}.{event:016x}");
        let now = Time(jiff::Timestamp::now());
        if let Some(event) = told.event {
            told.count += 1;
            let patch = serde_json::json!({ "count": told.count, "lastTimestamp": now });
            if api.patch(&named(event), &PatchParams::default(), &Patch::Merge(patch)).await.is_ok() {
                return;
            }
        }
        let new = rand::random();
        let event = Event {
            metadata: ObjectMeta { name: Some(named(new)), namespace: Some(namespace.to_owned()), ..ObjectMeta::default() },
            involved_object: ObjectReference {
                api_version: Some("networking.k8s.io/v1".to_owned()),
                kind: Some("Ingress".to_owned()),
                namespace: Some(namespace.to_owned()),
                name: Some(name.to_owned()),
                uid: ingress.uid.as_deref().map(str::to_owned),
                resource_version: ingress.version.as_deref().map(str::to_owned),
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
            Ok(_) => (told.event, told.count) = (Some(new), 1),
            Err(error) => tracing::debug!(%namespace, %name, %error, "recording an Event"),
        }
    }
}

/// Makes the status of the newest version name these addresses, unless it does; of an Ingress that has taken the place of ours nothing is said.
async fn replace_status(api: &Api<Ingress>, name: &str, uid: Option<&str>, addresses: &[IpAddr]) -> Result<(), Error> {
    let mut newest = api.get(name).await?;
    if newest.metadata.uid.as_deref() != uid || addresses_of(&newest).as_deref() == Some(addresses) {
        return Ok(());
    }
    let named = addresses.iter().copied().map(address).collect();
    newest.status = Some(IngressStatus { load_balancer: Some(IngressLoadBalancerStatus { ingress: Some(named) }) });
    newest.metadata.managed_fields = None;
    api.replace_status(name, &PostParams::default(), &newest).await.map(drop)
}
