//! Refusals of environment variables and of what they refer to.

use crate::field::{Error, Errors, Path};
use crate::k8s_openapi::api::core::v1::{EnvFromSource, EnvVar, EnvVarSource, ObjectFieldSelector, ResourceFieldSelector};
use crate::kinds::checks::{each, file_path};
use crate::kinds::normal::text;
use crate::meta::names::{config_map_key, env_var_name};
use crate::meta::qualified_name;

/// Fields of a Pod that an environment variable may take.
const ENV_FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
/// Fields of a Pod that a file of a volume may take.
pub(super) const VOLUME_FIELDS: &[&str] = &["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
/// Fields that exist, whether or not they may be taken here.
const KNOWN_FIELDS: &[&str] = &["metadata.annotations", "metadata.labels", "spec.restartPolicy", "spec.schedulerName", "status.phase"];
const RESOURCES: &[&str] = &["limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage", "requests.memory"];

/// The `env` of a container.
pub(super) fn env(vars: &[EnvVar], at: &Path) -> Errors {
    let mut errors = Errors::new();
    for (i, var) in vars.iter().enumerate() {
        let at = at.index(i);
        if var.name.is_empty() {
            errors.push(Error::required(&at.child("name"), ""));
        } else {
            errors.extend(each(&at.child("name"), &var.name, env_var_name(&var.name)));
        }
        if let Some(from) = &var.value_from {
            errors.extend(value_from(from, !text(&var.value).is_empty(), &at.child("valueFrom")));
        }
    }
    errors
}

fn value_from(from: &EnvVarSource, has_value: bool, at: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut sources = 0;
    if let Some(field) = &from.field_ref {
        sources += 1;
        errors.extend(field_ref(field, ENV_FIELDS, &at.child("fieldRef")));
    }
    if let Some(resource) = &from.resource_field_ref {
        sources += 1;
        errors.extend(resource_field_ref(resource, false, &at.child("resourceFieldRef")));
    }
    if let Some(config_map) = &from.config_map_key_ref {
        sources += 1;
        errors.extend(key_ref(&config_map.name, &config_map.key, &at.child("configMapKeyRef")));
    }
    if let Some(secret) = &from.secret_key_ref {
        sources += 1;
        errors.extend(key_ref(&secret.name, &secret.key, &at.child("secretKeyRef")));
    }
    if let Some(file) = &from.file_key_ref {
        sources += 1;
        let at = at.child("fileKeyRef");
        if file.volume_name.is_empty() {
            errors.push(Error::required(&at.child("volumeName"), ""));
        }
        if file.path.is_empty() {
            errors.push(Error::required(&at.child("path"), ""));
        } else {
            errors.extend(file_path(&file.path, &at.child("path")));
        }
        if file.key.is_empty() {
            errors.push(Error::required(&at.child("key"), ""));
        } else {
            errors.extend(each(&at.child("key"), &file.key, env_var_name(&file.key)));
        }
    }
    match sources {
        0 => {
            let words = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
            errors.push(Error::invalid(at, "", words));
        }
        _ if has_value => errors.push(Error::invalid(at, "", "may not be specified when `value` is not empty")),
        1 => {}
        _ => errors.push(Error::invalid(at, "", "may not have more than one field specified at a time")),
    }
    errors
}

/// The `envFrom` of a container.
pub(super) fn env_from(sources: &[EnvFromSource], at: &Path) -> Errors {
    let mut errors = Errors::new();
    for (i, source) in sources.iter().enumerate() {
        let at = at.index(i);
        let prefix = text(&source.prefix);
        if !prefix.is_empty() {
            errors.extend(each(&at.child("prefix"), prefix, env_var_name(prefix)));
        }
        for (name, field) in [(source.config_map_ref.as_ref().map(|r| &r.name), "configMapRef"), (source.secret_ref.as_ref().map(|r| &r.name), "secretRef")] {
            if name.is_some_and(String::is_empty) {
                errors.push(Error::required(&at.child(field).child("name"), ""));
            }
        }
        match (source.config_map_ref.is_some(), source.secret_ref.is_some()) {
            (false, false) => errors.push(Error::invalid(&at, "", "must specify one of: `configMapRef` or `secretRef`")),
            (true, true) => errors.push(Error::invalid(&at, "", "may not have more than one field specified at a time")),
            _ => {}
        }
    }
    errors
}

fn key_ref(name: &str, key: &str, at: &Path) -> Errors {
    let mut errors = Errors::new();
    if name.is_empty() {
        errors.push(Error::required(&at.child("name"), ""));
    }
    if key.is_empty() {
        errors.push(Error::required(&at.child("key"), ""));
    } else {
        errors.extend(each(&at.child("key"), key, config_map_key(key)));
    }
    errors
}

/// A reference to a field of the Pod itself.
pub(super) fn field_ref(field: &ObjectFieldSelector, supported: &[&str], at: &Path) -> Errors {
    let version = text(&field.api_version);
    if version.is_empty() {
        return vec![Error::required(&at.child("apiVersion"), "")];
    }
    if field.field_path.is_empty() {
        return vec![Error::required(&at.child("fieldPath"), "")];
    }
    let path = at.child("fieldPath");
    let refuse = |why: String| vec![Error::invalid(&path, &field.field_path, format!("error converting fieldPath: {why}"))];
    if version != "v1" {
        return refuse(format!("unsupported pod version: {version}"));
    }
    if let Some((name, key)) = field.field_path.strip_suffix("']").and_then(|rest| rest.split_once("['")) {
        return match name {
            "metadata.annotations" => each(at, key, qualified_name(&key.to_lowercase())).collect(),
            "metadata.labels" => each(at, key, qualified_name(key)).collect(),
            _ => refuse(format!("field label not supported: {}", field.field_path)),
        };
    }
    let name = if field.field_path == "spec.host" { "spec.nodeName" } else { field.field_path.as_str() };
    if supported.contains(&name) {
        Errors::new()
    } else if ENV_FIELDS.contains(&name) || KNOWN_FIELDS.contains(&name) {
        vec![Error::not_supported(&path, name, supported)]
    } else {
        refuse(format!("field label not supported: {name}"))
    }
}

/// A reference to a request or limit of a container.
pub(super) fn resource_field_ref(resource: &ResourceFieldSelector, in_volume: bool, at: &Path) -> Errors {
    let name = resource.resource.as_str();
    if in_volume && text(&resource.container_name).is_empty() {
        return vec![Error::required(&at.child("containerName"), "")];
    }
    if name.is_empty() {
        return vec![Error::required(&at.child("resource"), "")];
    }
    let huge_pages = name.starts_with("limits.hugepages-") || name.starts_with("requests.hugepages-");
    if !huge_pages && !RESOURCES.contains(&name) {
        return vec![Error::not_supported(&at.child("resource"), name, RESOURCES)];
    }
    let divisor = resource.divisor.as_ref().map_or("0", |q| q.0.as_str());
    let (what, allowed): (&str, &[&str]) = match name.split_once('.').map_or(name, |(_, r)| r) {
        "cpu" => ("cpu", &["1m", "1"]),
        "ephemeral-storage" => ("local ephemeral storage", BYTE_DIVISORS),
        "memory" => ("memory", BYTE_DIVISORS),
        _ => ("hugepages", BYTE_DIVISORS),
    };
    if divisor == "0" || allowed.contains(&divisor) {
        return Errors::new();
    }
    let words = match what {
        "cpu" => "only divisor's values 1m and 1 are supported with the cpu resource".to_owned(),
        _ => format!("only divisor's values {} are supported with the {what} resource", BYTE_DIVISORS.join(", ")),
    };
    vec![Error::invalid(&at.child("divisor"), name.split_once('.').map_or(name, |(_, r)| r), words)]
}

const BYTE_DIVISORS: &[&str] = &["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];
