//! `plugins.wharf.dev/v1` Plugin: a WebAssembly component that extends the cluster.

mod types;

use std::collections::BTreeSet;

use serde_json::Value;

pub use types::{Plugin, PluginConfig, PluginConfigSource, PluginGrants, PluginKeyReference, PluginMatch, PluginSpec, PluginStatus};

use crate::field::{Error, Errors, Path};
use crate::k8s_openapi::api::admissionregistration::v1::RuleWithOperations;
use crate::k8s_openapi::api::core::v1::SecretReference;
use crate::k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use crate::kind::{Kind, Merge, Names, Scope, Subresource};
use crate::kinds::checks::{each, in_range, one_of};
use crate::kinds::columns::{age, age_cell, name, name_cell, or_none, text as text_column};
use crate::kinds::normal::{fill, text};
use crate::kinds::{label_selector, merge, names};
use crate::meta::names::config_map_key;
use crate::meta::{dns1123_label, dns1123_subdomain};
use crate::table::{Column, Columns};

/// The group of plugins, whose objects no plugin is asked about: so there is always a way to remove one.
pub const GROUP: &str = "plugins.wharf.dev";
/// Asked about what is written to the API.
pub const ADMISSION: &str = "admission";
/// Between clients and the backends of Ingresses.
pub const INGRESS: &str = "ingress";

/// Plugin of `plugins.wharf.dev/v1`.
pub struct Plugins;

impl Kind for Plugins {
    type Object = Plugin;

    const NAMES: Names = names("plugin", &[], &[]);
    const SCOPE: Scope = Scope::Cluster;
    const SUBRESOURCES: &[Subresource] = &[Subresource::Status];
    const MERGES: &[Merge] = MERGES;
    const HAS_GENERATION: bool = true;

    fn desired_differs(new: &Plugin, old: &Plugin) -> bool {
        new.spec != old.spec
    }

    fn copy_status(to: &mut Plugin, from: &Plugin) {
        to.status.clone_from(&from.status);
    }

    fn default(plugin: &mut Plugin) {
        let spec = &mut plugin.spec;
        let latest = tag(&spec.image).is_none_or(|tag| tag == "latest");
        fill(&mut spec.image_pull_policy, if latest && !spec.image.starts_with(LOCAL) { "Always" } else { "IfNotPresent" });
        fill(&mut spec.order, 0);
        fill(&mut spec.failure_policy, "Fail");
        fill(&mut spec.timeout_seconds, 10);
        spec.memory_limit.get_or_insert_with(|| Quantity("64Mi".to_owned()));
        for rule in spec.r#match.iter_mut().flat_map(|m| m.rules.iter_mut().flatten()) {
            fill(&mut rule.scope, "*");
        }
    }

    fn validate(plugin: &Plugin) -> Errors {
        let (spec, at) = (&plugin.spec, Path::new("spec"));
        let mut errors = Errors::new();
        if spec.image.is_empty() {
            errors.push(Error::required(&at.child("image"), ""));
        } else if spec.image.trim() != spec.image {
            errors.push(Error::invalid(&at.child("image"), &spec.image, "must not have leading or trailing whitespace"));
        }
        errors.extend(one_of(spec.image_pull_policy.as_deref(), &["Always", "IfNotPresent", "Never"], &at.child("imagePullPolicy")));
        for (i, secret) in spec.image_pull_secrets.iter().flatten().enumerate() {
            let SecretReference { name, namespace } = secret;
            errors.extend(object_name(text(namespace), text(name), &at.child("imagePullSecrets").index(i)));
        }
        match spec.world.as_str() {
            "" => errors.push(Error::required(&at.child("world"), "")),
            ADMISSION | INGRESS => {}
            other => errors.push(Error::not_supported(&at.child("world"), other, &[ADMISSION, INGRESS])),
        }
        errors.extend(one_of(spec.failure_policy.as_deref(), &["Fail", "Ignore"], &at.child("failurePolicy")));
        if let Some(seconds) = spec.timeout_seconds
            && in_range(seconds.into(), 1, 30, &at).is_some()
        {
            errors.push(Error::invalid(&at.child("timeoutSeconds"), seconds, "the timeout value must be between 1 and 30 seconds"));
        }
        errors.extend(memory_limit(spec.memory_limit.as_ref(), &at.child("memoryLimit")));
        errors.extend(config(spec.config.as_deref().unwrap_or_default(), &at.child("config")));
        let hosts = spec.grants.as_ref().and_then(|g| g.http.as_deref()).unwrap_or_default();
        let hosts_at = at.child("grants").child("http");
        if hosts.len() > MOST_HOSTS {
            errors.push(Error::too_many(&hosts_at, hosts.len(), MOST_HOSTS));
        }
        for (i, host) in hosts.iter().enumerate() {
            errors.extend(granted_host(host, &hosts_at.index(i)));
        }
        errors.extend(spec.r#match.iter().flat_map(|m| matching(m, &spec.world, &at.child("match"))));
        errors
    }

    fn columns() -> Columns<Plugin> {
        Columns {
            columns: vec![
                name(),
                text_column("World", "What the component is asked."),
                Column::new("Order", "integer", "When it is asked among those of its world, the lowest first."),
                text_column("Ready", "Whether a component serves."),
                text_column("Digest", "The component that serves."),
                age(),
                text_column("Failure Policy", "What becomes of a request when the plugin fails.").wide(),
                text_column("Image", "The component's image.").wide(),
            ],
            row: |plugin, now| {
                let (spec, status) = (&plugin.spec, plugin.status.as_ref());
                let ready = status.and_then(|s| s.conditions.iter().flatten().find(|c| c.type_ == "Ready")).map_or("Unknown", |c| &c.status);
                let digest = status.and_then(|s| s.digest.as_deref()).map(|d| d.strip_prefix("sha256:").unwrap_or(d));
                vec![
                    name_cell(&plugin.metadata),
                    Value::from(spec.world.as_str()),
                    Value::from(spec.order.unwrap_or_default()),
                    Value::from(ready),
                    or_none(digest.map(|d| d.get(..12).unwrap_or(d))),
                    age_cell(&plugin.metadata, now),
                    or_none(spec.failure_policy.as_deref()),
                    Value::from(spec.image.as_str()),
                ]
            },
        }
    }
}

