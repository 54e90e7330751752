//! The ways out of the API server: to a node's kubelet API, and to what Pods listen on.

use std::io;
use std::net::SocketAddr;

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Node;
use tokio::net::TcpStream;

use crate::Body;

/// Calls the kubelet API of a node: in process, or over mTLS to the node's InternalIP and kubelet port.
pub trait NodeDialer: Send + Sync {
    /// Sends a request whose URI has the path and query of the kubelet API (`/containerLogs/…`), and gives the answer, streaming.
    ///
    /// A request with `Connection: Upgrade` may be answered with 101; then `hyper::upgrade::on(&mut response)` gives the stream.
    fn call<'a>(&'a self, node: &'a Node, request: http::Request<Body>) -> BoxFuture<'a, Result<http::Response<Body>, DialError>>;
}

/// Why a node could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// There is no way to the node.
    #[error("node {node} has no address to reach its kubelet at")]
    NoAddress {
        /// The node's name.
        node: String,
    },
    /// The node did not answer. The text is Go's (`dial tcp 10.88.0.2:10250: connect: connection refused`).
    #[error("{message}")]
    Unreachable {
        /// What happened.
        message: String,
    },
}

/// A dialer for servers without nodes: reaches none.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoNodes;

impl NodeDialer for NoNodes {
    fn call<'a>(&'a self, node: &'a Node, _request: http::Request<Body>) -> BoxFuture<'a, Result<http::Response<Body>, DialError>> {
        let node = node.metadata.name.clone().unwrap_or_default();
        Box::pin(async move { Err(DialError::NoAddress { node }) })
    }
}

/// Connects to addresses of the Pod network, for `pods/proxy` and `services/proxy`.
pub trait PodDialer: Send + Sync {
    /// A connection to what listens at a Pod's address and port.
    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<TcpStream>>;
}

/// A dialer for servers whose host routes the Pod network: the addresses as they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Routes;

impl PodDialer for Routes {
    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<TcpStream>> {
        Box::pin(TcpStream::connect(address))
    }
}
