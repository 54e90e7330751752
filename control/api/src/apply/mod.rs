//! Server-side apply: who owns which field, what an apply changes, and where it conflicts.

mod managers;
mod set;
mod typed;

use serde_json::Value;

use crate::kind::DynObject;
use crate::registry::Resource;
use crate::status::{ApiError, Cause, Details};
use managers::{Manager, Managers};
pub use set::Set;
use typed::Typed;

/// Who writes, through what.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// `fieldManager`; of an update without one, the first part of the user agent.
    pub manager: &'a str,
    /// The `apiVersion` that the request was made in.
    pub api_version: &'a str,
    /// Such as `status`, or empty.
    pub subresource: &'a str,
    /// When.
    pub now: jiff::Timestamp,
}

/// Metadata that nobody owns.
const NOT_OWNED: &[&[&str]] = &[
    &["f:apiVersion"],
    &["f:kind"],
    &["f:metadata", "f:name"],
    &["f:metadata", "f:namespace"],
    &["f:metadata", "f:creationTimestamp"],
    &["f:metadata", "f:selfLink"],
    &["f:metadata", "f:uid"],
    &["f:metadata", "f:clusterName"],
    &["f:metadata", "f:generation"],
    &["f:metadata", "f:managedFields"],
    &["f:metadata", "f:resourceVersion"],
    &["f:metadata", "f:deletionTimestamp"],
    &["f:metadata", "f:deletionGracePeriodSeconds"],
];

/// Applies a configuration. `live` is the stored object, `None` if it is to be created.
///
/// The result has the `managedFields` that the write must keep; it still wants defaults, validation, and `status` put aside.
pub fn apply(resource: &Resource, live: Option<&Value>, config: &Value, writer: &Writer, force: bool) -> Result<Value, ApiError> {
    if config.pointer("/metadata/managedFields").is_some_and(|v| !v.is_null()) {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    let typed = Typed::new(&resource.types, &resource.ty);
    let mut faults = Vec::new();
    typed.faults(config, "", &mut faults);
    if !faults.is_empty() {
        return Err(ApiError::unknown(untyped(resource, config, &faults)));
    }
    let ignored = reset_fields(resource, writer.subresource);
    let live_fields = live.map_or_else(|| Value::Object(serde_json::Map::new()), without_managed_fields);
    let mut managers = Managers::of(live.and_then(|l| l.pointer("/metadata/managedFields")));
    if let (true, Some(_)) = (managers.is_empty(), live) {
        // What was there before anyone applied is owned by a manager of that name.
        let compared = typed.compare(&skeleton(resource, typed), &live_fields);
        let before = Writer { manager: "before-first-apply", subresource: "", ..*writer };
        managers.update(&before, &strip(&compared.added.union(&compared.modified), &ignored));
    }

    let me = Manager::applier(writer);
    let last = managers.fields(&me);
    let set = typed.to_set(config);
    // With what nobody owns, until it is clear what goes: the object's name holds its metadata in place.
    managers.set(&me, writer.api_version, set.clone());
    let mut merged = typed.merge(&live_fields, config);
    if let Some(last) = last.filter(|l| !l.is_empty()) {
        merged = prune(typed, &merged, &last, &managers);
    }
    managers.set(&me, writer.api_version, strip(&set, &ignored));
    take_over(typed, &live_fields, &merged, &me, &mut managers, &ignored, force)?;
    if live.is_none() || !same(&merged, &live_fields) {
        managers.touch(&me, writer.now);
    }
    write_managers(&mut merged, &managers);
    Ok(merged)
}

/// The `managedFields` after an update (or a create, when `old` is `None`), as JSON; `None` if there are none to keep.
///
/// `new` is the object as it will be stored. Its own `managedFields` are taken if they make sense, since a client may edit them;
/// otherwise the old object's. An object without any that exists already stays so until somebody applies.
pub fn update(resource: &Resource, old: Option<&Value>, new: &Value, writer: &Writer) -> Option<Value> {
    let typed = Typed::new(&resource.types, &resource.ty);
    let of_old = old.and_then(|o| o.pointer("/metadata/managedFields"));
    let of_new = new.pointer("/metadata/managedFields");
    // One empty entry asks for all to be forgotten.
    if of_new.and_then(Value::as_array).is_some_and(|l| l.len() == 1 && l[0].as_object().is_some_and(serde_json::Map::is_empty)) {
        return None;
    }
    let sent = Managers::of(of_new.filter(|_| writer.subresource.is_empty()));
    let mut managers = if sent.is_empty() { Managers::of(of_old) } else { sent };
    if managers.is_empty() && old.is_some() {
        return None;
    }
    let skeleton = if old.is_none() { skeleton(resource, typed) } else { Value::Null };
    let compared = typed.compare(old.unwrap_or(&skeleton), new);
    let ignored = reset_fields(resource, writer.subresource);
    let changed = strip(&compared.added.union(&compared.modified), &ignored);
    let removed = strip(&compared.removed, &ignored);
    managers.lose(None, &changed);
    managers.lose(None, &removed);
    if !changed.is_empty() {
        managers.update(writer, &changed);
    }
    managers.cap();
    managers.to_value()
}

/// [`update`] of typed objects: `new` gets the `managedFields`.
pub fn update_object(resource: &Resource, old: Option<&dyn DynObject>, new: &mut dyn DynObject, writer: &Writer) -> Result<(), ApiError> {
    let tree = |object: &dyn DynObject| object.to_value().map_err(|e| ApiError::internal(format!("encoding the object: {e}")));
    let old = old.map(tree).transpose()?;
    let entries = update(resource, old.as_ref(), &tree(new)?, writer);
    new.meta_mut().managed_fields = entries.map(serde_json::from_value).transpose().map_err(|e| ApiError::internal(format!("decoding managed fields: {e}")))?;
    Ok(())
}

/// Drops what the applier no longer says and nobody else owns.
fn prune(typed: Typed, merged: &Value, last: &Set, managers: &Managers) -> Value {
    let named = |set: &Set| typed.with_named(set);
    let last = named(last);
    let mut pruned = typed.remove(merged, &last);
    // Back comes what somebody owns, the applier's new configuration included.
    let all = named(&typed.to_set(merged));
    let owned = named(&managers.all_fields());
    let kept = named(&typed.to_set(&pruned)).union(&owned);
    pruned = typed.remove(merged, &all.difference(&kept));
    // And what was removed only because it stood in something removed.
    let gone = all.difference(&named(&typed.to_set(&pruned))).intersection(&last);
    typed.remove(merged, &gone)
}

/// Others lose what the applier changes: an error, unless forced.
fn take_over(typed: Typed, live: &Value, merged: &Value, me: &Manager, managers: &mut Managers, ignored: &[&[&str]], force: bool) -> Result<(), ApiError> {
    let compared = typed.compare(live, merged);
    let changed = strip(&compared.added.union(&compared.modified), ignored);
    let mut conflicts: Vec<(String, String)> = Vec::new();
    if !force {
        for (manager, fields) in managers.others(me) {
            let name = manager.printed();
            conflicts.extend(fields.intersection(&changed).paths().into_iter().map(|path| (name.clone(), path)));
        }
    }
    if !conflicts.is_empty() {
        return Err(conflict(conflicts));
    }
    managers.lose(Some(me), &changed);
    managers.lose(Some(me), &compared.removed);
    Ok(())
}

fn conflict(conflicts: Vec<(String, String)>) -> ApiError {
    let message = match conflicts.as_slice() {
        [(manager, path)] => format!("Apply failed with 1 conflict: conflict with {manager}: {path}"),
        many => {
            let mut lines: Vec<String> = Vec::new();
            let mut last = None;
            for (manager, path) in many {
                if last != Some(manager) {
                    lines.push(format!("conflicts with {manager}:"));
                    last = Some(manager);
                }
                lines.push(format!("- {path}"));
            }
            format!("Apply failed with {} conflicts: {}", many.len(), lines.join("\n"))
        }
    };
    let cause = |(manager, field): (String, String)| Cause { reason: "FieldManagerConflict".to_owned(), message: format!("conflict with {manager}"), field };
    let causes = conflicts.into_iter().map(cause).collect();
    ApiError::new(409, "Conflict", message, Some(Details { causes, ..Details::default() }))
}

/// What an object has before anything is said of it: of a kind that is defined by a schema, nothing.
fn skeleton(resource: &Resource, typed: Typed) -> Value {
    if resource.info().custom { Value::Object(serde_json::Map::new()) } else { typed.skeleton() }
}

/// Fields that a write through this door does not set.
fn reset_fields(resource: &Resource, subresource: &str) -> Vec<&'static [&'static str]> {
    match subresource {
        "" if resource.info().has_status() => vec![&["f:status"]],
        "status" => vec![&["f:spec"], &["f:metadata", "f:labels"]],
        _ => Vec::new(),
    }
}

