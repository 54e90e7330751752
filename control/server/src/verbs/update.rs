//! `update`, and what every change of an object has in common with it: read, change, admit, validate, compare and swap.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use wharf_api::DynObject;
use wharf_api::decode::Decoded;
use wharf_api::field::Errors;
use wharf_api::kinds::pod::validate_ephemeral_containers;
use wharf_api::meta::{keep_on_update, validate_object_meta_update};
use wharf_api::status::ApiError;
use wharf_store::{Expect, Item, NewValue, Write, WriteError};

use super::create::{self, settle_namespace};
use super::{parse_revision, refused, view, write};
use crate::Body;
use crate::admission::{self, Admission, Operation};
use crate::ask::{Ask, WriteOptions};
use crate::http::respond;

/// How often a change is tried again that does not say of which version it is.
const TRIES: usize = 8;

/// Which part of an object a change may touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All but the status.
    Main,
    /// Only the status.
    Status,
    /// Everything: subresources that have checked it themselves.
    Whole,
}

/// What came of a change.
pub(crate) struct Changed {
    pub(crate) json: Bytes,
}

pub(crate) async fn update(ask: &Ask<'_>, body: Bytes, part: Part) -> Result<Response<Body>, ApiError> {
    let options = ask.write_options("UpdateOptions")?;
    let Decoded { object, warnings } = create::decode(ask, &body, &options)?;
    check_name(ask, object.as_ref())?;
    let name = &*ask.path.name;
    let info = ask.served.info();
    let given = object.meta().resource_version.clone().unwrap_or_default();
    if ask.shared.cache().get(&ask.key()).is_none() {
        if !info.allow_create_on_update || part != Part::Main {
            return Err(ask.not_found());
        }
        if !given.is_empty() && given != "0" {
            return Err(ApiError::modified(&info.group, &info.plural, name));
        }
        let mut object = object;
        object.meta_mut().name = Some(name.to_owned());
        object.meta_mut().resource_version = None;
        let create = Ask { ..*ask };
        crate::server::authorize_create(&create)?;
        let json = create::create_object(&create, object, &options).await?;
        let mut response = view::json(ask, StatusCode::CREATED, json)?;
        respond::warn(&mut response, &warnings);
        return Ok(response);
    }
    if given.is_empty() && !info.allow_unconditional_update && part == Part::Main {
        let at = wharf_api::field::Path::new("metadata.resourceVersion");
        let error = wharf_api::field::Error::invalid(&at, 0_i64, "must be specified for an update");
        return Err(ApiError::invalid(&info.group, &info.kind, name, vec![error]));
    }
    let changed = change(ask, &options, part, |_, _| Ok(object.clone_box())).await?;
    let mut response = view::json(ask, StatusCode::OK, changed.json)?;
    respond::warn(&mut response, &warnings);
    Ok(response)
}

/// The name in the object is that in the path.
pub(crate) fn check_name(ask: &Ask<'_>, object: &dyn DynObject) -> Result<(), ApiError> {
    let (given, name) = (object.meta().name.as_deref().unwrap_or_default(), &*ask.path.name);
    if given.is_empty() || given == name {
        return Ok(());
    }
    Err(ApiError::bad_request(format!("the name of the object ({given}) does not match the name on the URL ({name})")))
}

