//! Requests that guests send (`wasi:http` outgoing): to handlers of this process directly, to Services and Pods by the same decision as a
//! socket's dial, to the world with the system's roots and the cluster's CA.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderValue, Request, Response, Uri, header};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, Sleep, timeout};
use wharf_engine::{Body, BoxError, Network, Outgoing, OutgoingError, OutgoingOptions, ResolveError, TlsOptions};
use wharf_net::Dial;

use crate::handlers::Handlers;
use crate::http::failure;
use crate::network::PodNetwork;
use crate::trust::Trust;

const CONNECT: Duration = Duration::from_secs(10);
const FIRST_BYTE: Duration = Duration::from_secs(600);
const BETWEEN_BYTES: Duration = Duration::from_secs(600);
const MAX_HEAD: usize = 64 << 10;
/// Handlers that may call one another in process.
const MAX_DEPTH: u32 = 16;

tokio::task_local! {
    static DEPTH: u32;
}

/// The outgoing side of one Pod.
pub struct PodOutgoing {
    network: Arc<PodNetwork>,
    handlers: Arc<Handlers>,
    trust: Arc<Trust>,
}

impl PodOutgoing {
    /// Of the Pod with this network.
    pub fn new(network: Arc<PodNetwork>, handlers: Arc<Handlers>, trust: Arc<Trust>) -> Arc<Self> {
        Arc::new(Self { network, handlers, trust })
    }
}

impl Outgoing for PodOutgoing {
    fn send(&self, request: Request<Body>, options: OutgoingOptions) -> BoxFuture<'static, Result<Response<Body>, OutgoingError>> {
        let (network, handlers, trust) = (self.network.clone(), self.handlers.clone(), self.trust.clone());
        Box::pin(async move { send(&network, &handlers, &trust, request, options).await })
    }

    fn tls(&self, options: &TlsOptions) -> Result<Arc<rustls::ClientConfig>, String> {
        self.trust.asked(options)
    }
}

async fn send(
    network: &PodNetwork,
    handlers: &Handlers,
    trust: &Trust,
    mut request: Request<Body>,
    options: OutgoingOptions,
) -> Result<Response<Body>, OutgoingError> {
    let target = Target::of(request.uri())?;
    let connect = options.connect_timeout.unwrap_or(CONNECT);
    let first_byte = options.first_byte_timeout.unwrap_or(FIRST_BYTE);
    let between_bytes = options.between_bytes_timeout.unwrap_or(BETWEEN_BYTES);
    // As on the wire: the path in the request line, the authority in the header.
    let path = request.uri().path_and_query().map_or("/", |p| p.as_str());
    let path = Uri::try_from(if path.is_empty() { "/" } else { path }).map_err(|_| OutgoingError::InvalidUri)?;
    *request.uri_mut() = path;
    if !request.headers().contains_key(header::HOST) {
        request.headers_mut().insert(header::HOST, HeaderValue::try_from(&target.authority).map_err(|_| OutgoingError::InvalidUri)?);
    }
    *request.version_mut() = http::Version::HTTP_11;

    let dialled = timeout(connect, dial(network, handlers, &target)).await.map_err(|_| OutgoingError::ConnectTimeout)??;
    let response = match dialled {
        Dialled::Local(handler) => {
            let depth = DEPTH.try_with(|d| *d).unwrap_or(0) + 1;
            if depth > MAX_DEPTH {
                return Err(OutgoingError::Loop);
            }
            let peer = SocketAddr::from((network.ip(), 0));
            // In a task of its own: the callee must not run on the caller's stack, nor be ended in the middle when it gives up.
            let call = tokio::spawn(DEPTH.scope(depth, async move { handler.call(request, peer).await.unwrap_or_else(|e| failure(&e)) }));
            let call = AbortOnDrop(call);
            timeout(first_byte, call).await.map_err(|_| OutgoingError::ResponseTimeout)?.map_err(|e| OutgoingError::Internal(e.to_string()))?
        }
        Dialled::Stream(stream) if target.tls => {
            let name = ServerName::try_from(target.host.clone()).map_err(|_| OutgoingError::InvalidUri)?;
            let connector = tokio_rustls::TlsConnector::from(trust.config());
            let stream = timeout(connect, connector.connect(name, stream)).await.map_err(|_| OutgoingError::ConnectTimeout)?;
            exchange(stream.map_err(|e| OutgoingError::Tls(e.to_string()))?, request, first_byte).await?
        }
        Dialled::Stream(stream) => exchange(stream, request, first_byte).await?,
    };
    Ok(response.map(|body| Timed { body, between_bytes, sleep: None }.boxed_unsync()))
}

