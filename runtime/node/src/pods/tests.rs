//! What becomes of a Pod when the node's own code panics.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::BoxFuture;
use serde_json::{Value, json};
use wharf_image::{Compatibility, CompileCommand, Images, Offers};

use super::*;
use crate::events::Recorder;
use crate::ipam::Ipam;
use crate::logs::Logs;
use crate::native::{NativeContainer, NativeImage, NativeWork};
use crate::network::tests::cluster;
use crate::pod::inbox::Message;
use crate::world::downward::Allocatable;
use crate::world::etc::Resolv;
use crate::{Handlers, LookupError, NodeConfig, Resolver};

#[allow(dead_code, reason = "the node's tests need more of it")]
#[path = "../../tests/node/api.rs"]
mod api;

struct NoNames;
impl Resolver for NoNames {
    fn lookup(&self, _: String) -> BoxFuture<'static, Result<Vec<IpAddr>, LookupError>> {
        Box::pin(async { Err(LookupError::NotFound) })
    }
}

/// Its first start in `panics` Pods panics.
#[derive(Default)]
struct Native {
    starts: AtomicUsize,
    panics: bool,
}

impl NativeImage for Native {
    fn name(&self) -> &str {
        if self.panics { "wharf.local/panics" } else { "wharf.local/calm" }
    }
    fn version(&self) -> &str {
        "1"
    }
    fn start(&self, container: NativeContainer) -> BoxFuture<'static, Result<NativeWork, String>> {
        let first = self.starts.fetch_add(1, Ordering::SeqCst) == 0;
        assert!(!(self.panics && first), "as a test wished");
        let work: NativeWork = Box::pin(async move {
            container.stopping().cancelled().await;
            Ok(())
        });
        Box::pin(async { Ok(work) })
    }
}

struct World {
    api: api::Api,
    pods: Arc<Pods>,
    token: CancellationToken,
    _dir: tempfile::TempDir,
}

async fn world(third: u8, static_pods: Vec<Pod>) -> World {
    let dir = tempfile::tempdir().unwrap();
    let engine = wharf_engine::Engine::new(wharf_engine::EngineConfig { max_instances: Some(4), ..Default::default() }).unwrap();
    let compile = CompileCommand { program: "/bin/false".into(), args: vec![] };
    let images =
        Images::open(dir.path().join("images"), wharf_image::Options::new(compile, Compatibility::default(), Offers::new(Vec::<String>::new()))).unwrap();
    let (api, net, token) = (api::Api::new(), cluster(), CancellationToken::new());
    let mut config =
        NodeConfig::new("n1", api.client(), engine, images, net, Handlers::new(), dir.path().to_path_buf(), Ipv4Addr::new(10, 88, 0, 1), Arc::new(NoNames));
    config.native = vec![Arc::new(Native::default()), Arc::new(Native { panics: true, ..Native::default() })];
    config.static_pods = static_pods;
    let (recorder, events) = Recorder::new(api.client(), "n1");
    tokio::spawn(events.run(token.clone()));
    tokio::spawn({
        let (services, client, token) = (config.services.clone(), api.client(), token.clone());
        async move { services.run(client, token).await }
    });
    let capacity = Allocatable { cpu_millis: 1000, memory: 1 << 30, ephemeral_storage: 1 << 30, pods: 10 };
    let shared = Shared::new(config, recorder, Logs::new(dir.path().join("logs")), Resolv::default(), capacity);
    let cidr = format!("10.244.{third}.0/24").parse().unwrap();
    shared.config.net.add_local(cidr);
    let _ = shared.ipam.set(Ipam::new(cidr));
    let pods = Pods::new(Arc::new(shared));
    tokio::spawn({
        let (pods, token) = (pods.clone(), token.clone());
        async move { pods.run(token).await }
    });
    World { api, pods, token, _dir: dir }
}

