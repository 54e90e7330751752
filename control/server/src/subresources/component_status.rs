//! `componentstatuses`: how the control plane's parts are, deprecated since 1.19 and still asked for. Nothing of it is stored; whoever gets
//! an answer talks to the process that all parts are in, and which ends with any of them.

use ::http::{Response, StatusCode};
use serde_json::{Value, json};
use wharf_api::status::ApiError;

use crate::Body;
use crate::http::negotiate::{Endpoint, View, negotiate};
use crate::http::respond;

const WARNING: &str = "v1 ComponentStatus is deprecated in v1.19+";

/// The list, or the part of that name.
pub(super) fn answer(name: &str, accept: Option<&str>) -> Result<Response<Body>, ApiError> {
    let accepted = negotiate(accept, Endpoint::Resource).unwrap_or_default();
    let mut items: Vec<Value> = ["scheduler", "controller-manager", "etcd-0"].into_iter().filter(|part| name.is_empty() || name == *part).map(status).collect();
    let value = match (accepted.view, items.len()) {
        (_, 0) => return Err(ApiError::not_found("", "componentstatuses", name)),
        (View::Table, _) => table(&items),
        (_, 1) if !name.is_empty() => items.remove(0),
        _ => json!({"kind": "ComponentStatusList", "apiVersion": "v1", "metadata": {}, "items": items}),
    };
    let mut response = respond::value(StatusCode::OK, &value, accepted.format);
    respond::warn(&mut response, &[WARNING.to_owned()]);
    Ok(response)
}

fn status(name: &str) -> Value {
    json!({
        "kind": "ComponentStatus", "apiVersion": "v1", "metadata": {"name": name},
        "conditions": [{"type": "Healthy", "status": "True", "message": "ok"}],
    })
}

fn table(items: &[Value]) -> Value {
    let column = |name: &str, format: &str| json!({"name": name, "type": "string", "format": format, "description": "", "priority": 0});
    let rows: Vec<Value> = items
        .iter()
        .map(|one| {
            let meta = json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": one["metadata"]});
            json!({"cells": [one["metadata"]["name"], "Healthy", "ok", ""], "object": meta})
        })
        .collect();
    let columns = [column("Name", "name"), column("Status", ""), column("Message", ""), column("Error", "")];
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {}, "rows": rows, "columnDefinitions": columns})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_by_name() {
        assert!(answer("", None).is_ok());
        assert_eq!(answer("etcd-0", None).unwrap().headers()["warning"], format!("299 - \"{WARNING}\""));
        assert_eq!(answer("etcd-1", None).unwrap_err().code(), 404);
        let table = table(&[status("scheduler")]);
        assert_eq!(table["rows"][0]["cells"], json!(["scheduler", "Healthy", "ok", ""]));
    }
}
