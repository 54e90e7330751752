//! Kinds that are defined while the server runs: what a CustomResourceDefinition says, as a [`DynKind`] like any other.
//!
//! A version's schema takes the place of a type: it says what is dropped, filled in and refused, what may be selected by and shown.

mod check;
pub(crate) mod columns;
mod documents;
mod embedded;
pub(crate) mod formats;
mod lists;
pub(crate) mod object;
pub(crate) mod rules;
mod scale;
pub(crate) mod schema;
pub mod status;
pub(crate) mod structure;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;

use k8s_openapi::schemars::{Schema as JsonSchema, SchemaGenerator};
use serde_json::Value;

use self::schema::Schema;
use crate::field::{Error, ErrorType, Errors, Path};
use crate::k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionNames, CustomResourceDefinitionVersion,
};
use crate::kind::{DynKind, DynObject, KindInfo, Scope, Subresource};
use crate::kinds::normal::text;
use crate::table::{Column, Now};
use columns::{Printer, Query};
use object::{Custom, TypeMeta};
use rules::Rules;

pub(crate) use check::check;
pub(crate) use documents::{definitions, name, read_name, schema, schema_v2};

/// In the order of discovery, which for these kinds is another.
const VERBS: &[&str] = &["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];

/// A version of a kind that a CustomResourceDefinition defines.
pub struct CustomKind {
    info: KindInfo,
    is: Arc<TypeMeta>,
    schema: Schema,
    rules: Option<Rules>,
    scale: Option<scale::Paths>,
    printer: Printer,
    selectable: Vec<(String, Option<Query>)>,
    /// What the documents say of it.
    props: Value,
}

/// What is told of a kind beside what it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// There are paths to it.
    pub served: bool,
    /// Objects are stored as this version.
    pub storage: bool,
    /// What each request is warned of.
    pub deprecated: Option<String>,
}

/// The kinds that a definition defines: its served versions, under the names that were accepted.
pub fn kinds(definition: &CustomResourceDefinition) -> Vec<(Arc<CustomKind>, Served)> {
    let Some(names) = definition.status.as_ref().and_then(|s| s.accepted_names.as_ref()).filter(|n| !n.plural.is_empty() && !n.kind.is_empty()) else {
        return Vec::new();
    };
    let served = definition.spec.versions.iter().filter(|v| v.served || v.storage);
    served.map(|version| (Arc::new(CustomKind::new(definition, names, version)), told(definition, version))).collect()
}

fn told(definition: &CustomResourceDefinition, version: &CustomResourceDefinitionVersion) -> Served {
    let default = || format!("{}/{} {} is deprecated", definition.spec.group, version.name, definition.spec.names.kind);
    let deprecated = (version.deprecated == Some(true)).then(|| version.deprecation_warning.clone().unwrap_or_else(default));
    Served { served: version.served, storage: version.storage, deprecated }
}

