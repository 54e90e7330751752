//! Connections to Pods over sockets: pooled, bounded, and never trusted to be still open.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::time::Sleep;

use crate::http2::Http2;
use crate::patience::{Activity, patiently};
use crate::{Body, BoxError};

/// Idle connections kept to one address.
const IDLE_PER_ADDRESS: usize = 64;
/// Idle connections are closed after this time.
const IDLE_TIME: Duration = Duration::from_secs(60);
/// Addresses are spread over so many locks.
const SHARDS: usize = 16;

/// Why a request got no response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpstreamError {
    /// Nothing was sent; the request can go elsewhere.
    #[error("connecting to {address}: {source}")]
    Connect {
        address: SocketAddr,
        source: std::io::Error,
        /// It is given back.
        request: Box<Request<Body>>,
    },
    /// The connection broke after (a part of) the request was sent.
    #[error("waiting for the response of {address}: {source}")]
    Broken { address: SocketAddr, source: hyper::Error },
    /// No response's head within the read timeout.
    #[error("no response from {address} within {} s", within.as_secs())]
    TimedOut { address: SocketAddr, within: Duration },
}

/// How long an endpoint may take.
#[derive(Clone, Copy)]
pub(crate) struct Patience<'a> {
    /// To be connected to.
    pub(crate) connect: Duration,
    /// For the response's head, and between two parts of its body.
    pub(crate) read: Duration,
    /// The request's body: as long as parts of it are sent, the head is not late.
    pub(crate) upload: Option<&'a Activity>,
}

/// The pool.
#[derive(Clone, Default)]
pub(crate) struct Upstreams {
    shards: Arc<[Mutex<Shard>; SHARDS]>,
    http2: Http2,
}

#[derive(Default)]
struct Shard {
    idle: HashMap<SocketAddr, Vec<Idle>>,
    swept: Option<Instant>,
}

struct Idle {
    sender: SendRequest<Body>,
    since: Instant,
}

impl Upstreams {
    /// Sends a request in origin form and waits for the head of its response.
    pub(crate) async fn send(&self, address: SocketAddr, mut request: Request<Body>, patience: Patience<'_>) -> Result<Response<Body>, UpstreamError> {
        let Patience { connect, read, upload } = patience;
        loop {
            let pooled = self.take(address, connect).await;
            let reused = pooled.is_some();
            let mut sender = match pooled {
                Some(sender) => sender,
                None => match self.connect(address, connect).await {
                    Ok(sender) => sender,
                    Err(source) => return Err(UpstreamError::Connect { address, source, request: Box::new(request) }),
                },
            };
            // A kept connection may be closed by the other side at this very moment: what can be sent again is.
            let again = (reused && request.method().is_safe() && request.body().is_end_stream()).then(|| copy_without_body(&request));
            let sent = match patiently(read, upload, sender.try_send_request(request)).await {
                Some(sent) => sent,
                None => return Err(UpstreamError::TimedOut { address, within: read }),
            };
            match sent {
                Ok(response) => return Ok(self.stream(response, address, sender, read)),
                Err(mut error) => match error.take_message().or(again) {
                    // Only kept connections are replaced, and each is used up: this ends.
                    Some(unsent) if reused => request = unsent,
                    _ => return Err(UpstreamError::Broken { address, source: error.into_error() }),
                },
            }
        }
    }

    /// Sends a request with a whole URI over HTTP/2, and waits for the head of its response.
    pub(crate) async fn send_http2(&self, address: SocketAddr, request: Request<Body>, patience: Patience<'_>) -> Result<Response<Body>, UpstreamError> {
        let Patience { connect, read, upload } = patience;
        let mut sender = match self.http2.sender(address, connect).await {
            Ok(sender) => sender,
            Err(source) => return Err(UpstreamError::Connect { address, source, request: Box::new(request) }),
        };
        match patiently(read, upload, sender.send_request(request)).await {
            Some(Ok(response)) => Ok(response.map(|body| TimedBody::new(body.map_err(BoxError::from), read).boxed_unsync())),
            Some(Err(source)) => Err(UpstreamError::Broken { address, source }),
            None => Err(UpstreamError::TimedOut { address, within: read }),
        }
    }

