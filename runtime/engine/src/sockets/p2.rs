//! `wasi:sockets` 0.2: TCP and UDP.

use super::pod::{HasSockets, PodSockets, Shared, SocketsView, View, again};
use crate::network::Protocol;
use futures::FutureExt as _;
use std::net::SocketAddr;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::p2::bindings::sockets::network::{self, ErrorCode, IpAddressFamily, IpSocketAddress};
use wasmtime_wasi::p2::bindings::sockets::tcp::{self, HostTcpSocket, ShutdownType};
use wasmtime_wasi::p2::bindings::sockets::udp::{
    self, HostIncomingDatagramStream, HostOutgoingDatagramStream, HostUdpSocket, IncomingDatagram, IncomingDatagramStream, OutgoingDatagram,
    OutgoingDatagramStream,
};
use wasmtime_wasi::p2::bindings::sockets::{tcp_create_socket, udp_create_socket};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, Network, SocketError, SocketResult, TcpSocket, UdpSocket};
use wasmtime_wasi::sockets::WasiSocketsCtxView;

pub(super) fn add_to_linker<T: SocketsView>(l: &mut Linker<T>) -> wasmtime::Result<()> {
    tcp::add_to_linker::<T, HasSockets>(l, T::pod_sockets)?;
    tcp_create_socket::add_to_linker::<T, HasSockets>(l, T::pod_sockets)?;
    udp::add_to_linker::<T, HasSockets>(l, T::pod_sockets)?;
    udp_create_socket::add_to_linker::<T, HasSockets>(l, T::pod_sockets)
}

// The generated traits convert errors through these.
impl network::Host for View<'_> {
    fn convert_error_code(&mut self, e: SocketError) -> wasmtime::Result<ErrorCode> {
        e.downcast()
    }
    fn network_error_code(&mut self, e: Resource<wasmtime_wasi::p2::IoError>) -> wasmtime::Result<Option<ErrorCode>> {
        self.wasi.network_error_code(e)
    }
}

impl network::HostNetwork for View<'_> {
    fn drop(&mut self, n: Resource<Network>) -> wasmtime::Result<()> {
        network::HostNetwork::drop(&mut self.wasi, n)
    }
}

impl View<'_> {
    fn socket(&self, rep: u32) -> SocketResult<Shared> {
        Ok(self.pod.get(rep).ok_or(ErrorCode::InvalidState)?)
    }
}

fn in_use(e: &SocketError) -> bool {
    matches!(e.downcast_ref(), Some(ErrorCode::AddressInUse))
}

impl tcp_create_socket::Host for View<'_> {
    fn create_tcp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Resource<TcpSocket>> {
        let (socket, mut ctx) = self.pod.create(Protocol::Tcp, matches!(family, IpAddressFamily::Ipv6));
        let mut own = WasiSocketsCtxView { ctx: &mut ctx, table: self.wasi.table };
        let r = tcp_create_socket::Host::create_tcp_socket(&mut own, IpAddressFamily::Ipv4)?;
        self.pod.insert(r.rep(), socket);
        Ok(r)
    }
}

impl udp_create_socket::Host for View<'_> {
    async fn create_udp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Resource<UdpSocket>> {
        let (socket, mut ctx) = self.pod.create(Protocol::Udp, matches!(family, IpAddressFamily::Ipv6));
        let mut own = WasiSocketsCtxView { ctx: &mut ctx, table: self.wasi.table };
        let r = udp_create_socket::Host::create_udp_socket(&mut own, IpAddressFamily::Ipv4).await?;
        self.pod.insert(r.rep(), socket);
        Ok(r)
    }
}

/// Methods that need no change.
macro_rules! forward {
    ($resource:ty, $trait:ident: $($f:ident($($a:ident: $t:ty),*) -> $r:ty;)*) => { $(
        fn $f(&mut self, this: Resource<$resource>, $($a: $t),*) -> $r {
            $trait::$f(&mut self.wasi, this, $($a),*)
        }
    )* };
}

impl tcp::Host for View<'_> {}

