//! What `kubectl get pods` prints, most of all the STATUS, which is no field of a Pod.

use serde_json::Value;

use crate::k8s_openapi::api::core::v1::{Container, ContainerState, ContainerStatus, Pod, PodSpec, PodStatus};
use crate::k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use crate::kinds::columns::{age, age_cell, name, name_cell, or_none, since, text};
use crate::table::{Columns, Now};

/// The table of Pods.
pub(super) fn columns() -> Columns<Pod> {
    Columns {
        columns: vec![
            name(),
            text("Ready", "The aggregate readiness state of this pod for accepting traffic."),
            text("Status", "The aggregate status of the containers in this pod."),
            text(
                "Restarts",
                "The number of times the containers in this pod have been restarted and when the last container in this pod has restarted.",
            ),
            age(),
            text("IP", "podIP address allocated to the pod. Routable at least within the cluster. Empty if not yet allocated.").wide(),
            text("Node", "NodeName indicates in which node this pod is scheduled. If empty, this pod is a candidate for scheduling by the scheduler defined in schedulerName. Once this field is set, the kubelet for this node becomes responsible for the lifecycle of this pod. This field should not be used to express a desire for the pod to be scheduled on a specific node. https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#nodename").wide(),
            text("Nominated Node", "nominatedNodeName is set only when this pod preempts other pods on the node, but it cannot be scheduled right away as preemption victims receive their graceful termination periods. This field does not guarantee that the pod will be scheduled on this node. Scheduler may decide to place the pod elsewhere if other nodes become available sooner. Scheduler may also decide to give the resources on this node to a higher priority pod that is created after preemption. As a result, this field may be different than PodSpec.nodeName when the pod is scheduled.").wide(),
            text("Readiness Gates", "If specified, all readiness gates will be evaluated for pod readiness. A pod is ready when all its containers are ready AND all conditions specified in the readiness gates have status equal to \"True\" More info: https://git.k8s.io/enhancements/keps/sig-network/580-pod-readiness-gates").wide(),
        ],
        row,
    }
}

fn row(pod: &Pod, now: Now) -> Vec<Value> {
    let (no_spec, no_status) = (PodSpec::default(), PodStatus::default());
    let (spec, status) = (pod.spec.as_ref().unwrap_or(&no_spec), pod.status.as_ref().unwrap_or(&no_status));
    let summary = Summary::of(pod, spec, status);
    let restarts = match summary.last_restart {
        Some(time) if summary.restarts != 0 => format!("{} ({} ago)", summary.restarts, since(Some(time), now)),
        _ => summary.restarts.to_string(),
    };
    let gates = spec.readiness_gates.as_deref().unwrap_or_default();
    let open = gates.iter().filter(|gate| condition(status, &gate.condition_type)).count();
    let gates = if gates.is_empty() { "<none>".to_owned() } else { format!("{open}/{}", gates.len()) };
    let ip = status.pod_ips.iter().flatten().next().map(|ip| ip.ip.as_str()).or(status.pod_ip.as_deref());
    vec![
        name_cell(&pod.metadata),
        Value::from(format!("{}/{}", summary.ready, summary.containers)),
        Value::from(summary.reason),
        Value::from(restarts),
        age_cell(&pod.metadata, now),
        or_none(ip),
        or_none(spec.node_name.as_deref()),
        or_none(status.nominated_node_name.as_deref()),
        Value::from(gates),
    ]
}

struct Summary<'a> {
    containers: usize,
    ready: usize,
    reason: String,
    restarts: i32,
    last_restart: Option<&'a Time>,
}

