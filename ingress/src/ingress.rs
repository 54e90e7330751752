//! The Ingress as one thing: its routes, certificates and upstream connections, and what it is told by its owner.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use wharf_net::ClusterNet;

use crate::tls::{Certificates, TlsError};
use crate::upstream::Upstreams;
use crate::{IngressPlugins, LocalHandlers, NoIngressPlugins, Routes};

/// Where clients reach the controller.
#[derive(Clone, Debug)]
pub enum Published {
    /// Always there; nowhere: nothing is said.
    Fixed(Vec<IpAddr>),
    /// At the nodes of all replicas that are ready. The oldest of them speaks for all: the others leave status and Events to it.
    Replicas {
        /// Where their Pods are.
        namespace: String,
        /// By which labels they are known.
        labels: String,
        /// The address of this one's Pod.
        own: IpAddr,
    },
}

impl Default for Published {
    fn default() -> Published {
        Published::Fixed(Vec::new())
    }
}

/// What the Ingress is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// What `status.loadBalancer.ingress` of every served Ingress says.
    pub published: Published,
    /// How long requests may take to end when it stops.
    pub drain: Duration,
    /// Connections at one time, HTTP and HTTPS each; more wait in the kernel's queue.
    pub max_connections: usize,
    /// How long a client may take to send a request's head or a part of its body, to take a part of the answer, and to ask again.
    pub client_patience: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options { published: Published::default(), drain: Duration::from_secs(10), max_connections: 16_384, client_patience: Duration::from_secs(60) }
    }
}

/// The Ingress of this process: shared by its listeners and its controller.
pub struct Ingress {
    pub(crate) net: Arc<ClusterNet>,
    pub(crate) local: Arc<dyn LocalHandlers>,
    pub(crate) plugins: Arc<dyn IngressPlugins>,
    pub(crate) options: Options,
    pub(crate) routes: ArcSwap<Routes>,
    pub(crate) certificates: Arc<Certificates>,
    pub(crate) upstreams: Upstreams,
    /// Where redirections to HTTPS go; 0 until there is an HTTPS listener.
    pub(crate) https_port: AtomicU16,
    pub(crate) synced: watch::Sender<bool>,
}

impl Ingress {
    /// An Ingress without routes: [`Ingress::run`] keeps them, or [`Ingress::set_routes`] sets them.
    pub fn new(net: Arc<ClusterNet>, local: Arc<dyn LocalHandlers>, options: Options) -> Result<Arc<Ingress>, TlsError> {
        Ingress::with_plugins(net, local, Arc::new(NoIngressPlugins), options)
    }

    /// The same, with plugins in front of backends.
    pub fn with_plugins(
        net: Arc<ClusterNet>,
        local: Arc<dyn LocalHandlers>,
        plugins: Arc<dyn IngressPlugins>,
        options: Options,
    ) -> Result<Arc<Ingress>, TlsError> {
        Ok(Arc::new(Ingress {
            net,
            local,
            plugins,
            options,
            routes: ArcSwap::default(),
            certificates: Arc::new(Certificates::new()?),
            upstreams: Upstreams::default(),
            https_port: AtomicU16::new(0),
            synced: watch::Sender::new(false),
        }))
    }

    /// Replaces the whole route table; requests under way keep the location they have.
    pub fn set_routes(&self, routes: Routes) {
        self.routes.store(Arc::new(routes));
        self.synced.send_replace(true);
    }

    /// The certificates that HTTPS listeners choose among.
    pub fn certificates(&self) -> &Arc<Certificates> {
        &self.certificates
    }

    /// Waits until there are routes (set, or by the controller, which has seen all Ingresses once then) and it is known which plugins there are.
    pub async fn synced(&self) {
        self.plugins.known().await;
        // The sender lives as long as `self`.
        let _ = self.synced.subscribe().wait_for(|synced| *synced).await;
    }

    /// Says which port clients use for HTTPS, where it is not the listener's own (a port that is forwarded).
    pub fn set_https_port(&self, port: u16) {
        self.https_port.store(port, Ordering::Relaxed);
    }
}
