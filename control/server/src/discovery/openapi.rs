//! OpenAPI v2 and v3, made when first asked for and kept.

use std::collections::HashMap;
use std::sync::Arc;

use ::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH, VARY};
use ::http::request::Parts;
use ::http::{Response, StatusCode};
use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use wharf_api::openapi;
use wharf_api::registry::Registry;
use wharf_api::status::ApiError;

use super::{etag, hash, openapi_protobuf};
use crate::Body;
use crate::http::negotiate::Format;
use crate::http::respond;
use crate::server::Shared;

/// Documents by path. Groups and versions are few, and other paths are not kept.
#[derive(Default)]
pub(crate) struct OpenApi(Mutex<HashMap<String, (Bytes, HeaderValue)>>);

const V2: &str = "/openapi/v2";
/// Not a path: where its other form is kept.
const V2_PROTOBUF: &str = "/openapi/v2 in protobuf";
const V3: &str = "/openapi/v3";

/// Answers a path below `/openapi`.
pub(crate) async fn answer(shared: &Arc<Shared>, parts: &Parts, path: &str, accept: Option<&str>) -> Result<Response<Body>, ApiError> {
    let accept = accept.unwrap_or_default();
    let protobuf = path == V2 && accept.contains("proto-openapi.spec.v2") && accept.contains("+protobuf");
    let json = accept.is_empty() || ["json", "*/*", "application/*"].iter().any(|t| accept.contains(t));
    if !protobuf && !json {
        return Err(ApiError::not_acceptable(&["application/json"]));
    }
    let path = if protobuf { V2_PROTOBUF } else { path };
    let kinds = shared.catalog.now();
    let known = kinds.discovery.openapi.0.lock().get(path).cloned();
    let (document, tag) = match known {
        Some(known) => known,
        None => {
            let (of, version, wanted) = (kinds.clone(), shared.config.version.clone(), path.to_owned());
            let made = tokio::task::spawn_blocking(move || make(&of.registry, &version, &wanted)).await.map_err(|e| ApiError::internal(e.to_string()))?;
            let Some(document) = made else { return Ok(respond::text(StatusCode::NOT_FOUND, "404 page not found\n")) };
            let known = (document.clone(), etag(&document));
            kinds.discovery.openapi.0.lock().insert(path.to_owned(), known.clone());
            known
        }
    };
    let asked = crate::http::query::Query::parse(parts.uri.query());
    if parts.headers.get(IF_NONE_MATCH) == Some(&tag) {
        return Ok(respond::not_modified(tag));
    }
    let mut response = respond::bytes(StatusCode::OK, document, Format::Json);
    let headers = response.headers_mut();
    if protobuf {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(openapi_protobuf::MEDIA_TYPE));
    }
    headers.insert(ETAG, tag);
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    if asked.has("hash") {
        // The address names the content, so that it never changes.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
    }
    Ok(response)
}

fn make(registry: &Registry, version: &str, path: &str) -> Option<Bytes> {
    let value = match path {
        V2_PROTOBUF => return Some(openapi_protobuf::encode(&openapi::v2(registry, version)).into()),
        V2 => openapi::v2(registry, version),
        V3 => {
            // What a document says follows from the program and its kinds, and from the schemas of those that are defined.
            let link = |group_version: &String| {
                let kinds = registry.resources().iter().filter(|r| !r.info().custom || r.info().api_version == group_version.trim_start_matches("apis/"));
                let kinds: Vec<String> = kinds.map(|r| format!("{}{}", r.definition, r.said())).collect();
                let hash = hash(format!("{version} {group_version} {}", kinds.join(" ")).as_bytes());
                (group_version.clone(), json!({"serverRelativeURL": format!("{V3}/{group_version}?hash={hash}")}))
            };
            let paths: Map<String, Value> = openapi::group_versions(registry).iter().map(link).collect();
            json!({"paths": paths})
        }
        _ => openapi::v3(registry, path.strip_prefix(V3)?.trim_matches('/'), version)?,
    };
    Some(value.to_string().into())
}
