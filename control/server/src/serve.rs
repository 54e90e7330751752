//! The server on a TCP listener: TLS, HTTP/1.1 and HTTP/2, client certificates, and an end that waits for open requests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::linger::Linger;
use crate::pki::PkiError;
use crate::{ApiServer, Body, Identity};

/// Why the server does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// TLS could not be set up.
    #[error(transparent)]
    Pki(#[from] PkiError),
}

/// How long a client may take for its TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a client may take to send a request's head.
const HEADER: Duration = Duration::from_secs(30);
/// Connections beyond this many wait to be accepted.
const MAX_CONNECTIONS: usize = 20_000;

impl ApiServer {
    /// Serves TLS on the listener until `shutdown`, then lets open requests finish (watches are ended) within the configured time.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub async fn serve(&self, listener: TcpListener, shutdown: CancellationToken) -> Result<(), ServeError> {
        let acceptor = TlsAcceptor::from(Arc::new(self.shared.config.pki.server_tls()?));
        let graceful = GracefulShutdown::new();
        let watcher = Arc::new(graceful);
        let connections = Arc::new(tokio::sync::Semaphore::new(MAX_CONNECTIONS));
        let address = listener.local_addr().map(|at| at.to_string()).unwrap_or_default();
        tracing::info!("Serving securely on {address}");
        loop {
            let permit = tokio::select! {
                () = shutdown.cancelled() => break,
                permit = connections.clone().acquire_owned() => permit,
            };
            let (stream, peer) = tokio::select! {
                () = shutdown.cancelled() => break,
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        tracing::warn!(%error, "accept failed");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        continue;
                    }
                },
            };
            let connection = self.clone().connection(acceptor.clone(), stream, peer, watcher.watcher());
            tokio::spawn(async move {
                connection.await;
                drop(permit);
            });
        }
        tracing::info!("[graceful-termination] shutdown event");
        drop(listener);
        self.stop();
        if let Some(graceful) = Arc::into_inner(watcher) {
            let _ = tokio::time::timeout(self.shared.config.drain, graceful.shutdown()).await;
        }
        Ok(())
    }

    async fn connection(self, acceptor: TlsAcceptor, stream: TcpStream, peer: SocketAddr, watcher: hyper_util::server::graceful::Watcher) {
        let _ = stream.set_nodelay(true);
        let stream = match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::debug!(%peer, %error, "TLS handshake failed"),
            Err(_) => return tracing::debug!(%peer, "TLS handshake timed out"),
        };
        let identity = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()).and_then(|c| certificate_identity(c)).map(Arc::new);
        let service = hyper::service::service_fn(move |request: ::http::Request<hyper::body::Incoming>| {
            let mut request = request.map(Body::new);
            if let Some(identity) = &identity {
                request.extensions_mut().insert(identity.clone());
            }
            let server = self.clone();
            async move { Ok::<_, std::convert::Infallible>(server.handle_remote(request).await) }
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER).pipeline_flush(true).max_buf_size(1 << 20);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(1000)
            .max_header_list_size(1 << 20)
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(4 << 20)
            .keep_alive_interval(Duration::from_secs(30));
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(Linger::new(stream)), service).into_owned();
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%peer, %error, "connection ended");
        }
    }
}

/// The identity in a client certificate that TLS has verified: common name and organisations.
fn certificate_identity(der: &[u8]) -> Option<Identity> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    // A certificate made only for serving identifies no client.
    if let Ok(Some(usage)) = certificate.extended_key_usage()
        && !(usage.value.client_auth || usage.value.any)
    {
        return None;
    }
    let subject = certificate.subject();
    let user = subject.iter_common_name().next()?.as_str().ok()?;
    if user.is_empty() {
        return None;
    }
    let groups: Vec<&str> = subject.iter_organization().filter_map(|o| o.as_str().ok()).collect();
    Some(Identity::new(user, &groups))
}
