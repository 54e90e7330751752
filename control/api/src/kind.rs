//! What a kind says of itself ([`Kind`]), and the same without its type ([`DynKind`]), which is what generic code uses.

use std::any::Any;
use std::borrow::Cow;
use std::fmt::Debug;

use jiff::Timestamp;
use k8s_openapi::Metadata;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::field::{Errors, Path};
use crate::table::{Column, Columns, Now};

/// A Kubernetes type with metadata. Every top-level type of `k8s-openapi` is one.
pub trait Object: Metadata<Ty = ObjectMeta> + Serialize + DeserializeOwned + JsonSchema + Clone + Default + PartialEq + Debug + Send + Sync + 'static {}

impl<T> Object for T where T: Metadata<Ty = ObjectMeta> + Serialize + DeserializeOwned + JsonSchema + Clone + Default + PartialEq + Debug + Send + Sync + 'static
{}

/// The names that are not in the type itself.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    /// Singular resource name, such as `deployment`.
    pub singular: &'static str,
    /// Short names, such as `deploy`.
    pub short: &'static [&'static str],
    /// Categories, such as `all`.
    pub categories: &'static [&'static str],
}

/// Whether objects live in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Scope {
    Namespaced,
    Cluster,
}

/// What stands behind an object's own path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subresource {
    /// `status`: only the status changes (get, update, patch).
    Status,
    /// `scale`: `autoscaling/v1 Scale`; paths as in a CustomResourceDefinition.
    Scale {
        /// Such as `.spec.replicas`.
        spec_replicas: Cow<'static, str>,
        /// Such as `.status.replicas`.
        status_replicas: Cow<'static, str>,
        /// A path to a selector in its text form, or to a `LabelSelector`, whose text form is then made.
        selector: Cow<'static, str>,
    },
    /// Any other, handled by code of its own in the server: `log`, `exec`, `binding`, `eviction`, `token`, `finalize`, …
    Other {
        /// The path segment.
        name: &'static str,
        /// `group/version` of the kind it takes, empty for the core group's `v1`.
        group_version: &'static str,
        /// The kind it takes, as discovery shows it.
        kind: &'static str,
        /// Verbs, as discovery shows them.
        verbs: &'static [&'static str],
    },
}

/// How a list (or map) of a type is merged by a strategic merge patch and by server-side apply.
/// `definition` is the OpenAPI name (`io.k8s.api.core.v1.PodSpec`), `field` the JSON name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Merge {
    /// OpenAPI definition that holds the field.
    pub definition: &'static str,
    /// JSON name of the field.
    pub field: &'static str,
    /// `x-kubernetes-patch-strategy`: `merge`, `retainKeys`, `merge,retainKeys`, or empty (replace).
    pub strategy: &'static str,
    /// `x-kubernetes-patch-merge-key`, or empty (a merged list of scalars).
    pub key: &'static str,
    /// `x-kubernetes-list-type`: `map`, `set`, `atomic`, or empty; for maps and structs `x-kubernetes-map-type`.
    pub list_type: &'static str,
    /// `x-kubernetes-list-map-keys`.
    pub list_map_keys: &'static [&'static str],
}

/// The verbs of a kind that can do all, in the order of discovery.
pub const ALL_VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// Another kind, of the same plural name, under whose key and in whose form objects are stored.
#[derive(Clone, Copy, Debug)]
pub struct Stored {
    /// Group of the stored kind, empty for core.
    pub group: &'static str,
    /// Version of the stored kind.
    pub version: &'static str,
    /// The object of this kind as one of the stored kind. The result has its `apiVersion` and `kind`.
    pub to: fn(Value) -> Value,
    /// The object of the stored kind as one of this kind.
    pub from: fn(Value) -> Value,
}

