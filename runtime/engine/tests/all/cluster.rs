//! A cluster network for tests: Pods 10.244.x.y are 127.244.x.y of the host, their localhost is 127.245.x.y.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use wharf_engine::*;

#[derive(Default)]
pub struct Cluster {
    listeners: Mutex<HashMap<(Protocol, SocketAddr), Listener>>,
    /// Service → endpoints, in turn.
    pub services: Mutex<HashMap<SocketAddr, Vec<SocketAddr>>>,
    /// A peer that no listener may accept.
    pub shunned: Mutex<Option<IpAddr>>,
    turn: AtomicUsize,
}

#[derive(Clone, Copy)]
struct Listener {
    kernel: Option<SocketAddr>,
    wildcard: bool,
    listening: bool,
}

pub struct Pod {
    cluster: Arc<Cluster>,
    ip: Ipv4Addr,
}

impl Cluster {
    pub fn pod(self: &Arc<Self>, ip: &str) -> Arc<Pod> {
        Arc::new(Pod { cluster: self.clone(), ip: ip.parse().unwrap() })
    }

    fn find(&self, protocol: Protocol, at: SocketAddr) -> Option<(SocketAddr, bool)> {
        let l = *self.listeners.lock().unwrap().get(&(protocol, at))?;
        l.listening.then_some((l.kernel?, l.wildcard))
    }
}

impl Pod {
    fn kernel(&self) -> IpAddr {
        let [_, _, x, y] = self.ip.octets();
        Ipv4Addr::new(127, 244, x, y).into()
    }
    /// Its localhost, of the kernel; also the name it has in the table.
    fn own(&self) -> IpAddr {
        let [_, _, x, y] = self.ip.octets();
        Ipv4Addr::new(127, 245, x, y).into()
    }
}

impl Network for Pod {
    fn pod_ip(&self) -> IpAddr {
        self.ip.into()
    }

    fn bind(&self, protocol: Protocol, a: SocketAddr) -> Result<Box<dyn Binding>, BindError> {
        let (name, kernel) = match a.ip() {
            ip if ip.is_loopback() => (self.own(), self.own()),
            ip if ip.is_unspecified() || ip == self.pod_ip() => (self.pod_ip(), self.kernel()),
            _ => return Err(BindError::NotAvailable),
        };
        let name = SocketAddr::new(name, a.port());
        let l = Listener { kernel: None, wildcard: a.ip().is_unspecified(), listening: false };
        if a.port() != 0 && self.cluster.listeners.lock().unwrap().insert((protocol, name), l).is_some() {
            return Err(BindError::InUse);
        }
        let key = Mutex::new((a.port() != 0).then_some((protocol, name)));
        Ok(Box::new(Bound { cluster: self.cluster.clone(), protocol, asked: a, name, kernel, key }))
    }

    fn dial(&self, protocol: Protocol, _: Option<SocketAddr>, to: SocketAddr) -> Result<Dial, DialError> {
        let from = |ip| Some(SocketAddr::new(ip, 0));
        if to.ip().is_loopback() {
            let c = &self.cluster;
            let own = c.find(protocol, SocketAddr::new(self.own(), to.port()));
            let any = || c.find(protocol, SocketAddr::new(self.pod_ip(), to.port())).filter(|l| l.1);
            let (kernel, _) = own.or_else(any).ok_or(DialError::Refused)?;
            return Ok(Dial { kernel, source: from(self.own()) });
        }
        let services = self.cluster.services.lock().unwrap();
        let to = match services.get(&to) {
            Some(all) => *all.get(self.cluster.turn.fetch_add(1, Ordering::Relaxed) % all.len().max(1)).ok_or(DialError::Refused)?,
            None => to,
        };
        let (kernel, _) = self.cluster.find(protocol, to).ok_or(DialError::Refused)?;
        Ok(Dial { kernel, source: from(self.kernel()) })
    }

    fn admit(&self, protocol: Protocol, local: SocketAddr, peer: SocketAddr) -> bool {
        let peer = self.guest_address(protocol, peer).ip();
        let foreign_localhost = matches!(peer, IpAddr::V4(p) if p.octets()[..2] == [127, 245]);
        let own = peer.is_loopback() || peer == self.pod_ip();
        !foreign_localhost && (own || !local.ip().is_loopback()) && *self.cluster.shunned.lock().unwrap() != Some(peer)
    }

    fn guest_address(&self, protocol: Protocol, kernel: SocketAddr) -> SocketAddr {
        let all = self.cluster.listeners.lock().unwrap();
        let named = all.iter().find(|((p, _), l)| *p == protocol && l.kernel == Some(kernel)).map(|((_, name), _)| *name);
        let mut a = named.unwrap_or(kernel);
        if a.ip() == self.own() {
            a.set_ip(Ipv4Addr::LOCALHOST.into());
        } else if let IpAddr::V4(ip) = a.ip()
            && ip.octets()[..2] == [127, 244]
        {
            a.set_ip(Ipv4Addr::new(10, 244, ip.octets()[2], ip.octets()[3]).into());
        }
        a
    }

    fn resolve(&self, name: String) -> BoxFuture<'static, Result<Vec<IpAddr>, ResolveError>> {
        Box::pin(async move {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            if name == "web" { Ok(vec!["10.96.0.20".parse().unwrap()]) } else { Err(ResolveError::NotFound) }
        })
    }
}

struct Bound {
    cluster: Arc<Cluster>,
    protocol: Protocol,
    asked: SocketAddr,
    name: SocketAddr,
    kernel: IpAddr,
    key: Mutex<Option<(Protocol, SocketAddr)>>,
}

impl Binding for Bound {
    fn candidates(&self) -> Vec<SocketAddr> {
        vec![SocketAddr::new(self.kernel, self.asked.port()), SocketAddr::new(self.kernel, 0)]
    }

    fn bound(&self, kernel: SocketAddr) -> Result<SocketAddr, BindError> {
        let port = if self.asked.port() == 0 { kernel.port() } else { self.asked.port() };
        let key = (self.protocol, SocketAddr::new(self.name.ip(), port));
        let l = Listener { kernel: Some(kernel), wildcard: self.asked.ip().is_unspecified(), listening: self.protocol == Protocol::Udp };
        self.cluster.listeners.lock().unwrap().insert(key, l);
        *self.key.lock().unwrap() = Some(key);
        Ok(SocketAddr::new(self.asked.ip(), port))
    }

    fn listening(&self) {
        if let Some(key) = *self.key.lock().unwrap()
            && let Some(l) = self.cluster.listeners.lock().unwrap().get_mut(&key)
        {
            l.listening = true;
        }
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if let Some(key) = *self.key.lock().unwrap() {
            self.cluster.listeners.lock().unwrap().remove(&key);
        }
    }
}