impl CustomKind {
    fn new(definition: &CustomResourceDefinition, names: &CustomResourceDefinitionNames, version: &CustomResourceDefinitionVersion) -> CustomKind {
        let group = &definition.spec.group;
        let own = |text: &str| Cow::Owned(text.to_owned());
        let list = |list: &Option<Vec<String>>| list.iter().flatten().map(|t| Cow::Owned(t.clone())).collect();
        let api_version = format!("{group}/{}", version.name);
        let scale = version.subresources.as_ref().and_then(|s| s.scale.as_ref()).map(scale::Paths::of);
        let mut subresources = Vec::new();
        if version.subresources.as_ref().is_some_and(|s| s.status.is_some()) {
            subresources.push(Subresource::Status);
        }
        subresources.extend(scale.as_ref().map(scale::Paths::subresource));
        let props = version.schema.as_ref().and_then(|s| s.open_api_v3_schema.as_ref());
        CustomKind {
            info: KindInfo {
                group: own(group),
                version: own(&version.name),
                kind: own(&names.kind),
                list_kind: names.list_kind.as_deref().filter(|l| !l.is_empty()).map_or_else(|| Cow::Owned(format!("{}List", names.kind)), own),
                plural: own(&names.plural),
                singular: own(text(&names.singular)),
                short: list(&names.short_names),
                categories: list(&names.categories),
                scope: if definition.spec.scope == "Namespaced" { Scope::Namespaced } else { Scope::Cluster },
                subresources: subresources.into(),
                merges: &[],
                verbs: VERBS,
                stored_as: None,
                allow_create_on_update: false,
                allow_unconditional_update: false,
                has_generation: true,
                custom: true,
                api_version: api_version.clone().into(),
            },
            is: Arc::new(TypeMeta { api_version, kind: names.kind.clone() }),
            schema: props.map(Schema::of).unwrap_or_default(),
            rules: props.and_then(Rules::of),
            scale,
            printer: Printer::new(version.additional_printer_columns.as_deref().unwrap_or_default()),
            selectable: version
                .selectable_fields
                .iter()
                .flatten()
                .map(|f| (f.json_path.trim_start_matches('.').to_owned(), Query::parse(&f.json_path)))
                .collect(),
            props: props.and_then(|p| serde_json::to_value(p).ok()).unwrap_or_default(),
        }
    }

    /// The schema as it stands in the definition.
    pub(crate) fn props(&self) -> &Value {
        &self.props
    }

    fn has_status(&self) -> bool {
        self.info.has_status()
    }

    fn errors(&self, new: &Custom, old: Option<&Custom>, status_only: bool) -> Errors {
        let Ok(tree) = new.tree() else { return vec![Error::invalid(&Path::default(), "", "the object has no JSON form")] };
        let old_tree = old.and_then(|o| o.tree().ok());
        let mut errors = if status_only {
            let before = old_tree.as_ref().and_then(|o| o.get("status"));
            match (tree.get("status"), self.schema.properties.get("status")) {
                (Some(status), Some(schema)) => check(status, before, schema, "status"),
                _ => Errors::new(),
            }
        } else {
            check(&tree, old_tree.as_ref(), &self.schema, "")
        };
        if let Some(scale) = &self.scale {
            errors.extend(scale.check(&tree, status_only));
        }
        if !status_only {
            errors.extend(embedded::check(&new.content, &self.schema, &Path::default()));
        }
        let twice = lists::duplicates(&new.content, &self.schema, &Path::default());
        if !twice.is_empty() && old.is_none_or(|o| lists::duplicates(&o.content, &self.schema, &Path::default()).is_empty()) {
            errors.extend(twice);
        }
        if let Some(rules) = &self.rules {
            match blocks_rules(&errors) {
                Some(blocked) => errors.push(blocked),
                None => errors.extend(rules.check(&tree, old_tree.as_ref(), &self.schema)),
            }
        }
        errors
    }
}

/// What was not looked at since what stands before it is wrong.
fn blocks_rules(errors: &Errors) -> Option<Error> {
    use ErrorType::{NotSupported, Required, TooLong, TooMany, TypeInvalid};
    let blocking = errors.iter().any(|e| matches!(e.kind, NotSupported | Required | TooLong | TooMany | TypeInvalid));
    blocking.then(|| {
        let words = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";
        Error::invalid(&Path::default(), Option::<i64>::None, words)
    })
}

fn own(object: &dyn DynObject) -> &Custom {
    object.as_any().downcast_ref().expect("an object is handed only to its own kind")
}

fn own_mut(object: &mut dyn DynObject) -> &mut Custom {
    object.as_any_mut().downcast_mut().expect("an object is handed only to its own kind")
}

