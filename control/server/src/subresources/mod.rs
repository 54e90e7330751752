//! What stands behind objects, and the kinds that are asked but never stored.

pub(crate) mod binding;
mod component_status;
mod eviction;
pub(crate) mod node_proxy;
pub(crate) mod pod_proxy;
pub(crate) mod scale;
pub(crate) mod token;

use std::sync::Arc;

use ::http::request::Parts;
use ::http::{Method, Response};
use bytes::Bytes;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use wharf_api::DynObject;
use wharf_api::status::ApiError;

use crate::ask::{Ask, Warnings};
use crate::authz::reviews;
use crate::http::negotiate::{Endpoint, negotiate};
use crate::http::path::ResourcePath;
use crate::http::query::Query;
use crate::http::{body, respond};
use crate::server::Shared;
use crate::verbs::update::{Part, change};
use crate::verbs::{create, get, view};
use crate::{Body, Identity, usage};

/// Subresources with code of their own.
pub(crate) async fn other(ask: &Ask<'_>, verb: &str, request: Body) -> Result<Response<Body>, ApiError> {
    let info = ask.served.info();
    match (&*info.group, &*info.plural, ask.path.subresource, verb) {
        ("", "namespaces", "finalize", "update") => finalize(ask, body::read(request).await?).await,
        ("", "pods", "binding", "create") => binding::bind(ask, &body::read(request).await?).await,
        ("", "pods", "eviction", "create") => eviction::evict(ask, &body::read(request).await?).await,
        ("", "pods", "ephemeralcontainers" | "resize", "get") => get::get(ask).await,
        ("", "pods", "ephemeralcontainers" | "resize", "update") => crate::verbs::update::update(ask, body::read(request).await?, Part::Main).await,
        ("", "pods", "ephemeralcontainers" | "resize", "patch") => crate::verbs::patch::patch(ask, body::read(request).await?, Part::Main).await,
        ("", "serviceaccounts", "token", "create") => token::create(ask, &body::read(request).await?).await,
        ("", "pods", "log", "get") => node_proxy::log(ask).await,
        ("", "pods", "exec" | "attach" | "portforward", "get" | "create") => node_proxy::stream(ask, request).await,
        ("", "nodes", "proxy", _) => node_proxy::node_api(ask, request).await,
        ("", "pods", "proxy", _) => pod_proxy::pod(ask, request).await,
        ("", "services", "proxy", _) => pod_proxy::service(ask, request).await,
        ("certificates.k8s.io", _, "approval", "get") => get::get(ask).await,
        ("certificates.k8s.io", _, "approval", "patch") => crate::verbs::patch::patch(ask, body::read(request).await?, Part::Status).await,
        ("certificates.k8s.io", _, "approval", "update") => crate::verbs::update::update(ask, body::read(request).await?, Part::Status).await,
        _ => Err(ApiError::method_not_allowed()),
    }
}

/// Sets a namespace's `spec.finalizers`; the last one gone, a namespace that is being deleted goes.
async fn finalize(ask: &Ask<'_>, body: Bytes) -> Result<Response<Body>, ApiError> {
    let options = ask.write_options("UpdateOptions")?;
    let decoded = create::decode(ask, &body, &options)?;
    crate::verbs::update::check_name(ask, decoded.object.as_ref())?;
    let wanted = decoded.object.as_any().downcast_ref::<Namespace>().cloned().unwrap_or_default();
    let changed = change(ask, &options, Part::Whole, |_, old| {
        let mut new = old.as_any().downcast_ref::<Namespace>().cloned().unwrap_or_default();
        new.spec.get_or_insert_default().finalizers = wanted.spec.as_ref().and_then(|s| s.finalizers.clone()).filter(|f| !f.is_empty());
        new.metadata.resource_version.clone_from(&wanted.metadata.resource_version);
        Ok(Box::new(new) as Box<dyn DynObject>)
    })
    .await?;
    view::json(ask, ::http::StatusCode::OK, changed.json)
}

/// The Pod of a path.
pub(crate) fn pod(ask: &Ask<'_>) -> Result<Pod, ApiError> {
    let item = ask.shared.cache().get(&ask.key()).ok_or_else(|| ask.not_found())?;
    serde_json::from_slice(&item.json()).map_err(|e| ApiError::internal(e.to_string()))
}

/// Resources that are not stored: reviews of access and identity, and the legacy `bindings`.
pub(crate) async fn unstored(
    shared: &Arc<Shared>,
    identity: &Arc<Identity>,
    parts: &Parts,
    query: &Query<'_>,
    path: &ResourcePath<'_>,
    accept: Option<&str>,
    request: Body,
) -> Result<Response<Body>, ApiError> {
    let format = negotiate(accept, Endpoint::Plain).unwrap_or_default().format;
    let create = parts.method == Method::POST && path.name.is_empty();
    match (path.group, path.version, path.plural) {
        ("authorization.k8s.io" | "authentication.k8s.io", "v1", plural) if reviews::is_review(plural) => {
            // Only the local review is of a namespace; any other would be asked with the rights of one.
            if path.namespace.is_empty() == (plural == "localsubjectaccessreviews") {
                return Err(ApiError::no_such_resource());
            }
            if !create {
                return Err(ApiError::method_not_allowed());
            }
            let content_type = parts.headers.get(::http::header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
            let answer = reviews::review(shared, identity, path, content_type, &body::read(request).await?)?;
            Ok(respond::value(::http::StatusCode::CREATED, &answer, format))
        }
        ("", "v1", "bindings") if create && !path.namespace.is_empty() => {
            let bytes = body::read(request).await?;
            let served = shared.catalog.get("", "v1", "pods").ok_or_else(ApiError::no_such_resource)?;
            let name = binding::name_in(&bytes)?;
            let pod = ResourcePath { plural: "pods", name: name.into(), subresource: "binding", ..path.clone() };
            let accepted = negotiate(accept, Endpoint::Plain).unwrap_or_default();
            let warnings = Warnings::default();
            let ask = Ask { shared, identity, served: &served, path: &pod, query, parts, accepted, warnings: &warnings };
            let mut response = binding::bind(&ask, &bytes).await?;
            respond::warn(&mut response, &warnings.into_inner());
            Ok(response)
        }
        (usage::GROUP, usage::VERSION, _) => usage::answer(shared, &parts.method, query, path, accept).await,
        ("", "v1", "componentstatuses") if parts.method == Method::GET => component_status::answer(&path.name, accept),
        _ => Err(ApiError::no_such_resource()),
    }
}
