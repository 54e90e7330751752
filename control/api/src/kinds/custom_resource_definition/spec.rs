//! What is refused of a definition's specification.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{paths, schema};
use crate::field::{Error, Errors, Path, printed_json};
use crate::k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceColumnDefinition, CustomResourceConversion, CustomResourceDefinitionNames, CustomResourceDefinitionSpec, CustomResourceDefinitionVersion,
    CustomResourceSubresources, JSONSchemaProps, SelectableField,
};
use crate::kinds::checks::{each, one_of};
use crate::kinds::normal::{is_empty, text};
use crate::meta::{dns1035_label, dns1123_subdomain};

const COLUMN_TYPES: &str = "boolean,date,integer,number,string";
const COLUMN_FORMATS: &str = "byte,date,date-time,double,float,int32,int64,password";
const MOST_SELECTABLE: usize = 8;

pub(super) fn validate(spec: &CustomResourceDefinitionSpec, at: &Path) -> Errors {
    let mut errors = Errors::new();
    let group_at = at.child("group");
    let wrong = dns1123_subdomain(&spec.group);
    if spec.group.is_empty() {
        errors.push(Error::required(&group_at, ""));
    } else if !wrong.is_empty() {
        errors.extend(each(&group_at, &spec.group, wrong));
    } else if !spec.group.contains('.') {
        errors.push(Error::invalid(&group_at, &spec.group, "should be a domain with at least one dot"));
    }
    errors.extend(if spec.scope.is_empty() {
        Some(Error::required(&at.child("scope"), ""))
    } else {
        one_of(Some(&spec.scope), &["Cluster", "Namespaced"], &at.child("scope"))
    });
    let versions_at = at.child("versions");
    for (i, _) in spec.versions.iter().enumerate().filter(|(_, v)| schema_of(v).is_none()) {
        errors.push(Error::required(&versions_at.index(i).child("schema.openAPIV3Schema"), ""));
    }
    // What is the same for all versions is told of as Kubernetes keeps it: beside them.
    let same = Same::of(&spec.versions);
    let mut seen = BTreeSet::new();
    for (i, version) in spec.versions.iter().enumerate() {
        let at = versions_at.index(i);
        seen.insert(&version.name);
        errors.extend(each(&at.child("name"), &version.name, dns1035_label(&version.name)));
        errors.extend(deprecation(version, &at.child("deprecationWarning")));
        let has_status = version.subresources.as_ref().is_some_and(|s| s.status.is_some());
        if let Some(schema) = schema_of(version).filter(|_| !same.schema) {
            errors.extend(schema::validate(schema, has_status, &at.child("schema.openAPIV3Schema")));
        }
        if !same.subresources {
            errors.extend(subresources(version.subresources.as_ref(), &at.child("subresources")));
        }
        if !same.columns {
            errors.extend(columns(version.additional_printer_columns.as_deref(), &at.child("additionalPrinterColumns")));
        }
        if !same.selectable {
            errors.extend(selectable(version.selectable_fields.as_deref(), schema_of(version), &at.child("selectableFields")));
        }
    }
    if seen.len() < spec.versions.len() {
        errors.push(Error::invalid(&versions_at, printed_json(&spec.versions), "must contain unique version names"));
    }
    if spec.versions.iter().filter(|v| v.storage).count() != 1 {
        errors.push(Error::invalid(&versions_at, printed_json(&spec.versions), "must have exactly one version marked as storage version"));
    }
    let names_at = at.child("names");
    let wanted = [
        (spec.names.plural.as_str(), "plural"),
        (text(&spec.names.singular), "singular"),
        (spec.names.kind.as_str(), "kind"),
        (text(&spec.names.list_kind), "listKind"),
    ];
    errors.extend(wanted.into_iter().filter(|(name, _)| name.is_empty()).map(|(_, field)| Error::required(&names_at.child(field), "")));
    errors.extend(names(&spec.names, &names_at));
    if let Some(first) = spec.versions.first() {
        let has_status = spec.versions.iter().any(|v| v.subresources.as_ref().is_some_and(|s| s.status.is_some()));
        if let Some(schema) = schema_of(first).filter(|_| same.schema) {
            errors.extend(schema::validate(schema, has_status, &at.child("validation.openAPIV3Schema")));
        }
        if same.subresources {
            errors.extend(subresources(first.subresources.as_ref(), &at.child("subresources")));
        }
        if same.columns {
            errors.extend(columns(first.additional_printer_columns.as_deref(), &at.child("additionalPrinterColumns")));
        }
        if same.selectable {
            errors.extend(selectable(first.selectable_fields.as_deref(), schema_of(first), &at.child("selectableFields")));
        }
    }
    if let Some(conversion) = &spec.conversion {
        errors.extend(validate_conversion(conversion, &at.child("conversion")));
    }
    if spec.preserve_unknown_fields == Some(true) {
        let words = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        errors.push(Error::invalid(&at.child("preserveUnknownFields"), true, words));
    }
    errors
}

