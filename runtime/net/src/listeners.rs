//! The listener table: everything that listens inside the cluster, by cluster address.
//!
//! A port is claimed when it is bound, so that two containers of a Pod cannot take the same one, and becomes reachable once it listens.
//! A dial finds an entry here or is refused; it never falls through to what the host happens to have bound.

use std::collections::HashMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;

use parking_lot::RwLock;

use crate::Proto;

/// Where in its Pod a socket listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// `0.0.0.0` or `::`: the Pod's address and its private loopback.
    Wildcard,
    /// The Pod's address alone.
    Address,
    /// `127.0.0.1` or `::1`: heard by this Pod alone.
    Loopback,
}

/// What stands behind a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerKind {
    /// A socket of a guest.
    Socket,
    /// The node accepts for a `wasi:http` component.
    Http,
    /// This process itself: the API server, DNS.
    Process,
}

/// A listener that can be dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// What the kernel has bound for it.
    pub kernel: SocketAddr,
    /// Where in its Pod it listens.
    pub scope: Scope,
    /// What stands behind it.
    pub kind: ListenerKind,
}

/// The port is in use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("port {port}/{} of {address} is already in use by {owner}", protocol.as_str())]
pub struct Taken {
    /// The Pod's address.
    pub address: Ipv4Addr,
    /// The port.
    pub port: u16,
    /// The protocol.
    pub protocol: Proto,
    /// Who has it, in the words it was claimed with (`container "web"`).
    pub owner: String,
}

/// The table; cheap to share behind its `Arc`.
#[derive(Default)]
pub struct Listeners {
    table: RwLock<Table>,
}

#[derive(Default)]
struct Table {
    /// Wildcard and address listeners in `[0]`, loopback ones in `[1]`.
    entries: [HashMap<Key, Entry>; 2],
    /// Kernel address → what it stands for.
    kernel: HashMap<(Proto, SocketAddr), (Key, bool)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Key {
    proto: Proto,
    pod: Ipv4Addr,
    port: u16,
}

struct Entry {
    scope: Scope,
    kind: ListenerKind,
    owner: Arc<str>,
    kernel: Option<SocketAddr>,
    listening: bool,
}

impl Listeners {
    /// An empty table.
    pub fn new() -> Arc<Listeners> {
        Arc::default()
    }

    /// Claims a port of a Pod (or of a node, or of a Service that this process serves itself) for `owner`, before it is bound in the kernel.
    ///
    /// The guard's [`Guard::bound`] then tells what the kernel has bound and [`Guard::listening`] makes it reachable. For a bind to port 0
    /// let the kernel choose first, and claim what it chose.
    pub fn claim(self: &Arc<Self>, proto: Proto, pod: Ipv4Addr, scope: Scope, port: u16, kind: ListenerKind, owner: &str) -> Result<Guard, Taken> {
        let key = Key { proto, pod, port };
        let mut table = self.table.write();
        let loopback = usize::from(scope == Scope::Loopback);
        let there = table.entries[loopback].get(&key);
        let beside = table.entries[1 - loopback].get(&key).filter(|other| scope == Scope::Wildcard || other.scope == Scope::Wildcard);
        if let Some(taken) = there.or(beside) {
            return Err(Taken { address: pod, port, protocol: proto, owner: taken.owner.to_string() });
        }
        table.entries[loopback].insert(key, Entry { scope, kind, owner: owner.into(), kernel: None, listening: false });
        Ok(Guard { listeners: self.clone(), key, loopback: scope == Scope::Loopback })
    }

    /// [`claim`](Self::claim), [`Guard::bound`] and [`Guard::listening`] in one step, for what is already bound in the kernel.
    pub fn register(
        self: &Arc<Self>,
        proto: Proto,
        at: SocketAddrV4,
        scope: Scope,
        kernel: SocketAddr,
        kind: ListenerKind,
        owner: &str,
    ) -> Result<Guard, Taken> {
        let guard = self.claim(proto, *at.ip(), scope, at.port(), kind, owner)?;
        guard.bound(kernel);
        guard.listening();
        Ok(guard)
    }

