//! An API server in memory for the runner's tests: create, get, list, watch, update, merge patch, delete and discovery of
//! the kinds that the controllers read, without any admission. Watches may be late.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;

type Reply = Response<BoxBody<Bytes, Infallible>>;

/// The server. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Api {
    state: Arc<Mutex<State>>,
    revision: watch::Sender<u64>,
    /// How late watches are.
    delay: Duration,
    /// A kind whose lists are slow: how long each page takes.
    slow_list: Option<(&'static str, Duration)>,
    /// The kinds whose next list is forbidden, as before a server's roles are there.
    forbidden_once: Arc<Mutex<Vec<&'static str>>>,
}

#[derive(Default)]
struct State {
    revision: u64,
    objects: BTreeMap<(String, String, String), Value>,
    log: Vec<(u64, String, &'static str, Value)>,
}

impl State {
    /// Whether a namespace is being deleted, or was. Those that nobody made are there from the beginning.
    fn is_over(&self, namespace: &str) -> bool {
        match self.objects.get(&("namespaces".to_owned(), String::new(), namespace.to_owned())) {
            Some(now) => !now["metadata"]["deletionTimestamp"].is_null(),
            None => self.log.iter().any(|(_, plural, type_, object)| plural == "namespaces" && *type_ == "DELETED" && object["metadata"]["name"] == namespace),
        }
    }
}

/// (group/version, plural, kind, namespaced)
const KINDS: [(&str, &str, &str, bool); 25] = [
    ("v1", "configmaps", "ConfigMap", true),
    ("v1", "endpoints", "Endpoints", true),
    ("v1", "events", "Event", true),
    ("v1", "namespaces", "Namespace", false),
    ("v1", "nodes", "Node", false),
    ("v1", "persistentvolumes", "PersistentVolume", false),
    ("v1", "persistentvolumeclaims", "PersistentVolumeClaim", true),
    ("v1", "pods", "Pod", true),
    ("v1", "replicationcontrollers", "ReplicationController", true),
    ("v1", "resourcequotas", "ResourceQuota", true),
    ("v1", "secrets", "Secret", true),
    ("v1", "serviceaccounts", "ServiceAccount", true),
    ("v1", "services", "Service", true),
    ("apps/v1", "controllerrevisions", "ControllerRevision", true),
    ("apps/v1", "daemonsets", "DaemonSet", true),
    ("apps/v1", "deployments", "Deployment", true),
    ("apps/v1", "replicasets", "ReplicaSet", true),
    ("apps/v1", "statefulsets", "StatefulSet", true),
    ("batch/v1", "cronjobs", "CronJob", true),
    ("batch/v1", "jobs", "Job", true),
    ("certificates.k8s.io/v1", "certificatesigningrequests", "CertificateSigningRequest", false),
    ("coordination.k8s.io/v1", "leases", "Lease", true),
    ("discovery.k8s.io/v1", "endpointslices", "EndpointSlice", true),
    ("policy/v1", "poddisruptionbudgets", "PodDisruptionBudget", true),
    ("rbac.authorization.k8s.io/v1", "clusterroles", "ClusterRole", false),
];

impl Api {
    pub(crate) fn new(delay: Duration) -> Api {
        Api { state: Arc::default(), revision: watch::Sender::new(0), delay, slow_list: None, forbidden_once: Arc::default() }
    }

    /// Each page of the lists of a kind takes so long.
    pub(crate) fn with_slow_list(mut self, plural: &'static str, page: Duration) -> Api {
        self.slow_list = Some((plural, page));
        self
    }

    /// The first list of a kind is forbidden.
    pub(crate) fn with_forbidden_list(self, plural: &'static str) -> Api {
        self.forbidden_once.lock().push(plural);
        self
    }