/// Changes an object. `make` gets the current version and returns the new one, whole and with defaults; its `resourceVersion`,
/// when it has one, must be the current one's.
pub(crate) async fn change<F>(ask: &Ask<'_>, options: &WriteOptions, part: Part, make: F) -> Result<Changed, ApiError>
where
    F: Fn(&Item, &dyn DynObject) -> Result<Box<dyn DynObject>, ApiError> + Send + Sync,
{
    let (served, info) = (ask.served, ask.served.info());
    let name = &*ask.path.name;
    let key = ask.key();
    for attempt in 1.. {
        let item = ask.shared.cache().get(&key).ok_or_else(|| ask.not_found())?;
        let old = served.decode_stored(&item.json())?;
        let mut new = make(&item, &*old)?;
        let conditional = conditional(new.as_ref(), &item, ask)?;
        if let Some(only) = narrowed(ask.path.subresource, &*new, &*old) {
            new = only;
        }
        let given_uid = new.meta().uid.clone().unwrap_or_default();
        let old_uid = old.meta().uid.clone().unwrap_or_default();
        if !given_uid.is_empty() && given_uid != old_uid {
            let why = format!("Precondition failed: UID in precondition: {given_uid}, UID in object meta: {old_uid}");
            return Err(ApiError::conflict(&info.group, &info.plural, name, why));
        }
        settle(ask, new.as_mut(), old.as_ref(), &item)?;
        let admission = Admission::of(ask, Operation::Update, name);
        admission::mutate(&admission, &mut new, Some(&*old)).await?;
        served.kind().default(&mut *new);
        match part {
            Part::Main => served.kind().prepare_update(&mut *new, &*old),
            Part::Status => served.kind().prepare_status_update(&mut *new, &*old),
            Part::Whole => {}
        }
        served.kind().stamp(&mut *new, Some(&*old), Timestamp::now());
        crate::managed::updated(ask, &mut *new, &*old, options, part)?;
        let reservation = crate::services::allocate(ask, &mut *new, Some(&*old))?;
        let mut errors = metadata_errors(new.as_ref(), old.as_ref());
        errors.extend(match part {
            Part::Main if ask.path.subresource == "ephemeralcontainers" => ephemeral_containers(&*new, &*old),
            Part::Main => served.kind().validate_update(&*new, &*old),
            Part::Status => served.kind().validate_status_update(&*new, &*old),
            Part::Whole => Vec::new(),
        });
        if !errors.is_empty() {
            return Err(ApiError::invalid(&info.group, &info.kind, name, errors));
        }
        admission::validate(&admission, Some(&*new), Some(&*old)).await?;
        let value = served.encode(&*new)?;
        if unchanged(&value, &item) {
            return Ok(Changed { json: served.present(&item)? });
        }
        let gone = over(new.as_ref());
        if options.dry_run {
            return Ok(Changed { json: create::dry(&*new, &item.revision().to_string())? });
        }
        let shown = if gone { Some(create::dry(&*new, &item.revision().to_string())?) } else { None };
        let wanted = Write { key: key.clone(), expect: Expect::Revision(item.revision()), value: (!gone).then_some(value) };
        match write(ask.shared, served, wanted).await {
            Ok(written) => {
                reservation.keep();
                let json = match shown {
                    Some(json) => json,
                    None => served.present(&written)?,
                };
                return Ok(Changed { json });
            }
            Err(WriteError::Conflict(_)) if !conditional && attempt < TRIES => {}
            Err(error) => return Err(refused(error, served, name)),
        }
    }
    Err(ApiError::modified(&info.group, &info.plural, name))
}

/// Of a Pod's subresources that are a part of its specification: the old Pod with that part of the new one.
fn narrowed(subresource: &str, new: &dyn DynObject, old: &dyn DynObject) -> Option<Box<dyn DynObject>> {
    let (new, mut pod) = (new.as_any().downcast_ref::<Pod>()?, old.as_any().downcast_ref::<Pod>()?.clone());
    let (from, to) = (new.spec.as_ref()?, pod.spec.get_or_insert_default());
    match subresource {
        "ephemeralcontainers" => to.ephemeral_containers.clone_from(&from.ephemeral_containers),
        "resize" => {
            for (to, from) in
                [(&mut to.containers, &from.containers), (to.init_containers.get_or_insert_default(), from.init_containers.as_ref().unwrap_or(&Vec::new()))]
            {
                for container in to {
                    if let Some(wanted) = from.iter().find(|c| c.name == container.name) {
                        container.resources.clone_from(&wanted.resources);
                        container.resize_policy.clone_from(&wanted.resize_policy);
                    }
                }
            }
            to.init_containers = to.init_containers.take().filter(|c| !c.is_empty());
        }
        _ => return None,
    }
    Some(Box::new(pod))
}

fn ephemeral_containers(new: &dyn DynObject, old: &dyn DynObject) -> Errors {
    match (new.as_any().downcast_ref(), old.as_any().downcast_ref()) {
        (Some(new), Some(old)) => validate_ephemeral_containers(new, old),
        _ => Errors::new(),
    }
}

/// Whether the new version says of which one it is; refused when that is not the current one.
fn conditional(new: &dyn DynObject, item: &Item, ask: &Ask<'_>) -> Result<bool, ApiError> {
    let given = new.meta().resource_version.as_deref().unwrap_or_default();
    if given.is_empty() || given == "0" {
        return Ok(false);
    }
    if parse_revision(given)? != item.revision() {
        let info = ask.served.info();
        return Err(ApiError::modified(&info.group, &info.plural, &ask.path.name));
    }
    Ok(true)
}

/// Metadata that an update leaves out or cannot change.
fn settle(ask: &Ask<'_>, new: &mut dyn DynObject, old: &dyn DynObject, item: &Arc<Item>) -> Result<(), ApiError> {
    let meta = new.meta_mut();
    settle_namespace(ask, meta)?;
    meta.name = Some(ask.path.name.clone().into_owned());
    meta.resource_version = Some(item.revision().to_string());
    // A deletion once begun is the server's alone.
    if old.meta().deletion_timestamp.is_none() {
        meta.deletion_timestamp = None;
        meta.deletion_grace_period_seconds = None;
    } else {
        meta.deletion_grace_period_seconds = old.meta().deletion_grace_period_seconds;
    }
    keep_on_update(meta, old.meta());
    if meta.finalizers.as_ref().is_some_and(Vec::is_empty) {
        meta.finalizers = None;
    }
    if meta.owner_references.as_ref().is_some_and(Vec::is_empty) {
        meta.owner_references = None;
    }
    Ok(())
}

/// Whether a new value is the current one, but for its revision.
fn unchanged(new: &NewValue, item: &Item) -> bool {
    let (old, at) = (item.json(), new.revision_at);
    let digits = item.revision().to_string();
    old.len() == new.json.len() + digits.len()
        && old[..at] == new.json[..at]
        && old[at..].starts_with(digits.as_bytes())
        && old[at + digits.len()..] == new.json[at..]
}

/// What is wrong with the metadata. Kubernetes checks it on every layer, and its causes say so: each is there twice, those of labels,
/// annotations and owners three times.
fn metadata_errors(new: &dyn DynObject, old: &dyn DynObject) -> Errors {
    let once = validate_object_meta_update(new.meta(), old.meta());
    let thrice = |e: &&wharf_api::field::Error| {
        ["metadata.labels", "metadata.annotations", "metadata.ownerReferences"].iter().any(|p| e.path.to_string().starts_with(p))
    };
    let again: Errors = once.iter().filter(thrice).cloned().collect();
    once.iter().cloned().chain(once.iter().cloned()).chain(again).collect()
}

/// Whether an object that is being deleted has nothing left to wait for.
pub(crate) fn over(object: &dyn DynObject) -> bool {
    use k8s_openapi::api::core::v1::Namespace;
    let meta = object.meta();
    let waits = meta.deletion_timestamp.is_none()
        || meta.finalizers.as_ref().is_some_and(|f| !f.is_empty())
        || meta.deletion_grace_period_seconds.is_some_and(|s| s > 0);
    if waits {
        return false;
    }
    let namespace = object.as_any().downcast_ref::<Namespace>();
    namespace.is_none_or(|n| n.spec.as_ref().and_then(|s| s.finalizers.as_ref()).is_none_or(Vec::is_empty))
}
