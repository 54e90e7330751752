//! The kubelet API on the network: mTLS, for the API server alone.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::NodeError;

const HANDSHAKE: Duration = Duration::from_secs(10);
const MAX_CONNECTIONS: usize = 256;
/// How long answers may go on when the node stops.
const DRAIN: Duration = Duration::from_secs(3);

/// TLS of the kubelet port: the node's serving certificate, and who may call.
#[derive(Clone)]
pub struct KubeletTls {
    config: Arc<rustls::ServerConfig>,
}

impl KubeletTls {
    /// From PEM: certificate chain and key of the node, and the CA that signs the clients' certificates. A client without a certificate is
    /// turned away in the handshake, one that is not the API server (or of `system:masters`) gets 403.
    pub fn from_pem(chain: &[u8], key: &[u8], client_ca: &[u8]) -> Result<Self, NodeError> {
        let failed = |e: &dyn std::fmt::Display| NodeError::Kubelet(e.to_string());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let chain = CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>().map_err(|e| failed(&e))?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|e| failed(&e))?;
        let mut roots = RootCertStore::empty();
        for ca in CertificateDer::pem_slice_iter(client_ca) {
            roots.add(ca.map_err(|e| failed(&e))?).map_err(|e| failed(&e))?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().map_err(|e| failed(&e))?;
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| failed(&e))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .map_err(|e| failed(&e))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config) })
    }
}

/// Serves the kubelet API of a node over mTLS until `token` is cancelled.
pub async fn serve_kubelet(listener: TcpListener, tls: KubeletTls, router: axum::Router, token: CancellationToken) -> Result<(), NodeError> {
    let acceptor = TlsAcceptor::from(tls.config);
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = token.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) if connections.len() < MAX_CONNECTIONS => stream,
            Ok(_) => continue,
            Err(error) => {
                tracing::debug!(%error, "accepting a connection to the kubelet API");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let (acceptor, router, token) = (acceptor.clone(), router.clone(), token.clone());
        connections.spawn(async move {
            let stream = match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake with the kubelet API"),
                Err(_) => return,
            };
            let allowed = stream.get_ref().1.peer_certificates().and_then(|c| c.first()).is_some_and(|c| may_call(c));
            let router = if allowed { router } else { axum::Router::new().fallback(async || (StatusCode::FORBIDDEN, "Forbidden\n")) };
            let mut builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            builder.http1().timer(TokioTimer::new()).header_read_timeout(HANDSHAKE).max_buf_size(64 << 10);
            let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(router));
            let mut connection = std::pin::pin!(connection);
            let served = tokio::select! {
                served = connection.as_mut() => served,
                () = token.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = served {
                tracing::trace!(error, "connection to the kubelet API");
            }
        });
    }
    connections.close();
    let _ = tokio::time::timeout(DRAIN, connections.wait()).await;
    Ok(())
}

/// The API server's client certificate, or an administrator's.
fn may_call(certificate: &CertificateDer<'_>) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return false };
    let subject = certificate.subject();
    subject.iter_organization().any(|o| o.as_str() == Ok("system:masters"))
        || subject.iter_common_name().any(|n| n.as_str() == Ok("kube-apiserver-kubelet-client"))
}
