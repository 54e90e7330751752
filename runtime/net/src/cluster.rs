//! One dial, decided: Pod network, listener table and Services together.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;

use ipnet::Ipv4Net;
use parking_lot::RwLock;

use crate::{Listeners, Mode, PodNet, Proto, Route, Services, to_v4};

/// What becomes of a dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dial {
    /// Connect to `kernel`.
    Connect {
        /// Where the kernel finds it.
        kernel: SocketAddr,
        /// Which endpoint it is, as the API shows it (the Pod's address and port; `127.0.0.1` for the Pod's own loopback).
        endpoint: SocketAddr,
        /// The kernel address to bind first, so that the peer sees who calls; `None`: the kernel's choice.
        source: Option<Ipv4Addr>,
    },
    /// Nobody listens there, or a Service has no endpoint: connection refused.
    Refused,
    /// An IPv6 address, which an IPv4 cluster does not reach: network unreachable.
    Unreachable,
    /// The world outside the cluster: the address as it is.
    Outside(SocketAddr),
}

/// The network of this process' nodes: shared by node, Ingress and DNS.
pub struct ClusterNet {
    /// Addresses.
    pub pod_net: PodNet,
    /// Who listens.
    pub listeners: Arc<Listeners>,
    /// What Services mean.
    pub services: Arc<Services>,
    /// The Pod ranges whose listeners are all in the table.
    local: RwLock<Vec<Ipv4Net>>,
}

impl ClusterNet {
    /// An empty network.
    pub fn new(pod_net: PodNet) -> Arc<ClusterNet> {
        Arc::new(ClusterNet { pod_net, listeners: Listeners::new(), services: Services::new(), local: RwLock::default() })
    }

    /// Says that the Pods of this range run in this process (in loopback mode all do): an address of it that is not in the table is refused.
    pub fn add_local(&self, range: Ipv4Net) {
        let mut local = self.local.write();
        if !local.contains(&range) {
            local.push(range);
        }
    }

    /// Decides a dial of a Pod (or of a node, from its address) to what it believes to be the address of somebody.
    pub fn decide(&self, from_pod: Ipv4Addr, to: SocketAddr, proto: Proto) -> Dial {
        let Some(to) = to_v4(to) else { return Dial::Unreachable };
        let (ip, port) = (*to.ip(), to.port());
        if ip.is_loopback() || ip.is_unspecified() {
            return match self.listeners.get_loopback(proto, from_pod, port) {
                None => Dial::Refused,
                Some(listener) => Dial::Connect {
                    kernel: listener.kernel,
                    endpoint: SocketAddrV4::new(Ipv4Addr::LOCALHOST, port).into(),
                    source: Some(self.pod_net.private_loopback(from_pod)),
                },
            };
        }
        let client = IpAddr::V4(from_pod);
        // What this process serves on a Service's or a node's address itself comes before anything else.
        if !self.pod_net.is_pod(ip) {
            if let Some(listener) = self.listeners.get(proto, to) {
                return self.connect(from_pod, listener.kernel, to);
            }
            match self.services.route(ip, port, proto, client) {
                Route::Endpoint(endpoint) => return self.dial_endpoint(from_pod, endpoint, proto),
                Route::NoEndpoints => return Dial::Refused,
                Route::NotAService if self.pod_net.is_service(ip) => return Dial::Refused,
                Route::NotAService => {}
            }
            if self.pod_net.is_node(ip) {
                return match self.services.route_node_port(port, proto, client) {
                    Route::Endpoint(endpoint) => self.dial_endpoint(from_pod, endpoint, proto),
                    Route::NoEndpoints => Dial::Refused,
                    Route::NotAService => self.dial_endpoint(from_pod, to.into(), proto),
                };
            }
            return Dial::Outside(to.into());
        }
        self.dial_endpoint(from_pod, to.into(), proto)
    }

    /// Where the kernel finds an endpoint (a Pod's or node's address, or one outside); `None`: nobody listens there.
    pub fn kernel_of(&self, endpoint: SocketAddr, proto: Proto) -> Option<SocketAddr> {
        let SocketAddr::V4(at) = endpoint else { return Some(endpoint) };
        if !self.pod_net.is_cluster(*at.ip()) {
            // Never the host's own loopback, whatever an EndpointSlice says.
            return (!at.ip().is_loopback() && !at.ip().is_unspecified()).then_some(endpoint);
        }
        if let Some(listener) = self.listeners.get(proto, at) {
            return Some(listener.kernel);
        }
        let elsewhere = self.pod_net.mode() == Mode::Routed && !self.local.read().iter().any(|range| range.contains(at.ip()));
        elsewhere.then_some(endpoint)
    }

