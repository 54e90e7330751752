//! What a name means inside the cluster: an index that takes events, with no server and no clock.
//!
//! Names are in lower case and without a final dot.

mod few;
mod name;

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;

use few::Few;
use name::{Place, place};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An IPv4 address.
    A,
    /// Ports and targets.
    Srv,
    /// A name for an address.
    Ptr,
    /// Text.
    Txt,
    /// The zone's start of authority.
    Soa,
    /// The zone's name servers.
    Ns,
    /// An alias alone.
    Cname,
    /// Any other type: no name of the cluster has it.
    Other,
}

/// One record's data.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Data {
    /// An address.
    A(Ipv4Addr),
    /// An alias; ask again for its target.
    Cname(String),
    /// A port at a target. The target's address is in [`Answer::Found`]'s additional part.
    Srv {
        /// The port.
        port: u16,
        /// Of 100, over all records of the answer.
        weight: u16,
        /// The name.
        target: String,
    },
    /// The name of an address.
    Ptr(String),
    /// Text.
    Txt(String),
    /// This server is the zone's start of authority.
    Soa,
    /// The zone's name server.
    Ns(String),
}

/// What the index knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Records for the name.
    Found {
        /// The records.
        records: Vec<Data>,
        /// Addresses of the names that they mention.
        additional: Vec<(String, Ipv4Addr)>,
    },
    /// The name is there, but has no such record.
    NoData,
    /// There is no such name.
    NoName,
    /// The name is not this cluster's to know.
    Elsewhere,
}

/// The index.
pub struct Records {
    domain: String,
    namespaces: HashSet<Arc<str>>,
    services: HashMap<Name, ServiceRecord>,
    slices: HashMap<Name, Few<Arc<str>, SliceRecord>>,
    owners: HashMap<Name, Name>,
    /// ClusterIP → its Services.
    by_cluster_ip: HashMap<Ipv4Addr, Few<Name, ()>>,
    /// Endpoint → Services that have it, and how often.
    by_endpoint: HashMap<Ipv4Addr, Few<Name, usize>>,
}

type Name = (Arc<str>, Arc<str>);

struct ServiceRecord {
    target: Target,
    ports: Box<[Port]>,
}

enum Target {
    ClusterIps(Box<[Ipv4Addr]>),
    Headless,
    External(Box<str>),
}

#[derive(Clone, PartialEq, Eq)]
struct Port {
    name: Box<str>,
    /// `tcp` or `udp` or `sctp`.
    proto: &'static str,
    port: u16,
}

struct SliceRecord {
    ports: Box<[Port]>,
    endpoints: Box<[EndpointRecord]>,
}

struct EndpointRecord {
    ip: Ipv4Addr,
    hostname: Option<Box<str>>,
}

impl EndpointRecord {
    /// Its hostname, else its address with dashes.
    fn label(&self) -> Cow<'_, str> {
        self.hostname.as_deref().map_or_else(|| self.ip.to_string().replace('.', "-").into(), Cow::Borrowed)
    }
}

/// The version of the specification that the names follow.
const VERSION: &str = "1.1.0";

impl Records {
    /// An empty index of a cluster domain (`cluster.local`).
    pub fn new(domain: &str) -> Records {
        Records {
            domain: domain.trim_matches('.').to_ascii_lowercase(),
            namespaces: HashSet::new(),
            services: HashMap::new(),
            slices: HashMap::new(),
            owners: HashMap::new(),
            by_cluster_ip: HashMap::new(),
            by_endpoint: HashMap::new(),
        }
    }

    /// The cluster's domain.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// A Namespace is there.
    pub fn apply_namespace(&mut self, name: &str) {
        self.namespaces.insert(name.into());
    }

    /// A Namespace was deleted.
    pub fn delete_namespace(&mut self, name: &str) {
        self.namespaces.remove(name);
    }

    /// A Service was added or changed.
    pub fn apply_service(&mut self, service: &Service) {
        let (Some(namespace), Some(name)) = (&service.metadata.namespace, &service.metadata.name) else { return };
        self.delete_service(namespace, name);
        let key = self.name(namespace, name);
        let record = ServiceRecord::of(service);
        if let Target::ClusterIps(ips) = &record.target {
            for ip in ips {
                self.by_cluster_ip.entry(*ip).or_default().entry(key.clone(), || ());
            }
        }
        self.services.insert(key, record);
    }

