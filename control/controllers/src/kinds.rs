//! The kinds that are cached whole: what is dropped of them, and how they are found again.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{
    Affinity, ConfigMap, Container, Endpoints, Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, ReplicationController, ResourceQuota, Service,
    ServiceAccount, Volume,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::cache::Cache;
use crate::resource::{Typed, controller_of, namespace};

/// Labels, as objects have them.
pub type Labels = BTreeMap<String, String>;

impl Typed for CertificateSigningRequest {
    const NAMESPACED: bool = false;
}
impl Typed for ClusterRole {
    const NAMESPACED: bool = false;
}
impl Typed for ControllerRevision {}
impl Typed for CronJob {}
impl Typed for DaemonSet {}
impl Typed for Deployment {}
impl Typed for Endpoints {}
impl Typed for Job {}
impl Typed for Lease {}
impl Typed for PersistentVolume {
    const NAMESPACED: bool = false;
}
impl Typed for PersistentVolumeClaim {}
impl Typed for PodDisruptionBudget {}
impl Typed for ReplicaSet {}
impl Typed for ReplicationController {}
impl Typed for ResourceQuota {}
impl Typed for Service {}
impl Typed for StatefulSet {}

impl Typed for EndpointSlice {
    fn index(&self, into: &mut Vec<String>) {
        if let Some(service) = self.metadata.labels.as_ref().and_then(|l| l.get("kubernetes.io/service-name")) {
            into.push(format!("service/{}/{service}", namespace(&self.metadata)));
        }
    }
}

impl Typed for ServiceAccount {
    fn strip(&mut self) {
        self.secrets = None;
        self.image_pull_secrets = None;
    }
}

impl Typed for Namespace {
    const NAMESPACED: bool = false;
}

impl Typed for Node {
    const NAMESPACED: bool = false;
    fn strip(&mut self) {
        if let Some(status) = &mut self.status {
            status.images = None;
        }
    }
}

impl Typed for ConfigMap {
    fn strip(&mut self) {
        if self.metadata.name.as_deref() != Some("kube-root-ca.crt") {
            self.data = None;
        }
        self.binary_data = None;
    }
}

impl Typed for Pod {
    fn strip(&mut self) {
        // What is read element by element has room for more of them; there may be a great many Pods.
        if let Some(owners) = &mut self.metadata.owner_references {
            owners.shrink_to_fit();
        }
        if let Some(spec) = &mut self.spec {
            let claim = |v: &Volume| v.persistent_volume_claim.is_some() || v.ephemeral.is_some();
            spec.volumes = spec.volumes.take().map(|all| all.into_iter().filter(claim).collect()).filter(|all: &Vec<_>| !all.is_empty());
            spec.affinity = spec.affinity.take().and_then(to_a_name);
            spec.topology_spread_constraints = None;
            spec.image_pull_secrets = None;
            spec.ephemeral_containers = None;
            for container in spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()) {
                *container = Container {
                    name: std::mem::take(&mut container.name),
                    ports: container.ports.take(),
                    resources: container.resources.take(),
                    restart_policy: container.restart_policy.take(),
                    ..Container::default()
                };
            }
            // What is read of them is ports and resources, and most have none.
            let says = |c: &Container| {
                let some = |m: &Option<BTreeMap<_, _>>| m.as_ref().is_some_and(|m| !m.is_empty());
                c.ports.is_some() || c.resources.as_ref().is_some_and(|r| some(&r.requests) || some(&r.limits))
            };
            spec.containers.retain(says);
            spec.containers.shrink_to_fit();
            spec.init_containers = spec.init_containers.take().map(|c| c.into_iter().filter(says).collect()).filter(|c: &Vec<_>| !c.is_empty());
            spec.tolerations.iter_mut().for_each(Vec::shrink_to_fit);
        }
        if let Some(status) = &mut self.status {
            status.ephemeral_container_statuses = None;
            for container in status.container_statuses.iter_mut().flatten().chain(status.init_container_statuses.iter_mut().flatten()) {
                container.last_state = None;
                if let Some(ended) = container.state.as_mut().and_then(|s| s.terminated.as_mut()) {
                    ended.message = None;
                }
                container.resources = None;
                container.allocated_resources = None;
            }
            status.conditions.iter_mut().for_each(Vec::shrink_to_fit);
            status.container_statuses.iter_mut().for_each(Vec::shrink_to_fit);
            status.pod_ips.iter_mut().for_each(Vec::shrink_to_fit);
            status.host_ips.iter_mut().for_each(Vec::shrink_to_fit);
        }
    }

    fn index(&self, into: &mut Vec<String>) {
        if let Some(node) = self.spec.as_ref().and_then(|s| s.node_name.as_deref()) {
            into.push(format!("node/{node}"));
        }
        for (key, value) in self.metadata.labels.iter().flatten() {
            into.push(label_term(namespace(&self.metadata), key, value));
        }
        if matches!(self.status.as_ref().and_then(|s| s.phase.as_deref()), Some("Succeeded" | "Failed")) {
            into.push("terminated".to_owned());
        }
        claims(self).for_each(|claim| into.push(claim_term(namespace(&self.metadata), &claim)));
        if let Some(job) = tracked_by_job(self) {
            into.push(format!("job/{}/{job}", namespace(&self.metadata)));
        }
    }
}

