//! One line of nodes, one Pod, one answer.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::runtime::watcher::Event;
use serde_json::{Value, json};

use crate::framework::schedule;
use crate::node::Snapshot;
use crate::pod::PodInfo;
use crate::surroundings::News;

/// Nodes are separated by `;`: a name, then `unschedulable`, `taint=key[=value]:effect`, `cpu=…`, `memory=…`, `pods=…`, `pod={spec}`
/// (to the end, `|` in it begins labels as `key=value`), else labels `key=value`. `pod` is a Pod's spec in YAML, or a whole Pod.
/// A line that begins with `namespace=` is a namespace and its labels, one with `service=` a Service and its selector.
/// `want` is a node's name, or the beginning of the error. Chance must not matter: the answer is asked for many times.
pub(crate) fn check(nodes: &str, pod: &str, want: &str) {
    let mut snapshot = snapshot(nodes);
    let pod = PodInfo::of(&self::pod(pod, 1000));
    for _ in 0..20 {
        match schedule(&mut snapshot, &pod) {
            Ok(name) => assert_eq!(name, want, "{nodes} <- {pod:?}"),
            Err(refused) => assert!(refused.0.to_string().starts_with(want), "{nodes}: {}", refused.0),
        }
    }
}

pub(crate) fn snapshot(nodes: &str) -> Snapshot {
    let mut snapshot = Snapshot::default();
    let mut number = 0;
    for line in nodes.split(';').map(str::trim).filter(|l| !l.is_empty()) {
        let mut pods = line.split(" pod=");
        let mut words = pods.next().unwrap_or_default().split_whitespace();
        let name = words.next().unwrap();
        if let Some(name) = name.strip_prefix("namespace=") {
            let namespace = serde_json::from_value(json!({"metadata": {"name": name, "labels": labels(words)}})).unwrap();
            snapshot.surroundings.learn(News::Namespace(Event::Apply(namespace)));
            continue;
        }
        if let Some(name) = name.strip_prefix("service=") {
            let service = json!({"metadata": {"name": name, "namespace": "default"}, "spec": {"selector": labels(words)}});
            snapshot.surroundings.learn(News::Service(Event::Apply(serde_json::from_value(service).unwrap())));
            continue;
        }
        let mut node = json!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}, "spec": {"taints": []},
            "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"}}});
        for word in words {
            match word.split_once('=') {
                None if word == "unschedulable" => node["spec"]["unschedulable"] = true.into(),
                Some(("taint", taint)) => {
                    let (key, effect) = taint.rsplit_once(':').unwrap();
                    let (key, value) = key.split_once('=').unwrap_or((key, ""));
                    node["spec"]["taints"].as_array_mut().unwrap().push(json!({"key": key, "value": value, "effect": effect}));
                }
                Some((resource @ ("cpu" | "memory" | "pods"), amount)) => node["status"]["allocatable"][resource] = amount.into(),
                Some((key, value)) => node["metadata"]["labels"][key] = value.into(),
                None => panic!("{word}"),
            }
        }
        let node: Node = serde_json::from_value(node).unwrap();
        snapshot.apply_node(&node);
        for spec in pods {
            number += 1;
            snapshot.place(Arc::new(PodInfo::of(&pod(spec, number)).placed()), name);
        }
    }
    snapshot
}

fn labels<'w>(words: impl Iterator<Item = &'w str>) -> serde_json::Map<String, Value> {
    words.filter_map(|w| w.split_once('=')).map(|(k, v)| (k.to_string(), v.into())).collect()
}

pub(crate) fn pod(text: &str, number: usize) -> Pod {
    let value: Value = serde_yaml::from_str(text).unwrap();
    let mut pod = if value.get("metadata").is_some() { value } else { json!({"spec": value}) };
    pod["metadata"]["name"] = format!("pod-{number}").into();
    if pod["metadata"].get("namespace").is_none() {
        pod["metadata"]["namespace"] = "default".into();
    }
    pod["metadata"]["uid"] = format!("uid-{number}").into();
    if pod.get("spec").is_none() {
        pod["spec"] = json!({});
    }
    if pod["spec"].get("containers").is_none() {
        pod["spec"]["containers"] = json!([{"name": "c"}]);
    }
    serde_json::from_value(pod).unwrap()
}
