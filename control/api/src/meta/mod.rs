//! `metadata`: how it is validated, what an update may change, how a name is generated.

pub mod names;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta, OwnerReference, Time};
use rand::Rng;

use crate::field::{Error, Errors, Path, printed_json};
use crate::kind::Merge;
pub use names::{dns1035_label, dns1035_label as dns1035, dns1123_label, dns1123_subdomain, label_value, qualified_name};

/// The most that all keys and values of annotations may take, in bytes.
pub const MAX_ANNOTATIONS_BYTES: usize = 256 * 1024;

/// How often a list is shown that each of its elements can be refused with.
const MOST_SHOWN: usize = 8;

/// Refused changes of what an update may not touch.
pub const IMMUTABLE: &str = "field is immutable";

/// How the types of `meta/v1` are merged. A merge with an empty field is of the definition itself.
pub const MERGES: &[Merge] = &[
    Merge { field: "finalizers", strategy: "merge", list_type: "set", ..OBJECT_META },
    Merge { field: "ownerReferences", strategy: "merge", key: "uid", list_type: "map", list_map_keys: &["uid"], ..OBJECT_META },
    Merge { field: "managedFields", list_type: "atomic", ..OBJECT_META },
    Merge { definition: "io.k8s.apimachinery.pkg.apis.meta.v1.OwnerReference", list_type: "atomic", ..OBJECT_META },
    Merge { definition: "io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector", list_type: "atomic", ..OBJECT_META },
    Merge { definition: "io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector", field: "matchExpressions", list_type: "atomic", ..OBJECT_META },
    Merge { definition: "io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelectorRequirement", field: "values", list_type: "atomic", ..OBJECT_META },
    Merge { definition: "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions", field: "dryRun", list_type: "atomic", ..OBJECT_META },
    Merge { definition: "io.k8s.apimachinery.pkg.apis.meta.v1.StatusDetails", field: "causes", list_type: "atomic", ..OBJECT_META },
];

const OBJECT_META: Merge =
    Merge { definition: "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", field: "", strategy: "", key: "", list_type: "", list_map_keys: &[] };

/// How a name is checked: what is wrong with it; `prefix` for a `generateName`.
pub type NameCheck<'a> = &'a dyn Fn(&str, bool) -> Vec<String>;

/// What is wrong with the metadata of an object to be created.
pub fn validate_object_meta(meta: &ObjectMeta, namespaced: bool, name_check: NameCheck) -> Errors {
    let at = Path::new("metadata");
    let mut errors = Errors::new();
    if let Some(prefix) = meta.generate_name.as_deref().filter(|p| !p.is_empty()) {
        errors.extend(name_check(prefix, true).into_iter().map(|e| Error::invalid(&at.child("generateName"), prefix, e)));
    }
    match meta.name.as_deref().unwrap_or("") {
        "" => errors.push(Error::required(&at.child("name"), "name or generateName is required")),
        name => errors.extend(name_check(name, false).into_iter().map(|e| Error::invalid(&at.child("name"), name, e))),
    }
    match (namespaced, meta.namespace.as_deref().unwrap_or("")) {
        (true, "") => errors.push(Error::required(&at.child("namespace"), "")),
        (true, namespace) => errors.extend(dns1123_label(namespace).into_iter().map(|e| Error::invalid(&at.child("namespace"), namespace, e))),
        (false, "") => {}
        (false, _) => errors.push(Error::forbidden(&at.child("namespace"), "not allowed on this type")),
    }
    validate_non_negative(meta.generation, &at.child("generation"), &mut errors);
    validate_common(meta, &at, &mut errors);
    errors.extend(validate_finalizers(meta.finalizers.as_deref().unwrap_or_default(), &at.child("finalizers")));
    errors.extend(validate_managed_fields(meta.managed_fields.as_deref().unwrap_or_default(), &at.child("managedFields")));
    errors
}

