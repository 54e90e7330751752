//! Services, as far as containers' environments need them: a lean index kept by a watch.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Service;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use parking_lot::RwLock;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::world::env::ServiceLink;

/// All Services with a ClusterIP.
pub struct ServiceLinks {
    index: RwLock<HashMap<String, BTreeMap<String, Arc<ServiceLink>>>>,
    synced: watch::Sender<bool>,
}

impl ServiceLinks {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { index: RwLock::default(), synced: watch::Sender::new(false) })
    }

    /// The Services of a namespace, if its links are wanted, and `default/kubernetes`.
    pub fn of(&self, namespace: &str, links: bool) -> (Vec<ServiceLink>, Option<ServiceLink>) {
        let index = self.index.read();
        let own = index.get(namespace).filter(|_| links).map(|m| m.values().map(|s| (**s).clone()).collect()).unwrap_or_default();
        let kubernetes = index.get("default").and_then(|m| m.get("kubernetes")).map(|s| (**s).clone());
        (own, kubernetes)
    }

    /// Waits until the first list is here: a Pod started before would lack its links.
    pub async fn synced(&self) {
        let _ = self.synced.subscribe().wait_for(|s| *s).await;
    }

    /// Keeps the index until `token` is cancelled.
    pub async fn run(&self, client: kube::Client, token: CancellationToken) {
        let config = watcher::Config::default().streaming_lists();
        // The end comes last, so that it does not wait for a back-off.
        let events = watcher::watcher(kube::Api::<Service>::all(client), config).default_backoff().take_until(token.cancelled());
        let mut events = std::pin::pin!(events);
        let mut fresh: HashMap<String, BTreeMap<String, Arc<ServiceLink>>> = HashMap::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Init) => fresh.clear(),
                Ok(Event::InitApply(service)) => apply(&mut fresh, &service),
                Ok(Event::InitDone) => {
                    *self.index.write() = std::mem::take(&mut fresh);
                    self.synced.send_replace(true);
                }
                Ok(Event::Apply(service)) => apply(&mut self.index.write(), &service),
                Ok(Event::Delete(service)) => remove(&mut self.index.write(), &service),
                Err(error) => tracing::debug!(%error, "watching Services"),
            }
        }
    }
}

fn apply(index: &mut HashMap<String, BTreeMap<String, Arc<ServiceLink>>>, service: &Service) {
    match link(service) {
        Some(link) => {
            let namespace = service.metadata.namespace.clone().unwrap_or_default();
            index.entry(namespace).or_default().insert(link.name.clone(), Arc::new(link));
        }
        None => remove(index, service),
    }
}

fn remove(index: &mut HashMap<String, BTreeMap<String, Arc<ServiceLink>>>, service: &Service) {
    let (namespace, name) = (service.metadata.namespace.as_deref().unwrap_or_default(), service.metadata.name.as_deref().unwrap_or_default());
    if let Some(all) = index.get_mut(namespace) {
        all.remove(name);
    }
}

fn link(service: &Service) -> Option<ServiceLink> {
    let spec = service.spec.as_ref()?;
    let ip = spec.cluster_ip.clone().filter(|ip| !ip.is_empty() && ip != "None")?;
    let ports = spec.ports.iter().flatten();
    let ports = ports.map(|p| (p.name.clone().unwrap_or_default(), u16::try_from(p.port).unwrap_or(0), p.protocol.clone().unwrap_or_else(|| "TCP".to_owned())));
    Some(ServiceLink { name: service.metadata.name.clone()?, ip, ports: ports.collect() })
}
