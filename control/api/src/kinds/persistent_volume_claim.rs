//! `v1` PersistentVolumeClaim: a wish for storage.

use serde_json::Value;

use crate::field::{Error, Errors, Path};
use crate::k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec, PersistentVolumeClaimStatus};
use crate::k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use crate::kind::{Kind, Merge, Names, Scope, Subresource};
use crate::kinds::checks::each;
use crate::kinds::columns::{age, age_cell, name, name_cell, text as text_column};
use crate::kinds::normal::{drop_empty, fill, text};
use crate::kinds::{amount, label_selector};
use crate::kinds::{merge, names};
use crate::meta::dns1123_subdomain;
use crate::table::Columns;

/// PersistentVolumeClaim of `v1`.
pub struct PersistentVolumeClaims;

impl Kind for PersistentVolumeClaims {
    type Object = PersistentVolumeClaim;

    const NAMES: Names = names("persistentvolumeclaim", &["pvc"], &[]);
    const SCOPE: Scope = Scope::Namespaced;
    const SUBRESOURCES: &[Subresource] = &[Subresource::Status];
    const MERGES: &[Merge] = MERGES;

    fn copy_status(to: &mut Self::Object, from: &Self::Object) {
        to.status.clone_from(&from.status);
    }

    fn default(claim: &mut PersistentVolumeClaim) {
        let spec = claim.spec.get_or_insert_default();
        drop_empty(&mut spec.volume_name);
        fill(&mut spec.volume_mode, "Filesystem");
        fill(&mut claim.status.get_or_insert_default().phase, "Pending");
    }

    fn prepare_create(claim: &mut PersistentVolumeClaim) {
        claim.status = Some(PersistentVolumeClaimStatus { phase: Some("Pending".to_owned()), ..PersistentVolumeClaimStatus::default() });
    }

    fn validate(claim: &PersistentVolumeClaim) -> Errors {
        validate_spec(claim.spec.as_ref().unwrap_or(&PersistentVolumeClaimSpec::default()), &Path::new("spec"))
    }

    fn validate_update(new: &PersistentVolumeClaim, old: &PersistentVolumeClaim) -> Errors {
        let mut errors = Self::validate(new);
        let empty = PersistentVolumeClaimSpec::default();
        let (new, old) = (new.spec.as_ref().unwrap_or(&empty), old.spec.as_ref().unwrap_or(&empty));
        let mut kept = new.clone();
        if text(&old.volume_name).is_empty() {
            kept.volume_name.clone_from(&old.volume_name);
        } else {
            kept.resources.clone_from(&old.resources);
            kept.volume_attributes_class_name.clone_from(&old.volume_attributes_class_name);
        }
        if old.storage_class_name.is_none() {
            kept.storage_class_name = None;
        }
        if kept != *old {
            let words = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
            errors.push(Error::forbidden(&Path::new("spec"), words));
        }
        let storage = |spec: &PersistentVolumeClaimSpec| spec.resources.as_ref()?.requests.as_ref()?.get("storage").cloned();
        if let (Some(new), Some(old)) = (storage(new), storage(old))
            && amount::exceeds(&old, &new)
        {
            let at = Path::new("spec.resources.requests.storage");
            errors.push(Error::forbidden(&at, "field can not be less than status.capacity"));
        }
        errors
    }

