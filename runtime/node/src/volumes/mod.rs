//! Volumes: what each holds, from the API; kept up to date while the Pod runs.
//!
//! ConfigMap, Secret, projected, downward API and emptyDir. A Pod never sees the host's files: `hostPath` is refused in words.

pub mod changes;
mod subpath;
pub mod tokens;
pub mod writer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{
    ConfigMapProjection, DownwardAPIVolumeFile, KeyToPath, Pod, Secret, SecretProjection, ServiceAccountTokenProjection, Volume, VolumeProjection,
};

pub use subpath::{SubPath, subpath};
use tokens::Tokens;
use writer::{Payload, PayloadFile};

use crate::world::downward::{self, PodFacts};

/// The largest volume that is filled from the API.
const MAX_BYTES: usize = 16 << 20;

/// Reads ConfigMaps and Secrets of one namespace.
#[derive(Clone)]
pub struct Objects {
    client: Arc<kube::Client>,
    namespace: String,
}

/// A ConfigMap's or Secret's data.
pub type Data = BTreeMap<String, Vec<u8>>;

impl Objects {
    /// Of this namespace.
    pub fn new(client: Arc<kube::Client>, namespace: &str) -> Self {
        Self { client, namespace: namespace.to_owned() }
    }

    /// A ConfigMap's data, text and binary; `None` when there is none of that name.
    pub async fn config_map(&self, name: &str) -> Result<Option<Data>, String> {
        let api: kube::Api<k8s_openapi::api::core::v1::ConfigMap> = kube::Api::namespaced((*self.client).clone(), &self.namespace);
        let found = api.get_opt(name).await.map_err(|e| words("configmap", name, &e))?;
        Ok(found.map(|cm| {
            let text = cm.data.unwrap_or_default().into_iter().map(|(k, v)| (k, v.into_bytes()));
            text.chain(cm.binary_data.unwrap_or_default().into_iter().map(|(k, ByteString(v))| (k, v))).collect()
        }))
    }

    /// A Secret's data; `None` when there is none of that name.
    pub async fn secret(&self, name: &str) -> Result<Option<Data>, String> {
        Ok(self.whole_secret(name).await?.map(|s| s.data.unwrap_or_default().into_iter().map(|(k, ByteString(v))| (k, v)).collect()))
    }

    /// A Secret with its type.
    pub async fn whole_secret(&self, name: &str) -> Result<Option<Secret>, String> {
        let api: kube::Api<Secret> = kube::Api::namespaced((*self.client).clone(), &self.namespace);
        api.get_opt(name).await.map_err(|e| words("secret", name, &e))
    }
}

fn words(kind: &str, name: &str, error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => format!("failed to get {kind} \"{name}\": {other}"),
    }
}

/// Everything that filling a Pod's volumes needs.
pub struct Filler<'a> {
    /// The Pod.
    pub pod: &'a Pod,
    /// What the node knows of it.
    pub facts: &'a PodFacts,
    /// Its namespace's objects.
    pub objects: &'a Objects,
    /// Its tokens.
    pub tokens: &'a Tokens,
    /// `volumes` of the Pod's folder.
    pub dir: &'a Path,
}

/// The folder of a volume below the Pod's `volumes`.
pub fn folder(dir: &Path, volume: &Volume) -> PathBuf {
    let plugin = match volume {
        Volume { config_map: Some(_), .. } => "kubernetes.io~configmap",
        Volume { secret: Some(_), .. } => "kubernetes.io~secret",
        Volume { projected: Some(_), .. } => "kubernetes.io~projected",
        Volume { downward_api: Some(_), .. } => "kubernetes.io~downward-api",
        _ => "kubernetes.io~empty-dir",
    };
    dir.join(plugin).join(&volume.name)
}

/// Whether a volume's content can change while the Pod runs.
pub fn is_live(volume: &Volume) -> bool {
    volume.config_map.is_some() || volume.secret.is_some() || volume.projected.is_some() || volume.downward_api.is_some()
}

