//! Sockets and names over `wasi:sockets`: nothing here holds up another task.

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;

use wasip2::io::streams::{InputStream, OutputStream};
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::network::{ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress, Network};
use wasip2::sockets::tcp::{ShutdownType, TcpSocket};
use wasip2::sockets::udp::{IncomingDatagramStream, OutgoingDatagram, OutgoingDatagramStream, UdpSocket as Socket};
use wasip2::sockets::{ip_name_lookup, tcp_create_socket, udp_create_socket};

use crate::container::tls;
use crate::io as streams;
use crate::rt;

/// The addresses of a name (or of a literal address), as the Pod resolves it: `NotFound` where there are none.
pub async fn lookup(name: &str) -> io::Result<Vec<IpAddr>> {
    if let Ok(address) = name.parse() {
        return Ok(vec![address]);
    }
    let network = instance_network();
    let stream = ip_name_lookup::resolve_addresses(&network, name).map_err(error)?;
    let mut addresses = Vec::new();
    loop {
        match stream.resolve_next_address() {
            Ok(Some(address)) => addresses.push(from_ip(address)),
            Ok(None) if addresses.is_empty() => return Err(ErrorKind::NotFound.into()),
            Ok(None) => return Ok(addresses),
            Err(ErrorCode::WouldBlock) => rt::ready(stream.subscribe()).await,
            Err(code) => return Err(error(code)),
        }
    }
}

/// A TCP connection. Clones are the same connection, so that one task can read while another writes.
#[derive(Clone)]
pub struct TcpStream(Rc<Connection>);

/// Streams go before their socket.
struct Connection {
    input: InputStream,
    output: OutputStream,
    socket: TcpSocket,
}

impl TcpStream {
    /// Connects to an address. `ConnectionRefused`, `TimedOut` and so on as they come; put [`rt::timeout`] around it.
    pub async fn connect(to: SocketAddr) -> io::Result<TcpStream> {
        let network = instance_network();
        let socket = tcp_create_socket::create_tcp_socket(family(&to)).map_err(error)?;
        socket.start_connect(&network, into_address(to)).map_err(error)?;
        let (input, output) = finish(&socket, || socket.finish_connect()).await?;
        Ok(TcpStream(Rc::new(Connection { input, output, socket })))
    }

    /// The same connection in TLS. In words why not.
    pub async fn secure(self, options: &tls::Options) -> Result<TcpStream, String> {
        let Connection { input, output, socket } = Rc::try_unwrap(self.0).map_err(|_| "the connection is in use".to_string())?;
        let handshake = tls::start(input, output, options)?;
        let (input, output) = loop {
            match handshake.finish() {
                Some(secured) => break secured?,
                None => rt::ready(handshake.subscribe()).await,
            }
        };
        Ok(TcpStream(Rc::new(Connection { input, output, socket })))
    }

    /// What has come, at most `max` bytes; empty at the end.
    pub async fn read(&self, max: usize) -> io::Result<Vec<u8>> {
        streams::receive(&self.0.input, max).await
    }

    /// Sends all of it.
    pub async fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        streams::send(&self.0.output, bytes).await
    }

    /// Says that nothing more will be sent, once all is.
    pub async fn finish(&self) -> io::Result<()> {
        self.0.output.flush().map_err(|_| ErrorKind::BrokenPipe)?;
        while self.0.output.check_write().is_ok_and(|room| room == 0) {
            rt::ready(self.0.output.subscribe()).await;
        }
        self.0.socket.shutdown(ShutdownType::Send).map_err(error)
    }

    /// This end's address.
    pub fn local(&self) -> io::Result<SocketAddr> {
        self.0.socket.local_address().map(from_address).map_err(error)
    }
}

/// A listener.
pub struct TcpListener(TcpSocket);

impl TcpListener {
    /// Listens on an address (`0.0.0.0:80`).
    pub async fn bind(at: SocketAddr) -> io::Result<TcpListener> {
        let network = instance_network();
        let socket = tcp_create_socket::create_tcp_socket(family(&at)).map_err(error)?;
        socket.start_bind(&network, into_address(at)).map_err(error)?;
        finish(&socket, || socket.finish_bind()).await?;
        socket.start_listen().map_err(error)?;
        finish(&socket, || socket.finish_listen()).await?;
        Ok(TcpListener(socket))
    }

    /// The next connection, and who made it.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (socket, input, output) = finish(&self.0, || self.0.accept()).await?;
        let peer = from_address(socket.remote_address().map_err(error)?);
        Ok((TcpStream(Rc::new(Connection { input, output, socket })), peer))
    }

    /// Where it listens.
    pub fn local(&self) -> io::Result<SocketAddr> {
        self.0.local_address().map(from_address).map_err(error)
    }
}

/// A UDP socket.
pub struct UdpSocket {
    incoming: IncomingDatagramStream,
    outgoing: OutgoingDatagramStream,
    permits: Cell<u64>,
    _socket: Socket,
    _network: Network,
}

