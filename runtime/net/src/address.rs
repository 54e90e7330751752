//! Addresses: what the API and guests see, and what the kernel binds.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};

use ipnet::Ipv4Net;

/// TCP or UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Proto {
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
}

impl Proto {
    /// Kubernetes' name of it: `TCP` or `UDP`.
    pub fn as_str(self) -> &'static str {
        match self {
            Proto::Tcp => "TCP",
            Proto::Udp => "UDP",
        }
    }
}

/// How cluster addresses become kernel addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// 10.x.y.z is 127.x.y.z on the host; needs no privilege at all.
    Loopback {
        /// The first port that an unprivileged process may bind (`net.ipv4.ip_unprivileged_port_start`; 0 for a privileged process).
        unprivileged_from: u16,
    },
    /// The addresses themselves, made local by routes.
    Routed,
}

impl Mode {
    /// Loopback mode from the text of `/proc/sys/net/ipv4/ip_unprivileged_port_start`; 1024 when it does not parse.
    pub fn loopback(ip_unprivileged_port_start: &str) -> Mode {
        Mode::Loopback { unprivileged_from: ip_unprivileged_port_start.trim().parse().unwrap_or(1024) }
    }
}

/// The one module that knows which kernel address stands for a cluster address.
#[derive(Clone, Debug)]
pub struct PodNet {
    mode: Mode,
    pods: Ipv4Net,
    services: Ipv4Net,
    nodes: Ipv4Net,
}

/// Each Pod's own loopback is an address of this /16 on the host, by the Pod address' last two octets.
const PRIVATE_LOOPBACK: [u8; 2] = [127, 245];

/// Where shifted ports begin: 80 becomes 10080.
const SHIFT: u16 = 10_000;

impl PodNet {
    /// The cluster's usual ranges: Pods 10.244.0.0/16, Services 10.96.0.0/12, nodes 10.88.0.0/16.
    pub fn new(mode: Mode) -> PodNet {
        let net = |a, b, len| Ipv4Net::new_assert(Ipv4Addr::new(a, b, 0, 0), len);
        PodNet { mode, pods: net(10, 244, 16), services: net(10, 96, 12), nodes: net(10, 88, 16) }
    }

    /// Other ranges than the usual ones. In loopback mode they must lie within 10.0.0.0/8, outside 10.245.0.0/16.
    pub fn with_ranges(mode: Mode, pods: Ipv4Net, services: Ipv4Net, nodes: Ipv4Net) -> PodNet {
        PodNet { mode, pods, services, nodes }
    }

    /// How addresses are mapped.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The range of all Pods.
    pub fn pod_range(&self) -> Ipv4Net {
        self.pods
    }

    /// The range of all ClusterIPs.
    pub fn service_range(&self) -> Ipv4Net {
        self.services
    }

    /// The kernel's address for a cluster address; addresses outside the cluster are their own.
    pub fn kernel_ip(&self, cluster: Ipv4Addr) -> Ipv4Addr {
        match self.mode {
            Mode::Loopback { .. } if self.is_cluster(cluster) => {
                let [_, x, y, z] = cluster.octets();
                Ipv4Addr::new(127, x, y, z)
            }
            _ => cluster,
        }
    }

    /// The cluster address that a kernel address stands for; `None` when it stands for none (another loopback address, the world outside).
    pub fn cluster_ip(&self, kernel: Ipv4Addr) -> Option<Ipv4Addr> {
        let [a, x, y, z] = kernel.octets();
        let cluster = match self.mode {
            Mode::Loopback { .. } if a == 127 => Ipv4Addr::new(10, x, y, z),
            Mode::Loopback { .. } => return None,
            Mode::Routed => kernel,
        };
        self.is_cluster(cluster).then_some(cluster)
    }

    /// The port to bind for a cluster port: itself, or shifted by at least 10,000 where the process may not bind it (80 → 10080).
    /// 0 means any free one; so it does when a shifted port would not fit.
    pub fn kernel_port(&self, port: u16) -> u16 {
        match self.mode {
            Mode::Loopback { unprivileged_from } if port != 0 && port < unprivileged_from => port.checked_add(unprivileged_from.max(SHIFT)).unwrap_or(0),
            _ => port,
        }
    }

    /// Where to bind for a cluster address and port.
    pub fn kernel(&self, cluster: SocketAddrV4) -> SocketAddrV4 {
        SocketAddrV4::new(self.kernel_ip(*cluster.ip()), self.kernel_port(cluster.port()))
    }

    /// The kernel address which is the 127.0.0.1 of this Pod alone.
    pub fn private_loopback(&self, pod: Ipv4Addr) -> Ipv4Addr {
        let [_, _, y, z] = pod.octets();
        Ipv4Addr::new(PRIVATE_LOOPBACK[0], PRIVATE_LOOPBACK[1], y, z)
    }