    async fn connect(&self, address: SocketAddr, within: Duration) -> std::io::Result<SendRequest<Body>> {
        let connecting = async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let mut builder = Builder::new();
            builder.max_buf_size(256 << 10);
            builder.handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)
        };
        let (sender, connection) = tokio::time::timeout(within, connecting).await.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::trace!(%address, %error, "an upstream connection ended");
            }
        });
        Ok(sender)
    }

    async fn take(&self, address: SocketAddr, within: Duration) -> Option<SendRequest<Body>> {
        loop {
            let mut idle = {
                let mut shard = self.shard(address).lock();
                shard.idle.get_mut(&address)?.pop()?
            };
            if idle.sender.is_ready() {
                return Some(idle.sender);
            }
            // Its last response was read to the end; its task may not have noticed yet.
            if !idle.sender.is_closed() && matches!(tokio::time::timeout(within, idle.sender.ready()).await, Ok(Ok(()))) {
                return Some(idle.sender);
            }
        }
    }

    fn put(&self, address: SocketAddr, sender: SendRequest<Body>) {
        if sender.is_closed() {
            return;
        }
        let now = Instant::now();
        let mut shard = self.shard(address).lock();
        if shard.swept.is_none_or(|swept| now.duration_since(swept) > IDLE_TIME / 6) {
            shard.swept = Some(now);
            shard.idle.retain(|_, idle| {
                idle.retain(|one| !one.sender.is_closed() && now.duration_since(one.since) < IDLE_TIME);
                !idle.is_empty()
            });
        }
        let idle = shard.idle.entry(address).or_default();
        if idle.len() < IDLE_PER_ADDRESS {
            idle.push(Idle { sender, since: now });
        }
    }

    fn shard(&self, address: SocketAddr) -> &Mutex<Shard> {
        let ip = match address {
            SocketAddr::V4(address) => u32::from(*address.ip()),
            SocketAddr::V6(address) => u128::from(*address.ip()) as u32,
        };
        &self.shards[(ip ^ u32::from(address.port())) as usize % SHARDS]
    }

    fn stream(&self, response: Response<Incoming>, address: SocketAddr, sender: SendRequest<Body>, read: Duration) -> Response<Body> {
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return response.map(|body| body.map_err(Into::into).boxed_unsync());
        }
        response.map(|body| {
            if body.is_end_stream() {
                self.put(address, sender);
                return crate::pages::empty();
            }
            TimedBody::new(PooledBody { body, lease: Some((self.clone(), address, sender)) }, read).boxed_unsync()
        })
    }
}

fn copy_without_body(request: &Request<Body>) -> Request<Body> {
    let mut copy = Request::new(crate::pages::empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}

/// A response's body; its connection goes back to the pool once it was read to the end.
struct PooledBody {
    body: Incoming,
    lease: Option<(Upstreams, SocketAddr, SendRequest<Body>)>,
}

impl http_body::Body for PooledBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if (frame.is_none() || self.body.is_end_stream())
            && let Some((upstreams, address, sender)) = self.lease.take()
        {
            upstreams.put(address, sender);
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A body that fails when no part of it comes for too long.
pub(crate) struct TimedBody<B> {
    body: B,
    within: Duration,
    /// Made only when the body makes one wait.
    sleep: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

impl<B> TimedBody<B> {
    pub(crate) fn new(body: B, within: Duration) -> TimedBody<B> {
        TimedBody { body, within, sleep: None, waiting: false }
    }
}

impl<B: http_body::Body<Data = Bytes, Error = BoxError> + Unpin> http_body::Body for TimedBody<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            this.waiting = false;
            return Poll::Ready(frame);
        }
        let deadline = tokio::time::Instant::now() + this.within;
        let sleep = this.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if !this.waiting {
            this.waiting = true;
            sleep.as_mut().reset(deadline);
        }
        ready!(sleep.as_mut().poll(cx));
        Poll::Ready(Some(Err(format!("no part of the response's body within {} s", this.within.as_secs()).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
