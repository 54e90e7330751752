//! A Pod's network, as its guests' sockets ask for it: `wharf-engine`'s [`Network`] over `wharf-net`'s index.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use wharf_engine::{BindError, Binding, Dial, DialError, Network, Protocol, ResolveError};
use wharf_net::{ClusterNet, Guard, ListenerKind, Proto, Scope, to_v4};

use crate::world::etc::Resolv;
use crate::{LookupError, Resolver};

/// How long a name may take.
const LOOKUP: Duration = Duration::from_secs(10);
/// Names that a search list may turn one into; each costs a lookup.
const MAX_CANDIDATES: usize = 12;

/// One Pod's network.
pub struct PodNetwork {
    net: Arc<ClusterNet>,
    ip: Ipv4Addr,
    node: Ipv4Addr,
    resolver: Arc<dyn Resolver>,
    names: Arc<Names>,
    /// Who holds a port, in words: `pod shop/web`.
    owner: String,
}

/// How a Pod looks names up. (Files as they are: most Pods never look a name up, and as text they are smallest.)
#[derive(Debug, Default)]
pub struct Names {
    resolv: Box<str>,
    /// The lines of `hosts` that tell of addresses which guests can use.
    hosts: Box<str>,
    of_host: bool,
}

impl Names {
    /// By a Pod's `resolv.conf` and its `hosts` file; `of_host`: it asks the host's resolver, not the cluster's.
    pub fn new(resolv: &Resolv, hosts: &str, of_host: bool) -> Names {
        let lines: Vec<&str> = hosts.lines().filter(|line| entries(line).next().is_some()).collect();
        Names { resolv: resolv.render().into(), hosts: lines.join("\n").into(), of_host }
    }

    /// What the `hosts` file says of a name.
    fn known(&self, name: &str) -> Vec<IpAddr> {
        self.hosts.lines().flat_map(entries).filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, ip)| ip.into()).collect()
    }
}

/// The names on a line of a `hosts` file, if it is one for an IPv4 address.
fn entries(line: &str) -> impl Iterator<Item = (&str, Ipv4Addr)> {
    let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
    let ip: Option<Ipv4Addr> = words.next().and_then(|word| word.parse().ok());
    ip.into_iter().flat_map(move |ip| words.clone().map(move |word| (word, ip)))
}

impl PodNetwork {
    /// The network of the Pod with this address.
    pub fn new(net: Arc<ClusterNet>, ip: Ipv4Addr, node: Ipv4Addr, resolver: Arc<dyn Resolver>, names: Names, owner: String) -> Arc<Self> {
        Arc::new(Self { net, ip, node, resolver, names: Arc::new(names), owner })
    }

    /// The Pod's address.
    pub fn ip(&self) -> Ipv4Addr {
        self.ip
    }

    /// The index behind it.
    pub fn cluster(&self) -> &Arc<ClusterNet> {
        &self.net
    }

    /// Where to connect for what a guest calls `to`, and which endpoint that is.
    pub fn decide(&self, to: SocketAddr) -> wharf_net::Dial {
        self.net.decide(self.ip, to, Proto::Tcp)
    }

    /// How the Pod sees a kernel address.
    pub fn shown(&self, kernel: SocketAddr) -> SocketAddr {
        self.net.shown(self.ip, self.node, Proto::Tcp, kernel)
    }
}

fn proto(protocol: Protocol) -> Proto {
    match protocol {
        Protocol::Tcp => Proto::Tcp,
        Protocol::Udp => Proto::Udp,
    }
}

impl Network for PodNetwork {
    fn pod_ip(&self) -> IpAddr {
        self.ip.into()
    }

    fn bind(&self, protocol: Protocol, address: SocketAddr) -> Result<Box<dyn Binding>, BindError> {
        let address = to_v4(address).ok_or(BindError::NotAvailable)?;
        let scope = match *address.ip() {
            ip if ip.is_unspecified() => Scope::Wildcard,
            ip if ip == self.ip => Scope::Address,
            ip if ip.is_loopback() => Scope::Loopback,
            _ => return Err(BindError::NotAvailable),
        };
        let reserved =
            PodBinding { net: self.net.clone(), pod: self.ip, proto: proto(protocol), scope, address, owner: self.owner.clone(), guard: Mutex::new(None) };
        if address.port() != 0 {
            *reserved.guard.lock() = Some(reserved.claim(address.port())?);
        }
        Ok(Box::new(reserved))
    }

