//! The image `wharf.local/ingress-nginx-controller`: this process' Ingress, served by the Pods of a Deployment.
//!
//! The host's listeners are the process' own, and all Pods take connections from them: while one follows another, none is lost, and what
//! comes while there is none waits.

use std::sync::Arc;

use anyhow::{Context, Result};
use futures::future::BoxFuture;
use tokio::net::TcpListener;
use wharf_ingress::Ingress;
use wharf_node::{NativeContainer, NativeImage, NativeWork};

use crate::up::control_plane::PartLog;

/// The Deployment.
pub(crate) const NAME: &str = "ingress-nginx-controller";
/// The image's name.
pub(crate) const IMAGE: &str = "wharf.local/ingress-nginx-controller";

/// How its Pods are known.
pub(crate) const LABELS: [(&str, &str); 3] =
    [("app.kubernetes.io/name", "ingress-nginx"), ("app.kubernetes.io/instance", "ingress-nginx"), ("app.kubernetes.io/component", "controller")];

/// The Ingress as an image.
pub(crate) struct Controller {
    ingress: Arc<Ingress>,
    http: std::net::TcpListener,
    https: std::net::TcpListener,
    log: Arc<PartLog>,
}

impl Controller {
    /// Its containers serve this Ingress at these listeners, and say what it says.
    pub(crate) fn new(ingress: Arc<Ingress>, http: TcpListener, https: TcpListener, log: Arc<PartLog>) -> Result<Controller> {
        ingress.set_https_port(https.local_addr().context("the listener for HTTPS")?.port());
        Ok(Controller { ingress, http: http.into_std()?, https: https.into_std()?, log })
    }
}

impl NativeImage for Controller {
    fn name(&self) -> &str {
        IMAGE
    }

    fn version(&self) -> &str {
        env!("CARGO_PKG_VERSION")
    }

    fn start(&self, container: NativeContainer) -> BoxFuture<'static, Result<NativeWork, String>> {
        let (ingress, log) = (self.ingress.clone(), self.log.clone());
        let ours = |listener: &std::net::TcpListener| listener.try_clone().and_then(TcpListener::from_std).map_err(|error| error.to_string());
        let listeners = ours(&self.http).and_then(|http| Ok((http, ours(&self.https)?)));
        Box::pin(async move {
            let (http, https) = listeners?;
            let failed = |port: u16| move |error: std::io::Error| format!("listen on port {port}: {error}");
            let own_http = container.listen(80).map_err(failed(80))?;
            let own_https = container.listen(443).map_err(failed(443))?;
            // It serves before it counts as ready.
            ingress.synced().await;
            container.say(&format!("Wharf Ingress controller {}, class nginx (k8s.io/ingress-nginx)", env!("CARGO_PKG_VERSION")));
            let work: NativeWork = Box::pin(async move {
                let (stop, container) = (container.stopping(), Arc::new(container));
                let logging = tokio::spawn({
                    let container = container.clone();
                    async move { log.copy_to(&container).await }
                });
                let closing = async {
                    stop.cancelled().await;
                    container.close();
                };
                let ((), (), from_host, from_cluster, ()) = tokio::join!(
                    ingress.clone().serve_http(http, stop.clone()),
                    ingress.clone().serve_http(own_http, stop.clone()),
                    ingress.clone().serve_https(https, stop.clone()),
                    ingress.clone().serve_https(own_https, stop.clone()),
                    closing,
                );
                let _ = logging.await;
                from_host.and(from_cluster).map_err(|error| error.to_string())
            });
            Ok(work)
        })
    }
}