    /// A Service was deleted.
    pub fn delete_service(&mut self, namespace: &str, name: &str) {
        let key: Name = (namespace.into(), name.into());
        let Some(before) = self.services.remove(&key) else { return };
        if let Target::ClusterIps(ips) = before.target {
            for ip in ips {
                if let Some(names) = self.by_cluster_ip.get_mut(&ip) {
                    names.remove(&key);
                    if names.is_empty() {
                        self.by_cluster_ip.remove(&ip);
                    }
                }
            }
        }
    }

    /// An EndpointSlice was added or changed.
    pub fn apply_slice(&mut self, slice: &EndpointSlice) {
        let (Some(namespace), Some(name)) = (&slice.metadata.namespace, &slice.metadata.name) else { return };
        self.delete_slice(namespace, name);
        let service = slice.metadata.labels.as_ref().and_then(|labels| labels.get("kubernetes.io/service-name"));
        let Some(service) = service.filter(|_| slice.address_type == "IPv4") else { return };
        let owner = self.name(namespace, service);
        let record = SliceRecord::of(slice);
        for endpoint in &record.endpoints {
            *self.by_endpoint.entry(endpoint.ip).or_default().entry(owner.clone(), || 0) += 1;
        }
        let slice: Arc<str> = name.as_str().into();
        self.owners.insert((owner.0.clone(), slice.clone()), owner.clone());
        self.slices.entry(owner).or_default().entry(slice, || record);
    }

    /// An EndpointSlice was deleted.
    pub fn delete_slice(&mut self, namespace: &str, name: &str) {
        let Some(owner) = self.owners.remove(&(namespace.into(), name.into())) else { return };
        let Some(slices) = self.slices.get_mut(&owner) else { return };
        let before = slices.remove(name);
        if slices.is_empty() {
            self.slices.remove(&owner);
        }
        for endpoint in before.iter().flat_map(|slice| &slice.endpoints) {
            let Some(owners) = self.by_endpoint.get_mut(&endpoint.ip) else { continue };
            if let Some(count) = owners.get_mut(&owner) {
                *count -= 1;
                if *count == 0 {
                    owners.remove(&owner);
                }
            }
            if owners.is_empty() {
                self.by_endpoint.remove(&endpoint.ip);
            }
        }
    }

    /// A Service's name, which shares what is known already.
    fn name(&self, namespace: &str, service: &str) -> Name {
        let namespace = self.namespaces.get(namespace).map_or_else(|| namespace.into(), Arc::clone);
        let name: Name = (namespace, service.into());
        let known = self.services.get_key_value(&name).map(|(known, _)| known).or_else(|| self.slices.get_key_value(&name).map(|(known, _)| known));
        known.cloned().unwrap_or(name)
    }

    /// Namespace and name of every known Service: what a re-list compares with.
    pub fn service_names(&self) -> Vec<(Arc<str>, Arc<str>)> {
        self.services.keys().cloned().collect()
    }

    /// Namespace and name of every known EndpointSlice: what a re-list compares with.
    pub fn slice_names(&self) -> Vec<(Arc<str>, Arc<str>)> {
        self.owners.keys().cloned().collect()
    }

    /// Every known Namespace, with an empty first part: what a re-list compares with.
    pub fn namespace_names(&self) -> Vec<(Arc<str>, Arc<str>)> {
        self.namespaces.iter().map(|name| ("".into(), name.clone())).collect()
    }

