//! What an API server is made of.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::Ipv4Net;
use wharf_store::Store;

use crate::node::{NodeDialer, PodDialer, Routes};
use crate::pki::Pki;
use crate::plugins::{NoPlugins, PluginRunner};

/// What an API server is made of.
#[derive(Clone)]
pub struct Config {
    /// Where objects are kept.
    pub store: Arc<dyn Store>,
    /// Certificates and keys.
    pub pki: Pki,
    /// Out of which ClusterIPs are given; its first address is the Service `default/kubernetes`, its tenth `kube-system/kube-dns`.
    pub service_cidr: Ipv4Net,
    /// Out of which node ports are given, first and last.
    pub node_ports: (u16, u16),
    /// How nodes are reached.
    pub node_dialer: Arc<dyn NodeDialer>,
    /// How Pods are reached.
    pub pod_dialer: Arc<dyn PodDialer>,
    /// Who runs plugins.
    pub plugins: Arc<dyn PluginRunner>,
    /// Address and port of the endpoints of `default/kubernetes`, such as 10.88.0.1:6443.
    pub advertise: SocketAddr,
    /// `gitVersion` of `/version`.
    pub version: String,
    /// A watch without `timeoutSeconds` ends after this time to twice this time.
    pub min_watch: Duration,
    /// How long `serve` waits for open requests when it is told to stop.
    pub drain: Duration,
}

impl Config {
    /// A configuration with what Kubernetes has by default.
    pub fn new(store: Arc<dyn Store>, pki: Pki, node_dialer: Arc<dyn NodeDialer>, advertise: SocketAddr) -> Config {
        Config {
            store,
            pki,
            service_cidr: Ipv4Net::new_assert(std::net::Ipv4Addr::new(10, 96, 0, 0), 12),
            node_ports: (30000, 32767),
            node_dialer,
            pod_dialer: Arc::new(Routes),
            plugins: Arc::new(NoPlugins),
            advertise,
            version: VERSION.to_owned(),
            min_watch: Duration::from_secs(1800),
            drain: Duration::from_secs(10),
        }
    }
}

/// `gitVersion` of servers and kubelets: the API is Kubernetes 1.37's.
pub const VERSION: &str = concat!("v1.37.0+wharf.", env!("CARGO_PKG_VERSION"));
