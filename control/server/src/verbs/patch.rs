//! `patch`: JSON patch, merge patch, strategic merge patch, and server-side apply.

use bytes::Bytes;
use http::{Response, StatusCode};
use parking_lot::Mutex;
use serde_json::Value;
use wharf_api::DynObject;
use wharf_api::decode::decode_value;
use wharf_api::patch;
use wharf_api::status::ApiError;
use wharf_api::types::{Type, Types};

use super::update::{Part, change, check_name};
use super::view;
use crate::Body;
use crate::ask::{Ask, WriteOptions};
use crate::http::respond;

/// The media types of patches.
const ACCEPTED: [&str; 4] =
    ["application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json", "application/apply-patch+yaml"];

/// A patch, read.
pub(crate) enum Patch {
    Json(Value),
    Merge(Value),
    Strategic(Value),
    Apply,
}

impl Patch {
    /// Reads the body as its media type says.
    pub(crate) fn read(ask: &Ask<'_>, body: &[u8]) -> Result<Patch, ApiError> {
        let tree = || patch::parse(body);
        let custom = ask.served.info().custom;
        match ask.content_type().split(';').next().unwrap_or_default().trim() {
            "application/json-patch+json" => Ok(Patch::Json(tree()?)),
            "application/merge-patch+json" => Ok(Patch::Merge(tree()?)),
            "application/strategic-merge-patch+json" if !custom => Ok(Patch::Strategic(tree()?)),
            "application/apply-patch+yaml" => Ok(Patch::Apply),
            // Only of a type is it known how its lists are merged.
            _ if custom => Err(ApiError::unsupported_media_type(&[ACCEPTED[0], ACCEPTED[1], ACCEPTED[3]])),
            _ => Err(ApiError::unsupported_media_type(&ACCEPTED)),
        }
    }

    /// The patched tree of an object of that type.
    pub(crate) fn apply(&self, types: &Types, ty: &Type, old: &Value) -> Result<Value, ApiError> {
        match self {
            Patch::Json(p) => patch::json_patch(old, p),
            Patch::Merge(p) => patch::merge_patch(old, p),
            Patch::Strategic(p) => patch::strategic_merge(types, ty, old, p),
            Patch::Apply => Err(ApiError::unsupported_media_type(&ACCEPTED[..3])),
        }
    }
}

pub(crate) async fn patch(ask: &Ask<'_>, body: Bytes, part: Part) -> Result<Response<Body>, ApiError> {
    let options = ask.write_options("PatchOptions")?;
    let patch = Patch::read(ask, &body)?;
    if matches!(patch, Patch::Apply) {
        return super::apply::apply(ask, &body, part, &options).await;
    }
    if options.force {
        let error = wharf_api::field::Error::forbidden(&wharf_api::field::Path::new("force"), "may not be specified for non-apply patch");
        return Err(ApiError::invalid("meta.k8s.io", "PatchOptions", "", vec![error]));
    }
    let warnings = Mutex::new(Vec::new());
    let changed = change(ask, &options, part, |_, old| {
        let (object, warned) = patched(ask, &patch, &options, old)?;
        *warnings.lock() = warned;
        Ok(object)
    })
    .await?;
    let mut response = view::json(ask, StatusCode::OK, changed.json)?;
    respond::warn(&mut response, &warnings.into_inner());
    Ok(response)
}

fn patched(ask: &Ask<'_>, patch: &Patch, options: &WriteOptions, old: &dyn DynObject) -> Result<(Box<dyn DynObject>, Vec<String>), ApiError> {
    let failed = |e: serde_json::Error| ApiError::internal(e.to_string());
    let before = old.to_value().map_err(failed)?;
    let version = before["metadata"]["resourceVersion"].clone();
    let resource = ask.served.resource();
    let mut after = patch.apply(&resource.types, &resource.ty, &before)?;
    // Only a patch that names a version depends on it.
    if after["metadata"]["resourceVersion"] == version
        && let Some(meta) = after.get_mut("metadata").and_then(Value::as_object_mut)
    {
        meta.remove("resourceVersion");
    }
    let decoded = decode_value(ask.served.resource(), &after, options.validation)?;
    let mut object = decoded.object;
    check_name(ask, object.as_ref())?;
    ask.served.kind().default(&mut *object);
    Ok((object, decoded.warnings))
}