/// How lists and maps of these types are merged.
const MERGES: &[Merge] = &[
    merge("dev.wharf.plugins.v1.PluginSpec", "config", "merge", "name", "map", &["name"]),
    merge("dev.wharf.plugins.v1.PluginSpec", "imagePullSecrets", "", "", "atomic", &[]),
    merge("dev.wharf.plugins.v1.PluginGrants", "http", "", "", "set", &[]),
    merge("dev.wharf.plugins.v1.PluginMatch", "rules", "", "", "atomic", &[]),
    merge("dev.wharf.plugins.v1.PluginStatus", "conditions", "merge", "type", "map", &["type"]),
];

/// The registry of files beside manifests, which is never asked again.
const LOCAL: &str = "wharf.local/";
/// Values and hosts that a plugin may have.
const MOST_VALUES: usize = 64;
const MOST_HOSTS: usize = 64;

/// The tag of an image; `None` where it has neither tag nor digest.
fn tag(image: &str) -> Option<&str> {
    let last = image.rsplit('/').next().unwrap_or(image);
    last.split_once('@').map(|(_, digest)| digest).or_else(|| last.split_once(':').map(|(_, tag)| tag))
}

fn object_name(namespace: &str, name: &str, at: &Path) -> Errors {
    let mut errors = Errors::new();
    for (value, field, check) in [(namespace, "namespace", dns1123_label as fn(&str) -> Vec<String>), (name, "name", dns1123_subdomain)] {
        if value.is_empty() {
            errors.push(Error::required(&at.child(field), ""));
        } else {
            errors.extend(each(&at.child(field), value, check(value)));
        }
    }
    errors
}

fn memory_limit(limit: Option<&Quantity>, at: &Path) -> Option<Error> {
    let limit = limit?;
    let words = "must be between 1Mi and 1Gi";
    match limit.0.parse::<crate::quantity::Quantity>() {
        Ok(parsed) if (1 << 20..=1 << 30).contains(&parsed.value()) => None,
        Ok(_) => Some(Error::invalid(at, &limit.0, words)),
        Err(error) => Some(Error::invalid(at, &limit.0, error.to_string())),
    }
}

fn config(values: &[PluginConfig], at: &Path) -> Errors {
    let mut errors = Errors::new();
    if values.len() > MOST_VALUES {
        errors.push(Error::too_many(at, values.len(), MOST_VALUES));
    }
    let mut names = BTreeSet::new();
    for (i, value) in values.iter().enumerate() {
        let at = at.index(i);
        if value.name.is_empty() {
            errors.push(Error::required(&at.child("name"), ""));
        } else if !names.insert(&value.name) {
            errors.push(Error::duplicate(&at.child("name"), &value.name));
        } else {
            errors.extend(each(&at.child("name"), &value.name, config_map_key(&value.name)));
        }
        let Some(from) = &value.value_from else { continue };
        let at = at.child("valueFrom");
        if value.value.as_ref().is_some_and(|v| !v.is_empty()) {
            errors.push(Error::invalid(&at, "", "may not be specified when `value` is not empty"));
        }
        match (&from.config_map_key_ref, &from.secret_key_ref) {
            (None, None) => errors.push(Error::invalid(&at, "", "must specify one of: `configMapKeyRef` or `secretKeyRef`")),
            (Some(_), Some(_)) => errors.push(Error::invalid(&at, "", "may not have more than one field specified at a time")),
            _ => {}
        }
        for (reference, field) in [(&from.config_map_key_ref, "configMapKeyRef"), (&from.secret_key_ref, "secretKeyRef")] {
            let Some(reference) = reference else { continue };
            let at = at.child(field);
            errors.extend(object_name(&reference.namespace, &reference.name, &at));
            if reference.key.is_empty() {
                errors.push(Error::required(&at.child("key"), ""));
            } else {
                errors.extend(each(&at.child("key"), &reference.key, config_map_key(&reference.key)));
            }
        }
    }
    errors
}