    /// Answers a question about a name (lower case, no final dot).
    pub fn query(&self, name: &str, kind: Kind) -> Answer {
        match place(name, &self.domain) {
            Place::Elsewhere => Answer::Elsewhere,
            Place::Reverse(ip) => self.reverse(ip, kind),
            Place::Apex => match kind {
                Kind::Soa => found([Data::Soa]),
                Kind::Ns => {
                    let server = format!("ns.dns.{}", self.domain);
                    let additional = self.dns_ips().into_iter().map(|ip| (server.clone(), ip)).collect();
                    Answer::Found { records: vec![Data::Ns(server)], additional }
                }
                _ => Answer::NoData,
            },
            Place::Version if kind == Kind::Txt => found([Data::Txt(VERSION.to_owned())]),
            Place::Version | Place::Between => Answer::NoData,
            Place::NameServer => match self.dns_ips() {
                ips if ips.is_empty() => Answer::NoName,
                ips => only(kind, Kind::A, ips.into_iter().map(Data::A)),
            },
            Place::Namespace(namespace) if self.namespaces.contains(namespace) => Answer::NoData,
            Place::Pod { namespace, ip } if self.namespaces.contains(namespace) => only(kind, Kind::A, [Data::A(ip)]),
            Place::Namespace(_) | Place::Pod { .. } | Place::Nowhere => Answer::NoName,
            Place::Service { namespace, service } => self.service(namespace, service, kind),
            Place::Endpoint { namespace, service, label } => self.endpoint(namespace, service, label, kind),
            Place::Port { namespace, service, port, proto } => self.port(namespace, service, port, proto, kind),
            Place::Protocol { namespace, service, proto } => match self.services.get(&(namespace.into(), service.into())) {
                Some(record) if record.ports.iter().any(|port| port.proto == proto && !port.name.is_empty()) => Answer::NoData,
                _ => Answer::NoName,
            },
        }
    }

    fn service(&self, namespace: &str, service: &str, kind: Kind) -> Answer {
        let key: Name = (namespace.into(), service.into());
        let Some(record) = self.services.get(&key) else { return Answer::NoName };
        match &record.target {
            Target::External(target) => match kind {
                Kind::A | Kind::Cname | Kind::Other => found([Data::Cname(target.to_string())]),
                _ => Answer::NoData,
            },
            _ if kind == Kind::Srv => self.srv(&key, record, |_| true),
            Target::ClusterIps(ips) => only(kind, Kind::A, ips.iter().copied().map(Data::A)),
            Target::Headless => {
                let ips: BTreeSet<Ipv4Addr> = self.endpoints(&key).map(|(_, endpoint)| endpoint.ip).collect();
                // Without endpoints the name is not there at all.
                if ips.is_empty() { Answer::NoName } else { only(kind, Kind::A, ips.into_iter().map(Data::A)) }
            }
        }
    }

    fn endpoint(&self, namespace: &str, service: &str, label: &str, kind: Kind) -> Answer {
        let key: Name = (namespace.into(), service.into());
        if !self.services.contains_key(&key) {
            return Answer::NoName;
        }
        let ips: BTreeSet<Ipv4Addr> = self.endpoints(&key).filter(|(_, endpoint)| endpoint.label() == label).map(|(_, endpoint)| endpoint.ip).collect();
        if ips.is_empty() { Answer::NoName } else { only(kind, Kind::A, ips.into_iter().map(Data::A)) }
    }

    fn port(&self, namespace: &str, service: &str, port: &str, proto: &str, kind: Kind) -> Answer {
        let key: Name = (namespace.into(), service.into());
        let Some(record) = self.services.get(&key) else { return Answer::NoName };
        match self.srv(&key, record, |there| *there.name == *port && there.proto == proto) {
            Answer::NoData => Answer::NoName,
            found if kind == Kind::Srv => found,
            _ => Answer::NoData,
        }
    }

    fn srv(&self, key: &Name, record: &ServiceRecord, wanted: impl Fn(&Port) -> bool) -> Answer {
        let base = self.service_name(key);
        let (mut targets, mut additional) = (BTreeSet::new(), BTreeSet::new());
        match &record.target {
            Target::External(_) => return Answer::NoData,
            Target::ClusterIps(ips) => {
                targets.extend(record.ports.iter().filter(|port| wanted(port)).map(|port| (port.port, base.clone())));
                additional.extend(ips.iter().map(|ip| (base.clone(), *ip)));
            }
            Target::Headless => {
                for (slice, endpoint) in self.endpoints(key) {
                    let target = format!("{}.{base}", endpoint.label());
                    targets.extend(slice.ports.iter().filter(|port| wanted(port)).map(|port| (port.port, target.clone())));
                    additional.insert((target, endpoint.ip));
                }
            }
        }
        if targets.is_empty() {
            return Answer::NoData;
        }
        let weight = (100 / targets.len()).max(1) as u16;
        let records = targets.into_iter().map(|(port, target)| Data::Srv { port, weight, target });
        Answer::Found { records: records.collect(), additional: additional.into_iter().collect() }
    }

