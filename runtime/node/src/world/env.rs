//! A container's environment: Service links, `envFrom`, `env` with its references, in the kubelet's order and with its errors.

use std::collections::{BTreeMap, HashMap};

use k8s_openapi::api::core::v1::{Container, EnvVarSource, Pod};

use super::downward::{self, PodFacts};
use super::expand::expand;

/// ConfigMaps and Secrets of the Pod's namespace, as far as its containers name them. A name that is looked up and is not here does not exist.
#[derive(Debug, Default)]
pub struct Sources {
    /// ConfigMaps by name.
    pub config_maps: HashMap<String, BTreeMap<String, String>>,
    /// Secrets by name; values that are not UTF-8 are replaced character by character, as nothing else can stand in an environment.
    pub secrets: HashMap<String, BTreeMap<String, String>>,
}

/// A Service, as far as its links need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceLink {
    /// `metadata.name`.
    pub name: String,
    /// ClusterIP.
    pub ip: String,
    /// Ports: name, number, protocol (`TCP`, …).
    pub ports: Vec<(String, u16, String)>,
}

/// Names of the ConfigMaps and Secrets that a container's environment needs.
pub fn needs(container: &Container) -> (Vec<&str>, Vec<&str>) {
    let (mut config_maps, mut secrets) = (vec![], vec![]);
    for from in container.env_from.iter().flatten() {
        config_maps.extend(from.config_map_ref.iter().map(|r| r.name.as_str()));
        secrets.extend(from.secret_ref.iter().map(|r| r.name.as_str()));
    }
    for source in container.env.iter().flatten().filter_map(|e| e.value_from.as_ref()) {
        config_maps.extend(source.config_map_key_ref.iter().map(|r| r.name.as_str()));
        secrets.extend(source.secret_key_ref.iter().map(|r| r.name.as_str()));
    }
    (config_maps, secrets)
}

/// The environment. `own` are the Pod's namespace's Services (none when `enableServiceLinks` is false), `kubernetes` is `default/kubernetes`.
/// An error is the message of `CreateContainerConfigError`.
pub fn environment(
    pod: &Pod,
    container: &Container,
    facts: &PodFacts,
    sources: &Sources,
    own: &[ServiceLink],
    kubernetes: Option<&ServiceLink>,
) -> Result<Vec<(String, String)>, String> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let mut services = Vars::default();
    for link in kubernetes.into_iter().chain(own) {
        links(link, &mut services);
    }
    let mut vars = Vars::default();
    for from in container.env_from.iter().flatten() {
        let prefix = from.prefix.as_deref().unwrap_or_default();
        let (kind, name, optional, found) = if let Some(r) = &from.config_map_ref {
            ("configmap", &r.name, r.optional, sources.config_maps.get(&r.name))
        } else if let Some(r) = &from.secret_ref {
            ("secret", &r.name, r.optional, sources.secrets.get(&r.name))
        } else {
            continue;
        };
        match found {
            Some(data) => data.iter().for_each(|(k, v)| vars.set(format!("{prefix}{k}"), v.clone())),
            None if optional == Some(true) => {}
            None => return Err(format!("{kind} \"{name}\" not found")),
        }
    }
    for env in container.env.iter().flatten() {
        let value = match (&env.value, &env.value_from) {
            (Some(value), None) => Some(expand(value, |name| vars.get(name).or_else(|| services.get(name)))),
            (_, Some(source)) => reference(pod, container, facts, sources, namespace, source)?,
            (None, None) => Some(String::new()),
        };
        if let Some(value) = value {
            vars.set(env.name.clone(), value);
        }
    }
    for (name, value) in services.list {
        if vars.get(&name).is_none() {
            vars.set(name, value);
        }
    }
    Ok(vars.list)
}

/// One environment of several: names in the order of their first appearance, the last value of each.
pub fn merged(all: impl Iterator<Item = (String, String)>) -> Vec<(String, String)> {
    let mut vars = Vars::default();
    all.for_each(|(name, value)| vars.set(name, value));
    vars.list
}

