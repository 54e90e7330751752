//! All kinds that are served, found by path or by kind, with the types and merge strategies behind them.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta_v1;
use k8s_openapi::schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::custom::{self, CustomKind};
use crate::decode::{self, Decoded, FieldValidation};
use crate::kind::{DynKind, KindInfo, Merge};
use crate::status::ApiError;
use crate::types::{Type, Types};

/// A kind as it is served.
#[derive(Clone)]
pub struct Resource {
    /// The kind.
    pub kind: Arc<dyn DynKind>,
    /// Its OpenAPI definition, such as `io.k8s.api.core.v1.Pod`.
    pub definition: String,
    /// Its type, one of `types`.
    pub ty: Type,
    /// What a body is read as; another than its type where a schema has the say.
    pub read: Type,
    /// The types that both are made of.
    pub types: Arc<Types>,
    /// What the OpenAPI documents say of a kind that is no type.
    pub(crate) documents: Documents,
}

/// A kind's definitions in the two versions of OpenAPI; references are v2's in both.
#[derive(Clone, Debug, Default)]
pub(crate) struct Documents {
    pub(crate) v2: Option<Arc<Value>>,
    pub(crate) v3: Option<Arc<Value>>,
}

impl Resource {
    /// Names, scope and the rest that is constant.
    pub fn info(&self) -> &KindInfo {
        self.kind.info()
    }

    /// What a definition says of it beside its name, as text; empty for the program's own kinds.
    pub fn said(&self) -> String {
        self.documents.v3.as_ref().map(|d| d.to_string()).unwrap_or_default()
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Resource").field(&self.definition).finish()
    }
}

/// A group of the API and its versions, the preferred one first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Empty for the core group.
    pub name: String,
    /// Such as `v2`, `v1`.
    pub versions: Vec<String>,
}

/// All kinds that are served.
#[derive(Debug)]
pub struct Registry {
    resources: Vec<Resource>,
    by_plural: HashMap<String, Vec<usize>>,
    by_kind: HashMap<String, Vec<usize>>,
    types: Arc<Types>,
    definitions: Arc<Map<String, Value>>,
    merges: Arc<[Merge]>,
}

impl Registry {
    /// A registry of these kinds (usually [`crate::kinds::all`]).
    pub fn new(kinds: Vec<Box<dyn DynKind>>) -> Registry {
        let kinds: Vec<Arc<dyn DynKind>> = kinds.into_iter().map(Arc::from).collect();
        let settings = SchemaSettings::draft2020_12().with(|s| s.definitions_path = "/definitions".into());
        let mut generator = settings.into_generator();
        let mut merges: Vec<Merge> = crate::meta::MERGES.to_vec();
        let mut names = Vec::new();
        for kind in &kinds {
            let schema = kind.schema(&mut generator);
            let reference = schema.get("$ref").and_then(Value::as_str).unwrap_or_default();
            names.push(reference.rsplit('/').next().unwrap_or_default().to_owned());
            merges.extend_from_slice(kind.info().merges);
        }
        generator.subschema_for::<meta_v1::DeleteOptions>();
        generator.subschema_for::<meta_v1::ListMeta>();
        generator.subschema_for::<meta_v1::Patch>();
        generator.subschema_for::<meta_v1::Status>();
        let mut definitions = generator.take_definitions(true);
        scale_definitions(&mut definitions);
        let types = Arc::new(Types::new(&definitions, &merges));
        let resources = kinds.into_iter().zip(names).map(|(kind, definition)| {
            let ty = types.named(&definition).cloned().unwrap_or(Type::Any);
            Resource { kind, definition, read: ty.clone(), ty, types: types.clone(), documents: Documents::default() }
        });
        Registry::of(resources.collect(), types.clone(), definitions.into(), merges.into())
    }

    fn of(resources: Vec<Resource>, types: Arc<Types>, definitions: Arc<Map<String, Value>>, merges: Arc<[Merge]>) -> Registry {
        let mut registry = Registry { resources, by_plural: HashMap::new(), by_kind: HashMap::new(), types, definitions, merges };
        for (i, resource) in registry.resources.iter().enumerate() {
            registry.by_plural.entry(resource.info().plural.clone().into_owned()).or_default().push(i);
            registry.by_kind.entry(resource.info().kind.clone().into_owned()).or_default().push(i);
        }
        registry
    }

    /// The same kinds, and these.
    #[must_use]
    pub fn with(&self, more: &[Resource]) -> Registry {
        let resources = self.resources.iter().chain(more).cloned().collect();
        Registry::of(resources, self.types.clone(), self.definitions.clone(), self.merges.clone())
    }

