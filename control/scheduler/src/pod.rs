//! What of a Pod matters for its place.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, Pod, Toleration, TopologySpreadConstraint};

use crate::resources::{Resources, requests};

/// A port of the node that a Pod wants for itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// The address; `0.0.0.0` is all.
    pub ip: String,
    /// The port.
    pub port: i32,
}

/// A Pod, as the scheduler sees it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodInfo {
    /// `metadata.uid`
    pub uid: String,
    /// `metadata.namespace`
    pub namespace: String,
    /// `metadata.name`
    pub name: String,
    /// `metadata.labels`
    pub labels: BTreeMap<String, String>,
    /// `spec.priority`, 0 if absent.
    pub priority: i32,
    /// `spec.preemptionPolicy: Never`
    pub never_preempts: bool,
    /// What it needs to fit.
    pub requests: Resources,
    /// What it counts as when nodes are compared.
    pub compared: Resources,
    /// `hostPort`s.
    pub ports: Vec<HostPort>,
    /// `spec.nodeSelector`
    pub node_selector: BTreeMap<String, String>,
    /// `spec.affinity`
    pub affinity: Affinity,
    /// `spec.tolerations`
    pub tolerations: Vec<Toleration>,
    /// `spec.topologySpreadConstraints`
    pub spread: Vec<TopologySpreadConstraint>,
    /// `spec.nodeName` of a Pod that waits for a node that it names (daemons of old); empty otherwise.
    pub node_name: String,
    /// It is being deleted.
    pub terminating: bool,
    /// `status.startTime`, in seconds; far in the future when it has not started.
    pub started: i64,
    /// Kind and name of the controller that it belongs to.
    pub owner: Option<(String, String)>,
}

impl PodInfo {
    /// Takes what matters out of a Pod.
    pub fn of(pod: &Pod) -> PodInfo {
        let meta = &pod.metadata;
        let mut info = PodInfo {
            uid: meta.uid.clone().unwrap_or_default(),
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
            labels: meta.labels.clone().unwrap_or_default(),
            terminating: meta.deletion_timestamp.is_some(),
            started: pod.status.as_ref().and_then(|s| s.start_time.as_ref()).map_or(i64::MAX, |t| t.0.as_second()),
            owner: meta.owner_references.iter().flatten().find(|o| o.controller == Some(true)).map(|o| (o.kind.clone(), o.name.clone())),
            ..PodInfo::default()
        };
        let Some(spec) = &pod.spec else { return info };
        (info.requests, info.compared) = requests(spec);
        info.requests.pods = 1;
        info.priority = spec.priority.unwrap_or(0);
        info.never_preempts = spec.preemption_policy.as_deref() == Some("Never");
        info.node_selector = spec.node_selector.clone().unwrap_or_default();
        info.affinity = spec.affinity.clone().unwrap_or_default();
        info.tolerations = spec.tolerations.clone().unwrap_or_default();
        info.spread = spec.topology_spread_constraints.clone().unwrap_or_default();
        info.node_name = spec.node_name.clone().unwrap_or_default();
        for port in spec.containers.iter().flat_map(|c| c.ports.iter().flatten()) {
            if let Some(host_port) = port.host_port.filter(|p| *p > 0) {
                info.ports.push(HostPort {
                    protocol: port.protocol.clone().unwrap_or_else(|| "TCP".into()),
                    ip: port.host_ip.clone().filter(|ip| !ip.is_empty()).unwrap_or_else(|| "0.0.0.0".into()),
                    port: host_port,
                });
            }
        }
        info
    }

    /// What of a Pod matters once it has a place: to others, and to nobody else.
    pub fn placed(mut self) -> PodInfo {
        self.affinity.node_affinity = None;
        self.node_selector.clear();
        (self.tolerations, self.spread) = (Vec::new(), Vec::new());
        (self.node_name, self.owner) = (String::new(), None);
        self
    }

    /// `namespace/name`
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// Whether a Pod has ended: it takes no room any more.
pub(crate) fn has_ended(pod: &Pod) -> bool {
    matches!(pod.status.as_ref().and_then(|s| s.phase.as_deref()), Some("Succeeded" | "Failed"))
}
