//! What `wharf up` tells the person who started it: what runs where, and what to type next.

use crate::say::Progress;
use crate::up::Cluster;

/// The cluster answers.
pub(crate) fn ready(cluster: &Cluster, progress: &Progress) {
    progress.step(&format!("API        {}", cluster.api_url()));
    progress.step(&format!("Ingress    {}  {}", cluster.http_url(""), cluster.https_url()));
    let nodes = cluster.nodes();
    let nodes = if nodes.len() == 1 { format!("{} (Ready)", nodes[0]) } else { format!("{} (Ready)", nodes.join(", ")) };
    progress.step(&format!("nodes      {nodes}"));
}

/// What to type next.
pub(crate) async fn next(cluster: &Cluster, progress: &Progress) {
    progress.line("");
    let hosts = cluster.ingress_hosts().await;
    for host in &hosts {
        progress.line(&format!("  {}", progress.strong(&cluster.http_url(host))));
    }
    if !hosts.is_empty() {
        progress.line("");
    }
    let kubeconfig = cluster.kubeconfig().display();
    progress.line(&format!("  {}", progress.strong(&format!("export KUBECONFIG={kubeconfig}"))));
    progress.line("  kubectl get pods -A");
    progress.line("");
    progress.line("Ctrl-C stops the cluster; its objects stay.");
}
