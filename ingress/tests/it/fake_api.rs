//! As much of an API server as watches, status and Events need.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Frame;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use wharf_ingress::Body;

use crate::bed::{body, channel_body};

type Watcher = mpsc::Sender<Result<Frame<Bytes>, wharf_ingress::BoxError>>;

/// A write that a client made: method, path, body.
pub type Write = (Method, String, Value);

#[derive(Default)]
pub struct FakeApi {
    /// By the path of their list.
    objects: Mutex<HashMap<String, Vec<Value>>>,
    /// All events so far, with the path of their list: a watch begins where its list ended.
    log: Mutex<Vec<(String, Bytes)>>,
    watchers: Mutex<Vec<(String, Watcher)>>,
    pub writes: Mutex<Vec<Write>>,
    /// Answers the next updates with 409.
    pub conflicts: Mutex<usize>,
}

impl FakeApi {
    pub fn client(self: &Arc<Self>) -> kube::Client {
        let api = self.clone();
        kube::Client::new(tower::service_fn(move |request| api.clone().answer(request)), "default")
    }

    /// Adds or changes an object of a list (`/api/v1/services`) and tells the watchers.
    pub async fn apply(&self, list: &str, mut object: Value) {
        object["metadata"]["resourceVersion"] = json!((self.log.lock().len() + 1).to_string());
        let name = |object: &Value| object["metadata"]["name"].clone();
        {
            let mut objects = self.objects.lock();
            let list = objects.entry(list.to_owned()).or_default();
            list.retain(|there| name(there) != name(&object));
            list.push(object.clone());
        }
        self.tell(list, "MODIFIED", object).await;
    }

    pub async fn delete(&self, list: &str, name: &str) {
        let gone = {
            let mut objects = self.objects.lock();
            let list = objects.entry(list.to_owned()).or_default();
            let at = list.iter().position(|object| object["metadata"]["name"] == name).unwrap();
            let mut gone = list.remove(at);
            gone["metadata"]["resourceVersion"] = json!((self.log.lock().len() + 1).to_string());
            gone
        };
        self.tell(list, "DELETED", gone).await;
    }

    async fn tell(&self, list: &str, kind: &str, object: Value) {
        let line = Bytes::from(json!({"type": kind, "object": object}).to_string() + "\n");
        self.log.lock().push((list.to_owned(), line.clone()));
        let watchers: Vec<Watcher> = self.watchers.lock().iter().filter(|(path, _)| path == list).map(|(_, watcher)| watcher.clone()).collect();
        for watcher in watchers {
            let _ = watcher.send(Ok(Frame::data(line.clone()))).await;
        }
    }

    async fn answer(self: Arc<Self>, request: Request<kube::client::Body>) -> Result<Response<Body>, Infallible> {
        let (head, sent) = request.into_parts();
        let (path, query) = (head.uri.path().to_owned(), head.uri.query().unwrap_or_default().to_owned());
        if head.method != Method::GET {
            let sent: Value = serde_json::from_slice(&sent.collect().await.unwrap().to_bytes()).unwrap_or_default();
            let is_update = head.method == Method::PUT;
            self.writes.lock().push((head.method, path, sent.clone()));
            let mut conflicts = self.conflicts.lock();
            if is_update && *conflicts > 0 {
                *conflicts -= 1;
                let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Conflict", "message": "changed", "code": 409});
                return Ok(Response::builder().status(StatusCode::CONFLICT).body(body(status.to_string())).unwrap());
            }
            return Ok(Response::new(body(sent.to_string())));
        }
        if query.contains("watch=") {
            let (to, from) = mpsc::channel(256);
            let since = query.split('&').find_map(|pair| pair.strip_prefix("resourceVersion=")?.parse().ok()).unwrap_or(0);
            let log = self.log.lock();
            for (_, line) in log.iter().skip(since).filter(|(list, _)| *list == path) {
                to.try_send(Ok(Frame::data(line.clone()))).unwrap();
            }
            self.watchers.lock().push((path, to));
            return Ok(Response::new(channel_body(from)));
        }
        // One object, or a list.
        let version = self.log.lock().len().to_string();
        let objects = self.objects.lock();
        if let Some((list, name)) = path.rsplit_once('/')
            && let Some(object) =
                objects.get(&list.replace("/namespaces/default", "")).and_then(|all| all.iter().find(|object| object["metadata"]["name"] == name))
        {
            return Ok(Response::new(body(object.to_string())));
        }
        let items = objects.get(&path).cloned().unwrap_or_default();
        Ok(Response::new(body(json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": version}, "items": items}).to_string())))
    }
}

/// Waits for something to become true.
pub async fn eventually(what: &str, mut is: impl AsyncFnMut() -> bool) {
    for _ in 0..500 {
        if is().await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("not so: {what}");
}
