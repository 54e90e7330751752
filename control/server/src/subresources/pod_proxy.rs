//! `pods/proxy` and `services/proxy`: requests passed on to what a Pod listens on, over HTTP.
//!
//! A redirection within the Pod leads through the proxy again. Links within its pages are left as they are.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http::header::{HOST, LOCATION, UPGRADE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Endpoints, Pod, Service};
use rand::seq::IndexedRandom;
use serde::de::DeserializeOwned;
use wharf_api::status::ApiError;

use super::node_proxy::{HOP, joined, passed_on};
use crate::Body;
use crate::ask::Ask;

/// How long a Pod may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(30);

/// `pods/proxy`.
pub(crate) async fn pod(ask: &Ask<'_>, body: Body) -> Result<Response<Body>, ApiError> {
    let id = &*ask.path.name;
    let named = Named::parse(id).ok_or_else(|| ApiError::bad_request(format!("invalid pod request {id:?}")))?;
    let pod: Pod = find(ask, "pods", named.name)?;
    forward(ask, &named, pod_address(&pod, named.port)?, body).await
}

/// `services/proxy`.
pub(crate) async fn service(ask: &Ask<'_>, body: Body) -> Result<Response<Body>, ApiError> {
    let id = &*ask.path.name;
    let named = Named::parse(id).ok_or_else(|| ApiError::bad_request(format!("invalid service request {id:?}")))?;
    let service: Service = find(ask, "services", named.name)?;
    let none = || ApiError::unavailable(format!("no endpoints available for service {:?}", named.name));
    let endpoints: Endpoints = find(ask, "endpoints", named.name).map_err(|_| none())?;
    let addresses = endpoint_addresses(&endpoints, port_name(&service, &named)?);
    let address = *addresses.choose(&mut rand::rng()).ok_or_else(none)?;
    forward(ask, &named, address, body).await
}

fn find<T: DeserializeOwned>(ask: &Ask<'_>, plural: &str, name: &str) -> Result<T, ApiError> {
    let item = ask.shared.cache().get(&wharf_store::key("", plural, ask.namespace(), name)).ok_or_else(|| ApiError::not_found("", plural, name))?;
    serde_json::from_slice(&item.json()).map_err(|e| ApiError::internal(e.to_string()))
}

/// What a path names: `name`, `name:port` or `scheme:name:port`.
#[derive(Debug, PartialEq, Eq)]
struct Named<'a> {
    https: bool,
    name: &'a str,
    /// A number or, of Services, a name. May be empty.
    port: &'a str,
}

impl<'a> Named<'a> {
    fn parse(id: &'a str) -> Option<Self> {
        let parts: Vec<&str> = id.split(':').collect();
        let (scheme, name, port) = match *parts.as_slice() {
            [name] => ("", name, ""),
            [name, port] => ("", name, port),
            [scheme, name, port] => (scheme, name, port),
            _ => return None,
        };
        (matches!(scheme, "" | "http" | "https") && !name.is_empty()).then_some(Named { https: scheme == "https", name, port })
    }
}

/// Where a Pod listens: on the port that is named, or the first that its containers declare, or 80.
fn pod_address(pod: &Pod, port: &str) -> Result<SocketAddr, ApiError> {
    let refused = || ApiError::bad_request("address not allowed");
    let ip: IpAddr = pod.status.as_ref().and_then(|s| s.pod_ip.as_deref()).and_then(|ip| ip.parse().ok()).ok_or_else(refused)?;
    let declared = pod.spec.iter().flat_map(|s| &s.containers).find_map(|c| c.ports.as_ref()?.first()).map(|p| p.container_port);
    let port = match port {
        "" => declared.map_or(Some(80), |port| u16::try_from(port).ok()),
        number => number.parse().ok(),
    };
    let port = port.filter(|port| *port > 0).ok_or_else(refused)?;
    if is_global_unicast(ip) { Ok(SocketAddr::new(ip, port)) } else { Err(refused()) }
}

fn is_global_unicast(ip: IpAddr) -> bool {
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !(ip.is_loopback() || ip.is_multicast() || ip.is_unspecified() || link_local)
}

