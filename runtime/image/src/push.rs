//! Packing a component as the OCI artifact of CNCF's "Wasm OCI Artifact layout", and pushing it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::builtin::LOCAL_REGISTRY;
use crate::credentials::Credential;
use crate::error::ImageError;
use crate::inspect::{Inspection, inspect};
use crate::manifest::{Descriptor, OCI_MANIFEST, WASM_CONFIG, WASM_LAYER};
use crate::options::Limits;
use crate::reference::Reference;
use crate::registry::{Registries, Transport};

/// Packs a component (or WASI 0.1 module) as an OCI artifact and pushes it to a registry. The manifest's digest.
///
/// What is pushed is the file's own bytes. It is validated first, so that what nobody could run is not published.
pub async fn push(file: &Path, reference: &str, credential: Option<&Credential>, transport: Transport) -> Result<String, ImageError> {
    let reference = Reference::parse(reference)?;
    let failed = |message: String| ImageError::Push { reference: reference.to_string(), message };
    if reference.registry() == LOCAL_REGISTRY {
        return Err(failed(format!("{LOCAL_REGISTRY} is not a registry: images there are built in or imported")));
    }
    if reference.digest().is_some() {
        return Err(failed("push to a tag, not to a digest".into()));
    }
    let limits = Limits::default();
    let artifact = read(file, &limits)?;
    let blobs = vec![(artifact.layer_digest, artifact.layer), (artifact.config_digest, artifact.config)];
    Registries::new(transport, limits).push(&reference, credential, blobs, artifact.manifest).await
}

/// An artifact, ready to be stored or pushed.
pub struct Artifact {
    /// The file's own bytes.
    pub layer: Vec<u8>,
    /// Their digest.
    pub layer_digest: String,
    /// What is known of them.
    pub config: Vec<u8>,
    /// Its digest.
    pub config_digest: String,
    /// What joins the two.
    pub manifest: Vec<u8>,
    /// Its digest, which names the artifact.
    pub manifest_digest: String,
}

/// The media type of an artifact's manifest.
pub const MANIFEST_TYPE: &str = OCI_MANIFEST;

/// Reads and packs a component (or WASI 0.1 module), which is validated. What it imports and exports comes with it.
pub fn pack_file(file: &Path) -> Result<(Artifact, Inspection), ImageError> {
    read_inspected(file, &Limits::default())
}

/// Reads and packs a file.
pub(crate) fn read(file: &Path, limits: &Limits) -> Result<Artifact, ImageError> {
    Ok(read_inspected(file, limits)?.0)
}

fn read_inspected(file: &Path, limits: &Limits) -> Result<(Artifact, Inspection), ImageError> {
    let name = file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let invalid = |message: String| ImageError::Module { module: name.clone(), message };
    let size = std::fs::metadata(file).map_err(|e| ImageError::store(format!("read {}", file.display()), e))?.len();
    if size > limits.module {
        return Err(invalid(format!("{size} bytes, the limit is {}", limits.module)));
    }
    let wasm = std::fs::read(file).map_err(|e| ImageError::store(format!("read {}", file.display()), e))?;
    let inspection = inspect(&wasm, limits).map_err(invalid)?;
    Ok((pack(wasm, &name, &inspection).map_err(invalid)?, inspection))
}

/// Packs bytes. The same bytes and title always give the same digests: the time of creation is fixed.
fn pack(wasm: Vec<u8>, title: &str, inspection: &Inspection) -> Result<Artifact, String> {
    let layer_digest = digest(&wasm);
    let component = inspection.component.then(|| Component { exports: &inspection.exports, imports: &inspection.imports, target: target(inspection) });
    let config = Config {
        created: "1970-01-01T00:00:00Z",
        architecture: "wasm",
        os: if inspection.component { "wasip2" } else { "wasip1" },
        layer_digests: [&layer_digest],
        component,
    };
    let config = serde_json::to_vec(&config).map_err(|e| e.to_string())?;
    let config_digest = digest(&config);
    let descriptor =
        |media: &str, digest: &str, size: usize| Descriptor { media_type: media.into(), digest: digest.into(), size: size as u64, ..Descriptor::default() };
    let mut layer = descriptor(WASM_LAYER, &layer_digest, wasm.len());
    layer.annotations = BTreeMap::from([("org.opencontainers.image.title".to_string(), title.to_string())]);
    let manifest = Manifest { schema_version: 2, media_type: OCI_MANIFEST, config: descriptor(WASM_CONFIG, &config_digest, config.len()), layers: [layer] };
    let manifest = serde_json::to_vec(&manifest).map_err(|e| e.to_string())?;
    Ok(Artifact { layer_digest, layer: wasm, config_digest, config, manifest_digest: digest(&manifest), manifest })
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// The world that the component targets, as far as its exports tell.
fn target(inspection: &Inspection) -> Option<String> {
    let version = |interface: &str| inspection.exports.iter().find_map(|e| e.strip_prefix(interface)?.strip_prefix('@'));
    version("wasi:http/incoming-handler")
        .map(|v| format!("wasi:http/proxy@{v}"))
        .or_else(|| version("wasi:http/handler").map(|v| format!("wasi:http/service@{v}")))
        .or_else(|| version("wasi:cli/run").map(|v| format!("wasi:cli/command@{v}")))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Config<'a> {
    created: &'a str,
    architecture: &'a str,
    os: &'a str,
    layer_digests: [&'a String; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    component: Option<Component<'a>>,
}

#[derive(Serialize)]
struct Component<'a> {
    exports: &'a [String],
    imports: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    schema_version: u8,
    media_type: &'a str,
    config: Descriptor,
    layers: [Descriptor; 1],
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn the_layout_is_cncfs() {
        let inspection = Inspection {
            component: true,
            imports: vec!["wasi:cli/environment@0.2.3".into()],
            exports: vec!["wasi:http/incoming-handler@0.2.3".into()],
            ..Inspection::default()
        };
        let artifact = pack(b"\0asm".to_vec(), "hello.wasm", &inspection).unwrap();
        expect![[r#"{"created":"1970-01-01T00:00:00Z","architecture":"wasm","os":"wasip2","layerDigests":["sha256:cd5d4935a48c0672cb06407bb443bc0087aff947c6b864bac886982c73b3027f"],"component":{"exports":["wasi:http/incoming-handler@0.2.3"],"imports":["wasi:cli/environment@0.2.3"],"target":"wasi:http/proxy@0.2.3"}}"#]]
        .assert_eq(std::str::from_utf8(&artifact.config).unwrap());
        expect![[r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.wasm.config.v0+json","digest":"sha256:19ab4dd158415f781880211f5ea1585cb856e5da5e000dda846e69b1b3726b81","size":296},"layers":[{"mediaType":"application/wasm","digest":"sha256:cd5d4935a48c0672cb06407bb443bc0087aff947c6b864bac886982c73b3027f","size":4,"annotations":{"org.opencontainers.image.title":"hello.wasm"}}]}"#]]
        .assert_eq(std::str::from_utf8(&artifact.manifest).unwrap());
    }
}
