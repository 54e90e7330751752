//! How an image gets here: from a registry, from a file, or from the program itself.

use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::{FutureExt, StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};

use crate::builtin::{Builtin, LOCAL_REGISTRY};
use crate::credentials::Credential;
use crate::error::ImageError;
use crate::gc::Pins;
use crate::image::{Image, ImageConfig};
use crate::images::{Inner, Purpose, blocking};
use crate::manifest::{Config, Descriptor, LayerKind, Manifest, check_digest};
use crate::module::Examined;
use crate::push::{Artifact, digest};
use crate::reference::Reference;
use crate::registry::broken;
use crate::{rootfs, unpack};

/// An image, as it is remembered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Of the manifest, or of the index it was found in.
    pub(crate) digest: String,
    pub(crate) size: u64,
    pub(crate) config: ImageConfig,
    /// The key of its unpacked files.
    pub(crate) rootfs: Option<String>,
    /// Its own module: name, and what inspection found.
    pub(crate) main: Option<(String, Examined)>,
    /// Digests of its blobs.
    #[serde(default)]
    pub(crate) blobs: Vec<String>,
}

/// The digest of what was pulled, and what keeps it here until it is taken.
pub(crate) type Pulled = (String, Arc<Pins>);

/// Blobs of one image that arrive at a time.
const BLOBS: usize = 3;

/// Pulls what a reference means now; its digest.
pub(crate) async fn pull(inner: Arc<Inner>, reference: Reference, credential: Option<Credential>) -> Result<Pulled, ImageError> {
    let _turn = inner.pulls.acquire().await.map_err(|e| ImageError::store("pull", e))?;
    let credential = credential.as_ref();
    // A tag that may not have moved: its digest alone is asked for.
    if inner.may_know(&reference) {
        let digest = inner.registries.digest(&reference, credential).await?;
        let mut pins = Pins::new(&inner);
        pins.add(&digest);
        if inner.record(&digest).is_some() {
            inner.name(&reference, &digest)?;
            return Ok((digest, Arc::new(pins)));
        }
    }
    let (bytes, digest) = inner.registries.manifest(&reference, credential).await?;
    check_digest(&digest).map_err(|m| broken(&reference, m))?;
    // What a collection could take meanwhile is pinned before it is looked for.
    let mut pins = Pins::new(&inner);
    pins.add(&digest);
    if inner.record(&digest).is_none() {
        let record = fetch(&inner, &reference, credential, bytes, &digest, &mut pins).await?;
        inner.add(record)?;
    }
    inner.name(&reference, &digest)?;
    Ok((digest, Arc::new(pins)))
}

