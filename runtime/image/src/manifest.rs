//! Manifests, indexes and configurations, as far as they decide what an image is; and the two forms of a Wasm image.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::image::ImageConfig;

/// `Accept` of a manifest request.
pub(crate) const MANIFESTS: &[&str] = &[
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";
pub(crate) const WASM_LAYER: &str = "application/wasm";

/// Other names under which tools push modules as layers.
const WASM_LAYERS: &[&str] = &[
    WASM_LAYER,
    "application/vnd.wasm.content.layer.v1+wasm",
    "application/vnd.module.wasm.content.layer.v1+wasm",
    "application/vnd.bytecodealliance.component.layer.v0+wasm",
    "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm",
    "application/vnd.w3c.wasm.component.v1+wasm",
];

/// An entry of a manifest or index.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) digest: String,
    #[serde(default)]
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
    #[serde(default, skip_serializing)]
    pub(crate) platform: Option<Platform>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Platform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
}

/// A manifest or an index; which of them, its fields say.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) schema_version: u64,
    #[serde(default)]
    pub(crate) manifests: Option<Vec<Descriptor>>,
    #[serde(default)]
    pub(crate) config: Option<Descriptor>,
    #[serde(default)]
    pub(crate) layers: Vec<Descriptor>,
}

/// What a layer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LayerKind {
    /// A module.
    Wasm,
    /// Files, perhaps compressed.
    Tar { gzip: bool },
    /// Something else.
    Other,
}

impl Descriptor {
    pub(crate) fn kind(&self) -> LayerKind {
        let media = self.media_type.split(';').next().unwrap_or("").trim();
        if WASM_LAYERS.contains(&media) {
            return LayerKind::Wasm;
        }
        match media {
            "application/vnd.oci.image.layer.v1.tar"
            | "application/vnd.oci.image.layer.nondistributable.v1.tar"
            | "application/vnd.docker.image.rootfs.diff.tar" => LayerKind::Tar { gzip: false },
            "application/vnd.oci.image.layer.v1.tar+gzip"
            | "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
            | "application/vnd.docker.image.rootfs.diff.tar.gzip" => LayerKind::Tar { gzip: true },
            _ => LayerKind::Other,
        }
    }

    /// `sha256:` and 64 hexadecimal digits: the only digests that name files here.
    pub(crate) fn checked_digest(&self) -> Result<&str, String> {
        check_digest(&self.digest)
    }

    /// Its title, as tools annotate the name of the file.
    pub(crate) fn title(&self) -> Option<&str> {
        self.annotations.get("org.opencontainers.image.title").map(String::as_str)
    }
}

pub(crate) fn check_digest(digest: &str) -> Result<&str, String> {
    let hex = digest.strip_prefix("sha256:").unwrap_or("");
    let ok = hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if ok { Ok(digest) } else { Err(format!("unsupported digest {:?}", digest.chars().take(100).collect::<String>())) }
}

/// Whether os/architecture is WebAssembly; the smaller number is preferred.
fn platform_rank(os: &str, architecture: &str) -> Option<u8> {
    match (os, architecture) {
        ("wasip2", "wasm") => Some(0),
        ("wasip1", "wasm") => Some(1),
        ("wasi", "wasm" | "wasm32") | ("wasip3", "wasm") => Some(2),
        ("wasip1" | "wasip2", "wasm32") => Some(3),
        ("js" | "unknown" | "", "wasm" | "wasm32") => Some(4),
        _ => None,
    }
}

impl Manifest {
    /// Parses; JSON of another shape is an error in words.
    pub(crate) fn parse(json: &[u8]) -> Result<Manifest, String> {
        let manifest: Manifest = serde_json::from_slice(json).map_err(|e| format!("manifest: {e}"))?;
        if manifest.schema_version != 2 {
            return Err(format!("manifest schema version {} is not supported", manifest.schema_version));
        }
        if manifest.manifests.is_none() && manifest.config.is_none() {
            return Err("neither an image manifest nor an index".into());
        }
        Ok(manifest)
    }

    /// Of an index: the entry that runs here, or the platforms that there are, for the error.
    pub(crate) fn choose(entries: &[Descriptor]) -> Result<&Descriptor, String> {
        let ranked = entries.iter().filter_map(|e| {
            let platform = e.platform.as_ref()?;
            Some((platform_rank(&platform.os, &platform.architecture)?, e))
        });
        if let Some((_, entry)) = ranked.min_by_key(|(rank, _)| *rank) {
            return Ok(entry);
        }
        // An index around a single artifact says nothing of platforms.
        if let [entry] = entries
            && entry.platform.is_none()
        {
            return Ok(entry);
        }
        let mut names: Vec<String> = Vec::new();
        for platform in entries.iter().filter_map(|e| e.platform.as_ref()) {
            let name = format!("{}/{}", platform.os, platform.architecture);
            // Attestations are entries for "unknown/unknown".
            if name != "unknown/unknown" && !names.contains(&name) && names.len() < 16 {
                names.push(name);
            }
        }
        Err(if names.is_empty() { "no platform at all".into() } else { names.join(", ") })
    }
}

