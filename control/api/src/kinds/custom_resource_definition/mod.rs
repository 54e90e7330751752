//! `apiextensions.k8s.io/v1` CustomResourceDefinition: a kind that the API does not have of itself.

mod defaults;
pub(crate) mod paths;
mod rules;
mod schema;
mod spec;
pub(crate) mod structural;

use serde_json::Value;

use crate::custom::formats::supported;
use crate::custom::schema::MAX_DEPTH;
use crate::custom::status;
use crate::field::{Error, Errors, Path};
use crate::k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceConversion, CustomResourceDefinition, CustomResourceDefinitionNames, JSONSchemaProps,
};
use crate::kind::{Kind, Merge, Names, Scope, Subresource};
use crate::kinds::checks::IMMUTABLE;
use crate::kinds::columns::{CREATED, name, name_cell, text as text_column};
use crate::kinds::normal::{fill, is_empty, text};
use crate::kinds::{merge, names};
use crate::table::{Column, Columns};

/// CustomResourceDefinition of `apiextensions.k8s.io/v1`.
pub struct CustomResourceDefinitions;

impl Kind for CustomResourceDefinitions {
    type Object = CustomResourceDefinition;

    const NAMES: Names = names("customresourcedefinition", &["crd", "crds"], &["api-extensions"]);
    const SCOPE: Scope = Scope::Cluster;
    const SUBRESOURCES: &[Subresource] = &[Subresource::Status];
    const MERGES: &[Merge] = MERGES;
    const ALLOW_UNCONDITIONAL_UPDATE: bool = false;
    const HAS_GENERATION: bool = true;

    fn copy_status(to: &mut Self::Object, from: &Self::Object) {
        to.status.clone_from(&from.status);
    }

    fn desired_differs(new: &Self::Object, old: &Self::Object) -> bool {
        new.spec != old.spec
    }

    fn default(definition: &mut CustomResourceDefinition) {
        let names = &mut definition.spec.names;
        if is_empty(&names.singular) {
            names.singular = Some(names.kind.to_lowercase());
        }
        if is_empty(&names.list_kind) && !names.kind.is_empty() {
            names.list_kind = Some(format!("{}List", names.kind));
        }
        let conversion = || CustomResourceConversion { strategy: "None".to_owned(), ..CustomResourceConversion::default() };
        let conversion = definition.spec.conversion.get_or_insert_with(conversion);
        if let Some(service) = conversion.webhook.as_mut().and_then(|w| w.client_config.as_mut()).and_then(|c| c.service.as_mut()) {
            fill(&mut service.port, 443);
        }
    }

    fn prepare_create(definition: &mut CustomResourceDefinition) {
        let stored = definition.spec.versions.iter().find(|v| v.storage).map(|v| v.name.clone());
        definition.status.get_or_insert_default().stored_versions = Some(stored.into_iter().collect());
    }

    fn prepare_update(new: &mut CustomResourceDefinition, _old: &CustomResourceDefinition) {
        let stored = new.status.get_or_insert_default().stored_versions.get_or_insert_default();
        if let Some(version) = new.spec.versions.iter().find(|v| v.storage).filter(|v| !stored.contains(&v.name)) {
            stored.push(version.name.clone());
        }
    }

    fn validate(definition: &CustomResourceDefinition) -> Errors {
        let mut errors = Errors::new();
        let (spec, name) = (&definition.spec, text(&definition.metadata.name));
        if name != format!("{}.{}", spec.names.plural, spec.group) {
            errors.push(Error::invalid(&Path::new("metadata.name"), name, "must be spec.names.plural+\".\"+spec.group"));
        }
        errors.extend(spec::validate(spec, &Path::new("spec")));
        errors.extend(stored_versions(definition));
        errors.extend(approval(definition, None));
        errors
    }

    fn validate_update(new: &CustomResourceDefinition, old: &CustomResourceDefinition) -> Errors {
        let at = Path::new("spec");
        let mut errors = spec::validate(&new.spec, &at);
        let immutable = |new: &str, old: &str, field: &str| (new != old).then(|| Error::invalid(&at.child(field), new, IMMUTABLE));
        if status::holds(old, "Established") {
            errors.extend(immutable(&new.spec.scope, &old.spec.scope, "scope"));
            errors.extend(immutable(&new.spec.names.kind, &old.spec.names.kind, "names.kind"));
        }
        errors.extend(immutable(&new.spec.group, &old.spec.group, "group"));
        errors.extend(immutable(&new.spec.names.plural, &old.spec.names.plural, "names.plural"));
        errors.extend(stored_versions(new));
        errors.extend(approval(new, Some(old)));
        errors
    }

    fn validate_status_update(new: &CustomResourceDefinition, _old: &CustomResourceDefinition) -> Errors {
        let empty = CustomResourceDefinitionNames::default();
        let names = new.status.as_ref().and_then(|s| s.accepted_names.as_ref()).unwrap_or(&empty);
        spec::names(names, &Path::new("status.acceptedNames"))
    }

    fn warnings(definition: &CustomResourceDefinition) -> Vec<String> {
        let schemas = definition.spec.versions.iter().filter_map(|v| v.schema.as_ref()?.open_api_v3_schema.as_ref());
        let mut formats = Vec::new();
        schemas.for_each(|s| unknown_formats(s, 0, &mut formats));
        formats
    }

