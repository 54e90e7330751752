//! One instance's sockets, and what both WASI versions decide with them.

use crate::network::{BindError, Binding, DialError, Network, Protocol};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use wasmtime::component::{HasData, Resource};
use wasmtime_wasi::sockets::{ErrorCode, SocketAddrUse, WasiSocketsCtx, WasiSocketsCtxView};
use wasmtime_wasi::{WasiCtxBuilder, WasiView};

/// Destinations that one UDP socket remembers.
const MAX_FLOWS: usize = 512;
/// How long a UDP destination stays where it was balanced to.
const FLOW: Duration = Duration::from_secs(30);

/// The sockets of one store: what is known about them beyond the kernel's and wasmtime-wasi's view, by resource number.
pub(crate) struct PodSockets {
    pub(super) network: Arc<dyn Network>,
    known: HashMap<u32, Shared>,
}

/// What the generated traits are implemented on.
pub(crate) struct View<'a> {
    pub(super) pod: &'a mut PodSockets,
    pub(super) wasi: WasiSocketsCtxView<'a>,
}

impl<'a> View<'a> {
    pub(crate) fn new(pod: &'a mut PodSockets, wasi: WasiSocketsCtxView<'a>) -> Self {
        Self { pod, wasi }
    }
}

/// `D` of `add_to_linker::<T, D>`.
pub(crate) struct HasSockets;

impl HasData for HasSockets {
    type Data<'a> = View<'a>;
}

/// What a store's data must offer.
pub(crate) trait SocketsView: WasiView + 'static {
    fn pod_sockets(&mut self) -> View<'_>;
}

pub(super) type Shared = Arc<Mutex<Socket>>;

/// A guest's socket.
pub(super) struct Socket {
    pub(super) protocol: Protocol,
    pub(super) v6: bool,
    /// It came out of a listener.
    accepted: bool,
    /// As bound by the guest: with the address that it sees.
    bound: Option<(Box<dyn Binding>, SocketAddr)>,
    /// The address that the guest connected to: what it sees as the remote one.
    dialed: Option<SocketAddr>,
    /// Where the kernel may bind it.
    may_bind: Vec<SocketAddr>,
    /// The kernel may choose where to bind it.
    may_float: bool,
    /// Where it may connect to.
    may_connect: Option<SocketAddr>,
    /// UDP: where datagrams to an address go.
    flows: HashMap<SocketAddr, (SocketAddr, Instant)>,
    /// UDP: whom a kernel address stands for.
    peers: HashMap<SocketAddr, SocketAddr>,
}

impl PodSockets {
    pub(crate) fn new(network: Arc<dyn Network>) -> Self {
        Self { network, known: HashMap::new() }
    }

    /// A socket in the making, and the context that makes wasmtime-wasi ask about it alone.
    pub(super) fn create(&self, protocol: Protocol, v6: bool) -> (Shared, WasiSocketsCtx) {
        let socket = Arc::new(Mutex::new(Socket::new(protocol, v6)));
        let (network, shared) = (self.network.clone(), socket.clone());
        let mut b = WasiCtxBuilder::new();
        b.allow_tcp(true).allow_udp(true).socket_addr_check(move |address, what| {
            // Ready at once: `start_connect` of WASI 0.2 has to bind without waiting.
            Box::pin(std::future::ready(shared.lock().allows(network.as_ref(), address, what)))
        });
        (socket, b.build().sockets().clone())
    }

    /// A connection came out of a listener. Its addresses say all, unless they are to look like IPv6.
    pub(super) fn accepted(&mut self, rep: u32, listener: &Shared) {
        if listener.lock().v6 {
            let socket = Socket { accepted: true, ..Socket::new(Protocol::Tcp, true) };
            self.insert(rep, Arc::new(Mutex::new(socket)));
        }
    }

    pub(super) fn insert(&mut self, rep: u32, socket: Shared) {
        self.known.insert(rep, socket);
    }

    pub(super) fn get(&self, rep: u32) -> Option<Shared> {
        self.known.get(&rep).cloned()
    }

    pub(super) fn remove(&mut self, rep: u32) {
        self.known.remove(&rep);
    }

