//! Whether the newest template runs, and if not, why.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, ListParams};

use crate::deploy::objects::NAME;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(25);
/// Looks at the Deployment between two looks at its Pods.
const PODS: u32 = 8;

/// Waits until only the newest template runs; how many of it. A Pod that cannot start ends it.
pub(super) async fn complete(client: &Client, namespace: &str, name: &str, image: &str, timeout: Duration) -> Result<i32> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let params = ListParams::default().labels(&format!("{NAME}={name}"));
    let end = tokio::time::Instant::now() + timeout;
    let mut reason = "nothing is known of its Pods".to_owned();
    for look in 1.. {
        let deployment = deployments.get(name).await.with_context(|| format!("get deployment/{name}"))?;
        if let Some(ready) = done(&deployment) {
            return Ok(ready);
        }
        let last = tokio::time::Instant::now() >= end;
        if look % PODS == 0 || last {
            let list = pods.list(&params).await.with_context(|| format!("list the Pods of {name}"))?;
            for pod in list.items.iter().filter(|pod| is_new(pod, image)) {
                match trouble(pod) {
                    Trouble::Fatal(words) => bail!("{words}"),
                    Trouble::Waiting(words) => reason = words,
                    Trouble::None => {}
                }
            }
        }
        if last {
            bail!("it is not ready after {} s: {reason}", timeout.as_secs());
        }
        tokio::time::sleep(LOOK).await;
    }
    unreachable!("the loop has no end")
}

/// How many run, once they are all of the newest template and ready.
fn done(deployment: &Deployment) -> Option<i32> {
    let wanted = deployment.spec.replicas.unwrap_or(1);
    let status = deployment.status.as_ref()?;
    let updated = status.updated_replicas.unwrap_or(0);
    let current = status.observed_generation >= deployment.metadata.generation;
    let all = updated >= wanted && status.replicas.unwrap_or(0) == updated && status.available_replicas.unwrap_or(0) >= updated;
    (current && all).then_some(updated)
}

fn is_new(pod: &Pod, image: &str) -> bool {
    pod.metadata.deletion_timestamp.is_none() && pod.spec.as_ref().is_some_and(|spec| spec.containers.iter().any(|c| c.image.as_deref() == Some(image)))
}

#[derive(Debug, PartialEq, Eq)]
enum Trouble {
    None,
    /// It may still come to be.
    Waiting(String),
    /// It will not.
    Fatal(String),
}

fn trouble(pod: &Pod) -> Trouble {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let Some(status) = &pod.status else { return Trouble::None };
    for container in status.container_statuses.iter().flatten() {
        let state = container.state.clone().unwrap_or_default();
        if let Some(waiting) = state.waiting {
            let (reason, message) = (waiting.reason.unwrap_or_default(), waiting.message.unwrap_or_default());
            match reason.as_str() {
                "" | "ContainerCreating" | "PodInitializing" => {}
                _ => return Trouble::Fatal(if message.is_empty() { reason } else { format!("{reason}: {message}") }),
            }
        }
        if let Some(ended) = state.terminated {
            let why = ended.message.or(ended.reason).unwrap_or_default();
            return Trouble::Fatal(format!("it ended with exit code {}: {why}", ended.exit_code));
        }
    }
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let unscheduled = conditions.iter().find(|c| c.type_ == "PodScheduled" && c.status == "False");
    match unscheduled.and_then(|c| c.message.clone()) {
        Some(message) => Trouble::Waiting(message),
        None => Trouble::Waiting(format!("see kubectl describe pod {name}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn deployment(status: serde_json::Value) -> Deployment {
        serde_json::from_value(json!({"metadata": {"generation": 2}, "spec": {"replicas": 1, "selector": {}, "template": {}}, "status": status})).unwrap()
    }

    #[test]
    fn done_is_when_the_old_are_gone_and_the_new_are_ready() {
        for (status, want) in [
            (json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}), None),
            (json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 1, "availableReplicas": 1}), None),
            (json!({"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1}), None),
            (json!({"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}), Some(1)),
        ] {
            assert_eq!(done(&deployment(status.clone())), want, "{status}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_pod() {
        let look = |status: serde_json::Value| trouble(&serde_json::from_value(json!({"metadata": {"name": "p"}, "status": status})).unwrap());
        let state = |state: serde_json::Value| json!({"containerStatuses": [{"name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state}]});
        assert_eq!(look(state(json!({"waiting": {"reason": "ErrImagePull", "message": "no"}}))), Trouble::Fatal("ErrImagePull: no".into()));
        assert_eq!(look(state(json!({"waiting": {"reason": "ContainerCreating"}}))), Trouble::Waiting("see kubectl describe pod p".into()));
        assert_eq!(look(state(json!({"terminated": {"exitCode": 1, "reason": "Error"}}))), Trouble::Fatal("it ended with exit code 1: Error".into()));
        let pending = json!({"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"}]});
        assert_eq!(look(pending), Trouble::Waiting("0/1 nodes are available".into()));
    }
}
