//! `apiextensions.k8s.io/v1` CustomResourceDefinition: a kind that the API does not have of itself.

use std::collections::BTreeSet;

use crate::field::{Error, Errors, Path};
use crate::k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceConversion, CustomResourceDefinition, CustomResourceDefinitionSpec,
};
use crate::kind::{Kind, Merge, Names, Scope, Subresource};
use crate::kinds::checks::{IMMUTABLE, each, one_of};
use crate::kinds::normal::{is_empty, text};
use crate::kinds::structural;
use crate::kinds::{merge, names};
use crate::meta::{dns1035_label, dns1123_subdomain};

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
        definition.spec.conversion.get_or_insert_with(conversion);
    }

    fn prepare_create(definition: &mut CustomResourceDefinition) {
        let stored = definition.spec.versions.iter().filter(|v| v.storage).map(|v| v.name.clone());
        definition.status.get_or_insert_default().stored_versions = Some(stored.collect());
    }

    fn prepare_update(new: &mut CustomResourceDefinition, _old: &CustomResourceDefinition) {
        let stored = new.status.get_or_insert_default().stored_versions.get_or_insert_default();
        for version in new.spec.versions.iter().filter(|v| v.storage) {
            if !stored.contains(&version.name) {
                stored.push(version.name.clone());
            }
        }
    }

    fn validate(definition: &CustomResourceDefinition) -> Errors {
        let mut errors = Errors::new();
        let spec = &definition.spec;
        let name = text(&definition.metadata.name);
        if name != format!("{}.{}", spec.names.plural, spec.group) {
            errors.push(Error::invalid(&Path::new("metadata.name"), name, "must be spec.names.plural+\".\"+spec.group"));
        }
        errors.extend(validate_spec(spec, &Path::new("spec")));
        errors
    }

    fn validate_update(new: &CustomResourceDefinition, old: &CustomResourceDefinition) -> Errors {
        let mut errors = Self::validate(new);
        for (new, old, field) in [(&new.spec.group, &old.spec.group, "group"), (&new.spec.scope, &old.spec.scope, "scope")] {
            if new != old {
                errors.push(Error::invalid(&Path::new("spec").child(field), new, IMMUTABLE));
            }
        }
        errors
    }
}

fn validate_spec(spec: &CustomResourceDefinitionSpec, at: &Path) -> Errors {
    let mut errors = Errors::new();
    let group_at = at.child("group");
    if spec.group.is_empty() {
        errors.push(Error::required(&group_at, ""));
    } else if !spec.group.contains('.') {
        errors.push(Error::invalid(&group_at, &spec.group, "should be a domain with at least one dot"));
    } else {
        errors.extend(each(&group_at, &spec.group, dns1123_subdomain(&spec.group)));
    }
    errors.extend(one_of(Some(&spec.scope), &["Cluster", "Namespaced"], &at.child("scope")));
    let versions_at = at.child("versions");
    if spec.versions.iter().filter(|v| v.storage).count() != 1 {
        errors.push(Error::invalid(&versions_at, crate::field::printed_json(&spec.versions), "must have exactly one version marked as storage version"));
    }
    let mut seen = BTreeSet::new();
    for (i, version) in spec.versions.iter().enumerate() {
        let at = versions_at.index(i);
        errors.extend(each(&at.child("name"), &version.name, dns1035_label(&version.name)));
        seen.insert(&version.name);
        match version.schema.as_ref().and_then(|s| s.open_api_v3_schema.as_ref()) {
            None => errors.push(Error::required(&at.child("schema.openAPIV3Schema"), "")),
            // One schema for all is told of as Kubernetes keeps it: beside the versions.
            Some(schema) if spec.versions.len() == 1 => errors.extend(structural::validate(schema, &Path::new("spec.validation.openAPIV3Schema"))),
            Some(schema) => errors.extend(structural::validate(schema, &at.child("schema.openAPIV3Schema"))),
        }
    }
    if seen.len() < spec.versions.len() {
        errors.push(Error::invalid(&versions_at, crate::field::printed_json(&spec.versions), "must contain unique version names"));
    }
    let names_at = at.child("names");
    let names = &spec.names;
    let lower = names.kind.to_lowercase();
    let list = text(&names.list_kind).to_lowercase();
    for (name, check, field) in [
        (names.plural.as_str(), names.plural.as_str(), "plural"),
        (text(&names.singular), text(&names.singular), "singular"),
        (&names.kind, &lower, "kind"),
        (text(&names.list_kind), &list, "listKind"),
    ] {
        if name.is_empty() {
            errors.push(Error::required(&names_at.child(field), ""));
        } else {
            errors.extend(each(&names_at.child(field), name, dns1035_label(check)));
        }
    }
    if !names.kind.is_empty() && names.kind == text(&names.list_kind) {
        errors.push(Error::invalid(&names_at.child("listKind"), text(&names.list_kind), "kind and listKind may not be the same"));
    }
    errors
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
                spec.versions: Invalid value: [{"name":"V1","served":true,"storage":false}]: must have exactly one version marked as storage version
                spec.versions[0].name: Invalid value: "V1": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')
                spec.versions[0].schema.openAPIV3Schema: Required value
                spec.names.plural: Invalid value: "Ws": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')
                spec.names.listKind: Invalid value: "W": kind and listKind may not be the same
            "#]],
        );
    }
}