impl HostTcpSocket for View<'_> {
    async fn start_bind(&mut self, this: Resource<TcpSocket>, n: Resource<Network>, address: IpSocketAddress) -> SocketResult<()> {
        let socket = self.socket(this.rep())?;
        let binding = self.pod.reserve(&socket, address.into())?;
        let mut result = Err(ErrorCode::AddressInUse.into());
        for kernel in binding.candidates() {
            result = HostTcpSocket::start_bind(&mut self.wasi, again(&this), again(&n), kernel.into()).await;
            if !result.as_ref().is_err_and(in_use) {
                break;
            }
        }
        result?;
        let kernel: SocketAddr = HostTcpSocket::local_address(&mut self.wasi, this)?.into();
        Ok(self.pod.bound(&socket, binding, kernel)?)
    }

    async fn start_listen(&mut self, this: Resource<TcpSocket>) -> SocketResult<()> {
        let socket = self.socket(this.rep())?;
        HostTcpSocket::start_listen(&mut self.wasi, this).await?;
        PodSockets::listening(&socket);
        Ok(())
    }

    fn start_connect(&mut self, this: Resource<TcpSocket>, n: Resource<Network>, address: IpSocketAddress) -> SocketResult<()> {
        let socket = self.socket(this.rep())?;
        let (to, source) = self.pod.dial(&socket, address.into())?;
        if let Some(source) = source {
            // Asynchronous only for the permission check, and ours answers at once.
            let bound = HostTcpSocket::start_bind(&mut self.wasi, again(&this), again(&n), source.into()).now_or_never();
            bound.unwrap_or_else(|| Err(ErrorCode::Unknown.into()))?;
            HostTcpSocket::finish_bind(&mut self.wasi, again(&this))?;
        }
        HostTcpSocket::start_connect(&mut self.wasi, this, n, to.into())
    }

    fn accept(&mut self, this: Resource<TcpSocket>) -> SocketResult<(Resource<TcpSocket>, Resource<DynInputStream>, Resource<DynOutputStream>)> {
        let listener = self.socket(this.rep())?;
        let accepted = HostTcpSocket::accept(&mut self.wasi, this)?;
        self.pod.accepted(accepted.0.rep(), &listener);
        Ok(accepted)
    }

    fn local_address(&mut self, this: Resource<TcpSocket>) -> SocketResult<IpSocketAddress> {
        let kernel: SocketAddr = HostTcpSocket::local_address(&mut self.wasi, again(&this))?.into();
        let peer = HostTcpSocket::remote_address(&mut self.wasi, again(&this)).ok().map(SocketAddr::from);
        let socket = self.pod.get(this.rep());
        Ok(self.pod.show_local(socket.as_ref(), Protocol::Tcp, kernel, peer).into())
    }

    fn remote_address(&mut self, this: Resource<TcpSocket>) -> SocketResult<IpSocketAddress> {
        let kernel: SocketAddr = HostTcpSocket::remote_address(&mut self.wasi, again(&this))?.into();
        let socket = self.pod.get(this.rep());
        Ok(self.pod.show_remote(socket.as_ref(), Protocol::Tcp, kernel).into())
    }

    fn address_family(&mut self, this: Resource<TcpSocket>) -> wasmtime::Result<IpAddressFamily> {
        let v6 = self.pod.get(this.rep()).is_some_and(|s| s.lock().v6);
        Ok(if v6 { IpAddressFamily::Ipv6 } else { IpAddressFamily::Ipv4 })
    }

    fn drop(&mut self, this: Resource<TcpSocket>) -> wasmtime::Result<()> {
        self.pod.remove(this.rep());
        HostTcpSocket::drop(&mut self.wasi, this)
    }

    forward! { TcpSocket, HostTcpSocket:
        finish_bind() -> SocketResult<()>;
        finish_connect() -> SocketResult<(Resource<DynInputStream>, Resource<DynOutputStream>)>;
        finish_listen() -> SocketResult<()>;
        is_listening() -> wasmtime::Result<bool>;
        set_listen_backlog_size(v: u64) -> SocketResult<()>;
        keep_alive_enabled() -> SocketResult<bool>;
        set_keep_alive_enabled(v: bool) -> SocketResult<()>;
        keep_alive_idle_time() -> SocketResult<u64>;
        set_keep_alive_idle_time(v: u64) -> SocketResult<()>;
        keep_alive_interval() -> SocketResult<u64>;
        set_keep_alive_interval(v: u64) -> SocketResult<()>;
        keep_alive_count() -> SocketResult<u32>;
        set_keep_alive_count(v: u32) -> SocketResult<()>;
        hop_limit() -> SocketResult<u8>;
        set_hop_limit(v: u8) -> SocketResult<()>;
        receive_buffer_size() -> SocketResult<u64>;
        set_receive_buffer_size(v: u64) -> SocketResult<()>;
        send_buffer_size() -> SocketResult<u64>;
        set_send_buffer_size(v: u64) -> SocketResult<()>;
        subscribe() -> wasmtime::Result<Resource<DynPollable>>;
        shutdown(how: ShutdownType) -> SocketResult<()>;
    }
}

impl udp::Host for View<'_> {}

