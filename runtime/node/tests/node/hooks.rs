//! Commands that the node runs in containers: probes and lifecycle hooks.

use serde_json::json;

use super::streams::{BUSYBOX, exec};
use super::{World, condition, first};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hooks_and_probes_by_command() {
    let world = World::new(114).await;
    let node = world.start().await;
    let shell = |script: &str| json!({"exec": {"command": ["sh", "-c", script]}});
    let mut liveness = shell("test ! -f /e/sick || { echo not well; exit 1; }");
    for (key, value) in [("periodSeconds", 1), ("failureThreshold", 1), ("timeoutSeconds", 20)] {
        liveness[key] = value.into();
    }
    let pod = world.pod(
        "p",
        json!({"volumes": [{"name": "e", "emptyDir": {}}], "terminationGracePeriodSeconds": 20,
            "containers": [{"name": "c", "image": BUSYBOX, "imagePullPolicy": "Never", "command": ["sleep", "1000000"], "volumeMounts": [{"name": "e", "mountPath": "/e"}],
                "lifecycle": {"postStart": shell("echo started >> /e/started"), "preStop": shell("echo stopped >> /e/stopped")},
                "livenessProbe": liveness, "readinessProbe": {"exec": {"command": ["cat", "/e/started"]}, "periodSeconds": 1, "timeoutSeconds": 20}}]}),
    );
    world.wait(&pod, |p| condition(p, "Ready") == "True").await;
    let streams = node.node.streams();
    assert_eq!(exec(&streams, "p", &["sh", "-c", "cat /e/started; : > /e/sick"], "").await, Ok((0, "started\n".into(), String::new())));
    world.event("Unhealthy: Liveness probe failed: not well").await;
    world.event("Killing: Container c failed liveness probe, will be restarted").await;
    let again = world.wait(&pod, |p| first(p)["restartCount"] == 1).await;
    assert_eq!(first(&again)["lastState"]["terminated"]["exitCode"], 143);
    let uid = again["metadata"]["uid"].as_str().unwrap();
    let file = |name: &str| std::fs::read_to_string(world.dir.path().join(format!("node/pods/{uid}/volumes/kubernetes.io~empty-dir/e/{name}"))).unwrap();
    assert!(file("stopped").starts_with("stopped\n"));
    assert!(file("started").starts_with("started\nstarted\n"), "each start has its hook");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hooks_and_probes_that_go_wrong_are_told() {
    let world = World::new(115).await;
    let node = world.start().await;
    let one = |name: &str, more: serde_json::Value| {
        let mut container = json!({"name": "c", "image": BUSYBOX, "imagePullPolicy": "Never", "command": ["sleep", "1000000"]});
        container.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        world.pod(name, json!({"terminationGracePeriodSeconds": 20, "containers": [container]}))
    };
    let bad = one("bad", json!({"lifecycle": {"postStart": {"exec": {"command": ["false"]}}, "preStop": {"httpGet": {"port": 81}}}}));
    let slow = one("slow", json!({"readinessProbe": {"exec": {"command": ["sleep", "1000"]}, "periodSeconds": 1}}));
    let none = one("none", json!({"readinessProbe": {"exec": {"command": ["nobody"]}, "periodSeconds": 1}}));
    world.event("FailedPostStartHook: PostStartHook failed").await;
    world.event("Killing: FailedPostStartHook").await;
    world.event("FailedPreStopHook: PreStopHook failed").await;
    world.wait(&bad, |p| first(p)["state"]["waiting"]["reason"] == "CrashLoopBackOff" || first(p)["restartCount"] != 0).await;
    world.event("Unhealthy: Readiness probe failed: command timed out: \"sleep 1000\" timed out after 1s").await;
    world.event("Unhealthy: Readiness probe errored and resulted in unknown state: OCI runtime exec failed").await;
    for pod in [slow, none] {
        assert_eq!(condition(&world.api.get(&pod).unwrap(), "Ready"), "False");
    }
    node.stop().await;
}
