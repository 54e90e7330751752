//! What every cluster runs besides its control plane: applied when it is missing, while the cluster is used already.

use std::convert::Infallible;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use kube::api::{Api, PostParams};
use kube::{Client, Resource};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::up::{coredns, ingress};

/// Until a failed attempt is repeated.
const AGAIN: Duration = Duration::from_secs(1);

/// Applies them once, and ends with the token.
///
/// The Ingress controller as it goes with the nodes: see [`Edge`].
pub(crate) async fn keep(client: Client, edge: Edge, token: CancellationToken) -> Result<(), Infallible> {
    let apply = async {
        while let Err(error) = apply(&client, edge).await {
            tracing::warn!(%error, "the cluster's DNS and Ingress could not be deployed; it will be tried again");
            tokio::time::sleep(AGAIN).await;
        }
    };
    token.run_until_cancelled(apply).await;
    token.cancelled().await;
    Ok(())
}

/// Where the Ingress is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edge {
    /// At the listeners of the process that is all nodes: one Pod will do, whichever it is.
    Process,
    /// At ports 80 and 443 of every node, as an ingress-nginx with `hostNetwork`.
    Nodes,
}

async fn apply(client: &Client, edge: Edge) -> Result<(), kube::Error> {
    create::<ServiceAccount>(client, "coredns", json!({"apiVersion": "v1", "kind": "ServiceAccount"})).await?;
    create::<ConfigMap>(client, "coredns", json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"Corefile": COREFILE}})).await?;
    create::<Deployment>(client, "coredns", dns()).await?;
    match edge {
        Edge::Process => create::<Deployment>(client, ingress::NAME, controller()).await,
        Edge::Nodes => create::<DaemonSet>(client, ingress::NAME, controllers()).await,
    }
}

/// Creates it in `kube-system`; one that is there is the user's to change.
async fn create<K>(client: &Client, name: &str, mut object: Value) -> Result<(), kube::Error>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()> + Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), "kube-system");
    if api.get_opt(name).await?.is_some() {
        return Ok(());
    }
    object["metadata"]["name"] = name.into();
    let object: K = serde_json::from_value(object).map_err(kube::Error::SerdeError)?;
    match api.create(&PostParams { field_manager: Some("wharf".into()), ..PostParams::default() }, &object).await {
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        created => created.map(drop),
    }
}

/// What coredns does, in its own language.
const COREFILE: &str = "\
# What the Pods of the Deployment coredns answer. It only says so: they do not read it.
.:53 {
    errors
    kubernetes cluster.local in-addr.arpa {
       pods insecure
       fallthrough in-addr.arpa
       ttl 30
    }
    prometheus :9153
    forward . /etc/resolv.conf
    cache 30
}
";

/// The Ingress controller of the class `nginx`.
fn controller() -> Value {
    let mut template = controller_template();
    // What it knows comes from this process.
    template["spec"]["automountServiceAccountToken"] = false.into();
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"labels": controller_labels()},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": controller_labels()},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": template,
        },
    })
}

/// The same, one on each node and at its address.
fn controllers() -> Value {
    let mut template = controller_template();
    template["spec"]["hostNetwork"] = true.into();
    template["spec"]["dnsPolicy"] = "ClusterFirstWithHostNet".into();
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"labels": controller_labels()},
        "spec": {
            "selector": {"matchLabels": controller_labels()},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}},
            "template": template,
        },
    })
}

fn controller_labels() -> Value {
    ingress::LABELS.into_iter().map(|(key, value)| (key.to_owned(), Value::from(value))).collect::<serde_json::Map<_, _>>().into()
}

fn controller_template() -> Value {
    json!({
        "metadata": {"labels": controller_labels()},
        "spec": {
            "serviceAccountName": "ingress-nginx",
            "priorityClassName": "system-cluster-critical",
            "tolerations": [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}],
            "containers": [{
                "name": "controller",
                "image": format!("{}:{}", ingress::IMAGE, env!("CARGO_PKG_VERSION")),
                "ports": [
                    {"name": "http", "containerPort": 80, "protocol": "TCP"},
                    {"name": "https", "containerPort": 443, "protocol": "TCP"},
                ],
            }],
        },
    })
}

/// Cluster DNS, the endpoints of the Service `kube-dns`.
fn dns() -> Value {
    let labels = json!({"k8s-app": "kube-dns"});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"labels": labels},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "serviceAccountName": "coredns",
                    // What it knows comes from this process.
                    "automountServiceAccountToken": false,
                    "priorityClassName": "system-cluster-critical",
                    "dnsPolicy": "Default",
                    "tolerations": [
                        {"key": "CriticalAddonsOnly", "operator": "Exists"},
                        {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"},
                    ],
                    "containers": [{
                        "name": "coredns",
                        "image": format!("{}:{}", coredns::IMAGE, env!("CARGO_PKG_VERSION")),
                        "ports": [
                            {"name": "dns", "containerPort": 53, "protocol": "UDP"},
                            {"name": "dns-tcp", "containerPort": 53, "protocol": "TCP"},
                            {"name": "metrics", "containerPort": 9153, "protocol": "TCP"},
                        ],
                    }],
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_what_they_say() {
        for mut object in [dns(), controller()] {
            object["metadata"]["name"] = "x".into();
            let parsed: Deployment = serde_json::from_value(object.clone()).unwrap();
            // Nothing that was written is unknown to the kind.
            let again = serde_json::to_value(&parsed).unwrap();
            assert_eq!(again["spec"], object["spec"]);
        }
        let mut object = controllers();
        object["metadata"]["name"] = "x".into();
        let parsed: DaemonSet = serde_json::from_value(object.clone()).unwrap();
        assert_eq!(serde_json::to_value(&parsed).unwrap()["spec"], object["spec"]);
    }
}