    fn columns() -> Columns<PersistentVolumeClaim> {
        Columns {
            columns: vec![
                name(),
                text_column("Status", "phase represents the current phase of PersistentVolumeClaim."),
                text_column("Volume", "volumeName is the binding reference to the PersistentVolume backing this claim."),
                text_column("Capacity", "capacity represents the actual resources of the underlying volume."),
                text_column(
                    "Access Modes",
                    "accessModes contains the actual access modes the volume backing the PVC has. More info: https://kubernetes.io/docs/concepts/storage/persistent-volumes#access-modes-1",
                ),
                text_column("StorageClass", "StorageClass of the pvc"),
                text_column("VolumeAttributesClass", "VolumeAttributesClass of the pvc"),
                age(),
                text_column(
                    "VolumeMode",
                    "volumeMode defines what type of volume is required by the claim. Value of Filesystem is implied when not included in claim spec.",
                )
                .wide(),
            ],
            row: |claim, now| {
                let (no_spec, no_status) = (PersistentVolumeClaimSpec::default(), PersistentVolumeClaimStatus::default());
                let (spec, status) = (claim.spec.as_ref().unwrap_or(&no_spec), claim.status.as_ref().unwrap_or(&no_status));
                let phase = if claim.metadata.deletion_timestamp.is_some() { "Terminating" } else { text(&status.phase) };
                let bound = !text(&spec.volume_name).is_empty();
                let capacity = status.capacity.as_ref().and_then(|c| c.get("storage")).filter(|_| bound).map_or("", |q| q.0.as_str());
                let modes = if bound { short_modes(status.access_modes.as_deref()) } else { String::new() };
                let class = claim.metadata.annotations.as_ref().and_then(|a| a.get("volume.beta.kubernetes.io/storage-class"));
                let unset = |value: &Option<String>| Value::from(value.as_deref().unwrap_or("<unset>"));
                vec![
                    name_cell(&claim.metadata),
                    Value::from(phase),
                    Value::from(text(&spec.volume_name)),
                    Value::from(capacity),
                    Value::from(modes),
                    Value::from(class.map_or(text(&spec.storage_class_name), String::as_str)),
                    unset(&spec.volume_attributes_class_name),
                    age_cell(&claim.metadata, now),
                    unset(&spec.volume_mode),
                ]
            },
        }
    }
}

/// How many nodes may use a volume, and how.
const ACCESS_MODES: &[&str] = &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

/// Refusals of access modes. At least one is needed, in the words of the kind.
pub(crate) fn access_modes(modes: Option<&[String]>, required: &str, at: &Path) -> Errors {
    let mut errors = Errors::new();
    let modes = modes.unwrap_or_default();
    if modes.is_empty() {
        errors.push(Error::required(at, required));
    }
    for mode in modes.iter().filter(|m| !ACCESS_MODES.contains(&m.as_str())) {
        errors.push(Error::not_supported(at, mode, ACCESS_MODES));
    }
    if modes.len() > 1 && modes.iter().any(|m| m == "ReadWriteOncePod") {
        errors.push(Error::forbidden(at, "may not use ReadWriteOncePod with other access modes"));
    }
    errors
}

