//! What a Service address means: an index that is fed with Services and EndpointSlices and picks ready endpoints.
//!
//! As kube-proxy: round robin over ready endpoints, or over terminating ones that still serve when none is ready; `ClientIP` affinity;
//! ClusterIPs, external IPs and node ports. A [`Backend`] is a lasting handle on a Service's port for proxies: looking it up costs no lock.

mod affinity;
mod objects;

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use parking_lot::{Mutex, RwLock};

use crate::Proto;
use affinity::Affinity;
use objects::{ServiceSpec, Slice};

/// One address and port behind a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// A cluster address (or one outside, of a hand-made EndpointSlice).
    pub address: SocketAddr,
    /// The node that runs it, where the slice says so.
    pub node: Option<Arc<str>>,
}

/// How a port of a Service is referred to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PortRef {
    /// By `spec.ports[].port`.
    Number(u16),
    /// By `spec.ports[].name`.
    Name(Arc<str>),
}

/// What an address means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// A Service's; this endpoint was picked.
    Endpoint(SocketAddr),
    /// A Service's without an endpoint to send to.
    NoEndpoints,
    /// No Service's.
    NotAService,
}

/// What a [`Backend`] offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// This endpoint.
    Endpoint(SocketAddr),
    /// The Service is there but has no endpoint to send to.
    NoEndpoints,
    /// There is no such Service, or it has no such port.
    NoService,
    /// The Service stands for a name outside.
    External {
        /// `spec.externalName`.
        host: Arc<str>,
        /// The port.
        port: u16,
    },
}

/// An address that a Service can be reached at.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Front {
    /// The ClusterIP or external IP; `None`: a node port, on every node's address.
    pub ip: Option<Ipv4Addr>,
    /// The Service's port or node port.
    pub port: u16,
    /// The protocol.
    pub proto: Proto,
}

/// The index.
#[derive(Default)]
pub struct Services {
    known: Mutex<Known>,
    fronts: RwLock<HashMap<Front, Arc<Slot>>>,
}

type Name = (Arc<str>, Arc<str>);

/// What the events have said so far.
#[derive(Default)]
struct Known {
    services: HashMap<Name, ServiceSpec>,
    /// By Service; each with its name. Most Services have one.
    slices: HashMap<Name, Vec<(Arc<str>, Slice)>>,
    /// Slice → the Service it belongs to.
    owners: HashMap<Name, Name>,
    slots: HashMap<Name, Arc<Slot>>,
}

/// A Service's place in the index; it outlives the Service while a backend refers to it.
struct Slot {
    state: ArcSwap<State>,
    affinity: Mutex<Affinity>,
}

#[derive(Default)]
struct State {
    exists: bool,
    ports: Box<[Port]>,
    affinity: Option<Duration>,
    external_name: Option<Arc<str>>,
    fronts: Box<[Front]>,
}

struct Port {
    name: Arc<str>,
    proto: Proto,
    port: u16,
    node_port: Option<u16>,
    endpoints: Box<[Endpoint]>,
    next: AtomicUsize,
}

/// A lasting handle on one port of one Service, there or not yet there.
#[derive(Clone)]
pub struct Backend {
    slot: Arc<Slot>,
    port: PortRef,
}

/// At most so many endpoints are asked whether they are preferred.
const PREFER_AMONG: usize = 16;

impl Services {
    /// An empty index.
    pub fn new() -> Arc<Services> {
        Arc::default()
    }

    /// A Service was added or changed.
    pub fn apply_service(&self, service: &Service) {
        let Some(name) = name_of(&service.metadata.namespace, &service.metadata.name) else { return };
        let mut known = self.known.lock();
        let name = known.name(name);
        known.services.insert(name.clone(), ServiceSpec::of(service));
        self.rebuild(&mut known, &name);
    }

    /// A Service was deleted.
    pub fn delete_service(&self, namespace: &str, name: &str) {
        let (mut known, name) = (self.known.lock(), (namespace.into(), name.into()));
        if known.services.remove(&name).is_some() {
            self.rebuild(&mut known, &name);
        }
    }

    /// An EndpointSlice was added or changed.
    pub fn apply_slice(&self, slice: &EndpointSlice) {
        let Some(name) = name_of(&slice.metadata.namespace, &slice.metadata.name) else { return };
        let service = slice.metadata.labels.as_ref().and_then(|labels| labels.get("kubernetes.io/service-name"));
        let Some(service) = service.filter(|_| slice.address_type == "IPv4") else {
            return self.delete_slice(&name.0, &name.1);
        };
        let mut known = self.known.lock();
        let service = known.name((name.0, service.as_str().into()));
        let name: Name = (service.0.clone(), name.1);
        if let Some(before) = known.owners.insert(name.clone(), service.clone()).filter(|before| *before != service) {
            known.take_slice(&before, &name.1);
            self.rebuild(&mut known, &before);
        }
        let slices = known.slices.entry(service.clone()).or_insert_with(|| Vec::with_capacity(1));
        match slices.iter_mut().find(|(there, _)| *there == name.1) {
            Some((_, there)) => *there = Slice::of(slice),
            None => slices.push((name.1, Slice::of(slice))),
        }
        self.rebuild(&mut known, &service);
    }

