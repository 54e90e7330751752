//! The short cut: a Pod of this process is called in the connection's own task, without a socket.

use std::net::SocketAddr;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};

/// Any error of a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A streamed body, as the engine knows it.
pub type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>;

/// What a handler in this process will answer.
pub type LocalFuture = BoxFuture<'static, Result<Response<Body>, LocalError>>;

/// The Pods of this process that can be called directly; implemented by the binary over the node's table of handlers.
pub trait LocalHandlers: Send + Sync + 'static {
    /// Whether a handler serves this endpoint (Pod address and port) now. Asked on every request: no lock that is held for long.
    fn serves(&self, endpoint: SocketAddr) -> bool;

    /// Calls the endpoint's handler; gives the request back when none serves it. `peer` is the client, as the cluster knows it.
    ///
    /// The future is polled in the connection's task, and dropped when the client goes away or the time is up: that ends the guest.
    #[allow(clippy::result_large_err, reason = "a request that is given back is rare, and boxing it would cost those that are not")]
    fn call(&self, endpoint: SocketAddr, request: Request<Body>, peer: SocketAddr) -> Result<LocalFuture, Request<Body>>;
}

/// No Pod runs in this process.
pub struct NoLocalHandlers;

impl LocalHandlers for NoLocalHandlers {
    fn serves(&self, _: SocketAddr) -> bool {
        false
    }

    fn call(&self, _: SocketAddr, request: Request<Body>, _: SocketAddr) -> Result<LocalFuture, Request<Body>> {
        Err(request)
    }
}

/// Why a handler gave no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalFailure {
    /// It trapped, ended without a response, or ran out of memory: 502.
    Broken,
    /// It has no room for another request: 503.
    Busy,
    /// It took too long: 504.
    TimedOut,
}

/// A handler gave no response.
#[derive(Debug, thiserror::Error)]
#[error("calling the Pod's handler: {message}")]
pub struct LocalError {
    /// Why.
    pub failure: LocalFailure,
    /// In words, for the log.
    pub message: String,
}
