//! One request: its location, its headers, an endpoint, the answer.

mod headers;
mod request_body;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use http::header::{ACCESS_CONTROL_REQUEST_METHOD, CONTENT_LENGTH, HOST, HeaderValue, TE, UPGRADE};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::sync::OwnedSemaphorePermit;
use tracing::Level;
use wharf_net::{Choice, Proto};

use crate::annotations::{BodyLimit, Protocol};
use crate::pages;
use crate::patience::{patiently, tunnel};
use crate::routes::without_port;
use crate::upstream::{Patience, TimedBody, UpstreamError};
use crate::{Body, Ingress, LocalFailure, Location};
use request_body::{RequestBody, Upload};

/// What a connection's requests have in common.
pub(crate) struct Connection {
    /// The client, as the cluster knows it.
    pub(crate) peer: SocketAddr,
    /// Its address as text.
    pub(crate) client: HeaderValue,
    /// The listener's port as text.
    pub(crate) port: HeaderValue,
    pub(crate) secure: bool,
    /// Its place among the connections: given back when also what it was switched to has ended.
    pub(crate) _place: Option<OwnedSemaphorePermit>,
}

/// A request goes to at most so many endpoints.
const MOST_ENDPOINTS: usize = 3;
/// How long a request waits for the first list of Ingresses.
const SYNC_TIME: Duration = Duration::from_secs(5);

impl Ingress {
    /// Answers one request.
    pub(crate) async fn respond(&self, connection: &Arc<Connection>, request: Request<Incoming>) -> Response<Body> {
        if !tracing::enabled!(target: "wharf_ingress::access", Level::DEBUG) {
            return self.route(connection, request).await;
        }
        let (started, method, uri, host) = (Instant::now(), request.method().clone(), request.uri().clone(), request.headers().get(HOST).cloned());
        let response = self.route(connection, request).await;
        tracing::debug!(
            target: "wharf_ingress::access",
            client = %connection.peer.ip(), %method, host = host.as_ref().and_then(|host| host.to_str().ok()), path = uri.path(),
            status = response.status().as_u16(), micros = started.elapsed().as_micros() as u64, "request"
        );
        response
    }