/// Where a request goes.
struct Target {
    tls: bool,
    host: String,
    port: u16,
    authority: String,
}

impl Target {
    fn of(uri: &Uri) -> Result<Self, OutgoingError> {
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(OutgoingError::InvalidUri),
        };
        let authority = uri.authority().ok_or(OutgoingError::InvalidUri)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        if host.is_empty() {
            return Err(OutgoingError::InvalidUri);
        }
        // Without a user's name and password.
        let text = authority.as_str();
        let authority = text.rsplit_once('@').map_or(text, |(_, host)| host).to_owned();
        Ok(Self { tls, host, port, authority })
    }
}

enum Dialled {
    Local(crate::Handler),
    Stream(TcpStream),
}

async fn dial(network: &PodNetwork, handlers: &Handlers, target: &Target) -> Result<Dialled, OutgoingError> {
    let addresses = network.resolve(target.host.clone()).await.map_err(|e| match e {
        ResolveError::NotFound => OutgoingError::Dns("NXDOMAIN".to_owned()),
        other => OutgoingError::Dns(other.to_string()),
    })?;
    let mut failed = OutgoingError::Unreachable;
    for ip in addresses.into_iter().take(8) {
        match dial_one(network, handlers, target, ip).await {
            Ok(dialled) => return Ok(dialled),
            Err(e) => failed = e,
        }
    }
    Err(failed)
}

async fn dial_one(network: &PodNetwork, handlers: &Handlers, target: &Target, ip: IpAddr) -> Result<Dialled, OutgoingError> {
    let (kernel, source) = match network.decide(SocketAddr::new(ip, target.port)) {
        Dial::Connect { kernel, endpoint, source } => {
            let local = match endpoint {
                SocketAddr::V4(at) if at.ip().is_loopback() => Some(std::net::SocketAddrV4::new(network.ip(), at.port())),
                SocketAddr::V4(at) => Some(at),
                SocketAddr::V6(_) => None,
            };
            if let Some(handler) = local.filter(|_| !target.tls).and_then(|at| handlers.get(at)) {
                return Ok(Dialled::Local(handler));
            }
            (kernel, source)
        }
        Dial::Outside(to) => (to, None),
        Dial::Refused => return Err(OutgoingError::Refused),
        Dial::Unreachable => return Err(OutgoingError::Unreachable),
    };
    let socket = if kernel.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let connect = async {
        let socket = socket?;
        if let Some(source) = source {
            socket.bind(SocketAddr::from((source, 0)))?;
        }
        let stream = socket.connect(kernel).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    };
    connect.await.map(Dialled::Stream).map_err(|e: std::io::Error| match e.kind() {
        std::io::ErrorKind::ConnectionRefused => OutgoingError::Refused,
        std::io::ErrorKind::TimedOut => OutgoingError::ConnectTimeout,
        std::io::ErrorKind::NetworkUnreachable | std::io::ErrorKind::HostUnreachable => OutgoingError::Unreachable,
        _ => OutgoingError::Internal(e.to_string()),
    })
}

/// Sends the request on a fresh connection, which lives as long as the response's body.
async fn exchange<S>(stream: S, request: Request<Body>, first_byte: Duration) -> Result<Response<Body>, OutgoingError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let words = |e: hyper::Error| match () {
        () if e.is_parse() => OutgoingError::Protocol(e.to_string()),
        () if e.is_incomplete_message() || e.is_closed() => OutgoingError::Terminated,
        () => OutgoingError::Internal(e.to_string()),
    };
    let (mut sender, connection) = http1::Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream)).await.map_err(words)?;
    let driver = AbortOnDrop(tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::trace!(%error, "connection of an outgoing request");
        }
    }));
    let response = timeout(first_byte, sender.send_request(request)).await.map_err(|_| OutgoingError::ResponseTimeout)?.map_err(words)?;
    Ok(response.map(|body| Driven { body: body.map_err(Into::into).boxed_unsync(), _driver: driver }.boxed_unsync()))
}