/// The value of a `valueFrom`; `None` for an optional one that does not exist.
fn reference(pod: &Pod, container: &Container, facts: &PodFacts, sources: &Sources, namespace: &str, source: &EnvVarSource) -> Result<Option<String>, String> {
    if let Some(selector) = &source.field_ref {
        return downward::field(pod, facts, selector).map(Some);
    }
    if let Some(selector) = &source.resource_field_ref {
        return downward::resource(pod, Some(container), facts, selector).map(Some);
    }
    let (low, kind, name, key, optional, found) = if let Some(r) = &source.config_map_key_ref {
        ("configmap", "ConfigMap", &r.name, &r.key, r.optional, sources.config_maps.get(&r.name))
    } else if let Some(r) = &source.secret_key_ref {
        ("secret", "Secret", &r.name, &r.key, r.optional, sources.secrets.get(&r.name))
    } else {
        return Err("no source of the value is given that this node knows".to_owned());
    };
    let optional = optional == Some(true);
    match found {
        None if optional => Ok(None),
        None => Err(format!("{low} \"{name}\" not found")),
        Some(data) => match data.get(key) {
            Some(value) => Ok(Some(value.clone())),
            None if optional => Ok(None),
            None => Err(format!("couldn't find key {key} in {kind} {namespace}/{name}")),
        },
    }
}

/// `{NAME}_SERVICE_HOST` and its relations.
fn links(service: &ServiceLink, out: &mut Vars) {
    let upper = |s: &str| s.replace('-', "_").to_uppercase();
    let (name, ip) = (upper(&service.name), &service.ip);
    let Some((_, first, first_protocol)) = service.ports.first() else { return };
    let host = if ip.contains(':') { format!("[{ip}]") } else { ip.clone() };
    let url = |port: u16, protocol: &str| format!("{}://{host}:{port}", protocol.to_lowercase());
    out.set(format!("{name}_SERVICE_HOST"), ip.clone());
    out.set(format!("{name}_SERVICE_PORT"), first.to_string());
    for (port_name, port, _) in service.ports.iter().filter(|(n, ..)| !n.is_empty()) {
        out.set(format!("{name}_SERVICE_PORT_{}", upper(port_name)), port.to_string());
    }
    out.set(format!("{name}_PORT"), url(*first, first_protocol));
    for (_, port, protocol) in &service.ports {
        let prefix = format!("{name}_PORT_{port}_{}", protocol.to_uppercase());
        out.set(prefix.clone(), url(*port, protocol));
        out.set(format!("{prefix}_PROTO"), protocol.to_lowercase());
        out.set(format!("{prefix}_PORT"), port.to_string());
        out.set(format!("{prefix}_ADDR"), ip.clone());
    }
}

/// Variables in the order of their first appearance; the last value wins.
#[derive(Default)]
struct Vars {
    list: Vec<(String, String)>,
    index: HashMap<String, usize>,
}

