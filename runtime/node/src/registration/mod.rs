//! The Node object: registered, kept up to date, and its Lease renewed.

mod machine;
pub mod object;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use ipnet::Ipv4Net;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::{Node, NodeStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use serde_json::json;
use tokio_util::sync::CancellationToken;

pub use machine::Machine;
use object::{Observed, node, status};

use crate::NodeError;
use crate::events::Kind;
use crate::pod::context::Shared;

/// How often the node looks at itself.
const LOOK: Duration = Duration::from_secs(10);
/// How often its status is written although nothing changed.
const REPORT: Duration = Duration::from_secs(300);
/// How long a Lease is good for, in seconds; it is renewed every quarter of that.
const LEASE: i32 = 40;
/// Between tries while the API does not answer.
const RETRY: Duration = Duration::from_millis(250);

/// The node's own object in the API.
pub(crate) struct Registration {
    shared: Arc<Shared>,
    machine: Machine,
    api: kube::Api<Node>,
}

impl Registration {
    pub(crate) fn new(shared: Arc<Shared>, machine: Machine) -> Self {
        let api = kube::Api::all(shared.config.client.clone());
        Self { shared, machine, api }
    }

    /// Makes the Node object (or brings an old one up to date), waits until it has a Pod CIDR, and says that the node is ready.
    pub(crate) async fn register(&self) -> Result<(Ipv4Net, Node), NodeError> {
        let name = &self.shared.config.name;
        let registered = loop {
            match self.create().await {
                Ok(node) => break node,
                Err(error) => {
                    tracing::warn!(node = name, %error, "registering the node failed, it will be tried again");
                    tokio::time::sleep(RETRY).await;
                }
            }
        };
        self.shared.recorder.node(name, Kind::Normal, "Starting", "Starting kubelet.");
        for reason in ["NodeHasSufficientMemory", "NodeHasNoDiskPressure", "NodeHasSufficientPID"] {
            self.shared.recorder.node(name, Kind::Normal, reason, format!("Node {name} status is now: {reason}"));
        }
        let node = self.with_cidr(registered).await;
        let text = node.spec.as_ref().and_then(|s| s.pod_cidr.clone()).unwrap_or_default();
        let cidr = text.parse().map_err(|_| NodeError::PodCidr(text))?;
        Ok((cidr, node))
    }

    async fn create(&self) -> kube::Result<Node> {
        let config = &self.shared.config;
        let mut wanted = node(config, &self.machine, &self.observed(false, None), Timestamp::now());
        let mut created = self.api.create(&PostParams::default(), &wanted).await;
        if matches!(&created, Err(kube::Error::Api(status)) if status.code == 403) && config.control_plane {
            // A node may not give itself a role: an administrator has to.
            if let Some(labels) = &mut wanted.metadata.labels {
                labels.remove(object::CONTROL_PLANE);
            }
            created = self.api.create(&PostParams::default(), &wanted).await;
        }
        match created {
            Err(kube::Error::Api(status)) if status.code == 409 => {
                if let Some(labels) = &mut wanted.metadata.labels {
                    labels.remove(object::CONTROL_PLANE);
                }
                let labels = json!({"metadata": {"labels": wanted.metadata.labels}});
                self.api.patch(&config.name, &PatchParams::default(), &Patch::Merge(labels)).await
            }
            other => other,
        }
    }

