//! Volumes that change while the Pod runs.

use std::time::Duration;

use serde_json::json;

use super::{PROBE, World, condition};

/// Sooner than volumes are brought up to date anyway.
const SOON: Duration = Duration::from_secs(45);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_seen_when_it_is_made() {
    let world = World::new(116).await;
    let node = world.start().await;
    let put = |kind: &str, name: &str, data: &str| {
        let (path, data) = (format!("api/v1/namespaces/default/{kind}s/{name}"), json!({"key": data}));
        world.api.put(&path, json!({"metadata": {"name": name, "namespace": "default"}, "data": data}));
    };
    put("configmap", "cm", "one");
    put("configmap", "other", "1");
    let pod = world.pod(
        "p",
        json!({"volumes": [{"name": "cm", "configMap": {"name": "cm"}},
                {"name": "both", "projected": {"sources": [{"configMap": {"name": "other"}}, {"secret": {"name": "late", "optional": true, "items": [{"key": "key", "path": "secret"}]}}]}}],
            "containers": [{"name": "c", "image": PROBE, "imagePullPolicy": "Never", "args": ["sleep", "1000000"]}]}),
    );
    let running = world.wait(&pod, |p| condition(p, "Ready") == "True").await;
    let volumes = world.dir.path().join(format!("node/pods/{}/volumes", running["metadata"]["uid"].as_str().unwrap()));
    let becomes = async |file: &str, want: &str| {
        let began = std::time::Instant::now();
        while std::fs::read_to_string(volumes.join(file)).ok().as_deref() != Some(want) {
            assert!(began.elapsed() < SOON, "{file} did not become {want:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    becomes("kubernetes.io~configmap/cm/key", "one").await;
    becomes("kubernetes.io~projected/both/key", "1").await;
    for turn in ["two", "three"] {
        put("configmap", "cm", turn);
        becomes("kubernetes.io~configmap/cm/key", turn).await;
    }
    // What was not there is seen too when it comes: base64, as Secrets are.
    put("secret", "late", "aGlkZGVu");
    becomes("kubernetes.io~projected/both/secret", "hidden").await;
    node.stop().await;
}
