//! The loop against an API server in memory: what it lists and watches, and what is bound.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::*;

#[derive(Default)]
struct World {
    nodes: Vec<Value>,
    pods: Vec<Value>,
    events: Vec<Value>,
    /// Bindings that are refused from now on.
    refuse: usize,
    /// Every (plural, watch event) so far; a resourceVersion is a place in it.
    history: Vec<(&'static str, Value)>,
}

#[derive(Clone)]
struct Server {
    world: Arc<Mutex<World>>,
    /// How long the history is.
    news: watch::Sender<usize>,
}

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

impl Server {
    fn new(nodes: &[&str]) -> Server {
        let server = Server { world: Arc::default(), news: watch::channel(0).0 };
        for name in nodes {
            server.world.lock().nodes.push(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "resourceVersion": "1"}, "status": {"allocatable": {"cpu": "2", "memory": "4Gi", "pods": "110"}}}));
        }
        server
    }

    fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        Client::new(service, "default")
    }

    fn create(&self, name: &str, cpu: &str) {
        self.create_with(name, cpu, 0);
    }

    fn create_with(&self, name: &str, cpu: &str, priority: i32) {
        let mut world = self.world.lock();
        let revision = world.history.len() + 1;
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "ns", "uid": format!("uid-{name}"), "resourceVersion": revision.to_string()},
            "spec": {"schedulerName": "default-scheduler", "priority": priority, "containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}});
        world.pods.push(pod.clone());
        self.tell(&mut world, "ADDED", &pod);
    }

    fn delete(&self, name: &str) {
        let mut world = self.world.lock();
        let index = world.pods.iter().position(|p| p["metadata"]["name"] == name).unwrap();
        let pod = world.pods.remove(index);
        self.tell(&mut world, "DELETED", &pod);
    }

    fn tell(&self, world: &mut World, what: &str, pod: &Value) {
        world.history.push(("pods", json!({"type": what, "object": pod})));
        self.news.send_replace(world.history.len());
    }

    fn node_of(&self, name: &str) -> Option<String> {
        self.world.lock().pods.iter().find(|p| p["metadata"]["name"] == name)?["spec"]["nodeName"].as_str().map(String::from)
    }

    async fn until(&self, what: &str, holds: impl Fn(&World) -> bool) {
        let end = Instant::now() + Duration::from_secs(60);
        while !holds(&self.world.lock()) {
            assert!(Instant::now() < end, "{what}: {:?}", self.world.lock().events);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn answer(&self, request: Request<Body>) -> Answer {
        let (parts, body) = request.into_parts();
        let body: Value = serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap_or_default();
        let segments: Vec<&str> = parts.uri.path().trim_start_matches("/api/v1/").split('/').collect();
        let query = parts.uri.query().unwrap_or_default();
        let watch = query.contains("watch=true");
        let after = query.split('&').find_map(|p| p.strip_prefix("resourceVersion=")?.parse().ok()).unwrap_or(0);
        match (parts.method.as_str(), segments.as_slice()) {
            ("GET", ["nodes"]) if watch => self.watch("nodes", after),
            ("GET", ["pods"]) if watch => self.watch("pods", after),
            ("GET", ["nodes"]) => self.list("NodeList", |w| w.nodes.clone()),
            ("GET", ["pods"]) => self.list("PodList", |w| w.pods.clone()),
            ("GET", _) if watch => Response::new(StreamBody::new(futures::stream::pending::<Result<http_body::Frame<Bytes>, Infallible>>()).boxed_unsync()),
            ("GET", [.., kind @ ("namespaces" | "services" | "replicationcontrollers" | "replicasets" | "statefulsets" | "poddisruptionbudgets")]) => {
                self.list(&format!("{kind}List"), |_| Vec::new())
            }
            ("DELETE", ["namespaces", _, "pods", name]) => {
                self.delete(name);
                json_answer(200, &json!({}))
            }
            ("POST", ["namespaces", _, "events"]) => {
                self.world.lock().events.push(body.clone());
                json_answer(201, &body)
            }
            ("POST", ["namespaces", _, "pods", name, "binding"]) => self.bind(name, &body),
            ("PATCH", ["namespaces", _, "pods", name, "status"]) => {
                let mut world = self.world.lock();
                let pod = world.pods.iter_mut().find(|p| p["metadata"]["name"] == *name).unwrap();
                pod["status"]["conditions"] = body["status"]["conditions"].clone();
                if let Some(nominated) = body["status"].get("nominatedNodeName") {
                    pod["status"]["nominatedNodeName"] = nominated.clone();
                }
                let pod = pod.clone();
                self.tell(&mut world, "MODIFIED", &pod);
                json_answer(200, &pod)
            }
            _ => {
                json_answer(404, &json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404, "reason": "NotFound", "message": "not found"}))
            }
        }
    }

    fn bind(&self, name: &str, binding: &Value) -> Answer {
        let mut world = self.world.lock();
        if world.refuse > 0 {
            world.refuse -= 1;
            return json_answer(
                409,
                &json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 409, "reason": "Conflict", "message": "try again"}),
            );
        }
        let pod = world.pods.iter_mut().find(|p| p["metadata"]["name"] == name).unwrap();
        assert!(pod["spec"]["nodeName"].is_null(), "bound twice");
        pod["spec"]["nodeName"] = binding["target"]["name"].clone();
        let pod = pod.clone();
        self.tell(&mut world, "MODIFIED", &pod);
        json_answer(201, &json!({"kind": "Status", "apiVersion": "v1", "status": "Success", "code": 201}))
    }

    /// What happens after the revision that was listed: nothing is lost between the two.
    fn watch(&self, plural: &'static str, after: usize) -> Answer {
        let (world, news) = (self.world.clone(), self.news.subscribe());
        let stream = futures::stream::unfold((news, after), move |(mut news, mut next)| {
            let world = world.clone();
            async move {
                loop {
                    let event = world.lock().history.get(next).cloned();
                    match event {
                        Some((kind, event)) => {
                            next += 1;
                            if kind == plural {
                                let frame = http_body::Frame::data(Bytes::from(format!("{event}\n")));
                                return Some((Ok(frame), (news, next)));
                            }
                        }
                        None => news.wait_for(|length| *length > next).await.map(drop).ok()?,
                    }
                }
            }
        });
        Response::new(StreamBody::new(stream.boxed()).boxed_unsync())
    }

    fn list(&self, kind: &str, items: impl Fn(&World) -> Vec<Value>) -> Answer {
        let world = self.world.lock();
        let revision = world.history.len().to_string();
        json_answer(200, &json!({"apiVersion": "v1", "kind": kind, "metadata": {"resourceVersion": revision}, "items": items(&world)}))
    }
}