impl World {
    fn pod(&self, image: &str) -> String {
        let path = format!("api/v1/namespaces/kube-system/pods/{image}");
        let spec = json!({"nodeName": "n1", "containers": [{"name": "c", "image": format!("wharf.local/{image}")}]});
        self.api.put(&path, json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": image, "namespace": "kube-system"}, "spec": spec}));
        path
    }

    async fn wait(&self, path: &str, until: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..3000 {
            if let Some(container) = self.api.get(path).map(|pod| pod["status"]["containerStatuses"][0].clone()).filter(|c| until(c)) {
                return container;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{:#}", self.api.get(path).unwrap_or_default());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_whose_start_panics_is_tried_again() {
    let world = world(221, vec![]).await;
    let pod = world.pod("panics");
    let waiting = world.wait(&pod, |c| c["state"]["waiting"]["reason"] == "CreateContainerError").await;
    assert_eq!(waiting["state"]["waiting"]["message"], "internal error: as a test wished");
    let running = world.wait(&pod, |c| !c["state"]["running"].is_null()).await;
    assert_eq!(running["restartCount"], 0);
    world.token.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_whose_worker_panics_gets_another_one() {
    let world = world(222, vec![]).await;
    let pod = world.pod("calm");
    for restarts in 1..=2 {
        world.wait(&pod, |c| !c["state"]["running"].is_null() && c["restartCount"] == restarts - 1).await;
        let inbox = world.pods.workers.read().values().next().map(|entry| entry.inbox.clone()).unwrap();
        inbox.send(Message::Panic);
        // Who still holds the letter box does not make it a worker's.
        let again = world.wait(&pod, |c| !c["state"]["running"].is_null() && c["restartCount"] == restarts).await;
        assert_eq!(again["lastState"]["terminated"]["reason"], "Unknown");
    }
    // It is deleted as any other.
    world.api.delete(&pod);
    for _ in 0..3000 {
        if world.pods.workers.read().is_empty() {
            return world.token.cancel();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("its worker does not end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_comes_again_and_its_pod_goes_on() {
    let given = json!({"metadata": {"name": "part", "namespace": "kube-system"}, "spec": {"hostNetwork": true, "containers": [{"name": "c", "image": "wharf.local/calm"}]}});
    let world = world(223, vec![serde_json::from_value(given).unwrap()]).await;
    let node = "api/v1/nodes/n1";
    world.api.put(node, json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}));
    let path = "api/v1/namespaces/kube-system/pods/part-n1";
    let first = world.wait(path, |c| !c["state"]["running"].is_null()).await;
    let mirror = world.api.get(path).unwrap();
    assert_eq!(mirror["status"]["podIP"], "10.88.0.1");
    assert_eq!(mirror["metadata"]["ownerReferences"][0]["uid"], world.api.get(node).unwrap()["metadata"]["uid"]);
    let hash = mirror["metadata"]["annotations"]["kubernetes.io/config.mirror"].clone();

    let again = |uid: Value| {
        let world = &world;
        async move {
            for _ in 0..3000 {
                let found = world.api.get(path).filter(|pod| pod["metadata"]["uid"] != uid && pod["status"]["phase"] == "Running");
                if let Some(found) = found {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            panic!("{:#}", world.api.get(path).unwrap_or_default());
        }
    };
    // As `kubectl delete` does it, and without grace.
    let mut deleted = mirror.clone();
    deleted["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    world.api.put(path, deleted);
    let second = again(mirror["metadata"]["uid"].clone()).await;
    world.api.delete(path);
    let third = again(second["metadata"]["uid"].clone()).await;
    for mirror in [second, third] {
        assert_eq!(mirror["metadata"]["annotations"]["kubernetes.io/config.mirror"], hash);
        assert_eq!(mirror["status"]["containerStatuses"][0]["containerID"], first["containerID"], "nothing was restarted");
    }

    // One that shows nothing of this node goes.
    let orphan = "api/v1/namespaces/kube-system/pods/other-n1";
    let meta = json!({"name": "other-n1", "namespace": "kube-system", "annotations": {"kubernetes.io/config.mirror": "of-nothing"}});
    world.api.put(orphan, json!({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"nodeName": "n1", "containers": []}}));
    for _ in 0..3000 {
        if world.api.get(orphan).is_none() {
            return world.token.cancel();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("an orphaned mirror stays");
}