    async fn route(&self, connection: &Arc<Connection>, request: Request<Incoming>) -> Response<Body> {
        if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
            return pages::page(StatusCode::METHOD_NOT_ALLOWED);
        }
        let Some(host) = host_of(&request) else { return pages::page(StatusCode::BAD_REQUEST) };
        // Before the first list nothing is known of what there is: "not found" would be a lie that clients and caches believe.
        if !*self.synced.borrow() && tokio::time::timeout(SYNC_TIME, self.synced()).await.is_err() {
            return pages::page(StatusCode::SERVICE_UNAVAILABLE);
        }
        let location = {
            let routes = self.routes.load();
            routes.find(host.to_str().unwrap_or_default(), request.uri().path()).cloned()
        };
        let Some(location) = location else { return pages::page(StatusCode::NOT_FOUND) };
        let location = location.choose(request.headers(), rand::random);
        let annotations = &location.annotations;
        if !annotations.admits(connection.peer.ip()) {
            return pages::page(StatusCode::FORBIDDEN);
        }
        if !connection.secure && (annotations.force_ssl_redirect || location.tls && annotations.ssl_redirect) {
            return self.redirect_to_https(&host, request.uri());
        }
        if let (BodyLimit::Bytes(limit), Some(length)) = (annotations.body_limit, length_of(request.headers()))
            && length > limit
        {
            return pages::page(StatusCode::PAYLOAD_TOO_LARGE);
        }
        let Some(cors) = &annotations.cors else { return self.past_plugins(connection, request, host, location).await };
        let origin = cors.origin(request.headers());
        if request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
            let mut response = Response::new(pages::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            if let Some(origin) = origin {
                cors.tell(origin, true, response.headers_mut());
            }
            return response;
        }
        let mut response = self.past_plugins(connection, request, host, location).await;
        if let Some(origin) = origin {
            cors.tell(origin, false, response.headers_mut());
        }
        response
    }

    /// Sends a request to an endpoint of its backend.
    pub(crate) async fn forward(&self, connection: &Arc<Connection>, mut request: Request<Incoming>, host: HeaderValue, location: &Location) -> Response<Body> {
        let upgrade = headers::wants_upgrade(request.headers());
        let client_upgrade = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
        let (mut parts, body) = request.into_parts();
        match origin_form(&parts.uri, location) {
            Ok(Some(uri)) => parts.uri = uri,
            Ok(None) => {}
            Err(status) => return pages::page(status),
        }
        parts.version = Version::HTTP_11;
        headers::prepare(&mut parts.headers, connection, host, location);
        let grpc = location.annotations.protocol == Protocol::Grpc;
        if grpc {
            // An endpoint that speaks HTTP/2 is asked with a whole URI; trailers are what gRPC ends with.
            match headers::whole_uri(&parts) {
                Some(uri) => parts.uri = uri,
                None => return pages::page(StatusCode::BAD_REQUEST),
            }
            parts.version = Version::HTTP_2;
            parts.headers.insert(TE, HeaderValue::from_static("trailers"));
            parts.headers.remove(HOST);
        }
        let (body, upload) = RequestBody::wrap(body, &location.annotations, self.options.client_patience);
        let mut request = Request::from_parts(parts, body);
        if let Some(protocol) = &upgrade {
            headers::keep_upgrade(request.headers_mut(), protocol);
        }

        let client = connection.peer.ip();
        let mut failed: Vec<SocketAddr> = Vec::new();
        let mut last = StatusCode::BAD_GATEWAY;
        while failed.len() < MOST_ENDPOINTS {
            let prefer = |endpoint| upgrade.is_some() || self.local.serves(endpoint);
            let (endpoint, address) = match location.backend.pick(client, &failed, prefer) {
                Choice::Endpoint(endpoint) => {
                    request = match self.local.call(endpoint, request, connection.peer) {
                        Ok(answer) => return self.local_answer(location, endpoint, answer, upload.as_deref()).await,
                        Err(request) => request,
                    };
                    (endpoint, self.net.kernel_of(endpoint, Proto::Tcp))
                }
                Choice::External { host, port } => match resolve_outside(&host, port).await {
                    Some(address) => (address, Some(address)),
                    None => return self.failed(location, StatusCode::BAD_GATEWAY, &format!("{host} cannot be resolved to an address outside")),
                },
                Choice::NoEndpoints | Choice::NoService if failed.is_empty() => {
                    return self.failed(location, StatusCode::SERVICE_UNAVAILABLE, "the Service does not have any active Endpoint");
                }
                Choice::NoEndpoints | Choice::NoService => break,
            };
            let Some(address) = address else {
                tracing::debug!(service = %location.service, %endpoint, "nobody listens at the endpoint");
                failed.push(endpoint);
                continue;
            };
            let annotations = &location.annotations;
            let patience =
                Patience { connect: annotations.connect_timeout, read: annotations.read_timeout, upload: upload.as_deref().map(|upload| &upload.activity) };
            let sent = if grpc { self.upstreams.send_http2(address, request, patience).await } else { self.upstreams.send(address, request, patience).await };
            match sent {
                Ok(response) => return tunnel_or_pass(response, client_upgrade, connection, annotations.read_timeout),
                Err(UpstreamError::Connect { source, request: unsent, .. }) => {
                    tracing::info!(ingress = %location.ingress, service = %location.service, %endpoint, error = %source, "connecting to the endpoint");
                    last = if source.kind() == std::io::ErrorKind::TimedOut { StatusCode::GATEWAY_TIMEOUT } else { StatusCode::BAD_GATEWAY };
                    request = *unsent;
                    failed.push(endpoint);
                }
                Err(error) => {
                    let timed_out = if matches!(error, UpstreamError::TimedOut { .. }) { StatusCode::GATEWAY_TIMEOUT } else { StatusCode::BAD_GATEWAY };
                    return self.failed(location, upload.and_then(|upload| upload.fault()).unwrap_or(timed_out), &error.to_string());
                }
            }
        }
        self.failed(location, last, "no endpoint of the Service could be reached")
    }

    /// The answer of a Pod of this process.
    async fn local_answer(&self, location: &Location, endpoint: SocketAddr, answer: crate::LocalFuture, upload: Option<&Upload>) -> Response<Body> {
        let within = location.annotations.read_timeout;
        let error = match patiently(within, upload.map(|upload| &upload.activity), answer).await {
            Some(Ok(mut response)) => {
                headers::strip_hop_by_hop(response.headers_mut());
                // Lets the other connections that are ready run their guests first, so that answers are written together.
                tokio::task::yield_now().await;
                // A body whose length is known is there already; only one that streams can keep its reader waiting.
                if response.body().size_hint().exact().is_none() {
                    return response.map(|body| TimedBody::new(body, within).boxed_unsync());
                }
                return response;
            }
            Some(Err(error)) => error,
            None => crate::LocalError { failure: LocalFailure::TimedOut, message: format!("no response from {endpoint} within {} s", within.as_secs()) },
        };
        let status = match error.failure {
            LocalFailure::Broken => StatusCode::BAD_GATEWAY,
            LocalFailure::Busy => StatusCode::SERVICE_UNAVAILABLE,
            LocalFailure::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        };
        self.failed(location, upload.and_then(Upload::fault).unwrap_or(status), &error.to_string())
    }

    fn failed(&self, location: &Location, status: StatusCode, why: &str) -> Response<Body> {
        tracing::info!(ingress = %location.ingress, service = %location.service, status = status.as_u16(), "{why}");
        pages::page(status)
    }

    fn redirect_to_https(&self, host: &HeaderValue, uri: &Uri) -> Response<Body> {
        let port = match self.https_port.load(Ordering::Relaxed) {
            0 | 443 => String::new(),
            port => format!(":{port}"),
        };
        let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let location = HeaderValue::try_from(format!("https://{}{port}{path}", without_port(host.to_str().unwrap_or_default())));
        location.map_or_else(|_| pages::page(StatusCode::BAD_REQUEST), pages::redirect)
    }
}