impl<'a> Summary<'a> {
    fn of(pod: &Pod, spec: &PodSpec, status: &'a PodStatus) -> Summary<'a> {
        let phase = status.phase.as_deref().unwrap_or_default();
        let given = status.reason.as_deref().unwrap_or_default();
        let sidecars = spec.init_containers.iter().flatten().filter(|c| is_sidecar(c)).count();
        let mut summary = Summary {
            containers: spec.containers.len() + sidecars,
            ready: 0,
            reason: if given.is_empty() { phase } else { given }.to_owned(),
            restarts: 0,
            last_restart: None,
        };
        let gated = |c: &crate::k8s_openapi::api::core::v1::PodCondition| c.type_ == "PodScheduled" && c.reason.as_deref() == Some("SchedulingGated");
        if status.conditions.iter().flatten().any(gated) {
            summary.reason = "SchedulingGated".to_owned();
        }
        let initialized = summary.init_containers(spec, status);
        if initialized || condition(status, "Initialized") {
            summary.app_containers(spec, status);
        }
        if pod.metadata.deletion_timestamp.is_some() {
            if given == "NodeLost" {
                summary.reason = "Unknown".to_owned();
            } else if !matches!(phase, "Succeeded" | "Failed") {
                summary.reason = "Terminating".to_owned();
            }
        }
        summary
    }

    /// Whether all init containers are done (or, those beside which the others run, started).
    fn init_containers(&mut self, spec: &PodSpec, status: &'a PodStatus) -> bool {
        let total = spec.init_containers.as_ref().map_or(0, Vec::len);
        for (i, container) in status.init_container_statuses.iter().flatten().enumerate() {
            self.count_restarts(container);
            let sidecar = sidecar(spec, &container.name);
            let state = State::of(container);
            match state {
                State { terminated: Some((_, _, 0)), .. } => continue,
                _ if sidecar && container.started == Some(true) => {
                    self.ready += usize::from(container.ready);
                    continue;
                }
                State { terminated: Some(ended), .. } => self.reason = format!("Init:{}", ended_reason(ended)),
                State { waiting: Some(reason), .. } if !reason.is_empty() && reason != "PodInitializing" => self.reason = format!("Init:{reason}"),
                _ => self.reason = format!("Init:{i}/{total}"),
            }
            return false;
        }
        true
    }

    fn app_containers(&mut self, spec: &PodSpec, status: &'a PodStatus) {
        (self.restarts, self.last_restart) = (0, None);
        for container in status.init_container_statuses.iter().flatten().filter(|c| sidecar(spec, &c.name)) {
            self.count_restarts(container);
        }
        let mut running = false;
        for container in status.container_statuses.iter().flatten().rev() {
            self.count_restarts(container);
            match State::of(container) {
                State { waiting: Some(reason), .. } if !reason.is_empty() => self.reason = reason.to_owned(),
                State { terminated: Some(ended), .. } => self.reason = ended_reason(ended),
                State { running: true, .. } if container.ready => {
                    running = true;
                    self.ready += 1;
                }
                _ => {}
            }
        }
        if self.reason == "Completed" && running {
            self.reason = if condition(status, "Ready") { "Running" } else { "NotReady" }.to_owned();
        }
    }

    fn count_restarts(&mut self, container: &'a ContainerStatus) {
        self.restarts = self.restarts.saturating_add(container.restart_count);
        let ended = container.last_state.as_ref().and_then(|s| s.terminated.as_ref()).and_then(|t| t.finished_at.as_ref());
        if let Some(ended) = ended
            && self.last_restart.is_none_or(|last| last.0 < ended.0)
        {
            self.last_restart = Some(ended);
        }
    }
}

struct State<'a> {
    waiting: Option<&'a str>,
    running: bool,
    /// Reason, signal, exit code.
    terminated: Option<(&'a str, i32, i32)>,
}

impl<'a> State<'a> {
    fn of(container: &'a ContainerStatus) -> State<'a> {
        let Some(ContainerState { waiting, running, terminated }) = &container.state else {
            return State { waiting: None, running: false, terminated: None };
        };
        State {
            waiting: waiting.as_ref().map(|w| w.reason.as_deref().unwrap_or_default()),
            running: running.is_some(),
            terminated: terminated.as_ref().map(|t| (t.reason.as_deref().unwrap_or_default(), t.signal.unwrap_or(0), t.exit_code)),
        }
    }
}

fn ended_reason((reason, signal, exit_code): (&str, i32, i32)) -> String {
    match (reason, signal) {
        ("", 0) => format!("ExitCode:{exit_code}"),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

fn sidecar(spec: &PodSpec, name: &str) -> bool {
    spec.init_containers.iter().flatten().any(|c| c.name == name && is_sidecar(c))
}

fn condition(status: &PodStatus, kind: &str) -> bool {
    status.conditions.iter().flatten().any(|c| c.type_ == kind && c.status == "True")
}
