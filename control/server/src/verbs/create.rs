//! `create`: decode, default, admit, validate, write if absent.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use wharf_api::DynObject;
use wharf_api::decode::{Decoded, to_json};
use wharf_api::field::{Error, Path};
use wharf_api::meta::{fill_on_create, generate_name, validate_object_meta};
use wharf_api::status::{ApiError, Details};
use wharf_store::{Expect, Write, WriteError};

use super::{refused, view, write};
use crate::Body;
use crate::admission::{self, Admission, Operation};
use crate::ask::{Ask, WriteOptions};
use crate::http::respond;

/// How much of a body is shown in an error.
const SHOWN: usize = 1024;
/// How often a generated name is tried.
const NAME_TRIES: usize = 8;

pub(crate) async fn create(ask: &Ask<'_>, body: Bytes) -> Result<Response<Body>, ApiError> {
    let options = ask.write_options("CreateOptions")?;
    let Decoded { object, mut warnings } = decode(ask, &body, &options)?;
    warnings.extend(ask.served.kind().warnings(&*object));
    let json = create_object(ask, object, &options).await?;
    let mut response = view::json(ask, StatusCode::CREATED, json)?;
    respond::warn(&mut response, &warnings);
    Ok(response)
}

/// Reads a whole object out of a body, with its defaults. The body's `apiVersion` and `kind` may be missing, but not others.
pub(crate) fn decode(ask: &Ask<'_>, body: &[u8], options: &WriteOptions) -> Result<Decoded, ApiError> {
    check_type(ask, body)?;
    let mut decoded = ask.served.decode(body, ask.content_type(), options.validation)?;
    ask.served.kind().default(&mut *decoded.object);
    Ok(decoded)
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TypeMeta {
    api_version: Option<String>,
    kind: Option<String>,
}

fn check_type(ask: &Ask<'_>, body: &[u8]) -> Result<(), ApiError> {
    let info = ask.served.info();
    let (json, _) = to_json(body, ask.content_type(), &info.kind)?;
    // What cannot be read here is refused with better words when it is decoded.
    let Ok(found) = serde_json::from_slice::<TypeMeta>(&json) else { return Ok(()) };
    if info.custom {
        return check_custom_type(ask, &found, &json);
    }
    let version = found.api_version.filter(|v| !v.is_empty()).unwrap_or_else(|| info.api_version.clone().into_owned());
    let kind = found.kind.filter(|k| !k.is_empty()).unwrap_or_else(|| info.kind.clone().into_owned());
    if version == info.api_version && kind == info.kind {
        return Ok(());
    }
    let (group, short) = version.split_once('/').unwrap_or(("", &version));
    if ask.shared.catalog.now().registry.by_kind(group, short, &kind).is_none() {
        return Err(ApiError::bad_request(format!(
            "no kind {kind:?} is registered for version {version:?} in scheme \"k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30\""
        )));
    }
    if kind == info.kind {
        return Err(ApiError::bad_request(format!("the API version in the data ({version}) does not match the expected API version ({})", info.api_version)));
    }
    let internal = if info.group.is_empty() { "core" } else { info.group.split('.').next().unwrap_or_default() };
    Err(ApiError::bad_request(format!(
        "{kind} in version {short:?} cannot be handled as a {}: converting ({short}.{kind}) to ({internal}.{}): unknown conversion",
        info.kind, info.kind
    )))
}

/// Custom objects must say what they are.
fn check_custom_type(ask: &Ask<'_>, found: &TypeMeta, json: &[u8]) -> Result<(), ApiError> {
    let info = ask.served.info();
    let (version, kind) = (found.api_version.as_deref().unwrap_or_default(), found.kind.as_deref().unwrap_or_default());
    if kind.is_empty() {
        let shown: String = String::from_utf8_lossy(json).chars().take(SHOWN).collect();
        return Err(ApiError::bad_request(format!("Object 'Kind' is missing in '{shown}'")));
    }
    if version != info.api_version {
        return Err(ApiError::bad_request(format!("the API version in the data ({version}) does not match the expected API version ({})", info.api_version)));
    }
    if kind != info.kind {
        let error = Error::invalid(&Path::new("kind"), kind, format!("must be {}", info.kind));
        return Err(ApiError::invalid(&info.group, &info.kind, &ask.path.name, vec![error]));
    }
    Ok(())
}

/// The namespace of an object that was sent to a path, filled in or refused.
pub(crate) fn settle_namespace(ask: &Ask<'_>, meta: &mut ObjectMeta) -> Result<(), ApiError> {
    let namespace = ask.namespace();
    match meta.namespace.as_deref().unwrap_or_default() {
        "" if namespace.is_empty() => meta.namespace = None,
        "" => meta.namespace = Some(namespace.to_owned()),
        given if given == namespace => {}
        _ if !ask.served.info().namespaced() => {}
        _ => return Err(ApiError::bad_request("the namespace of the provided object does not match the namespace sent on the request")),
    }
    Ok(())
}

/// Everything behind the decoding. Returns the JSON of the new object.
pub(crate) async fn create_object(ask: &Ask<'_>, mut object: Box<dyn DynObject>, options: &WriteOptions) -> Result<Bytes, ApiError> {
    let (served, info) = (ask.served, ask.served.info());
    if served.terminating.load(std::sync::atomic::Ordering::Relaxed) {
        let words = "create not allowed while custom resource definition is terminating";
        let details = Details { group: info.group.to_string(), kind: info.plural.to_string(), ..Details::default() };
        return Err(ApiError::new(405, "MethodNotAllowed", words, Some(details)));
    }
    settle_namespace(ask, object.meta_mut())?;
    if object.meta().resource_version.as_deref().is_some_and(|v| !v.is_empty()) {
        return Err(ApiError::unknown("resourceVersion should not be set on objects to be created"));
    }
    let given_name = object.meta().name.clone().unwrap_or_default();
    let admission = Admission::of(ask, Operation::Create, &given_name);
    admission::mutate(&admission, &mut object, None).await?;
    served.kind().default(&mut *object);
    let prefix = object.meta().generate_name.clone().filter(|p| !p.is_empty() && given_name.is_empty());
    let now = Timestamp::now();
    fill_on_create(object.meta_mut(), uuid::Uuid::new_v4().to_string(), now);
    served.kind().prepare_create(&mut *object);
    served.kind().stamp(&mut *object, None, now);
    if object.meta().finalizers.as_ref().is_some_and(Vec::is_empty) {
        object.meta_mut().finalizers = None;
    }
    crate::managed::created(ask, &mut *object, options)?;
    let reservation = crate::services::allocate(ask, &mut *object, None)?;
    let check_name = |name: &str, prefix: bool| served.kind().validate_name(name, prefix);
    let mut errors = validate_object_meta(object.meta(), info.namespaced(), &check_name);
    errors.extend(served.kind().validate(&*object));
    if !errors.is_empty() {
        return Err(ApiError::invalid(&info.group, &info.kind, object.meta().name.as_deref().unwrap_or_default(), errors));
    }
    let named = Admission::of(ask, Operation::Create, object.meta().name.as_deref().unwrap_or_default());
    admission::validate(&named, Some(&*object), None).await?;
    for attempt in 1.. {
        let name = object.meta().name.clone().unwrap_or_default();
        let key = served.key(ask.namespace(), &name);
        if options.dry_run {
            if let Some(there) = ask.shared.cache().get(&key) {
                return Err(exists(ask, &name, &there));
            }
            return dry(&*object, "");
        }
        let value = served.encode(&*object)?;
        match write(ask.shared, served, Write { key, expect: Expect::Absent, value: Some(value) }).await {
            Ok(item) => {
                reservation.keep();
                return served.present(&item);
            }
            Err(WriteError::Exists(there)) => match &prefix {
                Some(prefix) if attempt < NAME_TRIES => object.meta_mut().name = Some(generate_name(prefix)),
                _ => return Err(exists(ask, &name, &there)),
            },
            Err(error) => return Err(refused(error, served, &name)),
        }
    }
    Err(ApiError::internal("no name was free"))
}

fn exists(ask: &Ask<'_>, name: &str, there: &Arc<wharf_store::Item>) -> ApiError {
    let info = ask.served.info();
    let deleting = ask.served.decode_stored(&there.json()).is_ok_and(|o| o.meta().deletion_timestamp.is_some());
    if deleting { ApiError::being_deleted(&info.group, &info.plural, name) } else { ApiError::already_exists(&info.group, &info.plural, name) }
}

/// The JSON of an object that is not written.
pub(crate) fn dry(object: &dyn DynObject, revision: &str) -> Result<Bytes, ApiError> {
    let mut copy = object.clone_box();
    copy.meta_mut().resource_version = (!revision.is_empty()).then(|| revision.to_owned());
    let mut json = Vec::with_capacity(1024);
    copy.encode(&mut json).map_err(|e| ApiError::internal(e.to_string()))?;
    Ok(json.into())
}