/// The name of the port that is meant; a Service's only port may have none.
fn port_name<'a>(service: &'a Service, named: &Named<'a>) -> Result<&'a str, ApiError> {
    let Ok(number) = named.port.parse::<i32>() else { return Ok(named.port) };
    let ports = service.spec.as_ref().and_then(|s| s.ports.as_deref()).unwrap_or_default();
    let port = ports.iter().find(|p| p.port == number);
    let missing = || ApiError::unavailable(format!("no service port {number} found for service {:?}", named.name));
    Ok(port.ok_or_else(missing)?.name.as_deref().unwrap_or_default())
}

/// Where a port's endpoints are that are ready.
fn endpoint_addresses(endpoints: &Endpoints, port: &str) -> Vec<SocketAddr> {
    let mut found = Vec::new();
    for subset in endpoints.subsets.iter().flatten() {
        let number = subset.ports.iter().flatten().find(|p| p.name.as_deref().unwrap_or_default() == port).and_then(|p| u16::try_from(p.port).ok());
        let Some(number) = number else { continue };
        let ips = subset.addresses.iter().flatten().filter_map(|a| a.ip.parse().ok()).filter(|ip| is_global_unicast(*ip));
        found.extend(ips.map(|ip| SocketAddr::new(ip, number)));
    }
    found
}

/// The path within the proxied server, with its first slash; empty where the request's path ends with `proxy`.
fn path_within<'a>(ask: &Ask<'a>) -> &'a str {
    // /api/v1/namespaces/NAMESPACE/pods/NAME/proxy/…
    let path = ask.parts.uri.path();
    path.match_indices('/').nth(7).map_or("", |(at, _)| &path[at..])
}

async fn forward(ask: &Ask<'_>, named: &Named<'_>, address: SocketAddr, body: Body) -> Result<Response<Body>, ApiError> {
    let unreachable = |error: &dyn std::fmt::Display| ApiError::unavailable(format!("error trying to reach service: {error}"));
    if named.https {
        return Err(unreachable(&"https is not spoken to Pods"));
    }
    let (path, uri) = (path_within(ask), &ask.parts.uri);
    let query = uri.query().map(|q| format!("?{q}")).unwrap_or_default();
    let upgrade = ask.parts.headers.contains_key(UPGRADE);
    if path.is_empty() && !upgrade && matches!(ask.parts.method, Method::GET | Method::HEAD) {
        return redirect(&format!("{}/{query}", uri.path()));
    }
    let within = format!("{}{query}", if path.is_empty() { "/" } else { path });
    let mut request = Request::builder().method(ask.parts.method.clone()).uri(within).body(body).map_err(|e| ApiError::bad_request(e.to_string()))?;
    *request.headers_mut() = passed_on(&ask.parts.headers, upgrade);
    let host = uri.authority().map_or_else(|| ask.header(HOST).to_owned(), ToString::to_string);
    for (name, value) in [("x-forwarded-uri", uri.path()), ("x-forwarded-host", &host), ("x-forwarded-proto", "https")] {
        if let Ok(value) = HeaderValue::from_str(value) {
            request.headers_mut().insert(name, value);
        }
    }
    let host = if host.is_empty() { address.to_string() } else { host };
    request.headers_mut().insert(HOST, HeaderValue::from_str(&host).map_err(|e| ApiError::bad_request(e.to_string()))?);

    let connecting = tokio::time::timeout(CONNECT, ask.shared.config.pod_dialer.connect(address)).await;
    let refused = |error: &dyn std::fmt::Display| unreachable(&format!("dial tcp {address}: {error}"));
    let stream = connecting.map_err(|_| refused(&"i/o timeout"))?.map_err(|e| refused(&connect_words(&e)))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| unreachable(&e))?;
    // It ends with the answer's body, or with the upgraded stream.
    tokio::spawn(connection.with_upgrades());
    let mut response = sender.send_request(request).await.map_err(|e| unreachable(&e))?.map(Body::new);
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return joined(ask, response);
    }
    for name in HOP {
        response.headers_mut().remove(name);
    }
    let prefix = &uri.path()[..uri.path().len() - path.len()];
    if let Some(location) = response.headers().get(LOCATION).and_then(|l| l.to_str().ok()).and_then(|l| through(l, prefix, &host, address)) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// As Go says it.
fn connect_words(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        _ => format!("connect: {error}"),
    }
}

fn redirect(to: &str) -> Result<Response<Body>, ApiError> {
    let answer = Response::builder().status(StatusCode::MOVED_PERMANENTLY).header(LOCATION, to).body(Body::empty());
    answer.map_err(|e| ApiError::bad_request(e.to_string()))
}

