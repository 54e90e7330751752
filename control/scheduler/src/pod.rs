//! What of a Pod matters for its place.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use k8s_openapi::api::core::v1::{NodeAffinity, Pod, PodAffinity, PodAntiAffinity, Toleration, TopologySpreadConstraint};
use wharf_rest::Pairs;

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

/// A Pod, as the scheduler sees it. There are as many as there are Pods: what few of them have is in a place of its own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodInfo {
    /// `metadata.uid`
    pub uid: Arc<str>,
    /// `metadata.namespace`
    pub namespace: Box<str>,
    /// `metadata.name`
    pub name: Box<str>,
    /// `metadata.labels`
    pub labels: Pairs,
    /// `spec.priority`, 0 if absent.
    pub priority: i32,
    /// It is being deleted.
    pub terminating: bool,
    /// What it needs to fit.
    pub requests: Resources,
    /// What it counts as when nodes are compared.
    pub compared: Resources,
    /// `hostPort`s.
    pub ports: Box<[HostPort]>,
    /// What it wishes about other Pods, if anything.
    pub near: Option<Box<Near>>,
    /// `status.startTime`, in seconds; far in the future when it has not started.
    pub started: i64,
    /// What matters until it has a place.
    pub wishes: Option<Box<Wishes>>,
}

/// `spec.affinity.podAffinity` and `spec.affinity.podAntiAffinity`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Near {
    /// Whom it wants to be with.
    pub affinity: Option<PodAffinity>,
    /// Whom it does not.
    pub anti: Option<PodAntiAffinity>,
}

/// What a Pod wants of its node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wishes {
    /// `spec.preemptionPolicy: Never`
    pub never_preempts: bool,
    /// `spec.nodeSelector`
    pub node_selector: BTreeMap<String, String>,
    /// `spec.affinity.nodeAffinity`
    pub node_affinity: Option<NodeAffinity>,
    /// `spec.tolerations`
    pub tolerations: Vec<Toleration>,
    /// `spec.topologySpreadConstraints`
    pub spread: Vec<TopologySpreadConstraint>,
    /// `spec.nodeName` of a Pod that waits for a node that it names (daemons of old); empty otherwise.
    pub node_name: String,
    /// Kind and name of the controller that it belongs to.
    pub owner: Option<(String, String)>,
}

impl PodInfo {
    /// Takes what matters out of a Pod.
    pub fn of(pod: &Pod) -> PodInfo {
        let meta = &pod.metadata;
        let text = |text: &Option<String>| text.as_deref().unwrap_or_default().into();
        let mut info = PodInfo {
            uid: meta.uid.as_deref().unwrap_or_default().into(),
            namespace: text(&meta.namespace),
            name: text(&meta.name),
            labels: meta.labels.as_ref().into(),
            terminating: meta.deletion_timestamp.is_some(),
            started: pod.status.as_ref().and_then(|s| s.start_time.as_ref()).map_or(i64::MAX, |t| t.0.as_second()),
            ..PodInfo::default()
        };
        let Some(spec) = &pod.spec else { return info };
        (info.requests, info.compared) = requests(spec);
        info.requests.pods = 1;
        info.priority = spec.priority.unwrap_or(0);
        let affinity = spec.affinity.clone().unwrap_or_default();
        if affinity.pod_affinity.is_some() || affinity.pod_anti_affinity.is_some() {
            info.near = Some(Box::new(Near { affinity: affinity.pod_affinity, anti: affinity.pod_anti_affinity }));
        }
        info.wishes = Some(Box::new(Wishes {
            never_preempts: spec.preemption_policy.as_deref() == Some("Never"),
            node_selector: spec.node_selector.clone().unwrap_or_default(),
            node_affinity: affinity.node_affinity,
            tolerations: spec.tolerations.clone().unwrap_or_default(),
            spread: spec.topology_spread_constraints.clone().unwrap_or_default(),
            node_name: spec.node_name.clone().unwrap_or_default(),
            owner: meta.owner_references.iter().flatten().find(|o| o.controller == Some(true)).map(|o| (o.kind.clone(), o.name.clone())),
        }));
        let host_port = |port: &k8s_openapi::api::core::v1::ContainerPort| {
            Some(HostPort {
                port: port.host_port.filter(|p| *p > 0)?,
                protocol: port.protocol.clone().unwrap_or_else(|| "TCP".into()),
                ip: port.host_ip.clone().filter(|ip| !ip.is_empty()).unwrap_or_else(|| "0.0.0.0".into()),
            })
        };
        info.ports = spec.containers.iter().flat_map(|c| c.ports.iter().flatten()).filter_map(host_port).collect();
        info
    }

    /// What of a Pod matters once it has a place: to others, and to nobody else.
    pub fn placed(mut self) -> PodInfo {
        self.wishes = None;
        self
    }

    /// What it wants of its node; nothing, once it has a place.
    pub fn wishes(&self) -> &Wishes {
        static NONE: LazyLock<Wishes> = LazyLock::new(Wishes::default);
        self.wishes.as_deref().unwrap_or(&NONE)
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
