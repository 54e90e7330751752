//! Kubernetes' controllers: one file per controller under `controllers`, and the one runner they share.
//!
//! A controller is a pure, level-triggered `plan(world, key) -> Vec<Action>`: it depends on what is, not on what
//! happened. The runner watches, queues, retries with backoff, performs the actions and records Events; it never plans
//! a key again before the caches have seen the last write made for it.
//!
//! Adding a controller is one new file and one line in `controllers::all`.

pub mod action;
pub mod cache;
pub mod controllers;
mod events;
mod few;
pub mod graph;
mod history;
mod informer;
mod kinds;
mod perform;
mod pods;
pub mod queue;
pub mod resource;
mod runner;
pub mod world;

#[cfg(test)]
mod fake_api;
#[cfg(test)]
mod testing;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::tz::TimeZone;
use tokio_util::sync::CancellationToken;

/// The account under which all shared informers list and watch. It is the user `system:kube-controller-manager`,
/// not a ServiceAccount: the bootstrap policy lets it list and watch everything.
pub const SHARED_INFORMERS: &str = "kube-controller-manager";

/// Hands out a client for an account: [`SHARED_INFORMERS`], or the name of a ServiceAccount of `kube-system`
/// (`deployment-controller`, `generic-garbage-collector`, …), which is the user `system:serviceaccount:kube-system:NAME`.
pub type Clients = Arc<dyn Fn(&'static str) -> kube::Client + Send + Sync>;

/// What a cluster may want otherwise. The defaults are kube-controller-manager's.
#[derive(Clone, Debug)]
pub struct Options {
    /// The cluster's CA certificate (PEM), published as the ConfigMap `kube-root-ca.crt` of each namespace.
    pub ca_pem: String,
    /// The Pods' network, such as `10.244.0.0/16`, from which nodes get their `spec.podCIDR`; `None`: nodes bring their own.
    pub cluster_cidr: Option<String>,
    /// Prefix length of a node's part of the network.
    pub node_cidr_mask_size: u8,
    /// A node whose Lease was not renewed for so long is unhealthy.
    pub node_monitor_grace_period: Duration,
    /// More terminated Pods than this are deleted, oldest first.
    pub terminated_pod_gc_threshold: usize,
    /// By which CronJobs go that name no time zone.
    pub time_zone: TimeZone,
    /// Signs the certificates that CertificateSigningRequests ask for; `None`: nobody here does.
    pub signer: Option<Arc<dyn Signer>>,
}

/// The cluster's certificate authority.
pub trait Signer: Send + Sync + std::fmt::Debug {
    /// Signs a request (PEM) for client or server use or both, for so many seconds at most. Errors are in words.
    fn sign(&self, request: &str, client: bool, server: bool, seconds: Option<i32>) -> Result<String, String>;
}

impl Default for Options {
    fn default() -> Self {
        Options {
            ca_pem: String::new(),
            cluster_cidr: Some("10.244.0.0/16".to_owned()),
            node_cidr_mask_size: 24,
            node_monitor_grace_period: Duration::from_secs(40),
            terminated_pod_gc_threshold: 12_500,
            time_zone: TimeZone::system(),
            signer: None,
        }
    }
}

/// Why the controllers could not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An option makes no sense.
    #[error("invalid option {option}: {reason}")]
    Option {
        /// Its name.
        option: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

/// Runs all controllers until `token` is cancelled; what was begun by then is finished.
pub async fn run(clients: Clients, options: Options, token: CancellationToken) -> Result<(), Error> {
    if let Some(cidr) = &options.cluster_cidr {
        controllers::node_ipam::Pool::new(cidr, options.node_cidr_mask_size).map_err(|reason| Error::Option { option: "cluster_cidr", reason })?;
    }
    runner::run(clients, Arc::new(world::World::new(options)), controllers::all(), token).await;
    Ok(())
}
