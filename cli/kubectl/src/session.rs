//! A connection to one cluster, and the requests that verbs make over it.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use futures::StreamExt;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use kube::client::Body;
use kube::core::Status;
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::discovery::Discovery;
use crate::error::{Error, Result, innermost, io_kind};

/// The largest answer that is taken into memory.
const LARGEST_ANSWER: usize = 512 << 20;

/// A connection to one cluster.
pub struct Session {
    /// The client beneath.
    pub client: kube::Client,
    /// What it was made of.
    pub config: kube::Config,
    /// The namespace that is meant.
    pub namespace: String,
    /// Whether a flag named it.
    pub explicit_namespace: bool,
    timeout: Option<Duration>,
    discovery: OnceCell<Discovery>,
    warned: Mutex<BTreeSet<String>>,
}

/// How a patch is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchType {
    /// RFC 6902.
    Json,
    /// RFC 7386.
    Merge,
    /// Lists are merged by their keys.
    Strategic,
    /// Server-side apply.
    Apply,
}

impl PatchType {
    fn content_type(self) -> &'static str {
        match self {
            PatchType::Json => "application/json-patch+json",
            PatchType::Merge => "application/merge-patch+json",
            PatchType::Strategic => "application/strategic-merge-patch+json",
            PatchType::Apply => "application/apply-patch+yaml",
        }
    }
}

impl Session {
    /// Makes the client; nothing is sent yet.
    pub fn new(config: kube::Config, namespace: String, explicit_namespace: bool, timeout: Option<Duration>) -> Result<Session> {
        // Another part of the process may have chosen already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = kube::Client::try_from(config.clone())
            .map_err(|error| Error::message(format!("unable to load the client configuration: {}", innermost(&error))))?;
        Ok(Session { client, config, namespace, explicit_namespace, timeout, discovery: OnceCell::new(), warned: Mutex::default() })
    }

    /// What the server serves, asked once.
    pub async fn discovery(&self) -> Result<&Discovery> {
        self.discovery.get_or_try_init(|| Discovery::ask(self)).await
    }

    /// Where the server is, as the kubeconfig says it.
    pub fn server(&self) -> String {
        self.config.cluster_url.to_string().trim_end_matches('/').to_owned()
    }

    /// Sends one request; a refusal is an error.
    pub async fn send(&self, request: Request<Body>) -> Result<Response<Body>> {
        let answer = match self.timeout {
            Some(timeout) => tokio::time::timeout(timeout, self.client.send(request)).await.map_err(|_| {
                Error::Plain(
                    "Unable to connect to the server: net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)"
                        .into(),
                )
            })?,
            None => self.client.send(request).await,
        };
        let answer = answer.map_err(|error| self.unreachable(&error))?;
        self.warn(&answer);
        if answer.status().is_client_error() || answer.status().is_server_error() {
            return Err(refusal(answer).await);
        }
        Ok(answer)
    }

    fn unreachable(&self, error: &kube::Error) -> Error {
        let authority = self.config.cluster_url.authority().map(ToString::to_string).unwrap_or_default();
        match io_kind(error) {
            Some(std::io::ErrorKind::ConnectionRefused) => {
                Error::Plain(format!("The connection to the server {authority} was refused - did you specify the right host or port?"))
            }
            _ => {
                let why = innermost(error);
                let why = if why.contains("UnknownIssuer") || why.contains("invalid peer certificate") {
                    format!("tls: failed to verify certificate: {why}")
                } else if why.contains("failed to lookup address") {
                    format!("dial tcp: lookup {}: no such host", self.config.cluster_url.host().unwrap_or_default())
                } else {
                    why
                };
                Error::Plain(format!("Unable to connect to the server: {why}"))
            }
        }
    }

    /// What the server warns of, each once.
    fn warn<B>(&self, answer: &Response<B>) {
        for value in answer.headers().get_all("warning") {
            let Some(text) = value.to_str().ok().and_then(warning_text) else { continue };
            if self.warned.lock().is_ok_and(|mut warned| warned.insert(text.clone())) {
                eprintln!("Warning: {text}");
            }
        }
    }

