//! `wharf:container/incoming`: who sent the request that a handler answers.

use std::net::SocketAddr;
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, Lower};

/// The interface, as guests import it.
pub(crate) const INTERFACE: &str = "wharf:container/incoming@0.1.0";

#[derive(Debug, Clone, ComponentType, Lift, Lower)]
#[component(record)]
struct Peer {
    #[component(name = "address")]
    address: String,
    #[component(name = "port")]
    port: u16,
}

/// What a store's data must offer.
pub(crate) trait IncomingView: 'static {
    fn peer(&self) -> Option<SocketAddr>;
}

pub(crate) fn add_to_linker<T: IncomingView>(l: &mut Linker<T>) -> wasmtime::Result<()> {
    l.instance(INTERFACE)?.func_wrap("peer", |s: StoreContextMut<'_, T>, (): ()| {
        Ok((s.data().peer().map(|peer| Peer { address: peer.ip().to_canonical().to_string(), port: peer.port() }),))
    })
}