impl HostUdpSocket for View<'_> {
    async fn start_bind(&mut self, this: Resource<UdpSocket>, n: Resource<Network>, address: IpSocketAddress) -> SocketResult<()> {
        let socket = self.socket(this.rep())?;
        let binding = self.pod.reserve(&socket, address.into())?;
        let mut result = Err(ErrorCode::AddressInUse.into());
        for kernel in binding.candidates() {
            result = HostUdpSocket::start_bind(&mut self.wasi, again(&this), again(&n), kernel.into()).await;
            if !result.as_ref().is_err_and(in_use) {
                break;
            }
        }
        result?;
        let kernel: SocketAddr = HostUdpSocket::local_address(&mut self.wasi, this)?.into();
        Ok(self.pod.bound(&socket, binding, kernel)?)
    }

    async fn stream(
        &mut self,
        this: Resource<UdpSocket>,
        remote: Option<IpSocketAddress>,
    ) -> SocketResult<(Resource<IncomingDatagramStream>, Resource<OutgoingDatagramStream>)> {
        let socket = self.socket(this.rep())?;
        let remote = match remote {
            Some(r) => Some(self.pod.dial(&socket, r.into())?.0.into()),
            None => None,
        };
        let (incoming, outgoing) = HostUdpSocket::stream(&mut self.wasi, this, remote).await?;
        self.pod.insert(incoming.rep(), socket.clone());
        self.pod.insert(outgoing.rep(), socket);
        Ok((incoming, outgoing))
    }

    fn local_address(&mut self, this: Resource<UdpSocket>) -> SocketResult<IpSocketAddress> {
        let kernel: SocketAddr = HostUdpSocket::local_address(&mut self.wasi, again(&this))?.into();
        let peer = HostUdpSocket::remote_address(&mut self.wasi, again(&this)).ok().map(SocketAddr::from);
        let socket = self.pod.get(this.rep());
        Ok(self.pod.show_local(socket.as_ref(), Protocol::Udp, kernel, peer).into())
    }

    fn remote_address(&mut self, this: Resource<UdpSocket>) -> SocketResult<IpSocketAddress> {
        let kernel: SocketAddr = HostUdpSocket::remote_address(&mut self.wasi, again(&this))?.into();
        let socket = self.pod.get(this.rep());
        Ok(self.pod.show_remote(socket.as_ref(), Protocol::Udp, kernel).into())
    }

    fn address_family(&mut self, this: Resource<UdpSocket>) -> wasmtime::Result<IpAddressFamily> {
        let v6 = self.pod.get(this.rep()).is_some_and(|s| s.lock().v6);
        Ok(if v6 { IpAddressFamily::Ipv6 } else { IpAddressFamily::Ipv4 })
    }

    fn drop(&mut self, this: Resource<UdpSocket>) -> wasmtime::Result<()> {
        self.pod.remove(this.rep());
        HostUdpSocket::drop(&mut self.wasi, this)
    }

    forward! { UdpSocket, HostUdpSocket:
        finish_bind() -> SocketResult<()>;
        unicast_hop_limit() -> SocketResult<u8>;
        set_unicast_hop_limit(v: u8) -> SocketResult<()>;
        receive_buffer_size() -> SocketResult<u64>;
        set_receive_buffer_size(v: u64) -> SocketResult<()>;
        send_buffer_size() -> SocketResult<u64>;
        set_send_buffer_size(v: u64) -> SocketResult<()>;
        subscribe() -> wasmtime::Result<Resource<DynPollable>>;
    }
}

impl HostIncomingDatagramStream for View<'_> {
    fn receive(&mut self, this: Resource<IncomingDatagramStream>, max: u64) -> SocketResult<Vec<IncomingDatagram>> {
        let socket = self.socket(this.rep())?;
        let mut all = HostIncomingDatagramStream::receive(&mut self.wasi, this, max)?;
        for d in &mut all {
            d.remote_address = self.pod.show_remote(Some(&socket), Protocol::Udp, d.remote_address.into()).into();
        }
        Ok(all)
    }
    fn drop(&mut self, this: Resource<IncomingDatagramStream>) -> wasmtime::Result<()> {
        self.pod.remove(this.rep());
        HostIncomingDatagramStream::drop(&mut self.wasi, this)
    }
    forward! { IncomingDatagramStream, HostIncomingDatagramStream: subscribe() -> wasmtime::Result<Resource<DynPollable>>; }
}

impl HostOutgoingDatagramStream for View<'_> {
    fn send(&mut self, this: Resource<OutgoingDatagramStream>, mut all: Vec<OutgoingDatagram>) -> SocketResult<u64> {
        let socket = self.socket(this.rep())?;
        for (i, d) in all.iter_mut().enumerate() {
            let Some(to) = d.remote_address else { continue };
            match self.pod.route(&socket, to.into()) {
                Ok(kernel) => d.remote_address = Some(kernel.into()),
                // Those before it are sent; the error is for a call that sends none.
                Err(_) if i > 0 => {
                    all.truncate(i);
                    break;
                }
                Err(e) => return Err(e.into()),
            }
        }
        HostOutgoingDatagramStream::send(&mut self.wasi, this, all)
    }
    async fn drop(&mut self, this: Resource<OutgoingDatagramStream>) -> wasmtime::Result<()> {
        self.pod.remove(this.rep());
        HostOutgoingDatagramStream::drop(&mut self.wasi, this).await
    }
    forward! { OutgoingDatagramStream, HostOutgoingDatagramStream:
        check_send() -> SocketResult<u64>;
        subscribe() -> wasmtime::Result<Resource<DynPollable>>;
    }
}