fn json_answer(status: u16, value: &Value) -> Answer {
    let body = Full::new(Bytes::from(value.to_string())).boxed_unsync();
    Response::builder().status(status).header("content-type", "application/json").body(body).unwrap()
}

fn start(server: &Server) -> tokio_util::sync::DropGuard {
    let token = CancellationToken::new();
    tokio::spawn(run(server.client(), Options::default(), token.clone()));
    token.drop_guard()
}

fn messages(world: &World, reason: &str) -> Vec<String> {
    world.events.iter().filter(|e| e["reason"] == reason).map(|e| e["message"].as_str().unwrap().to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_are_bound_and_spread_and_it_is_said() {
    let server = Server::new(&["a", "b"]);
    server.create("first", "1");
    let _guard = start(&server);
    server.until("the first is bound", |w| w.pods[0]["spec"]["nodeName"].is_string()).await;
    server.create("second", "1");
    server.until("the second is bound", |w| w.pods[1]["spec"]["nodeName"].is_string()).await;
    assert_ne!(server.node_of("first"), server.node_of("second"));
    server.until("it is said", |w| messages(w, "Scheduled").len() == 2).await;
    let node = server.node_of("second").unwrap();
    assert!(messages(&server.world.lock(), "Scheduled").contains(&format!("Successfully assigned ns/second to {node}")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_waits_for_room() {
    let server = Server::new(&["a"]);
    let _guard = start(&server);
    server.create("small", "1");
    server.until("it is bound", |w| w.pods[0]["spec"]["nodeName"].is_string()).await;
    server.create("large", "1500m");
    let words = "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.";
    server.until("the condition is written", |w| w.pods[1]["status"]["conditions"][0]["message"] == words).await;
    assert_eq!(messages(&server.world.lock(), "FailedScheduling"), [words]);
    server.delete("small");
    server.until("there is room", |w| w.pods[0]["spec"]["nodeName"].is_string()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_binding_is_tried_again() {
    let server = Server::new(&["a"]);
    server.world.lock().refuse = 1;
    let _guard = start(&server);
    server.create("p", "2");
    server.until("it is bound in the end", |w| w.pods[0]["spec"]["nodeName"].is_string()).await;
    assert_eq!(server.world.lock().refuse, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_pods_never_fill_a_node_twice() {
    let server = Server::new(&["a", "b", "c"]);
    let _guard = start(&server);
    for number in 0..60 {
        server.create(&format!("p{number}"), "200m");
    }
    let bound = |w: &World, node: &str| w.pods.iter().filter(|p| p["spec"]["nodeName"] == node).count();
    server.until("30 fit", |w| ["a", "b", "c"].iter().map(|n| bound(w, n)).sum::<usize>() == 30).await;
    server.until("the rest is told", |w| messages(w, "FailedScheduling").len() >= 30).await;
    for node in ["a", "b", "c"] {
        assert_eq!(bound(&server.world.lock(), node), 10);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_more_important_pod_makes_another_leave() {
    let server = Server::new(&["a"]);
    let _guard = start(&server);
    server.create("lesser", "1500m");
    server.until("it is bound", |w| w.pods[0]["spec"]["nodeName"].is_string()).await;
    server.create_with("greater", "1500m", 100);
    server.until("the other has its place", |w| w.pods.len() == 1 && w.pods[0]["metadata"]["name"] == "greater" && w.pods[0]["spec"]["nodeName"] == "a").await;
    server.until("it is said", |w| !messages(w, "Preempted").is_empty()).await;
    let world = server.world.lock();
    assert_eq!(messages(&world, "Preempted"), ["Preempted by pod uid-greater on node a"]);
    assert_eq!(messages(&world, "FailedScheduling"), ["0/1 nodes are available: 1 Insufficient cpu."]);
}
