//! What a manifest or index says, as far as a registry has to know.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::names::Digest;

pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// Descriptors that one manifest may have, all kinds together.
const MAX_DESCRIPTORS: usize = 10_000;

/// What is remembered of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) media_type: String,
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) subject: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) artifact_type: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
    /// Blobs that must be in the repository.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) blobs: Vec<Digest>,
    /// Manifests that must be in the repository.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) manifests: Vec<Digest>,
    /// When it was pushed or lost its last tag, in seconds since 1970.
    pub(crate) since: u64,
}

/// What of a [`Record`] says whether others are needed; of many manifests no more than this is held.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Relations {
    #[serde(default)]
    pub(crate) subject: Option<Digest>,
    #[serde(default)]
    pub(crate) manifests: Vec<Digest>,
    pub(crate) since: u64,
}

/// The blobs of a [`Record`].
#[derive(Deserialize)]
pub(crate) struct Blobs {
    #[serde(default)]
    pub(crate) blobs: Vec<Digest>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    schema_version: Option<u64>,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    subject: Option<Descriptor>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: Digest,
    #[serde(default)]
    urls: Option<Vec<String>>,
}

impl Descriptor {
    /// Whether the registry has to have it: foreign layers are fetched from where they are.
    fn is_here(&self) -> bool {
        let foreign = self.media_type.contains("nondistributable") || self.media_type.contains("rootfs.foreign");
        !foreign && self.urls.as_ref().is_none_or(Vec::is_empty)
    }
}

/// Reads a manifest; `content_type` is what its sender says that it is, empty when nothing was said.
pub(crate) fn parse(bytes: &[u8], content_type: &str, now: u64) -> Result<Record, String> {
    let body: Body = serde_json::from_slice(bytes).map_err(|error| format!("the manifest cannot be read: {error}"))?;
    if body.schema_version != Some(2) {
        return Err("schemaVersion is not 2".to_owned());
    }
    let said = content_type.split(';').next().unwrap_or_default().trim();
    let media_type = match (said, body.media_type.as_deref().unwrap_or_default()) {
        ("", "") => return Err("neither Content-Type nor mediaType says what it is".to_owned()),
        ("", own) => own,
        (said, "") => said,
        (said, own) if said == own => own,
        (said, own) => return Err(format!("Content-Type is {said}, mediaType {own}")),
    };
    let index = match media_type {
        OCI_MANIFEST | DOCKER_MANIFEST => false,
        OCI_INDEX | DOCKER_LIST => true,
        other => return Err(format!("manifests of type {other:?} are not known here")),
    };
    let (layers, children) = (body.layers.unwrap_or_default(), body.manifests.unwrap_or_default());
    if layers.len() + children.len() > MAX_DESCRIPTORS {
        return Err(format!("more than {MAX_DESCRIPTORS} descriptors"));
    }
    let (mut blobs, mut manifests) = (Vec::new(), Vec::new());
    let mut artifact_type = body.artifact_type.filter(|t| !t.is_empty());
    if index {
        if body.config.is_some() || !layers.is_empty() {
            return Err("an index has neither config nor layers".to_owned());
        }
        manifests.extend(children.into_iter().filter(Descriptor::is_here).map(|d| d.digest));
    } else {
        if !children.is_empty() {
            return Err("an image manifest has no manifests".to_owned());
        }
        let config = body.config.ok_or("config is missing")?;
        artifact_type = artifact_type.or_else(|| Some(config.media_type.clone()).filter(|t| !t.is_empty()));
        blobs.extend([config].into_iter().chain(layers).filter(Descriptor::is_here).map(|d| d.digest));
    }
    for list in [&mut blobs, &mut manifests] {
        list.sort();
        list.dedup();
    }
    Ok(Record {
        media_type: media_type.to_owned(),
        size: bytes.len() as u64,
        subject: body.subject.map(|d| d.digest),
        artifact_type,
        annotations: body.annotations.unwrap_or_default(),
        blobs,
        manifests,
        since: now,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    const A: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn read(text: &str, content_type: &str) -> Result<Record, String> {
        parse(text.replace("A64", A).replace("B64", B).as_bytes(), content_type, 1)
    }

    #[test]
    fn what_is_remembered() {
        let text = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/x","digest":"A64","size":2},
            "layers":[{"digest":"B64","size":1},{"digest":"B64","size":1},{"mediaType":"application/vnd.oci.image.layer.nondistributable.v1.tar","digest":"A64","urls":["https://x"]}],
            "subject":{"digest":"B64","size":1},"annotations":{"a":"b"}}"#;
        let record = read(text, "application/vnd.oci.image.manifest.v1+json; charset=utf-8").unwrap();
        assert_eq!((record.blobs.len(), record.manifests.len()), (2, 0));
        assert_eq!((record.artifact_type.as_deref(), record.subject.unwrap().as_str()), (Some("application/x"), B));
        let index = read(r#"{"schemaVersion":2,"manifests":[{"digest":"A64","size":1}],"artifactType":"t"}"#, OCI_INDEX).unwrap();
        assert_eq!((index.blobs.len(), index.manifests.len(), index.artifact_type.as_deref()), (0, 1, Some("t")));
    }

    #[test]
    fn what_is_refused() {
        let mut words = String::new();
        for (text, content_type) in [
            ("", OCI_MANIFEST),
            ("[]", OCI_MANIFEST),
            ("{}", OCI_MANIFEST),
            (r#"{"schemaVersion":1}"#, OCI_MANIFEST),
            (r#"{"schemaVersion":2}"#, ""),
            (r#"{"schemaVersion":2}"#, OCI_MANIFEST),
            (r#"{"schemaVersion":2}"#, "text/plain"),
            (r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json"}"#, OCI_MANIFEST),
            (r#"{"schemaVersion":2,"config":{"digest":"A64"},"manifests":[{"digest":"A64"}]}"#, OCI_MANIFEST),
            (r#"{"schemaVersion":2,"layers":[{"digest":"A64"}]}"#, OCI_INDEX),
            (r#"{"schemaVersion":2,"config":{"digest":"sha256:../x"}}"#, OCI_MANIFEST),
        ] {
            words.push_str(&format!("{}\n", read(text, content_type).unwrap_err()));
        }
        expect![[r#"
            the manifest cannot be read: EOF while parsing a value at line 1 column 0
            the manifest cannot be read: invalid length 0, expected struct Body with 8 elements at line 1 column 2
            schemaVersion is not 2
            schemaVersion is not 2
            neither Content-Type nor mediaType says what it is
            config is missing
            manifests of type "text/plain" are not known here
            Content-Type is application/vnd.oci.image.manifest.v1+json, mediaType application/vnd.oci.image.index.v1+json
            an image manifest has no manifests
            an index has neither config nor layers
            the manifest cannot be read: "sha256:../x" is not a digest at line 1 column 52
        "#]]
        .assert_eq(&words);
    }
}
