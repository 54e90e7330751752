//! What Pods use: `/stats/summary`, and the Prometheus texts `/metrics/resource` and `/metrics`.

use std::fmt::Write;

use axum::Json;
use axum::extract::State;
use http::header;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::Kubelet;
use crate::pod::record::State as ContainerState;

type Text = ([(header::HeaderName, &'static str); 1], String);

fn text(body: String) -> Text {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], body)
}

pub(super) async fn summary(State(kubelet): State<Kubelet>) -> Json<Value> {
    let now = Time(Timestamp::now());
    let cpu = |nanos: u64| json!({"time": now, "usageCoreNanoSeconds": nanos});
    let memory = |bytes: u64| json!({"time": now, "usageBytes": bytes, "workingSetBytes": bytes});
    let (mut node_cpu, mut node_memory) = (0, 0);
    let mut pods = vec![];
    for context in kubelet.pods.contexts() {
        let view = context.view.load();
        let (mut pod_cpu, mut pod_memory, mut list) = (0, 0, vec![]);
        for (name, door) in &view.doors {
            let (nanos, bytes) = (door.usage.cpu_nanos(), door.usage.memory_bytes());
            pod_cpu += nanos;
            pod_memory += bytes;
            let started = match view.record.containers.get(name).map(|r| &r.state) {
                Some(ContainerState::Running { started_at, .. }) => Some(Time(*started_at)),
                _ => None,
            };
            list.push(json!({"name": name, "startTime": started, "cpu": cpu(nanos), "memory": memory(bytes)}));
        }
        node_cpu += pod_cpu;
        node_memory += pod_memory;
        pods.push(json!({
            // A static Pod is known by its mirror's.
            "podRef": {"name": context.name, "namespace": context.namespace, "uid": context.object.load().as_deref().unwrap_or(&context.uid)},
            "startTime": view.record.started_at.map(Time),
            "containers": list,
            "cpu": cpu(pod_cpu),
            "memory": memory(pod_memory),
        }));
    }
    Json(json!({"node": {"nodeName": kubelet.shared.config.name, "cpu": cpu(node_cpu), "memory": memory(node_memory)}, "pods": pods}))
}

pub(super) async fn resource(State(kubelet): State<Kubelet>) -> Text {
    let now = Timestamp::now().as_millisecond();
    let (mut cpu, mut memory, mut start) = (String::new(), String::new(), String::new());
    let (mut pod_cpu, mut pod_memory) = (String::new(), String::new());
    let (mut all_cpu, mut all_memory) = (0.0, 0);
    for context in kubelet.pods.contexts() {
        let view = context.view.load();
        let pod = format!("namespace=\"{}\",pod=\"{}\"", context.namespace, context.name);
        let (mut own_cpu, mut own_memory) = (0.0, 0);
        for (name, door) in &view.doors {
            let (seconds, bytes) = (door.usage.cpu_nanos() as f64 / 1e9, door.usage.memory_bytes());
            own_cpu += seconds;
            own_memory += bytes;
            let _ = writeln!(cpu, "container_cpu_usage_seconds_total{{container=\"{name}\",{pod}}} {seconds} {now}");
            let _ = writeln!(memory, "container_memory_working_set_bytes{{container=\"{name}\",{pod}}} {bytes} {now}");
            if let Some(ContainerState::Running { started_at, .. }) = view.record.containers.get(name).map(|r| &r.state) {
                let _ = writeln!(start, "container_start_time_seconds{{container=\"{name}\",{pod}}} {}", started_at.as_millisecond() as f64 / 1000.0);
            }
        }
        all_cpu += own_cpu;
        all_memory += own_memory;
        let _ = writeln!(pod_cpu, "pod_cpu_usage_seconds_total{{{pod}}} {own_cpu} {now}");
        let _ = writeln!(pod_memory, "pod_memory_working_set_bytes{{{pod}}} {own_memory} {now}");
    }
    let family = |name: &str, kind: &str, help: &str, lines: &str| format!("# HELP {name} [STABLE] {help}\n# TYPE {name} {kind}\n{lines}");
    text(
        [
            family("container_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the container in core-seconds", &cpu),
            family("container_memory_working_set_bytes", "gauge", "Current working set of the container in bytes", &memory),
            family("container_start_time_seconds", "gauge", "Start time of the container since unix epoch in seconds", &start),
            family(
                "node_cpu_usage_seconds_total",
                "counter",
                "Cumulative cpu time consumed by the node in core-seconds",
                &format!("node_cpu_usage_seconds_total {all_cpu} {now}\n"),
            ),
            family(
                "node_memory_working_set_bytes",
                "gauge",
                "Current working set of the node in bytes",
                &format!("node_memory_working_set_bytes {all_memory} {now}\n"),
            ),
            family("pod_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the pod in core-seconds", &pod_cpu),
            family("pod_memory_working_set_bytes", "gauge", "Current working set of the pod in bytes", &pod_memory),
            family("resource_scrape_error", "gauge", "1 if there was an error while getting container metrics, 0 otherwise", "resource_scrape_error 0\n"),
        ]
        .concat(),
    )
}

pub(super) async fn metrics(State(kubelet): State<Kubelet>) -> Text {
    let contexts = kubelet.pods.contexts();
    let running = |c: &std::sync::Arc<crate::pod::context::PodContext>| c.view.load().record.containers.values().filter(|r| r.running()).count();
    let containers: usize = contexts.iter().map(running).sum();
    let pods = contexts.iter().filter(|c| running(c) > 0).count();
    text(format!(
        "# HELP kubelet_node_name [ALPHA] The node's name. The count is always 1.\n# TYPE kubelet_node_name gauge\nkubelet_node_name{{node=\"{}\"}} 1\n\
         # HELP kubelet_running_containers [ALPHA] Number of containers currently running\n# TYPE kubelet_running_containers gauge\nkubelet_running_containers{{container_state=\"running\"}} {containers}\n\
         # HELP kubelet_running_pods [ALPHA] Number of pods that have a running pod sandbox\n# TYPE kubelet_running_pods gauge\nkubelet_running_pods {pods}\n",
        kubelet.shared.config.name
    ))
}
