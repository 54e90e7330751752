//! `metrics.k8s.io/v1beta1`: what nodes and Pods use, from the nodes' own accounting. Nothing of it is stored.

mod scrape;
mod window;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use ::http::{Method, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use wharf_api::status::ApiError;
use wharf_store::Item;

pub(crate) use self::scrape::Usage;
use self::window::{Use, Window};
use crate::Body;
use crate::http::negotiate::{Accepted, Endpoint, View, negotiate};
use crate::http::path::ResourcePath;
use crate::http::query::Query;
use crate::http::respond;
use crate::selection::Selection;
use crate::server::Shared;

/// The group and version.
pub(crate) const GROUP: &str = "metrics.k8s.io";
/// Its only version.
pub(crate) const VERSION: &str = "v1beta1";

/// `nodes` and `pods`: a list, or one of them.
pub(crate) async fn answer(
    shared: &Arc<Shared>,
    method: &Method,
    query: &Query<'_>,
    path: &ResourcePath<'_>,
    accept: Option<&str>,
) -> Result<Response<Body>, ApiError> {
    let of = match path.plural {
        "nodes" if path.namespace.is_empty() => Of::Nodes,
        "pods" if !path.namespace.is_empty() || path.name.is_empty() => Of::Pods,
        _ => return Err(ApiError::no_such_resource()),
    };
    if !path.subresource.is_empty() {
        return Err(ApiError::no_such_resource());
    }
    if !matches!(*method, Method::GET | Method::HEAD) || query.flag("watch") {
        return Err(ApiError::method_not_allowed());
    }
    let accepted = negotiate(accept, Endpoint::Resource).unwrap_or_default();
    let served = shared.catalog.get("", "v1", path.plural).ok_or_else(ApiError::no_such_resource)?;
    let selection = Selection::of(query, &served, &path.name)?;
    let window = shared.usage.now(shared).await;
    let snapshot = shared.cache().snapshot(&served.storage);
    let prefix = served.prefix(&path.namespace);
    let items = snapshot.range(&prefix, None).filter(|item| selection.selects(&served, item));
    let mut found: Vec<Value> = items.filter_map(|item| of.measured(item, &window)).collect();
    if path.name.is_empty() {
        return Ok(show(of, found, None, &accepted));
    }
    let known = shared.cache().get(&wharf_store::key("", path.plural, &path.namespace, &path.name)).is_some();
    match found.pop() {
        Some(one) => Ok(show(of, Vec::new(), Some(one), &accepted)),
        // As metrics-server has it: what is not there is not found as itself, what was not measured yet is without metrics.
        None if !known => Err(ApiError::not_found("", path.plural, &path.name)),
        None if of == Of::Nodes => Err(ApiError::not_found(GROUP, "nodemetrics", &path.name)),
        None => Err(ApiError::not_found(GROUP, "podmetrics", &format!("{}/{}", path.namespace, path.name))),
    }
}

/// Whose use.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Nodes,
    Pods,
}

/// What of a node or Pod is shown with what it uses.
#[derive(Deserialize)]
struct Lean {
    metadata: Meta,
}

#[derive(Deserialize)]
struct Meta {
    name: String,
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default)]
    uid: String,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

impl Of {
    fn kind(self) -> &'static str {
        match self {
            Of::Nodes => "NodeMetrics",
            Of::Pods => "PodMetrics",
        }
    }

    /// A `NodeMetrics` or `PodMetrics`; `None` when nothing is known of the object.
    fn measured(self, item: &Item, window: &Window) -> Option<Value> {
        let Meta { name, namespace, uid, labels } = serde_json::from_slice::<Lean>(&item.json()).ok()?.metadata;
        let at = wharf_api::meta::whole_second(window.at).to_string();
        let mut one = json!({
            "kind": self.kind(), "apiVersion": format!("{GROUP}/{VERSION}"),
            "metadata": {"name": name, "creationTimestamp": at}, "timestamp": at, "window": go_duration(window.length),
        });
        if let Some(namespace) = namespace {
            one["metadata"]["namespace"] = namespace.into();
        }
        if let Some(labels) = labels {
            one["metadata"]["labels"] = json!(labels);
        }
        match self {
            Of::Nodes => one["usage"] = usage(*window.nodes.get(&name)?),
            Of::Pods => {
                let containers = window.pods.get(&uid)?.iter().map(|(name, used)| json!({"name": name, "usage": usage(*used)}));
                one["containers"] = containers.collect();
            }
        }
        Some(one)
    }
}