    /// An EndpointSlice was deleted.
    pub fn delete_slice(&self, namespace: &str, name: &str) {
        let (mut known, name): (_, Name) = (self.known.lock(), (namespace.into(), name.into()));
        if let Some(service) = known.owners.remove(&name) {
            known.take_slice(&service, &name.1);
            self.rebuild(&mut known, &service);
        }
    }

    /// Namespace and name of every known Service: what a re-list compares with.
    pub fn service_names(&self) -> Vec<(Arc<str>, Arc<str>)> {
        self.known.lock().services.keys().cloned().collect()
    }

    /// Namespace and name of every known EndpointSlice: what a re-list compares with.
    pub fn slice_names(&self) -> Vec<(Arc<str>, Arc<str>)> {
        self.known.lock().owners.keys().cloned().collect()
    }

    /// Picks an endpoint for a connection from `client` to a ClusterIP or external IP.
    pub fn route(&self, ip: Ipv4Addr, port: u16, proto: Proto, client: IpAddr) -> Route {
        self.route_front(&Front { ip: Some(ip), port, proto }, client, Instant::now())
    }

    /// Picks an endpoint for a connection from `client` to a node port.
    pub fn route_node_port(&self, port: u16, proto: Proto, client: IpAddr) -> Route {
        self.route_front(&Front { ip: None, port, proto }, client, Instant::now())
    }

    fn route_front(&self, front: &Front, client: IpAddr, now: Instant) -> Route {
        let Some(slot) = self.fronts.read().get(front).cloned() else { return Route::NotAService };
        let state = slot.state.load();
        let port =
            state.ports.iter().find(|p| p.proto == front.proto && if front.ip.is_some() { p.port == front.port } else { p.node_port == Some(front.port) });
        match port {
            None => Route::NotAService,
            Some(port) => slot.pick(&state, port, client, now, &[], |_| true).map_or(Route::NoEndpoints, Route::Endpoint),
        }
    }

    /// Every address that Services can be reached at, sorted: what proxies for native programs listen on.
    pub fn fronts(&self) -> Vec<Front> {
        let mut fronts: Vec<Front> = self.fronts.read().keys().cloned().collect();
        fronts.sort();
        fronts
    }

    /// A lasting handle for proxies; it can be taken before the Service is there.
    pub fn backend(&self, namespace: &str, name: &str, port: PortRef) -> Backend {
        let mut known = self.known.lock();
        known.sweep();
        Backend { slot: known.slot(&(namespace.into(), name.into())), port }
    }

    /// The ready endpoints of a Service's port, in no particular order.
    pub fn endpoints(&self, namespace: &str, name: &str, port: PortRef) -> Vec<Endpoint> {
        self.backend(namespace, name, port).endpoints()
    }

    /// Works out anew what a Service means.
    fn rebuild(&self, known: &mut Known, name: &Name) {
        let slot = known.slot(name);
        let state = match known.services.get(name) {
            Some(spec) => State::of(spec, known.slices.get(name)),
            None => State::default(),
        };
        let before: HashSet<Front> = slot.state.load().fronts.iter().cloned().collect();
        let after: HashSet<Front> = state.fronts.iter().cloned().collect();
        slot.affinity.lock().keep(state.ports.iter().flat_map(|port| &port.endpoints).map(|endpoint| endpoint.address), state.affinity.is_some());
        slot.state.store(Arc::new(state));
        if before != after {
            let mut fronts = self.fronts.write();
            for gone in before.difference(&after) {
                if fronts.get(gone).is_some_and(|held| Arc::ptr_eq(held, &slot)) {
                    fronts.remove(gone);
                }
            }
            for new in after.difference(&before) {
                fronts.insert(new.clone(), slot.clone());
            }
        }
        drop(slot);
        known.sweep_one(name);
    }
}

impl Known {
    /// A Service's name, which shares what is known already.
    fn name(&self, name: Name) -> Name {
        self.slots.get_key_value(&name).map_or(name, |(known, _)| known.clone())
    }

    fn slot(&mut self, name: &Name) -> Arc<Slot> {
        let new = || Arc::new(Slot { state: ArcSwap::default(), affinity: Mutex::default() });
        self.slots.entry(name.clone()).or_insert_with(new).clone()
    }

    fn take_slice(&mut self, service: &Name, slice: &Arc<str>) {
        if let Some(slices) = self.slices.get_mut(service) {
            slices.retain(|(there, _)| there != slice);
            if slices.is_empty() {
                self.slices.remove(service);
            }
        }
    }

    /// Forgets the places of Services that are gone and that nobody refers to.
    fn sweep(&mut self) {
        let services = &self.services;
        // Walked only when forgotten places may be a good part of all.
        if self.slots.len() > 2 * services.len() + 64 {
            self.slots.retain(|name, slot| services.contains_key(name) || Arc::strong_count(slot) > 1);
        }
    }

