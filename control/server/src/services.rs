//! ClusterIPs and node ports: given out of memory, so that creates that run together never collide.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use ipnet::Ipv4Net;
use k8s_openapi::api::core::v1::{Service, ServicePort};
use parking_lot::Mutex;
use rand::Rng;
use wharf_api::DynObject;
use wharf_api::field::{Error, Errors, Path};
use wharf_api::status::ApiError;
use wharf_store::{Cursor, EventKind, Item, WatchCache};

use crate::ask::Ask;

const SERVICES: &str = "core/services";

/// What Services hold, and what requests under way are about to.
pub(crate) struct Allocator {
    cidr: Ipv4Net,
    ports: (u16, u16),
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    cursor: Option<Cursor>,
    addresses: HashMap<Ipv4Addr, Owner>,
    node_ports: HashMap<(u16, String), Owner>,
    /// Key of a Service → what it holds.
    held: HashMap<Arc<str>, Held>,
}

/// Who holds an address or port.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Owner {
    /// A Service that is stored.
    Stored(Arc<str>),
    /// So many requests for the Service of that key.
    Reserved(Arc<str>, usize),
}

impl Owner {
    fn key(&self) -> &Arc<str> {
        match self {
            Owner::Stored(key) | Owner::Reserved(key, _) => key,
        }
    }

    /// One more request of the same Service relies on it; whether it has to say so.
    fn share(&mut self) -> bool {
        match self {
            Owner::Stored(_) => false,
            Owner::Reserved(_, requests) => {
                *requests += 1;
                true
            }
        }
    }

    /// A request is over without a write; whether nobody is left.
    fn give_back(&mut self) -> bool {
        match self {
            Owner::Stored(_) => false,
            Owner::Reserved(_, requests) => {
                *requests -= 1;
                *requests == 0
            }
        }
    }

    /// The write has happened: whose it is, where that was not known yet.
    fn store(&mut self) -> Option<Arc<str>> {
        let Owner::Reserved(key, _) = self else { return None };
        let key = key.clone();
        *self = Owner::Stored(key.clone());
        Some(key)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Held {
    addresses: Vec<Ipv4Addr>,
    node_ports: Vec<(u16, String)>,
}

impl Held {
    fn of(service: &Service) -> Held {
        let Some(spec) = &service.spec else { return Held::default() };
        let addresses = spec.cluster_ips.iter().flatten().chain(spec.cluster_ip.iter());
        let mut addresses: Vec<Ipv4Addr> = addresses.filter_map(|a| a.parse().ok()).collect();
        addresses.sort();
        addresses.dedup();
        let ports = spec.ports.iter().flatten().filter_map(|p| Some((u16::try_from(p.node_port?).ok().filter(|n| *n != 0)?, protocol(p))));
        let mut node_ports: Vec<(u16, String)> = ports.collect();
        if let Some(port) = spec.health_check_node_port.and_then(|p| u16::try_from(p).ok()).filter(|p| *p != 0) {
            node_ports.push((port, "TCP".into()));
        }
        Held { addresses, node_ports }
    }
}

fn protocol(port: &ServicePort) -> String {
    port.protocol.clone().unwrap_or_else(|| "TCP".into())
}

/// What a request has taken; given back when it is dropped without [`Reservation::keep`].
pub(crate) struct Reservation<'a> {
    allocator: Option<&'a Allocator>,
    taken: Held,
}

impl Reservation<'_> {
    /// The write has happened: from now on the stored Service holds it. Noted here and not left to its event, which may be forgotten
    /// before anybody asks for an address again.
    pub(crate) fn keep(mut self) {
        let Some(allocator) = self.allocator.take() else { return };
        let mut state = allocator.state.lock();
        let State { addresses, node_ports, held, .. } = &mut *state;
        for address in &self.taken.addresses {
            if let Some(key) = addresses.get_mut(address).and_then(Owner::store) {
                let service = key.split_once("services/").map_or(&*key, |(_, service)| service);
                tracing::info!(service, clusterIP = %address, "allocated clusterIPs");
                held.entry(key).or_default().addresses.push(*address);
            }
        }
        for port in &self.taken.node_ports {
            if let Some(key) = node_ports.get_mut(port).and_then(Owner::store) {
                held.entry(key).or_default().node_ports.push(port.clone());
            }
        }
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        let Some(allocator) = self.allocator else { return };
        let mut state = allocator.state.lock();
        for address in &self.taken.addresses {
            if state.addresses.get_mut(address).is_some_and(Owner::give_back) {
                state.addresses.remove(address);
            }
        }
        for port in &self.taken.node_ports {
            if state.node_ports.get_mut(port).is_some_and(Owner::give_back) {
                state.node_ports.remove(port);
            }
        }
    }
}