    /// Who can be reached at a cluster address: a wildcard listener or one on the address itself.
    pub fn get(&self, proto: Proto, at: SocketAddrV4) -> Option<Listener> {
        self.table.read().find(0, Key { proto, pod: *at.ip(), port: at.port() })
    }

    /// Who answers at a Pod's own `127.0.0.1`: its loopback listener, else its wildcard one.
    pub fn get_loopback(&self, proto: Proto, pod: Ipv4Addr, port: u16) -> Option<Listener> {
        let (table, key) = (self.table.read(), Key { proto, pod, port });
        table.find(1, key).or_else(|| table.find(0, key).filter(|listener| listener.scope == Scope::Wildcard))
    }

    /// The cluster address of a bound kernel address: the Pod's, or `127.0.0.1` for a private loopback listener.
    pub fn cluster_of(&self, proto: Proto, kernel: SocketAddr) -> Option<SocketAddrV4> {
        let (key, loopback) = *self.table.read().kernel.get(&(proto, kernel))?;
        Some(SocketAddrV4::new(if loopback { Ipv4Addr::LOCALHOST } else { key.pod }, key.port))
    }

    /// Who has claimed a port of a Pod, listening or not.
    pub fn owner(&self, proto: Proto, pod: Ipv4Addr, port: u16) -> Option<String> {
        let (table, key) = (self.table.read(), Key { proto, pod, port });
        table.entries.iter().find_map(|entries| entries.get(&key)).map(|entry| entry.owner.to_string())
    }

    /// How many ports are claimed.
    pub fn len(&self) -> usize {
        self.table.read().entries.iter().map(HashMap::len).sum()
    }

    /// Whether no port is claimed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Table {
    fn find(&self, loopback: usize, key: Key) -> Option<Listener> {
        let entry = self.entries[loopback].get(&key).filter(|entry| entry.listening)?;
        Some(Listener { kernel: entry.kernel?, scope: entry.scope, kind: entry.kind })
    }
}

/// Holds a claimed port; dropping it (also when a guest dies by a trap) takes the port out of the table.
pub struct Guard {
    listeners: Arc<Listeners>,
    key: Key,
    loopback: bool,
}

impl Guard {
    /// Tells the table what the kernel has bound for it.
    pub fn bound(&self, kernel: SocketAddr) {
        let mut table = self.listeners.table.write();
        let Some(entry) = table.entries[usize::from(self.loopback)].get_mut(&self.key) else { return };
        if let Some(before) = entry.kernel.replace(kernel) {
            table.kernel.remove(&(self.key.proto, before));
        }
        table.kernel.insert((self.key.proto, kernel), (self.key, self.loopback));
    }

    /// Makes it reachable (a UDP socket listens once it is bound).
    pub fn listening(&self) {
        if let Some(entry) = self.listeners.table.write().entries[usize::from(self.loopback)].get_mut(&self.key) {
            entry.listening = true;
        }
    }

    /// Makes it unreachable while it drains; the port stays claimed.
    pub fn closing(&self) {
        if let Some(entry) = self.listeners.table.write().entries[usize::from(self.loopback)].get_mut(&self.key) {
            entry.listening = false;
        }
    }

