//! Services and Ingresses.

use serde_json::{Map, Value, json};

use super::{New, one_name};
use crate::error::{Error, Result};

/// `create service`
#[derive(Debug, clap::Subcommand)]
pub(super) enum Service {
    /// Create a ClusterIP service
    Clusterip(Ports),
    /// Create a NodePort service
    Nodeport(Ports),
    /// Create a LoadBalancer service
    Loadbalancer(Ports),
    /// Create an ExternalName service
    Externalname(Ports),
}

/// What a service is made of.
#[derive(Debug, clap::Args)]
pub(super) struct Ports {
    name: Vec<String>,
    /// PORT or PORT:TARGETPORT; may be repeated.
    #[arg(long, value_delimiter = ',')]
    tcp: Vec<String>,
    /// The address, or None for a headless service.
    #[arg(long, default_value = "", hide_default_value = true)]
    clusterip: String,
    /// The port on each node.
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    node_port: i64,
    /// The name that this service stands for.
    #[arg(long, default_value = "", hide_default_value = true)]
    external_name: String,
}

impl Service {
    pub(super) fn object(&self) -> Result<New> {
        let (kind, ports) = match self {
            Service::Clusterip(ports) => ("ClusterIP", ports),
            Service::Nodeport(ports) => ("NodePort", ports),
            Service::Loadbalancer(ports) => ("LoadBalancer", ports),
            Service::Externalname(ports) => ("ExternalName", ports),
        };
        let name = one_name(&ports.name)?;
        if kind == "ExternalName" {
            super::required(&[("external-name", !ports.external_name.is_empty())])?;
        }
        if ports.tcp.is_empty() && ports.clusterip != "None" && kind != "ExternalName" {
            return Err(Error::message("at least one tcp port specifier must be provided"));
        }
        let mut spec = json!({"type": kind, "selector": {"app": name}});
        let mut list = Vec::new();
        for text in &ports.tcp {
            let (port, target) = text.split_once(':').unwrap_or((text, text));
            let port: u16 = port.parse().map_err(|_| Error::message(format!("strconv.Atoi: parsing {port:?}: invalid syntax")))?;
            let target = target.parse::<u16>().map_or_else(|_| Value::from(target), Value::from);
            let mut entry = json!({"name": text.replace(':', "-"), "port": port, "protocol": "TCP", "targetPort": target});
            if kind == "NodePort" && ports.node_port > 0 {
                entry["nodePort"] = ports.node_port.into();
            }
            list.push(entry);
        }
        if !list.is_empty() {
            spec["ports"] = list.into();
        }
        if !ports.clusterip.is_empty() && kind == "ClusterIP" {
            spec["clusterIP"] = ports.clusterip.clone().into();
        }
        if kind == "ExternalName" {
            spec["externalName"] = ports.external_name.clone().into();
        }
        let object =
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec, "status": {"loadBalancer": {}}});
        Ok(New::namespaced("services", object))
    }
}

/// `create ingress`
#[derive(Debug, clap::Args)]
pub(super) struct Ingress {
    name: Vec<String>,
    /// HOST/PATH=SERVICE:PORT[,tls[=SECRET]]; a path that ends in * means all below it.
    #[arg(long)]
    rule: Vec<String>,
    /// The class of the ingress.
    #[arg(long)]
    class: Option<String>,
    /// The service of what no rule matches, as SERVICE:PORT.
    #[arg(long, default_value = "", hide_default_value = true)]
    default_backend: String,
    /// KEY=VALUE; may be repeated.
    #[arg(long)]
    annotation: Vec<String>,
}

fn backend(text: &str) -> Result<Value> {
    let (service, port) = text.split_once(':').ok_or_else(|| Error::message(format!("backend {text} should be in form service:port")))?;
    let port = port.parse::<u16>().map_or_else(|_| json!({"name": port}), |number| json!({"number": number}));
    Ok(json!({"service": {"name": service, "port": port}}))
}

impl Ingress {
    pub(super) fn object(&self) -> Result<New> {
        let name = one_name(&self.name)?;
        if self.rule.is_empty() && self.default_backend.is_empty() {
            return Err(Error::message(
                "not enough information provided: every ingress has to either specify a default-backend (which catches all traffic) or a list of rules (which catch specific paths)",
            ));
        }
        let mut spec = Map::new();
        if let Some(class) = &self.class {
            spec.insert("ingressClassName".into(), class.clone().into());
        }
        if !self.default_backend.is_empty() {
            spec.insert("defaultBackend".into(), backend(&self.default_backend)?);
        }
        let (mut rules, mut tls): (Vec<Value>, Vec<Value>) = (Vec::new(), Vec::new());
        for rule in &self.rule {
            let wrong = || Error::message(format!("rule {rule} is invalid and should be in format host/path=svcname:svcport[,tls[=secret]]"));
            let (place, rest) = rule.split_once('=').ok_or_else(wrong)?;
            let (service, secret) = rest.split_once(',').map_or((rest, None), |(service, secret)| (service, Some(secret)));
            let (host, path) = place.split_once('/').ok_or_else(wrong)?;
            let path = format!("/{path}");
            let (path, kind) = match path.strip_suffix('*') {
                Some(prefix) => (prefix.to_owned(), "Prefix"),
                None => (path, "Exact"),
            };
            let entry = json!({"path": path, "pathType": kind, "backend": backend(service)?});
            match rules.iter_mut().find(|r| r["host"].as_str().unwrap_or_default() == host) {
                Some(existing) => existing["http"]["paths"].as_array_mut().into_iter().for_each(|paths| paths.push(entry.clone())),
                None if host.is_empty() => rules.push(json!({"http": {"paths": [entry]}})),
                None => rules.push(json!({"host": host, "http": {"paths": [entry]}})),
            }
            if let Some(secret) = secret {
                let named = secret.strip_prefix("tls").ok_or_else(wrong)?.strip_prefix('=').unwrap_or_default();
                let mut entry = json!({});
                if !host.is_empty() {
                    entry["hosts"] = json!([host]);
                }
                if !named.is_empty() {
                    entry["secretName"] = named.into();
                }
                tls.push(entry);
            }
        }
        for (field, list) in [("rules", rules), ("tls", tls)] {
            if !list.is_empty() {
                spec.insert(field.into(), list.into());
            }
        }
        let mut metadata = json!({"name": name});
        for annotation in &self.annotation {
            let (key, value) =
                annotation.split_once('=').ok_or_else(|| Error::message(format!("annotation {annotation} is invalid and should be in format key=[value]")))?;
            metadata["annotations"][key] = value.into();
        }
        Ok(New::namespaced(
            "ingresses",
            json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata, "spec": spec, "status": {"loadBalancer": {}}}),
        ))
    }
}