    fn sweep_one(&mut self, name: &Name) {
        if !self.services.contains_key(name) && self.slots.get(name).is_some_and(|slot| Arc::strong_count(slot) == 1) {
            self.slots.remove(name);
        }
    }
}

impl Slot {
    fn pick(
        &self,
        state: &State,
        port: &Port,
        client: IpAddr,
        now: Instant,
        avoid: &[SocketAddr],
        prefer: impl FnMut(SocketAddr) -> bool,
    ) -> Option<SocketAddr> {
        let Some(timeout) = state.affinity else { return port.next(avoid, prefer) };
        let key = (client, port.port, port.proto);
        let mut affinity = self.affinity.lock();
        let kept = affinity.get(key, timeout, now).filter(|kept| !avoid.contains(kept) && port.endpoints.iter().any(|e| e.address == *kept));
        let picked = kept.or_else(|| port.next(avoid, prefer))?;
        affinity.put(key, picked, timeout, now);
        Some(picked)
    }
}

impl Port {
    /// Round robin; a preferred endpoint is looked for among the next few.
    fn next(&self, avoid: &[SocketAddr], mut prefer: impl FnMut(SocketAddr) -> bool) -> Option<SocketAddr> {
        let count = self.endpoints.len();
        if count == 0 {
            return None;
        }
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        let mut candidates = (0..count).map(|i| self.endpoints[(start.wrapping_add(i)) % count].address).filter(|address| !avoid.contains(address));
        let first = candidates.next()?;
        if prefer(first) {
            return Some(first);
        }
        Some(candidates.take(PREFER_AMONG - 1).find(|address| prefer(*address)).unwrap_or(first))
    }
}

impl Backend {
    /// Picks an endpoint for a request from `client`, none of those to `avoid` (they failed), one that is `prefer`red if there is one near.
    pub fn pick(&self, client: IpAddr, avoid: &[SocketAddr], prefer: impl FnMut(SocketAddr) -> bool) -> Choice {
        let state = self.slot.state.load();
        if let Some(host) = &state.external_name {
            let port = match (&self.port, state.port(&self.port)) {
                (_, Some(port)) => port.port,
                (PortRef::Number(number), None) => *number,
                (PortRef::Name(_), None) => return Choice::NoService,
            };
            return Choice::External { host: host.clone(), port };
        }
        let Some(port) = state.port(&self.port) else { return Choice::NoService };
        let now = if state.affinity.is_some() { Instant::now() } else { *EPOCH };
        self.slot.pick(&state, port, client, now, avoid, prefer).map_or(Choice::NoEndpoints, Choice::Endpoint)
    }

    /// Whether there is such a Service with such a port now.
    pub fn exists(&self) -> bool {
        let state = self.slot.state.load();
        state.exists && (state.external_name.is_some() || state.port(&self.port).is_some())
    }

    /// The endpoints that it can pick from now.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        let state = self.slot.state.load();
        state.port(&self.port).map(|port| port.endpoints.to_vec()).unwrap_or_default()
    }
}

/// Stands for "now" where time does not matter, so that the clock is not read for every request.
static EPOCH: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);

impl State {
    fn of(spec: &ServiceSpec, slices: Option<&Vec<(Arc<str>, Slice)>>) -> State {
        let ports: Box<[Port]> = spec
            .ports
            .iter()
            .map(|port| Port {
                name: port.name.clone(),
                proto: port.proto,
                port: port.port,
                node_port: port.node_port,
                endpoints: slices.map(|slices| port.endpoints(slices)).unwrap_or_default(),
                next: AtomicUsize::new(rand::random_range(0..1 << 16)),
            })
            .collect();
        let mut fronts = Vec::new();
        for port in &*ports {
            fronts.extend(spec.addresses.iter().map(|ip| Front { ip: Some(*ip), port: port.port, proto: port.proto }));
            fronts.extend(port.node_port.map(|node_port| Front { ip: None, port: node_port, proto: port.proto }));
        }
        State { exists: true, ports, affinity: spec.affinity, external_name: spec.external_name.clone(), fronts: fronts.into() }
    }

    fn port(&self, port: &PortRef) -> Option<&Port> {
        match port {
            // Of two protocols on one port, a proxy means TCP.
            PortRef::Number(number) => {
                let mut found = self.ports.iter().filter(|p| p.port == *number);
                let first = found.next()?;
                Some(if first.proto == Proto::Tcp { first } else { found.find(|p| p.proto == Proto::Tcp).unwrap_or(first) })
            }
            PortRef::Name(name) => self.ports.iter().find(|p| p.name == *name),
        }
    }
}

fn name_of(namespace: &Option<String>, name: &Option<String>) -> Option<Name> {
    Some((namespace.as_deref()?.into(), name.as_deref()?.into()))
}

#[cfg(test)]
pub(crate) mod tests;