/// The claims that a Pod's volumes are of: those that it names, and those that are made for it.
pub fn claims(pod: &Pod) -> impl Iterator<Item = String> {
    pod.spec.iter().flat_map(|s| s.volumes.iter().flatten()).filter_map(|volume| match &volume.persistent_volume_claim {
        Some(named) => Some(named.claim_name.clone()),
        None => volume.ephemeral.as_ref().map(|_| format!("{}-{}", pod.metadata.name.as_deref().unwrap_or_default(), volume.name)),
    })
}

/// The term under which the Pods that use a claim are found.
pub fn claim_term(namespace: &str, claim: &str) -> String {
    format!("claim/{namespace}/{claim}")
}

/// The finalizer that a Job's Pods carry until they are counted.
pub const JOB_TRACKING: &str = "batch.kubernetes.io/job-tracking";

/// The name of the Job by which a Pod has yet to be counted: of the one that controls it, or did.
pub fn tracked_by_job(pod: &Pod) -> Option<&str> {
    pod.metadata.finalizers.iter().flatten().find(|f| *f == JOB_TRACKING)?;
    match controller_of(&pod.metadata) {
        Some(owner) => (owner.kind == "Job").then_some(owner.name.as_str()),
        None => pod.metadata.labels.as_ref()?.get("batch.kubernetes.io/job-name").map(String::as_str),
    }
}

/// Of an affinity what ties a DaemonSet's Pod to its node: terms of fields.
fn to_a_name(affinity: Affinity) -> Option<Affinity> {
    let mut node = affinity.node_affinity?;
    node.preferred_during_scheduling_ignored_during_execution = None;
    let terms = &mut node.required_during_scheduling_ignored_during_execution.as_mut()?.node_selector_terms;
    terms.retain(|t| t.match_fields.is_some());
    terms.iter_mut().for_each(|t| t.match_expressions = None);
    (!terms.is_empty()).then(|| Affinity { node_affinity: Some(node), ..Affinity::default() })
}

fn label_term(namespace: &str, key: &str, value: &str) -> String {
    format!("label/{namespace}/{key}={value}")
}

/// The Pods of a namespace whose labels hold the whole selector, which is not empty.
pub fn pods_selected(pods: &Cache<Pod>, namespace: &str, selector: &Labels) -> Vec<std::sync::Arc<Pod>> {
    let rarest = selector.iter().map(|(k, v)| label_term(namespace, k, v)).min_by_key(|term| pods.count(term));
    let mut found = rarest.map(|term| pods.by(&term)).unwrap_or_default();
    found.retain(|pod| holds(pod.metadata.labels.as_ref(), selector));
    found
}

/// Whether the labels hold every pair of the selector.
pub fn holds(labels: Option<&Labels>, selector: &Labels) -> bool {
    selector.iter().all(|(key, value)| labels.and_then(|l| l.get(key)) == Some(value))
}

/// Whether a `LabelSelector` matches. The empty selector matches everything, an unknown operator nothing.
pub fn matches(selector: &LabelSelector, labels: Option<&Labels>) -> bool {
    let value = |key: &str| labels.and_then(|l| l.get(key));
    selector.match_labels.as_ref().is_none_or(|m| holds(labels, m))
        && selector.match_expressions.iter().flatten().all(|e| {
            let among = |v: &String| e.values.iter().flatten().any(|x| x == v);
            match e.operator.as_str() {
                "In" => value(&e.key).is_some_and(among),
                "NotIn" => !value(&e.key).is_some_and(among),
                "Exists" => value(&e.key).is_some(),
                "DoesNotExist" => value(&e.key).is_none(),
                _ => false,
            }
        })
}

/// Whether a selector selects everything, as the empty one does.
pub fn selects_everything(selector: &LabelSelector) -> bool {
    selector.match_labels.as_ref().is_none_or(BTreeMap::is_empty) && selector.match_expressions.as_ref().is_none_or(Vec::is_empty)
}
