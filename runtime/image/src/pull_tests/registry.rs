//! A registry in memory, which can be told to misbehave.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::push::digest;

/// What a registry does wrong.
#[derive(Clone, Copy, Default, PartialEq)]
pub(super) enum Fault {
    #[default]
    None,
    /// Blobs end early, this often.
    Truncate(usize),
    /// One byte of every blob differs.
    Corrupt,
    /// Blobs are longer than the manifest says.
    Longer,
    /// Manifests have no end.
    EndlessManifest,
    /// Errors have none.
    EndlessError,
    /// Tokens have none.
    EndlessToken,
}

#[derive(Default)]
pub(super) struct Contents {
    pub(super) manifests: HashMap<String, (String, Vec<u8>)>,
    pub(super) blobs: HashMap<String, Vec<u8>>,
    pub(super) fault: Fault,
    /// `user:password` that is wanted.
    pub(super) secret: Option<String>,
    /// It is to be shown where tokens are given out.
    pub(super) tokens: bool,
    /// Bytes of blobs that were sent.
    pub(super) sent: usize,
}

#[derive(Clone, Default)]
pub(super) struct Registry {
    pub(super) contents: Arc<Mutex<Contents>>,
    pub(super) requests: Arc<AtomicUsize>,
}

impl Registry {
    pub(super) async fn start() -> (Registry, SocketAddr) {
        let registry = Registry::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = axum::Router::new().fallback(answer).with_state(registry.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (registry, address)
    }

    pub(super) fn blob(&self, bytes: &[u8]) -> Value {
        let digest = digest(bytes);
        self.contents.lock().blobs.insert(digest.clone(), bytes.to_vec());
        json!({"digest": digest, "size": bytes.len()})
    }

    pub(super) fn manifest(&self, name: &str, manifest: &Value) -> String {
        let media = if manifest.get("manifests").is_some() { "application/vnd.oci.image.index.v1+json" } else { "application/vnd.oci.image.manifest.v1+json" };
        let bytes = serde_json::to_vec(manifest).unwrap();
        let digest = digest(&bytes);
        let mut contents = self.contents.lock();
        contents.manifests.insert(digest.clone(), (media.into(), bytes.clone()));
        contents.manifests.insert(name.into(), (media.into(), bytes));
        digest
    }

    /// An image of layers (media type, bytes) under `name`.
    pub(super) fn image(&self, name: &str, config: (&str, Value), layers: &[(&str, &[u8])]) -> String {
        let mut config_blob = self.blob(&serde_json::to_vec(&config.1).unwrap());
        config_blob["mediaType"] = config.0.into();
        let layers: Vec<Value> = layers
            .iter()
            .map(|(media, bytes)| {
                let mut blob = self.blob(bytes);
                blob["mediaType"] = (*media).into();
                blob
            })
            .collect();
        self.manifest(name, &json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config_blob, "layers": layers}))
    }
}

