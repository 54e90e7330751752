//! Static Pods, which the node was told to run when it was set up, and their mirrors in the API.
//!
//! A static Pod is the node's own: its uid is a hash of what it is, and nobody ends it through the API. Its mirror only shows it: made by the
//! node with the annotation `kubernetes.io/config.mirror`, owned by the Node, given the static Pod's status, and made again when it is deleted
//! or shows another Pod than the one that runs (the kubelet's mirror client does the same).

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Api;
use kube::api::{DeleteParams, PostParams, Preconditions};
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::pod::context::Shared;

const MIRROR: &str = "kubernetes.io/config.mirror";
const HASH: &str = "kubernetes.io/config.hash";
const SEEN: &str = "kubernetes.io/config.seen";
const SOURCE: &str = "kubernetes.io/config.source";
/// Until what the API refused is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// What the API has in the place of a mirror.
#[derive(Debug, Clone)]
pub(crate) enum Seen {
    /// It was not asked yet.
    Unknown,
    /// Nothing.
    Absent,
    /// This Pod.
    There(Arc<Pod>),
}

/// A static Pod as the node runs it: named after the node, bound to it, its uid the hash of all that.
pub(crate) fn static_pod(mut pod: Pod, node: &str, now: Timestamp) -> Pod {
    pod.metadata.name = Some(format!("{}-{node}", pod.metadata.name.unwrap_or_default()));
    if let Some(spec) = &mut pod.spec {
        spec.node_name = Some(node.to_owned());
    }
    let text = serde_json::to_vec(&pod).unwrap_or_default();
    let hash = hex::encode(&Sha256::digest(text)[..16]);
    let annotations = pod.metadata.annotations.get_or_insert_default();
    annotations.insert(HASH.to_owned(), hash.clone());
    annotations.insert(SEEN.to_owned(), now.to_string());
    annotations.insert(SOURCE.to_owned(), "file".to_owned());
    pod.metadata.uid = Some(hash);
    pod
}

/// The Pod that shows a static Pod in the API.
pub(crate) fn mirror(pod: &Pod, node: &Node) -> Pod {
    let mut mirror = Pod { status: None, ..pod.clone() };
    let hash = mirror.metadata.uid.take().unwrap_or_default();
    mirror.metadata.annotations.get_or_insert_default().insert(MIRROR.to_owned(), hash);
    mirror.metadata.owner_references = Some(vec![OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Node".to_owned(),
        name: node.metadata.name.clone().unwrap_or_default(),
        uid: node.metadata.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: None,
    }]);
    mirror
}

/// The uid of the static Pod that a Pod of the API shows, if it is a mirror.
pub(crate) fn shows(pod: &Pod) -> Option<&str> {
    pod.metadata.annotations.as_ref()?.get(MIRROR).map(String::as_str)
}

/// The static Pod as it goes on, with what the API has written to its mirror.
pub(crate) fn with_status(pod: &Pod, mirror: &Pod) -> Pod {
    let mut pod = Pod { status: mirror.status.clone(), ..pod.clone() };
    pod.metadata.resource_version.clone_from(&mirror.metadata.resource_version);
    pod.metadata.generation = mirror.metadata.generation;
    pod.metadata.creation_timestamp.clone_from(&mirror.metadata.creation_timestamp);
    pod
}

/// Keeps the mirror of a static Pod until the token is cancelled.
pub(crate) async fn keep(node: Arc<Shared>, pod: Arc<Pod>, mut seen: watch::Receiver<Seen>, token: CancellationToken) {
    let work = async {
        loop {
            let now = seen.borrow_and_update().clone();
            let done = match &now {
                Seen::Absent => create(&node, &pod).await,
                Seen::There(mirror) if outdated(mirror, &pod) => delete(&node, mirror).await,
                Seen::There(_) | Seen::Unknown => Ok(()),
            };
            let retry = async {
                match done {
                    Ok(()) => std::future::pending().await,
                    Err(error) => {
                        tracing::debug!(name = pod.metadata.name, %error, "Failed to bring the mirror pod up to date");
                        tokio::time::sleep(RETRY).await;
                    }
                }
            };
            tokio::select! {
                changed = seen.changed() => if changed.is_err() { return },
                () = retry => {}
            }
        }
    };
    token.run_until_cancelled(work).await;
}