    /// The address it stands for, as the API shows it (`127.0.0.1` for a private loopback listener).
    pub fn cluster(&self) -> SocketAddrV4 {
        SocketAddrV4::new(if self.loopback { Ipv4Addr::LOCALHOST } else { self.key.pod }, self.key.port)
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Guard({} {}:{}{})", self.key.proto.as_str(), self.key.pod, self.key.port, if self.loopback { " loopback" } else { "" })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut table = self.listeners.table.write();
        if let Some(kernel) = table.entries[usize::from(self.loopback)].remove(&self.key).and_then(|entry| entry.kernel) {
            table.kernel.remove(&(self.key.proto, kernel));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 5);

    fn at(port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(POD, port)
    }

    #[test]
    fn a_second_bind_is_refused_with_the_owners_name() {
        use Scope::*;
        for (first, second, clash) in [
            (Wildcard, Wildcard, true),
            (Wildcard, Address, true),
            (Wildcard, Loopback, true),
            (Address, Wildcard, true),
            (Address, Address, true),
            (Address, Loopback, false),
            (Loopback, Wildcard, true),
            (Loopback, Address, false),
            (Loopback, Loopback, true),
        ] {
            let listeners = Listeners::new();
            let _held = listeners.claim(Proto::Tcp, POD, first, 80, ListenerKind::Http, "container \"web\"").unwrap();
            let refused = listeners.claim(Proto::Tcp, POD, second, 80, ListenerKind::Socket, "container \"sidecar\"");
            assert_eq!(refused.is_err(), clash, "{first:?} then {second:?}");
            if let Err(taken) = refused {
                assert_eq!(taken.to_string(), "port 80/TCP of 10.244.0.5 is already in use by container \"web\"");
            }
            // Another protocol, port or Pod is another matter.
            listeners.claim(Proto::Udp, POD, second, 80, ListenerKind::Socket, "x").unwrap();
            listeners.claim(Proto::Tcp, POD, second, 81, ListenerKind::Socket, "x").unwrap();
            listeners.claim(Proto::Tcp, Ipv4Addr::new(10, 244, 0, 6), second, 80, ListenerKind::Socket, "x").unwrap();
        }
    }

    #[test]
    fn reachable_from_listen_to_drop() {
        let listeners = Listeners::new();
        let kernel: SocketAddr = "127.244.0.5:10080".parse().unwrap();
        let guard = listeners.claim(Proto::Tcp, POD, Scope::Wildcard, 80, ListenerKind::Socket, "web").unwrap();
        assert_eq!(listeners.get(Proto::Tcp, at(80)), None);
        guard.bound(kernel);
        assert_eq!(listeners.get(Proto::Tcp, at(80)), None);
        assert_eq!(listeners.cluster_of(Proto::Tcp, kernel), Some(at(80)));
        guard.listening();
        assert_eq!(listeners.get(Proto::Tcp, at(80)).unwrap().kernel, kernel);
        assert_eq!(listeners.get_loopback(Proto::Tcp, POD, 80).unwrap().kernel, kernel);
        assert_eq!(listeners.get(Proto::Udp, at(80)), None);
        guard.closing();
        assert_eq!(listeners.get(Proto::Tcp, at(80)), None);
        assert_eq!(listeners.owner(Proto::Tcp, POD, 80).as_deref(), Some("web"));
        drop(guard);
        assert!(listeners.is_empty());
        assert_eq!(listeners.cluster_of(Proto::Tcp, kernel), None);
        listeners.claim(Proto::Tcp, POD, Scope::Wildcard, 80, ListenerKind::Socket, "again").unwrap();
    }

    #[test]
    fn a_private_listener_is_heard_on_loopback_only() {
        let listeners = Listeners::new();
        let kernel: SocketAddr = "127.245.0.5:8080".parse().unwrap();
        let _private = listeners.register(Proto::Tcp, at(8080), Scope::Loopback, kernel, ListenerKind::Socket, "a").unwrap();
        let _address = listeners.register(Proto::Tcp, at(9090), Scope::Address, "127.244.0.5:9090".parse().unwrap(), ListenerKind::Socket, "a").unwrap();
        assert_eq!(listeners.get(Proto::Tcp, at(8080)), None);
        assert_eq!(listeners.get_loopback(Proto::Tcp, POD, 8080).unwrap().kernel, kernel);
        assert_eq!(listeners.get_loopback(Proto::Tcp, Ipv4Addr::new(10, 244, 0, 6), 8080), None);
        assert_eq!(listeners.get_loopback(Proto::Tcp, POD, 9090), None);
        assert_eq!(listeners.cluster_of(Proto::Tcp, kernel), Some("127.0.0.1:8080".parse().unwrap()));
    }
}
