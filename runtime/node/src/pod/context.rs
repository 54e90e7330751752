//! What the node's Pods share, and what the tasks of one Pod share.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, ArcSwapOption};
use k8s_openapi::api::core::v1::Pod;
use parking_lot::Mutex;
use wharf_engine::Outgoing;
use wharf_rest::{Dictionary, Kept};

use super::door::Door;
use super::record::{PodRecord, containers};
use crate::events::Recorder;
use crate::exec::{Inside, Tools};
use crate::images::Programs;
use crate::ipam::Ipam;
use crate::keyvalue::PodKeyValue;
use crate::logs::Logs;
use crate::network::PodNetwork;
use crate::probes::Target;
use crate::quantity;
use crate::trust::Trust;
use crate::volumes::Objects;
use crate::volumes::changes::Changes;
use crate::volumes::tokens::Tokens;
use crate::world::downward::{Allocatable, PodFacts};
use crate::world::etc::Resolv;
use crate::{NodeConfig, handlers};

/// What all Pods of a node share.
pub(crate) struct Shared {
    pub(crate) config: NodeConfig,
    /// The configuration's, in a piece of memory that Pods can share.
    client: Arc<kube::Client>,
    pub(crate) recorder: Recorder,
    pub(crate) logs: Logs,
    pub(crate) programs: Programs,
    /// What runs in containers whose images have no such command.
    pub(crate) tools: Tools,
    pub(crate) trust: Arc<Trust>,
    pub(crate) host_resolv: Resolv,
    pub(crate) capacity: Allocatable,
    pub(crate) changes: Arc<Changes>,
    /// What Pods at rest are described by.
    pub(crate) pods_at_rest: Dictionary,
    /// Known once the node has its Pod CIDR.
    pub(crate) ipam: OnceLock<Ipam>,
    /// What the admitted Pods asked for, by uid.
    admitted: Mutex<HashMap<String, Requests>>,
}

/// What a Pod asks of a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Requests {
    cpu_millis: i64,
    memory: i64,
    ephemeral_storage: i64,
}

impl Requests {
    /// A Pod's: the sum of its containers (sidecars with them), or what its largest init container needs.
    pub(crate) fn of(pod: &Pod) -> Self {
        use super::record::Role;
        let mut sum = Self::default();
        let mut peak = Self::default();
        for (role, c) in containers(pod) {
            let get = |name: &str, f: fn(&_) -> Option<i128>| {
                let found = c.resources.as_ref().and_then(|r| r.requests.as_ref()).and_then(|m| m.get(name)).and_then(f);
                i64::try_from(found.unwrap_or(0)).unwrap_or(i64::MAX)
            };
            let own = Self {
                cpu_millis: get("cpu", quantity::millis),
                memory: get("memory", quantity::units),
                ephemeral_storage: get("ephemeral-storage", quantity::units),
            };
            if role == Role::Init { peak = peak.max(sum.plus(own)) } else { sum = sum.plus(own) }
        }
        sum.max(peak)
    }

    fn plus(self, other: Self) -> Self {
        Self {
            cpu_millis: self.cpu_millis.saturating_add(other.cpu_millis),
            memory: self.memory.saturating_add(other.memory),
            ephemeral_storage: self.ephemeral_storage.saturating_add(other.ephemeral_storage),
        }
    }

    fn max(self, other: Self) -> Self {
        Self {
            cpu_millis: self.cpu_millis.max(other.cpu_millis),
            memory: self.memory.max(other.memory),
            ephemeral_storage: self.ephemeral_storage.max(other.ephemeral_storage),
        }
    }
}

/// Why a Pod does not fit: reason and message of its status.
pub(crate) fn fits(capacity: Allocatable, used: Requests, pods: usize, wants: Requests) -> Result<(), (String, String)> {
    let lacks = |name: &str, requested: i64, used: i64, capacity: i64| {
        let message = format!("Node didn't have enough resource: {name}, requested: {requested}, used: {used}, capacity: {capacity}");
        Err((format!("OutOf{name}"), message))
    };
    let pods = i64::try_from(pods).unwrap_or(i64::MAX);
    if pods + 1 > capacity.pods {
        return lacks("pods", 1, pods, capacity.pods);
    }
    for (name, wanted, used, capacity) in [
        ("cpu", wants.cpu_millis, used.cpu_millis, capacity.cpu_millis),
        ("memory", wants.memory, used.memory, capacity.memory),
        ("ephemeral-storage", wants.ephemeral_storage, used.ephemeral_storage, capacity.ephemeral_storage),
    ] {
        if wanted > 0 && used.saturating_add(wanted) > capacity {
            return lacks(name, wanted, used, capacity);
        }
    }
    Ok(())
}

impl Shared {
    pub(crate) fn new(config: NodeConfig, recorder: Recorder, logs: Logs, host_resolv: Resolv, capacity: Allocatable) -> Self {
        let trust = Trust::new(config.cluster_ca.clone());
        Self {
            client: Arc::new(config.client.clone()),
            recorder,
            logs,
            programs: Programs::default(),
            tools: Tools::default(),
            changes: Changes::new(config.client.clone()),
            trust,
            host_resolv,
            capacity,
            pods_at_rest: Dictionary::default(),
            ipam: OnceLock::new(),
            admitted: Mutex::default(),
            config,
        }
    }

