//! Who a StatefulSet's Pod is: its name, by which it is found in DNS, and the labels that say so.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaimVolumeSource, Pod, PodTemplateSpec, Volume};
use serde_json::json;

use super::{claims, told};
use crate::action::Action;
use crate::history::HASH_LABEL;
use crate::pods::pod_of;
use crate::resource::{Target, name};

const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

/// The set and the ordinal in a Pod's name.
pub(super) fn of(pod: &str) -> Option<(&str, i32)> {
    let (set, ordinal) = pod.rsplit_once('-')?;
    let digits = !ordinal.is_empty() && ordinal.bytes().all(|b| b.is_ascii_digit());
    Some((set, ordinal.parse().ok().filter(|_| digits)?))
}

/// The Pod of an ordinal.
pub(super) fn pod(set: &StatefulSet, template: &PodTemplateSpec, revision: &str, ordinal: i32) -> Pod {
    let mut pod = pod_of(set, Some(template));
    let called = format!("{}-{ordinal}", name(&set.metadata));
    pod.metadata.generate_name = None;
    pod.metadata.name = Some(called.clone());
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(POD_NAME.to_owned(), called.clone());
    labels.insert(POD_INDEX.to_owned(), ordinal.to_string());
    labels.insert(HASH_LABEL.to_owned(), revision.to_owned());
    let spec = pod.spec.get_or_insert_default();
    spec.hostname = Some(called);
    spec.subdomain.clone_from(&set.spec.service_name);
    let mut volumes: Vec<Volume> = claims::names(set, ordinal)
        .map(|(template, claim)| Volume {
            name: template.to_owned(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource { claim_name: claim, read_only: None }),
            ..Volume::default()
        })
        .collect();
    let own = volumes.len();
    for volume in spec.volumes.take().into_iter().flatten() {
        if !volumes[..own].iter().any(|v| v.name == volume.name) {
            volumes.push(volume);
        }
    }
    spec.volumes = (!volumes.is_empty()).then_some(volumes);
    pod
}

/// Gives a Pod back the label of its name.
pub(super) fn relabel(set: &StatefulSet, pod: &Pod, ordinal: i32) -> Option<Action> {
    let called = name(&pod.metadata);
    if pod.metadata.labels.as_ref().and_then(|l| l.get(POD_NAME)).is_some_and(|n| n == called) {
        return None;
    }
    let patch = json!({"metadata": {"labels": {POD_NAME: called, POD_INDEX: ordinal.to_string()}}});
    Some(Action::patch(Target::of(pod), patch).announced(told(set, "update")))
}
