//! `wasi:sockets` 0.3: TCP, UDP and name lookup.

use super::pod::{HasSockets, PodSockets, Shared, SocketsView, View, again};
use crate::network::{Protocol, ResolveError};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use wasmtime::AsContextMut;
use wasmtime::component::{Access, Accessor, FutureReader, Linker, Resource, StreamReader};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::p3::bindings::sockets::ip_name_lookup;
use wasmtime_wasi::p3::bindings::sockets::types::{
    self, ErrorCode, HostTcpSocket, HostTcpSocketWithStore, HostUdpSocket, HostUdpSocketWithStore, IpAddress, IpAddressFamily, IpSocketAddress, TcpSocket,
    UdpSocket,
};
use wasmtime_wasi::p3::sockets::{SocketError, SocketResult};
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsCtxView, WasiSocketsView};

pub(super) fn add_to_linker<T: SocketsView>(l: &mut Linker<T>) -> wasmtime::Result<()> {
    types::add_to_linker::<T, HasSockets>(l, T::pod_sockets)?;
    ip_name_lookup::add_to_linker::<T, HasSockets>(l, T::pod_sockets)
}

fn theirs<T: WasiView>(t: &mut T) -> WasiSocketsCtxView<'_> {
    t.sockets()
}

type Ours<T> = Accessor<T, HasSockets>;
type W = WasiSockets;

impl types::Host for View<'_> {
    fn convert_error_code(&mut self, e: SocketError) -> wasmtime::Result<ErrorCode> {
        e.downcast()
    }
}

impl View<'_> {
    fn known(&self, rep: u32) -> SocketResult<Shared> {
        Ok(self.pod.get(rep).ok_or(ErrorCode::InvalidState)?)
    }

    async fn bind_tcp(&mut self, this: &Resource<TcpSocket>, address: SocketAddr) -> SocketResult<()> {
        let socket = self.known(this.rep())?;
        let binding = self.pod.reserve(&socket, address)?;
        let mut result = Err(ErrorCode::AddressInUse.into());
        for kernel in binding.candidates() {
            result = HostTcpSocket::bind(&mut self.wasi, again(this), kernel.into()).await;
            if !result.as_ref().is_err_and(in_use) {
                break;
            }
        }
        result?;
        let kernel = HostTcpSocket::get_local_address(&mut self.wasi, again(this))?;
        Ok(self.pod.bound(&socket, binding, kernel.into())?)
    }

    async fn bind_udp(&mut self, this: &Resource<UdpSocket>, address: SocketAddr) -> SocketResult<()> {
        let socket = self.known(this.rep())?;
        let binding = self.pod.reserve(&socket, address)?;
        let mut result = Err(ErrorCode::AddressInUse.into());
        for kernel in binding.candidates() {
            result = HostUdpSocket::bind(&mut self.wasi, again(this), kernel.into()).await;
            if !result.as_ref().is_err_and(in_use) {
                break;
            }
        }
        result?;
        let kernel = HostUdpSocket::get_local_address(&mut self.wasi, again(this))?;
        Ok(self.pod.bound(&socket, binding, kernel.into())?)
    }

    /// WASI 0.3 binds a socket that was not bound when it is first used.
    async fn ensure_bound_udp(&mut self, this: &Resource<UdpSocket>) -> SocketResult<()> {
        match HostUdpSocket::get_local_address(&mut self.wasi, again(this)) {
            Ok(_) => Ok(()),
            Err(_) => self.bind_udp(this, ANY).await,
        }
    }
}

const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

fn in_use(e: &SocketError) -> bool {
    matches!(e.downcast_ref(), Some(ErrorCode::AddressInUse))
}

/// Methods that need no change.
macro_rules! forward {
    ($resource:ty, $trait:ident: $($f:ident($($a:ident: $t:ty),*) -> $r:ty;)*) => { $(
        fn $f(&mut self, this: Resource<$resource>, $($a: $t),*) -> $r {
            $trait::$f(&mut self.wasi, this, $($a),*)
        }
    )* };
}

impl<T: SocketsView> HostTcpSocketWithStore<T> for HasSockets {
    async fn connect(a: &Ours<T>, this: Resource<TcpSocket>, address: IpSocketAddress) -> SocketResult<()> {
        let to = a.with(|mut s| -> SocketResult<SocketAddr> {
            let mut v = s.get();
            let socket = v.known(this.rep())?;
            let (to, source) = v.pod.dial(&socket, address.into())?;
            if let Some(source) = source {
                // Asynchronous only for the permission check, and ours answers at once.
                let bound = futures::FutureExt::now_or_never(HostTcpSocket::bind(&mut v.wasi, again(&this), source.into()));
                bound.unwrap_or_else(|| Err(ErrorCode::Other(None).into()))?;
            }
            Ok(to)
        })?;
        <W as HostTcpSocketWithStore<T>>::connect(&a.with_getter::<W>(theirs::<T>), this, to.into()).await
    }