    pub(crate) fn client(&self) -> kube::Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let api = api.clone();
            async move { Ok::<_, Infallible>(api.answer(request).await) }
        });
        kube::Client::new(service, "default")
    }

    pub(crate) fn all(&self, plural: &str) -> Vec<Value> {
        self.state.lock().objects.iter().filter(|((p, ..), _)| p == plural).map(|(_, o)| o.clone()).collect()
    }

    pub(crate) fn get(&self, plural: &str, namespace: &str, name: &str) -> Option<Value> {
        self.state.lock().objects.get(&(plural.to_owned(), namespace.to_owned(), name.to_owned())).cloned()
    }

    /// Waits until it holds.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Api) -> bool) {
        let mut revision = self.revision.subscribe();
        let wait = async {
            while !holds(self) {
                let _ = revision.changed().await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(60), wait).await.is_ok(), "timed out: {what}\n{:#?}", self.state.lock().objects.keys());
    }

    async fn answer(&self, request: Request<kube::client::Body>) -> Reply {
        let (parts, body) = request.into_parts();
        let body = body.collect_bytes().await.unwrap_or_default();
        let path: Vec<&str> = parts.uri.path().trim_matches('/').split('/').collect();
        let query: BTreeMap<&str, &str> = parts.uri.query().unwrap_or_default().split('&').filter_map(|q| q.split_once('=')).collect();
        let (version, rest) = match path.as_slice() {
            ["api"] => return ok(&json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})),
            ["apis"] => return ok(&groups()),
            ["api", version, rest @ ..] => ((*version).to_owned(), rest),
            ["apis", group, version, rest @ ..] => (format!("{group}/{version}"), rest),
            _ => return failed(404, "NotFound", "no such path"),
        };
        let (namespace, rest) = match rest {
            [] => return ok(&resources(&version)),
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() && !matches!(rest[0], "status" | "finalize") => (*namespace, rest),
            rest => ("", rest),
        };
        let plural = rest[0].to_owned();
        let Some(kind) = KINDS.iter().find(|k| k.0 == version && k.1 == plural) else { return failed(404, "NotFound", "no such kind") };
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        match (parts.method.as_str(), &rest[1..]) {
            ("GET", []) if query.get("watch") == Some(&"true") => self.watch(plural, query["resourceVersion"].parse().unwrap_or_default()),
            ("GET", []) => self.list(kind, namespace, &query).await,
            ("POST", []) => self.create(kind, namespace, body),
            ("DELETE", []) => {
                let names: Vec<String> = self
                    .all(&plural)
                    .iter()
                    .filter(|o| o["metadata"]["namespace"] == namespace)
                    .map(|o| o["metadata"]["name"].as_str().unwrap_or_default().to_owned())
                    .collect();
                names.iter().for_each(|name| drop(self.delete(&plural, namespace, name, &Value::Null)));
                ok(&json!({"kind": "Status", "status": "Success"}))
            }
            (method, [name, sub @ ..]) => {
                let Some(current) = self.get(&plural, namespace, name) else { return failed(404, "NotFound", &format!("{plural} {name:?} not found")) };
                match method {
                    "GET" => ok(&current),
                    "PUT" => self.update(&plural, current, body, sub.first().copied()),
                    "PATCH" => {
                        let mut new = current.clone();
                        crate::testing::merge(&mut new, &body);
                        self.update(&plural, current, new, None)
                    }
                    _ => self.delete(&plural, namespace, name, &body),
                }
            }
            _ => failed(405, "MethodNotAllowed", "no"),
        }
    }

    /// In pages, as asked for. A page begins where the one before ended; between them the objects stay the same ones in these tests.
    async fn list(&self, kind: &(&str, &str, &str, bool), namespace: &str, query: &BTreeMap<&str, &str>) -> Reply {
        let plural = kind.1;
        let forbidden = {
            let mut once = self.forbidden_once.lock();
            once.iter().position(|p| *p == plural).map(|at| once.remove(at)).is_some()
        };
        if forbidden {
            return failed(403, "Forbidden", &format!("{plural} is forbidden"));
        }
        if let Some((_, page)) = self.slow_list.filter(|(slow, _)| *slow == plural) {
            tokio::time::sleep(page).await;
        }
        let number = |name: &str| query.get(name).and_then(|n| n.parse::<usize>().ok());
        let (from, limit) = (number("continue").unwrap_or(0), number("limit").unwrap_or(usize::MAX));
        let state = self.state.lock();
        let all: Vec<&Value> =
            state.objects.iter().filter(|((p, ns, _), _)| *p == plural && (namespace.is_empty() || ns == namespace)).map(|(_, o)| o).collect();
        let to = from.saturating_add(limit).min(all.len());
        let proceed = if to < all.len() { to.to_string() } else { String::new() };
        ok(&json!({"kind": format!("{}List", kind.2), "apiVersion": kind.0,
            "metadata": {"resourceVersion": state.revision.to_string(), "continue": proceed}, "items": all[from.min(to)..to]}))
    }

    fn create(&self, kind: &(&str, &str, &str, bool), namespace: &str, mut object: Value) -> Reply {
        let mut state = self.state.lock();
        if kind.3 && state.is_over(namespace) {
            return failed(403, "Forbidden", &format!("unable to create new content in namespace {namespace} because it is being terminated"));
        }
        let revision = state.revision + 1;
        object["apiVersion"] = kind.0.into();
        object["kind"] = kind.2.into();
        let meta = object["metadata"].as_object_mut().expect("metadata");
        if meta.get("name").is_none() {
            meta.insert("name".to_owned(), format!("{}{revision:05}", meta["generateName"].as_str().expect("generateName")).into());
        }
        if kind.3 {
            meta.insert("namespace".to_owned(), namespace.into());
        }
        meta.insert("uid".to_owned(), format!("uid-{revision}").into());
        meta.insert("generation".to_owned(), 1.into());
        meta.insert("creationTimestamp".to_owned(), "2026-01-01T00:00:00Z".into());
        let key = (kind.1.to_owned(), namespace.to_owned(), meta["name"].as_str().expect("a name").to_owned());
        if state.objects.contains_key(&key) {
            return failed(409, "AlreadyExists", &format!("{} {:?} already exists", key.0, key.2));
        }
        ok(&self.write(&mut state, key, "ADDED", object))
    }

    fn update(&self, plural: &str, current: Value, mut new: Value, subresource: Option<&str>) -> Reply {
        let same = |field: &str| new["metadata"].get(field).is_none_or(|v| *v == current["metadata"][field]);
        if !same("resourceVersion") || !same("uid") {
            return failed(409, "Conflict", "the object has been modified; please apply your changes to the latest version and try again");
        }
        if subresource == Some("status") {
            let mut merged = current.clone();
            merged["status"] = new["status"].clone();
            merged["metadata"]["annotations"] = new["metadata"]["annotations"].clone();
            new = merged;
        }
        if new["spec"] != current["spec"] {
            new["metadata"]["generation"] = (current["metadata"]["generation"].as_i64().unwrap_or_default() + 1).into();
        }
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        let key = (plural.to_owned(), text(&new["metadata"]["namespace"]), text(&new["metadata"]["name"]));
        let mut state = self.state.lock();
        if state.objects.get(&key).is_none_or(|now| now["metadata"]["resourceVersion"] != current["metadata"]["resourceVersion"]) {
            return failed(409, "Conflict", "the object has been modified; please apply your changes to the latest version and try again");
        }
        let ends = !new["metadata"]["deletionTimestamp"].is_null() && is_empty(&new["metadata"]["finalizers"]) && is_empty(&new["spec"]["finalizers"]);
        if ends {
            state.objects.remove(&key);
            self.log(&mut state, &key.0, "DELETED", &mut new);
            return ok(&new);
        }
        ok(&self.write(&mut state, key, "MODIFIED", new))
    }

    fn delete(&self, plural: &str, namespace: &str, name: &str, options: &Value) -> Reply {
        let key = (plural.to_owned(), namespace.to_owned(), name.to_owned());
        let mut state = self.state.lock();
        let Some(mut object) = state.objects.get(&key).cloned() else { return failed(404, "NotFound", "gone") };
        for field in ["uid", "resourceVersion"] {
            let condition = &options["preconditions"][field];
            if !condition.is_null() && *condition != object["metadata"][field] {
                return failed(409, "Conflict", &format!("the {field} in the precondition is another"));
            }
        }
        let finalizer = match options["propagationPolicy"].as_str() {
            Some("Foreground") => Some("foregroundDeletion"),
            Some("Orphan") => Some("orphan"),
            _ => None,
        };
        if let Some(finalizer) = finalizer {
            object["metadata"]["finalizers"] = json!([finalizer]);
        }
        if is_empty(&object["metadata"]["finalizers"]) && is_empty(&object["spec"]["finalizers"]) {
            state.objects.remove(&key);
            self.log(&mut state, plural, "DELETED", &mut object);
            return ok(&json!({"kind": "Status", "status": "Success"}));
        }
        object["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        ok(&self.write(&mut state, key, "MODIFIED", object))
    }

    fn write(&self, state: &mut State, key: (String, String, String), type_: &'static str, mut object: Value) -> Value {
        self.log(state, &key.0.clone(), type_, &mut object);
        state.objects.insert(key, object.clone());
        object
    }

    fn log(&self, state: &mut State, plural: &str, type_: &'static str, object: &mut Value) {
        state.revision += 1;
        object["metadata"]["resourceVersion"] = state.revision.to_string().into();
        state.log.push((state.revision, plural.to_owned(), type_, object.clone()));
        self.revision.send_replace(state.revision);
    }

    fn watch(&self, plural: String, from: u64) -> Reply {
        let (api, revision) = (self.clone(), self.revision.subscribe());
        let events = futures::stream::unfold((from, revision), move |(from, mut revision)| {
            let (api, plural) = (api.clone(), plural.clone());
            async move {
                revision.wait_for(|r| *r > from).await.ok()?;
                tokio::time::sleep(api.delay).await;
                let state = api.state.lock();
                let lines: String = state
                    .log
                    .iter()
                    .filter(|(r, p, ..)| *r > from && *p == plural)
                    .map(|(_, _, type_, object)| format!("{}\n", json!({"type": type_, "object": object})))
                    .collect();
                let to = state.revision;
                drop(state);
                Some((Bytes::from(lines), (to, revision)))
            }
        });
        let body = StreamBody::new(events.map(|bytes| Ok(http_body::Frame::data(bytes))));
        Response::new(BodyExt::boxed(SyncBody(Mutex::new(Box::pin(body)))))
    }
}