impl Vars {
    fn get(&self, name: &str) -> Option<&str> {
        self.index.get(name).map(|&i| self.list[i].1.as_str())
    }
    fn set(&mut self, name: String, value: String) {
        match self.index.get(&name) {
            Some(&i) => self.list[i].1 = value,
            None => {
                self.index.insert(name.clone(), self.list.len());
                self.list.push((name, value));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(env: serde_json::Value, want: Expect) {
        let pod: Pod = serde_json::from_value(serde_json::json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": {"containers": []}})).unwrap();
        let mut container: Container = serde_json::from_value(env).unwrap();
        container.name = "c".into();
        let map = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>();
        let sources =
            Sources { config_maps: [("cm".to_owned(), map(&[("A", "1"), ("B", "2")]))].into(), secrets: [("s".to_owned(), map(&[("PASS", "hidden")]))].into() };
        let got = match environment(&pod, &container, &downward::tests::facts(), &sources, &[], None) {
            Ok(vars) => vars.iter().map(|(k, v)| format!("{k}={v}\n")).collect(),
            Err(e) => format!("error: {e}\n"),
        };
        want.assert_eq(&got);
    }

    #[test]
    fn what_is_said_last_stands_where_it_was_said_first() {
        let all = [("PATH", "/bin"), ("HOSTNAME", "web"), ("PATH", "/app")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(merged(all.into_iter()), [("PATH".to_owned(), "/app".to_owned()), ("HOSTNAME".to_owned(), "web".to_owned())]);
    }

    #[test]
    fn plain_and_expanded() {
        check(
            serde_json::json!({"name": "", "env": [
                {"name": "X", "value": "1"}, {"name": "Y", "value": "$(X)-$(Z)-$$(X)"}, {"name": "Z", "value": "3"}, {"name": "X", "value": "9"}, {"name": "E"}]}),
            expect![[r#"
                X=9
                Y=1-$(Z)-$(X)
                Z=3
                E=
            "#]],
        );
    }

    #[test]
    fn references() {
        check(
            serde_json::json!({"name": "", "envFrom": [{"prefix": "P_", "configMapRef": {"name": "cm"}}, {"secretRef": {"name": "none", "optional": true}}], "env": [
                {"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "A"}}},
                {"name": "O", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "none", "optional": true}}},
                {"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "PASS"}}},
                {"name": "P_B", "value": "$(P_A)$(N)"}]}),
            expect![[r#"
                P_A=1
                P_B=1web
                N=web
                A=1
                S=hidden
            "#]],
        );
    }

    #[test]
    fn what_is_missing() {
        for (value_from, want) in [
            (
                serde_json::json!({"configMapKeyRef": {"name": "no", "key": "A"}}),
                expect![[r#"
                error: configmap "no" not found
            "#]],
            ),
            (
                serde_json::json!({"secretKeyRef": {"name": "no", "key": "A"}}),
                expect![[r#"
                error: secret "no" not found
            "#]],
            ),
            (
                serde_json::json!({"secretKeyRef": {"name": "s", "key": "no"}}),
                expect![[r#"
                error: couldn't find key no in Secret shop/s
            "#]],
            ),
            (
                serde_json::json!({"configMapKeyRef": {"name": "cm", "key": "no"}}),
                expect![[r#"
                error: couldn't find key no in ConfigMap shop/cm
            "#]],
            ),
        ] {
            check(serde_json::json!({"name": "", "env": [{"name": "X", "valueFrom": value_from}]}), want);
        }
        check(
            serde_json::json!({"name": "", "envFrom": [{"configMapRef": {"name": "no"}}]}),
            expect![[r#"
            error: configmap "no" not found
        "#]],
        );
    }

    #[test]
    fn service_links() {
        let mut vars = Vars::default();
        let service = ServiceLink {
            name: "redis-primary".into(),
            ip: "10.96.0.11".into(),
            ports: vec![("client".into(), 6379, "TCP".into()), (String::new(), 53, "UDP".into())],
        };
        links(&service, &mut vars);
        expect![[r#"
            REDIS_PRIMARY_SERVICE_HOST=10.96.0.11
            REDIS_PRIMARY_SERVICE_PORT=6379
            REDIS_PRIMARY_SERVICE_PORT_CLIENT=6379
            REDIS_PRIMARY_PORT=tcp://10.96.0.11:6379
            REDIS_PRIMARY_PORT_6379_TCP=tcp://10.96.0.11:6379
            REDIS_PRIMARY_PORT_6379_TCP_PROTO=tcp
            REDIS_PRIMARY_PORT_6379_TCP_PORT=6379
            REDIS_PRIMARY_PORT_6379_TCP_ADDR=10.96.0.11
            REDIS_PRIMARY_PORT_53_UDP=udp://10.96.0.11:53
            REDIS_PRIMARY_PORT_53_UDP_PROTO=udp
            REDIS_PRIMARY_PORT_53_UDP_PORT=53
            REDIS_PRIMARY_PORT_53_UDP_ADDR=10.96.0.11"#]]
        .assert_eq(&vars.list.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join("\n"));
    }
}