    fn columns() -> Columns<CustomResourceDefinition> {
        let wide = |name, description| text_column(name, description).wide();
        Columns {
            columns: vec![
                name(),
                text_column("Scope", "Cluster/Namespaced"),
                text_column("Versions", "Served versions"),
                Column::new("Created At", "date", CREATED),
                wide("Group", "API group"),
                wide("Kind", "CustomResource kind"),
                wide("ShortNames", "Short names"),
                Column::new("Established", "boolean", "Established status").wide(),
            ],
            row: |definition, _now| {
                let spec = &definition.spec;
                let served = spec.versions.iter().filter(|v| v.served);
                let mut versions: Vec<String> = served.map(|v| if v.storage { format!("{}(storage)", v.name) } else { v.name.clone() }).collect();
                versions.sort();
                let created = definition.metadata.creation_timestamp.as_ref().and_then(|t| serde_json::to_value(t).ok());
                vec![
                    name_cell(&definition.metadata),
                    Value::from(spec.scope.as_str()),
                    Value::from(versions.join(",")),
                    created.unwrap_or_default(),
                    Value::from(spec.group.as_str()),
                    Value::from(spec.names.kind.as_str()),
                    Value::from(spec.names.short_names.as_ref().map(|s| s.join(",")).unwrap_or_default()),
                    Value::from(status::holds(definition, "Established")),
                ]
            },
        }
    }
}

/// Formats that nothing is checked for.
fn unknown_formats(schema: &JSONSchemaProps, depth: usize, told: &mut Vec<String>) {
    if depth > MAX_DEPTH {
        return;
    }
    let format = text(&schema.format);
    let words = format!("unrecognized format {}", crate::field::quoted(format));
    if !format.is_empty() && supported(text(&schema.type_), format).is_none() && !told.contains(&words) {
        told.push(words);
    }
    structural::children(schema).into_iter().for_each(|s| unknown_formats(s, depth + 1, told));
}

/// The versions in which there may be objects must stay.
fn stored_versions(definition: &CustomResourceDefinition) -> Errors {
    let at = Path::new("status.storedVersions");
    let stored = definition.status.as_ref().and_then(|s| s.stored_versions.clone()).unwrap_or_default();
    if stored.is_empty() {
        return vec![Error::invalid(&at, Value::Null, "must have at least one stored version")];
    }
    let versions = &definition.spec.versions;
    let missing = versions.iter().filter(|v| v.storage && !stored.contains(&v.name));
    let mut errors: Errors =
        missing.map(|v| Error::invalid(&at, crate::field::printed_json(&stored), format!("must have the storage version {}", v.name))).collect();
    for (i, name) in stored.iter().enumerate().filter(|(_, name)| !versions.iter().any(|v| v.name == **name)) {
        let words = format!(
            "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in {name} and removes {name} from status.storedVersions"
        );
        errors.push(Error::invalid(&at.index(i), name, words));
    }
    errors
}

/// Kinds in Kubernetes' own groups say who approved of them.
fn approval(new: &CustomResourceDefinition, old: Option<&CustomResourceDefinition>) -> Option<Error> {
    let (reason, _, words) = status::approval(new)?;
    if old.and_then(status::approval).is_some_and(|(old, ..)| old == reason) {
        return None;
    }
    let at = Path::new("metadata.annotations").key(status::APPROVED);
    match reason {
        "MissingAnnotation" => Some(Error::required(&at, words)),
        "InvalidAnnotation" => {
            let given = new.metadata.annotations.as_ref().and_then(|a| a.get(status::APPROVED)).cloned().unwrap_or_default();
            Some(Error::invalid(&at, given, words))
        }
        _ => None,
    }
}

/// How lists and maps of these types are merged, from the OpenAPI document.
const MERGES: &[Merge] = &[
    merge("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionNames", "categories", "", "", "atomic", &[]),
    merge("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionNames", "shortNames", "", "", "atomic", &[]),
    merge("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionSpec", "versions", "", "", "atomic", &[]),
    merge("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionStatus", "conditions", "", "", "map", &["type"]),
    merge("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionStatus", "storedVersions", "", "", "atomic", &[]),
    merge("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionVersion", "additionalPrinterColumns", "", "", "atomic", &[]),
    merge("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionVersion", "selectableFields", "", "", "atomic", &[]),
    merge("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps", "allOf", "", "", "atomic", &[]),
    merge("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps", "anyOf", "", "", "atomic", &[]),
    merge("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps", "enum", "", "", "atomic", &[]),
    merge("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps", "oneOf", "", "", "atomic", &[]),
    merge("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps", "required", "", "", "atomic", &[]),
    merge("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps", "x-kubernetes-list-map-keys", "", "", "atomic", &[]),
    merge("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps", "x-kubernetes-validations", "merge", "rule", "map", &["rule"]),
    merge("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.WebhookConversion", "conversionReviewVersions", "", "", "atomic", &[]),
];

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::kinds::testing::check_refused;

    #[test]
    fn refuses_in_kubernetes_words() {
        check_refused::<CustomResourceDefinitions>(
            r#"
metadata: {name: wrong}
spec: {group: x, scope: Everywhere, names: {plural: Ws, kind: W, listKind: W}, versions: [{name: V1, served: true, storage: false}]}
"#,
            &expect![[r#"
                metadata.name: Invalid value: "wrong": must be spec.names.plural+"."+spec.group
                spec.group: Invalid value: "x": should be a domain with at least one dot
                spec.scope: Unsupported value: "Everywhere": supported values: "Cluster", "Namespaced"
                spec.versions[0].schema.openAPIV3Schema: Required value
                spec.versions[0].name: Invalid value: "V1": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')
                spec.versions: Invalid value: [{"name":"V1","served":true,"storage":false}]: must have exactly one version marked as storage version
                spec.names.plural: Invalid value: "Ws": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')
                spec.names.listKind: Invalid value: "W": kind and listKind may not be the same
                status.storedVersions: Invalid value: null: must have at least one stored version
            "#]],
        );
    }
}