fn usage(used: Use) -> Value {
    json!({"cpu": cpu(used.nanocores), "memory": memory(used.bytes)})
}

fn cpu(nanocores: u64) -> String {
    if nanocores == 0 { "0".into() } else { format!("{nanocores}n") }
}

fn memory(bytes: u64) -> String {
    if bytes == 0 { "0".into() } else { format!("{}Ki", bytes.div_ceil(1024)) }
}

/// A list or one object, as itself or as a table.
fn show(of: Of, items: Vec<Value>, one: Option<Value>, accepted: &Accepted) -> Response<Body> {
    let value = match (accepted.view, one) {
        (View::Table, one) => table(&one.map_or(items, |one| vec![one])),
        (View::Metadata, Some(one)) => metadata(&one),
        (View::Metadata, None) => {
            let items: Vec<Value> = items.iter().map(metadata).collect();
            json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": {}, "items": items})
        }
        (_, Some(one)) => one,
        (_, None) => json!({"kind": format!("{}List", of.kind()), "apiVersion": format!("{GROUP}/{VERSION}"), "metadata": {}, "items": items}),
    };
    respond::value(StatusCode::OK, &value, accepted.format)
}

fn metadata(one: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": one["metadata"]})
}

fn table(items: &[Value]) -> Value {
    let column = |name: &str, format: &str| json!({"name": name, "type": "string", "format": format, "description": "", "priority": 0});
    let rows: Vec<Value> = items
        .iter()
        .map(|one| {
            let cells = json!([one["metadata"]["name"], total(one, "cpu"), total(one, "memory"), one["window"]]);
            json!({"cells": cells, "object": metadata(one)})
        })
        .collect();
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {}, "rows": rows,
        "columnDefinitions": [column("Name", "name"), column("cpu", "quantity"), column("memory", "quantity"), column("Window", "duration")],
    })
}

/// Over all containers.
fn total(one: &Value, resource: &str) -> String {
    let all = one["containers"].as_array().map_or_else(|| vec![&one["usage"]], |containers| containers.iter().map(|c| &c["usage"]).collect());
    let number = |text: &str| text.trim_end_matches(|c: char| !c.is_ascii_digit()).parse::<u64>().unwrap_or(0);
    let sum: u64 = all.iter().filter_map(|usage| usage[resource].as_str()).map(number).sum();
    if resource == "cpu" { cpu(sum) } else { memory(sum * 1024) }
}

/// As Go writes durations: `10.062s`, `1m5s`.
fn go_duration(length: Duration) -> String {
    let mut text = String::new();
    let (minutes, rest) = (length.as_secs() / 60, length - Duration::from_secs(length.as_secs() / 60 * 60));
    if minutes > 0 {
        let _ = write!(text, "{minutes}m");
    }
    let millis = rest.as_millis();
    let seconds = format!("{}.{:03}", millis / 1000, millis % 1000);
    let _ = write!(text, "{}s", seconds.trim_end_matches('0').trim_end_matches('.'));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sums() {
        for (millis, text) in [(0, "0s"), (1000, "1s"), (10_062, "10.062s"), (65_000, "1m5s"), (60_000, "1m0s")] {
            assert_eq!(go_duration(Duration::from_millis(millis)), text);
        }
        let usage = |cpu: u64, bytes: u64| json!({"usage": usage(Use { nanocores: cpu, bytes })});
        let pod = json!({"containers": [usage(1_000_000, 2048), usage(500, 1), usage(0, 0)]});
        assert_eq!((total(&pod, "cpu"), total(&pod, "memory")), ("1000500n".into(), "3Ki".into()));
        assert_eq!(total(&usage(0, 0), "memory"), "0");
    }
}
