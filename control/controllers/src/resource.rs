//! What the runner needs to know of a kind to reach it, and which object of it is meant.

use std::borrow::Cow;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

/// The name of an object within its kind; what queues hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Empty for cluster scope.
    pub namespace: String,
    /// The object's name (for the garbage collector: its uid).
    pub name: String,
}

impl Key {
    /// A key of both parts.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Key {
        Key { namespace: namespace.into(), name: name.into() }
    }

    /// The key of the object with this metadata.
    pub fn of(meta: &ObjectMeta) -> Key {
        Key { namespace: meta.namespace.clone().unwrap_or_default(), name: meta.name.clone().unwrap_or_default() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() { f.write_str(&self.name) } else { write!(f, "{}/{}", self.namespace, self.name) }
    }
}

/// A kind as the API's paths name it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "discovery's own names")]
pub struct Resource {
    /// Empty for the core group.
    pub group: Cow<'static, str>,
    pub version: Cow<'static, str>,
    pub plural: Cow<'static, str>,
    pub kind: Cow<'static, str>,
    pub namespaced: bool,
}

impl Resource {
    /// The resource of a type of `k8s-openapi`.
    pub fn of<K: Typed>() -> Resource {
        Resource { group: K::GROUP.into(), version: K::VERSION.into(), plural: K::URL_PATH_SEGMENT.into(), kind: K::KIND.into(), namespaced: K::NAMESPACED }
    }

    /// `v1`, `apps/v1`, …
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_string() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `pods`, `deployments.apps`, …: without the version, since an object is the same in all of them.
    pub fn group_resource(&self) -> String {
        if self.group.is_empty() { self.plural.to_string() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// The path of the collection, in a namespace unless that is empty.
    pub fn path(&self, namespace: &str) -> String {
        let root = if self.group.is_empty() { format!("/api/{}", self.version) } else { format!("/apis/{}/{}", self.group, self.version) };
        if self.namespaced && !namespace.is_empty() {
            format!("{root}/namespaces/{}/{}", segment(namespace), self.plural)
        } else {
            format!("{root}/{}", self.plural)
        }
    }
}

/// Percent-encodes what may not stand in a path.
fn segment(name: &str) -> Cow<'_, str> {
    if name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~:@".contains(&b)) {
        return name.into();
    }
    let mut out = String::with_capacity(name.len() + 8);
    for b in name.bytes() {
        if b.is_ascii_alphanumeric() || b"-._~:@".contains(&b) { out.push(b as char) } else { out.push_str(&format!("%{b:02X}")) }
    }
    out.into()
}

/// A type of `k8s-openapi` that the controllers read or write.
pub trait Typed:
    k8s_openapi::Resource
    + k8s_openapi::Metadata<Ty = ObjectMeta>
    + serde::Serialize
    + serde::de::DeserializeOwned
    + Clone
    + Default
    + std::fmt::Debug
    + PartialEq
    + Send
    + Sync
    + 'static
{
    /// Whether its objects live in a namespace.
    const NAMESPACED: bool = true;

    /// Drops what no controller reads before the object is cached. Such kinds are patched, never replaced.
    fn strip(&mut self) {}

    /// Terms under which a cache finds the object again, beside its owner and its namespace.
    fn index(&self, _into: &mut Vec<String>) {}
}

/// One object.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "metadata's own names")]
pub struct Target {
    pub resource: Resource,
    pub namespace: String,
    pub name: String,
    pub uid: Option<String>,
    pub resource_version: Option<String>,
}

impl Target {
    /// The object itself, whatever its version.
    pub fn of<K: Typed>(object: &K) -> Target {
        let meta = object.metadata();
        Target {
            resource: Resource::of::<K>(),
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
            uid: meta.uid.clone(),
            resource_version: None,
        }
    }

    /// The object in just this version.
    pub fn exactly<K: Typed>(object: &K) -> Target {
        Target { resource_version: object.metadata().resource_version.clone(), ..Target::of(object) }
    }

    /// Its path, behind which a subresource may stand.
    pub fn path(&self, subresource: Option<&str>) -> String {
        let object = format!("{}/{}", self.resource.path(&self.namespace), segment(&self.name));
        match subresource {
            Some(sub) => format!("{object}/{sub}"),
            None => object,
        }
    }
}

/// The owner that controls the object.
pub fn controller_of(meta: &ObjectMeta) -> Option<&OwnerReference> {
    meta.owner_references.iter().flatten().find(|o| o.controller == Some(true))
}

/// A reference that makes `owner` the controller of what carries it.
pub fn controller_ref<K: Typed>(owner: &K) -> OwnerReference {
    let meta = owner.metadata();
    OwnerReference {
        api_version: K::API_VERSION.to_owned(),
        kind: K::KIND.to_owned(),
        name: meta.name.clone().unwrap_or_default(),
        uid: meta.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// The object's uid, empty if it has none.
pub fn uid(meta: &ObjectMeta) -> &str {
    meta.uid.as_deref().unwrap_or_default()
}

/// The object's name, empty if it has none.
pub fn name(meta: &ObjectMeta) -> &str {
    meta.name.as_deref().unwrap_or_default()
}

/// The object's namespace, empty if it has none.
pub fn namespace(meta: &ObjectMeta) -> &str {
    meta.namespace.as_deref().unwrap_or_default()
}