fn strip(set: &Set, ignored: &[&[&str]]) -> Set {
    let mut out = set.without(NOT_OWNED).without(ignored);
    if let Some(metadata) = out.below.get_mut("f:metadata") {
        metadata.here = false;
        if metadata.is_empty() {
            out.below.remove("f:metadata");
        }
    }
    out
}

fn without_managed_fields(object: &Value) -> Value {
    let mut out = object.clone();
    if let Some(metadata) = out.pointer_mut("/metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    out
}

fn write_managers(object: &mut Value, managers: &Managers) {
    let Some(object) = object.as_object_mut() else { return };
    let metadata = object.entry("metadata").or_insert_with(|| Value::Object(serde_json::Map::new()));
    if let (Some(metadata), Some(entries)) = (metadata.as_object_mut(), managers.to_value()) {
        metadata.insert("managedFields".to_owned(), entries);
    }
}

/// Whether two objects are equal but for fields that are `null`.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let said = |v: &&Value| !v.is_null();
            a.iter().filter(|(_, v)| said(v)).all(|(k, v)| b.get(k).is_some_and(|other| same(v, other)))
                && b.iter().filter(|(_, v)| said(v)).all(|(k, _)| a.get(k).filter(said).is_some())
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        _ => a == b,
    }
}

fn untyped(resource: &Resource, config: &Value, faults: &[String]) -> String {
    let text = |pointer: &str| config.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let info = resource.info();
    let faults = match faults {
        [one] => one.clone(),
        many => format!("errors:\n{}", many.iter().map(|f| format!("  {f}")).collect::<Vec<_>>().join("\n")),
    };
    format!(
        "failed to create typed patch object ({}/{}; {}, Kind={}): {faults}",
        text("/metadata/namespace"),
        text("/metadata/name"),
        info.api_version,
        info.kind
    )
}

#[cfg(test)]
mod tests;