/// Fills what an update may leave out, and keeps what it cannot change: uid, timestamps, a deletion that has begun.
/// Run before [`validate_object_meta_update`].
pub fn keep_on_update(new: &mut ObjectMeta, old: &ObjectMeta) {
    if new.uid.as_deref().unwrap_or("").is_empty() {
        new.uid.clone_from(&old.uid);
    }
    if old.creation_timestamp.is_some() {
        new.creation_timestamp.clone_from(&old.creation_timestamp);
    }
    if old.deletion_timestamp.is_some() {
        new.deletion_timestamp.clone_from(&old.deletion_timestamp);
    }
    if new.deletion_grace_period_seconds.is_none() {
        new.deletion_grace_period_seconds = old.deletion_grace_period_seconds;
    }
    new.self_link = None;
    if new.generate_name.as_deref() == Some("") {
        new.generate_name = None;
    }
}

/// Sets what the server alone decides of a new object: uid and creation time; drops a deletion and the resource version.
pub fn fill_on_create(meta: &mut ObjectMeta, uid: String, now: jiff::Timestamp) {
    meta.uid = Some(uid);
    meta.creation_timestamp = Some(Time(whole_second(now)));
    meta.deletion_timestamp = None;
    meta.deletion_grace_period_seconds = None;
    meta.self_link = None;
    meta.resource_version = None;
    let prefix = meta.generate_name.as_deref().unwrap_or("");
    if meta.name.as_deref().unwrap_or("").is_empty() && !prefix.is_empty() {
        meta.name = Some(generate_name(prefix));
    }
}

/// What is wrong with the metadata of an update. The resource version of `new` must have been set.
pub fn validate_object_meta_update(new: &ObjectMeta, old: &ObjectMeta) -> Errors {
    let at = Path::new("metadata");
    let mut errors = Errors::new();
    if old.deletion_timestamp.is_some() {
        errors.extend(validate_no_new_finalizers(new, old, &at.child("finalizers")));
    }
    if new.resource_version.as_deref().unwrap_or("").is_empty() {
        errors.push(Error::invalid(&at.child("resourceVersion"), new.resource_version.as_deref().unwrap_or(""), "must be specified for an update"));
    }
    let (generation, before) = (new.generation.unwrap_or(0), old.generation.unwrap_or(0));
    if generation < before {
        errors.push(Error::invalid(&at.child("generation"), generation, "must not be decremented"));
    }
    immutable_text(&new.name, &old.name, &at.child("name"), &mut errors);
    immutable_text(&new.namespace, &old.namespace, &at.child("namespace"), &mut errors);
    immutable_text(&new.uid, &old.uid, &at.child("uid"), &mut errors);
    immutable(&new.creation_timestamp, &old.creation_timestamp, &at.child("creationTimestamp"), &mut errors);
    immutable(&new.deletion_timestamp, &old.deletion_timestamp, &at.child("deletionTimestamp"), &mut errors);
    if new.deletion_grace_period_seconds != old.deletion_grace_period_seconds {
        errors.push(Error::invalid(&at.child("deletionGracePeriodSeconds"), new.deletion_grace_period_seconds, IMMUTABLE));
    }
    validate_common(new, &at, &mut errors);
    errors.extend(validate_managed_fields(new.managed_fields.as_deref().unwrap_or_default(), &at.child("managedFields")));
    errors
}

/// Labels, annotations, owner references.
fn validate_common(meta: &ObjectMeta, at: &Path, errors: &mut Errors) {
    errors.extend(validate_labels(meta.labels.as_ref(), &at.child("labels")));
    errors.extend(validate_annotations(meta.annotations.as_ref(), &at.child("annotations")));
    errors.extend(validate_owner_references(meta.owner_references.as_deref().unwrap_or_default(), &at.child("ownerReferences")));
}

/// Keys and values of labels.
pub fn validate_labels(labels: Option<&BTreeMap<String, String>>, at: &Path) -> Errors {
    let mut errors = Errors::new();
    for (key, value) in labels.into_iter().flatten() {
        errors.extend(qualified_name(key).into_iter().map(|e| Error::invalid(at, key, e)));
        errors.extend(label_value(value).into_iter().map(|e| Error::invalid(at, value, e)));
    }
    errors
}

