//! How the API server reaches the kubelet API of the nodes: by a call where the node is in this process,
//! or over mTLS to the node's address, which is what separate processes do.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures::future::BoxFuture;
use http::{Request, Response};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use k8s_openapi::api::core::v1::Node;
use parking_lot::RwLock;
use tokio::net::TcpStream;
use tower::ServiceExt;
use wharf_net::{ClusterNet, PodNet, Proto};
use wharf_server::{Body, DialError, NodeDialer, PodDialer};

/// The kubelet's port.
pub(crate) const KUBELET_PORT: u16 = 10250;

/// The kubelet APIs of this process's nodes, by node name.
#[derive(Clone, Default)]
pub(crate) struct Kubelets(Arc<RwLock<HashMap<String, axum::Router>>>);

impl Kubelets {
    /// Adds a node's.
    pub(crate) fn add(&self, node: &str, kubelet: axum::Router) {
        self.0.write().insert(node.to_owned(), kubelet);
    }
}

impl NodeDialer for Kubelets {
    fn call<'a>(&'a self, node: &'a Node, request: Request<Body>) -> BoxFuture<'a, Result<Response<Body>, DialError>> {
        let name = node.metadata.name.clone().unwrap_or_default();
        let kubelet = self.0.read().get(&name).cloned();
        Box::pin(async move {
            let Some(kubelet) = kubelet else { return Err(DialError::NoAddress { node: name }) };
            if request.headers().contains_key(http::header::UPGRADE) {
                return upgraded(kubelet, request).await;
            }
            match kubelet.oneshot(request).await {
                Ok(answer) => Ok(answer),
                Err(never) => match never {},
            }
        })
    }
}

/// What each side of a connection within the process holds for the other.
const PIPE: usize = 64 << 10;

/// A call that may be upgraded needs a connection, be it only within the process.
async fn upgraded(kubelet: axum::Router, request: Request<Body>) -> Result<Response<Body>, DialError> {
    let failed = |error: hyper::Error| DialError::Unreachable { message: error.to_string() };
    let (near, far) = tokio::io::duplex(PIPE);
    let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(far), TowerToHyperService::new(kubelet)).with_upgrades();
    tokio::spawn(served);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(near)).await.map_err(failed)?;
    tokio::spawn(connection.with_upgrades());
    Ok(sender.send_request(request).await.map_err(failed)?.map(Body::new))
}

/// Reaches kubelets over TLS, showing the API server's client certificate.
pub(crate) struct OverTls {
    tls: tokio_rustls::TlsConnector,
    net: PodNet,
}

impl OverTls {
    /// With the server's client identity, in this address mapping.
    pub(crate) fn new(tls: rustls::ClientConfig, net: PodNet) -> OverTls {
        OverTls { tls: tokio_rustls::TlsConnector::from(Arc::new(tls)), net }
    }
}

impl NodeDialer for OverTls {
    fn call<'a>(&'a self, node: &'a Node, mut request: Request<Body>) -> BoxFuture<'a, Result<Response<Body>, DialError>> {
        Box::pin(async move {
            let (address, port) = endpoint(node)?;
            let shown = format!("{address}:{port}");
            let unreachable = |error: &dyn std::fmt::Display| DialError::Unreachable { message: format!("dial tcp {shown}: {error}") };
            let kernel: SocketAddr = match address {
                IpAddr::V4(ip) => self.net.kernel(std::net::SocketAddrV4::new(ip, port)).into(),
                IpAddr::V6(_) => SocketAddr::new(address, port),
            };
            let tcp = TcpStream::connect(kernel).await.map_err(|e| unreachable(&e))?;
            tcp.set_nodelay(true).map_err(|e| unreachable(&e))?;
            let stream = self.tls.connect(rustls_pki_types::ServerName::from(address), tcp).await.map_err(|e| unreachable(&e))?;
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| unreachable(&e))?;
            // It ends with the answer's body, or with the upgraded stream.
            tokio::spawn(connection.with_upgrades());
            let host = http::HeaderValue::from_str(&shown).map_err(|e| unreachable(&e))?;
            request.headers_mut().insert(http::header::HOST, host);
            let answer = sender.send_request(request).await.map_err(|e| unreachable(&e))?;
            Ok(answer.map(Body::new))
        })
    }
}

/// Reaches Pods where the kernel finds them.
pub(crate) struct PodNetwork(pub(crate) Arc<ClusterNet>);

impl PodDialer for PodNetwork {
    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, std::io::Result<TcpStream>> {
        let kernel = self.0.kernel_of(address, Proto::Tcp);
        Box::pin(async move { TcpStream::connect(kernel.ok_or(std::io::ErrorKind::ConnectionRefused)?).await })
    }
}

/// A node's InternalIP and kubelet port, as its status says.
fn endpoint(node: &Node) -> Result<(IpAddr, u16), DialError> {
    let status = node.status.as_ref();
    let addresses = status.and_then(|s| s.addresses.as_deref()).unwrap_or_default();
    let address = addresses.iter().find(|a| a.type_ == "InternalIP").and_then(|a| a.address.parse().ok());
    let port = status.and_then(|s| s.daemon_endpoints.as_ref()).and_then(|d| d.kubelet_endpoint.as_ref()).and_then(|e| u16::try_from(e.port).ok());
    match address {
        Some(address) => Ok((address, port.filter(|p| *p != 0).unwrap_or(KUBELET_PORT))),
        None => Err(DialError::NoAddress { node: node.metadata.name.clone().unwrap_or_default() }),
    }
}
