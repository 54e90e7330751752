//! This process' kube-proxy: keeps [`ClusterNet`]'s Services, and lets native programs reach them.
//!
//! Guests need no proxy: their dials are decided in the host function. For everything else on the host there is a listener on each ClusterIP's
//! kernel address and on each node port; it is made in the background, some time after the Service.

mod feed;
mod listen;
mod udp;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use kube::Client;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use wharf_net::ClusterNet;

/// What the proxy is told.
#[derive(Clone, Debug)]
pub struct ServiceProxyOptions {
    /// Whether to listen for native programs at all.
    pub listen: bool,
    /// Cluster addresses of this process' nodes: node ports are served there (at their kernel addresses).
    pub nodes: Vec<Ipv4Addr>,
    /// Further addresses that serve node ports (127.0.0.1).
    pub node_port_addresses: Vec<IpAddr>,
    /// Listeners at one time; Services beyond them are for guests only.
    pub max_listeners: usize,
    /// Connections (and UDP clients) at one time over all listeners.
    pub max_connections: usize,
}

impl Default for ServiceProxyOptions {
    fn default() -> ServiceProxyOptions {
        ServiceProxyOptions {
            listen: true,
            nodes: Vec::new(),
            node_port_addresses: vec![Ipv4Addr::LOCALHOST.into()],
            max_listeners: 2048,
            max_connections: 4096,
        }
    }
}

/// Started once per process.
pub struct ServiceProxy {
    net: Arc<ClusterNet>,
    options: ServiceProxyOptions,
    changed: Notify,
    /// Services and EndpointSlices have been listed once.
    listed: watch::Sender<(bool, bool)>,
}

impl ServiceProxy {
    /// A proxy for this network; [`ServiceProxy::run`] starts it.
    pub fn new(net: Arc<ClusterNet>, options: ServiceProxyOptions) -> Arc<ServiceProxy> {
        Arc::new(ServiceProxy { net, options, changed: Notify::new(), listed: watch::Sender::new((false, false)) })
    }

    /// Watches Services and EndpointSlices (as `system:kube-proxy`) and keeps the listeners, until the token is cancelled.
    pub async fn run(self: Arc<Self>, client: Client, token: CancellationToken) {
        let keep_listeners = async { if self.options.listen { self.keep_listeners().await } else { std::future::pending().await } };
        tokio::select! {
            () = token.cancelled() => {}
            () = self.follow_services(client.clone()) => {}
            () = self.follow_slices(client) => {}
            () = keep_listeners => {}
        }
    }

    /// Waits until all Services and EndpointSlices are known.
    pub async fn synced(&self) {
        // The sender lives as long as `self`.
        let _ = self.listed.subscribe().wait_for(|(services, slices)| *services && *slices).await;
    }
}