    /// The whole answer to a request.
    pub async fn bytes(&self, request: Request<Body>) -> Result<Vec<u8>> {
        let answer = self.send(request).await?;
        let body = http_body_util::Limited::new(answer.into_body(), LARGEST_ANSWER).collect();
        let body = match self.timeout {
            Some(timeout) => tokio::time::timeout(timeout, body).await.map_err(|_| {
                Error::Plain("Unable to connect to the server: net/http: request canceled (Client.Timeout or context cancellation while reading body)".into())
            })?,
            None => body.await,
        };
        let body = body.map_err(|error| Error::Plain(format!("Unable to connect to the server: {error}")))?;
        Ok(body.to_bytes().to_vec())
    }

    /// A JSON answer.
    pub async fn json(&self, request: Request<Body>) -> Result<Value> {
        let bytes = self.bytes(request).await?;
        serde_json::from_slice(&bytes).map_err(|error| Error::message(format!("the server's answer is not JSON: {error}")))
    }

    /// GET, with what is to be accepted.
    pub async fn get_as(&self, path: &str, accept: &str) -> Result<Value> {
        self.json(request("GET", path, accept, None)?).await
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Result<Value> {
        self.get_as(path, "application/json").await
    }

    /// GET of what is not JSON.
    pub async fn get_text(&self, path: &str) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.bytes(request("GET", path, "application/json, */*", None)?).await?).into_owned())
    }

    /// POST.
    pub async fn post(&self, path: &str, object: &Value) -> Result<Value> {
        self.json(request("POST", path, "application/json", Some(("application/json", object)))?).await
    }

    /// PUT.
    pub async fn put(&self, path: &str, object: &Value) -> Result<Value> {
        self.json(request("PUT", path, "application/json", Some(("application/json", object)))?).await
    }

    /// PATCH.
    pub async fn patch(&self, path: &str, kind: PatchType, patch: &Value) -> Result<Value> {
        self.json(request("PATCH", path, "application/json", Some((kind.content_type(), patch)))?).await
    }

    /// DELETE, with its options.
    pub async fn delete(&self, path: &str, options: &Value) -> Result<Value> {
        self.json(request("DELETE", path, "application/json", Some(("application/json", options)))?).await
    }

    /// The lines of an answer that does not end by itself.
    pub async fn lines(&self, path: &str, accept: &str) -> Result<Lines> {
        let answer = self.client.send(request("GET", path, accept, None)?).await.map_err(|error| self.unreachable(&error))?;
        self.warn(&answer);
        if !answer.status().is_success() {
            return Err(refusal(answer).await);
        }
        Ok(Lines { body: answer.into_body().into_data_stream().boxed(), buffer: Vec::new() })
    }

    /// Watches a collection: each event as `(type, object)`.
    pub async fn watch(&self, path: &str, accept: &str) -> Result<Lines> {
        self.lines(&with_query(path, &[("watch", "true")]), accept).await
    }
}

/// The lines of a stream.
pub struct Lines {
    body: futures::stream::BoxStream<'static, Result<bytes::Bytes, kube::Error>>,
    buffer: Vec<u8>,
}

impl Lines {
    /// The next line; None at the end. A line that was cut off counts as no line.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let rest = self.buffer.split_off(end + 1);
                let mut line = std::mem::replace(&mut self.buffer, rest);
                line.pop();
                return Ok(Some(line));
            }
            match self.body.next().await {
                Some(Ok(bytes)) if self.buffer.len() + bytes.len() <= LARGEST_ANSWER => self.buffer.extend_from_slice(&bytes),
                Some(Ok(_)) => return Err(Error::message("a line of the server's answer is too long")),
                Some(Err(error)) => return Err(Error::message(innermost(&error))),
                None => return Ok(None),
            }
        }
    }

    /// The next bytes, as they come.
    pub async fn chunk(&mut self) -> Result<Option<Vec<u8>>> {
        match self.body.next().await {
            Some(Ok(bytes)) => Ok(Some(bytes.to_vec())),
            Some(Err(error)) => Err(Error::message(innermost(&error))),
            None => Ok(None),
        }
    }

    /// The next event of a watch.
    pub async fn event(&mut self) -> Result<Option<(String, Value)>> {
        let Some(line) = self.next().await? else { return Ok(None) };
        let mut event: Value =
            serde_json::from_slice(&line).map_err(|error| Error::message(format!("unable to decode an event from the watch stream: {error}")))?;
        let kind = event["type"].as_str().unwrap_or_default().to_owned();
        let object = event["object"].take();
        if kind == "ERROR" {
            return Err(match serde_json::from_value::<Status>(object) {
                Ok(status) => Error::Status(Box::new(status)),
                Err(error) => Error::message(format!("watch: {error}")),
            });
        }
        Ok(Some((kind, object)))
    }
}