/// `example.com`, `*.example.com`, each with or without a port.
fn granted_host(granted: &str, at: &Path) -> Errors {
    let (host, port) = match granted.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (granted, None),
    };
    let mut errors: Errors = each(at, granted, dns1123_subdomain(host.strip_prefix("*.").unwrap_or(host))).collect();
    if port.is_some_and(|port| port.parse::<u16>().map_or(true, |port| port == 0)) {
        errors.push(Error::invalid(at, granted, "the port must be between 1 and 65535"));
    }
    errors
}

fn matching(wanted: &PluginMatch, world: &str, at: &Path) -> Errors {
    let mut errors = Errors::new();
    for (i, rule) in wanted.rules.iter().flatten().enumerate() {
        errors.extend(validate_rule(rule, &at.child("rules").index(i)));
    }
    for (selector, field) in [(&wanted.namespace_selector, "namespaceSelector"), (&wanted.object_selector, "objectSelector")] {
        errors.extend(selector.iter().flat_map(|s| label_selector::validate(s, &at.child(field))));
    }
    if world == INGRESS {
        for (given, field) in [(wanted.rules.is_some(), "rules"), (wanted.namespace_selector.is_some(), "namespaceSelector")] {
            if given {
                errors.push(Error::forbidden(&at.child(field), "may not be set when `world` is 'ingress'"));
            }
        }
    }
    errors
}

