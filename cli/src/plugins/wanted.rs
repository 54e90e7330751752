//! From a Plugin object, and the ConfigMaps and Secrets that it names, to what the host is told. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use wharf_api::kinds::plugin::{Plugin, PluginKeyReference};
use wharf_plugin_host::host::{FetchError, ImageRequest};
use wharf_plugin_host::{Grants, Settings, Wanted};

/// Namespace and name.
pub(crate) type Key = (String, String);

/// An object that plugins refer to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reference {
    ConfigMap(Key),
    Secret(Key),
}

/// What is known of those objects; `None`: there is no such object.
#[derive(Default)]
pub(crate) struct Referenced {
    pub(crate) config_maps: BTreeMap<Key, Option<ConfigMap>>,
    pub(crate) secrets: BTreeMap<Key, Option<Secret>>,
}

/// What a plugin refers to.
pub(crate) fn references(plugin: &Plugin) -> Vec<Reference> {
    let key = |r: &PluginKeyReference| (r.namespace.clone(), r.name.clone());
    let mut all = Vec::new();
    for from in plugin.spec.config.iter().flatten().filter_map(|value| value.value_from.as_ref()) {
        all.extend(from.config_map_key_ref.as_ref().map(|r| Reference::ConfigMap(key(r))));
        all.extend(from.secret_key_ref.as_ref().map(|r| Reference::Secret(key(r))));
    }
    for secret in plugin.spec.image_pull_secrets.iter().flatten() {
        all.push(Reference::Secret((secret.namespace.clone().unwrap_or_default(), secret.name.clone().unwrap_or_default())));
    }
    all
}

/// What the host is told of a plugin.
pub(crate) fn wanted(plugin: &Plugin, known: &Referenced) -> Wanted {
    let spec = &plugin.spec;
    let credentials = spec.image_pull_secrets.iter().flatten().filter_map(|secret| {
        let key = (secret.namespace.clone().unwrap_or_default(), secret.name.clone().unwrap_or_default());
        known.secrets.get(&key)?.as_ref()?.data.as_ref()?.get(".dockerconfigjson").map(|bytes| bytes.0.clone())
    });
    let image = ImageRequest {
        image: spec.image.clone(),
        pull_policy: spec.image_pull_policy.clone().unwrap_or_else(|| "IfNotPresent".to_owned()),
        credentials: credentials.collect(),
    };
    Wanted { generation: plugin.metadata.generation.unwrap_or_default(), image, settings: settings(plugin, known) }
}

fn settings(plugin: &Plugin, known: &Referenced) -> Result<Settings, FetchError> {
    let spec = &plugin.spec;
    let bad = |message: String| FetchError { reason: "InvalidConfig".to_owned(), message };
    let mut config = Vec::new();
    for value in spec.config.iter().flatten() {
        let found = match &value.value_from {
            None => Some(value.value.clone().unwrap_or_default()),
            Some(from) => match (&from.config_map_key_ref, &from.secret_key_ref) {
                (Some(reference), _) => from_config_map(reference, known).map_err(bad)?,
                (None, Some(reference)) => from_secret(reference, known).map_err(bad)?,
                (None, None) => None,
            },
        };
        config.extend(found.map(|found| (value.name.clone(), found)));
    }
    let grants = spec.grants.clone().unwrap_or_default();
    let memory = spec.memory_limit.as_ref().and_then(|q| q.0.parse::<wharf_api::quantity::Quantity>().ok()).map_or(64 << 20, |q| q.value());
    Ok(Settings {
        name: plugin.metadata.name.clone().unwrap_or_default(),
        world: spec.world.parse().map_err(bad)?,
        config,
        grants: Grants {
            http: grants.http.unwrap_or_default(),
            logging: grants.logging.unwrap_or_default(),
            environment: grants.environment.unwrap_or_default(),
        },
        timeout: Duration::from_secs(spec.timeout_seconds.and_then(|s| u64::try_from(s).ok()).unwrap_or(10)),
        memory: usize::try_from(memory).unwrap_or(64 << 20),
    })
}