impl Filler<'_> {
    /// Fills one volume, or brings it up to date. The error is the rest of `MountVolume.SetUp failed for volume "x" : …`.
    pub async fn fill(&self, volume: &Volume) -> Result<(), String> {
        let payload = self.payload(volume).await?;
        let dir = folder(self.dir, volume);
        let written = tokio::task::spawn_blocking(move || match payload {
            Some(payload) => writer::write(&dir, &payload).map(drop),
            None => empty_dir(&dir),
        });
        written.await.map_err(|e| e.to_string())?.map_err(|e| e.to_string())
    }

    /// What a volume holds; `None` for an emptyDir.
    async fn payload(&self, volume: &Volume) -> Result<Option<Payload>, String> {
        let mut out = Payload::new();
        if let Some(source) = &volume.config_map {
            let projection = ConfigMapProjection { items: source.items.clone(), name: source.name.clone(), optional: source.optional };
            self.config_map(&projection, mode(source.default_mode), &mut out).await?;
        } else if let Some(source) = &volume.secret {
            let name = source.secret_name.clone().unwrap_or_default();
            let projection = SecretProjection { items: source.items.clone(), name, optional: source.optional };
            self.secret(&projection, mode(source.default_mode), &mut out).await?;
        } else if let Some(source) = &volume.projected {
            for one in source.sources.iter().flatten() {
                self.projection(volume, one, mode(source.default_mode), &mut out).await?;
            }
        } else if let Some(source) = &volume.downward_api {
            self.downward(source.items.as_deref().unwrap_or_default(), mode(source.default_mode), &mut out)?;
        } else if volume.empty_dir.is_some() {
            return Ok(None);
        } else if volume.host_path.is_some() {
            return Err("hostPath volumes are not supported: a WebAssembly container sees nothing of the host's files".to_owned());
        } else {
            return Err("this kind of volume is not supported (supported: configMap, secret, projected, downwardAPI, emptyDir)".to_owned());
        }
        if out.values().map(|f| f.bytes.len()).sum::<usize>() > MAX_BYTES {
            return Err(format!("the volume would hold more than {MAX_BYTES} bytes"));
        }
        Ok(Some(out))
    }

    async fn projection(&self, volume: &Volume, one: &VolumeProjection, default: u32, out: &mut Payload) -> Result<(), String> {
        if let Some(source) = &one.config_map {
            self.config_map(source, default, out).await
        } else if let Some(source) = &one.secret {
            self.secret(source, default, out).await
        } else if let Some(source) = &one.downward_api {
            self.downward(source.items.as_deref().unwrap_or_default(), default, out)
        } else if let Some(source) = &one.service_account_token {
            self.token(volume, source, default, out).await
        } else {
            Err("this kind of projection is not supported".to_owned())
        }
    }

    async fn config_map(&self, source: &ConfigMapProjection, default: u32, out: &mut Payload) -> Result<(), String> {
        let optional = source.optional == Some(true);
        match self.objects.config_map(&source.name).await? {
            Some(data) => select(data, source.items.as_deref(), default, optional, "config", out),
            None if optional => Ok(()),
            None => Err(format!("configmap \"{}\" not found", source.name)),
        }
    }

    async fn secret(&self, source: &SecretProjection, default: u32, out: &mut Payload) -> Result<(), String> {
        let optional = source.optional == Some(true);
        match self.objects.secret(&source.name).await? {
            Some(data) => select(data, source.items.as_deref(), default, optional, "secret", out),
            None if optional => Ok(()),
            None => Err(format!("secret \"{}\" not found", source.name)),
        }
    }

    fn downward(&self, items: &[DownwardAPIVolumeFile], default: u32, out: &mut Payload) -> Result<(), String> {
        for item in items {
            let value = match (&item.field_ref, &item.resource_field_ref) {
                (Some(field), _) => downward::field(self.pod, self.facts, field)?,
                (None, Some(resource)) => downward::resource(self.pod, None, self.facts, resource)?,
                (None, None) => continue,
            };
            out.insert(item.path.clone(), PayloadFile { bytes: value.into_bytes(), mode: item.mode.map_or(default, |m| mode(Some(m))) });
        }
        Ok(())
    }

    async fn token(&self, volume: &Volume, source: &ServiceAccountTokenProjection, default: u32, out: &mut Payload) -> Result<(), String> {
        let account = self.pod.spec.as_ref().and_then(|s| s.service_account_name.as_deref()).unwrap_or("default");
        let (audience, seconds) = (source.audience.as_deref().unwrap_or_default(), source.expiration_seconds.unwrap_or(3600));
        let file = folder(self.dir, volume).join(writer::DATA).join(&source.path);
        let token = self.tokens.get(account, audience, seconds, &file).await?;
        // As upstream: readable by the container's user alone.
        out.insert(source.path.clone(), PayloadFile { bytes: token.into_bytes(), mode: default & 0o700 | 0o600 });
        Ok(())
    }
}

/// Keys of a ConfigMap or Secret to paths: all of them, or those that `items` name.
fn select(data: Data, items: Option<&[KeyToPath]>, default: u32, optional: bool, kind: &str, out: &mut Payload) -> Result<(), String> {
    match items.filter(|items| !items.is_empty()) {
        None => out.extend(data.into_iter().map(|(key, bytes)| (key, PayloadFile { bytes, mode: default }))),
        Some(items) => {
            for item in items {
                match data.get(&item.key).cloned() {
                    Some(bytes) => {
                        out.insert(item.path.clone(), PayloadFile { bytes, mode: item.mode.map_or(default, |m| mode(Some(m))) });
                    }
                    None if optional => {}
                    None => return Err(format!("references non-existent {kind} key: {}", item.key)),
                }
            }
        }
    }
    Ok(())
}

fn mode(mode: Option<i32>) -> u32 {
    mode.and_then(|m| u32::try_from(m).ok()).unwrap_or(0o644) & 0o777
}

fn empty_dir(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o777).create(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(pairs: &[(&str, &str)]) -> Data {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), v.as_bytes().to_vec())).collect()
    }

    #[test]
    fn keys_become_files() {
        let item = |key: &str, path: &str, mode| KeyToPath { key: key.into(), path: path.into(), mode, user: None };
        let mut out = Payload::new();
        select(data(&[("a", "1"), ("b", "2")]), None, 0o644, false, "config", &mut out).unwrap();
        assert_eq!(out.keys().collect::<Vec<_>>(), ["a", "b"]);
        let mut out = Payload::new();
        select(data(&[("a", "1"), ("b", "2")]), Some(&[item("a", "x/y", Some(0o400))]), 0o644, false, "config", &mut out).unwrap();
        assert_eq!((out.len(), out["x/y"].mode), (1, 0o400));
        let missing = |optional| select(data(&[("a", "1")]), Some(&[item("no", "x", None)]), 0o644, optional, "secret", &mut Payload::new());
        assert_eq!(missing(false), Err("references non-existent secret key: no".to_owned()));
        assert_eq!(missing(true), Ok(()));
    }
}
