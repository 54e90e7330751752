//! What the controllers of Pods share: whose a Pod is, how it does, and how one is made.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use k8s_openapi::jiff::Timestamp;
use serde_json::json;

use crate::action::{Action, Announce, reference};
use crate::kinds::matches;
use crate::resource::{Target, Typed, controller_ref, name, uid};

/// The Pods that an owner controls or comes to control: its own that still match, and orphans that do. Own ones that no
/// longer match are let go. The steps for that are added.
pub(crate) fn claim<K: Typed>(owner: &K, selector: &LabelSelector, owned: &[Arc<Pod>], orphans: &[Arc<Pod>], actions: &mut Vec<Action>) -> Vec<Arc<Pod>> {
    let deleting = owner.metadata().deletion_timestamp.is_some();
    let mut claimed = Vec::with_capacity(owned.len());
    for pod in owned {
        if matches(selector, pod.metadata.labels.as_ref()) {
            claimed.push(pod.clone());
        } else if !deleting {
            actions.push(release(Target::of(&**pod), &pod.metadata, uid(owner.metadata())));
        }
    }
    for pod in orphans {
        if !deleting && pod.metadata.deletion_timestamp.is_none() && is_active(pod) && matches(selector, pod.metadata.labels.as_ref()) {
            actions.push(adopt(Target::of(&**pod), &pod.metadata, controller_ref(owner)));
            claimed.push(pod.clone());
        }
    }
    claimed
}

/// Makes an owner the controller of an object. The resourceVersion keeps two owners from doing so at once.
pub(crate) fn adopt(target: Target, meta: &ObjectMeta, owner: OwnerReference) -> Action {
    let mut owners = meta.owner_references.clone().unwrap_or_default();
    owners.retain(|o| o.uid != owner.uid);
    owners.push(owner);
    Action::patch(Target { resource_version: meta.resource_version.clone(), ..target }, json!({"metadata": {"ownerReferences": owners}}))
}

/// Takes an owner from an object.
pub(crate) fn release(target: Target, meta: &ObjectMeta, owner: &str) -> Action {
    let mut owners = meta.owner_references.clone().unwrap_or_default();
    owners.retain(|o| o.uid != owner);
    Action::patch(Target { resource_version: meta.resource_version.clone(), ..target }, json!({"metadata": {"ownerReferences": owners}}))
}

/// Neither ended nor ending.
pub(crate) fn is_active(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_none() && !matches!(phase(pod), "Succeeded" | "Failed")
}

pub(crate) fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|s| s.phase.as_deref()).unwrap_or_default()
}

/// Since when the Pod is ready, if it is.
pub(crate) fn ready_since(pod: &Pod) -> Option<Option<Timestamp>> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|c| c.type_ == "Ready" && c.status == "True").map(|c| c.last_transition_time.as_ref().map(|t| t.0))
}

/// How long it is until a ready Pod is available; zero if it is.
pub(crate) fn available_in(since: Option<Timestamp>, min_ready_seconds: i32, now: Timestamp) -> Duration {
    if min_ready_seconds <= 0 {
        return Duration::ZERO;
    }
    let ready_for = since.map_or(0.0, |s| (now - s).total(k8s_openapi::jiff::Unit::Second).unwrap_or_default());
    Duration::from_secs_f64((f64::from(min_ready_seconds) - ready_for).max(0.0))
}

/// The node that the Pod is bound to, empty if none.
pub(crate) fn node_of(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|s| s.node_name.as_deref()).unwrap_or_default()
}

/// Whether a Pod is ready, and has been for so long.
pub(crate) fn is_available(pod: &Pod, min_ready_seconds: i32, now: Timestamp) -> bool {
    ready_since(pod).is_some_and(|since| available_in(since, min_ready_seconds, now).is_zero())
}

/// Whether a Pod has ended.
pub(crate) fn has_ended(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

/// Whether a Pod is being deleted.
pub(crate) fn is_terminating(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// A Pod from a template, controlled by `owner`.
pub(crate) fn pod_of<K: Typed>(owner: &K, template: Option<&PodTemplateSpec>) -> Pod {
    let meta = template.and_then(|t| t.metadata.clone()).unwrap_or_default();
    let owner_name = name(owner.metadata());
    Pod {
        metadata: ObjectMeta {
            generate_name: Some(format!("{owner_name}-")),
            namespace: owner.metadata().namespace.clone(),
            labels: meta.labels,
            annotations: meta.annotations,
            finalizers: meta.finalizers,
            owner_references: Some(vec![controller_ref(owner)]),
            ..ObjectMeta::default()
        },
        spec: template.and_then(|t| t.spec.clone()),
        status: None,
    }
}

/// A number of Pods, or a part of `whole` that is rounded up or down.
pub(crate) fn scaled(value: &IntOrString, whole: i32, up: bool) -> i32 {
    match value {
        IntOrString::Int(n) => *n,
        IntOrString::String(text) => {
            let percent: i64 = text.trim_end_matches('%').parse().unwrap_or_default();
            let hundredths = percent * i64::from(whole);
            i32::try_from(hundredths.div_euclid(100) + i64::from(up && hundredths % 100 != 0)).unwrap_or(i32::MAX)
        }
    }
}

/// The Events for a Pod that an owner creates.
pub(crate) fn created<K: Typed>(owner: &K) -> Announce {
    announce(owner, ("SuccessfulCreate", "Created pod: {name}"), ("FailedCreate", "Error creating: {error}"))
}

/// The Events for a Pod that an owner deletes.
pub(crate) fn deleted<K: Typed>(owner: &K) -> Announce {
    announce(owner, ("SuccessfulDelete", "Deleted pod: {name}"), ("FailedDelete", "Error deleting: {error}"))
}

/// Events about an owner: reason and message of a success, and of a failure.
pub(crate) fn announce<K: Typed>(owner: &K, done: (&'static str, &str), failed: (&'static str, &str)) -> Announce {
    let owned = |(reason, message): (&'static str, &str)| Some((reason, message.to_owned()));
    Announce { about: reference(owner), done: owned(done), failed: owned(failed) }
}
