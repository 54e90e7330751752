//! What a machine needs to become a node: a bootstrap token, and the ConfigMap `cluster-info` that says whom it joins.
//!
//! Both are as kubeadm has them, so that `kubectl -n kube-system delete secret bootstrap-token-…` shuts the door.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, Resource};
use rand::Rng;
use serde_json::{Value, json};
use wharf_server::pki::Pki;

use crate::data::{Folder, write_private};

/// The groups of those who show the token.
const GROUP: &str = "system:bootstrappers:kubeadm:default-node-token";

/// Makes what is missing; the token.
pub(super) async fn prepare(admin: &Client, folder: &Folder, pki: &Pki, api: SocketAddr) -> Result<String> {
    let token = token(folder)?;
    let (id, secret) = token.split_once('.').context("the token has no dot")?;
    let rbac = |kind: &str, more: Value| {
        let mut object = more;
        object["apiVersion"] = "rbac.authorization.k8s.io/v1".into();
        object["kind"] = kind.into();
        object
    };
    let group = |name: &str| json!([{"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": name}]);
    let refers = |kind: &str, name: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name});

    let stored = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
        "stringData": {
            "token-id": id, "token-secret": secret, "usage-bootstrap-authentication": "true", "usage-bootstrap-signing": "true",
            "auth-extra-groups": GROUP, "description": "By which `wharf agent` joins.",
        },
    });
    apply::<Secret>(admin, Some("kube-system"), &format!("bootstrap-token-{id}"), stored).await?;
    let cluster = json!({
        "apiVersion": "v1", "kind": "Config",
        "clusters": [{"name": "", "cluster": {"server": format!("https://{api}"), "certificate-authority-data": encode(pki.ca_certificate())}}],
    });
    let info = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"kubeconfig": serde_yaml::to_string(&cluster)?}});
    apply::<ConfigMap>(admin, Some("kube-public"), "cluster-info", info).await?;
    // Anybody may read whose cluster it is; who knows the hash of its CA knows that it is the right one.
    let reader = "kubeadm:bootstrap-signer-clusterinfo";
    let rules = json!({"rules": [{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["cluster-info"], "verbs": ["get"]}]});
    apply::<Role>(admin, Some("kube-public"), reader, rbac("Role", rules)).await?;
    let anonymous = json!([{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "system:anonymous"}]);
    let binding = json!({"roleRef": refers("Role", reader), "subjects": anonymous});
    apply::<RoleBinding>(admin, Some("kube-public"), reader, rbac("RoleBinding", binding)).await?;
    let binding = json!({"roleRef": refers("ClusterRole", "system:node-bootstrapper"), "subjects": group(GROUP)});
    apply::<ClusterRoleBinding>(admin, None, "kubeadm:kubelet-bootstrap", rbac("ClusterRoleBinding", binding)).await?;
    // An agent is kubelet, kube-proxy and resolver in one.
    let rules = json!({"rules": [
        {"apiGroups": [""], "resources": ["namespaces", "nodes", "services"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["certificates.k8s.io"], "resources": ["certificatesigningrequests"], "verbs": ["create", "get", "list", "watch"]},
    ]});
    apply::<ClusterRole>(admin, None, "wharf:agent", rbac("ClusterRole", rules)).await?;
    let binding = json!({"roleRef": refers("ClusterRole", "wharf:agent"), "subjects": group("system:nodes")});
    apply::<ClusterRoleBinding>(admin, None, "wharf:agent", rbac("ClusterRoleBinding", binding)).await?;
    Ok(token)
}

/// The token of the data folder, made at the first start.
fn token(folder: &Folder) -> Result<String> {
    let file = folder.join("token");
    match std::fs::read_to_string(&file) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
            let mut random = rand::rng();
            let mut letters = |count: usize| (0..count).map(|_| char::from(LETTERS[random.random_range(0..LETTERS.len())])).collect::<String>();
            let token = format!("{}.{}", letters(6), letters(16));
            write_private(&file, format!("{token}\n").as_bytes())?;
            Ok(token)
        }
        Err(error) => Err(error).with_context(|| format!("read {}", file.display())),
    }
}

fn encode(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// Server-side apply.
async fn apply<K>(admin: &Client, namespace: Option<&str>, name: &str, mut object: Value) -> Result<()>
where
    K: Resource<DynamicType = ()>,
{
    object["metadata"]["name"] = name.into();
    let resource = kube::core::ApiResource::erase::<K>(&());
    let api: Api<kube::core::DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(admin.clone(), namespace, &resource),
        None => Api::all_with(admin.clone(), &resource),
    };
    let how = PatchParams::apply("wharf-server").force();
    api.patch(name, &how, &Patch::Apply(&object)).await.with_context(|| format!("apply {} {name}", resource.kind))?;
    Ok(())
}
