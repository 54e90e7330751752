//! What only a Pod's node can answer: logs, exec, attach, port-forward, and the kubelet API itself. Passed through, streaming.

use std::fmt::Write as _;

use http::header::{AUTHORIZATION, HOST, UPGRADE};
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode};
use k8s_openapi::api::core::v1::{Node, Pod};
use wharf_api::status::ApiError;

use super::pod;
use crate::ask::Ask;
use crate::authz::Attributes;
use crate::http::path::ResourcePath;
use crate::{Body, DialError};

/// Headers that are of one connection only.
pub(super) const HOP: [&str; 8] = ["connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade"];

/// `pods/log`.
pub(crate) async fn log(ask: &Ask<'_>) -> Result<Response<Body>, ApiError> {
    let pod = pod(ask)?;
    let container = container(ask, &pod)?;
    // No node has it yet: there is nothing to read.
    if pod.spec.as_ref().and_then(|s| s.node_name.as_deref()).is_none_or(str::is_empty) {
        let mut nothing = Response::new(Body::empty());
        *nothing.status_mut() = StatusCode::NO_CONTENT;
        return Ok(nothing);
    }
    let node = node(ask, &pod)?;
    let mut query = String::new();
    for key in ["follow", "previous", "sinceSeconds", "sinceTime", "timestamps", "tailLines", "limitBytes", "stream"] {
        if ask.query.has(key) {
            let _ = write!(query, "{}{key}={}", if query.is_empty() { "?" } else { "&" }, encode(ask.query.get(key)));
        }
    }
    let uri = format!("/containerLogs/{}/{}/{container}{query}", ask.namespace(), ask.path.name);
    let answer = call(ask, &node, Method::GET, &uri, Body::empty()).await?;
    if answer.status().is_success() {
        return Ok(answer);
    }
    // The node's refusal is text; the client wants a Status with these words.
    let status = answer.status();
    let words = axum::body::to_bytes(answer.into_body(), 4096).await.unwrap_or_default();
    let words = String::from_utf8_lossy(&words).trim().to_owned();
    Err(if status.is_server_error() { ApiError::internal(words) } else { ApiError::bad_request(words) })
}

/// `pods/exec`, `pods/attach` and `pods/portforward`: the connection is upgraded and joined to the node's.
///
/// Clients of WebSockets come with a GET. That is no reading: they need the right to create as well, as those do who come with a POST.
pub(crate) async fn stream(ask: &Ask<'_>, body: Body) -> Result<Response<Body>, ApiError> {
    authorize_create(ask)?;
    let pod = pod(ask)?;
    if !ask.parts.headers.contains_key(UPGRADE) {
        return Err(ApiError::bad_request("Upgrade request required"));
    }
    let verb = match ask.path.subresource {
        "portforward" => "portForward",
        other => other,
    };
    let mut uri = format!("/{verb}/{}/{}", ask.namespace(), ask.path.name);
    if verb != "portForward" {
        let _ = write!(uri, "/{}", container(ask, &pod)?);
    }
    let renamed = [("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")];
    let mut query = String::new();
    let mut add = |key: &str, value: &str| {
        let _ = write!(query, "{}{key}={}", if query.is_empty() { '?' } else { '&' }, encode(value));
    };
    for (from, to) in renamed {
        if ask.query.flag(from) {
            add(to, "1");
        }
    }
    for command in ask.query.all("command") {
        add("command", command);
    }
    for port in ask.query.all("ports") {
        add("port", port);
    }
    uri.push_str(&query);
    let node = node(ask, &pod)?;
    upgrade(ask, &node, &uri, body).await
}

/// `nodes/NAME/proxy/…`: the kubelet API. What is upgraded there runs commands, so it needs the right to create as well.
pub(crate) async fn node_api(ask: &Ask<'_>, body: Body) -> Result<Response<Body>, ApiError> {
    let name = ask.path.name.split(':').next().unwrap_or_default();
    let node = find(ask, name)?;
    let query = ask.parts.uri.query().map(|q| format!("?{q}")).unwrap_or_default();
    if ask.parts.headers.contains_key(UPGRADE) {
        authorize_create(ask)?;
        return upgrade(ask, &node, &format!("/{}{query}", ask.path.rest), body).await;
    }
    call(ask, &node, ask.parts.method.clone(), &format!("/{}{query}", ask.path.rest), body).await
}

fn authorize_create(ask: &Ask<'_>) -> Result<(), ApiError> {
    let ResourcePath { group, plural, subresource, namespace, name, .. } = ask.path;
    let create = Attributes { verb: "create", group, plural, subresource, namespace, name, ..Attributes::default() };
    ask.shared.authorizer.authorize(ask.identity, &create)
}

async fn call(ask: &Ask<'_>, node: &Node, method: Method, uri: &str, body: Body) -> Result<Response<Body>, ApiError> {
    let mut request = Request::builder().method(method).uri(uri).body(body).map_err(|e| ApiError::bad_request(e.to_string()))?;
    *request.headers_mut() = passed_on(&ask.parts.headers, false);
    let answer = ask.shared.config.node_dialer.call(node, request).await;
    let mut response = answer.map_err(|e| unreachable(ask, node, uri, &e))?;
    for name in HOP {
        response.headers_mut().remove(name);
    }
    Ok(response)
}