    /// Reserves what a guest wants to bind. The kernel address is to be one of [`Binding::candidates`].
    pub(super) fn reserve(&self, socket: &Shared, guest: SocketAddr) -> Result<Box<dyn Binding>, ErrorCode> {
        let mut s = socket.lock();
        if s.bound.is_some() {
            return Err(ErrorCode::InvalidState);
        }
        let binding = self.network.bind(s.protocol, plain(guest).ok_or(ErrorCode::AddressNotBindable)?).map_err(bind_error)?;
        s.may_bind = binding.candidates();
        Ok(binding)
    }

    /// The kernel has bound it.
    pub(super) fn bound(&self, socket: &Shared, binding: Box<dyn Binding>, kernel: SocketAddr) -> Result<(), ErrorCode> {
        let shown = binding.bound(kernel).map_err(bind_error)?;
        socket.lock().bound = Some((binding, shown));
        Ok(())
    }

    pub(super) fn listening(socket: &Shared) {
        if let Some((binding, _)) = &socket.lock().bound {
            binding.listening();
        }
    }

    /// Where a guest's connection goes, and where to bind first (if at all).
    pub(super) fn dial(&self, socket: &Shared, guest: SocketAddr) -> Result<(SocketAddr, Option<SocketAddr>), ErrorCode> {
        let guest = plain(guest).ok_or(ErrorCode::RemoteUnreachable)?;
        if guest.port() == 0 {
            return Err(ErrorCode::InvalidArgument);
        }
        let mut s = socket.lock();
        let from = s.bound.as_ref().map(|(_, shown)| *shown);
        let dial = self.network.dial(s.protocol, from, guest).map_err(dial_error)?;
        let source = dial.source.filter(|_| s.bound.is_none());
        s.may_bind.extend(source);
        s.may_float = s.bound.is_none() && source.is_none();
        s.may_connect = Some(dial.kernel);
        s.dialed = Some(guest);
        s.peers.insert(dial.kernel, guest);
        Ok((dial.kernel, source))
    }

    /// Where a datagram goes: to the same place as the last one to that address.
    pub(super) fn route(&self, socket: &Shared, guest: SocketAddr) -> Result<SocketAddr, ErrorCode> {
        let guest = plain(guest).ok_or(ErrorCode::RemoteUnreachable)?;
        let mut s = socket.lock();
        let now = Instant::now();
        if let Some((kernel, last)) = s.flows.get_mut(&guest)
            && now - *last < FLOW
        {
            *last = now;
            return Ok(*kernel);
        }
        let from = s.bound.as_ref().map(|(_, shown)| *shown);
        let kernel = self.network.dial(s.protocol, from, guest).map_err(dial_error)?.kernel;
        if s.flows.len() >= MAX_FLOWS {
            s.flows.retain(|_, (_, last)| now - *last < FLOW);
            if s.flows.len() >= MAX_FLOWS {
                s.flows.clear();
            }
            let kept: Vec<SocketAddr> = s.flows.values().map(|(k, _)| *k).collect();
            s.peers.retain(|k, _| kept.contains(k));
        }
        s.flows.insert(guest, (kernel, now));
        s.peers.insert(kernel, guest);
        Ok(kernel)
    }

    /// A socket's own address as the guest sees it. `peer`: the kernel address at the other end, if it is connected.
    pub(super) fn show_local(&self, socket: Option<&Shared>, protocol: Protocol, kernel: SocketAddr, peer: Option<SocketAddr>) -> SocketAddr {
        let socket = socket.map(|s| s.lock());
        let v6 = socket.as_ref().is_some_and(|s| s.v6);
        let address = match socket.as_ref().and_then(|s| s.bound.as_ref()) {
            Some((_, shown)) if peer.is_none() || !shown.ip().is_unspecified() => *shown,
            _ => {
                let mut address = self.network.guest_address(protocol, kernel);
                // Accepted by a listener on all addresses, from the Pod itself: it came by way of localhost.
                let own = |p| self.network.guest_address(protocol, p).ip().is_loopback();
                if socket.as_ref().is_none_or(|s| s.accepted) && peer.is_some_and(own) {
                    address.set_ip(Ipv4Addr::LOCALHOST.into());
                }
                address
            }
        };
        dress(v6, address)
    }

