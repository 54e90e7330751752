//! `expose`: a Service for what is there.

use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::flags::{MakeFlags, RecordFlag};
use crate::manifest::FileFlags;
use crate::selection::{Selection, must_fetch};
use crate::session::Session;

pub(super) const EXAMPLES: &str = "Examples:
  wharf expose deploy web --port=80 --target-port=8080
  wharf expose pod web --port=80 --name=front --type=NodePort
  wharf expose service web --port=443 --name=web-https";

/// What `expose` is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// TYPE NAME, or TYPE/NAME
    words: Vec<String>,
    #[command(flatten)]
    files: FileFlags,
    #[command(flatten)]
    make: MakeFlags,
    #[command(flatten)]
    record: RecordFlag,
    /// The port of the Service; otherwise those of what is exposed.
    #[arg(long, default_value = "", hide_default_value = true)]
    port: String,
    /// The port, or its name, of the containers.
    #[arg(long, default_value = "", hide_default_value = true)]
    target_port: String,
    /// TCP, UDP or SCTP.
    #[arg(long, default_value = "", hide_default_value = true)]
    protocol: String,
    /// ClusterIP, NodePort, LoadBalancer or ExternalName.
    #[arg(long, default_value = "", hide_default_value = true)]
    r#type: String,
    /// The name of the Service; otherwise that of what is exposed.
    #[arg(long, default_value = "", hide_default_value = true)]
    name: String,
    /// Which Pods; otherwise those of what is exposed.
    #[arg(long, default_value = "", hide_default_value = true)]
    selector: String,
    /// Labels of the Service.
    #[arg(long, short = 'l', default_value = "", hide_default_value = true)]
    labels: String,
    /// The address, or None for a headless Service.
    #[arg(long, default_value = "", hide_default_value = true)]
    cluster_ip: String,
    /// One more address that the Service accepts.
    #[arg(long, default_value = "", hide_default_value = true)]
    external_ip: String,
    /// The address of the load balancer.
    #[arg(long, default_value = "", hide_default_value = true)]
    load_balancer_ip: String,
    /// None or ClientIP.
    #[arg(long, default_value = "", hide_default_value = true)]
    session_affinity: String,
}

pub(super) fn labels(text: &str) -> Result<Map<String, Value>> {
    let mut map = Map::new();
    for pair in text.split(',').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or_else(|| Error::message(format!("unexpected label spec: {pair}")))?;
        map.insert(key.to_owned(), value.into());
    }
    Ok(map)
}

/// Does it.
pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<()> {
    let selection = Selection { words: arguments.words.clone(), files: arguments.files.clone(), ..Selection::default() };
    for info in must_fetch(session, &selection, false).await? {
        if !matches!(info.resource.kind.as_str(), "Pod" | "Service" | "ReplicationController" | "Deployment" | "ReplicaSet") {
            return Err(Error::message(format!("cannot expose a {}", crate::discovery::with_group(&info.resource.kind, &info.resource.group))));
        }
        let service = service(&arguments, &info.object, &info.name)?;
        let mut service = service;
        if session.explicit_namespace {
            service["metadata"]["namespace"] = session.namespace.clone().into();
        }
        let path = format!("/api/v1/namespaces/{}/services", info.namespace.as_deref().unwrap_or(&session.namespace));
        let made = arguments.make.create(session, &path, service, "kubectl-expose").await?;
        let mut printer = arguments.make.output.printer(crate::print::output::FORMS)?;
        crate::flags::tell(&mut printer, &made, "exposed", arguments.make.dry_run.read()?)?;
    }
    Ok(())
}