    /// Whether a peer may be accepted by a listener (as [`crate::Guard::cluster`] names it) of a Pod: a Pod's loopback is heard by this Pod alone.
    pub fn admit(&self, pod: Ipv4Addr, listener: SocketAddrV4, peer: SocketAddr) -> bool {
        let Some(peer) = to_v4(peer) else { return false };
        let own_loopback = *peer.ip() == self.pod_net.private_loopback(pod);
        if listener.ip().is_loopback() {
            return own_loopback || *peer.ip() == self.pod_net.kernel_ip(pod);
        }
        own_loopback || !self.pod_net.is_private_loopback(*peer.ip())
    }

    /// How a guest of `pod` is shown a kernel address (its own or its peer's); an address of the host that stands for no other is shown as `node`.
    pub fn shown(&self, pod: Ipv4Addr, node: Ipv4Addr, proto: Proto, kernel: SocketAddr) -> SocketAddr {
        let Some(at) = to_v4(kernel) else { return kernel };
        if let Some(cluster) = self.listeners.cluster_of(proto, at.into()) {
            return cluster.into();
        }
        let ip = if *at.ip() == self.pod_net.private_loopback(pod) {
            Ipv4Addr::LOCALHOST
        } else if let Some(cluster) = self.pod_net.cluster_ip(*at.ip()) {
            cluster
        } else if at.ip().is_loopback() {
            node
        } else {
            *at.ip()
        };
        SocketAddrV4::new(ip, at.port()).into()
    }

    fn dial_endpoint(&self, from_pod: Ipv4Addr, endpoint: SocketAddr, proto: Proto) -> Dial {
        match (self.kernel_of(endpoint, proto), to_v4(endpoint)) {
            (Some(kernel), Some(at)) if self.pod_net.is_cluster(*at.ip()) => self.connect(from_pod, kernel, at),
            (Some(kernel), _) => Dial::Connect { kernel, endpoint, source: None },
            (None, _) => Dial::Refused,
        }
    }

