//! What an update may change of a Pod: images, deadlines, tolerations, and little else.

use super::diff::unified;
use super::{internal, validate};
use crate::field::{Error, Errors, Path};
use crate::k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, PodSpec, PodStatus, Toleration};
use crate::kinds::checks::{IMMUTABLE, in_range};
use crate::kinds::normal::text;

const ALLOWED: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,\
`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` \
(allow it to be set to 1 if it was previously negative)";

/// On the Pod that stands in the API for a node's static one.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// Refusals of an update of a Pod.
pub(super) fn validate_update(new: &Pod, old: &Pod) -> Errors {
    let empty = PodSpec::default();
    let (new_spec, old_spec) = (new.spec.as_ref().unwrap_or(&empty), old.spec.as_ref().unwrap_or(&empty));
    let at = Path::new("spec");
    let mut errors = Errors::new();
    let (new_init, old_init) = (new_spec.init_containers.as_deref().unwrap_or_default(), old_spec.init_containers.as_deref().unwrap_or_default());
    for (new, old, field) in [(new_spec.containers.as_slice(), old_spec.containers.as_slice(), "containers"), (new_init, old_init, "initContainers")] {
        if new.len() != old.len() {
            errors.push(Error::forbidden(&at.child(field), "pod updates may not add or remove containers"));
            return errors;
        }
        for (i, container) in new.iter().enumerate() {
            let image = text(&container.image);
            let at = at.child(field).index(i).child("image");
            if image.is_empty() {
                errors.push(Error::required(&at, ""));
            } else if image != image.trim() {
                errors.push(Error::invalid(&at, image, "must not have leading or trailing whitespace"));
            }
        }
    }
    errors.extend(deadline(new_spec, old_spec, &at.child("activeDeadlineSeconds")));
    errors.extend(gates(new_spec, old_spec, &at.child("schedulingGates")));
    errors.extend(tolerations(new_spec, old_spec, &at.child("tolerations")));
    let kept = with_allowed_changes_undone(new_spec, old_spec);
    let (before, after) = (internal::lines(old_spec), internal::lines(&kept));
    if before != after {
        errors.push(Error::forbidden(&at, format!("{ALLOWED}\n{}", unified(&before, &after))));
    }
    errors
}

/// Refusals of an update through `pods/ephemeralcontainers`: they are added, and stay as they are.
pub fn validate_ephemeral_containers(new: &Pod, old: &Pod) -> Errors {
    let containers = |pod: &Pod| pod.spec.as_ref().and_then(|s| s.ephemeral_containers.clone()).unwrap_or_default();
    if old.metadata.annotations.as_ref().is_some_and(|a| a.contains_key(MIRROR)) {
        return vec![Error::forbidden(&Path::new(""), "static pods do not support ephemeral containers")];
    }
    let at = Path::new("spec").child("ephemeralContainers");
    let mut errors = validate::pod(new);
    let after = containers(new);
    for was in containers(old) {
        match after.iter().find(|now| now.name == was.name) {
            None => errors.push(Error::forbidden(&at, format!("existing ephemeral containers {:?} may not be removed\n", was.name))),
            Some(now) if *now != was => errors.push(Error::forbidden(&at, format!("existing ephemeral containers {:?} may not be changed\n", was.name))),
            Some(_) => {}
        }
    }
    errors
}

/// Refusals of an update of a Pod's status: its class stays, and what has ended for good stays ended.
pub(super) fn validate_status_update(new: &Pod, old: &Pod) -> Errors {
    let empty = PodStatus::default();
    let (new_status, old_status) = (new.status.as_ref().unwrap_or(&empty), old.status.as_ref().unwrap_or(&empty));
    let at = Path::new("status");
    let mut errors = Errors::new();
    if new_status.qos_class != old_status.qos_class && !text(&old_status.qos_class).is_empty() {
        errors.push(Error::invalid(&at.child("qosClass"), text(&new_status.qos_class), IMMUTABLE));
    }
    let policy = old.spec.as_ref().map_or("", |s| text(&s.restart_policy));
    if policy != "Never" {
        return errors;
    }
    for was in old_status.container_statuses.iter().flatten().filter(|c| ended(c)) {
        let now = new_status.container_statuses.iter().flatten().enumerate().find(|(_, c)| c.name == was.name);
        if let Some((i, now)) = now
            && !ended(now)
        {
            errors.push(Error::forbidden(&at.child("containerStatuses").index(i).child("state"), "may not be transitioned to non-terminated state"));
        }
    }
    errors
}

fn ended(container: &ContainerStatus) -> bool {
    container.state.as_ref().is_some_and(|s| s.terminated.is_some())
}

fn deadline(new: &PodSpec, old: &PodSpec, at: &Path) -> Option<Error> {
    match (new.active_deadline_seconds, old.active_deadline_seconds) {
        (None, None) => None,
        (None, Some(_)) => Some(Error::invalid(at, Option::<i64>::None, "must not update from a positive integer to nil value")),
        (Some(new), old) => in_range(new, 0, i32::MAX.into(), at)
            .or_else(|| old.filter(|old| *old < new).map(|_| Error::invalid(at, new, "must be less than or equal to previous value"))),
    }
}

fn gates(new: &PodSpec, old: &PodSpec, at: &Path) -> Errors {
    let before = old.scheduling_gates.as_deref().unwrap_or_default();
    let added = new.scheduling_gates.iter().flatten().filter(|gate| !before.contains(gate));
    added.map(|gate| Error::forbidden(at, format!("only deletion is allowed, but found new scheduling gate '{}'", gate.name))).collect()
}

fn tolerations(new: &PodSpec, old: &PodSpec, at: &Path) -> Errors {
    let (new, old) = (new.tolerations.as_deref().unwrap_or_default(), old.tolerations.as_deref().unwrap_or_default());
    if old.iter().any(|old| !new.iter().any(|new| same_but_seconds(new, old))) {
        return vec![Error::forbidden(at, "existing toleration can not be modified except its tolerationSeconds")];
    }
    validate::tolerations(new, at)
}

fn same_but_seconds(a: &Toleration, b: &Toleration) -> bool {
    text(&a.key) == text(&b.key) && text(&a.operator) == text(&b.operator) && text(&a.value) == text(&b.value) && text(&a.effect) == text(&b.effect)
}

fn with_allowed_changes_undone(new: &PodSpec, old: &PodSpec) -> PodSpec {
    let mut kept = new.clone();
    let restore = |new: &mut [Container], old: &[Container]| {
        for (new, old) in new.iter_mut().zip(old) {
            new.image.clone_from(&old.image);
        }
    };
    restore(&mut kept.containers, &old.containers);
    restore(kept.init_containers.as_deref_mut().unwrap_or_default(), old.init_containers.as_deref().unwrap_or_default());
    kept.active_deadline_seconds = old.active_deadline_seconds;
    kept.scheduling_gates.clone_from(&old.scheduling_gates);
    kept.tolerations.clone_from(&old.tolerations);
    if old.termination_grace_period_seconds.is_some_and(|s| s < 0) && new.termination_grace_period_seconds == Some(1) {
        kept.termination_grace_period_seconds = old.termination_grace_period_seconds;
    }
    let gated = !old.scheduling_gates.as_ref().is_none_or(Vec::is_empty);
    let only_more =
        |new: &PodSpec| old.node_selector.iter().flatten().all(|(key, value)| new.node_selector.as_ref().and_then(|labels| labels.get(key)) == Some(value));
    if gated && only_more(new) {
        kept.node_selector.clone_from(&old.node_selector);
        if old.affinity.is_none() {
            kept.affinity = None;
        }
    }
    kept
}
