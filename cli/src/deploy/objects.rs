//! What a function is to the cluster. Pure: a function in, objects out.

use std::collections::BTreeMap;

use base64::Engine as _;
use serde_json::{Value, json};

use crate::registry::Registry;

/// The label of what `wharf deploy` made, and its value.
pub(crate) const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "wharf-deploy");
/// The label that has the function's name.
pub(crate) const NAME: &str = "app.kubernetes.io/name";
/// The port that functions serve at.
const PORT: u16 = 8080;
/// Where files of configuration are looked for by `wasi:config`.
const CONFIG_FOLDER: &str = "/etc/config";

/// A function, as it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) host: String,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) config: BTreeMap<String, String>,
    pub(crate) secret: BTreeMap<String, String>,
    /// Of its image.
    pub(crate) digest: String,
}

impl Function {
    /// The repository of its images: that of its namespace, so that whoever may edit there may deploy.
    pub(crate) fn repository(&self) -> String {
        repository(&self.namespace, &self.name)
    }

    /// The tag that keeps an image: by it, what was deployed before can be told from what people push.
    pub(crate) fn tag(&self) -> String {
        tag(&self.digest)
    }

    /// The image, by digest: what runs is what was pushed.
    pub(crate) fn image(&self) -> String {
        format!("{}@{}", Registry::name(&self.repository()), self.digest)
    }

    fn labels(&self) -> Value {
        json!({NAME: self.name, MANAGED_BY.0: MANAGED_BY.1})
    }

    fn metadata(&self, name: &str, owner: Option<&str>) -> Value {
        let mut metadata = json!({"name": name, "namespace": self.namespace, "labels": self.labels()});
        if let Some(uid) = owner {
            metadata["ownerReferences"] =
                json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": self.name, "uid": uid, "controller": true, "blockOwnerDeletion": true}]);
        }
        metadata
    }

    /// The name of its ConfigMap, which changes with what is in it: old Pods keep what they were started with.
    pub(crate) fn config_name(&self) -> Option<String> {
        (!self.config.is_empty()).then(|| format!("{}-config-{}", self.name, fingerprint(&self.config)))
    }

    /// The name of its Secret, likewise.
    pub(crate) fn secret_name(&self) -> Option<String> {
        (!self.secret.is_empty()).then(|| format!("{}-secret-{}", self.name, fingerprint(&self.secret)))
    }

