//! The kubelet API on the network, once the node has a certificate for its addresses.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use wharf_node::KubeletTls;
use wharf_server::pki::Issued;

use super::join::{Joined, Subject, request};
use crate::data::write_private;

/// Between two tries to get the certificate.
const AGAIN: Duration = Duration::from_secs(2);

/// Serves it until the token is cancelled.
pub(super) async fn serve(
    joined: Joined,
    pki: PathBuf,
    node: String,
    address: IpAddr,
    listener: TcpListener,
    router: axum::Router,
    token: CancellationToken,
) -> Result<()> {
    let names = [node.clone(), address.to_string()];
    let subject = Subject { node: &node, names: &names };
    let issued = loop {
        // The Node has to have its addresses first.
        let asked = request(&joined.client, "kubernetes.io/kubelet-serving", "server auth", &subject);
        match token.run_until_cancelled(asked).await {
            None => return Ok(()),
            Some(Ok(issued)) => break issued,
            Some(Err(error)) => {
                tracing::warn!(error = format!("{error:#}"), "no certificate for the kubelet API yet; it will be asked for again");
                tokio::select! {
                    () = token.cancelled() => return Ok(()),
                    () = tokio::time::sleep(AGAIN) => {}
                }
            }
        }
    };
    let Issued { certificate, key } = &issued;
    write_private(&pki.join("kubelet.key"), key.as_bytes())?;
    write_private(&pki.join("kubelet.crt"), certificate.as_bytes())?;
    let tls = KubeletTls::from_pem(certificate.as_bytes(), key.as_bytes(), joined.ca.as_bytes()).context("TLS of the kubelet API")?;
    wharf_node::serve_kubelet(listener, tls, router, token).await.context("serve the kubelet API")
}