    /// A peer's address as the guest sees it: what it dialled, else whom the kernel's address stands for.
    pub(super) fn show_remote(&self, socket: Option<&Shared>, protocol: Protocol, kernel: SocketAddr) -> SocketAddr {
        let socket = socket.map(|s| s.lock());
        let known = socket.as_ref().and_then(|s| if s.protocol == Protocol::Tcp { s.dialed } else { s.peers.get(&kernel).copied() });
        dress(socket.is_some_and(|s| s.v6), known.unwrap_or_else(|| self.network.guest_address(protocol, kernel)))
    }
}

impl Socket {
    fn new(protocol: Protocol, v6: bool) -> Self {
        Socket {
            protocol,
            v6,
            accepted: false,
            bound: None,
            dialed: None,
            may_bind: Vec::new(),
            may_float: false,
            may_connect: None,
            flows: HashMap::new(),
            peers: HashMap::new(),
        }
    }

    fn allows(&self, network: &dyn Network, address: SocketAddr, what: SocketAddrUse) -> bool {
        match what {
            SocketAddrUse::TcpBind | SocketAddrUse::UdpBind => {
                self.may_bind.contains(&address) || (self.may_float && address.ip().is_unspecified() && address.port() == 0)
            }
            SocketAddrUse::TcpListen => self.bound.is_some(),
            SocketAddrUse::TcpConnect => self.may_connect == Some(address),
            SocketAddrUse::UdpSend => self.may_connect == Some(address) || self.peers.contains_key(&address),
            SocketAddrUse::TcpAccept => self.admits(network, address),
            SocketAddrUse::UdpReceive => self.peers.contains_key(&address) || self.admits(network, address),
        }
    }

    fn admits(&self, network: &dyn Network, peer: SocketAddr) -> bool {
        self.bound.as_ref().is_some_and(|(_, local)| network.admit(self.protocol, *local, peer))
    }
}

/// A second handle to the same resource, for delegating more than one call.
pub(super) fn again<T: 'static>(r: &Resource<T>) -> Resource<T> {
    Resource::new_borrow(r.rep())
}

/// A guest's address as an IPv4 one, if it has a meaning as such.
fn plain(a: SocketAddr) -> Option<SocketAddr> {
    let ip = match a.ip() {
        IpAddr::V4(ip) => ip,
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv4Addr::UNSPECIFIED,
        IpAddr::V6(Ipv6Addr::LOCALHOST) => Ipv4Addr::LOCALHOST,
        IpAddr::V6(ip) => ip.to_ipv4_mapped()?,
    };
    Some(SocketAddr::new(ip.into(), a.port()))
}

/// The way back, for a socket that the guest made for IPv6.
fn dress(v6: bool, a: SocketAddr) -> SocketAddr {
    let ip = match a.ip() {
        IpAddr::V4(ip) if v6 => match ip {
            Ipv4Addr::UNSPECIFIED => Ipv6Addr::UNSPECIFIED,
            Ipv4Addr::LOCALHOST => Ipv6Addr::LOCALHOST,
            ip => ip.to_ipv6_mapped(),
        }
        .into(),
        ip => ip,
    };
    SocketAddr::new(ip, a.port())
}

fn bind_error(e: BindError) -> ErrorCode {
    match e {
        BindError::InUse => ErrorCode::AddressInUse,
        BindError::NotAvailable => ErrorCode::AddressNotBindable,
        BindError::Denied => ErrorCode::AccessDenied,
    }
}

fn dial_error(e: DialError) -> ErrorCode {
    match e {
        DialError::Refused => ErrorCode::ConnectionRefused,
        DialError::Denied => ErrorCode::AccessDenied,
        DialError::Unreachable => ErrorCode::RemoteUnreachable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_ipv6_sockets() {
        for (v6, v4) in [("[::]:80", "0.0.0.0:80"), ("[::1]:80", "127.0.0.1:80"), ("[::ffff:10.244.0.5]:80", "10.244.0.5:80")] {
            let (v6, v4): (SocketAddr, SocketAddr) = (v6.parse().unwrap(), v4.parse().unwrap());
            assert_eq!((plain(v6), dress(true, v4), dress(false, v4)), (Some(v4), v6, v4));
        }
        assert_eq!(plain("[2001:db8::1]:80".parse().unwrap()), None);
    }
}