/// In the words of Go's HTTP client, which is what people know.
fn unreachable(ask: &Ask<'_>, node: &Node, uri: &str, error: &DialError) -> ApiError {
    let addresses = node.status.as_ref().and_then(|s| s.addresses.as_ref());
    let address = addresses.into_iter().flatten().find(|a| a.type_ == "InternalIP").map_or("", |a| a.address.as_str());
    let method = match ask.parts.method {
        Method::POST => "Post",
        _ => "Get",
    };
    ApiError::unknown(format!("{method} \"https://{address}:10250{uri}\": {error}"))
}

/// Upgrades both sides and copies between them.
async fn upgrade(ask: &Ask<'_>, node: &Node, uri: &str, body: Body) -> Result<Response<Body>, ApiError> {
    let mut request = Request::builder().method(ask.parts.method.clone()).uri(uri).body(body).map_err(|e| ApiError::bad_request(e.to_string()))?;
    *request.headers_mut() = passed_on(&ask.parts.headers, true);
    let answer = ask.shared.config.node_dialer.call(node, request).await;
    let response = answer.map_err(|e| unreachable(ask, node, uri, &e))?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS { joined(ask, response) } else { Ok(response) }
}

/// Passes an upgrade on to the client, and copies between the two connections until one ends.
pub(super) fn joined(ask: &Ask<'_>, mut response: Response<Body>) -> Result<Response<Body>, ApiError> {
    let on_client = ask.parts.extensions.get::<hyper::upgrade::OnUpgrade>().cloned();
    let Some(on_client) = on_client else { return Err(ApiError::bad_request("unable to upgrade: this connection cannot be upgraded")) };
    let on_other = hyper::upgrade::on(&mut response);
    let stopping = ask.shared.stopping.clone();
    tokio::spawn(async move {
        let joined = async {
            let (client, other) = tokio::try_join!(on_client, on_other).map_err(std::io::Error::other)?;
            let (mut client, mut other) = (hyper_util::rt::TokioIo::new(client), hyper_util::rt::TokioIo::new(other));
            tokio::io::copy_bidirectional(&mut client, &mut other).await
        };
        tokio::select! {
            () = stopping.cancelled() => {}
            result = joined => if let Err(error) = result {
                tracing::debug!(%error, "an upgraded connection ended");
            }
        }
    });
    let (head, _) = response.into_parts();
    Ok(Response::from_parts(head, Body::empty()))
}

/// A client's headers for somebody else: never who it is, and only with an upgrade what is of the connection.
pub(super) fn passed_on(headers: &HeaderMap, upgrade: bool) -> HeaderMap {
    let credential = |name: &HeaderName| *name == AUTHORIZATION || name.as_str().starts_with("impersonate-") || *name == HOST;
    let mut passed = HeaderMap::new();
    for (name, value) in headers {
        if !credential(name) && (upgrade || !HOP.contains(&name.as_str())) {
            passed.append(name.clone(), value.clone());
        }
    }
    crate::authn::websocket::strip(&mut passed);
    passed
}

/// The container that is meant: the one asked for, the annotated default, or the only one.
fn container(ask: &Ask<'_>, pod: &Pod) -> Result<String, ApiError> {
    let spec = pod.spec.clone().unwrap_or_default();
    let init: Vec<String> = spec.init_containers.iter().flatten().map(|c| c.name.clone()).collect();
    let main: Vec<String> = spec.containers.iter().map(|c| c.name.clone()).collect();
    let ephemeral: Vec<String> = spec.ephemeral_containers.iter().flatten().map(|c| c.name.clone()).collect();
    let wanted = ask.query.get("container");
    let name = &*ask.path.name;
    if !wanted.is_empty() {
        let known = init.iter().chain(&main).chain(&ephemeral).any(|c| c == wanted);
        return if known { Ok(wanted.to_owned()) } else { Err(ApiError::bad_request(format!("container {wanted} is not valid for pod {name}"))) };
    }
    let annotated = pod.metadata.annotations.as_ref().and_then(|a| a.get("kubectl.kubernetes.io/default-container"));
    match (main.as_slice(), annotated) {
        ([only], _) => Ok(only.clone()),
        (_, Some(default)) if main.contains(default) => Ok(default.clone()),
        ([], _) => Err(ApiError::bad_request(format!("a container name must be specified for pod {name}"))),
        _ => {
            let mut words = format!("a container name must be specified for pod {name}, choose one of: [{}]", main.join(" "));
            if !init.is_empty() {
                let _ = write!(words, " or one of the init containers: [{}]", init.join(" "));
            }
            if !ephemeral.is_empty() {
                let _ = write!(words, " or one of the ephemeral containers: [{}]", ephemeral.join(" "));
            }
            Err(ApiError::bad_request(words))
        }
    }
}

fn node(ask: &Ask<'_>, pod: &Pod) -> Result<Node, ApiError> {
    let name = pod.spec.as_ref().and_then(|s| s.node_name.as_deref()).unwrap_or_default();
    if name.is_empty() {
        return Err(ApiError::bad_request(format!("pod {} does not have a host assigned", ask.path.name)));
    }
    find(ask, name)
}

fn find(ask: &Ask<'_>, name: &str) -> Result<Node, ApiError> {
    let item = ask.shared.cache().get(&wharf_store::key("", "nodes", "", name)).ok_or_else(|| ApiError::not_found("", "nodes", name))?;
    serde_json::from_slice(&item.json()).map_err(|e| ApiError::internal(e.to_string()))
}

/// Percent-encodes a query value.
fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
