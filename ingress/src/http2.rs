//! HTTP/2 in the clear: clients that begin with it, and endpoints that speak nothing else (gRPC).

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::Body;

/// How HTTP/2 begins (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Addresses that a connection is kept to.
const MOST_ADDRESSES: usize = 4096;
/// How often an endpoint is asked whether it is still there.
const PING_TIME: Duration = Duration::from_secs(60);

/// Whether a client's first bytes are HTTP/2's. Nothing is taken from the stream.
pub(crate) async fn is_asked_for(stream: &TcpStream, within: Duration, ending: &CancellationToken) -> bool {
    let looking = async {
        let mut first = [0; PREFACE.len()];
        loop {
            match stream.peek(&mut first).await {
                Ok(length) if length == first.len() => return first == *PREFACE,
                // A part of it: the rest is on its way.
                Ok(length) if length > 0 && PREFACE.starts_with(&first[..length]) => tokio::time::sleep(Duration::from_millis(5)).await,
                _ => return false,
            }
        }
    };
    tokio::select! {
        looked = tokio::time::timeout(within, looking) => looked.unwrap_or(false),
        () = ending.cancelled() => false,
    }
}

/// One connection to each endpoint, shared by all requests.
#[derive(Clone, Default)]
pub(crate) struct Http2 {
    senders: Arc<Mutex<HashMap<SocketAddr, SendRequest<Body>>>>,
}

impl Http2 {
    /// The connection to an address, made where there is none that is open.
    pub(crate) async fn sender(&self, address: SocketAddr, within: Duration) -> io::Result<SendRequest<Body>> {
        let kept = self.senders.lock().get(&address).filter(|sender| !sender.is_closed()).cloned();
        if let Some(mut sender) = kept
            && matches!(tokio::time::timeout(within, sender.ready()).await, Ok(Ok(())))
        {
            return Ok(sender);
        }
        let connecting = async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let mut builder = Builder::new(TokioExecutor::new());
            builder.timer(TokioTimer::new()).keep_alive_interval(PING_TIME).keep_alive_timeout(Duration::from_secs(20));
            builder.handshake(TokioIo::new(stream)).await.map_err(io::Error::other)
        };
        let (sender, connection) = tokio::time::timeout(within, connecting).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::trace!(%address, %error, "an upstream connection ended");
            }
        });
        let mut senders = self.senders.lock();
        senders.retain(|_, sender| !sender.is_closed());
        if senders.len() < MOST_ADDRESSES {
            senders.insert(address, sender.clone());
        }
        Ok(sender)
    }
}
