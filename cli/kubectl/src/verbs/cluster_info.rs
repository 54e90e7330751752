//! `cluster-info`: where the cluster's services are.

use std::io::IsTerminal;

use crate::error::Result;
use crate::out;
use crate::session::{Session, with_query};

/// What `cluster-info` is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {}

/// Does it.
pub(super) async fn run(session: &Session, _: Arguments) -> Result<()> {
    let server = session.server();
    let paint = |code: &str, text: &str| if std::io::stdout().is_terminal() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() };
    let path = with_query("/api/v1/namespaces/kube-system/services", &[("labelSelector", "kubernetes.io/cluster-service=true")]);
    let services = session.get(&path).await?;
    let told = |name: &str, link: &str| out(&format!("{} is running at {}\n", paint("0;32", name), paint("0;33", link)));
    told("Kubernetes control plane", &server);
    for service in services["items"].as_array().into_iter().flatten() {
        let (namespace, name) = crate::pods::place(service);
        let title = service["metadata"]["labels"]["kubernetes.io/name"].as_str().unwrap_or(name);
        let port = &service["spec"]["ports"][0];
        let scheme = if port["name"] == "https" || port["port"] == 443 { "https:" } else { "" };
        let suffix = port["name"].as_str().filter(|name| !name.is_empty()).map_or(String::new(), |name| format!(":{name}"));
        told(title, &format!("{server}/api/v1/namespaces/{namespace}/services/{scheme}{name}{suffix}/proxy"));
    }
    out("\nTo further debug and diagnose cluster problems, use 'kubectl cluster-info dump'.\n");
    Ok(())
}
