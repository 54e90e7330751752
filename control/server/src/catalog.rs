//! The kinds as this server serves them: found by path, with what the hot path needs precomputed.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use wharf_api::decode::{Decoded, FieldValidation};
use wharf_api::encode::encode;
use wharf_api::registry::{Registry, Resource};
use wharf_api::status::ApiError;
use wharf_api::{DynKind, DynObject, KindInfo, Subresource};
use wharf_store::{Item, NewValue, key};

/// All kinds.
pub(crate) struct Catalog {
    pub(crate) registry: Registry,
    served: Vec<Arc<Served>>,
    by_plural: HashMap<&'static str, Vec<Arc<Served>>>,
}

/// A kind that is served.
pub(crate) struct Served {
    resource: Resource,
    /// `group/plural` in the store.
    pub(crate) storage: String,
    /// How the stored JSON of this kind begins. Lists leave it out of their items.
    opening: String,
    /// The kind that objects are stored as, where it is another.
    stored: Option<(Resource, wharf_api::kind::Stored)>,
}

impl Catalog {
    pub(crate) fn new() -> Catalog {
        let registry = Registry::new(wharf_api::kinds::all());
        let mut served = Vec::new();
        let mut by_plural: HashMap<&'static str, Vec<Arc<Served>>> = HashMap::new();
        for resource in registry.resources() {
            let info = resource.info();
            let stored = info.stored_as.and_then(|s| Some((registry.get(s.group, s.version, info.plural)?.clone(), s)));
            let group = stored.as_ref().map_or(info.group, |(r, _)| r.info().group);
            let one = Arc::new(Served {
                resource: resource.clone(),
                storage: format!("{}/{}", if group.is_empty() { "core" } else { group }, info.plural),
                opening: format!("{{\"apiVersion\":{:?},\"kind\":{:?},", info.api_version, info.kind),
                stored,
            });
            by_plural.entry(info.plural).or_default().push(one.clone());
            served.push(one);
        }
        Catalog { registry, served, by_plural }
    }

    /// The kind of a path.
    pub(crate) fn get(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Served>> {
        self.by_plural.get(plural)?.iter().find(|s| s.info().group == group && s.info().version == version)
    }

    /// The kind of a core resource that this server itself relies on.
    pub(crate) fn all(&self) -> &[Arc<Served>] {
        &self.served
    }
}

impl Served {
    pub(crate) fn info(&self) -> &KindInfo {
        self.resource.info()
    }

    pub(crate) fn kind(&self) -> &dyn DynKind {
        &*self.resource.kind
    }

    pub(crate) fn resource(&self) -> &Resource {
        &self.resource
    }

    /// Whether it is this resource of the core group.
    pub(crate) fn is(&self, group: &str, plural: &str) -> bool {
        self.info().plural == plural && self.info().group == group
    }

    pub(crate) fn key(&self, namespace: &str, name: &str) -> Arc<str> {
        let (group, plural) = self.storage.split_once('/').unwrap_or(("", &self.storage));
        key(group, plural, namespace, name)
    }

    /// What the keys of a namespace (empty: of all) begin with.
    pub(crate) fn prefix(&self, namespace: &str) -> String {
        if namespace.is_empty() { format!("{}/", self.storage) } else { format!("{}/{namespace}/", self.storage) }
    }

    /// The subresource of that name.
    pub(crate) fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.info().subresources.iter().find(|s| match s {
            Subresource::Status => name == "status",
            Subresource::Scale { .. } => name == "scale",
            Subresource::Other { name: other, .. } => *other == name,
        })
    }

    /// Whether objects are stored in another form than they are served in.
    pub(crate) fn converts(&self) -> bool {
        self.stored.is_some()
    }

    /// Reads a request's body.
    pub(crate) fn decode(&self, registry: &Registry, body: &[u8], content_type: &str, validation: FieldValidation) -> Result<Decoded, ApiError> {
        registry.decode(&self.resource, body, content_type, validation)
    }

    /// Reads what the store holds.
    pub(crate) fn decode_stored(&self, json: &[u8]) -> Result<Box<dyn DynObject>, ApiError> {
        let failed = |e: serde_json::Error| ApiError::internal(format!("decoding {} from the store: {e}", self.info().kind));
        match &self.stored {
            None => self.kind().decode(json).map_err(failed),
            Some((_, stored)) => {
                let value: Value = serde_json::from_slice(json).map_err(failed)?;
                self.kind().from_value((stored.from)(value)).map_err(failed)
            }
        }
    }

    /// Writes an object as the store holds it.
    pub(crate) fn encode(&self, object: &dyn DynObject) -> Result<NewValue, ApiError> {
        let (json, revision_at) = match &self.stored {
            None => encode(object)?,
            Some((resource, stored)) => {
                let failed = |e: serde_json::Error| ApiError::internal(format!("encoding {}: {e}", self.info().kind));
                let value = (stored.to)(object.to_value().map_err(failed)?);
                let mut other = resource.kind.from_value(value).map_err(failed)?;
                resource.kind.default(&mut *other);
                encode(&*other)?
            }
        };
        Ok(NewValue { json, revision_at })
    }

    /// The JSON of a stored object as this kind serves it. Shared where it is stored as it is served.
    pub(crate) fn present(&self, item: &Item) -> Result<Bytes, ApiError> {
        if self.stored.is_none() {
            return Ok(item.value());
        }
        let object = self.decode_stored(item.json())?;
        let mut json = Vec::with_capacity(item.json().len());
        object.encode(&mut json).map_err(|e| ApiError::internal(e.to_string()))?;
        Ok(json.into())
    }

    /// What of an object's JSON stands in a list, behind the opening brace: all but `apiVersion` and `kind`.
    pub(crate) fn in_list<'a>(&self, json: &'a [u8]) -> &'a [u8] {
        json.strip_prefix(self.opening.as_bytes()).unwrap_or_else(|| json.get(1..).unwrap_or_default())
    }
}
