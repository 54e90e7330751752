//! The status of a CustomResourceDefinition: which of its names it gets, and what stands in its way.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionCondition, CustomResourceDefinitionNames,
};
use crate::kinds::normal::text;

/// The finalizer behind which the objects of a kind go first.
pub const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";
/// Names beyond doubt, for groups that are Kubernetes' own.
pub(crate) const APPROVED: &str = "api-approved.kubernetes.io";

/// A condition that is to be set.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    /// `Established`, `NamesAccepted`, `Terminating`, …
    pub kind: &'a str,
    /// Whether it holds.
    pub holds: bool,
    /// In one word.
    pub reason: &'a str,
    /// In words.
    pub message: &'a str,
}

/// Sets a condition; its time is that of its last change.
pub fn set(definition: &mut CustomResourceDefinition, said: &Said, now: jiff::Timestamp) {
    let status = if said.holds { "True" } else { "False" };
    let now = Time(crate::meta::whole_second(now));
    let conditions = definition.status.get_or_insert_default().conditions.get_or_insert_default();
    let new = CustomResourceDefinitionCondition {
        type_: said.kind.to_owned(),
        status: status.to_owned(),
        reason: Some(said.reason.to_owned()),
        message: Some(said.message.to_owned()),
        last_transition_time: Some(now),
        ..CustomResourceDefinitionCondition::default()
    };
    match conditions.iter_mut().find(|c| c.type_ == said.kind) {
        Some(old) if old.status == status => {
            let since = old.last_transition_time.take().or(new.last_transition_time.clone());
            *old = CustomResourceDefinitionCondition { last_transition_time: since, ..new };
        }
        Some(old) => *old = new,
        None => conditions.push(new),
    }
}

/// Whether a condition holds.
pub fn holds(definition: &CustomResourceDefinition, kind: &str) -> bool {
    let conditions = definition.status.as_ref().and_then(|s| s.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|c| c.type_ == kind && c.status == "True")
}

/// The definition with its names accepted or not; `others` are those of the same group that have names already.
#[must_use]
pub fn named<'o>(
    definition: &CustomResourceDefinition,
    others: impl Iterator<Item = &'o CustomResourceDefinition>,
    now: jiff::Timestamp,
) -> CustomResourceDefinition {
    let mut new = definition.clone();
    let (accepted, conflict) = accepted(definition, others);
    new.status.get_or_insert_default().accepted_names = Some(accepted);
    match &conflict {
        Some((reason, message)) => set(&mut new, &Said { kind: "NamesAccepted", holds: false, reason, message }, now),
        None => set(&mut new, &Said { kind: "NamesAccepted", holds: true, reason: "NoConflicts", message: "no conflicts found" }, now),
    }
    if !holds(&new, "Established") {
        let (holds, reason, message) = match conflict {
            None => (true, "InitialNamesAccepted", "the initial names have been accepted"),
            Some(_) => (false, "NotAccepted", "not all names are accepted"),
        };
        set(&mut new, &Said { kind: "Established", holds, reason, message }, now);
    }
    if let Some((reason, holds, message)) = approval(&new) {
        set(&mut new, &Said { kind: "KubernetesAPIApprovalPolicyConformant", holds, reason, message: &message }, now);
    }
    new
}

type Conflict = (&'static str, String);

fn accepted<'o>(
    definition: &CustomResourceDefinition,
    others: impl Iterator<Item = &'o CustomResourceDefinition>,
) -> (CustomResourceDefinitionNames, Option<Conflict>) {
    let wanted = &definition.spec.names;
    let mut names = definition.status.as_ref().and_then(|s| s.accepted_names.clone()).unwrap_or_default();
    let (mut resources, mut kinds) = (BTreeSet::new(), BTreeSet::new());
    for other in others.filter_map(|o| o.status.as_ref()?.accepted_names.as_ref()) {
        resources.extend([other.plural.as_str(), text(&other.singular)]);
        resources.extend(other.short_names.iter().flatten().map(String::as_str));
        kinds.extend([other.kind.as_str(), text(&other.list_kind)]);
    }
    let mut conflict = None;
    let taken = |name: &str, own: &str, used: &BTreeSet<&str>| {
        (name != own && used.contains(name)).then(|| format!("{} is already in use", crate::field::quoted(name)))
    };
    match taken(&wanted.plural, &names.plural, &resources) {
        Some(words) => conflict = Some(("PluralConflict", words)),
        None => names.plural.clone_from(&wanted.plural),
    }
    match taken(text(&wanted.singular), text(&names.singular), &resources) {
        Some(words) => conflict = Some(("SingularConflict", words)),
        None => names.singular.clone_from(&wanted.singular),
    }
    if wanted.short_names != names.short_names {
        let own = names.short_names.clone().unwrap_or_default();
        let new = wanted.short_names.iter().flatten().filter(|n| !own.contains(n));
        let words: Vec<String> = new.filter_map(|n| taken(n, "", &resources)).collect();
        match words.as_slice() {
            [] => names.short_names.clone_from(&wanted.short_names),
            [one] => conflict = Some(("ShortNamesConflict", one.clone())),
            many => conflict = Some(("ShortNamesConflict", format!("[{}]", many.join(", ")))),
        }
    }
    match taken(&wanted.kind, &names.kind, &kinds) {
        Some(words) => conflict = Some(("KindConflict", words)),
        None => names.kind.clone_from(&wanted.kind),
    }
    match taken(text(&wanted.list_kind), text(&names.list_kind), &kinds) {
        Some(words) => conflict = Some(("ListKindConflict", words)),
        None => names.list_kind.clone_from(&wanted.list_kind),
    }
    names.categories.clone_from(&wanted.categories);
    (names, conflict)
}

/// Whether a group is one in which only Kubernetes defines kinds.
pub(crate) fn is_protected(group: &str) -> bool {
    ["k8s.io", "kubernetes.io"].iter().any(|own| group == *own || group.ends_with(&format!(".{own}")))
}

/// What is said of the approval of a kind in a protected group: reason, whether it conforms, in words.
pub(crate) fn approval(definition: &CustomResourceDefinition) -> Option<(&'static str, bool, String)> {
    if !is_protected(&definition.spec.group) {
        return None;
    }
    let annotation = definition.metadata.annotations.as_ref().and_then(|a| a.get(APPROVED)).map(String::as_str).unwrap_or_default();
    let link = "see https://github.com/kubernetes/enhancements/pull/1111";
    let is_url = annotation.split_once("://").is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty() && !rest.starts_with('/'));
    Some(match annotation {
        "" => ("MissingAnnotation", false, format!("protected groups must have approval annotation \"{APPROVED}\", {link}")),
        text if text.starts_with("unapproved") => ("UnapprovedAnnotation", false, format!("not approved: {}", crate::field::quoted(text))),
        text if is_url => ("ApprovedAnnotation", true, format!("approved in {text}")),
        _ => {
            let words = "with either a URL or a reason starting with \"unapproved\"";
            ("InvalidAnnotation", false, format!("protected groups must have approval annotation \"{APPROVED}\" {words}, {link}"))
        }
    })
}
