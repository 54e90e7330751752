//! The listeners: HTTP/1.1 and HTTP/2, in the clear (with prior knowledge) and over TLS (by ALPN), and an end that lets requests finish.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use http::header::HeaderValue;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Ingress;
use crate::forward::Connection;
use crate::patience::Impatient;
use crate::tls::TlsError;

/// What is read ahead of one connection.
const MOST_BUFFERED: usize = 256 << 10;
/// A request's head, all lines together.
const MOST_HEAD: usize = 64 << 10;
/// How often an HTTP/2 client is asked whether it is still there.
const PING_TIME: Duration = Duration::from_secs(60);
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

impl Ingress {
    /// Serves HTTP until the token is cancelled, then lets requests finish (`Options::drain`).
    pub async fn serve_http(self: Arc<Self>, listener: TcpListener, token: CancellationToken) {
        self.serve(listener, None, token).await;
    }

    /// Serves HTTPS until the token is cancelled, then lets requests finish (`Options::drain`).
    pub async fn serve_https(self: Arc<Self>, listener: TcpListener, token: CancellationToken) -> Result<(), TlsError> {
        let acceptor = TlsAcceptor::from(self.certificates.config()?);
        if let Ok(address) = listener.local_addr() {
            let _ = self.https_port.compare_exchange(0, address.port(), Ordering::Relaxed, Ordering::Relaxed);
        }
        self.serve(listener, Some(acceptor), token).await;
        Ok(())
    }

    async fn serve(self: Arc<Self>, listener: TcpListener, tls: Option<TlsAcceptor>, token: CancellationToken) {
        let (connections, ending) = (TaskTracker::new(), Arc::new(Ending::default()));
        let room = Arc::new(Semaphore::new(self.options.max_connections));
        let port = listener.local_addr().map_or(0, |address| address.port());
        let port = HeaderValue::from(port);
        loop {
            let accepted = tokio::select! {
                biased;
                () = token.cancelled() => break,
                accepted = async {
                    // The semaphore is never closed.
                    let permit = room.clone().acquire_owned().await.ok();
                    listener.accept().await.map(|(stream, peer)| (stream, peer, permit))
                } => accepted,
            };
            let (stream, peer, permit) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let connection = Arc::new(self.connection(peer, port.clone(), tls.is_some(), permit));
            let (ingress, tls, ending) = (self.clone(), tls.clone(), ending.clone());
            connections.spawn(async move { ingress.converse(stream, tls, connection, &ending).await });
        }
        drop(listener);
        ending.began.store(true, Ordering::Release);
        ending.token.cancel();
        connections.close();
        if tokio::time::timeout(self.options.drain, connections.wait()).await.is_err() {
            tracing::warn!(connections = connections.len(), "requests did not end within the drain time");
        }
    }

    fn connection(&self, peer: SocketAddr, port: HeaderValue, secure: bool, place: Option<OwnedSemaphorePermit>) -> Connection {
        let ip = match peer.ip() {
            IpAddr::V4(ip) => IpAddr::V4(self.net.pod_net.cluster_ip(ip).unwrap_or(ip)),
            ip @ IpAddr::V6(_) => ip.to_canonical(),
        };
        // An address' text is a valid value.
        let client = HeaderValue::try_from(ip.to_string()).unwrap_or(HeaderValue::from_static("unknown"));
        Connection { peer: SocketAddr::new(ip, peer.port()), client, port, secure, _place: place }
    }

    async fn converse(self: Arc<Self>, stream: TcpStream, tls: Option<TlsAcceptor>, connection: Arc<Connection>, ending: &Ending) {
        let peer = connection.peer;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "setting TCP_NODELAY");
        }
        let Some(tls) = tls else {
            let http2 = crate::http2::is_asked_for(&stream, self.options.client_patience, &ending.token).await;
            let stream = Impatient::new(stream, self.options.client_patience);
            return if http2 { self.http2(stream, connection, ending).await } else { self.http1(stream, connection, ending).await };
        };
        let stream = Impatient::new(stream, self.options.client_patience);
        match tokio::time::timeout(HANDSHAKE_TIME, tls.accept(stream)).await {
            Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => self.http2(stream, connection, ending).await,
            Ok(Ok(stream)) => self.http1(stream, connection, ending).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake"),
            Err(_) => tracing::debug!(%peer, "TLS handshake: no end to it"),
        }
    }

    async fn http1(self: Arc<Self>, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, connection: Arc<Connection>, ending: &Ending) {
        let (peer, patience) = (connection.peer, self.options.client_patience);
        let service = service_fn(move |request: http::Request<Incoming>| {
            let (ingress, connection) = (self.clone(), connection.clone());
            async move { Ok::<_, Infallible>(ingress.respond(&connection, request).await) }
        });
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(patience).max_buf_size(MOST_BUFFERED).max_header_size(MOST_HEAD);
        let mut conversation = pin!(builder.serve_connection(TokioIo::new(stream), service).with_upgrades());
        let mut ended = EndsOnce::new(ending);
        let result = futures::future::poll_fn(|cx| {
            if ended.poll(cx) {
                conversation.as_mut().graceful_shutdown();
            }
            conversation.as_mut().poll(cx)
        });
        if let Err(error) = result.await {
            tracing::debug!(%peer, %error, "a connection ended");
        }
    }

    async fn http2(self: Arc<Self>, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, connection: Arc<Connection>, ending: &Ending) {
        let peer = connection.peer;
        let service = service_fn(move |request: http::Request<Incoming>| {
            let (ingress, connection) = (self.clone(), connection.clone());
            async move { Ok::<_, Infallible>(ingress.respond(&connection, request).await) }
        });
        let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new()).max_concurrent_streams(128).max_header_list_size(MOST_HEAD as u32);
        builder.keep_alive_interval(PING_TIME).keep_alive_timeout(Duration::from_secs(20));
        let mut conversation = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let mut ended = EndsOnce::new(ending);
        let result = futures::future::poll_fn(|cx| {
            if ended.poll(cx) {
                conversation.as_mut().graceful_shutdown();
            }
            conversation.as_mut().poll(cx)
        });
        if let Err(error) = result.await {
            tracing::debug!(%peer, %error, "a connection ended");
        }
    }
}

/// Tells every connection that the end has come. The flag is set before the token is cancelled, and read without a lock.
#[derive(Default)]
struct Ending {
    began: AtomicBool,
    token: CancellationToken,
}

/// A connection's ear for it: the token is asked once, to be woken; afterwards the flag is enough, for all requests.
struct EndsOnce<'a> {
    ending: &'a Ending,
    woken_by: std::pin::Pin<Box<tokio_util::sync::WaitForCancellationFuture<'a>>>,
    asked: bool,
    told: bool,
}

impl<'a> EndsOnce<'a> {
    fn new(ending: &'a Ending) -> EndsOnce<'a> {
        EndsOnce { ending, woken_by: Box::pin(ending.token.cancelled()), asked: false, told: false }
    }

    /// True once, when the end has come.
    fn poll(&mut self, cx: &mut std::task::Context<'_>) -> bool {
        if !self.asked {
            self.asked = true;
            let _: Poll<()> = self.woken_by.as_mut().poll(cx);
        }
        !self.told && self.ending.began.load(Ordering::Acquire) && {
            self.told = true;
            true
        }
    }
}