    fn dial(&self, protocol: Protocol, _from: Option<SocketAddr>, to: SocketAddr) -> Result<Dial, DialError> {
        match self.net.decide(self.ip, to, proto(protocol)) {
            wharf_net::Dial::Connect { kernel, source, .. } => Ok(Dial { kernel, source: source.map(|ip| SocketAddr::from((ip, 0))) }),
            wharf_net::Dial::Outside(to) => Ok(Dial { kernel: to, source: None }),
            wharf_net::Dial::Refused => Err(DialError::Refused),
            wharf_net::Dial::Unreachable => Err(DialError::Unreachable),
        }
    }

    fn admit(&self, _protocol: Protocol, local: SocketAddr, peer: SocketAddr) -> bool {
        to_v4(local).is_some_and(|local| self.net.admit(self.ip, local, peer))
    }

    fn guest_address(&self, protocol: Protocol, kernel: SocketAddr) -> SocketAddr {
        self.net.shown(self.ip, self.node, proto(protocol), kernel)
    }

    fn resolve(&self, name: String) -> BoxFuture<'static, Result<Vec<IpAddr>, ResolveError>> {
        let (names, resolver) = (self.names.clone(), self.resolver.clone());
        Box::pin(async move { tokio::time::timeout(LOOKUP, resolve(&names, resolver.as_ref(), &name)).await.unwrap_or(Err(ResolveError::Temporary)) })
    }
}

async fn resolve(names: &Names, resolver: &dyn Resolver, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
    if let Ok(ip) = name.parse::<IpAddr>() {
        return Ok(vec![ip]);
    }
    let name = name.to_lowercase();
    if name.is_empty() || name.len() > 254 {
        return Err(ResolveError::NotFound);
    }
    let bare = name.strip_suffix('.').unwrap_or(&name);
    let known = names.known(bare);
    if !known.is_empty() {
        return Ok(known);
    }
    if bare == "localhost" || bare.ends_with(".localhost") {
        return Ok(vec![Ipv4Addr::LOCALHOST.into()]);
    }
    if names.of_host {
        let found = tokio::net::lookup_host((bare, 0)).await.map_err(|_| ResolveError::NotFound)?;
        return Ok(found.map(|a| a.ip()).collect());
    }
    let mut failed = false;
    for candidate in Resolv::parse(&names.resolv).candidates(&name).into_iter().take(MAX_CANDIDATES) {
        match resolver.lookup(candidate).await {
            Ok(found) if !found.is_empty() => return Ok(found),
            Ok(_) | Err(LookupError::NotFound) => {}
            Err(LookupError::Failed) => failed = true,
        }
    }
    Err(if failed { ResolveError::Temporary } else { ResolveError::NotFound })
}

/// A port that a guest reserved.
struct PodBinding {
    net: Arc<ClusterNet>,
    pod: Ipv4Addr,
    proto: Proto,
    scope: Scope,
    /// As the guest asked for it.
    address: SocketAddrV4,
    owner: String,
    /// Nothing until the kernel chose a port for a bind to port 0.
    guard: Mutex<Option<Guard>>,
}

impl PodBinding {
    fn claim(&self, port: u16) -> Result<Guard, BindError> {
        self.net.listeners.claim(self.proto, self.pod, self.scope, port, ListenerKind::Socket, &self.owner).map_err(|_| BindError::InUse)
    }
}

impl Binding for PodBinding {
    fn candidates(&self) -> Vec<SocketAddr> {
        let ip = match self.scope {
            Scope::Loopback => self.net.pod_net.private_loopback(self.pod),
            Scope::Wildcard | Scope::Address => self.net.pod_net.kernel_ip(self.pod),
        };
        candidates(&self.net, ip, self.address.port())
    }

    fn bound(&self, kernel: SocketAddr) -> Result<SocketAddr, BindError> {
        let mut guard = self.guard.lock();
        let port = match &*guard {
            Some(_) => self.address.port(),
            None => {
                *guard = Some(self.claim(kernel.port())?);
                kernel.port()
            }
        };
        if let Some(guard) = &*guard {
            guard.bound(kernel);
            if self.proto == Proto::Udp {
                guard.listening();
            }
        }
        Ok(SocketAddrV4::new(*self.address.ip(), port).into())
    }

    fn listening(&self) {
        if let Some(guard) = &*self.guard.lock() {
            guard.listening();
        }
    }
}

/// Kernel addresses to try for a port of the Pod: its own, else any, since the host may hold it; the table hides the difference.
pub(crate) fn candidates(net: &ClusterNet, ip: Ipv4Addr, port: u16) -> Vec<SocketAddr> {
    let kernel = net.pod_net.kernel_port(port);
    let mut all = vec![SocketAddr::from((ip, kernel))];
    if kernel != 0 {
        all.push(SocketAddr::from((ip, 0)));
    }
    all
}

#[cfg(test)]
pub(crate) mod tests {
    use wharf_net::{Mode, PodNet};

    use super::*;

