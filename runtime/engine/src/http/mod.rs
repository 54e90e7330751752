//! `wasi:http`: a handler of requests, and the requests a guest sends out.

mod body;
mod hooks;
mod serve;

pub use hooks::Hooks;
pub(crate) use serve::start;

use crate::{Body, BoxFuture};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Answers HTTP requests.
pub trait HttpHandler: Send + Sync + 'static {
    /// Handles one request in the caller's task. `peer` is the client's address in guest form.
    ///
    /// The guest goes on while the response's body is polled. When the body is dropped, the guest's writes fail; what it
    /// still does is bounded by [`crate::HttpOptions::timeout`].
    fn call(&self, request: ::http::Request<Body>, peer: SocketAddr) -> BoxFuture<'_, Result<::http::Response<Body>, HandlerError>>;
}

/// Why a request has no response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandlerError {
    /// The guest trapped; with wasmtime's words.
    #[error("the guest trapped: {0}")]
    Trap(String),
    /// The guest was refused memory and trapped.
    #[error("the guest ran out of memory")]
    OutOfMemory,
    /// The guest answered with an error instead of a response, or returned without one.
    #[error("the guest gave no response: {0}")]
    Guest(String),
    /// No response within the time allowed.
    #[error("the guest did not answer within {0:?}")]
    Timeout(Duration),
    /// No instance could be made.
    #[error("no instance: {0}")]
    Instantiate(String),
    /// Too many requests in work.
    #[error("too many requests in work ({0})")]
    Overloaded(u32),
    /// The container is ending.
    #[error("the container is shutting down")]
    Draining,
}

impl HandlerError {
    /// The status to answer with: 502, 503 or 504.
    pub fn status(&self) -> ::http::StatusCode {
        match self {
            HandlerError::Trap(_) | HandlerError::OutOfMemory | HandlerError::Guest(_) => ::http::StatusCode::BAD_GATEWAY,
            HandlerError::Timeout(_) => ::http::StatusCode::GATEWAY_TIMEOUT,
            HandlerError::Instantiate(_) | HandlerError::Overloaded(_) | HandlerError::Draining => ::http::StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// What happened in a `wasi:http` container so far. The last failure has its words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpStats {
    /// Instances that trapped (out of memory not counted).
    pub traps: u64,
    /// Instances that ran out of memory.
    pub out_of_memory: u64,
    /// Requests without response in time.
    pub timeouts: u64,
    /// Words of the last failure.
    pub last_failure: Option<String>,
}

/// A `wasi:http` container. It holds no instance while idle (unless instances are reused).
#[derive(Clone)]
pub struct HttpContainer {
    pub(crate) handler: Arc<dyn HttpHandler>,
    pub(crate) control: Arc<dyn Control>,
}

/// What [`HttpContainer`] needs of its implementation.
pub(crate) trait Control: Send + Sync {
    fn stats(&self) -> watch::Receiver<HttpStats>;
    fn requests(&self) -> u64;
    fn in_work(&self) -> usize;
    fn close(&self);
    fn kill(&self);
    fn idle(&self) -> BoxFuture<'_, ()>;
}

impl HttpContainer {
    /// What answers the requests.
    pub fn handler(&self) -> Arc<dyn HttpHandler> {
        self.handler.clone()
    }

    /// Failures so far, and notice of new ones.
    pub fn failures(&self) -> watch::Receiver<HttpStats> {
        self.control.stats()
    }

    /// Requests taken so far.
    pub fn requests(&self) -> u64 {
        self.control.requests()
    }

    /// Requests in work now.
    pub fn in_work(&self) -> usize {
        self.control.in_work()
    }

    /// Takes no new request, waits until those in work have ended, at most `grace`, then ends them. Says whether all
    /// ended by themselves.
    pub async fn drain(&self, grace: Duration) -> bool {
        self.control.close();
        let drained = tokio::time::timeout(grace, self.control.idle()).await.is_ok();
        self.control.kill();
        drained
    }

    /// Takes no new request and ends those in work.
    pub fn kill(&self) {
        self.control.close();
        self.control.kill();
    }
}

/// Sends the requests of guests out (`wasi:http` outgoing).
pub trait Outgoing: Send + Sync + 'static {
    /// Sends a request with an absolute URI (`http` or `https`) and gives the response, whose body streams.
    fn send(&self, request: ::http::Request<Body>, options: OutgoingOptions) -> BoxFuture<'static, Result<::http::Response<Body>, OutgoingError>>;

    /// How a guest's own connection is secured (`wharf:container/tls`): who is trusted, in words why not.
    fn tls(&self, options: &crate::TlsOptions) -> Result<Arc<rustls::ClientConfig>, String> {
        let _ = options;
        Err("TLS is not offered here".to_owned())
    }
}

/// Timeouts that the guest asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct OutgoingOptions {
    /// Until connected.
    pub connect_timeout: Option<Duration>,
    /// From sending until the response's head.
    pub first_byte_timeout: Option<Duration>,
    /// Between two pieces of the response's body.
    pub between_bytes_timeout: Option<Duration>,
}

/// Why an outgoing request has no response; each becomes its own `wasi:http` error code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutgoingError {
    /// Not allowed.
    #[error("request denied")]
    Denied,
    /// The URI is not usable.
    #[error("invalid request URI")]
    InvalidUri,
    /// The host name has no address.
    #[error("name resolution failed: {0}")]
    Dns(String),
    /// Nobody listens.
    #[error("connection refused")]
    Refused,
    /// No way there.
    #[error("destination unreachable")]
    Unreachable,
    /// Not connected in time.
    #[error("connection timed out")]
    ConnectTimeout,
    /// No response in time.
    #[error("response timed out")]
    ResponseTimeout,
    /// TLS failed (certificate or protocol).
    #[error("TLS: {0}")]
    Tls(String),
    /// The connection ended early.
    #[error("connection terminated")]
    Terminated,
    /// The peer does not speak HTTP.
    #[error("HTTP protocol: {0}")]
    Protocol(String),
    /// Calls nested too deep.
    #[error("request loop detected")]
    Loop,
    /// Anything else.
    #[error("{0}")]
    Internal(String),
}
