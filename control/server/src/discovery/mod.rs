//! What the server can do, and how it is: discovery, version, health, OpenAPI, metrics, the token issuer's public side.

mod documents;
pub(crate) mod openapi;
mod openapi_protobuf;

use std::collections::BTreeMap;
use std::sync::Arc;

use ::http::header::{ACCEPT, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH, VARY};
use ::http::request::Parts;
use ::http::{Method, Response, StatusCode};
use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest, Sha512};
use wharf_api::registry::Registry;
use wharf_api::status::ApiError;

use crate::Body;
use crate::authn::tokens::ISSUER;
use crate::http::negotiate::{Endpoint, View, negotiate};
use crate::http::path::RequestInfo;
use crate::http::respond;
use crate::server::Shared;
use openapi::OpenApi;

/// Documents that are made once for the kinds that there are.
pub(crate) struct Discovery {
    /// Path (without a slash at the end) → JSON.
    documents: BTreeMap<String, Bytes>,
    /// Aggregated discovery of `/api` and `/apis`.
    aggregated: BTreeMap<&'static str, Bytes>,
    version: Bytes,
    openapi: OpenApi,
}

impl Discovery {
    pub(crate) fn new(registry: &Registry, version: &str) -> Discovery {
        let groups = documents::groups(registry);
        let mut all = BTreeMap::new();
        let mut put = |path: String, value: Value| {
            all.insert(path, Bytes::from(value.to_string()));
        };
        put(
            "/api".into(),
            json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": ""}]}),
        );
        let named: Vec<&documents::Group> = groups.iter().filter(|g| !g.name.is_empty()).collect();
        put("/apis".into(), json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": named.iter().map(|g| g.legacy()).collect::<Vec<_>>()}));
        for group in &groups {
            if !group.name.is_empty() {
                let mut one = group.legacy();
                one["kind"] = "APIGroup".into();
                one["apiVersion"] = "v1".into();
                put(format!("/apis/{}", group.name), one);
            }
            for version in &group.versions {
                let path = if group.name.is_empty() { format!("/api/{}", version.name) } else { format!("/apis/{}/{}", group.name, version.name) };
                put(path, version.legacy(&group.name));
            }
        }
        let aggregated = BTreeMap::from([
            ("/api", documents::aggregated(groups.iter().filter(|g| g.name.is_empty()))),
            ("/apis", documents::aggregated(groups.iter().filter(|g| !g.name.is_empty()))),
        ]);
        Discovery { documents: all, aggregated, version: documents::version(version).to_string().into(), openapi: OpenApi::default() }
    }

    /// The non-resource paths, as `/` shows them.
    fn paths(&self) -> Vec<String> {
        let mut paths: Vec<String> = self.documents.keys().cloned().collect();
        paths.extend(["/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz", "/version"].map(str::to_owned));
        paths.sort();
        paths
    }
}

/// Answers every path that is no resource.
pub(crate) fn answer(shared: &Arc<Shared>, parts: &Parts, info: &RequestInfo<'_>, accept: Option<&str>) -> Result<Response<Body>, ApiError> {
    let kinds = shared.catalog.now();
    let discovery = &kinds.discovery;
    let path = if info.path == "/" { "/" } else { info.path.trim_end_matches('/') };
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        return Err(ApiError::method_not_allowed());
    }
    if let Some(check) = path.strip_prefix("/healthz").or_else(|| path.strip_prefix("/livez")).or_else(|| path.strip_prefix("/readyz")) {
        return Ok(health(shared, parts, path, check));
    }
    if let Some(document) = discovery.documents.get(path) {
        let accepted = negotiate(accept, Endpoint::Discovery).ok_or_else(|| ApiError::not_acceptable(&["application/json", "application/yaml"]))?;
        if let (View::Discovery, Some(aggregated)) = (accepted.view, discovery.aggregated.get(path)) {
            return Ok(aggregate(parts, aggregated));
        }
        let mut response = respond::bytes(StatusCode::OK, document.clone(), accepted.format);
        response.headers_mut().insert(VARY, HeaderValue::from_name(ACCEPT));
        return Ok(response);
    }
    let format = negotiate(accept, Endpoint::Plain).unwrap_or_default().format;
    match path {
        "/" => Ok(respond::value(StatusCode::OK, &json!({"paths": discovery.paths()}), format)),
        "/version" => Ok(respond::bytes(StatusCode::OK, discovery.version.clone(), format)),
        "/metrics" => Ok(metrics(shared)),
        "/openid/v1/jwks" => {
            let mut response = respond::value(StatusCode::OK, &shared.tokens.key_set(), format);
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json"));
            Ok(response)
        }
        "/.well-known/openid-configuration" => {
            let value = json!({
                "issuer": ISSUER, "jwks_uri": format!("https://{}/openid/v1/jwks", shared.config.advertise),
                "response_types_supported": ["id_token"], "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["ES256"],
            });
            Ok(respond::value(StatusCode::OK, &value, format))
        }
        _ => Ok(respond::text(StatusCode::NOT_FOUND, "404 page not found\n")),
    }
}