    async fn listen(mut s: Access<'_, T, Self>, this: Resource<TcpSocket>) -> SocketResult<StreamReader<Resource<TcpSocket>>> {
        let socket = {
            let mut v = s.get();
            let socket = v.known(this.rep())?;
            if HostTcpSocket::get_local_address(&mut v.wasi, again(&this)).is_err() {
                v.bind_tcp(&this, ANY).await?;
            }
            socket
        };
        let accepted = <W as HostTcpSocketWithStore<T>>::listen(Access::<T, W>::new(s.as_context_mut(), theirs::<T>), this).await?;
        PodSockets::listening(&socket);
        Ok(accepted)
    }

    fn send(mut s: Access<'_, T, Self>, this: Resource<TcpSocket>, data: StreamReader<u8>) -> wasmtime::Result<FutureReader<Result<(), ErrorCode>>> {
        <W as HostTcpSocketWithStore<T>>::send(Access::<T, W>::new(s.as_context_mut(), theirs::<T>), this, data)
    }

    fn receive(mut s: Access<'_, T, Self>, this: Resource<TcpSocket>) -> wasmtime::Result<(StreamReader<u8>, FutureReader<Result<(), ErrorCode>>)> {
        <W as HostTcpSocketWithStore<T>>::receive(Access::<T, W>::new(s.as_context_mut(), theirs::<T>), this)
    }
}

impl HostTcpSocket for View<'_> {
    async fn bind(&mut self, this: Resource<TcpSocket>, address: IpSocketAddress) -> SocketResult<()> {
        self.bind_tcp(&this, address.into()).await
    }

    fn create(&mut self, family: IpAddressFamily) -> SocketResult<Resource<TcpSocket>> {
        let (socket, mut ctx) = self.pod.create(Protocol::Tcp, matches!(family, IpAddressFamily::Ipv6));
        let mut own = WasiSocketsCtxView { ctx: &mut ctx, table: self.wasi.table };
        let r = HostTcpSocket::create(&mut own, IpAddressFamily::Ipv4)?;
        self.pod.insert(r.rep(), socket);
        Ok(r)
    }

    fn get_local_address(&mut self, this: Resource<TcpSocket>) -> SocketResult<IpSocketAddress> {
        let kernel: SocketAddr = HostTcpSocket::get_local_address(&mut self.wasi, again(&this))?.into();
        let peer = HostTcpSocket::get_remote_address(&mut self.wasi, again(&this)).ok().map(SocketAddr::from);
        let socket = self.pod.get(this.rep());
        Ok(self.pod.show_local(socket.as_ref(), Protocol::Tcp, kernel, peer).into())
    }

    fn get_remote_address(&mut self, this: Resource<TcpSocket>) -> SocketResult<IpSocketAddress> {
        let kernel: SocketAddr = HostTcpSocket::get_remote_address(&mut self.wasi, again(&this))?.into();
        let socket = self.pod.get(this.rep());
        Ok(self.pod.show_remote(socket.as_ref(), Protocol::Tcp, kernel).into())
    }

    fn get_address_family(&mut self, this: Resource<TcpSocket>) -> wasmtime::Result<IpAddressFamily> {
        let v6 = self.pod.get(this.rep()).is_some_and(|s| s.lock().v6);
        Ok(if v6 { IpAddressFamily::Ipv6 } else { IpAddressFamily::Ipv4 })
    }

    fn drop(&mut self, this: Resource<TcpSocket>) -> wasmtime::Result<()> {
        self.pod.remove(this.rep());
        HostTcpSocket::drop(&mut self.wasi, this)
    }

    forward! { TcpSocket, HostTcpSocket:
        get_is_listening() -> wasmtime::Result<bool>;
        set_listen_backlog_size(v: u64) -> SocketResult<()>;
        get_keep_alive_enabled() -> SocketResult<bool>;
        set_keep_alive_enabled(v: bool) -> SocketResult<()>;
        get_keep_alive_idle_time() -> SocketResult<u64>;
        set_keep_alive_idle_time(v: u64) -> SocketResult<()>;
        get_keep_alive_interval() -> SocketResult<u64>;
        set_keep_alive_interval(v: u64) -> SocketResult<()>;
        get_keep_alive_count() -> SocketResult<u32>;
        set_keep_alive_count(v: u32) -> SocketResult<()>;
        get_hop_limit() -> SocketResult<u8>;
        set_hop_limit(v: u8) -> SocketResult<()>;
        get_receive_buffer_size() -> SocketResult<u64>;
        set_receive_buffer_size(v: u64) -> SocketResult<()>;
        get_send_buffer_size() -> SocketResult<u64>;
        set_send_buffer_size(v: u64) -> SocketResult<()>;
    }
}

