//! One object or many, as the client wants to see them: itself, a table, or only metadata.

use bytes::Bytes;
use http::{Response, StatusCode};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use wharf_api::DynObject;
use wharf_api::status::ApiError;
use wharf_api::table::{Column, Now};
use wharf_store::Item;

use crate::Body;
use crate::ask::Ask;
use crate::catalog::Served;
use crate::http::negotiate::View;
use crate::http::respond;

/// One stored object.
pub(crate) fn item(ask: &Ask<'_>, status: StatusCode, item: &Item) -> Result<Response<Body>, ApiError> {
    json(ask, status, ask.served.present(item)?)
}

/// One object as JSON of its own kind.
pub(crate) fn json(ask: &Ask<'_>, status: StatusCode, json: Bytes) -> Result<Response<Body>, ApiError> {
    let shown = one(ask.served, ask.accepted.view, ask.query.get("includeObject"), &json)?.map_or(json, Bytes::from);
    Ok(respond::bytes(status, shown, ask.accepted.format))
}

/// One object in another view than its own; `None` where its own is asked for.
pub(crate) fn one(served: &Served, view: View, include: &str, json: &[u8]) -> Result<Option<Vec<u8>>, ApiError> {
    match view {
        View::Object | View::Discovery => Ok(None),
        View::Metadata => Ok(Some(metadata(json)?)),
        View::Table => {
            let object = served.kind().decode(json).map_err(|e| ApiError::internal(e.to_string()))?;
            let version = object.meta().resource_version.clone().unwrap_or_default();
            let mut table = table_head(served, json!({"resourceVersion": version}), true);
            table["rows"] = Value::Array(vec![row(served, &*object, json, include)?]);
            Ok(Some(table.to_string().into_bytes()))
        }
    }
}

/// A `PartialObjectMetadata` of an object's JSON.
pub(crate) fn metadata(json: &[u8]) -> Result<Vec<u8>, ApiError> {
    #[derive(Deserialize)]
    struct Only<'a> {
        #[serde(borrow)]
        metadata: &'a RawValue,
    }
    let only: Only<'_> = serde_json::from_slice(json).map_err(|e| ApiError::internal(e.to_string()))?;
    Ok(format!(r#"{{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{}}}"#, only.metadata.get()).into_bytes())
}

/// A table without rows.
pub(crate) fn table_head(served: &Served, metadata: Value, columns: bool) -> Value {
    let columns: Vec<Value> = if columns { served.kind().columns().iter().map(column).collect() } else { Vec::new() };
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "columnDefinitions": columns, "rows": []})
}

fn column(c: &Column) -> Value {
    json!({"name": c.name, "type": c.kind, "format": c.format, "description": c.description, "priority": c.priority})
}

/// One row. `include` is the query parameter `includeObject`: `Metadata` (also when empty), `Object` or `None`.
pub(crate) fn row(served: &Served, object: &dyn DynObject, json: &[u8], include: &str) -> Result<Value, ApiError> {
    let cells = served.kind().row(object, Now(Timestamp::now()));
    let tree = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).map_err(|e| ApiError::internal(e.to_string()));
    let shown = match include {
        "None" => Value::Null,
        "Object" => tree(json)?,
        "" | "Metadata" => tree(&metadata(json)?)?,
        other => {
            let at = wharf_api::field::Path::new("includeObject");
            let error = wharf_api::field::Error::not_supported(&at, other, &["None", "Metadata", "Object"]);
            return Err(ApiError::invalid("meta.k8s.io", "TableOptions", "", vec![error]));
        }
    };
    Ok(json!({"cells": cells, "object": shown}))
}
