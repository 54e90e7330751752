//! Server-side apply: a patch that says what its sender wants of an object, and owns what it says.

use http::{Response, StatusCode};
use serde_json::Value;
use wharf_api::DynObject;
use wharf_api::apply;
use wharf_api::decode::{decode_value, to_json};
use wharf_api::field::{Error, Path};
use wharf_api::status::ApiError;

use super::create::create_object;
use super::update::{Part, change};
use super::view;
use crate::Body;
use crate::ask::{Ask, WriteOptions};
use crate::http::respond;
use crate::managed::writer;

/// Between looking and creating, somebody else may create (or delete).
const TRIES: usize = 3;

pub(crate) async fn apply(ask: &Ask<'_>, body: &[u8], part: Part, options: &WriteOptions) -> Result<Response<Body>, ApiError> {
    if options.manager.is_empty() {
        let error = Error::required(&Path::new("fieldManager"), "is required for apply patch");
        return Err(ApiError::invalid("meta.k8s.io", "PatchOptions", "", vec![error]));
    }
    let options = WriteOptions { applied: true, ..options.clone() };
    let (config, warnings) = read(ask, body, &options)?;
    // Nothing is made through what stands behind an object.
    let creates = part == Part::Main && ask.path.subresource.is_empty();
    for _ in 0..TRIES {
        let result = if ask.shared.cache().get(&ask.key()).is_some() {
            let changed = change(ask, &options, part, |_, old| applied(ask, Some(old), &config, &options)).await;
            changed.map(|c| (StatusCode::OK, c.json))
        } else if creates {
            create(ask, &config, &options).await.map(|json| (StatusCode::CREATED, json))
        } else {
            Err(ask.not_found())
        };
        match result {
            Ok((status, json)) => {
                let mut response = view::json(ask, status, json)?;
                respond::warn(&mut response, &warnings);
                return Ok(response);
            }
            Err(error) if creates && (error.reason() == "AlreadyExists" || error.code() == 404 && is_own(ask, &error)) => {}
            Err(error) => return Err(error),
        }
    }
    Err(ApiError::modified(&ask.served.info().group, &ask.served.info().plural, &ask.path.name))
}

/// Whether it is this very object that was not found.
fn is_own(ask: &Ask<'_>, error: &ApiError) -> bool {
    error.status().details.as_ref().is_some_and(|d| d.kind == ask.served.info().plural && d.name == ask.path.name)
}

async fn create(ask: &Ask<'_>, config: &Value, options: &WriteOptions) -> Result<bytes::Bytes, ApiError> {
    crate::server::authorize_create(ask)?;
    let mut object = applied(ask, None, config, options)?;
    object.meta_mut().name = Some(ask.path.name.clone().into_owned());
    create_object(ask, object, options).await
}

/// The object that the configuration makes of the current one.
fn applied(ask: &Ask<'_>, old: Option<&dyn DynObject>, config: &Value, options: &WriteOptions) -> Result<Box<dyn DynObject>, ApiError> {
    let live = old.map(|o| o.to_value().map_err(|e| ApiError::internal(e.to_string()))).transpose()?;
    let mut merged = apply::apply(ask.served.resource(), live.as_ref(), config, &writer(ask, &options.manager), options.force)?;
    let version = live.as_ref().map(|l| l["metadata"]["resourceVersion"].clone());
    if version.as_ref() == Some(&merged["metadata"]["resourceVersion"])
        && let Some(meta) = merged.get_mut("metadata").and_then(Value::as_object_mut)
    {
        meta.remove("resourceVersion");
    }
    let mut object = decode_value(ask.served.resource(), &merged, wharf_api::decode::FieldValidation::Ignore)?.object;
    ask.served.kind().default(&mut *object);
    Ok(object)
}

/// The configuration, and what to warn of.
fn read(ask: &Ask<'_>, body: &[u8], options: &WriteOptions) -> Result<(Value, Vec<String>), ApiError> {
    let info = ask.served.info();
    let (json, _) = to_json(body, "application/apply-patch+yaml", &info.kind)?;
    let config: Value = serde_json::from_slice(&json).map_err(|e| ApiError::bad_request(format!("error decoding YAML: {e}")))?;
    let text = |pointer: &str| config.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (api_version, kind, name) = (text("/apiVersion"), text("/kind"), text("/metadata/name"));
    if !name.is_empty() && name != ask.path.name {
        return Err(ApiError::bad_request(format!("the name of the object ({name}) does not match the name on the URL ({})", ask.path.name)));
    }
    if api_version != info.api_version || kind != info.kind {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        return Err(ApiError::bad_request(format!("invalid object type: {group}/{version}, Kind={kind}")));
    }
    let decoded = ask.served.decode(body, "application/apply-patch+yaml", options.validation)?;
    Ok((config, decoded.warnings))
}
