//! The control plane's parts as one sees them: Pods of kube-system with a state and a log.

use std::sync::Arc;
use std::time::Duration;

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
        Trial::test("control_plane::a_cluster_with_nothing_to_do_does_nothing", a_cluster_with_nothing_to_do_does_nothing),
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

/// No part goes round in a circle: there comes a time in which the process takes little of one core, counted in its own time and not by the clock.
fn a_cluster_with_nothing_to_do_does_nothing() -> Result<(), Failed> {
    const SPAN: Duration = Duration::from_secs(3);
    let cluster = Cluster::start(&[])?;
    let stat = format!("/proc/{}/stat", cluster.pid());
    if !std::path::Path::new(&stat).exists() {
        println!("not measured: there is no {stat} here");
        return Ok(());
    }
    // Hundredths of a second, in user and kernel (proc_pid_stat(5)); the fields are counted behind the name of the program.
    let used = || -> Result<u64, Failed> {
        let text = std::fs::read_to_string(&stat)?;
        let behind = text.rsplit_once(") ").ok_or("no name")?.1;
        Ok(behind.split(' ').skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?)
    };
    let mut seen = Vec::new();
    for _ in 0..20 {
        let before = used()?;
        std::thread::sleep(SPAN);
        let ticks = used()? - before;
        if Duration::from_millis(10 * ticks) < SPAN / 4 {
            return Ok(());
        }
        seen.push(ticks);
    }
    Err(format!("hundredths of a second of processor time in each {SPAN:?}: {seen:?}").into())
}