/// Access modes by their initials: `RWO,ROX`.
pub(crate) fn short_modes(modes: Option<&[String]>) -> String {
    let has = |mode: &str| modes.into_iter().flatten().any(|m| m == mode);
    let order = [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    order.into_iter().filter(|(mode, _)| has(mode)).map(|(_, short)| short).collect::<Vec<_>>().join(",")
}

/// An amount of storage, which must be more than nothing.
pub(crate) fn positive(amount: &Quantity, at: &Path) -> Option<Error> {
    (!amount::is_positive(amount)).then(|| Error::invalid(at, &amount.0, "must be greater than zero"))
}

/// Refusals of what a claim asks for.
pub(crate) fn validate_spec(spec: &PersistentVolumeClaimSpec, at: &Path) -> Errors {
    let mut errors = access_modes(spec.access_modes.as_deref(), "at least 1 access mode is required", &at.child("accessModes"));
    errors.extend(spec.selector.iter().flat_map(|s| label_selector::validate(s, &at.child("selector"))));
    let storage_at = at.child("resources").key("storage");
    match spec.resources.as_ref().and_then(|r| r.requests.as_ref()).and_then(|r| r.get("storage")) {
        None => errors.push(Error::required(&storage_at, "")),
        Some(amount) => errors.extend(positive(amount, &storage_at)),
    }
    let class = text(&spec.storage_class_name);
    if !class.is_empty() {
        errors.extend(each(&at.child("storageClassName"), class, dns1123_subdomain(class)));
    }
    if let Some(mode) = spec.volume_mode.as_ref().filter(|m| !matches!(m.as_str(), "Block" | "Filesystem")) {
        errors.push(Error::not_supported(&at.child("volumeMode"), mode, &["Block", "Filesystem"]));
    }
    errors
}

/// How lists and maps of these types are merged, from the OpenAPI document.
const MERGES: &[Merge] = &[
    merge("io.k8s.api.core.v1.PersistentVolumeClaimStatus", "accessModes", "", "", "atomic", &[]),
    merge("io.k8s.api.core.v1.PersistentVolumeClaimStatus", "allocatedResourceStatuses", "", "", "granular", &[]),
    merge("io.k8s.api.core.v1.PersistentVolumeClaimStatus", "conditions", "merge", "type", "map", &["type"]),
];

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::kinds::testing::{check_default, check_refused, check_row, check_update_refused};

    #[test]
    fn fills_in_what_is_left_out() {
        check_default::<PersistentVolumeClaims>(
            r#"
metadata: {name: p, creationTimestamp: 2026-01-01T00:00:00Z}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"#,
            &expect![[r#"
                apiVersion: v1
                kind: PersistentVolumeClaim
                metadata:
                  creationTimestamp: 2026-01-01T00:00:00Z
                  name: p
                spec:
                  accessModes:
                  - ReadWriteOnce
                  resources:
                    requests:
                      storage: 1Gi
                  volumeMode: Filesystem
                status:
                  phase: Pending
            "#]],
        );
    }

    #[test]
    fn refuses_in_kubernetes_words() {
        check_refused::<PersistentVolumeClaims>(
            r#"
metadata: {name: p, creationTimestamp: 2026-01-01T00:00:00Z}
spec: {resources: {requests: {storage: "-1"}}}
"#,
            &expect![[r#"
                spec.accessModes: Required value: at least 1 access mode is required
                spec.resources[storage]: Invalid value: "-1": must be greater than zero
            "#]],
        );
        check_refused::<PersistentVolumeClaims>(
            r#"
metadata: {name: p, creationTimestamp: 2026-01-01T00:00:00Z}
spec: {accessModes: [Sometimes], volumeMode: Tape, storageClassName: "A b"}
"#,
            &expect![[r#"
                spec.accessModes: Unsupported value: "Sometimes": supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"
                spec.resources[storage]: Required value
                spec.storageClassName: Invalid value: "A b": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
                spec.volumeMode: Unsupported value: "Tape": supported values: "Block", "Filesystem"
            "#]],
        );
        check_update_refused::<PersistentVolumeClaims>(
            r#"
metadata: {name: p, creationTimestamp: 2026-01-01T00:00:00Z}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 2Gi}}}
"#,
            r#"
metadata: {name: p, creationTimestamp: 2026-01-01T00:00:00Z}
spec: {accessModes: [ReadWriteMany], resources: {requests: {storage: 1Gi}}}
"#,
            &expect![[r#"
                spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims
                spec.resources.requests.storage: Forbidden: field can not be less than status.capacity
            "#]],
        );
    }

    #[test]
    fn prints_a_row() {
        check_row::<PersistentVolumeClaims>(
            r#"
metadata: {name: p, creationTimestamp: 2026-01-01T00:00:00Z}
spec: {volumeName: v, storageClassName: standard}
status: {phase: Bound, accessModes: [ReadWriteMany, ReadWriteOnce], capacity: {storage: 1Gi}}
"#,
            &expect![[r#"
                Name: p
                Status: Bound
                Volume: v
                Capacity: 1Gi
                Access Modes: RWO,RWX
                StorageClass: standard
                VolumeAttributesClass: <unset>
                Age: 15m
                VolumeMode: Filesystem
            "#]],
        );
    }
}
