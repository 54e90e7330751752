//! The image `wharf.local/ingress-nginx-controller` on a node of its own: an Ingress at the Pod's address, which is the node's.

use std::sync::Arc;

use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use wharf_ingress::Published;
use wharf_net::ClusterNet;
use wharf_node::{Handlers, NativeContainer, NativeImage, NativeWork};
use wharf_plugin_host::PluginHost;

use super::join::Joined;
use crate::plugins::{self, Chain};
use crate::up::control_plane::PartLog;
use crate::up::edge;
use crate::up::ingress::{IMAGE, LABELS};

/// The Ingress as an image.
pub(super) struct Controller {
    pub(super) joined: Joined,
    pub(super) net: Arc<ClusterNet>,
    pub(super) handlers: Arc<Handlers>,
    pub(super) plugins: PluginHost,
    pub(super) log: Arc<PartLog>,
}

impl NativeImage for Controller {
    fn name(&self) -> &str {
        IMAGE
    }

    fn version(&self) -> &str {
        env!("CARGO_PKG_VERSION")
    }

    fn start(&self, container: NativeContainer) -> BoxFuture<'static, Result<NativeWork, String>> {
        let (joined, net, handlers, log) = (self.joined.clone(), self.net.clone(), self.handlers.clone(), self.log.clone());
        let (plugins, chain) = (self.plugins.clone(), Chain::new(self.plugins.clone()));
        Box::pin(async move {
            let failed = |port: u16| move |error: std::io::Error| format!("listen on port {port}: {error}");
            let http = container.listen(80).map_err(failed(80))?;
            let https = container.listen(443).map_err(failed(443))?;
            let token = container.token_file().ok_or("the Pod has no ServiceAccount token, by which the controller reads Ingresses")?;
            let client = joined.with_token_file(&token).await.map_err(|error| format!("{error:#}"))?;
            let labels = LABELS.map(|(key, value)| format!("{key}={value}")).join(",");
            let published = Published::Replicas { namespace: wharf_node::native::NAMESPACE.to_owned(), labels, own: container.ip().into() };
            let ingress = edge::unstarted(&net, handlers, chain.clone(), published).map_err(|error| format!("{error:#}"))?;
            ingress.set_https_port(443);
            let end = CancellationToken::new();
            let ends = end.clone().drop_guard();
            tokio::spawn(plugins::keep(client.clone(), plugins, plugins::Part::Ingress, Some(chain), end.clone()));
            tokio::spawn(ingress.clone().run(client, end));
            // It serves before it counts as ready.
            ingress.synced().await;
            container.say(&format!("Wharf Ingress controller {}, class nginx (k8s.io/ingress-nginx)", env!("CARGO_PKG_VERSION")));
            let work: NativeWork = Box::pin(async move {
                let _ends = ends;
                let (stop, container) = (container.stopping(), Arc::new(container));
                let logging = tokio::spawn({
                    let container = container.clone();
                    async move { log.copy_to(&container).await }
                });
                let closing = async {
                    stop.cancelled().await;
                    container.close();
                };
                let ((), served, ()) = tokio::join!(ingress.clone().serve_http(http, stop.clone()), ingress.clone().serve_https(https, stop.clone()), closing);
                let _ = logging.await;
                served.map_err(|error| error.to_string())
            });
            Ok(work)
        })
    }
}