impl UdpSocket {
    /// Binds to an address; `0.0.0.0:0` for any.
    pub async fn bind(at: SocketAddr) -> io::Result<UdpSocket> {
        let network = instance_network();
        let socket = udp_create_socket::create_udp_socket(family(&at)).map_err(error)?;
        socket.start_bind(&network, into_address(at)).map_err(error)?;
        loop {
            match socket.finish_bind() {
                Err(ErrorCode::WouldBlock) => rt::ready(socket.subscribe()).await,
                other => break other.map_err(error)?,
            }
        }
        let (incoming, outgoing) = socket.stream(None).map_err(error)?;
        Ok(UdpSocket { incoming, outgoing, permits: Cell::new(0), _socket: socket, _network: network })
    }

    /// Sends a datagram.
    pub async fn send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
        while self.permits.get() == 0 {
            self.permits.set(self.outgoing.check_send().map_err(error)?);
            if self.permits.get() == 0 {
                rt::ready(self.outgoing.subscribe()).await;
            }
        }
        self.permits.set(self.permits.get() - 1);
        self.outgoing.send(&[OutgoingDatagram { data: bytes.to_vec(), remote_address: Some(into_address(to)) }]).map_err(error)?;
        Ok(())
    }

    /// The next datagram, and who sent it.
    pub async fn receive_from(&self) -> io::Result<(Vec<u8>, SocketAddr)> {
        loop {
            match self.incoming.receive(1).map_err(error)?.pop() {
                Some(datagram) => return Ok((datagram.data, from_address(datagram.remote_address))),
                None => rt::ready(self.incoming.subscribe()).await,
            }
        }
    }
}

async fn finish<T>(socket: &TcpSocket, mut step: impl FnMut() -> Result<T, ErrorCode>) -> io::Result<T> {
    loop {
        match step() {
            Err(ErrorCode::WouldBlock) => rt::ready(socket.subscribe()).await,
            other => return other.map_err(error),
        }
    }
}

fn error(code: ErrorCode) -> io::Error {
    let words = |kind, text: &'static str| io::Error::new(kind, text);
    match code {
        ErrorCode::ConnectionRefused => words(ErrorKind::ConnectionRefused, "Connection refused"),
        ErrorCode::ConnectionReset => words(ErrorKind::ConnectionReset, "Connection reset by peer"),
        ErrorCode::ConnectionAborted => words(ErrorKind::ConnectionAborted, "Software caused connection abort"),
        ErrorCode::Timeout => words(ErrorKind::TimedOut, "Connection timed out"),
        ErrorCode::RemoteUnreachable => words(ErrorKind::HostUnreachable, "No route to host"),
        ErrorCode::AddressInUse => words(ErrorKind::AddrInUse, "Address already in use"),
        ErrorCode::AddressNotBindable => words(ErrorKind::AddrNotAvailable, "Cannot assign requested address"),
        ErrorCode::AccessDenied => words(ErrorKind::PermissionDenied, "Permission denied"),
        ErrorCode::NameUnresolvable => words(ErrorKind::NotFound, "Name or service not known"),
        ErrorCode::TemporaryResolverFailure => words(ErrorKind::Other, "Temporary failure in name resolution"),
        ErrorCode::PermanentResolverFailure => words(ErrorKind::Other, "Non-recoverable failure in name resolution"),
        ErrorCode::InvalidArgument => words(ErrorKind::InvalidInput, "Invalid argument"),
        ErrorCode::NotSupported => words(ErrorKind::Unsupported, "Operation not supported"),
        ErrorCode::DatagramTooLarge => words(ErrorKind::InvalidInput, "Message too long"),
        other => io::Error::other(other.message().to_string()),
    }
}

fn family(address: &SocketAddr) -> IpAddressFamily {
    if address.is_ipv4() { IpAddressFamily::Ipv4 } else { IpAddressFamily::Ipv6 }
}

fn into_address(address: SocketAddr) -> IpSocketAddress {
    match address {
        SocketAddr::V4(v4) => {
            let [a, b, c, d] = v4.ip().octets();
            IpSocketAddress::Ipv4(Ipv4SocketAddress { port: v4.port(), address: (a, b, c, d) })
        }
        SocketAddr::V6(v6) => {
            let [a, b, c, d, e, f, g, h] = v6.ip().segments();
            IpSocketAddress::Ipv6(Ipv6SocketAddress { port: v6.port(), flow_info: v6.flowinfo(), address: (a, b, c, d, e, f, g, h), scope_id: v6.scope_id() })
        }
    }
}

fn from_address(address: IpSocketAddress) -> SocketAddr {
    match address {
        IpSocketAddress::Ipv4(v4) => SocketAddr::new(from_ip(IpAddress::Ipv4(v4.address)), v4.port),
        IpSocketAddress::Ipv6(v6) => SocketAddr::new(from_ip(IpAddress::Ipv6(v6.address)), v6.port),
    }
}

fn from_ip(address: IpAddress) -> IpAddr {
    match address {
        IpAddress::Ipv4((a, b, c, d)) => Ipv4Addr::new(a, b, c, d).into(),
        IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => Ipv6Addr::new(a, b, c, d, e, f, g, h).into(),
    }
}