/// Gives a Service what it asks for; other kinds pass through. What a dry run took goes back when the reservation is dropped.
pub(crate) fn allocate<'a>(ask: &Ask<'a>, object: &mut dyn DynObject, old: Option<&dyn DynObject>) -> Result<Reservation<'a>, ApiError> {
    let nothing = Reservation { allocator: None, taken: Held::default() };
    let Some(service) = object.as_any_mut().downcast_mut::<Service>() else { return Ok(nothing) };
    let old = old.and_then(|o| o.as_any().downcast_ref::<Service>());
    let allocator = &ask.shared.allocator;
    let name = service.metadata.name.clone().unwrap_or_default();
    let key = ask.served.key(ask.namespace(), &name);
    let (taken, errors) = allocator.take(ask.shared.cache(), &key, service, old);
    let reservation = Reservation { allocator: Some(allocator), taken };
    if errors.is_empty() { Ok(reservation) } else { Err(ApiError::invalid("", "Service", &name, errors)) }
}

impl Allocator {
    pub(crate) fn new(cidr: Ipv4Net, ports: (u16, u16)) -> Allocator {
        Allocator { cidr, ports, state: Mutex::default() }
    }

    fn take(&self, cache: &WatchCache, key: &Arc<str>, service: &mut Service, old: Option<&Service>) -> (Held, Errors) {
        let mut state = self.state.lock();
        state.sync(cache);
        let (mut taken, mut errors) = (Held::default(), Errors::new());
        let Some(spec) = service.spec.as_mut() else { return (taken, errors) };
        let kind = spec.type_.clone().unwrap_or_else(|| "ClusterIP".into());
        let old_spec = old.and_then(|o| o.spec.as_ref());
        let wants_address = kind != "ExternalName";
        let headless = spec.cluster_ip.as_deref() == Some("None") || spec.cluster_ips.as_ref().is_some_and(|ips| ips.first().is_some_and(|i| i == "None"));
        if wants_address && !headless {
            let asked = spec.cluster_ip.clone().filter(|a| !a.is_empty()).or_else(|| spec.cluster_ips.as_ref().and_then(|ips| ips.first().cloned()));
            // An update that leaves the address out keeps it.
            let asked = asked.or_else(|| old_spec.and_then(|s| s.cluster_ip.clone()).filter(|a| !a.is_empty() && a != "None"));
            match asked {
                None => match state.free_address(self.cidr) {
                    Some(address) => {
                        state.addresses.insert(address, Owner::Reserved(key.clone(), 1));
                        taken.addresses.push(address);
                        spec.cluster_ip = Some(address.to_string());
                        spec.cluster_ips = Some(vec![address.to_string()]);
                    }
                    None => errors.push(Error::invalid(&Path::new("spec.clusterIPs"), "", "failed to allocate IP: range is full")),
                },
                Some(text) => {
                    // Rubbish is refused by the kind's own validation.
                    if let Ok(address) = text.parse::<Ipv4Addr>() {
                        let at = Path::new("spec.clusterIPs");
                        let same = state.addresses.get(&address).is_some_and(|o| o.key() == key && old.is_some());
                        if !self.cidr.contains(&address) {
                            let words =
                                format!("failed to allocate IP {text}: the provided IP is not in the valid range. The range of valid IPs is {}", self.cidr);
                            errors.push(Error::invalid(&at, serde_json::json!([text]), words));
                        } else if !same && state.addresses.contains_key(&address) {
                            errors.push(Error::invalid(
                                &at,
                                serde_json::json!([text]),
                                format!("failed to allocate IP {text}: provided IP is already allocated"),
                            ));
                        } else if same {
                            if state.addresses.get_mut(&address).is_some_and(Owner::share) {
                                taken.addresses.push(address);
                            }
                        } else {
                            state.addresses.insert(address, Owner::Reserved(key.clone(), 1));
                            taken.addresses.push(address);
                        }
                    }
                    spec.cluster_ip = Some(text.clone());
                    if spec.cluster_ips.as_ref().is_none_or(Vec::is_empty) {
                        spec.cluster_ips = Some(vec![text]);
                    }
                }
            }
        }
        if headless {
            spec.cluster_ip = Some("None".into());
            spec.cluster_ips = Some(vec!["None".into()]);
        }
        let with_ports = matches!(kind.as_str(), "NodePort") || (kind == "LoadBalancer" && spec.allocate_load_balancer_node_ports != Some(false));
        let old_ports: Vec<ServicePort> = old_spec.and_then(|s| s.ports.clone()).unwrap_or_default();
        for (i, port) in spec.ports.iter_mut().flatten().enumerate() {
            if !with_ports {
                continue;
            }
            let proto = protocol(port);
            // An update that leaves a port's node port out keeps that of the port of the same number.
            if port.node_port.unwrap_or(0) == 0 {
                port.node_port = old_ports.iter().find(|o| o.port == port.port && protocol(o) == proto).and_then(|o| o.node_port).filter(|p| *p != 0);
            }
            let at = Path::new("spec.ports").index(i).child("nodePort");
            match port.node_port.filter(|p| *p != 0) {
                None => match state.free_port(self.ports, &proto) {
                    Some(free) => {
                        state.node_ports.insert((free, proto.clone()), Owner::Reserved(key.clone(), 1));
                        taken.node_ports.push((free, proto));
                        port.node_port = Some(i32::from(free));
                    }
                    None => errors.push(Error::invalid(&at, 0_i64, "failed to allocate a nodePort: range is full")),
                },
                Some(asked) => {
                    let wanted = u16::try_from(asked).unwrap_or(0);
                    let slot = (wanted, proto);
                    let same = state.node_ports.get(&slot).is_some_and(|o| o.key() == key);
                    if wanted < self.ports.0 || wanted > self.ports.1 {
                        let words = format!("provided port is not in the valid range. The range of valid ports is {}-{}", self.ports.0, self.ports.1);
                        errors.push(Error::invalid(&at, i64::from(asked), words));
                    } else if !same && state.node_ports.contains_key(&slot) {
                        errors.push(Error::invalid(&at, i64::from(asked), "provided port is already allocated"));
                    } else if same {
                        if state.node_ports.get_mut(&slot).is_some_and(Owner::share) {
                            taken.node_ports.push(slot);
                        }
                    } else {
                        state.node_ports.insert(slot.clone(), Owner::Reserved(key.clone(), 1));
                        taken.node_ports.push(slot);
                    }
                }
            }
        }
        (taken, errors)
    }
}

