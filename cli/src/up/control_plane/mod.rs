//! The control plane's parts as one sees them: static Pods of the first node, each the native image of a part of this process, whose log is
//! what that part says. They look like kubeadm's.

mod klog;

use std::net::SocketAddrV4;
use std::sync::Arc;

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use wharf_node::{NativeContainer, NativeImage, NativeWork};

pub(crate) use klog::{Logs, PartLog};

use crate::data::Folder;

/// A part: what it is called, whose log lines are its own, and what it is said to need.
struct Part {
    name: &'static str,
    krate: &'static str,
    requests: &'static [(&'static str, &'static str)],
}

const PARTS: [Part; 4] = [
    // The store stands in its place.
    Part { name: "etcd", krate: "wharf_store", requests: &[("cpu", "100m"), ("memory", "100Mi")] },
    Part { name: "kube-apiserver", krate: "wharf_server", requests: &[("cpu", "250m")] },
    Part { name: "kube-controller-manager", krate: "wharf_controllers", requests: &[("cpu", "200m")] },
    Part { name: "kube-scheduler", krate: "wharf_scheduler", requests: &[("cpu", "100m")] },
];

/// The images of the parts, for the node that shows them.
pub(crate) fn images(logs: &Logs) -> impl Iterator<Item = Arc<dyn NativeImage>> {
    PARTS.iter().map(|part| Arc::new(Image { name: image(part), log: logs.of(part.krate) }) as Arc<dyn NativeImage>)
}

/// The static Pods of the parts, on the node where the API has this address.
pub(crate) fn pods(folder: &Folder, api: SocketAddrV4) -> serde_json::Result<Vec<Pod>> {
    PARTS.iter().map(|part| serde_json::from_value(pod(part, folder, api))).collect()
}

fn image(part: &Part) -> String {
    format!("wharf.local/{}", part.name)
}

fn pod(part: &Part, folder: &Folder, api: SocketAddrV4) -> Value {
    let path = |name: &str| folder.join(name).display().to_string();
    let mut command = vec![part.name.to_owned()];
    let mut annotations = json!({});
    let mut ports = json!(null);
    match part.name {
        "etcd" => command.push(format!("--data-dir={}", path("store"))),
        "kube-apiserver" => {
            command.extend([
                format!("--advertise-address={}", api.ip()),
                "--authorization-mode=Node,RBAC".to_owned(),
                format!("--client-ca-file={}", path("pki/ca.crt")),
                format!("--secure-port={}", api.port()),
                "--service-cluster-ip-range=10.96.0.0/12".to_owned(),
            ]);
            annotations = json!({"kubeadm.kubernetes.io/kube-apiserver.advertise-address.endpoint": api.to_string()});
            ports = json!([{"name": "probe-port", "containerPort": api.port(), "hostPort": api.port(), "protocol": "TCP"}]);
        }
        "kube-controller-manager" => command.extend(
            ["--allocate-node-cidrs=true", "--cluster-cidr=10.244.0.0/16", "--service-cluster-ip-range=10.96.0.0/12", "--use-service-account-credentials=true"]
                .map(str::to_owned),
        ),
        _ => {}
    }
    let requests: serde_json::Map<String, Value> = part.requests.iter().map(|(name, quantity)| ((*name).to_owned(), json!(quantity))).collect();
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": part.name, "namespace": wharf_node::native::NAMESPACE, "labels": {"component": part.name, "tier": "control-plane"}, "annotations": annotations},
        "spec": {
            "hostNetwork": true,
            "priorityClassName": "system-node-critical",
            "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
            "tolerations": [{"operator": "Exists", "effect": "NoExecute"}],
            "containers": [{
                "name": part.name,
                "image": format!("{}:{}", image(part), env!("CARGO_PKG_VERSION")),
                "imagePullPolicy": "IfNotPresent",
                "command": command,
                "ports": ports,
                "resources": {"requests": requests},
            }],
        },
    })
}

struct Image {
    name: String,
    log: Arc<PartLog>,
}

impl NativeImage for Image {
    fn name(&self) -> &str {
        &self.name
    }

    fn version(&self) -> &str {
        env!("CARGO_PKG_VERSION")
    }

    fn start(&self, container: NativeContainer) -> BoxFuture<'static, Result<NativeWork, String>> {
        let log = self.log.clone();
        Box::pin(async move {
            let work: NativeWork = Box::pin(async move {
                log.copy_to(&container).await;
                Ok(())
            });
            Ok(work)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pods_are_pods() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::take(dir.path(), "wharf up").unwrap();
        let api = "10.88.0.1:6443".parse().unwrap();
        for (part, pod) in PARTS.iter().zip(pods(&folder, api).unwrap()) {
            assert_eq!(pod.metadata.name.as_deref(), Some(part.name));
            // Nothing that was written is unknown to the kind.
            let mut written = super::pod(part, &folder, api)["spec"].clone();
            if written["containers"][0]["ports"].is_null() {
                written["containers"][0].as_object_mut().unwrap().remove("ports");
            }
            assert_eq!(serde_json::to_value(&pod).unwrap()["spec"], written);
        }
    }
}