fn schema_of(version: &CustomResourceDefinitionVersion) -> Option<&JSONSchemaProps> {
    version.schema.as_ref()?.open_api_v3_schema.as_ref()
}

/// What all versions have alike.
struct Same {
    schema: bool,
    subresources: bool,
    columns: bool,
    selectable: bool,
}

impl Same {
    fn of(versions: &[CustomResourceDefinitionVersion]) -> Same {
        let all = |same: &dyn Fn(&CustomResourceDefinitionVersion, &CustomResourceDefinitionVersion) -> bool| versions.iter().all(|v| same(v, &versions[0]));
        Same {
            schema: all(&|a, b| a.schema == b.schema),
            subresources: all(&|a, b| a.subresources == b.subresources),
            columns: all(&|a, b| a.additional_printer_columns == b.additional_printer_columns),
            selectable: all(&|a, b| a.selectable_fields == b.selectable_fields),
        }
    }
}

/// The names of a kind, where they are given.
pub(super) fn names(names: &CustomResourceDefinitionNames, at: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut label = |field: Path, name: &str| {
        let wrong = dns1035_label(name);
        if !name.is_empty() && !wrong.is_empty() {
            errors.push(Error::invalid(&field, name, wrong.join(",")));
        }
    };
    label(at.child("plural"), &names.plural);
    label(at.child("singular"), text(&names.singular));
    for (name, field) in [(names.kind.as_str(), "kind"), (text(&names.list_kind), "listKind")] {
        let wrong = dns1035_label(&name.to_lowercase());
        if !name.is_empty() && !wrong.is_empty() {
            errors.push(Error::invalid(&at.child(field), name, format!("may have mixed case, but should otherwise match: {}", wrong.join(","))));
        }
    }
    errors.extend(labels(&names.short_names, &at.child("shortNames")));
    if !names.kind.is_empty() && names.kind == text(&names.list_kind) {
        errors.push(Error::invalid(&at.child("listKind"), text(&names.list_kind), "kind and listKind may not be the same"));
    }
    errors.extend(labels(&names.categories, &at.child("categories")));
    errors
}

fn labels(list: &Option<Vec<String>>, at: &Path) -> Errors {
    let wrong = list.iter().flatten().enumerate().map(|(i, name)| (i, name, dns1035_label(name))).filter(|(_, _, wrong)| !wrong.is_empty());
    wrong.map(|(i, name, wrong)| Error::invalid(&at.index(i), name, wrong.join(","))).collect()
}

fn deprecation(version: &CustomResourceDefinitionVersion, at: &Path) -> Errors {
    let Some(warning) = version.deprecation_warning.as_deref() else { return Errors::new() };
    let mut words = Vec::new();
    if version.deprecated != Some(true) {
        words.push("can only be set for deprecated versions".to_owned());
    } else {
        if warning.len() > 256 {
            words.push("must be <= 256 characters long".to_owned());
        }
        if warning.is_empty() {
            words.push("must not be an empty string".to_owned());
        }
        if let Some((i, _)) = warning.char_indices().find(|(_, c)| c.is_control()) {
            words.push(format!("must only contain printable UTF-8 characters; non-printable character found at index {i}"));
        }
    }
    words.into_iter().map(|w| Error::invalid(at, warning, w)).collect()
}

fn subresources(given: Option<&CustomResourceSubresources>, at: &Path) -> Errors {
    let mut errors = Errors::new();
    let Some(scale) = given.and_then(|s| s.scale.as_ref()) else { return errors };
    let mut path = |given: &str, field: &str, below: &[&str], words: &str, required: bool| {
        let at = at.child("scale").child(field);
        if given.is_empty() {
            if required {
                errors.push(Error::required(&at, ""));
            }
        } else if !given.starts_with('.') {
            errors.push(Error::invalid(&at, given, "must be a simple json path starting with ."));
        } else if !below.iter().any(|b| given.starts_with(b)) {
            errors.push(Error::invalid(&at, given, words));
        }
    };
    path(&scale.spec_replicas_path, "specReplicasPath", &[".spec."], "should be a json path under .spec", true);
    path(&scale.status_replicas_path, "statusReplicasPath", &[".status."], "should be a json path under .status", true);
    let selector = "should be a json path under either .spec or .status";
    path(text(&scale.label_selector_path), "labelSelectorPath", &[".spec.", ".status."], selector, false);
    errors
}