/// Keys of annotations, and their size all together.
pub fn validate_annotations(annotations: Option<&BTreeMap<String, String>>, at: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut bytes = 0;
    for (key, value) in annotations.into_iter().flatten() {
        errors.extend(qualified_name(&key.to_lowercase()).into_iter().map(|e| Error::invalid(at, key, e)));
        bytes += key.len() + value.len();
    }
    if bytes > MAX_ANNOTATIONS_BYTES {
        errors.push(Error::too_long(at, MAX_ANNOTATIONS_BYTES));
    }
    errors
}

/// Owners are named in full, none is an Event, and at most one is the controller.
pub fn validate_owner_references(owners: &[OwnerReference], at: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut controller: Option<String> = None;
    // Each refusal of another controller shows the whole list.
    let mut shown = 0;
    for owner in owners {
        let (group, version) = owner.api_version.rsplit_once('/').unwrap_or(("", &owner.api_version));
        if version.is_empty() {
            errors.push(Error::invalid(&at.child("apiVersion"), &owner.api_version, "version must not be empty"));
        }
        for (field, text) in [("kind", &owner.kind), ("name", &owner.name), ("uid", &owner.uid)] {
            if text.is_empty() {
                errors.push(Error::invalid(&at.child(field), text, "must not be empty"));
            }
        }
        if owner.kind == "Event" && matches!((group, version), ("", "v1") | ("events.k8s.io", "v1" | "v1beta1")) {
            let words = format!("{group}/{version}, Kind={} is disallowed from being an owner", owner.kind);
            errors.push(Error::invalid(at, printed_json(owner), words));
        }
        if owner.controller == Some(true) {
            let this = format!("{}/{}", owner.kind, owner.name);
            match &controller {
                Some(_) if shown >= MOST_SHOWN => {}
                Some(first) => {
                    shown += 1;
                    let words = format!("Only one reference can have Controller set to true. Found \"true\" in references for {first} and {this}");
                    errors.push(Error::invalid(at, printed_json(&owners), words));
                }
                None => controller = Some(this),
            }
        }
    }
    errors
}

/// Finalizers are qualified names; `orphan` and `foregroundDeletion` exclude each other.
pub fn validate_finalizers(finalizers: &[String], at: &Path) -> Errors {
    let mut errors = Errors::new();
    for finalizer in finalizers {
        errors.extend(qualified_name(finalizer).into_iter().map(|e| Error::invalid(at, finalizer, e)));
    }
    if ["orphan", "foregroundDeletion"].iter().all(|f| finalizers.iter().any(|x| x == f)) {
        errors.push(Error::invalid(at, printed_json(&finalizers), "finalizer orphan and foregroundDeletion cannot be both set"));
    }
    errors
}

fn validate_no_new_finalizers(new: &ObjectMeta, old: &ObjectMeta, at: &Path) -> Errors {
    let before = old.finalizers.as_deref().unwrap_or_default();
    let mut extra: Vec<&String> = new.finalizers.iter().flatten().filter(|f| !before.contains(f)).collect();
    if extra.is_empty() {
        return Errors::new();
    }
    extra.sort();
    extra.dedup();
    let list: Vec<String> = extra.into_iter().map(|f| crate::field::quoted(f)).collect();
    let words = format!("no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}", list.join(", "));
    vec![Error::forbidden(at, words)]
}