/// One kind of the API: what a user may say, what is filled in, what is refused, what `kubectl get` prints.
///
/// A kind is one file in [`crate::kinds`] and one line in [`crate::kinds::all`].
pub trait Kind: Send + Sync + 'static {
    /// The type of `k8s-openapi`.
    type Object: Object;

    /// Singular, short names and categories.
    const NAMES: Names;
    /// Namespaced or not.
    const SCOPE: Scope;
    /// What stands behind an object's path.
    const SUBRESOURCES: &'static [Subresource] = &[];
    /// Merge strategies of the types that this kind brings.
    const MERGES: &'static [Merge] = &[];
    /// What may be done with it, as discovery shows it.
    const VERBS: &'static [&'static str] = ALL_VERBS;
    /// Set where objects are stored as another version or group's kind of the same content.
    const STORED_AS: Option<Stored> = None;
    /// Whether the status of a new object is kept as it was given, instead of dropped.
    const STATUS_ON_CREATE: bool = false;
    /// PUT (and apply) to a name that does not exist creates it.
    const ALLOW_CREATE_ON_UPDATE: bool = false;
    /// An update without a `resourceVersion` is accepted.
    const ALLOW_UNCONDITIONAL_UPDATE: bool = true;

    /// What kube-apiserver fills in. Also run on every update.
    fn default(_object: &mut Self::Object) {}

    /// Before validation of a create, beside dropping the status: fields that users may not set, normal forms.
    fn prepare_create(_object: &mut Self::Object) {}

    /// Before validation of an update, beside keeping the status: what an update may not touch.
    fn prepare_update(_new: &mut Self::Object, _old: &Self::Object) {}

    /// Behind the preparation of a create or an update: times that an object says of itself.
    fn stamp(_new: &mut Self::Object, _old: Option<&Self::Object>, _now: Timestamp) {}

    /// Copies the status, for kinds that have the `status` subresource.
    fn copy_status(_to: &mut Self::Object, _from: &Self::Object) {}
    /// Puts back metadata that an update of the status does not change, beside what no such update does.
    fn keep_on_status_update(_new: &mut Self::Object, _old: &Self::Object) {}

    /// Whether `metadata.generation` goes up: the desired state differs.
    fn desired_differs(_new: &Self::Object, _old: &Self::Object) -> bool {
        false
    }

    /// Whether objects carry `metadata.generation` at all (1 at creation).
    const HAS_GENERATION: bool = false;

    /// Refusals of a create, in Kubernetes' words. Metadata is validated by the caller.
    fn validate(_object: &Self::Object) -> Errors {
        Errors::new()
    }

    /// Refusals of an update; the default repeats [`Kind::validate`] on the new object.
    fn validate_update(new: &Self::Object, _old: &Self::Object) -> Errors {
        Self::validate(new)
    }

    /// Refusals of an update of the status.
    fn validate_status_update(_new: &Self::Object, _old: &Self::Object) -> Errors {
        Errors::new()
    }

    /// What a create is warned of, though it succeeds.
    fn warnings(_object: &Self::Object) -> Vec<String> {
        Vec::new()
    }

    /// How a name is checked; the default is a DNS subdomain.
    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        crate::kinds::dns_subdomain_name(name, prefix)
    }

    /// The table that `kubectl get` prints.
    fn columns() -> Columns<Self::Object> {
        crate::kinds::name_and_age()
    }

    /// Fields that a field selector may name, beside `metadata.name` and `metadata.namespace`: (selector, value).
    fn selectable_fields(_object: &Self::Object) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}

/// What generic code needs to know of a kind.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "discovery's own names")]
pub struct KindInfo {
    pub group: Cow<'static, str>,
    pub version: Cow<'static, str>,
    pub kind: Cow<'static, str>,
    pub list_kind: Cow<'static, str>,
    pub plural: Cow<'static, str>,
    pub singular: Cow<'static, str>,
    pub short: Vec<Cow<'static, str>>,
    pub categories: Vec<Cow<'static, str>>,
    pub scope: Scope,
    pub subresources: Cow<'static, [Subresource]>,
    pub merges: &'static [Merge],
    pub verbs: &'static [&'static str],
    pub stored_as: Option<Stored>,
    pub allow_create_on_update: bool,
    pub allow_unconditional_update: bool,
    pub has_generation: bool,
    /// Defined by a CustomResourceDefinition.
    pub custom: bool,
    pub api_version: Cow<'static, str>,
}

impl KindInfo {
    /// Whether the kind has the `status` subresource.
    pub fn has_status(&self) -> bool {
        self.subresources.contains(&Subresource::Status)
    }

    /// Whether objects live in a namespace.
    pub fn namespaced(&self) -> bool {
        self.scope == Scope::Namespaced
    }
}

/// An object whose type is known only to its [`DynKind`].
pub trait DynObject: Any + Send + Sync + Debug {
    /// Its metadata.
    fn meta(&self) -> &ObjectMeta;
    /// Its metadata, to change.
    fn meta_mut(&mut self) -> &mut ObjectMeta;
    /// Appends its JSON, with `apiVersion` and `kind` first.
    fn encode(&self, into: &mut Vec<u8>) -> serde_json::Result<()>;
    /// Its JSON as a tree.
    fn to_value(&self) -> serde_json::Result<Value>;
    /// For the downcast to the type of `k8s-openapi`.
    fn as_any(&self) -> &dyn Any;
    /// Likewise, to change.
    fn as_any_mut(&mut self) -> &mut dyn Any;
    /// A copy.
    fn clone_box(&self) -> Box<dyn DynObject>;
    /// Whether both are of one type and equal.
    fn equals(&self, other: &dyn DynObject) -> bool;
}