    fn reverse(&self, ip: Ipv4Addr, kind: Kind) -> Answer {
        if let Some(names) = self.by_cluster_ip.get(&ip) {
            return only(kind, Kind::Ptr, names.keys().map(|name| Data::Ptr(self.service_name(name))));
        }
        let Some(owners) = self.by_endpoint.get(&ip) else { return Answer::Elsewhere };
        let names = owners.keys().filter(|owner| self.services.contains_key(*owner)).flat_map(|owner| {
            let labels: BTreeSet<Cow<'_, str>> =
                self.endpoints(owner).filter(|(_, endpoint)| endpoint.ip == ip).map(|(_, endpoint)| endpoint.label()).collect();
            labels.into_iter().map(|label| Data::Ptr(format!("{label}.{}", self.service_name(owner)))).collect::<Vec<_>>()
        });
        match names.collect::<Vec<_>>() {
            names if names.is_empty() => Answer::Elsewhere,
            names => only(kind, Kind::Ptr, names),
        }
    }

    fn endpoints(&self, service: &Name) -> impl Iterator<Item = (&SliceRecord, &EndpointRecord)> {
        self.slices.get(service).into_iter().flat_map(|slices| slices.values()).flat_map(|slice| slice.endpoints.iter().map(move |endpoint| (slice, endpoint)))
    }

    fn service_name(&self, (namespace, service): &Name) -> String {
        format!("{service}.{namespace}.svc.{}", self.domain)
    }

    fn dns_ips(&self) -> Vec<Ipv4Addr> {
        match self.services.get(&("kube-system".into(), "kube-dns".into())).map(|record| &record.target) {
            Some(Target::ClusterIps(ips)) => ips.to_vec(),
            _ => Vec::new(),
        }
    }
}

fn found(records: impl IntoIterator<Item = Data>) -> Answer {
    Answer::Found { records: records.into_iter().collect(), additional: Vec::new() }
}

/// The records if their kind is the one that is asked for.
fn only(asked: Kind, kind: Kind, records: impl IntoIterator<Item = Data>) -> Answer {
    if asked == kind { found(records) } else { Answer::NoData }
}

impl ServiceRecord {
    fn of(service: &Service) -> ServiceRecord {
        let nothing = Default::default();
        let spec = service.spec.as_ref().unwrap_or(&nothing);
        let ips = spec.cluster_ips.clone().unwrap_or_else(|| spec.cluster_ip.iter().cloned().collect());
        let target = match spec.type_.as_deref() {
            Some("ExternalName") => Target::External(spec.external_name.as_deref().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase().into()),
            _ if ips.iter().any(|ip| ip == "None") => Target::Headless,
            _ => Target::ClusterIps(ips.iter().filter_map(|ip| ip.parse().ok()).collect()),
        };
        let ports = spec.ports.iter().flatten().filter_map(|port| Port::of(port.name.as_deref(), port.protocol.as_deref(), Some(port.port)));
        ServiceRecord { target, ports: ports.collect() }
    }
}

impl Port {
    fn of(name: Option<&str>, proto: Option<&str>, port: Option<i32>) -> Option<Port> {
        let port = port?.try_into().ok()?;
        let proto = ["tcp", "udp", "sctp"].into_iter().find(|known| known.eq_ignore_ascii_case(proto.unwrap_or("TCP")))?;
        Some(Port { name: name.unwrap_or_default().into(), proto, port })
    }
}

impl SliceRecord {
    fn of(slice: &EndpointSlice) -> SliceRecord {
        let ports = slice.ports.iter().flatten().filter_map(|port| Port::of(port.name.as_deref(), port.protocol.as_deref(), port.port));
        let ready = slice.endpoints.iter().flatten().filter(|endpoint| endpoint.conditions.as_ref().and_then(|conditions| conditions.ready) != Some(false));
        let endpoints = ready.flat_map(|endpoint| {
            let hostname = endpoint.hostname.as_deref().filter(|hostname| !hostname.is_empty());
            endpoint
                .addresses
                .iter()
                .filter_map(|ip| ip.parse::<Ipv4Addr>().ok())
                .map(move |ip| EndpointRecord { ip, hostname: hostname.map(|name| name.to_ascii_lowercase().into()) })
        });
        SliceRecord { ports: ports.collect(), endpoints: endpoints.collect() }
    }
}

#[cfg(test)]
mod tests;
