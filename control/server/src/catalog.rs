//! The kinds as this server serves them: found by path, with what the hot path needs precomputed.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arc_swap::ArcSwap;
use bytes::Bytes;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionNames, CustomResourceDefinitionSpec,
};
use parking_lot::Mutex;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use wharf_api::custom::CustomKind;
use wharf_api::decode::{Decoded, FieldValidation, decode};
use wharf_api::encode::encode;
use wharf_api::registry::{Registry, Resource};
use wharf_api::status::ApiError;
use wharf_api::{DynKind, DynObject, KindInfo, Subresource};
use wharf_store::{Item, NewValue, key};

use crate::discovery::Discovery;

/// All kinds, those that are there now; they change while the server runs.
pub(crate) struct Catalog {
    now: ArcSwap<Kinds>,
    /// The kinds of this program.
    own: Arc<Registry>,
    /// What was made of the definitions that are served, by name.
    defined: Mutex<HashMap<String, Defined>>,
}

/// A CustomResourceDefinition that is to be served.
pub(crate) struct Custom<'a> {
    pub(crate) name: &'a str,
    pub(crate) definition: &'a CustomResourceDefinition,
    /// Of its last change.
    pub(crate) revision: u64,
}

/// What was made of a definition. It stays until what it says changes.
struct Defined {
    spec: CustomResourceDefinitionSpec,
    names: Option<CustomResourceDefinitionNames>,
    served: Vec<Arc<Served>>,
}

/// All kinds at one moment.
pub(crate) struct Kinds {
    pub(crate) registry: Registry,
    /// The documents that follow from them.
    pub(crate) discovery: Discovery,
    served: Vec<Arc<Served>>,
    by_plural: HashMap<String, Vec<Arc<Served>>>,
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
    /// The version that custom objects are stored as, where it is another.
    stored_version: Option<Arc<CustomKind>>,
    /// Only a webhook knows how objects are converted to that version, and none is called here.
    by_webhook: bool,
    /// Custom objects that were written before may lack what the schema says now.
    since: u64,
    /// What each request is warned of.
    pub(crate) deprecated: Option<String>,
    /// Its definition goes: there will be no new objects.
    pub(crate) terminating: AtomicBool,
    /// It is no longer served, or not in this form.
    pub(crate) gone: CancellationToken,
}

impl Catalog {
    /// The kinds of this program.
    pub(crate) fn new(version: &str) -> Catalog {
        let own = Registry::new(wharf_api::kinds::all());
        let served = own.resources().iter().map(|r| Arc::new(Served::new(r, &own))).collect();
        let kinds = Kinds::new(own.with(&[]), served, version);
        Catalog { now: ArcSwap::from_pointee(kinds), own: Arc::new(own), defined: Mutex::default() }
    }

    /// The kinds that are there now.
    pub(crate) fn now(&self) -> Arc<Kinds> {
        self.now.load_full()
    }