/// The labels of the Pods behind an object.
fn selector_of(object: &Value) -> Result<Map<String, Value>, String> {
    let wrong = |why: &str| Err(format!("couldn't retrieve selectors via --selector flag or introspection: {why}"));
    let kind = object["kind"].as_str().unwrap_or_default();
    let map = match kind {
        "Pod" => &object["metadata"]["labels"],
        "Service" | "ReplicationController" => &object["spec"]["selector"],
        _ => {
            if object["spec"]["selector"]["matchExpressions"].as_array().is_some_and(|e| !e.is_empty()) {
                return wrong(&format!(
                    "couldn't convert expressions - \"{}\" to map-based selector format",
                    crate::print::go(&object["spec"]["selector"]["matchExpressions"])
                ));
            }
            &object["spec"]["selector"]["matchLabels"]
        }
    };
    match map.as_object().filter(|map| !map.is_empty()) {
        Some(map) => Ok(map.clone()),
        None if kind == "Pod" => wrong("the pod has no labels and cannot be exposed"),
        None => wrong("the object has no pod selector"),
    }
}

/// Ports with their protocols.
fn ports_of(object: &Value) -> Vec<(i64, String)> {
    let containers = match object["kind"].as_str() {
        Some("Service") => {
            let ports = object["spec"]["ports"].as_array().into_iter().flatten();
            return ports.map(|p| (p["port"].as_i64().unwrap_or(0), p["protocol"].as_str().unwrap_or("TCP").to_owned())).collect();
        }
        Some("Pod") => &object["spec"]["containers"],
        _ => &object["spec"]["template"]["spec"]["containers"],
    };
    let ports = containers.as_array().into_iter().flatten().flat_map(|c| c["ports"].as_array().into_iter().flatten());
    ports.map(|p| (p["containerPort"].as_i64().unwrap_or(0), p["protocol"].as_str().unwrap_or("TCP").to_owned())).collect()
}

fn service(arguments: &Arguments, object: &Value, name: &str) -> Result<Value> {
    let selector = if arguments.selector.is_empty() { selector_of(object).map_err(Error::message)? } else { labels(&arguments.selector)? };
    let known = ports_of(object);
    let headless = arguments.cluster_ip == "None";
    let ports: Vec<String> = if arguments.port.is_empty() {
        known.iter().map(|(port, _)| port.to_string()).collect()
    } else {
        arguments.port.split(',').map(str::to_owned).collect()
    };
    if ports.is_empty() && !headless {
        return Err(Error::message("couldn't find port via --port flag or introspection"));
    }
    let mut list = Vec::new();
    for (at, text) in ports.iter().enumerate() {
        let port: i64 = text.parse().map_err(|_| Error::message(format!("strconv.Atoi: parsing {text:?}: invalid syntax")))?;
        let protocol = if !arguments.protocol.is_empty() {
            arguments.protocol.clone()
        } else {
            known.iter().find(|(known, _)| *known == port).map_or("TCP".to_owned(), |(_, protocol)| protocol.clone())
        };
        let target = match arguments.target_port.as_str() {
            "" => port.into(),
            text => text.parse::<i64>().map_or_else(|_| Value::from(text), Value::from),
        };
        let mut entry = json!({"port": port, "protocol": protocol, "targetPort": target});
        if ports.len() > 1 {
            entry["name"] = format!("port-{}", at + 1).into();
        }
        list.push(entry);
    }
    let labels = if arguments.labels.is_empty() { object["metadata"]["labels"].as_object().cloned().unwrap_or_default() } else { labels(&arguments.labels)? };
    let mut metadata = json!({"name": if arguments.name.is_empty() { name } else { &arguments.name }});
    if !labels.is_empty() {
        metadata["labels"] = labels.into();
    }
    let mut spec = json!({"selector": selector});
    if !list.is_empty() {
        spec["ports"] = list.into();
    }
    for (field, value) in [
        ("type", &arguments.r#type),
        ("clusterIP", &arguments.cluster_ip),
        ("loadBalancerIP", &arguments.load_balancer_ip),
        ("sessionAffinity", &arguments.session_affinity),
    ] {
        if !value.is_empty() {
            spec[field] = value.clone().into();
        }
    }
    if !arguments.external_ip.is_empty() {
        spec["externalIPs"] = json!([arguments.external_ip]);
    }
    Ok(json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec, "status": {"loadBalancer": {}}}))
}