fn from_config_map(reference: &PluginKeyReference, known: &Referenced) -> Result<Option<String>, String> {
    let PluginKeyReference { namespace, name, key, .. } = reference;
    let map = known.config_maps.get(&(namespace.clone(), name.clone())).and_then(Option::as_ref);
    let value = map.and_then(|map| map.data.as_ref()).and_then(|data| data.get(key)).cloned();
    there("configmap", map.is_some(), value, reference)
}

fn from_secret(reference: &PluginKeyReference, known: &Referenced) -> Result<Option<String>, String> {
    let PluginKeyReference { namespace, name, key, .. } = reference;
    let secret = known.secrets.get(&(namespace.clone(), name.clone())).and_then(Option::as_ref);
    let value = secret.and_then(|secret| secret.data.as_ref()).and_then(|data| data.get(key));
    let value = value.map(|bytes| String::from_utf8(bytes.0.clone())).transpose();
    let value = value.map_err(|_| format!("key {key} in secret {namespace}/{name} is no text"))?;
    there("secret", secret.is_some(), value, reference)
}

fn there(kind: &str, object: bool, value: Option<String>, reference: &PluginKeyReference) -> Result<Option<String>, String> {
    let PluginKeyReference { namespace, name, key, optional } = reference;
    match value {
        None if !optional.unwrap_or_default() && object => Err(format!("couldn't find key {key} in {kind} {namespace}/{name}")),
        None if !optional.unwrap_or_default() => Err(format!("{kind} \"{namespace}/{name}\" not found")),
        value => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn plugin(config: serde_json::Value) -> Plugin {
        serde_json::from_value(json!({"metadata": {"name": "p", "generation": 2}, "spec": {
            "image": "x", "world": "admission", "memoryLimit": "8Mi", "timeoutSeconds": 3, "config": config,
            "imagePullSecrets": [{"namespace": "n", "name": "registry"}],
        }}))
        .unwrap()
    }

    fn known() -> Referenced {
        let map = json!({"data": {"a": "from a map"}});
        let secret = json!({"data": {"a": "ZnJvbSBhIHNlY3JldA==", "b": "/w==", ".dockerconfigjson": "e30="}});
        let key = |name: &str| ("n".to_owned(), name.to_owned());
        Referenced {
            config_maps: [(key("m"), serde_json::from_value(map).unwrap()), (key("gone"), None)].into(),
            secrets: [(key("s"), serde_json::from_value(secret.clone()).unwrap()), (key("registry"), serde_json::from_value(secret).unwrap())].into(),
        }
    }

    #[test]
    fn values_come_from_where_they_are() {
        let all = json!([
            {"name": "1", "value": "inline"},
            {"name": "2", "valueFrom": {"configMapKeyRef": {"namespace": "n", "name": "m", "key": "a"}}},
            {"name": "3", "valueFrom": {"secretKeyRef": {"namespace": "n", "name": "s", "key": "a"}}},
            {"name": "4", "valueFrom": {"configMapKeyRef": {"namespace": "n", "name": "gone", "key": "a", "optional": true}}},
        ]);
        let plugin = plugin(all);
        let wanted = wanted(&plugin, &known());
        let settings = wanted.settings.unwrap();
        let pairs: Vec<String> = settings.config.iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(pairs, ["1=inline", "2=from a map", "3=from a secret"]);
        assert_eq!((settings.memory, settings.timeout, wanted.generation), (8 << 20, Duration::from_secs(3), 2));
        assert_eq!(wanted.image.credentials, [b"{}"]);
        assert_eq!(references(&plugin).len(), 4);
    }

    #[test]
    fn what_is_missing_is_named() {
        for (config, words) in [
            (json!({"configMapKeyRef": {"namespace": "n", "name": "m", "key": "z"}}), "couldn't find key z in configmap n/m"),
            (json!({"configMapKeyRef": {"namespace": "n", "name": "gone", "key": "z"}}), "configmap \"n/gone\" not found"),
            (json!({"secretKeyRef": {"namespace": "n", "name": "unseen", "key": "z"}}), "secret \"n/unseen\" not found"),
            (json!({"secretKeyRef": {"namespace": "n", "name": "s", "key": "b"}}), "key b in secret n/s is no text"),
        ] {
            let wanted = wanted(&plugin(json!([{"name": "v", "valueFrom": config}])), &known());
            assert_eq!(wanted.settings.unwrap_err().message, words);
        }
    }
}