    /// Waits for the Pod CIDR, on a watch.
    async fn with_cidr(&self, registered: Node) -> Node {
        let has = |node: &Node| node.spec.as_ref().is_some_and(|s| s.pod_cidr.as_deref().is_some_and(|c| !c.is_empty()));
        if has(&registered) {
            return registered;
        }
        let config = watcher::Config::default().fields(&format!("metadata.name={}", self.shared.config.name)).streaming_lists();
        let mut events = std::pin::pin!(watcher::watcher(self.api.clone(), config).default_backoff());
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::InitApply(node) | Event::Apply(node)) if has(&node) => return node,
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "watching the own Node"),
            }
        }
        registered
    }

    fn observed(&self, ready: bool, cidr: Option<Ipv4Net>) -> Observed {
        Observed {
            ready,
            pods: match cidr {
                Some(cidr) => self.shared.config.max_pods.min(crate::ipam::Ipam::capacity(cidr)),
                None => self.shared.config.max_pods,
            },
            disk_free: machine::disk(&self.shared.config.data_dir).map(|(_, free)| free),
            images: self.shared.config.images.list().into_iter().map(|i| (i.names, i.size)).collect(),
        }
    }

    /// Keeps the status true until `token` is cancelled.
    pub(crate) async fn keep(&self, cidr: Ipv4Net, mut last: Node, token: CancellationToken) {
        let mut written: Option<(NodeStatus, tokio::time::Instant)> = None;
        loop {
            let now = Timestamp::now();
            let wanted = status(&self.shared.config, &self.machine, &self.observed(true, Some(cidr)), last.status.as_ref(), now);
            let due = written.as_ref().is_none_or(|(before, at)| at.elapsed() >= REPORT || !object::same(before, &wanted));
            let mut wait = LOOK;
            if due {
                let patch = json!({"status": wanted});
                match self.api.patch_status(&self.shared.config.name, &PatchParams::default(), &Patch::Merge(patch)).await {
                    Ok(node) => {
                        if written.is_none() {
                            let name = &self.shared.config.name;
                            self.shared.recorder.node(name, Kind::Normal, "NodeReady", format!("Node {name} status is now: NodeReady"));
                        }
                        last = node;
                        written = Some((wanted, tokio::time::Instant::now()));
                    }
                    Err(kube::Error::Api(status)) if status.code == 404 => {
                        // Somebody deleted it: a running node is there again at once, as upstream's.
                        match self.create().await {
                            Ok(node) => last = self.with_cidr(node).await,
                            Err(error) => tracing::warn!(%error, "registering the node again failed"),
                        }
                        written = None;
                        wait = RETRY;
                    }
                    Err(error) => {
                        tracing::debug!(%error, "writing the node's status");
                        wait = Duration::from_secs(1);
                    }
                }
            }
            tokio::select! {
                () = token.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Renews the Lease until `token` is cancelled.
    pub(crate) async fn heartbeat(&self, owner: Node, token: CancellationToken) {
        let api: kube::Api<Lease> = kube::Api::namespaced(self.shared.config.client.clone(), "kube-node-lease");
        let name = &self.shared.config.name;
        let every = Duration::from_secs(u64::from(LEASE.unsigned_abs()) / 4);
        loop {
            let renew = json!({"spec": {"renewTime": MicroTime(Timestamp::now())}});
            let renewed = match api.patch(name, &PatchParams::default(), &Patch::Merge(renew)).await {
                Err(kube::Error::Api(status)) if status.code == 404 => api.create(&PostParams::default(), &self.lease(&owner)).await,
                other => other,
            };
            let wait = match renewed {
                Ok(_) => every,
                Err(error) => {
                    tracing::debug!(%error, "renewing the node's Lease");
                    Duration::from_secs(1)
                }
            };
            tokio::select! {
                () = token.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn lease(&self, owner: &Node) -> Lease {
        let name = self.shared.config.name.clone();
        let owner = OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Node".to_owned(),
            name: name.clone(),
            uid: owner.metadata.uid.clone().unwrap_or_default(),
            ..Default::default()
        };
        let metadata =
            ObjectMeta { name: Some(name.clone()), namespace: Some("kube-node-lease".to_owned()), owner_references: Some(vec![owner]), ..Default::default() };
        let spec =
            LeaseSpec { holder_identity: Some(name), lease_duration_seconds: Some(LEASE), renew_time: Some(MicroTime(Timestamp::now())), ..Default::default() };
        Lease { metadata, spec: Some(spec) }
    }
}