fn columns(given: Option<&[CustomResourceColumnDefinition]>, at: &Path) -> Errors {
    let mut errors = Errors::new();
    for (i, column) in given.unwrap_or_default().iter().enumerate() {
        let at = at.index(i);
        if column.name.is_empty() {
            errors.push(Error::required(&at.child("name"), ""));
        }
        let words = format!("must be one of {COLUMN_TYPES}");
        if column.type_.is_empty() {
            errors.push(Error::required(&at.child("type"), words));
        } else if !COLUMN_TYPES.split(',').any(|t| t == column.type_) {
            errors.push(Error::invalid(&at.child("type"), &column.type_, words));
        }
        let format = text(&column.format);
        if !format.is_empty() && !COLUMN_FORMATS.split(',').any(|f| f == format) {
            errors.push(Error::invalid(&at.child("format"), format, format!("must be one of {COLUMN_FORMATS}")));
        }
        if column.json_path.is_empty() {
            errors.push(Error::required(&at.child("JSONPath"), ""));
        } else if !column.json_path.starts_with('.') {
            errors.push(Error::invalid(&at.child("JSONPath"), &column.json_path, "must be a simple json path starting with ."));
        }
    }
    errors
}

fn selectable(given: Option<&[SelectableField]>, schema: Option<&JSONSchemaProps>, at: &Path) -> Errors {
    let mut errors = Errors::new();
    let (fields, Some(schema)) = (given.unwrap_or_default(), schema) else { return errors };
    let mut seen = BTreeSet::new();
    for (i, field) in fields.iter().enumerate() {
        let at = at.index(i).child("jsonPath");
        let path = field.json_path.as_str();
        if path.is_empty() {
            errors.push(Error::required(&at, ""));
            continue;
        }
        match paths::find(path, schema, false) {
            Err(why) => errors.push(Error::invalid(&at, path, format!("is an invalid path: {why}"))),
            Ok((parts, found)) => {
                if parts.first().is_some_and(|p| p == "metadata") {
                    errors.push(Error::invalid(&at, path, "must not point to fields in metadata"));
                }
                if !matches!(text(&found.type_), "string" | "boolean" | "integer") {
                    let words = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.";
                    errors.push(Error::invalid(&at, path, words));
                }
                if !seen.insert(parts) {
                    errors.push(Error::duplicate(&at, path));
                }
            }
        }
    }
    if seen.len() > MOST_SELECTABLE {
        errors.push(Error::too_many(at, seen.len(), MOST_SELECTABLE));
    }
    errors
}

fn validate_conversion(conversion: &CustomResourceConversion, at: &Path) -> Errors {
    let mut errors = Errors::new();
    let strategy = conversion.strategy.as_str();
    errors.extend(if strategy.is_empty() {
        Some(Error::required(&at.child("strategy"), ""))
    } else {
        one_of(Some(strategy), &["None", "Webhook"], &at.child("strategy"))
    });
    let webhook = conversion.webhook.as_ref();
    let client = webhook.and_then(|w| w.client_config.as_ref());
    if strategy != "Webhook" {
        let words = "should not be set when strategy is not set to Webhook";
        if client.is_some() {
            errors.push(Error::forbidden(&at.child("webhookClientConfig"), words));
        }
        if webhook.is_some_and(|w| !w.conversion_review_versions.is_empty()) {
            errors.push(Error::forbidden(&at.child("conversionReviewVersions"), words));
        }
        return errors;
    }
    let client_at = at.child("webhookClientConfig");
    match client {
        None => errors.push(Error::required(&client_at, "required when strategy is set to Webhook")),
        Some(client) if is_empty(&client.url) == client.service.is_none() => {
            errors.push(Error::required(&client_at, "exactly one of url or service is required"));
        }
        Some(client) => {
            if let Some(service) = &client.service {
                for (name, field) in [(&service.name, "name"), (&service.namespace, "namespace")] {
                    if name.is_empty() {
                        errors.push(Error::required(&client_at.child("service").child(field), format!("service {field} is required")));
                    }
                }
            }
        }
    }
    let versions_at = at.child("conversionReviewVersions");
    let versions = webhook.map(|w| w.conversion_review_versions.as_slice()).unwrap_or_default();
    if versions.is_empty() {
        errors.push(Error::required(&versions_at, ""));
        return errors;
    }
    let mut seen = BTreeSet::new();
    for (i, version) in versions.iter().enumerate() {
        if !seen.insert(version) {
            errors.push(Error::invalid(&versions_at.index(i), version, "duplicate version"));
            continue;
        }
        errors.extend(each(&versions_at.index(i), version, dns1035_label(version)));
    }
    if !versions.iter().any(|v| v == "v1" || v == "v1beta1") {
        let printed: Value = printed_json(&versions);
        errors.push(Error::invalid(&versions_at, printed, "must include at least one of v1, v1beta1"));
    }
    errors
}