    /// The Deployment. Replicas are not said: they are one at first, and whoever scales it decides.
    ///
    /// Paused, it has no Pods yet: they would wait for their configuration, which cannot be owned before its owner is there.
    pub(crate) fn deployment(&self, paused: bool) -> Value {
        let env: Vec<Value> = self.env.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        let mut container = json!({"name": "function", "image": self.image(), "ports": [{"name": "http", "containerPort": PORT}], "env": env});
        let mut from = Vec::new();
        let mut volumes = Vec::new();
        if let Some(name) = self.config_name() {
            from.push(json!({"configMapRef": {"name": name}}));
            volumes.push(json!({"name": "config", "configMap": {"name": name}}));
            container["volumeMounts"] = json!([{"name": "config", "mountPath": CONFIG_FOLDER, "readOnly": true}]);
        }
        from.extend(self.secret_name().map(|name| json!({"secretRef": {"name": name}})));
        if !from.is_empty() {
            container["envFrom"] = Value::Array(from);
        }
        // Functions find Services by name. Links would be a copy of all the namespace's Services in the environment of each of them.
        let mut spec = json!({"containers": [container], "enableServiceLinks": false});
        if !volumes.is_empty() {
            spec["volumes"] = Value::Array(volumes);
        }
        let mut deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": self.metadata(&self.name, None),
            "spec": {
                "selector": {"matchLabels": self.labels()},
                // The new one answers before the old one ends.
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
                "template": {"metadata": {"labels": self.labels()}, "spec": spec},
            },
        });
        if paused {
            deployment["spec"]["paused"] = true.into();
        }
        deployment
    }

    /// ConfigMap and Secret, as far as there are any.
    pub(crate) fn configuration(&self, owner: &str) -> Vec<Value> {
        let mut objects = Vec::new();
        if let Some(name) = self.config_name() {
            objects
                .push(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": self.metadata(&name, Some(owner)), "immutable": true, "data": self.config}));
        }
        if let Some(name) = self.secret_name() {
            let encode = |text: &String| base64::engine::general_purpose::STANDARD.encode(text);
            let data: BTreeMap<&String, String> = self.secret.iter().map(|(key, value)| (key, encode(value))).collect();
            objects.push(
                json!({"apiVersion": "v1", "kind": "Secret", "metadata": self.metadata(&name, Some(owner)), "type": "Opaque", "immutable": true, "data": data}),
            );
        }
        objects
    }

    /// Service and Ingress: the way in.
    pub(crate) fn way_in(&self, owner: &str) -> Vec<Value> {
        let backend = json!({"service": {"name": self.name, "port": {"name": "http"}}});
        vec![
            json!({
                "apiVersion": "v1", "kind": "Service", "metadata": self.metadata(&self.name, Some(owner)),
                "spec": {"selector": self.labels(), "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
            }),
            json!({
                "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": self.metadata(&self.name, Some(owner)),
                "spec": {"rules": [{"host": self.host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]},
            }),
        ]
    }
}

/// `default/hello`
pub(crate) fn repository(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

/// `deploy-3f2a9c01b7e4`
pub(crate) fn tag(digest: &str) -> String {
    format!("deploy-{}", digest.trim_start_matches("sha256:").chars().take(12).collect::<String>())
}

/// Of what is in a ConfigMap: the same gives the same, everywhere.
fn fingerprint(content: &BTreeMap<String, String>) -> String {
    // FNV-1a: this is about change, not about secrecy; a Secret's name must not tell more of it than that.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in content.iter().flat_map(|(key, value)| [key.as_bytes(), b"\0", value.as_bytes(), b"\0"]).flatten() {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("{:08x}", (hash >> 32) ^ (hash & 0xffff_ffff))
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn function() -> Function {
        Function {
            name: "hello".into(),
            namespace: "team".into(),
            host: "hello.team.localhost".into(),
            env: BTreeMap::from([("LEVEL".into(), "debug".into())]),
            config: BTreeMap::from([("greeting".into(), "Hi".into())]),
            secret: BTreeMap::from([("TOKEN".into(), "s3cret".into())]),
            digest: format!("sha256:{}", "3f".repeat(32)),
        }
    }

    #[test]
    fn what_a_function_is() {
        let function = function();
        let mut objects = vec![function.deployment(true)];
        objects.extend(function.configuration("u-i-d"));
        objects.extend(function.way_in("u-i-d"));
        let yaml: Vec<String> = objects.iter().map(|object| serde_yaml::to_string(object).unwrap()).collect();
        expect![[r#"
            apiVersion: apps/v1
            kind: Deployment
            metadata:
              labels:
                app.kubernetes.io/managed-by: wharf-deploy
                app.kubernetes.io/name: hello
              name: hello
              namespace: team
            spec:
              paused: true
              selector:
                matchLabels:
                  app.kubernetes.io/managed-by: wharf-deploy
                  app.kubernetes.io/name: hello
              strategy:
                rollingUpdate:
                  maxSurge: 1
                  maxUnavailable: 0
                type: RollingUpdate
              template:
                metadata:
                  labels:
                    app.kubernetes.io/managed-by: wharf-deploy
                    app.kubernetes.io/name: hello
                spec:
                  containers:
                  - env:
                    - name: LEVEL
                      value: debug
                    envFrom:
                    - configMapRef:
                        name: hello-config-9f0996af
                    - secretRef:
                        name: hello-secret-6fa2aa94
                    image: registry.wharf.local/team/hello@sha256:3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f
                    name: function
                    ports:
                    - containerPort: 8080
                      name: http
                    volumeMounts:
                    - mountPath: /etc/config
                      name: config
                      readOnly: true
                  enableServiceLinks: false
                  volumes:
                  - configMap:
                      name: hello-config-9f0996af
                    name: config
            ---
            apiVersion: v1
            data:
              greeting: Hi
            immutable: true
            kind: ConfigMap
            metadata:
              labels:
                app.kubernetes.io/managed-by: wharf-deploy
                app.kubernetes.io/name: hello
              name: hello-config-9f0996af
              namespace: team
              ownerReferences:
              - apiVersion: apps/v1
                blockOwnerDeletion: true
                controller: true
                kind: Deployment
                name: hello
                uid: u-i-d
            ---
            apiVersion: v1
            data:
              TOKEN: czNjcmV0
            immutable: true
            kind: Secret
            metadata:
              labels:
                app.kubernetes.io/managed-by: wharf-deploy
                app.kubernetes.io/name: hello
              name: hello-secret-6fa2aa94
              namespace: team
              ownerReferences:
              - apiVersion: apps/v1
                blockOwnerDeletion: true
                controller: true
                kind: Deployment
                name: hello
                uid: u-i-d
            type: Opaque
            ---
            apiVersion: v1
            kind: Service
            metadata:
              labels:
                app.kubernetes.io/managed-by: wharf-deploy
                app.kubernetes.io/name: hello
              name: hello
              namespace: team
              ownerReferences:
              - apiVersion: apps/v1
                blockOwnerDeletion: true
                controller: true
                kind: Deployment
                name: hello
                uid: u-i-d
            spec:
              ports:
              - name: http
                port: 80
                targetPort: http
              selector:
                app.kubernetes.io/managed-by: wharf-deploy
                app.kubernetes.io/name: hello
            ---
            apiVersion: networking.k8s.io/v1
            kind: Ingress
            metadata:
              labels:
                app.kubernetes.io/managed-by: wharf-deploy
                app.kubernetes.io/name: hello
              name: hello
              namespace: team
              ownerReferences:
              - apiVersion: apps/v1
                blockOwnerDeletion: true
                controller: true
                kind: Deployment
                name: hello
                uid: u-i-d
            spec:
              rules:
              - host: hello.team.localhost
                http:
                  paths:
                  - backend:
                      service:
                        name: hello
                        port:
                          name: http
                    path: /
                    pathType: Prefix
        "#]]
        .assert_eq(&yaml.join("---\n"));
    }

    #[test]
    fn no_configuration_no_objects() {
        let function = Function { config: BTreeMap::new(), secret: BTreeMap::new(), ..function() };
        assert!(function.configuration("u").is_empty());
        let spec = &function.deployment(false)["spec"];
        assert!(spec.get("paused").is_none() && spec["template"]["spec"].get("volumes").is_none());
        assert_eq!(function.tag(), "deploy-3f3f3f3f3f3f");
    }

    #[test]
    fn names_follow_what_is_in_them() {
        let (one, mut other) = (function(), function());
        assert_eq!(one.config_name(), other.config_name());
        other.config.insert("greeting".into(), "Ho".into());
        assert_ne!(one.config_name(), other.config_name());
        assert_eq!(one.secret_name(), other.secret_name());
    }
}