/// A request to the server; `path` begins with a slash.
pub fn request(method: &str, path: &str, accept: &str, body: Option<(&str, &Value)>) -> Result<Request<Body>> {
    let builder = Request::builder().method(method).uri(path).header("accept", accept).header("user-agent", concat!("wharf/", env!("CARGO_PKG_VERSION")));
    let request = match body {
        Some((kind, value)) => builder.header("content-type", kind).body(Body::from(value.to_string().into_bytes())),
        None => builder.body(Body::empty()),
    };
    request.map_err(|error| Error::message(format!("{method} {path}: {error}")))
}

/// The path with these parameters; those without a value are left out.
pub fn with_query(path: &str, parameters: &[(&str, &str)]) -> String {
    let mut path = path.to_owned();
    for (name, value) in parameters.iter().filter(|(_, value)| !value.is_empty()) {
        path.push(if path.contains('?') { '&' } else { '?' });
        path.push_str(name);
        path.push('=');
        path.push_str(&encode(value));
    }
    path
}

/// Percent-encodes a value of a query, or a segment of a path.
pub fn encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The text of a Warning header: `299 - "text"`.
fn warning_text(value: &str) -> Option<String> {
    let rest = value.split_once('"')?.1;
    let (mut text, mut escaped) = (String::new(), false);
    for c in rest.chars() {
        match c {
            '\\' if !escaped => escaped = true,
            '"' if !escaped => return Some(text),
            other => {
                text.push(other);
                escaped = false;
            }
        }
    }
    None
}

async fn refusal(answer: Response<Body>) -> Error {
    let code = answer.status();
    let body = http_body_util::Limited::new(answer.into_body(), 1 << 20).collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    match serde_json::from_slice::<Status>(&body) {
        Ok(mut status) if status.code != 0 || !status.message.is_empty() => {
            status.code = if status.code == 0 { code.as_u16() } else { status.code };
            Error::Status(Box::new(status))
        }
        _ => Error::Status(Box::new(unspoken(code, &String::from_utf8_lossy(&body)))),
    }
}

/// What a refusal without a Status means.
fn unspoken(code: StatusCode, body: &str) -> Status {
    let (reason, message) = match code {
        StatusCode::NOT_FOUND => ("NotFound", "the server could not find the requested resource".to_owned()),
        StatusCode::UNAUTHORIZED => ("Unauthorized", "the server has asked for the client to provide credentials".to_owned()),
        StatusCode::FORBIDDEN => ("Forbidden", body.trim().to_owned()),
        StatusCode::METHOD_NOT_ALLOWED => ("MethodNotAllowed", "the server does not allow this method on the requested resource".to_owned()),
        StatusCode::SERVICE_UNAVAILABLE => ("ServiceUnavailable", "the server is currently unable to handle the request".to_owned()),
        StatusCode::GATEWAY_TIMEOUT => {
            ("Timeout", "the server was unable to return a response in the time allotted, but may still be processing the request".to_owned())
        }
        StatusCode::TOO_MANY_REQUESTS => ("TooManyRequests", "the server has received too many requests and has asked us to try again later".to_owned()),
        code if code.is_server_error() => ("InternalError", format!("an error on the server ({:?}) has prevented the request from succeeding", body.trim())),
        _ => ("Unknown", format!("the server responded with the status code {} but did not return more information", code.as_u16())),
    };
    Status::failure(&message, reason).with_code(code.as_u16())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_encoded() {
        assert_eq!(with_query("/a", &[("labelSelector", "app in (a,b)"), ("limit", ""), ("x", "1")]), "/a?labelSelector=app%20in%20%28a%2Cb%29&x=1");
    }

    #[test]
    fn warnings_are_read() {
        assert_eq!(warning_text(r#"299 - "v1 \"Endpoints\" is deprecated""#).unwrap(), "v1 \"Endpoints\" is deprecated");
        assert_eq!(warning_text("299"), None);
    }
}