/// An image's configuration blob, of either form.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Config {
    #[serde(default, deserialize_with = "or_default")]
    os: String,
    #[serde(default, deserialize_with = "or_default")]
    architecture: String,
    #[serde(default, deserialize_with = "or_default")]
    config: Process,
    #[serde(default, deserialize_with = "or_default")]
    rootfs: Layers,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Process {
    #[serde(deserialize_with = "or_default")]
    entrypoint: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    cmd: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    env: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    working_dir: String,
    #[serde(deserialize_with = "or_default")]
    user: String,
    #[serde(deserialize_with = "or_default")]
    exposed_ports: BTreeMap<String, Value>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Layers {
    #[serde(deserialize_with = "or_default")]
    diff_ids: Vec<String>,
}

/// Go writes `null` for an empty list.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

impl Config {
    pub(crate) fn parse(json: &[u8]) -> Result<Config, String> {
        if json.is_empty() {
            return Ok(Config::default());
        }
        serde_json::from_slice(json).map_err(|e| format!("configuration: {e}"))
    }

    /// The platform when it is not WebAssembly: `linux/amd64`.
    pub(crate) fn foreign_platform(&self) -> Option<String> {
        if self.os.is_empty() && self.architecture.is_empty() {
            return None;
        }
        platform_rank(&self.os, &self.architecture).is_none().then(|| format!("{}/{}", self.os, self.architecture))
    }

    /// Digests of the uncompressed layers.
    pub(crate) fn diff_ids(&self) -> &[String] {
        &self.rootfs.diff_ids
    }

    pub(crate) fn image_config(&self) -> ImageConfig {
        let ports = self.config.exposed_ports.keys().filter_map(|port| {
            let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
            number.parse::<u16>().ok().filter(|n| *n != 0 && protocol.eq_ignore_ascii_case("tcp"))
        });
        let mut exposed_ports: Vec<u16> = ports.collect();
        exposed_ports.sort_unstable();
        exposed_ports.dedup();
        let process = &self.config;
        ImageConfig {
            entrypoint: process.entrypoint.clone(),
            cmd: process.cmd.clone(),
            env: process.env.clone(),
            working_dir: process.working_dir.clone(),
            exposed_ports,
            user: process.user.clone(),
            start_message: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(platforms: &[&str]) -> Result<String, String> {
        let entries: Vec<Value> = platforms
            .iter()
            .map(|p| {
                let (os, arch) = p.split_once('/').unwrap();
                serde_json::json!({"digest": p, "size": 1, "platform": {"os": os, "architecture": arch}})
            })
            .collect();
        let entries: Vec<Descriptor> = serde_json::from_value(Value::Array(entries)).unwrap();
        Manifest::choose(&entries).map(|e| e.digest.clone())
    }

    #[test]
    fn the_best_platform_is_chosen() {
        assert_eq!(choose(&["linux/amd64", "wasi/wasm", "wasip1/wasm", "wasip2/wasm"]), Ok("wasip2/wasm".into()));
        assert_eq!(choose(&["linux/amd64", "wasi/wasm"]), Ok("wasi/wasm".into()));
        assert_eq!(choose(&["linux/amd64", "linux/arm64", "unknown/unknown"]), Err("linux/amd64, linux/arm64".into()));
    }

    #[test]
    fn go_writes_null() {
        let json = br#"{"os":"wasi","architecture":"wasm","config":{"Entrypoint":null,"Cmd":["/a.wasm"],"ExposedPorts":{"8080/tcp":{},"53/udp":{},"80":{}},"Env":["A=b"]},"rootfs":null}"#;
        let config = Config::parse(json).unwrap();
        assert_eq!(config.foreign_platform(), None);
        assert_eq!(
            config.image_config(),
            ImageConfig { cmd: vec!["/a.wasm".into()], env: vec!["A=b".into()], exposed_ports: vec![80, 8080], ..ImageConfig::default() }
        );
        assert_eq!(Config::parse(br#"{"os":"linux","architecture":"amd64"}"#).unwrap().foreign_platform().as_deref(), Some("linux/amd64"));
        assert!(Config::parse(br#"{"config":{"Env":[1]}}"#).is_err());
    }

    #[test]
    fn digests_cannot_name_other_files() {
        assert!(check_digest(&format!("sha256:{}", "a".repeat(64))).is_ok());
        for bad in ["sha256:../../etc/passwd", "sha256:", "", "sha512:00", &format!("sha256:{}", "A".repeat(64)), &format!("sha256:{}", "/".repeat(64))] {
            assert!(check_digest(bad).is_err(), "{bad}");
        }
    }
}
