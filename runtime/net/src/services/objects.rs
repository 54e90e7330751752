//! What of a Service and of an EndpointSlice matters for picking endpoints.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;

use super::Endpoint;
use crate::Proto;

pub(super) struct ServiceSpec {
    pub(super) addresses: Box<[Ipv4Addr]>,
    pub(super) ports: Box<[ServicePort]>,
    pub(super) affinity: Option<Duration>,
    pub(super) external_name: Option<Arc<str>>,
}

pub(super) struct ServicePort {
    pub(super) name: Arc<str>,
    pub(super) proto: Proto,
    pub(super) port: u16,
    pub(super) node_port: Option<u16>,
}

pub(super) struct Slice {
    ports: Box<[SlicePort]>,
    endpoints: Box<[SliceEndpoint]>,
}

struct SlicePort {
    name: Arc<str>,
    proto: Proto,
    target: Option<u16>,
}

struct SliceEndpoint {
    ip: Ipv4Addr,
    ready: bool,
    serving_while_terminating: bool,
    node: Option<Arc<str>>,
}

impl ServicePort {
    pub(super) fn endpoints(&self, slices: &[(Arc<str>, Slice)]) -> Box<[Endpoint]> {
        let (mut ready, mut serving) = (Vec::new(), Vec::new());
        let mut seen = HashSet::new();
        for (_, slice) in slices {
            for target in slice.ports.iter().filter(|p| p.name == self.name && p.proto == self.proto).filter_map(|p| p.target) {
                for SliceEndpoint { ip, ready: is_ready, serving_while_terminating, node } in &slice.endpoints {
                    let address = SocketAddr::V4(SocketAddrV4::new(*ip, target));
                    let list = match (is_ready, serving_while_terminating) {
                        (true, _) => &mut ready,
                        (false, true) => &mut serving,
                        _ => continue,
                    };
                    if seen.insert((address, *is_ready)) {
                        list.push(Endpoint { address, node: node.clone() });
                    }
                }
            }
        }
        if ready.is_empty() { serving } else { ready }.into()
    }
}

impl ServiceSpec {
    pub(super) fn of(service: &Service) -> ServiceSpec {
        let nothing = Default::default();
        let spec = service.spec.as_ref().unwrap_or(&nothing);
        let external = spec.type_.as_deref() == Some("ExternalName");
        let cluster_ips = spec.cluster_ips.clone().unwrap_or_else(|| spec.cluster_ip.iter().cloned().collect());
        let balancer = service.status.iter().filter_map(|status| status.load_balancer.as_ref()?.ingress.as_ref()).flatten();
        let vips = balancer.filter(|ingress| ingress.ip_mode.as_deref() != Some("Proxy")).filter_map(|ingress| ingress.ip.as_ref());
        let all = cluster_ips.iter().chain(spec.external_ips.iter().flatten()).chain(vips);
        let timeout = spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref()?.timeout_seconds).unwrap_or(10_800);
        ServiceSpec {
            addresses: if external { Box::default() } else { all.filter_map(|ip| ip.parse().ok()).collect() },
            ports: spec.ports.iter().flatten().filter_map(ServicePort::of).collect(),
            affinity: (spec.session_affinity.as_deref() == Some("ClientIP")).then(|| Duration::from_secs(timeout.max(1) as u64)),
            external_name: if external { spec.external_name.as_deref().map(Into::into) } else { None },
        }
    }
}

impl ServicePort {
    pub(super) fn of(port: &k8s_openapi::api::core::v1::ServicePort) -> Option<ServicePort> {
        Some(ServicePort {
            name: port.name.as_deref().unwrap_or_default().into(),
            proto: proto_of(port.protocol.as_deref())?,
            port: port.port.try_into().ok()?,
            node_port: port.node_port.filter(|port| *port > 0).and_then(|port| port.try_into().ok()),
        })
    }
}

impl Slice {
    pub(super) fn of(slice: &EndpointSlice) -> Slice {
        let ports = slice.ports.iter().flatten().filter_map(|port| {
            Some(SlicePort {
                name: port.name.as_deref().unwrap_or_default().into(),
                proto: proto_of(port.protocol.as_deref())?,
                target: port.port.and_then(|port| port.try_into().ok()),
            })
        });
        let endpoints = slice.endpoints.iter().flatten().flat_map(|endpoint| {
            let conditions = endpoint.conditions.clone().unwrap_or_default();
            let ready = conditions.ready.unwrap_or(true);
            let serving_while_terminating = conditions.serving.unwrap_or(ready) && conditions.terminating.unwrap_or(false);
            let node: Option<Arc<str>> = endpoint.node_name.as_deref().map(Into::into);
            // Only the first address of an endpoint counts.
            endpoint.addresses.first().and_then(|ip| ip.parse().ok()).map(|ip| SliceEndpoint { ip, ready, serving_while_terminating, node })
        });
        Slice { ports: ports.collect(), endpoints: endpoints.collect() }
    }
}

fn proto_of(protocol: Option<&str>) -> Option<Proto> {
    match protocol {
        None | Some("TCP") => Some(Proto::Tcp),
        Some("UDP") => Some(Proto::Udp),
        _ => None,
    }
}