    /// A kind that is defined while the server runs.
    pub fn resource(&self, kind: Arc<CustomKind>) -> Resource {
        let definitions = custom::definitions(&kind, &self.definitions);
        let types = Types::new(&definitions, &self.merges);
        let definition = custom::name(&kind);
        let named = |name: &str| types.named(name).cloned().unwrap_or(Type::Any);
        let documents = Documents { v2: Some(Arc::new(custom::schema_v2(&kind))), v3: Some(Arc::new(custom::schema(&kind))) };
        Resource { ty: named(&definition), read: named(&custom::read_name(&kind)), definition, types: Arc::new(types), kind, documents }
    }

    /// The resource of a path: `("apps", "v1", "deployments")`.
    pub fn get(&self, group: &str, version: &str, plural: &str) -> Option<&Resource> {
        self.find(&self.by_plural, plural, group, version)
    }

    /// The resource of a kind: `("apps", "v1", "Deployment")`.
    pub fn by_kind(&self, group: &str, version: &str, kind: &str) -> Option<&Resource> {
        self.find(&self.by_kind, kind, group, version)
    }

    fn find(&self, index: &HashMap<String, Vec<usize>>, key: &str, group: &str, version: &str) -> Option<&Resource> {
        index.get(key)?.iter().map(|i| &self.resources[*i]).find(|r| r.info().group == group && r.info().version == version)
    }

    /// All, in the order of registration.
    pub fn resources(&self) -> &[Resource] {
        &self.resources
    }

    /// Those of a group and version, in the order of registration.
    pub fn of_version<'a>(&'a self, group: &'a str, version: &'a str) -> impl Iterator<Item = &'a Resource> {
        self.resources.iter().filter(move |r| r.info().group == group && r.info().version == version)
    }

    /// The groups, the core group first, then in the order of registration; versions with the preferred (most stable, then highest) first.
    pub fn groups(&self) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        for resource in &self.resources {
            let info = resource.info();
            let at = groups.iter().position(|g| g.name == info.group).unwrap_or_else(|| {
                groups.push(Group { name: info.group.clone().into_owned(), versions: Vec::new() });
                groups.len() - 1
            });
            if !groups[at].versions.iter().any(|v| *v == info.version) {
                groups[at].versions.push(info.version.clone().into_owned());
            }
        }
        for group in &mut groups {
            group.versions.sort_by_key(|v| std::cmp::Reverse(version_rank(v)));
        }
        groups.sort_by_key(|g| !g.name.is_empty());
        groups
    }

    /// The types behind the kinds.
    pub fn types(&self) -> &Types {
        &self.types
    }

    /// Their JSON schemas by OpenAPI name; `$ref`s are `#/definitions/…`.
    pub fn definitions(&self) -> &Map<String, Value> {
        &self.definitions
    }

    /// Merge strategies of all kinds.
    pub fn merges(&self) -> &[Merge] {
        &self.merges
    }

    /// Reads the body of a request. See [`decode::decode`].
    pub fn decode(&self, resource: &Resource, body: &[u8], content_type: &str, validation: FieldValidation) -> Result<Decoded, ApiError> {
        decode::decode(resource, body, content_type, validation)
    }
}

/// `v1` over `v1beta2` over `v1beta1` over `v1alpha1` over anything else, of which the first in the alphabet.
fn version_rank(version: &str) -> (u8, u32, u32, std::cmp::Reverse<String>) {
    let other = || (0, 0, 0, std::cmp::Reverse(version.to_owned()));
    let number = |text: &str| if text.starts_with('0') { None } else { text.parse::<u32>().ok() };
    let Some(rest) = version.strip_prefix('v') else { return other() };
    let (major, minor, rank) = match (rest.split_once("beta"), rest.split_once("alpha")) {
        (Some((major, minor)), _) => (major, minor, 2),
        (_, Some((major, minor))) => (major, minor, 1),
        _ => (rest, "", 3),
    };
    match (number(major), if rank == 3 { Some(0) } else { number(minor) }) {
        (Some(major), Some(minor)) => (rank, major, minor, std::cmp::Reverse(String::new())),
        _ => other(),
    }
}

/// `autoscaling/v1 Scale`, which is nobody's kind but stands behind `scale`.
fn scale_definitions(definitions: &mut Map<String, Value>) {
    let mut generator = SchemaSettings::draft2020_12().with(|s| s.definitions_path = "/definitions".into()).into_generator();
    generator.subschema_for::<k8s_openapi::api::autoscaling::v1::Scale>();
    let more: BTreeMap<String, Value> = generator.take_definitions(true).into_iter().collect();
    for (name, schema) in more {
        definitions.entry(name).or_insert(schema);
    }
    // Documented as an open object, since they hold what no schema says.
    for name in ["io.k8s.apimachinery.pkg.runtime.RawExtension", "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1"] {
        if let Some(schema) = definitions.get_mut(name) {
            schema["type"] = json!("object");
        }
    }
}