/// Whether a mirror has to go: somebody deleted it, or it shows another Pod.
fn outdated(mirror: &Pod, pod: &Pod) -> bool {
    mirror.metadata.deletion_timestamp.is_some() || shows(mirror) != pod.metadata.uid.as_deref()
}

async fn create(node: &Shared, pod: &Pod) -> kube::Result<()> {
    let owner = Api::<Node>::all(node.config.client.clone()).get(&node.config.name).await?;
    pods(node, pod).create(&PostParams::default(), &mirror(pod, &owner)).await.map(drop)
}

/// Takes a mirror out of the API at once: nothing ends with it.
pub(crate) async fn delete(node: &Shared, mirror: &Pod) -> kube::Result<()> {
    let params = DeleteParams {
        grace_period_seconds: Some(0),
        preconditions: Some(Preconditions { uid: mirror.metadata.uid.clone(), resource_version: None }),
        ..DeleteParams::default()
    };
    match pods(node, mirror).delete(mirror.metadata.name.as_deref().unwrap_or_default(), &params).await {
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        deleted => deleted.map(drop),
    }
}

fn pods(node: &Shared, pod: &Pod) -> Api<Pod> {
    Api::namespaced(node.config.client.clone(), pod.metadata.namespace.as_deref().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_static_pod_and_its_mirror() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let given: Pod = serde_json::from_value(json!({
            "metadata": {"name": "etcd", "namespace": "kube-system", "labels": {"tier": "control-plane"}},
            "spec": {"containers": [{"name": "etcd", "image": "i"}]},
        }))
        .unwrap();
        let pod = static_pod(given.clone(), "n1", now);
        let hash = pod.metadata.uid.clone().unwrap();
        assert_eq!(hash.len(), 32);
        assert_eq!(static_pod(given.clone(), "n1", Timestamp::UNIX_EPOCH).metadata.uid, pod.metadata.uid, "it does not depend on the time");
        assert_ne!(static_pod(given, "n2", now).metadata.uid, pod.metadata.uid);

        let node: Node = serde_json::from_value(json!({"metadata": {"name": "n1", "uid": "node-uid"}})).unwrap();
        let mut shown = mirror(&pod, &node);
        assert_eq!(shows(&shown), Some(hash.as_str()));
        assert!(!outdated(&shown, &pod));
        let text = serde_json::to_string_pretty(&shown).unwrap().replace(&hash, "HASH");
        expect_test::expect![[r#"
            {
              "apiVersion": "v1",
              "kind": "Pod",
              "metadata": {
                "annotations": {
                  "kubernetes.io/config.hash": "HASH",
                  "kubernetes.io/config.mirror": "HASH",
                  "kubernetes.io/config.seen": "2027-01-15T08:00:00Z",
                  "kubernetes.io/config.source": "file"
                },
                "labels": {
                  "tier": "control-plane"
                },
                "name": "etcd-n1",
                "namespace": "kube-system",
                "ownerReferences": [
                  {
                    "apiVersion": "v1",
                    "controller": true,
                    "kind": "Node",
                    "name": "n1",
                    "uid": "node-uid"
                  }
                ]
              },
              "spec": {
                "containers": [
                  {
                    "image": "i",
                    "name": "etcd"
                  }
                ],
                "nodeName": "n1"
              }
            }"#]]
        .assert_eq(&text);

        shown.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now));
        assert!(outdated(&shown, &pod));
        assert!(with_status(&pod, &shown).metadata.deletion_timestamp.is_none(), "the static Pod goes on");
    }
}
