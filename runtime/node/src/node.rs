//! The node: its parts, and the task tree that runs them.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::events::{Recorder, Writer};
use crate::exec::PodStreams;
use crate::ipam::Ipam;
use crate::logs::Logs;
use crate::pod::context::Shared;
use crate::pods::Pods;
use crate::registration::{Machine, Registration};
use crate::streams::Streams;
use crate::world::etc::Resolv;
use crate::{Handlers, NodeConfig, NodeError, images, kubelet};

/// A node of the cluster. Cheap to clone.
#[derive(Clone)]
pub struct Node {
    shared: Arc<Shared>,
    pods: Arc<Pods>,
    machine: Machine,
    /// Runs once.
    events: Arc<Mutex<Option<Writer>>>,
}

impl Node {
    /// Sets the node up on its folder. Nothing runs yet.
    pub fn new(config: NodeConfig) -> Result<Self, NodeError> {
        for dir in [config.data_dir.clone(), config.data_dir.join("pods"), config.data_dir.join("logs")] {
            private(&dir)?;
        }
        let machine = Machine::here(&config.data_dir);
        let (recorder, events) = Recorder::new(config.client.clone(), &config.name);
        let logs = Logs::new(config.data_dir.join("logs"));
        let host = std::fs::read_to_string("/etc/resolv.conf").map(|text| Resolv::parse(&text)).unwrap_or_default();
        let capacity = machine.allocatable(config.max_pods);
        let shared = Arc::new(Shared::new(config, recorder, logs, host, capacity));
        let pods = Pods::new(shared.clone());
        Ok(Self { shared, pods, machine, events: Arc::new(Mutex::new(Some(events))) })
    }

    /// Registers the node and runs Pods until `token` is cancelled; then ends all containers and returns. The Pods stay in the API, and a
    /// later process on the same folder takes them up again.
    pub async fn run(&self, token: CancellationToken) -> Result<(), NodeError> {
        let services = tokio::spawn({
            let (links, client, token) = (self.shared.config.services.clone(), self.shared.config.client.clone(), token.clone());
            async move { links.run(client, token).await }
        });
        let ended = CancellationToken::new();
        let events = self.events.lock().take().map(|writer| tokio::spawn(writer.run(ended.clone())));
        let registration = Registration::new(self.shared.clone(), self.machine.clone());
        let registered = tokio::select! {
            () = token.cancelled() => return Ok(()),
            registered = registration.register() => registered,
        };
        let (cidr, node) = registered?;
        self.shared.config.net.add_local(cidr);
        let _ = self.shared.ipam.set(Ipam::new(cidr));
        tracing::info!(node = self.shared.config.name, pod_cidr = %cidr, "node registered");
        tokio::join!(
            registration.keep(cidr, node.clone(), token.clone()),
            registration.heartbeat(node, token.clone()),
            self.pods.run(token.clone()),
            images::collect(&self.shared, &token)
        );
        // What happened to the end is told before the end.
        ended.cancel();
        for task in [Some(services), events].into_iter().flatten() {
            let _ = task.await;
        }
        Ok(())
    }

    /// The kubelet API, to be called in process; the caller is trusted. See [`crate::serve_kubelet`] for the network.
    pub fn kubelet(&self) -> axum::Router {
        kubelet::router(self.shared.clone(), self.pods.clone(), self.streams())
    }

    /// What `exec`, `attach` and `port-forward` ask of the node's Pods.
    pub fn streams(&self) -> Arc<dyn Streams> {
        Arc::new(PodStreams { node: self.shared.clone(), pods: self.pods.clone() })
    }

    /// The handlers of this process' `wasi:http` containers.
    pub fn handlers(&self) -> Arc<Handlers> {
        self.shared.config.handlers.clone()
    }
}

fn private(dir: &PathBuf) -> Result<(), NodeError> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|source| NodeError::Folder { path: dir.clone(), source })
}
