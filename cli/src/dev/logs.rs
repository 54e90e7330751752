//! What the Pods of a function say, whichever they are.

use std::collections::HashSet;
use std::time::Duration;

use futures::io::AsyncBufReadExt;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, ListParams, LogParams};

use crate::deploy::objects::NAME;

/// Between two looks for new Pods.
const LOOK: Duration = Duration::from_millis(500);
/// Pods that are followed at a time; what more say is left to kubectl.
const MOST: usize = 20;

/// Shows the lines of all Pods of a function, from now on.
pub(super) async fn follow(client: Client, namespace: String, name: String) {
    let api: Api<Pod> = Api::namespaced(client, &namespace);
    let params = ListParams::default().labels(&format!("{NAME}={name}"));
    let mut followed: HashSet<String> = HashSet::new();
    let mut tasks = tokio::task::JoinSet::new();
    loop {
        if let Ok(pods) = api.list(&params).await {
            let uid = |pod: &Pod| pod.metadata.uid.clone().unwrap_or_default();
            followed.retain(|known| pods.items.iter().any(|pod| uid(pod) == *known));
            for pod in pods.items.iter().filter(|pod| has_begun(pod)) {
                if tasks.len() < MOST && followed.insert(uid(pod)) {
                    let name = pod.metadata.name.clone().unwrap_or_default();
                    tasks.spawn(show(api.clone(), name));
                }
            }
        }
        while tasks.try_join_next().is_some() {}
        tokio::time::sleep(LOOK).await;
    }
}

fn has_begun(pod: &Pod) -> bool {
    let containers = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    containers.flat_map(|container| container.state.iter()).any(|state| state.running.is_some() || state.terminated.is_some())
}

async fn show(api: Api<Pod>, pod: String) {
    let params = LogParams { follow: true, ..LogParams::default() };
    let Ok(stream) = api.log_stream(&pod, &params).await else { return };
    let mut lines = stream.lines().into_stream();
    while let Some(Ok(line)) = lines.next().await {
        crate::say::Progress::new().line(&line);
    }
}