impl<T: SocketsView> HostUdpSocketWithStore<T> for HasSockets {
    async fn send(a: &Ours<T>, this: Resource<UdpSocket>, data: Vec<u8>, to: Option<IpSocketAddress>) -> SocketResult<()> {
        let to = a.with(|mut s| -> SocketResult<Option<IpSocketAddress>> {
            let mut v = s.get();
            let socket = v.known(this.rep())?;
            let to = to.map(|to| v.pod.route(&socket, to.into())).transpose()?;
            let bound = futures::FutureExt::now_or_never(v.ensure_bound_udp(&this));
            bound.unwrap_or_else(|| Err(ErrorCode::Other(None).into()))?;
            Ok(to.map(Into::into))
        })?;
        <W as HostUdpSocketWithStore<T>>::send(&a.with_getter::<W>(theirs::<T>), this, data, to).await
    }

    async fn receive(a: &Ours<T>, this: Resource<UdpSocket>) -> SocketResult<(Vec<u8>, IpSocketAddress)> {
        let rep = this.rep();
        let (data, from) = <W as HostUdpSocketWithStore<T>>::receive(&a.with_getter::<W>(theirs::<T>), this).await?;
        let from = a.with(|mut s| {
            let v = s.get();
            let socket = v.pod.get(rep);
            v.pod.show_remote(socket.as_ref(), Protocol::Udp, from.into())
        });
        Ok((data, from.into()))
    }
}

impl HostUdpSocket for View<'_> {
    async fn create(&mut self, family: IpAddressFamily) -> SocketResult<Resource<UdpSocket>> {
        let (socket, mut ctx) = self.pod.create(Protocol::Udp, matches!(family, IpAddressFamily::Ipv6));
        let mut own = WasiSocketsCtxView { ctx: &mut ctx, table: self.wasi.table };
        let r = HostUdpSocket::create(&mut own, IpAddressFamily::Ipv4).await?;
        self.pod.insert(r.rep(), socket);
        Ok(r)
    }

    async fn bind(&mut self, this: Resource<UdpSocket>, address: IpSocketAddress) -> SocketResult<()> {
        self.bind_udp(&this, address.into()).await
    }

    async fn connect(&mut self, this: Resource<UdpSocket>, address: IpSocketAddress) -> SocketResult<()> {
        self.ensure_bound_udp(&this).await?;
        let socket = self.known(this.rep())?;
        let (to, _) = self.pod.dial(&socket, address.into())?;
        HostUdpSocket::connect(&mut self.wasi, this, to.into()).await
    }

    fn get_local_address(&mut self, this: Resource<UdpSocket>) -> SocketResult<IpSocketAddress> {
        let kernel: SocketAddr = HostUdpSocket::get_local_address(&mut self.wasi, again(&this))?.into();
        let peer = HostUdpSocket::get_remote_address(&mut self.wasi, again(&this)).ok().map(SocketAddr::from);
        let socket = self.pod.get(this.rep());
        Ok(self.pod.show_local(socket.as_ref(), Protocol::Udp, kernel, peer).into())
    }

    fn get_remote_address(&mut self, this: Resource<UdpSocket>) -> SocketResult<IpSocketAddress> {
        let kernel: SocketAddr = HostUdpSocket::get_remote_address(&mut self.wasi, again(&this))?.into();
        let socket = self.pod.get(this.rep());
        Ok(self.pod.show_remote(socket.as_ref(), Protocol::Udp, kernel).into())
    }

    fn get_address_family(&mut self, this: Resource<UdpSocket>) -> wasmtime::Result<IpAddressFamily> {
        let v6 = self.pod.get(this.rep()).is_some_and(|s| s.lock().v6);
        Ok(if v6 { IpAddressFamily::Ipv6 } else { IpAddressFamily::Ipv4 })
    }

    fn drop(&mut self, this: Resource<UdpSocket>) -> wasmtime::Result<()> {
        self.pod.remove(this.rep());
        HostUdpSocket::drop(&mut self.wasi, this)
    }

    forward! { UdpSocket, HostUdpSocket:
        disconnect() -> SocketResult<()>;
        get_unicast_hop_limit() -> SocketResult<u8>;
        set_unicast_hop_limit(v: u8) -> SocketResult<()>;
        get_receive_buffer_size() -> SocketResult<u64>;
        set_receive_buffer_size(v: u64) -> SocketResult<()>;
        get_send_buffer_size() -> SocketResult<u64>;
        set_send_buffer_size(v: u64) -> SocketResult<()>;
    }
}

impl ip_name_lookup::Host for View<'_> {}

impl<T: SocketsView> ip_name_lookup::HostWithStore<T> for HasSockets {
    async fn resolve_addresses(a: &Ours<T>, name: String) -> wasmtime::Result<Result<Vec<IpAddress>, ip_name_lookup::ErrorCode>> {
        use ip_name_lookup::ErrorCode as E;
        if let Ok(ip) = name.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Ok(Ok(vec![ip.into()]));
        }
        let asked = a.with(|mut s| s.get().pod.network.resolve(name));
        Ok(match asked.await {
            Ok(found) => Ok(found.into_iter().map(Into::into).collect()),
            Err(ResolveError::NotFound) => Err(E::NameUnresolvable),
            Err(ResolveError::Temporary) => Err(E::TemporaryResolverFailure),
            Err(ResolveError::Failed) => Err(E::PermanentResolverFailure),
        })
    }
}