fn aggregate(parts: &Parts, document: &Bytes) -> Response<Body> {
    let tag = etag(document);
    if parts.headers.get(IF_NONE_MATCH).is_some_and(|v| v.as_bytes() == tag.as_bytes()) {
        return respond::not_modified(tag);
    }
    let mut response = respond::bytes(StatusCode::OK, document.clone(), crate::http::negotiate::Format::Json);
    let kind = HeaderValue::from_static("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response.headers_mut().insert(ETAG, tag);
    response.headers_mut().insert(VARY, HeaderValue::from_name(ACCEPT));
    response
}

/// A quoted hash.
pub(crate) fn etag(document: &[u8]) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{}\"", hash(document))).unwrap_or(HeaderValue::from_static("\"\""))
}

pub(crate) fn hash(document: &[u8]) -> String {
    hex::encode_upper(Sha512::digest(document))
}

/// The checks, all of them passed as soon as requests are answered; a stopping server is no longer ready.
fn health(shared: &Shared, parts: &Parts, path: &str, check: &str) -> Response<Body> {
    const CHECKS: [&str; 5] = ["ping", "log", "etcd", "poststarthook/rbac/bootstrap-roles", "poststarthook/start-kube-apiserver-admission-initializer"];
    let stopping = path.starts_with("/readyz") && shared.stopping.is_cancelled();
    let status = if stopping { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK };
    if let Some(one) = check.strip_prefix('/') {
        return if CHECKS.contains(&one) { respond::text(StatusCode::OK, "ok") } else { respond::text(StatusCode::NOT_FOUND, "404 page not found\n") };
    }
    let query = crate::http::query::Query::parse(parts.uri.query());
    if !query.has("verbose") && !stopping {
        return respond::text(status, "ok");
    }
    let mut lines: Vec<String> = CHECKS.iter().map(|c| format!("[+]{c} ok")).collect();
    if path.starts_with("/readyz") {
        lines.push(if stopping { "[-]shutdown failed: reason withheld".into() } else { "[+]shutdown ok".into() });
    }
    let name = path.trim_start_matches('/');
    lines.push(format!("{name} check {}", if stopping { "failed" } else { "passed" }));
    respond::text(status, lines.join("\n") + "\n")
}

fn metrics(shared: &Shared) -> Response<Body> {
    let cache = shared.cache();
    let mut objects: Vec<(String, usize)> = cache.resources().into_iter().map(|r| (r.clone(), cache.snapshot(&r).len())).collect();
    objects.sort();
    let named = objects.into_iter().map(|(resource, count)| {
        let (group, plural) = resource.split_once('/').unwrap_or(("", &resource));
        (if group == "core" { plural.to_owned() } else { format!("{plural}.{group}") }, count)
    });
    let mut response = respond::text(StatusCode::OK, shared.metrics.text(&named.collect::<Vec<_>>()) + &shared.config.plugins.metrics());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    response
}