    /// The kind of a path.
    pub(crate) fn get(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Served>> {
        self.now.load().get(group, version, plural).cloned()
    }

    /// Serves the kinds of these definitions beside the program's own, and no others.
    pub(crate) fn set_custom(&self, definitions: &[Custom<'_>], version: &str) {
        let mut defined = self.defined.lock();
        let mut changed = false;
        let mut rest = std::mem::take(&mut *defined);
        for custom in definitions {
            let names = custom.definition.status.as_ref().and_then(|s| s.accepted_names.clone());
            let same = rest.remove(custom.name);
            let one = match same {
                Some(same) if same.spec == custom.definition.spec && same.names == names => same,
                old => {
                    changed = true;
                    old.iter().flat_map(|o| &o.served).for_each(|s| s.gone.cancel());
                    Defined { spec: custom.definition.spec.clone(), names, served: self.define(custom) }
                }
            };
            defined.insert(custom.name.to_owned(), one);
        }
        for old in rest.values().flat_map(|o| &o.served) {
            changed = true;
            old.gone.cancel();
        }
        if !changed {
            return;
        }
        let mut custom: Vec<Arc<Served>> = defined.values().flat_map(|d| d.served.iter().cloned()).collect();
        custom.sort_by(|a, b| (&a.info().group, &a.info().plural, &a.info().version).cmp(&(&b.info().group, &b.info().plural, &b.info().version)));
        let registry = self.own.with(&custom.iter().map(|s| s.resource.clone()).collect::<Vec<_>>());
        let now = self.now.load_full();
        let served = now.served.iter().filter(|s| !s.info().custom).cloned().chain(custom).collect();
        self.now.store(Arc::new(Kinds::new(registry, served, version)));
    }

    fn define(&self, custom: &Custom<'_>) -> Vec<Arc<Served>> {
        let kinds = wharf_api::custom::kinds(custom.definition);
        let storage = kinds.iter().find(|(_, told)| told.storage).map(|(kind, _)| kind.clone());
        let served = kinds.into_iter().filter(|(_, told)| told.served);
        // The program's own kinds are served in any case.
        let free = served.filter(|(kind, _)| self.own.get(&kind.info().group, &kind.info().version, &kind.info().plural).is_none());
        free.map(|(kind, told)| {
            let resource = self.own.resource(kind);
            let stored_version = if told.storage { None } else { storage.clone() };
            let by_webhook = stored_version.is_some() && custom.definition.spec.conversion.as_ref().is_some_and(|c| c.strategy == "Webhook");
            Arc::new(Served { stored_version, by_webhook, since: custom.revision, deprecated: told.deprecated, ..Served::new(&resource, &self.own) })
        })
        .collect()
    }
}

impl Kinds {
    fn new(registry: Registry, served: Vec<Arc<Served>>, version: &str) -> Kinds {
        let mut by_plural: HashMap<String, Vec<Arc<Served>>> = HashMap::new();
        for one in &served {
            by_plural.entry(one.info().plural.clone().into_owned()).or_default().push(one.clone());
        }
        let discovery = Discovery::new(&registry, version);
        Kinds { registry, discovery, served, by_plural }
    }

    /// The kind of a path.
    pub(crate) fn get(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Served>> {
        self.by_plural.get(plural)?.iter().find(|s| s.info().group == group && s.info().version == version)
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[Arc<Served>] {
        &self.served
    }
}

impl Served {
    fn new(resource: &Resource, registry: &Registry) -> Served {
        let info = resource.info();
        let stored = info.stored_as.and_then(|s| Some((registry.get(s.group, s.version, &info.plural)?.clone(), s)));
        let group = stored.as_ref().map_or(&info.group, |(r, _)| &r.info().group);
        Served {
            resource: resource.clone(),
            storage: format!("{}/{}", if group.is_empty() { "core" } else { group }, info.plural),
            opening: format!("{{\"apiVersion\":{:?},\"kind\":{:?},", info.api_version, info.kind),
            stored,
            stored_version: None,
            by_webhook: false,
            since: 0,
            deprecated: None,
            terminating: AtomicBool::new(false),
            gone: CancellationToken::new(),
        }
    }

    /// Whether it is a version of this definition's kind.
    pub(crate) fn defined_by(&self, definition: &CustomResourceDefinition) -> bool {
        self.info().custom && self.is(&definition.spec.group, &definition.spec.names.plural)
    }

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

    /// Whether an object is served just as it was stored.
    pub(crate) fn as_stored(&self, item: &Item) -> bool {
        if self.info().custom {
            self.stored_version.is_none() && item.revision() > self.since && item.json().starts_with(self.opening.as_bytes())
        } else {
            self.stored.is_none()
        }
    }

    /// Whether objects are always served just as they were stored.
    pub(crate) fn never_converts(&self) -> bool {
        !self.info().custom && self.stored.is_none()
    }

    /// Reads a request's body.
    pub(crate) fn decode(&self, body: &[u8], content_type: &str, validation: FieldValidation) -> Result<Decoded, ApiError> {
        decode(&self.resource, body, content_type, validation)
    }

    /// Reads what the store holds.
    pub(crate) fn decode_stored(&self, json: &[u8]) -> Result<Box<dyn DynObject>, ApiError> {
        let failed = |e: serde_json::Error| ApiError::internal(format!("decoding {} from the store: {e}", self.info().kind));
        match &self.stored {
            None if self.info().custom => {
                self.convertible()?;
                let mut object = self.kind().decode(json).map_err(failed)?;
                self.kind().prune(&mut *object);
                self.kind().default(&mut *object);
                Ok(object)
            }
            None => self.kind().decode(json).map_err(failed),
            Some((_, stored)) => {
                let value: Value = serde_json::from_slice(json).map_err(failed)?;
                self.kind().from_value((stored.from)(value)).map_err(failed)
            }
        }
    }

    fn convertible(&self) -> Result<(), ApiError> {
        if !self.by_webhook {
            return Ok(());
        }
        let words = "conversion webhooks are not called here: ask for the version that is stored";
        Err(ApiError::internal(format!("conversion webhook for {}, Kind={} failed: {words}", self.info().api_version, self.info().kind)))
    }

    /// Writes an object as the store holds it.
    pub(crate) fn encode(&self, object: &dyn DynObject) -> Result<NewValue, ApiError> {
        let (json, revision_at) = match &self.stored {
            None => match &self.stored_version {
                None => encode(object)?,
                Some(other) => {
                    self.convertible()?;
                    let failed = |e: serde_json::Error| ApiError::internal(format!("encoding {}: {e}", self.info().kind));
                    encode(&*other.from_value(object.to_value().map_err(failed)?).map_err(failed)?)?
                }
            },
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
        if self.as_stored(item) {
            return Ok(item.json());
        }
        let object = self.decode_stored(&item.json())?;
        let mut json = Vec::with_capacity(item.json_len());
        object.encode(&mut json).map_err(|e| ApiError::internal(e.to_string()))?;
        Ok(json.into())
    }

    /// What of an object's JSON stands in a list, behind the opening brace: all but `apiVersion` and `kind`.
    pub(crate) fn in_list<'a>(&self, json: &'a [u8]) -> &'a [u8] {
        // Custom objects say what they are in lists, too.
        let opening = if self.info().custom { None } else { json.strip_prefix(self.opening.as_bytes()) };
        opening.unwrap_or_else(|| json.get(1..).unwrap_or_default())
    }
}
