//! Services, as far as containers' environments need them: a lean index kept by a watch.

use std::borrow::Cow;
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

/// What is kept of a Service: there may be thousands, on each node.
struct Known {
    ip: Box<str>,
    ports: Box<[Port]>,
}

struct Port {
    name: Box<str>,
    number: u16,
    protocol: Cow<'static, str>,
}

impl Known {
    fn link(&self, name: &str) -> ServiceLink {
        let ports = self.ports.iter().map(|port| (port.name.to_string(), port.number, port.protocol.to_string()));
        ServiceLink { name: name.to_owned(), ip: self.ip.to_string(), ports: ports.collect() }
    }
}

/// All Services with a ClusterIP; nodes of one process share them.
pub struct ServiceLinks {
    index: RwLock<HashMap<String, BTreeMap<Box<str>, Known>>>,
    synced: watch::Sender<bool>,
    /// Held by the node that keeps the index; when that stops, another does.
    keeper: tokio::sync::Mutex<()>,
}

impl ServiceLinks {
    /// Empty, until a node keeps them.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { index: RwLock::default(), synced: watch::Sender::new(false), keeper: tokio::sync::Mutex::default() })
    }

    /// The Services of a namespace, if its links are wanted, and `default/kubernetes`.
    pub(crate) fn of(&self, namespace: &str, links: bool) -> (Vec<ServiceLink>, Option<ServiceLink>) {
        let index = self.index.read();
        let own = index.get(namespace).filter(|_| links).map(|m| m.iter().map(|(name, known)| known.link(name)).collect()).unwrap_or_default();
        let kubernetes = index.get("default").and_then(|m| m.get("kubernetes")).map(|known| known.link("kubernetes"));
        (own, kubernetes)
    }

    /// Waits until the first list is here: a Pod started before would lack its links.
    pub(crate) async fn synced(&self) {
        let _ = self.synced.subscribe().wait_for(|s| *s).await;
    }

    /// Keeps the index until `token` is cancelled, unless another node does.
    pub(crate) async fn run(&self, client: kube::Client, token: CancellationToken) {
        let Some(_keeper) = token.run_until_cancelled(self.keeper.lock()).await else { return };
        let config = watcher::Config::default().streaming_lists();
        // The end comes last, so that it does not wait for a back-off.
        let events = watcher::watcher(kube::Api::<Service>::all(client), config).default_backoff().take_until(token.cancelled());
        let mut events = std::pin::pin!(events);
        let mut fresh: HashMap<String, BTreeMap<Box<str>, Known>> = HashMap::new();
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

fn apply(index: &mut HashMap<String, BTreeMap<Box<str>, Known>>, service: &Service) {
    match known(service) {
        Some((name, known)) => {
            let namespace = service.metadata.namespace.clone().unwrap_or_default();
            index.entry(namespace).or_default().insert(name.into(), known);
        }
        None => remove(index, service),
    }
}

fn remove(index: &mut HashMap<String, BTreeMap<Box<str>, Known>>, service: &Service) {
    let (namespace, name) = (service.metadata.namespace.as_deref().unwrap_or_default(), service.metadata.name.as_deref().unwrap_or_default());
    if let Some(all) = index.get_mut(namespace) {
        all.remove(name);
    }
}

fn known(service: &Service) -> Option<(&str, Known)> {
    let spec = service.spec.as_ref()?;
    let ip = spec.cluster_ip.as_deref().filter(|ip| !ip.is_empty() && *ip != "None")?;
    let ports = spec.ports.iter().flatten().map(|p| {
        let protocol = match p.protocol.as_deref() {
            None | Some("TCP") => "TCP".into(),
            Some("UDP") => "UDP".into(),
            Some(other) => other.to_owned().into(),
        };
        Port { name: p.name.as_deref().unwrap_or_default().into(), number: u16::try_from(p.port).unwrap_or(0), protocol }
    });
    Some((service.metadata.name.as_deref()?, Known { ip: ip.into(), ports: ports.collect() }))
}
