//! What a node is told when it starts.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::{Pod, Taint};

use crate::{Handlers, KeyValueData, NativeImage, ServiceLinks};

/// How a node is set up.
pub struct NodeConfig {
    /// `metadata.name` of the Node.
    pub name: String,
    /// The API, as `system:node:NAME`.
    pub client: kube::Client,
    /// What runs guests.
    pub engine: wharf_engine::Engine,
    /// The images of this machine.
    pub images: wharf_image::Images,
    /// The cluster's network, shared by all nodes of the process.
    pub net: Arc<wharf_net::ClusterNet>,
    /// In-process handlers of `wasi:http` containers, shared by all nodes of the process.
    pub handlers: Arc<Handlers>,
    /// The Services that containers' environments tell of, shared by all nodes of the process.
    pub services: Arc<ServiceLinks>,
    /// What guests keep by `wasi:keyvalue`, shared by all nodes of the process.
    pub key_value: Arc<KeyValueData>,
    /// The node's own folder: Pods, volumes, logs. Made with mode 0700.
    pub data_dir: PathBuf,
    /// InternalIP.
    pub address: Ipv4Addr,
    /// ExternalIPs, if any.
    pub external: Vec<IpAddr>,
    /// Addresses of the cluster's DNS, for `/etc/resolv.conf`.
    pub cluster_dns: Vec<IpAddr>,
    /// `cluster.local`.
    pub cluster_domain: String,
    /// Images that are code of this process, for Pods of `kube-system`.
    pub native: Vec<Arc<dyn NativeImage>>,
    /// Pods that the node runs by itself: it adds its name to theirs, and shows them in the API by mirrors.
    pub static_pods: Vec<Pod>,
    /// Looks names up in process.
    pub resolver: Arc<dyn Resolver>,
    /// The cluster's CA (PEM), trusted by guests' outgoing HTTPS beside the system's roots.
    pub cluster_ca: Vec<u8>,
    /// Labels beside the usual ones.
    pub labels: BTreeMap<String, String>,
    /// Taints to register with.
    pub taints: Vec<Taint>,
    /// Whether to wear the label of control-plane nodes.
    pub control_plane: bool,
    /// Port of the kubelet API at the node's address, for `status.daemonEndpoints`.
    pub kubelet_port: u16,
    /// The most Pods the node takes; bounded by the addresses of its Pod CIDR.
    pub max_pods: u32,
    /// `kubeletVersion`, such as `v1.37.0+wharf.0.1.0`.
    pub version: String,
}

impl NodeConfig {
    /// A node of the usual cluster: DNS at 10.96.0.10, `cluster.local`, key-value data in its folder, no labels or taints of its own, 250 Pods.
    #[expect(clippy::too_many_arguments, reason = "these have no sensible default; everything else is a field")]
    pub fn new(
        name: impl Into<String>,
        client: kube::Client,
        engine: wharf_engine::Engine,
        images: wharf_image::Images,
        net: Arc<wharf_net::ClusterNet>,
        handlers: Arc<Handlers>,
        data_dir: impl Into<PathBuf>,
        address: Ipv4Addr,
        resolver: Arc<dyn Resolver>,
    ) -> Self {
        let data_dir = data_dir.into();
        Self {
            services: ServiceLinks::new(),
            key_value: KeyValueData::at(data_dir.join("keyvalue.redb")),
            name: name.into(),
            client,
            engine,
            images,
            net,
            handlers,
            data_dir,
            address,
            external: vec![],
            cluster_dns: vec![IpAddr::V4(Ipv4Addr::new(10, 96, 0, 10))],
            cluster_domain: "cluster.local".to_owned(),
            native: vec![],
            static_pods: vec![],
            resolver,
            cluster_ca: vec![],
            labels: BTreeMap::new(),
            taints: vec![],
            control_plane: false,
            kubelet_port: 10250,
            max_pods: 250,
            version: concat!("v1.37.0+wharf.", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// The cluster's resolver, in process.
pub trait Resolver: Send + Sync + 'static {
    /// The addresses of a full name (without a final dot). Names outside the cluster's domain go to the world's DNS.
    fn lookup(&self, name: String) -> BoxFuture<'static, Result<Vec<IpAddr>, LookupError>>;
}

/// Why a name has no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// There is no such name, or it has no address.
    #[error("no such name")]
    NotFound,
    /// It could not be found out.
    #[error("the resolver failed")]
    Failed,
}

/// Why a node cannot run.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// Its folder cannot be used.
    #[error("node folder {path}: {source}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Its CIDR makes no sense.
    #[error("podCIDR {0:?} of the node is not an IPv4 network")]
    PodCidr(String),
    /// The kubelet API cannot be served.
    #[error("kubelet API: {0}")]
    Kubelet(String),
}