async fn fetch(
    inner: &Arc<Inner>,
    reference: &Reference,
    credential: Option<&Credential>,
    bytes: Vec<u8>,
    top: &str,
    pins: &mut Pins,
) -> Result<Record, ImageError> {
    let form = |message: String| ImageError::Form { reference: reference.to_string(), message };
    let platform = |platforms: String| ImageError::Platform { reference: reference.to_string(), platforms };
    let mut manifest = Manifest::parse(&bytes).map_err(form)?;
    let mut own = top.to_string();
    if let Some(entries) = &manifest.manifests {
        let chosen = Manifest::choose(entries).map_err(platform)?;
        own = chosen.checked_digest().map_err(form)?.to_string();
        let (bytes, _) = inner.registries.manifest(&reference.with_digest(&own), credential).await?;
        manifest = Manifest::parse(&bytes).map_err(form)?;
    }
    let config = manifest.config.as_ref().ok_or_else(|| form("an index in an index".into()))?;
    check_sizes(inner, reference, config, &manifest.layers)?;
    let mut blobs = vec![config.digest.clone()];
    blobs.extend(manifest.layers.iter().filter(|l| l.kind() != LayerKind::Other).map(|l| l.digest.clone()));
    blobs.iter().chain([&own]).for_each(|digest| pins.add(digest));

    blob(inner, reference, credential, config).await?;
    let config_json = std::fs::read(inner.store.blob(&config.digest)).map_err(|e| ImageError::store("read the configuration", e))?;
    let wasm_layer = manifest.layers.iter().find(|l| l.kind() == LayerKind::Wasm);
    let config = match Config::parse(&config_json) {
        Ok(config) => config,
        // Tools that push a module as a single layer put anything into its configuration.
        Err(_) if wasm_layer.is_some() => Config::default(),
        Err(message) => return Err(form(message)),
    };
    if wasm_layer.is_none()
        && let Some(name) = config.foreign_platform()
    {
        return Err(platform(name));
    }
    if let Some(strange) = manifest.layers.iter().find(|l| l.kind() == LayerKind::Other && (wasm_layer.is_none() || l.media_type.contains("tar"))) {
        return Err(form(format!("a layer of type {:?} cannot be read", strange.media_type.chars().take(100).collect::<String>())));
    }
    if manifest.layers.is_empty() {
        return Err(form("it has no layers".into()));
    }

    let mut transfers = Vec::new();
    for layer in manifest.layers.iter().filter(|l| l.kind() != LayerKind::Other) {
        transfers.push(blob(inner, reference, credential, layer).boxed());
    }
    futures::stream::iter(transfers).buffer_unordered(BLOBS).try_collect::<Vec<()>>().await?;

    let tars: Vec<Descriptor> = manifest.layers.iter().filter(|l| matches!(l.kind(), LayerKind::Tar { .. })).cloned().collect();
    let image_config = config.image_config();
    let has_files = !tars.is_empty();
    if has_files {
        let (inner2, reference2, own2, ids) = (inner.clone(), reference.clone(), own.clone(), config.diff_ids().to_vec());
        inner.unpacking.run(own.clone(), || async move { unpack_layers(inner2, reference2, own2, tars, ids).await }).await?;
    }
    let main = match wasm_layer {
        Some(layer) => Some((module_name(layer, reference), inner.store.blob(&layer.digest))),
        None => own_module(&inner.store.rootfs(&own), &image_config),
    };
    let main = match main {
        Some((name, path)) => Some((name.clone(), inner.clone().examine(name, path).await?)),
        None => None,
    };
    let size = manifest.layers.iter().map(|l| l.size).sum();
    Ok(Record { digest: top.into(), size, config: image_config, rootfs: has_files.then_some(own), main, blobs })
}

fn check_sizes(inner: &Inner, reference: &Reference, config: &Descriptor, layers: &[Descriptor]) -> Result<(), ImageError> {
    let limits = &inner.options.limits;
    let check = |what: &str, size: u64, limit: u64| {
        if size <= limit { Ok(()) } else { Err(ImageError::TooLarge { reference: reference.to_string(), what: what.into(), size, limit }) }
    };
    check("the configuration", config.size, limits.manifest)?;
    if layers.len() > limits.layers {
        return Err(ImageError::Form { reference: reference.to_string(), message: format!("{} layers, the limit is {}", layers.len(), limits.layers) });
    }
    let mut sum = 0u64;
    for layer in layers {
        check(&format!("layer {}", layer.digest.chars().take(80).collect::<String>()), layer.size, limits.blob)?;
        sum = sum.saturating_add(layer.size);
    }
    check("the image", sum, limits.image)
}

/// A blob into the store, unless it is there.
async fn blob(inner: &Arc<Inner>, reference: &Reference, credential: Option<&Credential>, blob: &Descriptor) -> Result<(), ImageError> {
    let digest = blob.checked_digest().map_err(|m| broken(reference, m))?.to_string();
    if inner.store.blob(&digest).exists() {
        return Ok(());
    }
    let (inner2, reference, credential, blob) = (inner.clone(), reference.clone(), credential.cloned(), blob.clone());
    let work = || async move {
        let store = &inner2.store;
        inner2.registries.blob(&reference, credential.as_ref(), &blob, &store.partial(&blob.digest), &store.blob(&blob.digest)).await
    };
    inner.blobs.run(digest, work).await
}

