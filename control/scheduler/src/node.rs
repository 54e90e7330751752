//! Nodes with what runs on them, and all of them together.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Taint};

use crate::pod::{HostPort, PodInfo};
use crate::resources::Resources;
use crate::surroundings::Surroundings;

/// A node, as the scheduler sees it.
#[derive(Clone, Debug, Default)]
pub struct NodeInfo {
    /// `metadata.name`
    pub name: Arc<str>,
    /// `metadata.labels`
    pub labels: BTreeMap<String, String>,
    /// `spec.taints`
    pub taints: Vec<Taint>,
    /// `spec.unschedulable`
    pub unschedulable: bool,
    /// `status.allocatable`
    pub allocatable: Resources,
    /// The sum of its Pods' requests.
    pub requested: Resources,
    /// The same sum as nodes are compared by.
    pub compared: Resources,
    /// Its Pods by uid, assumed ones among them.
    pub pods: HashMap<Arc<str>, Arc<PodInfo>>,
    /// Ports of the node that are taken, and by how many.
    ports: BTreeMap<HostPort, usize>,
    /// The node object is there (Pods may be seen before their node, and after).
    pub present: bool,
}

impl NodeInfo {
    /// Takes what matters out of a node; its Pods stay. Whether anything that could let more Pods in has changed.
    pub fn update(&mut self, node: &Node) -> bool {
        let labels = node.metadata.labels.clone().unwrap_or_default();
        let taints = node.spec.as_ref().and_then(|s| s.taints.clone()).unwrap_or_default();
        let unschedulable = node.spec.as_ref().and_then(|s| s.unschedulable).unwrap_or(false);
        let allocatable = Resources::parse(node.status.as_ref().and_then(|s| s.allocatable.as_ref().or(s.capacity.as_ref())));
        let same = self.present && labels == self.labels && taints == self.taints && unschedulable == self.unschedulable && allocatable == self.allocatable;
        (self.labels, self.taints, self.unschedulable, self.allocatable, self.present) = (labels, taints, unschedulable, allocatable, true);
        !same
    }

    fn add(&mut self, pod: Arc<PodInfo>) {
        self.requested.add(&pod.requests);
        self.compared.add(&pod.compared);
        for port in &*pod.ports {
            *self.ports.entry(port.clone()).or_default() += 1;
        }
        self.pods.insert(pod.uid.clone(), pod);
    }

    fn remove(&mut self, uid: &str) -> Option<Arc<PodInfo>> {
        let pod = self.pods.remove(uid)?;
        self.requested.remove(&pod.requests);
        self.compared.remove(&pod.compared);
        for port in &*pod.ports {
            if let Some(count) = self.ports.get_mut(port) {
                *count -= 1;
                if *count == 0 {
                    self.ports.remove(port);
                }
            }
        }
        Some(pod)
    }

    /// Whether a port is taken: the same protocol and number, on the same address or on all.
    pub fn has_port(&self, wanted: &HostPort) -> bool {
        const ALL: &str = "0.0.0.0";
        self.ports.keys().any(|p| p.port == wanted.port && p.protocol == wanted.protocol && (p.ip == wanted.ip || p.ip == ALL || wanted.ip == ALL))
    }
}

/// All nodes, with all Pods that have one.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    nodes: Vec<NodeInfo>,
    index: HashMap<Arc<str>, usize>,
    /// Pod uid → node name.
    places: HashMap<Arc<str>, Arc<str>>,
    /// Uids of placed Pods that have wishes about others: each decision asks them.
    affine: BTreeSet<Arc<str>>,
    /// What else there is.
    pub surroundings: Surroundings,
}

impl Snapshot {
    /// The nodes that there are, in a stable order.
    pub fn nodes(&self) -> &[NodeInfo] {
        &self.nodes
    }

    /// One of them.
    pub fn node(&self, name: &str) -> Option<&NodeInfo> {
        self.index.get(name).map(|i| &self.nodes[*i])
    }

    /// A node was added or changed. Whether that could let more Pods in.
    pub fn apply_node(&mut self, node: &Node) -> bool {
        self.entry(node.metadata.name.as_deref().unwrap_or_default()).update(node)
    }

    /// A node is gone. Pods that are still on it keep their sums until they go.
    pub fn remove_node(&mut self, name: &str) {
        if let Some(index) = self.index.get(name).copied() {
            self.nodes[index].present = false;
            self.drop_if_empty(name);
        }
    }

    /// Names of the nodes that are present.
    pub fn names(&self) -> Vec<Arc<str>> {
        self.nodes.iter().filter(|n| n.present).map(|n| n.name.clone()).collect()
    }

    /// A Pod is on a node (or is assumed to be). If it was known elsewhere, it moves.
    pub fn place(&mut self, pod: Arc<PodInfo>, node: &str) {
        self.remove_pod(&pod.uid);
        if pod.near.is_some() {
            self.affine.insert(pod.uid.clone());
        }
        let uid = pod.uid.clone();
        let entry = self.entry(node);
        entry.add(pod);
        let node = entry.name.clone();
        self.places.insert(uid, node);
    }

    /// A Pod has gone, or has ended.
    pub fn remove_pod(&mut self, uid: &str) -> Option<Arc<PodInfo>> {
        let node = self.places.remove(uid)?;
        self.affine.remove(uid);
        let index = self.index.get(&node).copied()?;
        let removed = self.nodes[index].remove(uid);
        self.drop_if_empty(&node);
        removed
    }

    /// Where a Pod is.
    pub fn place_of(&self, uid: &str) -> Option<&str> {
        self.places.get(uid).map(|node| &**node)
    }

    /// Placed Pods that have wishes about others, and their nodes.
    pub fn affine(&self) -> impl Iterator<Item = (&PodInfo, &NodeInfo)> {
        self.affine.iter().filter_map(|uid| {
            let node = self.node(self.place_of(uid)?)?;
            Some((&**node.pods.get(uid)?, node))
        })
    }

    /// Uids of all Pods with a place.
    pub fn placed(&self) -> impl Iterator<Item = &Arc<str>> {
        self.places.keys()
    }

    fn entry(&mut self, name: &str) -> &mut NodeInfo {
        let index = self.index.get(name).copied().unwrap_or_else(|| {
            let name: Arc<str> = name.into();
            self.nodes.push(NodeInfo { name: name.clone(), ..NodeInfo::default() });
            self.index.insert(name, self.nodes.len() - 1);
            self.nodes.len() - 1
        });
        &mut self.nodes[index]
    }

    fn drop_if_empty(&mut self, name: &str) {
        let Some(index) = self.index.get(name).copied() else { return };
        if self.nodes[index].present || !self.nodes[index].pods.is_empty() {
            return;
        }
        self.nodes.swap_remove(index);
        self.index.remove(name);
        if let Some(moved) = self.nodes.get(index) {
            self.index.insert(moved.name.clone(), index);
        }
    }
}