async fn answer(State(registry): State<Registry>, request: Request) -> Response {
    registry.requests.fetch_add(1, Ordering::SeqCst);
    let (parts, body) = request.into_parts();
    let bytes = axum::body::to_bytes(body, 64 << 20).await.unwrap();
    let path = parts.uri.path().to_string();
    let secret = registry.contents.lock().secret.clone();
    if let Some(secret) = secret {
        use base64::Engine as _;
        let basic = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(secret));
        let (tokens, fault) = {
            let contents = registry.contents.lock();
            (contents.tokens, contents.fault)
        };
        let is = |wanted: &str| parts.headers.get(header::AUTHORIZATION).is_some_and(|v| v.as_bytes() == wanted.as_bytes());
        if path == "/token" && is(&basic) {
            assert!(parts.uri.query().unwrap().contains("service=s+1") && parts.uri.query().unwrap().contains("%3Apull"), "{}", parts.uri);
            return if fault == Fault::EndlessToken { endless(StatusCode::OK) } else { r#"{"access_token":"t0ken","expires_in":300}"#.into_response() };
        }
        if !is(if tokens { "Bearer t0ken" } else { &basic }) {
            let host = parts.headers[header::HOST].to_str().unwrap();
            let challenge = if tokens { format!("Bearer realm=\"http://{host}/token\",service=\"s 1\"") } else { "Basic realm=\"test\"".to_owned() };
            return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, challenge)], "").into_response();
        }
    }
    let fault = registry.contents.lock().fault;
    match fault {
        Fault::EndlessManifest if path.contains("/manifests/") => return endless(StatusCode::OK),
        Fault::EndlessError => return endless(StatusCode::INTERNAL_SERVER_ERROR),
        _ => {}
    }
    if path == "/v2/" {
        return StatusCode::OK.into_response();
    }
    if let Some((_, name)) = path.split_once("/manifests/") {
        return manifest(&registry, &parts.method, &parts.headers, name, bytes.to_vec());
    }
    if path.ends_with("/blobs/uploads/") || path.contains("/blobs/uploads/") {
        return upload(&registry, &parts.method, &path, parts.uri.query().unwrap_or(""), bytes.to_vec());
    }
    match path.split_once("/blobs/") {
        Some((_, digest)) => blob(&registry, digest, &parts.headers),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn endless(status: StatusCode) -> Response {
    let part = axum::body::Bytes::from(vec![b' '; 64 << 10]);
    (status, Body::from_stream(futures::stream::repeat_with(move || Ok::<_, std::io::Error>(part.clone())))).into_response()
}

fn manifest(registry: &Registry, method: &Method, headers: &HeaderMap, name: &str, body: Vec<u8>) -> Response {
    let mut contents = registry.contents.lock();
    if method == Method::PUT {
        let media = headers.get(header::CONTENT_TYPE).unwrap().to_str().unwrap().to_string();
        let digest = digest(&body);
        contents.manifests.insert(digest.clone(), (media.clone(), body.clone()));
        contents.manifests.insert(name.into(), (media, body));
        return (StatusCode::CREATED, [(header::LOCATION, format!("/v2/x/manifests/{digest}"))]).into_response();
    }
    match contents.manifests.get(name) {
        Some((media, bytes)) => {
            let headers = [(header::CONTENT_TYPE, media.clone()), (header::HeaderName::from_static("docker-content-digest"), digest(bytes))];
            (headers, bytes.clone()).into_response()
        }
        None => (StatusCode::NOT_FOUND, r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#).into_response(),
    }
}

fn upload(registry: &Registry, method: &Method, path: &str, query: &str, body: Vec<u8>) -> Response {
    let mut contents = registry.contents.lock();
    let upload = contents.blobs.entry("upload".into()).or_default();
    if method == Method::POST {
        upload.clear();
        return (StatusCode::ACCEPTED, [(header::LOCATION, format!("{path}session"))]).into_response();
    }
    upload.extend_from_slice(&body);
    if method == Method::PATCH {
        let range = format!("0-{}", upload.len() - 1);
        return (StatusCode::ACCEPTED, [(header::LOCATION, path.to_string()), (header::RANGE, range)]).into_response();
    }
    let bytes = std::mem::take(upload);
    let name = digest(&bytes);
    assert!(query.replace("%3A", ":").contains(&name), "{query}");
    contents.blobs.insert(name, bytes);
    (StatusCode::CREATED, [(header::LOCATION, "/v2/x/blobs/done".to_string())]).into_response()
}

fn blob(registry: &Registry, name: &str, headers: &HeaderMap) -> Response {
    let mut contents = registry.contents.lock();
    let Some(mut bytes) = contents.blobs.get(name).cloned() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let whole = bytes.len();
    let from = headers.get(header::RANGE).and_then(|r| r.to_str().unwrap().strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok()).unwrap_or(0);
    match contents.fault {
        Fault::Corrupt => bytes[whole / 2] ^= 1,
        Fault::Longer => bytes.extend_from_slice(&[0; 100_000]),
        _ => {}
    }
    bytes.drain(..from);
    let status = if from > 0 { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let mut stream = vec![Ok(axum::body::Bytes::from(bytes.clone()))];
    if let Fault::Truncate(times) = contents.fault
        && times > 0
        && bytes.len() > 1000
    {
        contents.fault = Fault::Truncate(times - 1);
        bytes.truncate(bytes.len() / 2);
        stream = vec![Ok(axum::body::Bytes::from(bytes.clone())), Err(std::io::Error::other("the line is cut"))];
    }
    contents.sent += bytes.len();
    let stream = futures::stream::iter(stream).then(|part| async {
        if part.is_err() {
            // What was sent before arrives before.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        part
    });
    (status, Body::from_stream(stream)).into_response()
}
