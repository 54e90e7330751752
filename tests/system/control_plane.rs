//! The control plane's parts as one sees them: Pods of kube-system with a state and a log.

use std::sync::Arc;

use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

use crate::cluster::{Cluster, Shared, eventually};

const PARTS: [&str; 4] = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];

/// All tests of this file.
pub fn trials(shared: &Arc<Shared>) -> Vec<Trial> {
    vec![
        shared.test("control_plane::parts_are_mirror_pods", parts_are_mirror_pods),
        shared.test("control_plane::a_deleted_part_is_shown_again", a_deleted_part_is_shown_again),
        shared.test("control_plane::parts_have_logs", parts_have_logs),
    ]
}

fn pod(part: &str) -> String {
    format!("{part}-control-plane")
}

fn parts_are_mirror_pods(cluster: &Cluster) -> Result<(), Failed> {
    let node = cluster.api.get("/api/v1/nodes/control-plane")?;
    for part in PARTS {
        let found = cluster.pod_ready("kube-system", &pod(part))?;
        let (meta, spec, status) = (&found["metadata"], &found["spec"], &found["status"]);
        let annotations = &meta["annotations"];
        let seen = json!({
            "labels": meta["labels"], "source": annotations["kubernetes.io/config.source"], "owner": meta["ownerReferences"][0]["uid"],
            "hostNetwork": spec["hostNetwork"], "priority": spec["priority"], "tolerations": spec["tolerations"],
            "ip": status["podIP"], "restarts": status["containerStatuses"][0]["restartCount"], "phase": status["phase"],
        });
        let wanted = json!({
            "labels": {"component": part, "tier": "control-plane"}, "source": "file", "owner": node["metadata"]["uid"],
            "hostNetwork": true, "priority": 2_000_001_000, "tolerations": [{"operator": "Exists", "effect": "NoExecute"}],
            "ip": "10.88.0.1", "restarts": 0, "phase": "Running",
        });
        if seen != wanted || annotations["kubernetes.io/config.mirror"] != annotations["kubernetes.io/config.hash"] {
            return Err(format!("{part}: {seen}\nwanted {wanted}\n{annotations}").into());
        }
    }
    Ok(())
}

fn a_deleted_part_is_shown_again(cluster: &Cluster) -> Result<(), Failed> {
    let name = pod("kube-controller-manager");
    let path = format!("/api/v1/namespaces/kube-system/pods/{name}");
    let before = cluster.pod_ready("kube-system", &name)?;
    let answer = cluster.api.request("DELETE", &path, "application/json", None)?;
    if answer.status != 200 {
        return Err(answer.text().into());
    }
    let after = cluster.pod_until("kube-system", &name, "there again", |pod| {
        pod["metadata"]["uid"] != before["metadata"]["uid"] && pod["status"]["containerStatuses"][0]["ready"] == true
    })?;
    let container = |pod: &Value| pod["status"]["containerStatuses"][0]["containerID"].clone();
    if container(&before) == container(&after) { Ok(()) } else { Err("its container was restarted".into()) }
}

fn parts_have_logs(cluster: &Cluster) -> Result<(), Failed> {
    let namespace = cluster.namespace("placed")?;
    cluster.create(&namespace, "{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {containers: [{name: c, image: nginx}]}}")?;
    cluster.pod_ready(&namespace, "web")?;
    for (part, text) in [
        ("kube-scheduler", format!("\"Successfully bound pod to node\" pod=\"{namespace}/web\" node=")),
        ("kube-controller-manager", "\"Event occurred\" object=\"kube-system/coredns\"".to_owned()),
        ("kube-apiserver", "\"Serving securely on ".to_owned()),
        ("etcd", "\"store opened\"".to_owned()),
    ] {
        eventually("a line in a log", || {
            let log = cluster.log("kube-system", &pod(part))?;
            if log.contains(&text) { Ok(()) } else { Err(format!("{part}: {log}").into()) }
        })?;
    }
    Ok(())
}
