//! `wharf:container/tls`: TLS over a connection that a guest has. The host speaks it, and knows whom to trust.
//!
//! Bound by hand, as guests may name any WASI 0.2 for the streams.

use crate::Outgoing;
use bytes::{Bytes, BytesMut};
use futures::FutureExt as _;
use rustls_pki_types::ServerName;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWrite, DuplexStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_util::io::StreamReader;
use tokio_util::task::AbortOnDropHandle;
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, Lower, Resource, ResourceTable, ResourceType};
use wasmtime_wasi::p2::pipe::{AsyncReadStream, AsyncWriteStream};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, Pollable, StreamError, subscribe};

/// The interface, as guests import it.
pub(crate) const INTERFACE: &str = "wharf:container/tls@0.1.0";

/// Bytes on their way, in each direction.
const HELD: usize = 64 << 10;
const CHUNK: usize = 16 << 10;
/// Bytes of certificates and keys that a guest may hand over.
const MAX_PEM: usize = 1 << 20;
/// How long a handshake may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a guest wants to be secured.
#[derive(Debug, Clone, Default, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(record)]
pub struct TlsOptions {
    /// Whom the other side has to be: a name, or an IP address.
    #[component(name = "server-name")]
    pub server_name: String,
    /// Certificates in PEM that are trusted in place of the node's.
    #[component(name = "roots")]
    pub roots: Option<String>,
    /// Whoever answers is believed.
    #[component(name = "insecure")]
    pub insecure: bool,
    /// This side's certificates and private key, in PEM.
    #[component(name = "identity")]
    pub identity: Option<(String, String)>,
}

/// A stream in each direction.
type Streams = (DynInputStream, DynOutputStream);

/// A handshake, until its streams are taken.
struct Handshake {
    under_way: Option<AbortOnDropHandle<Result<Streams, String>>>,
    done: Option<Result<Streams, String>>,
}

#[async_trait::async_trait]
impl Pollable for Handshake {
    async fn ready(&mut self) {
        if let Some(task) = &mut self.under_way {
            let done = task.await.unwrap_or_else(|e| Err(e.to_string()));
            (self.done, self.under_way) = (Some(done), None);
        }
    }
}

/// What a store's data must offer.
pub(crate) trait TlsView: 'static {
    fn tls(&mut self) -> (&Arc<dyn Outgoing>, &mut ResourceTable);
}

pub(crate) fn add_to_linker<T: TlsView>(l: &mut Linker<T>) -> wasmtime::Result<()> {
    let mut i = l.instance(INTERFACE)?;
    i.resource("handshake", ResourceType::host::<Handshake>(), |mut s, rep| {
        s.data_mut().tls().1.delete(Resource::<Handshake>::new_own(rep))?;
        Ok(())
    })?;
    i.func_wrap("start", |mut s: StoreContextMut<'_, T>, (input, output, options): (Resource<DynInputStream>, Resource<DynOutputStream>, TlsOptions)| {
        let (outgoing, table) = s.data_mut().tls();
        let streams = (table.delete(input)?, table.delete(output)?);
        let given = options.roots.as_ref().map_or(0, String::len) + options.identity.as_ref().map_or(0, |(chain, key)| chain.len() + key.len());
        let config = if given > MAX_PEM { Err("too many certificates".to_owned()) } else { outgoing.tls(&options) };
        let started = config.and_then(|config| Ok(start(streams, config, name(&options.server_name)?)));
        Ok((match started {
            Ok(handshake) => Ok(table.push(handshake)?),
            Err(words) => Err(words),
        },))
    })?;
    i.func_wrap("[method]handshake.subscribe", |mut s: StoreContextMut<'_, T>, (this,): (Resource<Handshake>,)| {
        let pollable: Resource<DynPollable> = subscribe(s.data_mut().tls().1, this)?;
        Ok((pollable,))
    })?;
    i.func_wrap("[method]handshake.finish", |mut s: StoreContextMut<'_, T>, (this,): (Resource<Handshake>,)| {
        let table = s.data_mut().tls().1;
        let handshake = table.get_mut(&this)?;
        let _ = handshake.ready().now_or_never();
        type Taken = Option<Result<(Resource<DynInputStream>, Resource<DynOutputStream>), String>>;
        let taken: Taken = match handshake.done.take() {
            Some(Ok((input, output))) => Some(Ok((table.push(input)?, table.push(output)?))),
            Some(Err(words)) => Some(Err(words)),
            None if handshake.under_way.is_some() => None,
            None => Some(Err("its streams were taken already".to_owned())),
        };
        Ok((taken,))
    })
}

fn name(text: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(text.trim_start_matches('[').trim_end_matches(']').to_owned()).map_err(|_| format!("{text:?} is not a server's name"))
}

fn start((input, output): Streams, config: Arc<rustls::ClientConfig>, name: ServerName<'static>) -> Handshake {
    let task = tokio::spawn(async move {
        let (to, from) = mpsc::channel(1);
        let (near, far) = tokio::io::duplex(HELD);
        // They end with the streams that the guest is given: when `from` and `near` are gone.
        tokio::spawn(async move {
            tokio::join!(receive(input, to), async {
                // What cannot be sent is found out by who writes.
                let _ = send(far, output).await;
            })
        });
        let received = tokio_stream::wrappers::ReceiverStream::new(from);
        let stream = tokio::io::join(StreamReader::new(received), near);
        let connected = tokio::time::timeout(PATIENCE, TlsConnector::from(config).connect(name, stream)).await;
        let stream = connected.map_err(|_| "the handshake timed out".to_owned())?.map_err(|e| e.to_string())?;
        let (read, write) = tokio::io::split(stream);
        Ok((streams_in(read), streams_out(write)))
    });
    Handshake { under_way: Some(AbortOnDropHandle::new(task)), done: None }
}

fn streams_in(read: impl tokio::io::AsyncRead + Send + 'static) -> DynInputStream {
    Box::new(AsyncReadStream::new(read))
}

fn streams_out(write: impl AsyncWrite + Send + 'static) -> DynOutputStream {
    Box::new(AsyncWriteStream::new(HELD, write))
}

/// What comes on the guest's connection, until it ends or nobody wants it.
async fn receive(mut input: DynInputStream, to: mpsc::Sender<io::Result<Bytes>>) {
    loop {
        tokio::select! {
            () = input.ready() => {}
            () = to.closed() => return,
        }
        let read = match input.read(CHUNK) {
            Ok(bytes) if bytes.is_empty() => continue,
            Ok(bytes) => Ok(bytes),
            Err(StreamError::Closed) => return,
            Err(error) => Err(io::Error::other(error.to_string())),
        };
        let failed = read.is_err();
        if to.send(read).await.is_err() || failed {
            return;
        }
    }
}

/// What goes out on it.
async fn send(mut from: DuplexStream, mut output: DynOutputStream) -> Result<(), StreamError> {
    let mut buffer = BytesMut::with_capacity(CHUNK);
    while from.read_buf(&mut buffer).await.is_ok_and(|n| n > 0) {
        while !buffer.is_empty() {
            let room = output.write_ready().await?.min(buffer.len());
            output.write(buffer.split_to(room).freeze())?;
        }
        output.flush()?;
    }
    // What was flushed has to be on its way before the stream is dropped.
    output.write_ready().await.map(drop)
}
