//! ServiceAccount: every Pod runs as an account, and has its token mounted.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{
    ConfigMapProjection, Container, DownwardAPIProjection, DownwardAPIVolumeFile, KeyToPath, ObjectFieldSelector, Pod, ProjectedVolumeSource, ServiceAccount,
    ServiceAccountTokenProjection, Volume, VolumeMount, VolumeProjection,
};
use wharf_api::DynObject;
use wharf_api::meta::generate_name;
use wharf_api::status::ApiError;
use wharf_store::{Item, WatchCache};

use super::{Admission, Operation};

const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const VOLUME_PREFIX: &str = "kube-api-access-";
/// An hour and a bit: the node renews it within the hour.
const TOKEN_SECONDS: i64 = 3607;
/// The account of Pods that name none.
const DEFAULT: &str = "default";
/// How long a Pod waits for it, as in Kubernetes.
const PATIENCE: Duration = Duration::from_secs(1);
const MIRROR: &str = "kubernetes.io/config.mirror";

pub(super) async fn mutate(admission: &Admission<'_>, object: &mut dyn DynObject) -> Result<(), ApiError> {
    if admission.operation != Operation::Create || !admission.is("", "pods") {
        return Ok(());
    }
    let Some(pod) = object.as_any_mut().downcast_mut::<Pod>() else { return Ok(()) };
    let mirror = pod.metadata.annotations.as_ref().is_some_and(|a| a.contains_key(MIRROR));
    let Some(spec) = pod.spec.as_mut() else { return Ok(()) };
    if mirror {
        if spec.service_account_name.as_ref().is_some_and(|n| !n.is_empty()) {
            return Err(admission.forbidden("a mirror pod may not reference service accounts"));
        }
        return Ok(());
    }
    let name = spec.service_account_name.clone().filter(|n| !n.is_empty()).unwrap_or_else(|| DEFAULT.into());
    let namespace = admission.ask.namespace();
    let account: ServiceAccount = match account(admission.ask.shared.cache(), namespace, &name).await {
        None => return Err(admission.forbidden(format!("error looking up service account {namespace}/{name}: serviceaccount {name:?} not found"))),
        Some(item) => serde_json::from_slice(&item.json()).map_err(|e| ApiError::internal(e.to_string()))?,
    };
    // It may have been waited for.
    super::namespace_lifecycle::admit(admission)?;
    spec.service_account_name = Some(name.clone());
    spec.service_account = Some(name);
    if spec.image_pull_secrets.as_ref().is_none_or(Vec::is_empty) {
        spec.image_pull_secrets = account.image_pull_secrets.filter(|s| !s.is_empty());
    }
    if !spec.automount_service_account_token.or(account.automount_service_account_token).unwrap_or(true) {
        return Ok(());
    }
    let existing = spec.volumes.iter().flatten().find(|v| is_token_volume(v)).map(|v| v.name.clone());
    let volume_name = existing.clone().unwrap_or_else(|| free_name(spec.volumes.as_deref().unwrap_or_default()));
    let mut mounted = false;
    for container in spec.init_containers.iter_mut().flatten().chain(spec.containers.iter_mut()) {
        mounted |= mount(container, &volume_name);
    }
    if mounted && existing.is_none() {
        spec.volumes.get_or_insert_default().push(token_volume(volume_name));
    }
    Ok(())
}

/// The account. In a namespace made a moment ago the default one is about to be made, and is waited for.
async fn account(cache: &WatchCache, namespace: &str, name: &str) -> Option<Arc<Item>> {
    let key = wharf_store::key("", "serviceaccounts", namespace, name);
    let there = cache.get(&key);
    if there.is_some() || name != DEFAULT {
        return there;
    }
    let mut cursor = cache.watch("core/serviceaccounts", cache.revision()).ok()?;
    let made = async {
        loop {
            // Watched from before the look, so that nothing that comes in between is missed.
            if let Some(item) = cache.get(&key) {
                return Some(item);
            }
            cursor.next().await.ok()?;
        }
    };
    tokio::time::timeout(PATIENCE, made).await.ok().flatten()
}

fn is_token_volume(volume: &Volume) -> bool {
    let sources = volume.projected.as_ref().and_then(|p| p.sources.as_ref());
    volume.name.starts_with(VOLUME_PREFIX) && sources.is_some_and(|s| s.iter().any(|p| p.service_account_token.is_some()))
}

fn free_name(volumes: &[Volume]) -> String {
    loop {
        let name = generate_name(VOLUME_PREFIX);
        if volumes.iter().all(|v| v.name != name) {
            return name;
        }
    }
}

/// Mounts the volume unless something is mounted there already; whether it did.
fn mount(container: &mut Container, volume: &str) -> bool {
    if container.volume_mounts.iter().flatten().any(|m| m.mount_path == MOUNT_PATH) {
        return false;
    }
    let mount = VolumeMount { name: volume.to_owned(), read_only: Some(true), mount_path: MOUNT_PATH.into(), ..VolumeMount::default() };
    container.volume_mounts.get_or_insert_default().push(mount);
    true
}

fn token_volume(name: String) -> Volume {
    let token = ServiceAccountTokenProjection { expiration_seconds: Some(TOKEN_SECONDS), path: "token".into(), ..ServiceAccountTokenProjection::default() };
    let ca = ConfigMapProjection {
        name: "kube-root-ca.crt".into(),
        items: Some(vec![KeyToPath { key: "ca.crt".into(), path: "ca.crt".into(), ..KeyToPath::default() }]),
        ..ConfigMapProjection::default()
    };
    let field = ObjectFieldSelector { api_version: Some("v1".into()), field_path: "metadata.namespace".into() };
    let namespace = DownwardAPIProjection {
        items: Some(vec![DownwardAPIVolumeFile { path: "namespace".into(), field_ref: Some(field), ..DownwardAPIVolumeFile::default() }]),
    };
    let sources = vec![
        VolumeProjection { service_account_token: Some(token), ..VolumeProjection::default() },
        VolumeProjection { config_map: Some(ca), ..VolumeProjection::default() },
        VolumeProjection { downward_api: Some(namespace), ..VolumeProjection::default() },
    ];
    let projected = ProjectedVolumeSource { default_mode: Some(0o644), sources: Some(sources), ..ProjectedVolumeSource::default() };
    Volume { name, projected: Some(projected), ..Volume::default() }
}
