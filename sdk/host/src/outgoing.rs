//! Requests that a plugin sends: to the hosts that it is granted, by the names of the machine that it runs on.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::BodyExt;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use wharf_engine::{Body, BoxFuture, Outgoing, OutgoingError, OutgoingOptions};

use crate::settings::Settings;

/// A call has its own time limit; these are for a plugin that goes on without the answer.
const CONNECT: Duration = Duration::from_secs(5);
const FIRST_BYTE: Duration = Duration::from_secs(30);
/// Bytes of a response's head.
const MAX_HEAD: usize = 64 << 10;

/// The outgoing side of a plugin.
pub(crate) struct Granted(pub(crate) Arc<Settings>);

impl Outgoing for Granted {
    fn send(&self, request: Request<Body>, options: OutgoingOptions) -> BoxFuture<'static, Result<Response<Body>, OutgoingError>> {
        let target = Target::of(request.uri()).and_then(|target| {
            let granted = self.0.grants.allow_http(&target.host, target.port);
            if granted { Ok(target) } else { Err(OutgoingError::Denied) }
        });
        Box::pin(async move { send(target?, request, options).await })
    }
}

struct Target {
    tls: bool,
    host: String,
    port: u16,
}

impl Target {
    fn of(uri: &Uri) -> Result<Target, OutgoingError> {
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(OutgoingError::InvalidUri),
        };
        let authority = uri.authority().filter(|a| !a.as_str().contains('@')).ok_or(OutgoingError::InvalidUri)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Target { tls, host, port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }) })
    }
}

async fn send(target: Target, mut request: Request<Body>, options: OutgoingOptions) -> Result<Response<Body>, OutgoingError> {
    let authority = request.uri().authority().map(ToString::to_string).unwrap_or_default();
    let path = request.uri().path_and_query().map_or("/", |p| p.as_str()).to_owned();
    *request.uri_mut() = Uri::try_from(if path.is_empty() { "/" } else { &path }).map_err(|_| OutgoingError::InvalidUri)?;
    request.headers_mut().insert(header::HOST, HeaderValue::try_from(authority).map_err(|_| OutgoingError::InvalidUri)?);
    *request.version_mut() = http::Version::HTTP_11;
    let connect = options.connect_timeout.unwrap_or(CONNECT);
    let stream = timeout(connect, TcpStream::connect((target.host.as_str(), target.port))).await.map_err(|_| OutgoingError::ConnectTimeout)?;
    let stream = stream.map_err(|e| match e.kind() {
        std::io::ErrorKind::ConnectionRefused => OutgoingError::Refused,
        // Only the look-up of a name has an error without a number.
        _ if e.raw_os_error().is_none() => OutgoingError::Dns(e.to_string()),
        _ => OutgoingError::Unreachable,
    })?;
    let first_byte = options.first_byte_timeout.unwrap_or(FIRST_BYTE);
    if !target.tls {
        return exchange(TokioIo::new(stream), request, first_byte).await;
    }
    let name = ServerName::try_from(target.host).map_err(|_| OutgoingError::InvalidUri)?;
    let connector = tokio_rustls::TlsConnector::from(trust()?);
    let stream = timeout(connect, connector.connect(name, stream)).await.map_err(|_| OutgoingError::ConnectTimeout)?;
    exchange(TokioIo::new(stream.map_err(|e| OutgoingError::Tls(e.to_string()))?), request, first_byte).await
}

async fn exchange<I>(io: I, request: Request<Body>, within: Duration) -> Result<Response<Body>, OutgoingError>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let failed = |e: hyper::Error| OutgoingError::Protocol(e.to_string());
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MAX_HEAD);
    let (mut sender, connection) = builder.handshake(io).await.map_err(failed)?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::trace!(%error, "a plugin's connection ended");
        }
    });
    let response = timeout(within, sender.send_request(request)).await.map_err(|_| OutgoingError::ResponseTimeout)?.map_err(failed)?;
    Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()))
}

/// The system's roots.
fn trust() -> Result<Arc<rustls::ClientConfig>, OutgoingError> {
    static CONFIG: OnceLock<Option<Arc<rustls::ClientConfig>>> = OnceLock::new();
    let make = || {
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let builder = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        Some(Arc::new(builder.with_safe_default_protocol_versions().ok()?.with_root_certificates(roots).with_no_client_auth()))
    };
    CONFIG.get_or_init(make).clone().ok_or_else(|| OutgoingError::Tls("no provider".to_owned()))
}