impl State {
    /// Takes up what was written since the last time.
    fn sync(&mut self, cache: &WatchCache) {
        loop {
            let Some(cursor) = &mut self.cursor else {
                let snapshot = cache.snapshot(SERVICES);
                let gone: Vec<Arc<str>> = self.held.keys().cloned().collect();
                for key in gone {
                    self.release(&key);
                }
                for item in snapshot.range("", None) {
                    self.set(item);
                }
                self.cursor = cache.watch(SERVICES, snapshot.revision()).ok();
                if self.cursor.is_none() {
                    return;
                }
                continue;
            };
            match cursor.poll() {
                Ok(events) if events.is_empty() => return,
                Ok(events) => {
                    for event in events {
                        match event.kind {
                            EventKind::Deleted => self.release(event.item.key()),
                            EventKind::Added | EventKind::Modified => self.set(&event.item),
                        }
                    }
                }
                Err(_) => self.cursor = None,
            }
        }
    }

    fn set(&mut self, item: &Item) {
        let Ok(service) = serde_json::from_slice::<Service>(&item.json()) else { return };
        let key = item.key().clone();
        self.release(&key);
        let held = Held::of(&service);
        for address in &held.addresses {
            self.addresses.insert(*address, Owner::Stored(key.clone()));
        }
        for port in &held.node_ports {
            self.node_ports.insert(port.clone(), Owner::Stored(key.clone()));
        }
        self.held.insert(key, held);
    }

    fn release(&mut self, key: &Arc<str>) {
        let Some(held) = self.held.remove(key) else { return };
        for address in held.addresses {
            if self.addresses.get(&address) == Some(&Owner::Stored(key.clone())) {
                self.addresses.remove(&address);
            }
        }
        for port in held.node_ports {
            if self.node_ports.get(&port) == Some(&Owner::Stored(key.clone())) {
                self.node_ports.remove(&port);
            }
        }
    }

