//! A node with real guests against an API in memory.

mod api;
mod hooks;
mod streams;
mod volumes;

use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::Api;
use futures::future::BoxFuture;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use wharf_image::{Compatibility, CompileCommand, Images};
use wharf_net::{ClusterNet, Mode, PodNet};
use wharf_node::{Handlers, LookupError, Node, NodeConfig, Resolver};

const NODE: &str = "api/v1/nodes/n1";
const PROBE: &str = "registry.test/probe:1";
const HTTP: &str = "registry.test/http:1";

struct NoNames;
impl Resolver for NoNames {
    fn lookup(&self, _: String) -> BoxFuture<'static, Result<Vec<IpAddr>, LookupError>> {
        Box::pin(async { Err(LookupError::NotFound) })
    }
}

/// What outlives a node's process.
struct World {
    api: Api,
    dir: tempfile::TempDir,
    engine: wharf_engine::Engine,
    images: Images,
    net: Arc<ClusterNet>,
    handlers: Arc<Handlers>,
    cidr: String,
}

impl World {
    /// `third` makes this test's Pod addresses its own.
    async fn new(third: u8) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let engine = wharf_engine::Engine::new(wharf_engine::EngineConfig { max_instances: Some(64), ..Default::default() }).unwrap();
        let compatibility = Compatibility { p2: engine.compatibility(wharf_engine::Flavor::P2), p3: engine.compatibility(wharf_engine::Flavor::P3) };
        // The compiler is this test program again, told its job in the environment.
        let script = format!("WHARF_TEST_COMPILE=\"$*\" exec '{}' --exact compile_child --quiet", std::env::current_exe().unwrap().display());
        let compile = CompileCommand { program: "/bin/sh".into(), args: ["-c".into(), script.into(), "compile".into()].to_vec() };
        let images =
            Images::open(dir.path().join("images"), wharf_image::Options::new(compile, compatibility, wharf_image::Offers::new(wharf_engine::offers())))
                .unwrap();
        let guest = |path: &str| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/guests").join(path);
        images.import(&guest("probe/probe.wasm"), PROBE).await.unwrap();
        images.import(&guest("http-p2/http-p2.wasm"), HTTP).await.unwrap();
        let net = ClusterNet::new(PodNet::new(Mode::Loopback { unprivileged_from: 1024 }));
        Self { api: Api::new(), dir, engine, images, net, handlers: Handlers::new(), cidr: format!("10.244.{third}.0/24") }
    }

    /// Starts a node, as a controller would give it its CIDR; ready when this returns.
    async fn start(&self) -> Running {
        let address = Ipv4Addr::new(10, 88, 0, 1);
        let node = Node::new(NodeConfig::new(
            "n1",
            self.api.client(),
            self.engine.clone(),
            self.images.clone(),
            self.net.clone(),
            self.handlers.clone(),
            self.dir.path().join("node"),
            address,
            Arc::new(NoNames),
        ))
        .unwrap();
        let token = CancellationToken::new();
        let task = tokio::spawn({
            let (node, token) = (node.clone(), token.clone());
            async move { node.run(token).await.unwrap() }
        });
        let registered = self.wait(NODE, |_| true).await;
        let mut with_cidr = registered.clone();
        with_cidr["spec"]["podCIDR"] = self.cidr.clone().into();
        self.api.put(NODE, with_cidr);
        self.wait(NODE, |n| condition(n, "Ready") == "True").await;
        Running { node, token, task }
    }

    async fn wait(&self, path: &str, until: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..6000 {
            if let Some(object) = self.api.get(path).filter(|o| until(o)) {
                return object;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{path} did not become so; it is {:#}\nEvents: {:#?}", self.api.get(path).unwrap_or_default(), self.events());
    }

    fn pod(&self, name: &str, spec: Value) -> String {
        let path = format!("api/v1/namespaces/default/pods/{name}");
        let mut spec = spec;
        spec["nodeName"] = "n1".into();
        self.api.put(&path, json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default", "generation": 1}, "spec": spec}));
        path
    }

    /// `reason: message` of all Events.
    fn events(&self) -> Vec<String> {
        self.api.all("events").iter().map(|e| format!("{}: {}", e["reason"].as_str().unwrap(), e["message"].as_str().unwrap())).collect()
    }

    async fn event(&self, text: &str) {
        for _ in 0..6000 {
            if self.events().iter().any(|e| e.contains(text)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("no Event says {text:?}: {:#?}", self.events());
    }
}

struct Running {
    node: Node,
    token: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    async fn stop(self) {
        self.token.cancel();
        tokio::time::timeout(Duration::from_secs(20), self.task).await.unwrap().unwrap();
    }

    async fn kubelet(&self, path: &str) -> (u16, String) {
        let response = self.node.kubelet().oneshot(http::Request::get(path).body(axum::body::Body::empty()).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    }
}

fn condition(object: &Value, kind: &str) -> String {
    let all = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    all.iter().find(|c| c["type"] == kind).and_then(|c| c["status"].as_str()).unwrap_or_default().to_owned()
}

fn first(pod: &Value) -> &Value {
    &pod["status"]["containerStatuses"][0]
}

/// Not a test: what `World::new` runs to compile.
#[test]
fn compile_child() {
    let Ok(job) = std::env::var("WHARF_TEST_COMPILE") else { return };
    let args: Vec<std::ffi::OsString> = job.split_whitespace().map(Into::into).collect();
    let compile = |flavor, wasm: &[u8]| {
        let flavor = match flavor {
            wharf_image::Flavor::P2 => wharf_engine::Flavor::P2,
            wharf_image::Flavor::P3 => wharf_engine::Flavor::P3,
        };
        wharf_engine::compile(flavor, wasm).map_err(|e| e.to_string())
    };
    let code = wharf_image::compile::child_main(&args, compile);
    assert_eq!(code, std::process::ExitCode::SUCCESS, "the reason stands above");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_runs_to_its_end() {
    let world = World::new(101).await;
    world.api.put("api/v1/namespaces/default/configmaps/cm", json!({"metadata": {"name": "cm", "namespace": "default"}, "data": {"greeting": "hi there"}}));
    let node = world.start().await;
    let n1 = world.api.get(NODE).unwrap();
    assert_eq!(n1["status"]["nodeInfo"]["containerRuntimeVersion"], "wasmtime://48.0.8");
    world.wait("apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1", |l| l["spec"]["holderIdentity"] == "n1").await;

    let pod = world.pod(
        "once",
        json!({"restartPolicy": "Never", "volumes": [{"name": "v", "configMap": {"name": "cm"}}],
            "initContainers": [{"name": "first", "image": PROBE, "imagePullPolicy": "Never", "args": ["hello"]}],
            "containers": [{"name": "c", "image": PROBE, "imagePullPolicy": "Never", "args": ["cat", "/data/greeting"], "volumeMounts": [{"name": "v", "mountPath": "/data"}]},
                           {"name": "d", "image": PROBE, "imagePullPolicy": "Never", "args": ["exit", "3"]},
                           {"name": "e", "image": PROBE, "imagePullPolicy": "Never", "args": ["env"], "env": [{"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]}]}),
    );
    let ended = world.wait(&pod, |p| p["status"]["phase"] == "Failed").await;
    assert_eq!(ended["status"]["initContainerStatuses"][0]["state"]["terminated"]["reason"], "Completed");
    let states: Vec<_> = ended["status"]["containerStatuses"].as_array().unwrap().iter().map(|c| c["state"]["terminated"].clone()).collect();
    assert_eq!((&states[0]["exitCode"], &states[0]["reason"]), (&json!(0), &json!("Completed")));
    assert_eq!((&states[1]["exitCode"], &states[1]["reason"]), (&json!(3), &json!("Error")));
    assert_eq!(node.kubelet("/containerLogs/default/once/c").await, (200, "hi there".to_owned()));
    let env = node.kubelet("/containerLogs/default/once/e").await.1;
    assert!(env.contains("X=10.244.101.2\n") && env.contains("HOSTNAME=once\n"), "{env}");
    assert_eq!(node.kubelet("/containerLogs/default/once/c?previous=true").await.0, 400);
    assert_eq!(node.kubelet("/containerLogs/default/once/nobody").await.0, 404);
    for text in ["already present on machine", "Created: Created container: c", "Started: Started container d"] {
        world.event(text).await;
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_serves_survives_a_restart_of_the_node_and_is_deleted() {
    let world = World::new(102).await;
    let node = world.start().await;
    let pod = world.pod("web", json!({"containers": [{"name": "c", "image": HTTP, "imagePullPolicy": "Never", "ports": [{"containerPort": 8080}]}]}));
    let done =
        world.pod("done", json!({"restartPolicy": "OnFailure", "containers": [{"name": "c", "image": PROBE, "imagePullPolicy": "Never", "args": ["hello"]}]}));
    let ready = world.wait(&pod, |p| condition(p, "Ready") == "True").await;
    let ip: Ipv4Addr = ready["status"]["podIP"].as_str().unwrap().parse().unwrap();
    assert!(world.handlers.get(SocketAddrV4::new(ip, 8080)).is_some());
    world.wait(&done, |p| p["status"]["phase"] == "Succeeded").await;
    node.stop().await;
    assert!(world.handlers.is_empty() && world.net.listeners.is_empty(), "a node that stopped holds nothing");

    let node = world.start().await;
    let again = world.wait(&pod, |p| first(p)["restartCount"] == 1 && condition(p, "Ready") == "True").await;
    assert_eq!(again["status"]["podIP"], ready["status"]["podIP"]);
    assert_eq!(first(&again)["lastState"]["terminated"]["reason"], "Unknown");
    assert_eq!(first(&world.api.get(&done).unwrap())["restartCount"], 0, "what was done stays done");

    let mut ending = again.clone();
    ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    ending["metadata"]["deletionGracePeriodSeconds"] = 30.into();
    world.api.put(&pod, ending);
    for _ in 0..500 {
        if world.api.get(&pod).is_none() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(world.api.get(&pod).is_none(), "{:#}", world.api.get(&pod).unwrap());
    assert!(world.handlers.is_empty());
    world.event("Killing: Stopping container c").await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_said() {
    let world = World::new(103).await;
    let node = world.start().await;
    let one = |name: &str, container: Value| {
        let mut container = container;
        container["name"] = "c".into();
        world.pod(name, json!({"containers": [container]}))
    };
    let waits = |reason: &'static str| move |p: &Value| first(p)["state"]["waiting"]["reason"] == reason;

    let never = one("never", json!({"image": "registry.test/none:1", "imagePullPolicy": "Never"}));
    world.wait(&never, waits("ErrImageNeverPull")).await;
    // Nobody listens there.
    let absent = one("absent", json!({"image": "127.0.0.1:9/none:1"}));
    world.wait(&absent, waits("ImagePullBackOff")).await;
    world.event("BackOff: Back-off pulling image \"127.0.0.1:9/none:1\"").await;
    let config = one("config", json!({"image": PROBE, "imagePullPolicy": "Never", "envFrom": [{"configMapRef": {"name": "none"}}]}));
    let config = world.wait(&config, waits("CreateContainerConfigError")).await;
    assert_eq!(first(&config)["state"]["waiting"]["message"], "configmap \"none\" not found");
    let crash = one("crash", json!({"image": PROBE, "imagePullPolicy": "Never", "args": ["exit", "1"]}));
    let crash = world.wait(&crash, waits("CrashLoopBackOff")).await;
    assert_eq!((&first(&crash)["restartCount"], &first(&crash)["lastState"]["terminated"]["exitCode"]), (&json!(1), &json!(1)));
    let big = one("big", json!({"image": PROBE, "resources": {"requests": {"cpu": "1000"}}}));
    let big = world.wait(&big, |p| p["status"]["phase"] == "Failed").await;
    assert_eq!(big["status"]["reason"], "OutOfcpu");
    let memory = one("memory", json!({"image": PROBE, "imagePullPolicy": "Never", "args": ["eat"], "resources": {"limits": {"memory": "16Mi"}}}));
    world.wait(&memory, |p| first(p)["lastState"]["terminated"]["reason"] == "OOMKilled" || first(p)["state"]["terminated"]["reason"] == "OOMKilled").await;
    let host = world.pod("host", json!({"volumes": [{"name": "h", "hostPath": {"path": "/"}}], "containers": [{"name": "c", "image": PROBE}]}));
    world.event("FailedMount: MountVolume.SetUp failed for volume \"h\" : hostPath volumes are not supported").await;
    assert_eq!(world.api.get(&host).unwrap()["status"]["phase"], "Pending");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_changes_in_place_restarts_its_container() {
    let world = World::new(104).await;
    let node = world.start().await;
    let pod = world.pod(
        "p",
        json!({"terminationGracePeriodSeconds": 1, "containers": [{"name": "c", "image": PROBE, "imagePullPolicy": "Never", "args": ["sleep", "100000"]}]}),
    );
    let running = world.wait(&pod, |p| p["status"]["phase"] == "Running").await;
    let mut changed = running.clone();
    changed["spec"]["containers"][0]["image"] = HTTP.into();
    changed["spec"]["containers"][0]["args"] = json!([]);
    world.api.put(&pod, changed);
    let again = world.wait(&pod, |p| first(p)["restartCount"] == 1 && condition(p, "Ready") == "True").await;
    assert_eq!(first(&again)["lastState"]["terminated"]["exitCode"], 143);
    assert!(first(&again)["image"].as_str().unwrap().contains("http"));
    world.event("Container c definition changed, will be restarted").await;
    // Deleted from the API by force: it ends at once, and its folder goes.
    world.api.delete(&pod);
    let folders = || std::fs::read_dir(world.dir.path().join("node/pods")).unwrap().count();
    for _ in 0..6000 {
        if world.handlers.is_empty() && folders() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(world.handlers.is_empty());
    assert_eq!(folders(), 0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pull_that_never_ends_does_not_hold_a_deleted_pod() {
    let world = World::new(105).await;
    let node = world.start().await;
    // Accepts connections, and says nothing.
    let registry = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let pod = world.pod("p", json!({"containers": [{"name": "c", "image": format!("{}/none:1", registry.local_addr().unwrap())}]}));
    let (_held, _) = tokio::time::timeout(Duration::from_secs(10), registry.accept()).await.expect("it is being pulled").unwrap();
    let mut ending = world.api.get(&pod).unwrap();
    ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    ending["metadata"]["deletionGracePeriodSeconds"] = 30.into();
    world.api.put(&pod, ending);
    let begun = std::time::Instant::now();
    while world.api.get(&pod).is_some() {
        assert!(begun.elapsed() < Duration::from_secs(25), "{:#}", world.api.get(&pod).unwrap());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_pod_does_not_take_the_address_of_one_that_comes_back() {
    let world = World::new(106).await;
    let node = world.start().await;
    let handler = || json!({"containers": [{"name": "c", "image": HTTP, "imagePullPolicy": "Never", "ports": [{"containerPort": 8080}]}]});
    let old = world.pod("old", handler());
    let before = world.wait(&old, |p| condition(p, "Ready") == "True").await;
    node.stop().await;
    // Whichever worker is the first to ask for an address.
    let news = ["a-new", "b-new", "x-new", "y-new", "z-new"].map(|name| world.pod(name, handler()));
    let node = world.start().await;
    let again = world.wait(&old, |p| first(p)["restartCount"] == 1 && condition(p, "Ready") == "True").await;
    assert_eq!(again["status"]["podIP"], before["status"]["podIP"]);
    for new in &news {
        let new = world.wait(new, |p| condition(p, "Ready") == "True").await;
        assert_ne!(new["status"]["podIP"], before["status"]["podIP"]);
    }
    node.stop().await;
}
