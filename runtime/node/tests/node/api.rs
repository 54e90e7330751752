//! As much of an API server as a node needs, in memory: get, list, watch with initial events, create, merge patch, delete, tokens.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::broadcast;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::BroadcastStream;

/// The server.
#[derive(Clone)]
pub struct Api {
    inner: Arc<Mutex<Objects>>,
    changes: broadcast::Sender<(String, Value)>,
}

#[derive(Default)]
struct Objects {
    /// By path, as `api/v1/namespaces/default/pods/web`.
    by_path: BTreeMap<String, Value>,
    revision: u64,
}

impl Api {
    pub fn new() -> Self {
        Self { inner: Arc::default(), changes: broadcast::channel(4096).0 }
    }

    pub fn client(&self) -> kube::Client {
        let api = self.clone();
        let router = axum::Router::new().fallback(async move |request: Request| api.answer(request).await);
        kube::Client::new(router, "default")
    }

    pub fn get(&self, path: &str) -> Option<Value> {
        self.inner.lock().by_path.get(path).cloned()
    }

    /// Puts an object there, as if somebody had created or updated it.
    pub fn put(&self, path: &str, mut object: Value) {
        let kind = {
            let mut inner = self.inner.lock();
            inner.revision += 1;
            let known = inner.by_path.get(path).map(|o| o["metadata"]["uid"].clone());
            let meta = &mut object["metadata"];
            meta["resourceVersion"] = inner.revision.to_string().into();
            if meta["uid"].is_null() {
                meta["uid"] = known.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string().into());
            }
            inner.by_path.insert(path.to_owned(), object.clone());
            if known.is_some() { "MODIFIED" } else { "ADDED" }
        };
        let _ = self.changes.send((path.to_owned(), json!({"type": kind, "object": object})));
    }

    pub fn delete(&self, path: &str) {
        let Some(mut object) = self.inner.lock().by_path.remove(path) else { return };
        let revision = {
            let mut inner = self.inner.lock();
            inner.revision += 1;
            inner.revision
        };
        object["metadata"]["resourceVersion"] = revision.to_string().into();
        let _ = self.changes.send((path.to_owned(), json!({"type": "DELETED", "object": object})));
    }

    /// All objects of a collection, such as `pods`.
    pub fn all(&self, resource: &str) -> Vec<Value> {
        let inner = self.inner.lock();
        inner.by_path.iter().filter(|(p, _)| p.split('/').rev().nth(1) == Some(resource)).map(|(_, o)| o.clone()).collect()
    }

    async fn answer(&self, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let body: Value = serde_json::from_slice(&axum::body::to_bytes(body, 1 << 20).await.unwrap_or_default()).unwrap_or_default();
        let path = parts.uri.path().trim_matches('/').to_owned();
        let query = parts.uri.query().unwrap_or_default().to_owned();
        // `api/v1/…` or `apis/group/version/…`, then perhaps `namespaces/name`, then the resource, a name, a subresource.
        let words: Vec<&str> = path.split('/').collect();
        let skip = if words[0] == "api" { 2 } else { 3 };
        let rest = &words[skip..];
        let at = if rest.len() > 2 && rest[0] == "namespaces" { 2 } else { 0 };
        let resource = rest[at];
        let object = words[..(skip + at + 2).min(words.len())].join("/");
        let subresource = rest.get(at + 2).copied();
        match (parts.method, rest.get(at + 1), subresource) {
            (Method::GET, None, _) if query.contains("watch=true") => self.watch(resource, &query),
            (Method::GET, Some(_), None) => self.get(&object).map_or_else(not_found, |o| Json(o).into_response()),
            (Method::POST, Some(_), Some("token")) => {
                Json(json!({"metadata": {}, "spec": {}, "status": {"token": "a.b.c", "expirationTimestamp": "2100-01-01T00:00:00Z"}})).into_response()
            }
            (Method::POST, None, _) => {
                let path = format!("{path}/{}", body["metadata"]["name"].as_str().unwrap_or_default());
                if self.get(&path).is_some() {
                    return refuse(StatusCode::CONFLICT, "AlreadyExists");
                }
                let mut body = body;
                if at == 2 {
                    body["metadata"]["namespace"] = rest[1].into();
                }
                self.put(&path, body);
                (StatusCode::CREATED, Json(self.get(&path))).into_response()
            }
            (Method::PATCH, Some(_), _) => {
                let Some(mut old) = self.get(&object) else { return not_found() };
                if body["metadata"]["uid"].as_str().is_some_and(|uid| old["metadata"]["uid"] != uid) {
                    return refuse(StatusCode::CONFLICT, "Conflict");
                }
                merge(&mut old, &body);
                self.put(&object, old);
                Json(self.get(&object)).into_response()
            }
            (Method::DELETE, Some(_), None) => {
                let Some(old) = self.get(&object) else { return not_found() };
                if body["gracePeriodSeconds"] != 0 || body["preconditions"]["uid"] != old["metadata"]["uid"] {
                    return refuse(StatusCode::CONFLICT, "Conflict");
                }
                self.delete(&object);
                Json(old).into_response()
            }
            (method, ..) => refuse(StatusCode::METHOD_NOT_ALLOWED, method.as_str()),
        }
    }

    fn watch(&self, resource: &str, query: &str) -> Response {
        let node = query.split('&').find_map(|p| p.strip_prefix("fieldSelector=spec.nodeName%3D")).map(str::to_owned);
        let resource = resource.to_owned();
        let wanted = move |path: &str, object: &Value| {
            path.split('/').rev().nth(1) == Some(&resource) && node.as_ref().is_none_or(|n| object["spec"]["nodeName"] == n.as_str())
        };
        let inner = self.inner.lock();
        let changes = BroadcastStream::new(self.changes.subscribe());
        let mut first: Vec<Value> = inner.by_path.iter().filter(|(p, o)| wanted(p, o)).map(|(_, o)| json!({"type": "ADDED", "object": o})).collect();
        first.push(json!({"type": "BOOKMARK", "object": {"kind": "x", "apiVersion": "v1", "metadata":
            {"resourceVersion": inner.revision.to_string(), "annotations": {"k8s.io/initial-events-end": "true"}}, "spec": {}}}));
        drop(inner);
        let later = changes.filter_map(move |change| change.ok().filter(|(p, e)| wanted(p, &e["object"])).map(|(_, e)| e));
        let lines = tokio_stream::iter(first).chain(later).map(|event| Ok::<_, Infallible>(Bytes::from(format!("{event}\n"))));
        Body::from_stream(lines).into_response()
    }
}

fn merge(old: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *old = patch.clone();
        return;
    };
    if !old.is_object() {
        *old = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            old.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut old[key], value);
        }
    }
}

fn refuse(code: StatusCode, reason: &str) -> Response {
    (code, Json(json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": reason, "reason": reason, "code": code.as_u16()}))).into_response()
}

fn not_found() -> Response {
    refuse(StatusCode::NOT_FOUND, "NotFound")
}
