//! The way in: the Ingress and what it knows, and the Services' listeners for native programs.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result};
use http::Request;
use wharf_ingress::{
    Body, Ingress, IngressPlugins, LocalError, LocalFailure, LocalFuture, LocalHandlers, Options, Published, ServiceProxy, ServiceProxyOptions,
};
use wharf_net::ClusterNet;
use wharf_node::Handlers;

use crate::up::tasks::Group;

/// The Services' listeners for native programs, on the nodes of this process.
pub(crate) fn proxy(client: kube::Client, net: &Arc<ClusterNet>, nodes: &[Ipv4Addr], group: &Group) {
    let proxy = ServiceProxy::new(net.clone(), ServiceProxyOptions { nodes: nodes.to_vec(), ..ServiceProxyOptions::default() });
    group.spawn("Service proxy", forever(proxy.run(client, group.token())));
}

/// The Ingress, served by its Pods ([`crate::up::ingress`]). Every node's address leads to it; the first one's is shown.
pub(crate) fn ingress(
    client: kube::Client,
    net: &Arc<ClusterNet>,
    handlers: Arc<Handlers>,
    plugins: Arc<dyn IngressPlugins>,
    nodes: &[Ipv4Addr],
    group: &Group,
) -> Result<Arc<Ingress>> {
    let ingress = unstarted(net, handlers, plugins, Published::Fixed(nodes.iter().take(1).map(|ip| (*ip).into()).collect()))?;
    group.spawn("Ingress controller", forever(ingress.clone().run(client, group.token())));
    Ok(ingress)
}

/// An Ingress that calls this process' Pods without a socket; to be run.
pub(crate) fn unstarted(net: &Arc<ClusterNet>, handlers: Arc<Handlers>, plugins: Arc<dyn IngressPlugins>, published: Published) -> Result<Arc<Ingress>> {
    let options = Options { published, ..Options::default() };
    Ingress::with_plugins(net.clone(), Arc::new(InProcess(handlers)), plugins, options).context("set up the Ingress")
}

pub(crate) async fn forever(work: impl Future<Output = ()>) -> Result<(), std::convert::Infallible> {
    work.await;
    Ok(())
}

/// The Ingress calls this process' Pods without a socket.
struct InProcess(Arc<Handlers>);

impl LocalHandlers for InProcess {
    fn serves(&self, endpoint: SocketAddr) -> bool {
        matches!(endpoint, SocketAddr::V4(endpoint) if self.0.get(endpoint).is_some())
    }

    fn call(&self, endpoint: SocketAddr, request: Request<Body>, peer: SocketAddr) -> Result<LocalFuture, Request<Body>> {
        let handler = match endpoint {
            SocketAddr::V4(endpoint) => self.0.get(endpoint),
            SocketAddr::V6(_) => None,
        };
        let Some(handler) = handler else { return Err(request) };
        Ok(Box::pin(async move {
            handler.call(request, peer).await.map_err(|error| LocalError {
                failure: match error.status().as_u16() {
                    503 => LocalFailure::Busy,
                    504 => LocalFailure::TimedOut,
                    _ => LocalFailure::Broken,
                },
                message: error.to_string(),
            })
        }))
    }
}
