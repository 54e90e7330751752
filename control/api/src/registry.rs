//! All kinds that are served, found by path or by kind, with the types and merge strategies behind them.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta_v1;
use k8s_openapi::schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

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
    /// Its type.
    pub ty: Type,
}

impl Resource {
    /// Names, scope and the rest that is constant.
    pub fn info(&self) -> &KindInfo {
        self.kind.info()
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
    types: Types,
    definitions: Map<String, Value>,
    merges: Vec<Merge>,
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
        let types = Types::new(&definitions, &merges);
        let mut registry = Registry { resources: Vec::new(), by_plural: HashMap::new(), by_kind: HashMap::new(), types, definitions, merges };
        for (i, (kind, definition)) in kinds.into_iter().zip(names).enumerate() {
            let ty = registry.types.named(&definition).cloned().unwrap_or(Type::Any);
            registry.by_plural.entry(kind.info().plural.to_owned()).or_default().push(i);
            registry.by_kind.entry(kind.info().kind.to_owned()).or_default().push(i);
            registry.resources.push(Resource { kind, definition, ty });
        }
        registry
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
                groups.push(Group { name: info.group.to_owned(), versions: Vec::new() });
                groups.len() - 1
            });
            if !groups[at].versions.iter().any(|v| v == info.version) {
                groups[at].versions.push(info.version.to_owned());
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
        decode::decode(&self.types, resource, body, content_type, validation)
    }
}

/// `v1` over `v1beta2` over `v1beta1` over `v1alpha1` over anything else.
fn version_rank(version: &str) -> (u8, u32, u32) {
    let number = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0);
    let major = number(version.trim_start_matches('v'));
    match (version.split_once("beta"), version.split_once("alpha")) {
        (Some((_, minor)), _) => (1, major, number(minor)),
        (_, Some((_, minor))) => (0, major, number(minor)),
        _ => (2, major, 0),
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