/// A redirection of the Pod to itself, as it is seen through the proxy. `None` for one that leads elsewhere.
fn through(location: &str, prefix: &str, host: &str, address: SocketAddr) -> Option<HeaderValue> {
    let within = match location.split_once("://") {
        None => location.strip_prefix('/').filter(|rest| !rest.starts_with('/'))?,
        Some((_, rest)) => {
            let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
            let own = [host.to_owned(), address.to_string(), address.ip().to_string()];
            own.iter().any(|own| own == authority).then_some(path)?
        }
    };
    HeaderValue::from_str(&format!("{prefix}/{within}")).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object<T: DeserializeOwned>(json: serde_json::Value) -> T {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn names() {
        let named = |https, name, port| Some(Named { https, name, port });
        #[rustfmt::skip]
        let table = [
            ("web", named(false, "web", "")),
            ("web:80", named(false, "web", "80")),
            ("http:web:", named(false, "web", "")),
            ("https:web:tls", named(true, "web", "tls")),
            ("ftp:web:21", None),
            (":80", None),
            ("a:b:c:d", None),
        ];
        for (id, wanted) in table {
            assert_eq!(Named::parse(id), wanted, "{id}");
        }
    }

    #[test]
    fn addresses_of_pods() {
        #[rustfmt::skip]
        let table = [
            (json!({"status": {"podIP": "10.244.0.5"}, "spec": {"containers": [{"name": "a"}, {"name": "b", "ports": [{"containerPort": 8080}]}]}}), "", "10.244.0.5:8080"),
            (json!({"status": {"podIP": "10.244.0.5"}, "spec": {"containers": [{"name": "a"}]}}), "", "10.244.0.5:80"),
            (json!({"status": {"podIP": "10.244.0.5"}}), "81", "10.244.0.5:81"),
            (json!({"status": {"podIP": "10.244.0.5"}}), "web", "address not allowed"),
            (json!({"status": {"podIP": "127.0.0.1"}}), "81", "address not allowed"),
            (json!({"status": {"podIP": "169.254.169.254"}}), "80", "address not allowed"),
            (json!({}), "80", "address not allowed"),
        ];
        for (pod, port, wanted) in table {
            let got = pod_address(&object(pod.clone()), port).map_or_else(|e| e.message().to_owned(), |a| a.to_string());
            assert_eq!(got, wanted, "{pod} {port}");
        }
    }

    #[test]
    fn addresses_of_services() {
        let service: Service = object(json!({"spec": {"ports": [{"name": "http", "port": 80}, {"name": "admin", "port": 81}]}}));
        let endpoints: Endpoints = object(json!({"subsets": [
            {"addresses": [{"ip": "10.244.0.5"}, {"ip": "127.0.0.1"}], "ports": [{"name": "http", "port": 8080}]},
            {"notReadyAddresses": [{"ip": "10.244.0.6"}], "ports": [{"name": "http", "port": 8080}]},
        ]}));
        let told = |id: &str| {
            let named = Named::parse(id).unwrap();
            port_name(&service, &named).map_or_else(|e| e.message().to_owned(), |port| format!("{:?}", endpoint_addresses(&endpoints, port)))
        };
        assert_eq!(told("web:80"), "[10.244.0.5:8080]");
        assert_eq!(told("web:http"), "[10.244.0.5:8080]");
        assert_eq!(told("web:admin"), "[]");
        assert_eq!(told("web:82"), "no service port 82 found for service \"web\"");
    }

    #[test]
    fn redirections() {
        let address = "10.244.0.5:80".parse().unwrap();
        #[rustfmt::skip]
        let table = [
            ("/login", Some("/api/v1/namespaces/d/pods/p/proxy/login")),
            ("http://10.244.0.5:80/a?b", Some("/api/v1/namespaces/d/pods/p/proxy/a?b")),
            ("http://api/a", Some("/api/v1/namespaces/d/pods/p/proxy/a")),
            ("https://elsewhere/a", None),
            ("//elsewhere/a", None),
            ("relative", None),
        ];
        for (location, wanted) in table {
            let got = through(location, "/api/v1/namespaces/d/pods/p/proxy", "api", address);
            assert_eq!(got.as_ref().map(|l| l.to_str().unwrap()), wanted, "{location}");
        }
    }
}