/// Entries of `managedFields` that a client sent.
pub fn validate_managed_fields(entries: &[ManagedFieldsEntry], at: &Path) -> Errors {
    let mut errors = Errors::new();
    for (i, entry) in entries.iter().enumerate() {
        let at = at.index(i);
        match entry.operation.as_deref().unwrap_or("") {
            "Apply" | "Update" => {}
            other => errors.push(Error::invalid(&at.child("operation"), other, "must be `Apply` or `Update`")),
        }
        if !matches!(entry.fields_type.as_deref().unwrap_or(""), "" | "FieldsV1") {
            errors.push(Error::invalid(&at.child("fieldsType"), entry.fields_type.as_deref().unwrap_or(""), "must be `FieldsV1`"));
        }
        errors.extend(validate_field_manager(entry.manager.as_deref().unwrap_or(""), &at.child("manager")));
        if entry.subresource.as_ref().is_some_and(|s| s.len() > 256) {
            errors.push(Error::too_long(&at.child("subresource"), 256));
        }
    }
    errors
}

/// The name of a field manager: at most 128 printable characters.
pub fn validate_field_manager(manager: &str, at: &Path) -> Errors {
    let mut errors = Errors::new();
    if manager.len() > 128 {
        errors.push(Error::too_long(at, 128));
    }
    if let Some((i, _)) = manager.char_indices().find(|(_, c)| c.is_control() || (c.is_whitespace() && *c != ' ')) {
        errors.push(Error::invalid(at, manager, format!("invalid character {:?} at position {i}", manager[i..].chars().next().unwrap_or(' '))));
    }
    errors
}

fn validate_non_negative(value: Option<i64>, at: &Path, errors: &mut Errors) {
    if let Some(value) = value.filter(|v| *v < 0) {
        errors.push(Error::invalid(at, value, "must be greater than or equal to 0"));
    }
}

fn immutable_text(new: &Option<String>, old: &Option<String>, at: &Path, errors: &mut Errors) {
    let (new, old) = (new.as_deref().unwrap_or(""), old.as_deref().unwrap_or(""));
    if new != old {
        errors.push(Error::invalid(at, new, IMMUTABLE));
    }
}

fn immutable(new: &Option<Time>, old: &Option<Time>, at: &Path, errors: &mut Errors) {
    if new != old {
        errors.push(Error::invalid(at, printed_json(new), IMMUTABLE));
    }
}

/// A name from a `generateName`: the prefix, cut to 58 characters, and five of the alphabet that spells no words.
pub fn generate_name(prefix: &str) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    const MAX_PREFIX: usize = 58;
    let mut end = prefix.len().min(MAX_PREFIX);
    while !prefix.is_char_boundary(end) {
        end -= 1;
    }
    let mut rng = rand::rng();
    let mut name = prefix[..end].to_owned();
    name.extend((0..5).map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())])));
    name
}

/// Names of most kinds: a subdomain. Of a `generateName` (`prefix`), a trailing `-` is no fault.
pub fn dns_subdomain_name(name: &str, prefix: bool) -> Vec<String> {
    dns1123_subdomain(&mask_trailing_dash(name, prefix))
}

/// Names of Namespaces and the like: a label.
pub fn dns_label_name(name: &str, prefix: bool) -> Vec<String> {
    dns1123_label(&mask_trailing_dash(name, prefix))
}

/// Names that begin with a letter (Services until 1.34).
pub fn dns1035_label_name(name: &str, prefix: bool) -> Vec<String> {
    dns1035_label(&mask_trailing_dash(name, prefix))
}

/// Names of RBAC's kinds: any segment of a URL path.
pub fn path_segment_name(name: &str, prefix: bool) -> Vec<String> {
    if prefix { names::path_segment_prefix(name) } else { names::path_segment(name) }
}

fn mask_trailing_dash(name: &str, prefix: bool) -> std::borrow::Cow<'_, str> {
    match name.strip_suffix('-') {
        // The dash and the character before it stand for what the suffix will end with.
        Some(rest) if prefix && rest.is_char_boundary(rest.len().saturating_sub(1)) && !rest.is_empty() => format!("{}a", &rest[..rest.len() - 1]).into(),
        _ => name.into(),
    }
}

/// The timestamp without its fraction: what `metav1.Time` keeps.
pub fn whole_second(time: jiff::Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_second(time.as_second()).unwrap_or(time)
}

#[cfg(test)]
mod tests;
