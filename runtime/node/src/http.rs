//! Listening for `wasi:http` containers: HTTP/1.1 on the Pod's address, the guest runs in the connection's own task.

use std::convert::Infallible;
use std::net::{SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wharf_engine::{Body, HandlerError};
use wharf_net::{Guard, ListenerKind, Proto, Scope, Taken};

use crate::handlers::{Handler, Handlers, Registered};
use crate::network::{PodNetwork, candidates};

/// How long a client may take to send a request's head, and an idle connection is kept.
const HEADER_TIMEOUT: Duration = Duration::from_secs(60);
/// The largest head of a request.
const MAX_HEAD: usize = 64 << 10;
/// Connections to one container at a time.
const MAX_CONNECTIONS: usize = 10_000;

/// What listens for one container. Dropping it takes its ports out of the table.
pub struct HttpServer {
    stop: CancellationToken,
    connections: TaskTracker,
    ports: Vec<Port>,
}

struct Port {
    guard: Guard,
    registered: Option<Registered>,
}

/// Why a container cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another container of the Pod has the port.
    #[error("{0}")]
    Taken(#[from] Taken),
    /// The kernel refuses.
    #[error("cannot listen on port {port}: {source}")]
    Kernel {
        /// The container's port.
        port: u16,
        /// Why.
        source: std::io::Error,
    },
}

impl HttpServer {
    /// Listens at each of `ports` on the Pod's address. What the kernel gave in place of a port that the host holds is not seen by anyone.
    pub fn listen(network: &Arc<PodNetwork>, handlers: &Arc<Handlers>, container: &str, ports: &[u16], handler: Handler) -> Result<Self, ListenError> {
        let mut server = Self { stop: CancellationToken::new(), connections: TaskTracker::new(), ports: vec![] };
        let owner = format!("container \"{container}\"");
        let cluster = network.cluster();
        for &port in ports {
            let guard = cluster.listeners.claim(Proto::Tcp, network.ip(), Scope::Wildcard, port, ListenerKind::Http, &owner)?;
            let listener = bind(&candidates(cluster, cluster.pod_net.kernel_ip(network.ip()), port)).map_err(|source| ListenError::Kernel { port, source })?;
            let kernel = listener.local_addr().map_err(|source| ListenError::Kernel { port, source })?;
            guard.bound(kernel);
            guard.listening();
            let registered = handlers.register(SocketAddrV4::new(network.ip(), port), handler.clone());
            server.ports.push(Port { guard, registered: Some(registered) });
            let local = SocketAddrV4::new(network.ip(), port);
            let (network, handler, stop, connections) = (network.clone(), handler.clone(), server.stop.clone(), server.connections.clone());
            tokio::spawn(accept(listener, local, network, handler, stop, connections));
        }
        Ok(server)
    }

    /// Accepts nothing more, and lets each connection end with the request in work. [`Self::drained`] waits for that.
    pub fn close(&mut self) {
        self.stop.cancel();
        for port in &mut self.ports {
            port.guard.closing();
            port.registered = None;
        }
        self.connections.close();
    }

    /// Waits until all connections have ended.
    pub async fn drained(&self) {
        self.connections.wait().await;
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn bind(addresses: &[SocketAddr]) -> std::io::Result<TcpListener> {
    let one = |at: &SocketAddr| {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(*at)?;
        socket.listen(1024)
    };
    let mut failed = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
    for at in addresses {
        match one(at) {
            Ok(listener) => return Ok(listener),
            Err(e) => failed = e,
        }
    }
    Err(failed)
}

async fn accept(listener: TcpListener, local: SocketAddrV4, network: Arc<PodNetwork>, handler: Handler, stop: CancellationToken, connections: TaskTracker) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                if connections.len() >= MAX_CONNECTIONS || !network.cluster().admit(network.ip(), local, peer) {
                    reset(stream);
                    continue;
                }
                let _ = stream.set_nodelay(true);
                let peer = network.shown(peer);
                connections.spawn(serve(stream, peer, handler.clone(), stop.clone()));
            }
            // Out of descriptors, say: others have to go first.
            Err(error) => {
                tracing::debug!(%error, "accepting a connection of a wasi:http container");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Ends a connection with a reset.
fn reset(stream: TcpStream) {
    let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
}

async fn serve(stream: TcpStream, peer: SocketAddr, handler: Handler, stop: CancellationToken) {
    let service = service_fn(move |request: Request<Incoming>| {
        let handler = handler.clone();
        async move { Ok::<_, Infallible>(answer(&handler, request, peer).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(MAX_HEAD).pipeline_flush(true);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::trace!(%error, %peer, "connection of a wasi:http container");
    }
}

async fn answer(handler: &Handler, request: Request<Incoming>, peer: SocketAddr) -> Response<Body> {
    let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
    let response = handler.call(request, peer).await.unwrap_or_else(|error| failure(&error));
    // Lets the other connections that are ready run their guests first, so that answers are written together.
    tokio::task::yield_now().await;
    response
}

/// The answer in place of one that a guest did not give.
pub fn failure(error: &HandlerError) -> Response<Body> {
    let status = error.status();
    let text = match status {
        StatusCode::BAD_GATEWAY => "502 Bad Gateway\n",
        StatusCode::GATEWAY_TIMEOUT => "504 Gateway Timeout\n",
        _ => "503 Service Unavailable\n",
    };
    let body = Full::new(Bytes::from_static(text.as_bytes())).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
pub(crate) mod tests {
    use futures::future::BoxFuture;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::network::tests::{cluster, network};

    /// Says who calls, or fails when asked to.
    pub(crate) struct Echo;
    impl wharf_engine::HttpHandler for Echo {
        fn call(&self, request: Request<Body>, peer: SocketAddr) -> BoxFuture<'_, Result<Response<Body>, HandlerError>> {
            Box::pin(async move {
                if request.uri().path() == "/trap" {
                    return Err(HandlerError::Trap("unreachable".into()));
                }
                if request.uri().path() == "/slow" {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                }
                let text = format!("{} {} from {}", request.method(), request.uri().path(), peer.ip());
                Ok(Response::new(Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync()))
            })
        }
    }

    async fn get(at: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        format!("{} {}", head.split_whitespace().nth(1).unwrap(), body.trim())
    }

    #[tokio::test]
    async fn serves_hides_the_kernels_port_and_drains() {
        let net = cluster();
        let pod = network(&net, "10.244.200.5");
        // The host holds the Pod's port on every address.
        let hog = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
        let port = hog.local_addr().unwrap().port();
        let handlers = Handlers::new();
        let mut server = HttpServer::listen(&pod, &handlers, "web", &[port], Arc::new(Echo)).unwrap();
        let at = SocketAddrV4::new(pod.ip(), port);
        let kernel = net.listeners.get(Proto::Tcp, at).unwrap().kernel;
        assert_ne!(kernel.port(), port);
        assert!(handlers.get(at).is_some());
        assert_eq!(get(kernel, "/a").await, "200 GET /a from 10.88.0.1");
        assert_eq!(get(kernel, "/trap").await, "502 502 Bad Gateway");

        let Err(taken) = HttpServer::listen(&pod, &handlers, "other", &[port], Arc::new(Echo)) else { panic!("two containers on one port") };
        assert_eq!(taken.to_string(), format!("port {port}/TCP of 10.244.200.5 is already in use by container \"web\""));

        let slow = tokio::spawn(async move { get(kernel, "/slow").await });
        tokio::time::sleep(Duration::from_millis(100)).await;
        server.close();
        assert!(handlers.get(at).is_none() && net.listeners.get(Proto::Tcp, at).is_none());
        tokio::time::timeout(Duration::from_secs(5), server.drained()).await.unwrap();
        assert_eq!(slow.await.unwrap(), "200 GET /slow from 10.88.0.1", "the request in work was answered");
        drop(server);
        assert!(net.listeners.is_empty());
    }
}