    /// Admits a Pod if it fits beside those admitted already; a Pod that ran before is always admitted.
    pub(crate) fn admit(&self, uid: &str, pod: &Pod, before: bool) -> Result<(), (String, String)> {
        let wants = Requests::of(pod);
        let mut admitted = self.admitted.lock();
        if !before && !admitted.contains_key(uid) {
            let used = admitted.values().fold(Requests::default(), |sum, r| sum.plus(*r));
            let mut capacity = self.capacity;
            if let Some(ipam) = self.ipam.get() {
                capacity.pods = capacity.pods.min(i64::from(Ipam::capacity(ipam.cidr())));
            }
            fits(capacity, used, admitted.len(), wants)?;
        }
        admitted.insert(uid.to_owned(), wants);
        Ok(())
    }

    /// The Pod holds nothing any more.
    pub(crate) fn dismiss(&self, uid: &str) {
        self.admitted.lock().remove(uid);
    }

    /// The folder of a Pod.
    pub(crate) fn pod_dir(&self, uid: &str) -> PathBuf {
        self.config.data_dir.join("pods").join(uid)
    }

    /// The handlers of the process.
    pub(crate) fn handlers(&self) -> &Arc<handlers::Handlers> {
        &self.config.handlers
    }
}

/// What the tasks of one Pod share.
pub(crate) struct PodContext {
    pub(crate) node: Arc<Shared>,
    pub(crate) uid: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) objects: Objects,
    pub(crate) tokens: Tokens,
    pub(crate) key_value: PodKeyValue,
    /// There once the Pod is prepared.
    pub(crate) wired: ArcSwapOption<Wired>,
    /// The uid of the Pod in the API: another one than this Pod's where a mirror shows it, and none while there is no mirror.
    pub(crate) object: ArcSwapOption<String>,
    /// For the kubelet API.
    pub(crate) view: ArcSwap<View>,
}

/// A Pod's network.
pub(crate) struct Wired {
    pub(crate) network: Arc<PodNetwork>,
    pub(crate) outgoing: Arc<dyn Outgoing>,
}

/// What the kubelet API shows of a Pod.
#[derive(Default)]
pub(crate) struct View {
    pub(crate) pod: Option<Arc<Kept<Pod>>>,
    pub(crate) record: Arc<PodRecord>,
    /// By container: the way into it, while it runs.
    pub(crate) doors: HashMap<String, Arc<Door>>,
}

impl PodContext {
    pub(crate) fn new(node: Arc<Shared>, pod: &Pod) -> Self {
        let meta = &pod.metadata;
        let (uid, namespace, name) = (meta.uid.clone().unwrap_or_default(), meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default());
        let client = node.client.clone();
        Self {
            key_value: PodKeyValue::new(node.config.key_value.clone(), client.clone(), &namespace),
            objects: Objects::new(client.clone(), &namespace),
            tokens: Tokens::new(client, &namespace, &name, &uid),
            wired: ArcSwapOption::empty(),
            object: ArcSwapOption::from_pointee(uid.clone()),
            view: ArcSwap::default(),
            node,
            uid,
            namespace,
            name,
        }
    }

    /// The Pod's folder.
    pub(crate) fn dir(&self) -> PathBuf {
        self.node.pod_dir(&self.uid)
    }

    /// The folder of its logs.
    pub(crate) fn log_dir(&self) -> PathBuf {
        self.node.logs.pod_dir(&self.namespace, &self.name, &self.uid)
    }

    /// What the node knows of the Pod for its downward API.
    pub(crate) fn facts(&self) -> PodFacts {
        let ip: Option<Ipv4Addr> = self.wired.load().as_ref().map(|w| w.network.ip());
        PodFacts { pod_ip: ip.map(Into::into), host_ip: self.node.config.address.into(), allocatable: self.node.capacity }
    }

    /// A container of the Pod, for probes and hooks.
    pub(crate) fn target(&self, door: &Arc<Door>) -> Option<Target> {
        let config = &self.node.config;
        Some(Target {
            net: config.net.clone(),
            handlers: config.handlers.clone(),
            pod: self.wired.load().as_ref()?.network.ip(),
            node: config.address,
            exec: Arc::new(Inside { node: self.node.clone(), door: door.clone() }),
        })
    }

    /// The Pod as messages name it.
    pub(crate) fn long_name(&self) -> String {
        format!("{}_{}({})", self.name, self.namespace, self.uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_pod_asks_for() {
        let pod: Pod = serde_json::from_value(serde_json::json!({"metadata": {}, "spec": {
            "initContainers": [
                {"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "100m"}}},
                {"name": "i", "resources": {"requests": {"cpu": "2", "memory": "1Mi"}}}],
            "containers": [{"name": "a", "resources": {"requests": {"cpu": "1", "memory": "64Mi"}}}, {"name": "b", "resources": {"requests": {"cpu": "250m"}}}]}}))
        .unwrap();
        assert_eq!(Requests::of(&pod), Requests { cpu_millis: 2100, memory: 64 << 20, ephemeral_storage: 0 });
    }

    #[test]
    fn what_does_not_fit() {
        let capacity = Allocatable { cpu_millis: 2000, memory: 1 << 30, ephemeral_storage: 1 << 30, pods: 2 };
        let used = Requests { cpu_millis: 1500, memory: 0, ephemeral_storage: 0 };
        let wants = |cpu_millis| Requests { cpu_millis, memory: 0, ephemeral_storage: 0 };
        assert_eq!(fits(capacity, used, 1, wants(500)), Ok(()));
        assert_eq!(
            fits(capacity, used, 1, wants(501)),
            Err(("OutOfcpu".to_owned(), "Node didn't have enough resource: cpu, requested: 501, used: 1500, capacity: 2000".to_owned()))
        );
        assert_eq!(fits(capacity, Requests::default(), 2, wants(0)).unwrap_err().0, "OutOfpods");
    }
}