/// A rule of operations and resources, in the words that webhook configurations are refused with.
fn validate_rule(rule: &RuleWithOperations, at: &Path) -> Errors {
    const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
    let mut errors = Errors::new();
    for (list, field, words) in [
        (&rule.operations, "operations", "operations"),
        (&rule.api_groups, "apiGroups", "API groups"),
        (&rule.api_versions, "apiVersions", "API versions"),
        (&rule.resources, "resources", ""),
    ] {
        let (list, at) = (list.as_deref().unwrap_or_default(), at.child(field));
        if list.is_empty() {
            errors.push(Error::required(&at, ""));
        }
        if !words.is_empty() && list.len() > 1 && list.iter().any(|one| one == "*") {
            errors.push(Error::invalid(&at, crate::field::printed_json(&list), format!("if '*' is present, must not specify other {words}")));
        }
        let empty = list.iter().enumerate().filter(|(_, one)| one.is_empty() && field != "apiGroups");
        errors.extend(empty.map(|(i, _)| Error::required(&at.index(i), "")));
    }
    for (i, operation) in rule.operations.iter().flatten().enumerate().filter(|(_, o)| !o.is_empty() && !OPERATIONS.contains(&o.as_str())) {
        errors.push(Error::not_supported(&at.child("operations").index(i), operation, &OPERATIONS));
    }
    errors.extend(one_of(rule.scope.as_deref(), &["*", "Cluster", "Namespaced"], &at.child("scope")));
    errors
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::kinds::testing::{check_default, check_refused, check_row};

    #[test]
    fn fills_in() {
        check_default::<Plugins>(
            r#"
spec:
  image: registry.example.com/policy
  world: admission
  match: {rules: [{operations: [CREATE], apiGroups: [""], apiVersions: [v1], resources: [pods]}]}
status: {digest: x}
"#,
            &expect![[r#"
                apiVersion: plugins.wharf.dev/v1
                kind: Plugin
                metadata:
                  generation: 1
                spec:
                  failurePolicy: Fail
                  image: registry.example.com/policy
                  imagePullPolicy: Always
                  match:
                    rules:
                    - apiGroups:
                      - ''
                      apiVersions:
                      - v1
                      operations:
                      - CREATE
                      resources:
                      - pods
                      scope: '*'
                  memoryLimit: 64Mi
                  order: 0
                  timeoutSeconds: 10
                  world: admission
            "#]],
        );
        for (image, policy) in [("a/b:v1", "IfNotPresent"), ("wharf.local/x", "IfNotPresent"), ("a:5000/b", "Always"), ("a/b@sha256:0", "IfNotPresent")] {
            let mut plugin = Plugin { spec: PluginSpec { image: image.to_owned(), ..PluginSpec::default() }, ..Plugin::default() };
            Plugins::default(&mut plugin);
            assert_eq!(plugin.spec.image_pull_policy.as_deref(), Some(policy), "{image}");
        }
    }

    #[test]
    fn refuses() {
        check_refused::<Plugins>(
            "spec: {}",
            &expect![[r#"
            spec.image: Required value
            spec.world: Required value
        "#]],
        );
        check_refused::<Plugins>(
            r#"
spec:
  image: " x"
  world: scheduling
  failurePolicy: Perhaps
  timeoutSeconds: 31
  memoryLimit: 2Gi
  imagePullPolicy: Sometimes
  imagePullSecrets: [{name: a}]
  config:
  - {name: a, value: x, valueFrom: {secretKeyRef: {namespace: n, name: s, key: k}}}
  - {name: a}
  - {name: b, valueFrom: {}}
  - {name: c, valueFrom: {secretKeyRef: {namespace: n, name: s}, configMapKeyRef: {}}}
  grants: {http: ["*.example.com:443", "http://x", "*", "a:0"]}
  match: {rules: [{operations: ["*", WRITE], apiGroups: ["*"], resources: [""]}]}
"#,
            &expect![[r#"
                spec.image: Invalid value: " x": must not have leading or trailing whitespace
                spec.imagePullPolicy: Unsupported value: "Sometimes": supported values: "Always", "IfNotPresent", "Never"
                spec.imagePullSecrets[0].namespace: Required value
                spec.world: Unsupported value: "scheduling": supported values: "admission", "ingress"
                spec.failurePolicy: Unsupported value: "Perhaps": supported values: "Fail", "Ignore"
                spec.timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds
                spec.memoryLimit: Invalid value: "2Gi": must be between 1Mi and 1Gi
                spec.config[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty
                spec.config[1].name: Duplicate value: "a"
                spec.config[2].valueFrom: Invalid value: "": must specify one of: `configMapKeyRef` or `secretKeyRef`
                spec.config[3].valueFrom: Invalid value: "": may not have more than one field specified at a time
                spec.config[3].valueFrom.configMapKeyRef.namespace: Required value
                spec.config[3].valueFrom.configMapKeyRef.name: Required value
                spec.config[3].valueFrom.configMapKeyRef.key: Required value
                spec.config[3].valueFrom.secretKeyRef.key: Required value
                spec.grants.http[1]: Invalid value: "http://x": the port must be between 1 and 65535
                spec.grants.http[2]: Invalid value: "*": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
                spec.grants.http[3]: Invalid value: "a:0": the port must be between 1 and 65535
                spec.match.rules[0].operations: Invalid value: ["*","WRITE"]: if '*' is present, must not specify other operations
                spec.match.rules[0].apiVersions: Required value
                spec.match.rules[0].resources[0]: Required value
                spec.match.rules[0].operations[1]: Unsupported value: "WRITE": supported values: "*", "CONNECT", "CREATE", "DELETE", "UPDATE"
            "#]],
        );
        check_refused::<Plugins>(
            "spec: {image: x, world: ingress, match: {rules: [], namespaceSelector: {}, objectSelector: {matchLabels: {a: b}}}}",
            &expect![[r#"
                spec.match.rules: Forbidden: may not be set when `world` is 'ingress'
                spec.match.namespaceSelector: Forbidden: may not be set when `world` is 'ingress'
            "#]],
        );
    }

    #[test]
    fn prints_a_row() {
        check_row::<Plugins>(
            r#"
metadata: {name: require-digest, creationTimestamp: 2026-01-01T00:00:00Z}
spec: {image: wharf.local/require-digest, world: admission, order: 10}
status:
  digest: sha256:0123456789abcdef
  conditions: [{type: Ready, status: "True", reason: Serving, message: "", lastTransitionTime: 2026-01-01T00:00:00Z}]
"#,
            &expect![[r#"
                Name: require-digest
                World: admission
                Order: 10
                Ready: True
                Digest: 0123456789ab
                Age: 15m
                Failure Policy: Fail
                Image: wharf.local/require-digest
            "#]],
        );
    }

    #[test]
    fn its_schema_is_plain() {
        let registry = crate::registry::Registry::new(vec![crate::kind::erase::<Plugins>()]);
        let spec = &registry.definitions()["dev.wharf.plugins.v1.PluginSpec"]["properties"];
        assert_eq!((&spec["order"]["type"], &spec["order"]["format"]), (&"integer".into(), &"int32".into()));
        assert_eq!(spec["match"]["$ref"], "#/definitions/dev.wharf.plugins.v1.PluginMatch");
        assert!(spec["match"]["description"].as_str().unwrap().starts_with("match says"));
        let whole = registry.definitions()["dev.wharf.plugins.v1.Plugin"].to_string();
        assert!(!whole.contains("null") && whole.contains("Plugin extends"), "{whole}");
    }
}