/// Makes a body `Sync`, which futures are not.
struct SyncBody<B>(Mutex<std::pin::Pin<Box<B>>>);

impl<B: http_body::Body> http_body::Body for SyncBody<B> {
    type Data = B::Data;
    type Error = B::Error;
    fn poll_frame(self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Option<Result<http_body::Frame<B::Data>, B::Error>>> {
        self.0.lock().as_mut().poll_frame(cx)
    }
}

fn is_empty(list: &Value) -> bool {
    list.as_array().is_none_or(Vec::is_empty)
}

fn ok(value: &Value) -> Reply {
    Response::new(BodyExt::boxed(Full::from(value.to_string())))
}

fn failed(code: u16, reason: &str, message: &str) -> Reply {
    let mut reply = ok(&json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message}));
    *reply.status_mut() = http::StatusCode::from_u16(code).expect("a status code");
    reply
}

fn groups() -> Value {
    let mut names: Vec<&str> = KINDS.iter().filter_map(|k| k.0.split_once('/').map(|(group, _)| group)).collect();
    names.dedup();
    let groups: Vec<Value> = names
        .iter()
        .map(|g| {
            let version = json!({"groupVersion": format!("{g}/v1"), "version": "v1"});
            json!({"name": g, "versions": [version.clone()], "preferredVersion": version})
        })
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

fn resources(version: &str) -> Value {
    let verbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
    let kinds: Vec<Value> =
        KINDS.iter().filter(|k| k.0 == version).map(|k| json!({"name": k.1, "singularName": "", "namespaced": k.3, "kind": k.2, "verbs": verbs})).collect();
    json!({"kind": "APIResourceList", "groupVersion": version, "resources": kinds})
}