    /// Whether it is some Pod's private loopback (a kernel address).
    pub fn is_private_loopback(&self, kernel: Ipv4Addr) -> bool {
        kernel.octets()[..2] == PRIVATE_LOOPBACK
    }

    /// Whether it is in the Pods' range.
    pub fn is_pod(&self, ip: Ipv4Addr) -> bool {
        self.pods.contains(&ip)
    }

    /// Whether it is in the Services' range.
    pub fn is_service(&self, ip: Ipv4Addr) -> bool {
        self.services.contains(&ip)
    }

    /// Whether it is in the nodes' range.
    pub fn is_node(&self, ip: Ipv4Addr) -> bool {
        self.nodes.contains(&ip)
    }

    /// Whether it is in any of the cluster's ranges.
    pub fn is_cluster(&self, ip: Ipv4Addr) -> bool {
        self.is_pod(ip) || self.is_service(ip) || self.is_node(ip)
    }
}

/// The IPv4 meaning of an address in an IPv4-only cluster: `::`, `::1` and mapped addresses have one, other IPv6 addresses do not.
pub fn to_v4(address: SocketAddr) -> Option<SocketAddrV4> {
    match address {
        SocketAddr::V4(address) => Some(address),
        SocketAddr::V6(address) => {
            let ip = match *address.ip() {
                Ipv6Addr::UNSPECIFIED => Ipv4Addr::UNSPECIFIED,
                Ipv6Addr::LOCALHOST => Ipv4Addr::LOCALHOST,
                ip => ip.to_ipv4_mapped()?,
            };
            Some(SocketAddrV4::new(ip, address.port()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_mode_maps_there_and_back() {
        let net = PodNet::new(Mode::Loopback { unprivileged_from: 1024 });
        for (cluster, kernel) in [("10.244.1.5", "127.244.1.5"), ("10.96.0.10", "127.96.0.10"), ("10.111.2.3", "127.111.2.3"), ("10.88.0.1", "127.88.0.1")] {
            let (cluster, kernel) = (cluster.parse().unwrap(), kernel.parse().unwrap());
            assert_eq!(net.kernel_ip(cluster), kernel);
            assert_eq!(net.cluster_ip(kernel), Some(cluster));
        }
        for outside in ["10.0.0.1", "192.168.1.1", "8.8.8.8", "10.245.0.1"] {
            let outside = outside.parse().unwrap();
            assert_eq!(net.kernel_ip(outside), outside);
            assert_eq!(net.cluster_ip(outside), None);
        }
        assert_eq!(net.cluster_ip(Ipv4Addr::LOCALHOST), None);
        assert_eq!(net.cluster_ip(net.private_loopback("10.244.1.5".parse().unwrap())), None);
    }

    #[test]
    fn ports_below_the_unprivileged_ones_are_shifted() {
        let port = |from, port| PodNet::new(Mode::Loopback { unprivileged_from: from }).kernel_port(port);
        assert_eq!((port(1024, 80), port(1024, 443), port(1024, 53), port(1024, 1024), port(1024, 0)), (10_080, 10_443, 10_053, 1024, 0));
        assert_eq!((port(0, 80), port(80, 80), port(81, 80)), (80, 80, 10_080));
        assert_eq!((port(60_000, 443), port(60_000, 59_999)), (60_443, 0));
        assert_eq!(PodNet::new(Mode::Routed).kernel_port(80), 80);
        assert_eq!(Mode::loopback("80\n"), Mode::Loopback { unprivileged_from: 80 });
        assert_eq!(Mode::loopback("?"), Mode::Loopback { unprivileged_from: 1024 });
    }

    #[test]
    fn routed_mode_is_the_identity() {
        let net = PodNet::new(Mode::Routed);
        let ip = "10.244.1.5".parse().unwrap();
        assert_eq!((net.kernel_ip(ip), net.cluster_ip(ip)), (ip, Some(ip)));
        assert_eq!(net.cluster_ip("127.244.1.5".parse().unwrap()), None);
    }

    #[test]
    fn ipv6_has_few_meanings() {
        let v4 = |text: &str| to_v4(text.parse().unwrap()).map(|a| a.to_string());
        assert_eq!(v4("[::1]:80").as_deref(), Some("127.0.0.1:80"));
        assert_eq!(v4("[::]:80").as_deref(), Some("0.0.0.0:80"));
        assert_eq!(v4("[::ffff:10.96.0.1]:443").as_deref(), Some("10.96.0.1:443"));
        assert_eq!(v4("[2001:db8::1]:443"), None);
    }
}