/// A task that ends with what waits for it.
struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Future for AbortOnDrop<T> {
    type Output = Result<T, tokio::task::JoinError>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A response's body with the task that drives its connection.
struct Driven {
    body: Body,
    _driver: AbortOnDrop<()>,
}

impl http_body::Body for Driven {
    type Data = Bytes;
    type Error = BoxError;
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }
    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A body whose pieces have to come in time.
struct Timed {
    body: Body,
    between_bytes: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl http_body::Body for Timed {
    type Data = Bytes;
    type Error = BoxError;
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let me = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut me.body).poll_frame(cx) {
            me.sleep = None;
            return Poll::Ready(frame);
        }
        let sleep = me.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + me.between_bytes)));
        std::task::ready!(sleep.as_mut().poll(cx));
        Poll::Ready(Some(Err("the next piece of the response did not come in time".into())))
    }
    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddrV4;
    use std::sync::OnceLock;

    use http_body_util::{Empty, Full};
    use wharf_engine::{HandlerError, HttpHandler};
    use wharf_net::{ListenerKind, Proto, Scope};

    use super::*;
    use crate::http::HttpServer;
    use crate::http::tests::Echo;
    use crate::network::tests::{cluster, network};

    async fn get(out: &PodOutgoing, uri: &str) -> Result<String, OutgoingError> {
        let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
        let response = out.send(Request::get(uri).body(body).unwrap(), OutgoingOptions::default()).await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.map_err(|e| OutgoingError::Internal(e.to_string()))?.to_bytes();
        Ok(format!("{status} {}", String::from_utf8_lossy(&body).trim()))
    }

    #[tokio::test]
    async fn by_socket_and_in_process_alike() {
        let net = cluster();
        let (server_pod, client_pod) = (network(&net, "10.244.201.5"), network(&net, "10.244.201.6"));
        let trust = Trust::new(vec![]);
        let listed = Handlers::new();
        let _server = HttpServer::listen(&server_pod, &listed, "web", &[8080], Arc::new(Echo)).unwrap();
        let in_process = PodOutgoing::new(client_pod.clone(), listed, trust.clone());
        let by_socket = PodOutgoing::new(client_pod.clone(), Handlers::new(), trust);
        for out in [&in_process, &by_socket] {
            assert_eq!(get(out, "http://10.244.201.5:8080/a?b").await.unwrap(), "200 GET /a from 10.244.201.6");
            assert_eq!(get(out, "http://10.244.201.5:8080/trap").await.unwrap(), "502 502 Bad Gateway");
            assert_eq!(get(out, "http://10.244.201.5:8081/").await, Err(OutgoingError::Refused));
            assert_eq!(get(out, "http://127.0.0.1:8080/").await, Err(OutgoingError::Refused), "another Pod's port is not on its localhost");
            assert_eq!(get(out, "http://nobody/").await, Err(OutgoingError::Dns("NXDOMAIN".into())));
            assert_eq!(get(out, "ftp://x/").await, Err(OutgoingError::InvalidUri));
        }
        let own = PodOutgoing::new(server_pod, Handlers::new(), Trust::new(vec![]));
        assert_eq!(get(&own, "http://127.0.0.1:8080/").await.unwrap(), "200 GET / from 127.0.0.1");
    }

    /// Calls itself.
    struct Mirror(OnceLock<Arc<PodOutgoing>>);
    impl HttpHandler for Mirror {
        fn call(&self, _: Request<Body>, _: SocketAddr) -> BoxFuture<'_, Result<Response<Body>, HandlerError>> {
            Box::pin(async {
                let text = match get(self.0.get().unwrap(), "http://10.244.202.5/").await {
                    Ok(inner) => inner,
                    Err(e) => e.to_string(),
                };
                Ok(Response::new(Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync()))
            })
        }
    }

    #[tokio::test]
    async fn a_loop_ends() {
        let net = cluster();
        let pod = network(&net, "10.244.202.5");
        let handlers = Handlers::new();
        let mirror = Arc::new(Mirror(OnceLock::new()));
        let at = SocketAddrV4::new(pod.ip(), 80);
        let _listener = net.listeners.register(Proto::Tcp, at, Scope::Wildcard, "127.0.0.1:1".parse().unwrap(), ListenerKind::Http, "x").unwrap();
        let _handler = handlers.register(at, mirror.clone());
        let out = PodOutgoing::new(pod, handlers, Trust::new(vec![]));
        assert!(mirror.0.set(out.clone()).is_ok());
        let answer = get(&out, "http://10.244.202.5/").await.unwrap();
        assert!(answer.ends_with("request loop detected"), "{answer}");
    }
}