/// The host that a request is for: its target's, else its one Host header; empty for HTTP/1.0 without either. `None`: a bad request.
fn host_of(request: &Request<Incoming>) -> Option<HeaderValue> {
    if request.headers().get_all(HOST).iter().nth(1).is_some() {
        return None;
    }
    if let Some(authority) = request.uri().authority() {
        let host = authority.as_str().rsplit('@').next().unwrap_or_default();
        return HeaderValue::from_str(host).ok();
    }
    match request.headers().get(HOST) {
        Some(host) if host.to_str().is_ok_and(|host| !host.bytes().any(|byte| matches!(byte, b'/' | b'@' | b' '))) => Some(host.clone()),
        None if request.version() == Version::HTTP_10 => Some(HeaderValue::from_static("")),
        _ => None,
    }
}

/// The request's target as an upstream gets it, where it is not so already.
fn origin_form(uri: &Uri, location: &Location) -> Result<Option<Uri>, StatusCode> {
    let rewrite = location.rewritten(uri.path());
    if uri.scheme().is_none() && uri.authority().is_none() && rewrite.is_none() {
        return Ok(None);
    }
    if rewrite.is_none() {
        // Absolute form, or HTTP/2.
        let path = uri.path_and_query().cloned().ok_or(StatusCode::METHOD_NOT_ALLOWED)?;
        return Ok(Some(Uri::from(path)));
    }
    let target = match (rewrite, uri.query()) {
        (Some(path), Some(query)) => format!("{path}{}{query}", if path.contains('?') { '&' } else { '?' }),
        (path, _) => path.unwrap_or_default(),
    };
    target.parse().map(Some).map_err(|_| StatusCode::BAD_REQUEST)
}

fn length_of(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// An ExternalName's address; never one of this host or of the cluster's own ranges by that way.
async fn resolve_outside(host: &str, port: u16) -> Option<SocketAddr> {
    let addresses = tokio::time::timeout(Duration::from_secs(5), tokio::net::lookup_host((host, port))).await.ok()?.ok()?;
    addresses.into_iter().find(|address| match address.ip() {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_unspecified() && !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unspecified() && ip.to_ipv4_mapped().is_none() && !ip.is_unicast_link_local(),
    })
}

/// Passes a response on; after `101 Switching Protocols` both sides' bytes are.
fn tunnel_or_pass(mut response: Response<Body>, client: Option<hyper::upgrade::OnUpgrade>, connection: &Arc<Connection>, within: Duration) -> Response<Body> {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        headers::strip_hop_by_hop(response.headers_mut());
        return response;
    }
    let Some(client) = client else { return pages::page(StatusCode::BAD_GATEWAY) };
    let protocol = response.headers().get(UPGRADE).cloned();
    headers::strip_hop_by_hop(response.headers_mut());
    if let Some(protocol) = protocol {
        headers::keep_upgrade(response.headers_mut(), &protocol);
    }
    let (upstream, connection) = (hyper::upgrade::on(&mut response), connection.clone());
    tokio::spawn(async move {
        match futures::future::try_join(client, upstream).await {
            Ok((client, upstream)) => tunnel(TokioIo::new(client), TokioIo::new(upstream), within).await,
            Err(error) => tracing::debug!(%error, "switching protocols"),
        }
        drop(connection);
    });
    response.map(|_| pages::empty())
}
