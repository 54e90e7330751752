//! A Pod's sockets: `wasi:sockets` 0.2 and 0.3 over [`crate::Network`].
//!
//! The sockets are wasmtime-wasi's, and so are all streams; what has an address in it goes through the Pod's network:
//! bind, connect, send, accept, and the addresses that the guest is shown. Each socket has a permission check of its
//! own, which lets it bind and connect only where the network said, so that nothing slips past the translation.
//!
//! A UDP socket has one kernel address, the Pod's; where that is one of 127.0.0.0/8, the kernel lets no datagram out of
//! the machine from it.
//!
//! A guest's IPv6 sockets are IPv4 sockets of the kernel: `::`, `::1` and mapped addresses are translated, others are
//! unreachable.

mod names;
mod p2;
mod p3;
mod pod;

pub(crate) use pod::{PodSockets, SocketsView, View};

use wasmtime::component::Linker;

/// Replaces wasmtime-wasi's `wasi:sockets` 0.2. To be called after its own functions were added.
pub(crate) fn add_p2_to_linker<T: SocketsView>(l: &mut Linker<T>) -> wasmtime::Result<()> {
    l.allow_shadowing(true);
    p2::add_to_linker(l)?;
    names::add_to_linker(l)?;
    l.allow_shadowing(false);
    Ok(())
}

/// Replaces wasmtime-wasi's `wasi:sockets` 0.3. To be called after its own functions were added.
pub(crate) fn add_p3_to_linker<T: SocketsView>(l: &mut Linker<T>) -> wasmtime::Result<()> {
    l.allow_shadowing(true);
    p3::add_to_linker(l)?;
    l.allow_shadowing(false);
    Ok(())
}