impl DynKind for CustomKind {
    fn info(&self) -> &KindInfo {
        &self.info
    }
    fn decode(&self, json: &[u8]) -> serde_json::Result<Box<dyn DynObject>> {
        Ok(Box::new(Custom::read(&self.is, json)?))
    }
    fn from_value(&self, value: Value) -> serde_json::Result<Box<dyn DynObject>> {
        Ok(Box::new(Custom::of(&self.is, value)?))
    }
    fn prune(&self, object: &mut dyn DynObject) -> Vec<String> {
        structure::prune(&mut own_mut(object).content, &self.schema)
    }
    fn default(&self, object: &mut dyn DynObject) {
        structure::default(&mut own_mut(object).content, &self.schema);
    }
    fn prepare_create(&self, object: &mut dyn DynObject) {
        let object = own_mut(object);
        if self.has_status() {
            object.content.remove("status");
        }
        object.metadata.generation = Some(1);
    }
    fn prepare_update(&self, new: &mut dyn DynObject, old: &dyn DynObject) {
        let (new, old) = (own_mut(new), own(old));
        if self.has_status() {
            put_status(new, old);
        }
        let generation = old.metadata.generation;
        new.metadata.generation = if new.content == old.content { generation } else { Some(generation.unwrap_or(0) + 1) };
    }
    fn prepare_status_update(&self, new: &mut dyn DynObject, old: &dyn DynObject) {
        let (new, old) = (own_mut(new), own(old));
        let mut merged = old.clone();
        put_status(&mut merged, new);
        merged.metadata.managed_fields = new.metadata.managed_fields.take();
        merged.metadata.resource_version = new.metadata.resource_version.take();
        *new = merged;
    }
    fn stamp(&self, _: &mut dyn DynObject, _: Option<&dyn DynObject>, _: jiff::Timestamp) {}
    fn validate(&self, object: &dyn DynObject) -> Errors {
        self.errors(own(object), None, false)
    }
    fn validate_update(&self, new: &dyn DynObject, old: &dyn DynObject) -> Errors {
        self.errors(own(new), Some(own(old)), false)
    }
    fn validate_status_update(&self, new: &dyn DynObject, old: &dyn DynObject) -> Errors {
        self.errors(own(new), Some(own(old)), true)
    }
    fn warnings(&self, object: &dyn DynObject) -> Vec<String> {
        let at = "metadata.finalizers";
        let plain =
            object.meta().finalizers.iter().flatten().filter(|f| !f.contains('/') && !matches!(f.as_str(), "orphan" | "foregroundDeletion" | "kubernetes"));
        let including = |name: &str| if name.contains('.') { " including a path (/)" } else { "" };
        let words = |name: &String| {
            let (name, path) = (crate::field::quoted(name), including(name));
            format!("{at}: {name}: prefer a domain-qualified finalizer name{path} to avoid accidental conflicts with other finalizer writers")
        };
        plain.map(words).collect()
    }
    fn validate_name(&self, name: &str, prefix: bool) -> Vec<String> {
        crate::meta::dns_subdomain_name(name, prefix)
    }
    fn columns(&self) -> &[Column] {
        &self.printer.columns
    }
    fn row(&self, object: &dyn DynObject, now: Now) -> Vec<Value> {
        let name = object.meta().name.clone().unwrap_or_default();
        self.printer.row(&name, &own(object).tree().unwrap_or_default(), now)
    }
    fn selectable_fields(&self, object: &dyn DynObject) -> Vec<(Cow<'static, str>, String)> {
        if self.selectable.is_empty() {
            return Vec::new();
        }
        let tree = own(object).tree().unwrap_or_default();
        let value = |query: &Option<Query>| match query.as_ref().and_then(|q| q.first(&tree)) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        self.selectable.iter().map(|(name, query)| (Cow::Owned(name.clone()), value(query))).collect()
    }
    fn schema(&self, _generator: &mut SchemaGenerator) -> JsonSchema {
        JsonSchema::default()
    }
}

fn put_status(to: &mut Custom, from: &Custom) {
    match from.content.get("status") {
        Some(status) => {
            to.content.insert("status".to_owned(), status.clone());
        }
        None => {
            to.content.remove("status");
        }
    }
}