    /// Knows `web.shop.svc.cluster.local` alone, and fails for what contains `fail`.
    pub(crate) struct OneName;
    impl Resolver for OneName {
        fn lookup(&self, name: String) -> BoxFuture<'static, Result<Vec<IpAddr>, LookupError>> {
            Box::pin(async move {
                match name.as_str() {
                    "web.shop.svc.cluster.local" => Ok(vec!["10.96.0.20".parse().unwrap()]),
                    n if n.contains("fail") => Err(LookupError::Failed),
                    _ => Err(LookupError::NotFound),
                }
            })
        }
    }

    pub(crate) fn network(net: &Arc<ClusterNet>, ip: &str) -> Arc<PodNetwork> {
        let resolv = Resolv {
            nameservers: vec![],
            searches: vec!["shop.svc.cluster.local".into(), "svc.cluster.local".into(), "cluster.local".into()],
            options: vec!["ndots:5".into()],
        };
        let names = Names::new(&resolv, "10.244.0.5\tweb-0.web web-0\n::1 localhost\n# x y\n", false);
        PodNetwork::new(net.clone(), ip.parse().unwrap(), "10.88.0.1".parse().unwrap(), Arc::new(OneName), names, "pod shop/web".into())
    }

    pub(crate) fn cluster() -> Arc<ClusterNet> {
        ClusterNet::new(PodNet::new(Mode::Loopback { unprivileged_from: 1024 }))
    }

    #[tokio::test]
    async fn names() {
        let net = cluster();
        let pod = network(&net, "10.244.0.5");
        for (name, want) in [
            ("web", Ok("10.96.0.20")),
            ("WEB.shop", Ok("10.96.0.20")),
            ("web.shop.svc.cluster.local.", Ok("10.96.0.20")),
            ("localhost", Ok("127.0.0.1")),
            ("web-0", Ok("10.244.0.5")),
            ("192.0.2.1", Ok("192.0.2.1")),
            ("nobody", Err(ResolveError::NotFound)),
            ("fail", Err(ResolveError::Temporary)),
            ("", Err(ResolveError::NotFound)),
        ] {
            let got = pod.resolve(name.to_owned()).await.map(|ips| ips[0].to_string());
            assert_eq!(got, want.map(str::to_owned), "{name}");
        }
    }

    #[test]
    fn ports_are_the_pods_own() {
        let net = cluster();
        let (a, b) = (network(&net, "10.244.0.5"), network(&net, "10.244.0.6"));
        let bind = |pod: &PodNetwork, at: &str| pod.bind(Protocol::Tcp, at.parse().unwrap());
        let first = bind(&a, "0.0.0.0:8080").unwrap();
        assert_eq!(bind(&a, "10.244.0.5:8080").err(), Some(BindError::InUse));
        assert_eq!(bind(&a, "127.0.0.1:8080").err(), Some(BindError::InUse));
        assert_eq!(bind(&a, "192.0.2.1:8080").err(), Some(BindError::NotAvailable));
        bind(&b, "0.0.0.0:8080").unwrap();
        assert_eq!(first.candidates(), ["127.244.0.5:8080".parse().unwrap(), "127.244.0.5:0".parse().unwrap()]);
        let to: SocketAddr = "10.244.0.5:8080".parse().unwrap();
        assert_eq!(b.dial(Protocol::Tcp, None, to), Err(DialError::Refused), "it does not listen yet");
        // The host holds 8080: the kernel gave another port, and nobody sees it.
        assert_eq!(first.bound("127.244.0.5:40001".parse().unwrap()), Ok("0.0.0.0:8080".parse().unwrap()));
        first.listening();
        let dial = b.dial(Protocol::Tcp, None, to).unwrap();
        assert_eq!((dial.kernel, dial.source), ("127.244.0.5:40001".parse().unwrap(), Some("127.244.0.6:0".parse().unwrap())));
        assert_eq!(b.guest_address(Protocol::Tcp, dial.kernel), to);
        assert_eq!(b.dial(Protocol::Tcp, None, "127.0.0.1:8080".parse().unwrap()), Err(DialError::Refused), "not its own localhost");
        let own = a.dial(Protocol::Tcp, None, "127.0.0.1:8080".parse().unwrap()).unwrap();
        assert_eq!(own.kernel, dial.kernel);
        drop(first);
        assert_eq!(b.dial(Protocol::Tcp, None, to), Err(DialError::Refused));

        let any = bind(&a, "127.0.0.1:0").unwrap();
        assert_eq!(any.candidates(), ["127.245.0.5:0".parse().unwrap()]);
        assert_eq!(any.bound("127.245.0.5:50000".parse().unwrap()), Ok("127.0.0.1:50000".parse().unwrap()));
    }
}
