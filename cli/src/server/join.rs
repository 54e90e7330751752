//! What a machine needs to become a node: a bootstrap token, and the ConfigMap `cluster-info` that says whom it joins.
//!
//! Both are as kubeadm has them, so that `kubectl -n kube-system delete secret bootstrap-token-…` shuts the door.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::Api;
use rand::Rng;
use serde_json::{Value, json};
use wharf_server::pki::Pki;

use crate::apply::apply;
use crate::data::{Folder, write_private};

/// The groups of those who show the token.
const GROUP: &str = "system:bootstrappers:kubeadm:default-node-token";

/// Makes what is missing. The token; `None` when its Secret was deleted, so that no more nodes join.
pub(super) async fn prepare(admin: &Client, folder: &Folder, pki: &Pki, api: SocketAddr) -> Result<Option<String>> {
    let cluster = json!({
        "apiVersion": "v1", "kind": "Config",
        "clusters": [{"name": "", "cluster": {"server": format!("https://{api}"), "certificate-authority-data": STANDARD.encode(pki.ca_certificate())}}],
    });
    for object in objects(&serde_yaml::to_string(&cluster)?) {
        apply(admin, object).await?;
    }
    token(admin, &folder.join("token")).await
}

/// What everybody who joins meets, once for all.
fn objects(cluster_info: &str) -> Vec<Value> {
    const RBAC: &str = "rbac.authorization.k8s.io";
    let binding = |kind: &str, namespace: Option<&str>, name: &str, role: (&str, &str), subject: (&str, &str)| {
        json!({
            "apiVersion": format!("{RBAC}/v1"), "kind": kind, "metadata": {"name": name, "namespace": namespace},
            "roleRef": {"apiGroup": RBAC, "kind": role.0, "name": role.1},
            "subjects": [{"apiGroup": RBAC, "kind": subject.0, "name": subject.1}],
        })
    };
    let reader = "kubeadm:bootstrap-signer-clusterinfo";
    vec![
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cluster-info", "namespace": "kube-public"},
            "data": {"kubeconfig": cluster_info},
        }),
        // Anybody may read whose cluster it is; who knows the hash of its CA knows that it is the right one.
        json!({
            "apiVersion": format!("{RBAC}/v1"), "kind": "Role", "metadata": {"name": reader, "namespace": "kube-public"},
            "rules": [{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["cluster-info"], "verbs": ["get"]}],
        }),
        binding("RoleBinding", Some("kube-public"), reader, ("Role", reader), ("User", "system:anonymous")),
        binding("ClusterRoleBinding", None, "kubeadm:kubelet-bootstrap", ("ClusterRole", "system:node-bootstrapper"), ("Group", GROUP)),
        // An agent is kubelet, kube-proxy and resolver in one.
        json!({
            "apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRole", "metadata": {"name": "wharf:agent"},
            "rules": [
                {"apiGroups": [""], "resources": ["namespaces", "nodes", "services"], "verbs": ["get", "list", "watch"]},
                {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"]},
                {"apiGroups": ["certificates.k8s.io"], "resources": ["certificatesigningrequests"], "verbs": ["create", "get", "list", "watch"]},
            ],
        }),
        binding("ClusterRoleBinding", None, "wharf:agent", ("ClusterRole", "wharf:agent"), ("Group", "system:nodes")),
    ]
}

/// The token of the file, while its Secret is there; both made at the first start.
async fn token(admin: &Client, file: &Path) -> Result<Option<String>> {
    match std::fs::read_to_string(file) {
        Ok(text) => {
            let token = text.trim().to_owned();
            let (id, _) = token.split_once('.').with_context(|| format!("{} holds no token", file.display()))?;
            let secrets: Api<Secret> = Api::namespaced(admin.clone(), "kube-system");
            let secret = secrets.get_opt(&format!("bootstrap-token-{id}")).await.context("look for the token's Secret")?;
            Ok(secret.map(|_| token))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
            let mut random = rand::rng();
            let mut letters = |count: usize| (0..count).map(|_| char::from(LETTERS[random.random_range(0..LETTERS.len())])).collect::<String>();
            let (id, secret) = (letters(6), letters(16));
            let object = json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": {"name": format!("bootstrap-token-{id}"), "namespace": "kube-system"},
                "type": "bootstrap.kubernetes.io/token",
                "stringData": {
                    "token-id": id, "token-secret": secret, "usage-bootstrap-authentication": "true",
                    "auth-extra-groups": GROUP, "description": "By which `wharf agent` joins.",
                },
            });
            apply(admin, object).await?;
            let token = format!("{id}.{secret}");
            write_private(file, format!("{token}\n").as_bytes())?;
            Ok(Some(token))
        }
        Err(error) => Err(error).with_context(|| format!("read {}", file.display())),
    }
}