    fn connect(&self, from_pod: Ipv4Addr, kernel: SocketAddr, endpoint: SocketAddrV4) -> Dial {
        Dial::Connect { kernel, endpoint: endpoint.into(), source: Some(self.pod_net.kernel_ip(from_pod)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::tests::{service, slice};
    use crate::{ListenerKind, Scope};

    const A: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 5);
    const B: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 6);
    const NODE: Ipv4Addr = Ipv4Addr::new(10, 88, 0, 1);

    fn net(mode: Mode) -> Arc<ClusterNet> {
        ClusterNet::new(PodNet::new(mode))
    }

    fn loopback() -> Arc<ClusterNet> {
        net(Mode::Loopback { unprivileged_from: 1024 })
    }

    fn listen(net: &ClusterNet, at: &str, scope: Scope, kernel: &str) -> crate::Guard {
        net.listeners.register(Proto::Tcp, at.parse().unwrap(), scope, kernel.parse().unwrap(), ListenerKind::Socket, "x").unwrap()
    }

    fn dial(net: &ClusterNet, from: Ipv4Addr, to: &str) -> String {
        match net.decide(from, to.parse().unwrap(), Proto::Tcp) {
            Dial::Connect { kernel, endpoint, source } => format!("{kernel} {endpoint} from {}", source.map(|ip| ip.to_string()).unwrap_or_default()),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn each_pod_has_its_own_localhost() {
        let net = loopback();
        let _a = listen(&net, "10.244.0.5:8080", Scope::Loopback, "127.245.0.5:8080");
        let _b = listen(&net, "10.244.0.6:8080", Scope::Wildcard, "127.244.0.6:8080");
        for own in ["127.0.0.1:8080", "[::1]:8080", "0.0.0.0:8080", "127.0.0.53:8080"] {
            assert_eq!(dial(&net, A, own), "127.245.0.5:8080 127.0.0.1:8080 from 127.245.0.5");
            assert_eq!(dial(&net, B, own), "127.244.0.6:8080 127.0.0.1:8080 from 127.245.0.6");
        }
        assert_eq!(dial(&net, A, "127.0.0.1:22"), "Refused");
        assert_eq!(dial(&net, B, "10.244.0.5:8080"), "Refused");
        assert_eq!(dial(&net, A, "10.244.0.6:8080"), "127.244.0.6:8080 10.244.0.6:8080 from 127.244.0.5");
    }

    #[test]
    fn a_dial_never_falls_through_to_the_host() {
        let net = loopback();
        for refused in ["10.244.0.6:22", "10.96.0.1:443", "10.88.0.1:22", "127.244.0.6:22", "127.88.0.1:22"] {
            assert_eq!(dial(&net, A, refused), "Refused", "{refused}");
        }
        assert_eq!(dial(&net, A, "192.0.2.1:443"), "Outside(192.0.2.1:443)");
        assert_eq!(dial(&net, A, "[2001:db8::1]:443"), "Unreachable");
    }

    #[test]
    fn services_and_what_the_process_serves_itself() {
        let net = loopback();
        let _api = net.listeners.register(
            Proto::Tcp,
            "10.88.0.1:6443".parse().unwrap(),
            Scope::Address,
            "127.0.0.1:7443".parse().unwrap(),
            ListenerKind::Process,
            "kube-apiserver",
        );
        let _web = listen(&net, "10.244.0.6:80", Scope::Wildcard, "127.244.0.6:10080");
        net.services.apply_service(&service("default", "kubernetes", "10.96.0.1", "[{name: https, port: 443, targetPort: 6443}]"));
        net.services.apply_slice(&slice("default", "kubernetes", "a", "[{name: https, port: 6443}]", "[{addresses: [10.88.0.1]}]"));
        net.services.apply_service(&service("default", "web", "10.96.0.20", "[{port: 8080, targetPort: 80, nodePort: 30080}]"));
        net.services.apply_slice(&slice("default", "web", "a", "[{name: '', port: 80}]", "[{addresses: [10.244.0.6]}]"));
        net.services.apply_service(&service("default", "outer", "10.96.0.30", "[{port: 443}]"));
        net.services.apply_slice(&slice("default", "outer", "a", "[{name: '', port: 443}]", "[{addresses: [192.0.2.7]}]"));
        net.services.apply_service(&service("default", "evil", "10.96.0.31", "[{port: 443}]"));
        net.services.apply_slice(&slice("default", "evil", "a", "[{name: '', port: 443}]", "[{addresses: [127.0.0.1]}]"));
        net.services.apply_service(&service("default", "none", "10.96.0.32", "[{port: 443}]"));

        assert_eq!(dial(&net, A, "10.96.0.1:443"), "127.0.0.1:7443 10.88.0.1:6443 from 127.244.0.5");
        assert_eq!(dial(&net, A, "10.88.0.1:6443"), "127.0.0.1:7443 10.88.0.1:6443 from 127.244.0.5");
        assert_eq!(dial(&net, A, "10.96.0.20:8080"), "127.244.0.6:10080 10.244.0.6:80 from 127.244.0.5");
        assert_eq!(dial(&net, B, "10.88.0.2:30080"), "127.244.0.6:10080 10.244.0.6:80 from 127.244.0.6");
        assert_eq!(dial(&net, A, "10.96.0.20:80"), "Refused");
        assert_eq!(dial(&net, A, "10.96.0.30:443"), "192.0.2.7:443 192.0.2.7:443 from ");
        assert_eq!(dial(&net, A, "10.96.0.31:443"), "Refused");
        assert_eq!(dial(&net, A, "10.96.0.32:443"), "Refused");
    }

    #[test]
    fn other_machines_pods_are_dialled_as_they_are() {
        let net = net(Mode::Routed);
        net.add_local("10.244.0.0/24".parse().unwrap());
        assert_eq!(dial(&net, A, "10.244.0.6:80"), "Refused");
        assert_eq!(dial(&net, A, "10.244.1.6:80"), "10.244.1.6:80 10.244.1.6:80 from 10.244.0.5");
    }

    #[test]
    fn a_private_loopback_hears_its_pod_alone() {
        let net = loopback();
        let admit = |listener: &str, peer: &str| net.admit(A, listener.parse().unwrap(), peer.parse().unwrap());
        assert!(admit("127.0.0.1:80", "127.245.0.5:1") && admit("127.0.0.1:80", "127.244.0.5:1"));
        assert!(!admit("127.0.0.1:80", "127.244.0.6:1") && !admit("127.0.0.1:80", "127.245.0.6:1") && !admit("127.0.0.1:80", "127.0.0.1:1"));
        assert!(admit("10.244.0.5:80", "127.245.0.5:1") && admit("10.244.0.5:80", "127.244.0.6:1") && admit("10.244.0.5:80", "127.0.0.1:1"));
        assert!(!admit("10.244.0.5:80", "127.245.0.6:1"));
    }

    #[test]
    fn peers_are_shown_as_the_cluster_knows_them() {
        let net = loopback();
        let _web = listen(&net, "10.244.0.6:80", Scope::Wildcard, "127.244.0.6:10080");
        let shown = |kernel: &str| net.shown(A, NODE, Proto::Tcp, kernel.parse().unwrap()).to_string();
        assert_eq!(shown("127.244.0.6:10080"), "10.244.0.6:80");
        assert_eq!(shown("127.244.0.6:40000"), "10.244.0.6:40000");
        assert_eq!(shown("127.245.0.5:40000"), "127.0.0.1:40000");
        assert_eq!(shown("127.0.0.1:40000"), "10.88.0.1:40000");
        assert_eq!(shown("192.0.2.1:443"), "192.0.2.1:443");
    }
}