    /// A free address, by chance, out of the upper part of the range: the lower is for those who ask for an address.
    fn free_address(&self, cidr: Ipv4Net) -> Option<Ipv4Addr> {
        let (first, last) = (u32::from(cidr.network()) + 1, u32::from(cidr.broadcast()).checked_sub(1)?);
        let size = last.checked_sub(first)? + 1;
        let fixed = if size < 16 { 0 } else { (size / 16).clamp(16, 256) };
        let mut rng = rand::rng();
        let upper = first + fixed..=last;
        if !upper.is_empty() {
            for _ in 0..64 {
                let address = Ipv4Addr::from(rng.random_range(upper.clone()));
                if !self.addresses.contains_key(&address) {
                    return Some(address);
                }
            }
        }
        (first + fixed..=last).chain(first..first + fixed).map(Ipv4Addr::from).find(|a| !self.addresses.contains_key(a))
    }

    fn free_port(&self, (first, last): (u16, u16), protocol: &str) -> Option<u16> {
        let free = |port: u16| {
            // A port stands for all protocols where it is chosen for the user.
            !["TCP", "UDP", "SCTP", protocol].iter().any(|p| self.node_ports.contains_key(&(port, (*p).to_owned())))
        };
        let fixed = first.saturating_add(((last - first) / 32).clamp(16, 128)).min(last);
        let mut rng = rand::rng();
        (0..64).map(|_| rng.random_range(fixed..=last)).find(|p| free(*p)).or_else(|| (first..=last).find(|p| free(*p)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_api::encode::encode;
    use wharf_store::{Expect, Limits, NewValue, Options, RedbStore, Store, Write};

    fn service(port: i32) -> Service {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": "s", "namespace": "a"},
            "spec": {"type": "NodePort", "clusterIP": "10.96.0.50", "ports": [{"port": 80, "nodePort": port}]},
        }))
        .unwrap()
    }

    async fn write(store: &RedbStore, key: &Arc<str>, service: Option<&Service>) {
        let expect = if service.is_some() { Expect::Absent } else { Expect::Exists };
        let value = service.map(|s| encode(s).map(|(json, revision_at)| NewValue { json, revision_at }).unwrap());
        store.write(Write { key: key.clone(), expect, value }).await.unwrap();
    }

    #[tokio::test]
    async fn what_a_service_held_is_free_again_even_when_its_events_are_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let history = Limits { min_age: std::time::Duration::ZERO, max_age: std::time::Duration::ZERO, soft_bytes: 0, max_bytes: 0 };
        let store = RedbStore::open(&dir.path().join("s"), Options { history, ..Options::default() }).unwrap();
        let allocator = Allocator::new("10.96.0.0/12".parse().unwrap(), (30000, 32767));
        let key = wharf_store::key("", "services", "a", "s");
        for round in 0..2 {
            let mut made = service(30001);
            let (taken, errors) = allocator.take(store.cache(), &key, &mut made, None);
            assert!(errors.is_empty(), "round {round}: {errors:?}");
            write(&store, &key, Some(&made)).await;
            Reservation { allocator: Some(&allocator), taken }.keep();
            let other = wharf_store::key("", "services", "a", "other");
            assert_eq!(allocator.take(store.cache(), &other, &mut service(30001), None).1.len(), 2, "held while it is there");
            write(&store, &key, None).await;
        }
    }

    #[tokio::test]
    async fn a_request_that_fails_takes_nothing_from_another_of_the_same_service() {
        let dir = tempfile::tempdir().unwrap();
        let store = RedbStore::open(&dir.path().join("s"), Options::default()).unwrap();
        let allocator = Allocator::new("10.96.0.0/12".parse().unwrap(), (30000, 32767));
        let key = wharf_store::key("", "services", "a", "s");
        let old = service(30000);
        let take = |port| {
            let (taken, errors) = allocator.take(store.cache(), &key, &mut service(port), Some(&old));
            assert!(errors.is_empty(), "{errors:?}");
            Reservation { allocator: Some(&allocator), taken }
        };
        let (first, second) = (take(30001), take(30001));
        drop(first);
        let other = wharf_store::key("", "services", "a", "other");
        assert_eq!(allocator.take(store.cache(), &other, &mut service(30001), None).1.len(), 2, "the second still relies on both");
        drop(second);
        assert_eq!(allocator.take(store.cache(), &other, &mut service(30001), None).1.len(), 0);
    }
}