async fn unpack_layers(inner: Arc<Inner>, reference: Reference, own: String, layers: Vec<Descriptor>, diff_ids: Vec<String>) -> Result<(), ImageError> {
    let to = inner.store.rootfs(&own);
    if to.exists() {
        return Ok(());
    }
    /// Tells the thread that unpacks to stop when nobody waits for it any more.
    struct StopOnDrop(Arc<AtomicBool>);
    impl Drop for StopOnDrop {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let stop = Arc::new(AtomicBool::new(false));
    let _guard = StopOnDrop(stop.clone());
    let work = move || {
        let temporary = inner.store.temporary();
        let done = unpack_into(&inner, &reference, &temporary, &layers, &diff_ids, &stop)
            .and_then(|()| settle(&temporary, &to).map_err(|e| ImageError::store("rename the unpacked image", e)));
        if done.is_err() {
            let _ = std::fs::remove_dir_all(&temporary);
        }
        // One that was given up, and nevertheless came to its end, was quicker.
        if to.exists() { Ok(()) } else { done }
    };
    blocking("unpack", work).await?
}

/// Puts a whole folder in its place, with all of it on disk before its name is.
fn settle(temporary: &Path, to: &Path) -> std::io::Result<()> {
    rustix::fs::syncfs(std::fs::File::open(temporary)?)?;
    std::fs::rename(temporary, to)
}

fn unpack_into(inner: &Inner, reference: &Reference, root: &Path, layers: &[Descriptor], diff_ids: &[String], stop: &AtomicBool) -> Result<(), ImageError> {
    std::fs::DirBuilder::new().mode(0o755).create(root).map_err(|e| ImageError::store("unpack", e))?;
    let mut budget = unpack::Budget::new(&inner.options.limits);
    for (index, layer) in layers.iter().enumerate() {
        let failed = |message: String| ImageError::Layer { reference: reference.to_string(), digest: layer.digest.clone(), message };
        let file = std::fs::File::open(inner.store.blob(&layer.digest)).map_err(|e| failed(e.to_string()))?;
        let file = std::io::BufReader::with_capacity(64 << 10, file);
        // Identifiers count all layers; they say something only when all are files.
        let diff_id = (diff_ids.len() == layers.len()).then(|| diff_ids[index].as_str());
        match layer.kind() {
            LayerKind::Tar { gzip: true } => unpack::layer(flate2::bufread::MultiGzDecoder::new(file), root, diff_id, &mut budget, stop),
            _ => unpack::layer(file, root, diff_id, &mut budget, stop),
        }
        .map_err(failed)?;
    }
    Ok(())
}

/// The artifact's name as its author titled it, else after the repository.
fn module_name(layer: &Descriptor, reference: &Reference) -> String {
    let title = layer.title().map(|t| t.rsplit('/').next().unwrap_or(t)).filter(|t| !t.is_empty() && t.len() < 256);
    title.map(str::to_string).unwrap_or_else(|| {
        let repository = reference.repository();
        format!("{}.wasm", repository.rsplit('/').next().unwrap_or(repository))
    })
}

/// What ENTRYPOINT names, else CMD, else the only module at the top.
fn own_module(root: &Path, config: &ImageConfig) -> Option<(String, std::path::PathBuf)> {
    let named = config.entrypoint.first().or(config.cmd.first());
    let found = named.and_then(|name| rootfs::find_executable(root, config, name)).or_else(|| rootfs::only_module(root))?;
    Some((found.inside, found.outside))
}

/// Stores an artifact that was made here; its digest.
pub(crate) async fn artifact(inner: &Arc<Inner>, artifact: Artifact, reference: &Reference) -> Result<String, ImageError> {
    let digest = artifact.manifest_digest.clone();
    let mut pins = Pins::new(inner);
    [&digest, &artifact.layer_digest, &artifact.config_digest].into_iter().for_each(|digest| pins.add(digest));
    if inner.record(&digest).is_some() {
        return Ok(digest);
    }
    let (inner2, reference) = (inner.clone(), reference.clone());
    let record = blocking("store an artifact", move || {
        let store = &inner2.store;
        for (digest, bytes) in
            [(&artifact.layer_digest, &artifact.layer), (&artifact.config_digest, &artifact.config), (&artifact.manifest_digest, &artifact.manifest)]
        {
            store.write(&store.blob(digest), bytes)?;
        }
        let layer = Manifest::parse(&artifact.manifest).ok().and_then(|m| m.layers.first().cloned()).unwrap_or_default();
        let name = module_name(&layer, &reference);
        let examined = inner2.examine_file(&name, &store.blob(&artifact.layer_digest))?;
        Ok::<_, ImageError>(Record {
            digest: artifact.manifest_digest,
            size: artifact.layer.len() as u64,
            config: ImageConfig::default(),
            rootfs: None,
            main: Some((name, examined)),
            blobs: vec![artifact.layer_digest, artifact.config_digest],
        })
    })
    .await??;
    inner.image(&record, &reference_of(&digest)?, Purpose::of(&record))?;
    inner.add(record)?;
    drop(pins);
    Ok(digest)
}

fn reference_of(digest: &str) -> Result<Reference, ImageError> {
    Reference::parse(&format!("{LOCAL_REGISTRY}/image@{digest}"))
}

/// A built-in image, laid out in the store at its first use.
pub(crate) async fn builtin(inner: &Arc<Inner>, builtin: Builtin, reference: &Reference, aliased: bool) -> Result<Image, ImageError> {
    let name = builtin.name.clone();
    let inner2 = inner.clone();
    let record = blocking("lay out a built-in image", move || builtin_record(&inner2, &builtin)).await??;
    let own = Reference::parse(&format!("{LOCAL_REGISTRY}/builtin/{name}"))?;
    let mut image = inner.image(&record, reference, Purpose::Container)?;
    image.id = Image::name_of(&own, &record.digest);
    image.alias_of = aliased.then_some(name);
    Ok(image)
}

fn builtin_record(inner: &Inner, builtin: &Builtin) -> Result<Arc<Record>, ImageError> {
    let wasm_digest = digest(builtin.wasm);
    let mut identity = format!("{}\n{wasm_digest}\n{:?}\n", builtin.name, builtin.config);
    for (path, bytes) in &builtin.files {
        identity.push_str(&format!("{path} {}\n", digest(bytes)));
    }
    let key = digest(identity.as_bytes());
    inner.uses.keep(&key);
    if let Some(record) = inner.record(&key) {
        return Ok(record);
    }
    let store = &inner.store;
    let blob = store.blob(&wasm_digest);
    store.write(&blob, builtin.wasm)?;
    let root = store.rootfs(&key);
    if !builtin.files.is_empty() && !root.exists() {
        let temporary = store.temporary();
        let failed = |e: std::io::Error| ImageError::store(format!("lay out built-in image {}", builtin.name), e);
        for (path, bytes) in &builtin.files {
            let file = temporary.join(path.trim_start_matches('/'));
            let folder = if path.ends_with('/') { Some(file.as_path()) } else { file.parent() };
            if let Some(folder) = folder {
                std::fs::DirBuilder::new().recursive(true).mode(0o755).create(folder).map_err(failed)?;
            }
            if path.ends_with('/') {
                continue;
            }
            std::fs::write(&file, bytes).map_err(failed)?;
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).map_err(failed)?;
        }
        if let Err(error) = std::fs::rename(&temporary, &root) {
            let _ = std::fs::remove_dir_all(&temporary);
            // Another one of us was quicker.
            if !root.exists() {
                return Err(failed(error));
            }
        }
    }
    let name = format!("{}.wasm", builtin.name);
    let examined = inner.examine_file(&name, &blob)?;
    let size = builtin.wasm.len() as u64 + builtin.files.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>();
    let record = Record {
        digest: key.clone(),
        size,
        config: builtin.config.clone(),
        rootfs: (!builtin.files.is_empty()).then(|| key.clone()),
        main: Some((name, examined)),
        blobs: vec![wasm_digest],
    };
    inner.add(record)?;
    inner.record(&key).ok_or_else(|| ImageError::store("lay out a built-in image", "its record is gone"))
}

impl Inner {
    /// Whether it is worth asking for a digest only.
    fn may_know(&self, reference: &Reference) -> bool {
        reference.digest().is_some_and(|d| self.record(d).is_some()) || self.has_name(reference)
    }
}

#[cfg(test)]
#[path = "pull_tests/mod.rs"]
mod tests;
