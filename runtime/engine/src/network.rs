//! The network as a Pod's guests see it: the seam that the node implements.
//!
//! Three forms of an address occur. *Guest*: what the guest and the API see (the Pod's IP, Service IPs, `127.0.0.1`,
//! `0.0.0.0`). *Kernel*: what the socket is really bound or connected to. The engine only ever hands guest addresses
//! in and binds or connects where the implementation says. IPv6 sockets of a guest are translated to IPv4 by the engine
//! before they get here (`::` ↔ `0.0.0.0`, `::1` ↔ `127.0.0.1`, mapped addresses), so that all addresses are IPv4
//! in an IPv4 cluster.

use crate::BoxFuture;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// One Pod's network: shared by the Pod's containers, different for every Pod.
pub trait Network: Send + Sync + 'static {
    /// The Pod's IP in guest form.
    fn pod_ip(&self) -> IpAddr;

    /// A guest wants to bind `address` (guest form: unspecified, loopback or the Pod's IP; port 0: any). Checks and
    /// reserves it, and says which kernel addresses to try. Refuses addresses that are not the Pod's.
    fn bind(&self, protocol: Protocol, address: SocketAddr) -> Result<Box<dyn Binding>, BindError>;

    /// A guest connects or sends to `to` (guest form). `from` is the guest form of its bound address, if it is bound.
    /// Decides: policy, load balancing of Services, own localhost, refusal of cluster addresses where nothing listens.
    fn dial(&self, protocol: Protocol, from: Option<SocketAddr>, to: SocketAddr) -> Result<Dial, DialError>;

    /// May a connection (or datagram) that arrived from kernel address `peer` on a socket bound at guest address `local`
    /// reach the guest?
    fn admit(&self, protocol: Protocol, local: SocketAddr, peer: SocketAddr) -> bool;

    /// The guest form of a kernel address: a peer's, or the local end of an accepted connection.
    fn guest_address(&self, protocol: Protocol, kernel: SocketAddr) -> SocketAddr;

    /// Looks a name up as the Pod would (search list, `ndots`). Addresses only; never a name.
    fn resolve(&self, name: String) -> BoxFuture<'static, Result<Vec<IpAddr>, ResolveError>>;
}

/// A reserved address of a Pod. Dropping it gives the address back and takes the listener out of the table.
pub trait Binding: Send + Sync + 'static {
    /// Kernel addresses to bind, in order of preference; the next is tried when one is in use (by the host).
    fn candidates(&self) -> Vec<SocketAddr>;

    /// The kernel socket is bound here. Completes the reservation (a port 0 is known only now) and returns the guest
    /// form that the guest is to see as its local address. From here on a UDP socket can be found by its peers.
    fn bound(&self, kernel: SocketAddr) -> Result<SocketAddr, BindError>;

    /// The TCP socket listens: from here on it can be dialled.
    fn listening(&self);
}

/// How to reach what a guest dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dial {
    /// Where to connect to or send to.
    pub kernel: SocketAddr,
    /// The kernel address to bind first if the guest did not bind; `None`: the kernel chooses.
    pub source: Option<SocketAddr>,
}

/// Why an address cannot be bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// Another socket of the Pod has it.
    #[error("address in use")]
    InUse,
    /// Not an address of this Pod.
    #[error("address not available in this Pod")]
    NotAvailable,
    /// Not allowed to this Pod.
    #[error("bind denied")]
    Denied,
}

/// Why a destination cannot be dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// Nothing listens there, or the Service has no ready endpoint.
    #[error("connection refused")]
    Refused,
    /// A policy forbids it.
    #[error("denied by policy")]
    Denied,
    /// There is no way there.
    #[error("unreachable")]
    Unreachable,
}

/// Why a name has no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// No such name.
    #[error("no such name")]
    NotFound,
    /// Try again.
    #[error("temporary failure in name resolution")]
    Temporary,
    /// The resolver failed.
    #[error("name resolution failed")]
    Failed,
}

/// A Pod without a network: every bind and dial is refused, no name resolves.
#[derive(Debug, Default, Clone, Copy)]
pub struct NoNetwork;

impl Network for NoNetwork {
    fn pod_ip(&self) -> IpAddr {
        Ipv4Addr::LOCALHOST.into()
    }
    fn bind(&self, _: Protocol, _: SocketAddr) -> Result<Box<dyn Binding>, BindError> {
        Err(BindError::Denied)
    }
    fn dial(&self, _: Protocol, _: Option<SocketAddr>, _: SocketAddr) -> Result<Dial, DialError> {
        Err(DialError::Denied)
    }
    fn admit(&self, _: Protocol, _: SocketAddr, _: SocketAddr) -> bool {
        false
    }
    fn guest_address(&self, _: Protocol, kernel: SocketAddr) -> SocketAddr {
        kernel
    }
    fn resolve(&self, _: String) -> BoxFuture<'static, Result<Vec<IpAddr>, ResolveError>> {
        Box::pin(std::future::ready(Err(ResolveError::NotFound)))
    }
}