impl<O: Object> DynObject for O {
    fn meta(&self) -> &ObjectMeta {
        self.metadata()
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.metadata_mut()
    }
    fn encode(&self, into: &mut Vec<u8>) -> serde_json::Result<()> {
        serde_json::to_writer(into, self)
    }
    fn to_value(&self) -> serde_json::Result<Value> {
        serde_json::to_value(self)
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
    fn clone_box(&self) -> Box<dyn DynObject> {
        Box::new(self.clone())
    }
    fn equals(&self, other: &dyn DynObject) -> bool {
        other.as_any().downcast_ref::<O>().is_some_and(|o| o == self)
    }
}

/// A [`Kind`] without its type. The object arguments must be of the kind's own type.
pub trait DynKind: Send + Sync {
    /// Names, scope and the rest that is constant.
    fn info(&self) -> &KindInfo;
    /// Parses JSON; unknown fields are dropped.
    fn decode(&self, json: &[u8]) -> serde_json::Result<Box<dyn DynObject>>;
    /// The same from a tree.
    #[expect(clippy::wrong_self_convention, reason = "the kind is what makes the object")]
    fn from_value(&self, value: Value) -> serde_json::Result<Box<dyn DynObject>>;
    /// Drops what only a schema knows to be no field. Returns the paths of it, sorted.
    fn prune(&self, _object: &mut dyn DynObject) -> Vec<String> {
        Vec::new()
    }
    /// See [`Kind::default`].
    fn default(&self, object: &mut dyn DynObject);
    /// Drops the status, sets the first generation, then [`Kind::prepare_create`].
    fn prepare_create(&self, object: &mut dyn DynObject);
    /// Keeps the old status, counts the generation, then [`Kind::prepare_update`].
    fn prepare_update(&self, new: &mut dyn DynObject, old: &dyn DynObject);
    /// The old object with the new status (and the metadata that a status update may change).
    fn prepare_status_update(&self, new: &mut dyn DynObject, old: &dyn DynObject);
    /// See [`Kind::stamp`].
    fn stamp(&self, new: &mut dyn DynObject, old: Option<&dyn DynObject>, now: Timestamp);
    /// See [`Kind::validate`].
    fn validate(&self, object: &dyn DynObject) -> Errors;
    /// See [`Kind::validate_update`].
    fn validate_update(&self, new: &dyn DynObject, old: &dyn DynObject) -> Errors;
    /// See [`Kind::validate_status_update`].
    fn validate_status_update(&self, new: &dyn DynObject, old: &dyn DynObject) -> Errors;
    /// See [`Kind::warnings`].
    fn warnings(&self, object: &dyn DynObject) -> Vec<String>;
    /// See [`Kind::validate_name`].
    fn validate_name(&self, name: &str, prefix: bool) -> Vec<String>;
    /// The columns of its table.
    fn columns(&self) -> &[Column];
    /// One row of its table.
    fn row(&self, object: &dyn DynObject, now: Now) -> Vec<Value>;
    /// See [`Kind::selectable_fields`].
    fn selectable_fields(&self, object: &dyn DynObject) -> Vec<(Cow<'static, str>, String)>;
    /// Its JSON schema; types it refers to become definitions of the generator.
    fn schema(&self, generator: &mut SchemaGenerator) -> Schema;
}

/// The type-erased form of a kind.
pub fn erase<K: Kind>() -> Box<dyn DynKind> {
    let resource = std::marker::PhantomData::<K>;
    Box::new(Erased::<K> { info: info::<K>(), columns: K::columns(), resource })
}

fn info<K: Kind>() -> KindInfo {
    KindInfo {
        group: <K::Object as k8s_openapi::Resource>::GROUP.into(),
        version: <K::Object as k8s_openapi::Resource>::VERSION.into(),
        kind: <K::Object as k8s_openapi::Resource>::KIND.into(),
        api_version: <K::Object as k8s_openapi::Resource>::API_VERSION.into(),
        list_kind: format!("{}List", <K::Object as k8s_openapi::Resource>::KIND).into(),
        plural: <K::Object as k8s_openapi::Resource>::URL_PATH_SEGMENT.into(),
        singular: K::NAMES.singular.into(),
        short: K::NAMES.short.iter().map(|s| (*s).into()).collect(),
        categories: K::NAMES.categories.iter().map(|c| (*c).into()).collect(),
        scope: K::SCOPE,
        subresources: K::SUBRESOURCES.into(),
        merges: K::MERGES,
        verbs: K::VERBS,
        stored_as: K::STORED_AS,
        allow_create_on_update: K::ALLOW_CREATE_ON_UPDATE,
        allow_unconditional_update: K::ALLOW_UNCONDITIONAL_UPDATE,
        has_generation: K::HAS_GENERATION,
        custom: false,
    }
}

struct Erased<K: Kind> {
    info: KindInfo,
    columns: Columns<K::Object>,
    resource: std::marker::PhantomData<K>,
}

fn typed<K: Kind>(object: &dyn DynObject) -> &K::Object {
    object.as_any().downcast_ref().expect("an object is handed only to its own kind")
}

fn typed_mut<K: Kind>(object: &mut dyn DynObject) -> &mut K::Object {
    object.as_any_mut().downcast_mut().expect("an object is handed only to its own kind")
}

impl<K: Kind> DynKind for Erased<K> {
    fn info(&self) -> &KindInfo {
        &self.info
    }
    fn decode(&self, json: &[u8]) -> serde_json::Result<Box<dyn DynObject>> {
        Ok(Box::new(serde_json::from_slice::<K::Object>(json)?))
    }
    fn from_value(&self, value: Value) -> serde_json::Result<Box<dyn DynObject>> {
        Ok(Box::new(serde_json::from_value::<K::Object>(value)?))
    }
    fn default(&self, object: &mut dyn DynObject) {
        K::default(typed_mut::<K>(object));
    }
    fn prepare_create(&self, object: &mut dyn DynObject) {
        let object = typed_mut::<K>(object);
        if self.info.has_status() && !K::STATUS_ON_CREATE {
            K::copy_status(object, &<K::Object as Default>::default());
        }
        object.metadata_mut().generation = K::HAS_GENERATION.then_some(1);
        K::prepare_create(object);
    }
    fn prepare_update(&self, new: &mut dyn DynObject, old: &dyn DynObject) {
        let (new, old) = (typed_mut::<K>(new), typed::<K>(old));
        if self.info.has_status() {
            K::copy_status(new, old);
        }
        K::prepare_update(new, old);
        let generation = old.metadata().generation;
        new.metadata_mut().generation = if K::HAS_GENERATION && K::desired_differs(new, old) { Some(generation.unwrap_or(0) + 1) } else { generation };
    }
    fn prepare_status_update(&self, new: &mut dyn DynObject, old: &dyn DynObject) {
        let (new, old) = (typed_mut::<K>(new), typed::<K>(old));
        let mut merged = old.clone();
        K::copy_status(&mut merged, new);
        let meta = new.metadata().clone();
        let kept = merged.metadata_mut();
        kept.labels = meta.labels;
        kept.annotations = meta.annotations;
        kept.finalizers = meta.finalizers;
        kept.owner_references = meta.owner_references;
        kept.managed_fields = meta.managed_fields;
        kept.resource_version = meta.resource_version;
        K::keep_on_status_update(&mut merged, old);
        *new = merged;
    }
    fn stamp(&self, new: &mut dyn DynObject, old: Option<&dyn DynObject>, now: Timestamp) {
        K::stamp(typed_mut::<K>(new), old.map(typed::<K>), now);
    }
    fn validate(&self, object: &dyn DynObject) -> Errors {
        K::validate(typed::<K>(object))
    }
    fn validate_update(&self, new: &dyn DynObject, old: &dyn DynObject) -> Errors {
        K::validate_update(typed::<K>(new), typed::<K>(old))
    }
    fn validate_status_update(&self, new: &dyn DynObject, old: &dyn DynObject) -> Errors {
        K::validate_status_update(typed::<K>(new), typed::<K>(old))
    }
    fn warnings(&self, object: &dyn DynObject) -> Vec<String> {
        K::warnings(typed::<K>(object))
    }
    fn validate_name(&self, name: &str, prefix: bool) -> Vec<String> {
        K::validate_name(name, prefix)
    }
    fn columns(&self) -> &[Column] {
        &self.columns.columns
    }
    fn row(&self, object: &dyn DynObject, now: Now) -> Vec<Value> {
        (self.columns.row)(typed::<K>(object), now)
    }
    fn selectable_fields(&self, object: &dyn DynObject) -> Vec<(Cow<'static, str>, String)> {
        K::selectable_fields(typed::<K>(object)).into_iter().map(|(name, value)| (name.into(), value)).collect()
    }
    fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<K::Object>()
    }
}

/// The root of every object's paths in errors.
pub fn root() -> Path {
    Path::default()
}
