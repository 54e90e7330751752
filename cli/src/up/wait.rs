//! Waiting for what was applied.

use anyhow::{Context, Result, bail};
use futures::TryStreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use kube::Client;
use kube::api::{Api, WatchEvent, WatchParams};

/// Waits until all replicas of the newest template of a Deployment are available. Says how many.
pub(crate) async fn available(client: &Client, namespace: &str, name: &str) -> Result<String> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let deployment = api.get(name).await.with_context(|| format!("get deployment/{name}"))?;
    if let Some(done) = complete(&deployment) {
        return Ok(done);
    }
    let version = deployment.metadata.resource_version.unwrap_or_default();
    let params = WatchParams::default().fields(&format!("metadata.name={name}"));
    let mut events = std::pin::pin!(api.watch(&params, &version).await.with_context(|| format!("watch deployment/{name}"))?);
    while let Some(event) = events.try_next().await.with_context(|| format!("watch deployment/{name}"))? {
        match event {
            WatchEvent::Added(deployment) | WatchEvent::Modified(deployment) => {
                if let Some(done) = complete(&deployment) {
                    return Ok(done);
                }
            }
            WatchEvent::Deleted(_) => bail!("deployment/{name} was deleted"),
            WatchEvent::Bookmark(_) | WatchEvent::Error(_) => {}
        }
    }
    bail!("the watch of deployment/{name} ended")
}

fn complete(deployment: &Deployment) -> Option<String> {
    let wanted = deployment.spec.replicas.unwrap_or(1);
    let status = deployment.status.as_ref()?;
    let current = status.observed_generation >= deployment.metadata.generation;
    let updated = status.updated_replicas.unwrap_or(0) >= wanted;
    let available = status.available_replicas.unwrap_or(0);
    (current && updated && available >= wanted).then(|| format!("{available}/{wanted} available"))
}
