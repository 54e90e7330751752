//! `v1` PersistentVolume: storage that claims are bound to.

use jiff::Timestamp;
use serde_json::Value;

use crate::field::{Error, Errors, Path, printed_json};
use crate::k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeSpec, PersistentVolumeStatus};
use crate::k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use crate::kind::{Kind, Merge, Names, Scope, Subresource};
use crate::kinds::checks::one_of;
use crate::kinds::columns::{age, age_cell, name, name_cell, text as text_column};
use crate::kinds::normal::{fill, text};
use crate::kinds::persistent_volume_claim::{access_modes, positive, short_modes};
use crate::kinds::pod;
use crate::kinds::{merge, names};
use crate::meta::whole_second;
use crate::table::Columns;

/// PersistentVolume of `v1`.
pub struct PersistentVolumes;

impl Kind for PersistentVolumes {
    type Object = PersistentVolume;

    const NAMES: Names = names("persistentvolume", &["pv"], &[]);
    const SCOPE: Scope = Scope::Cluster;
    const SUBRESOURCES: &[Subresource] = &[Subresource::Status];
    const MERGES: &[Merge] = MERGES;

    fn copy_status(to: &mut Self::Object, from: &Self::Object) {
        to.status.clone_from(&from.status);
    }

    fn default(volume: &mut PersistentVolume) {
        let spec = volume.spec.get_or_insert_default();
        fill(&mut spec.persistent_volume_reclaim_policy, "Retain");
        fill(&mut spec.volume_mode, "Filesystem");
        if let Some(host_path) = &mut spec.host_path {
            host_path.type_.get_or_insert_default();
        }
        fill(&mut volume.status.get_or_insert_default().phase, "Pending");
    }

    fn prepare_create(volume: &mut PersistentVolume) {
        volume.status = Some(PersistentVolumeStatus { phase: Some("Pending".to_owned()), ..PersistentVolumeStatus::default() });
    }

    /// Since when it is in its phase, unless whoever wrote it says so.
    fn stamp(new: &mut PersistentVolume, old: Option<&PersistentVolume>, now: Timestamp) {
        let before = old.and_then(|old| old.status.as_ref());
        let Some(status) = &mut new.status else { return };
        let said = before.and_then(|before| before.last_phase_transition_time.as_ref());
        if before.is_none_or(|before| before.phase != status.phase) && status.last_phase_transition_time.as_ref() == said {
            status.last_phase_transition_time = Some(Time(whole_second(now)));
        }
    }

    fn validate(volume: &PersistentVolume) -> Errors {
        validate_spec(volume.spec.as_ref().unwrap_or(&PersistentVolumeSpec::default()), &Path::new("spec"))
    }

    fn validate_update(new: &PersistentVolume, old: &PersistentVolume) -> Errors {
        let mut errors = Self::validate(new);
        let empty = PersistentVolumeSpec::default();
        let (new, old) = (new.spec.as_ref().unwrap_or(&empty), old.spec.as_ref().unwrap_or(&empty));
        if sources(new) != sources(old) || new.host_path != old.host_path || new.local != old.local || new.csi != old.csi || new.nfs != old.nfs {
            let words = "spec.persistentvolumesource is immutable after creation";
            errors.push(Error::forbidden(&Path::new("spec.persistentvolumesource"), words));
        }
        if new.volume_mode != old.volume_mode {
            let words = crate::kinds::checks::IMMUTABLE;
            errors.push(Error::invalid(&Path::new("spec.volumeMode"), text(&new.volume_mode), words));
        }
        errors
    }

    fn columns() -> Columns<PersistentVolume> {
        Columns {
            columns: vec![
                name(),
                text_column("Capacity", "capacity is the description of the persistent volume's resources and capacity. More info: https://kubernetes.io/docs/concepts/storage/persistent-volumes#capacity"),
                text_column("Access Modes", "accessModes contains all ways the volume can be mounted. More info: https://kubernetes.io/docs/concepts/storage/persistent-volumes#access-modes"),
                text_column("Reclaim Policy", "persistentVolumeReclaimPolicy defines what happens to a persistent volume when released from its claim. Valid options are Retain (default for manually created PersistentVolumes), Delete (default for dynamically provisioned PersistentVolumes), and Recycle (deprecated). Recycle must be supported by the volume plugin underlying this PersistentVolume. More info: https://kubernetes.io/docs/concepts/storage/persistent-volumes#reclaiming"),
                text_column("Status", "phase indicates if a volume is available, bound to a claim, or released by a claim. More info: https://kubernetes.io/docs/concepts/storage/persistent-volumes#phase"),
                text_column("Claim", "claimRef is part of a bi-directional binding between PersistentVolume and PersistentVolumeClaim. Expected to be non-nil when bound. claim.VolumeName is the authoritative bind between PV and PVC. More info: https://kubernetes.io/docs/concepts/storage/persistent-volumes#binding"),
                text_column("StorageClass", "StorageClass of the pv"),
                text_column("VolumeAttributesClass", "VolumeAttributesClass of the pv"),
                text_column("Reason", "reason is a brief CamelCase string that describes any failure and is meant for machine parsing and tidy display in the CLI."),
                age(),
                text_column("VolumeMode", "volumeMode defines if a volume is intended to be used with a formatted filesystem or to remain in raw block state. Value of Filesystem is implied when not included in spec.").wide(),
            ],
            row: |volume, now| {
                let (no_spec, no_status) = (PersistentVolumeSpec::default(), PersistentVolumeStatus::default());
                let (spec, status) = (volume.spec.as_ref().unwrap_or(&no_spec), volume.status.as_ref().unwrap_or(&no_status));
                let phase = if volume.metadata.deletion_timestamp.is_some() { "Terminating" } else { text(&status.phase) };
                let claim = spec.claim_ref.as_ref().map(|c| format!("{}/{}", text(&c.namespace), text(&c.name)));
                let class = volume.metadata.annotations.as_ref().and_then(|a| a.get("volume.beta.kubernetes.io/storage-class"));
                let unset = |value: &Option<String>| Value::from(value.as_deref().unwrap_or("<unset>"));
                vec![
                    name_cell(&volume.metadata),
                    Value::from(spec.capacity.as_ref().and_then(|c| c.get("storage")).map_or("", |q| q.0.as_str())),
                    Value::from(short_modes(spec.access_modes.as_deref())),
                    Value::from(text(&spec.persistent_volume_reclaim_policy)),
                    Value::from(phase),
                    Value::from(claim.unwrap_or_default()),
                    Value::from(class.map_or(text(&spec.storage_class_name), String::as_str)),
                    unset(&spec.volume_attributes_class_name),
                    Value::from(text(&status.reason)),
                    age_cell(&volume.metadata, now),
                    unset(&spec.volume_mode),
                ]
            },
        }
    }
}

fn sources(spec: &PersistentVolumeSpec) -> Vec<&'static str> {
    [
        (spec.host_path.is_some(), "hostPath"),
        (spec.gce_persistent_disk.is_some(), "gcePersistentDisk"),
        (spec.aws_elastic_block_store.is_some(), "awsElasticBlockStore"),
        (spec.glusterfs.is_some(), "glusterfs"),
        (spec.flocker.is_some(), "flocker"),
        (spec.nfs.is_some(), "nfs"),
        (spec.rbd.is_some(), "rbd"),
        (spec.quobyte.is_some(), "quobyte"),
        (spec.cephfs.is_some(), "cephFS"),
        (spec.iscsi.is_some(), "iscsi"),
        (spec.cinder.is_some(), "cinder"),
        (spec.fc.is_some(), "fc"),
        (spec.flex_volume.is_some(), "flexVolume"),
        (spec.azure_file.is_some(), "azureFile"),
        (spec.vsphere_volume.is_some(), "vsphereVolume"),
        (spec.photon_persistent_disk.is_some(), "photonPersistentDisk"),
        (spec.portworx_volume.is_some(), "portworxVolume"),
        (spec.azure_disk.is_some(), "azureDisk"),
        (spec.scale_io.is_some(), "scaleIO"),
        (spec.local.is_some(), "local"),
        (spec.storageos.is_some(), "storageos"),
        (spec.csi.is_some(), "csi"),
    ]
    .into_iter()
    .filter_map(|(given, name)| given.then_some(name))
    .collect()
}

fn validate_spec(spec: &PersistentVolumeSpec, at: &Path) -> Errors {
    let mut errors = access_modes(spec.access_modes.as_deref(), "", &at.child("accessModes"));
    let capacity_at = at.child("capacity");
    match spec.capacity.as_ref() {
        Some(capacity) if !capacity.is_empty() => {
            if capacity.len() > 1 || !capacity.contains_key("storage") {
                errors.push(Error::not_supported(&capacity_at, printed_json(capacity), &["storage"]));
            }
            errors.extend(capacity.iter().flat_map(|(name, amount)| positive(amount, &capacity_at.key(name))));
        }
        _ => errors.push(Error::required(&capacity_at, "")),
    }
    let policies = &["Delete", "Recycle", "Retain"];
    errors.extend(one_of(spec.persistent_volume_reclaim_policy.as_deref(), policies, &at.child("persistentVolumeReclaimPolicy")));
    match sources(spec).as_slice() {
        [] => errors.push(Error::required(at, "must specify a volume type")),
        [_] => {}
        [_, others @ ..] => errors.extend(others.iter().map(|s| Error::forbidden(&at.child(s), "may not specify more than 1 volume type"))),
    }
    if let Some(host_path) = &spec.host_path {
        errors.extend(pod::host_path_source(&host_path.path, host_path.type_.as_deref(), &at.child("hostPath")));
        if host_path.path.trim_end_matches('/').is_empty() && text(&spec.persistent_volume_reclaim_policy) == "Recycle" {
            errors.push(Error::forbidden(&at.child("persistentVolumeReclaimPolicy"), "may not be 'recycle' for a hostPath mount of '/'"));
        }
    }
    if let Some(local) = &spec.local {
        if local.path.is_empty() {
            errors.push(Error::required(&at.child("local.path"), ""));
        }
        if spec.node_affinity.is_none() {
            errors.push(Error::required(&at.child("nodeAffinity"), "Local volume requires node affinity"));
        }
    }
    if let Some(required) = spec.node_affinity.as_ref().and_then(|a| a.required.as_ref()) {
        errors.extend(pod::node_selector(required, &at.child("nodeAffinity.required")));
    }
    if let Some(mode) = spec.volume_mode.as_ref().filter(|m| !matches!(m.as_str(), "Block" | "Filesystem")) {
        errors.push(Error::not_supported(&at.child("volumeMode"), mode, &["Block", "Filesystem"]));
    }
    errors
}

/// How lists and maps of these types are merged, from the OpenAPI document.
const MERGES: &[Merge] = &[
    merge("io.k8s.api.core.v1.CephFSPersistentVolumeSource", "monitors", "", "", "atomic", &[]),
    merge("io.k8s.api.core.v1.ISCSIPersistentVolumeSource", "portals", "", "", "atomic", &[]),
    merge("io.k8s.api.core.v1.PersistentVolumeSpec", "accessModes", "", "", "atomic", &[]),
    merge("io.k8s.api.core.v1.PersistentVolumeSpec", "claimRef", "", "", "granular", &[]),
    merge("io.k8s.api.core.v1.PersistentVolumeSpec", "mountOptions", "", "", "atomic", &[]),
    merge("io.k8s.api.core.v1.RBDPersistentVolumeSource", "monitors", "", "", "atomic", &[]),
    merge("io.k8s.api.core.v1.SecretReference", "", "", "", "atomic", &[]),
];

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::kinds::testing::{check_refused, check_row};

    #[test]
    fn says_since_when_it_is_in_its_phase() {
        let at = |second| Timestamp::from_second(1_800_000_000 + second).unwrap();
        let volume = |phase: &str, since: Option<i64>| {
            let status = PersistentVolumeStatus { phase: Some(phase.to_owned()), last_phase_transition_time: since.map(|s| Time(at(s))), ..Default::default() };
            PersistentVolume { status: Some(status), ..PersistentVolume::default() }
        };
        for (old, new, since) in [
            (None, volume("Pending", None), 9),
            (Some(volume("Pending", Some(1))), volume("Pending", Some(1)), 1),
            (Some(volume("Pending", Some(1))), volume("Bound", Some(1)), 9),
            (Some(volume("Pending", Some(1))), volume("Bound", Some(5)), 5),
        ] {
            let mut stamped = new.clone();
            PersistentVolumes::stamp(&mut stamped, old.as_ref(), at(9));
            assert_eq!(stamped.status.unwrap().last_phase_transition_time, Some(Time(at(since))), "{old:?} {new:?}");
        }
    }

    #[test]
    fn refuses_in_kubernetes_words() {
        check_refused::<PersistentVolumes>(
            r#"
metadata: {name: p, creationTimestamp: 2026-01-01T00:00:00Z}
spec: {}
"#,
            &expect![[r#"
                spec.accessModes: Required value
                spec.capacity: Required value
                spec: Required value: must specify a volume type
            "#]],
        );
        check_refused::<PersistentVolumes>(
            r#"
metadata: {name: p, creationTimestamp: 2026-01-01T00:00:00Z}
spec: {accessModes: [ReadWriteOnce], capacity: {cpu: 1}, hostPath: {path: /a/../b, type: Thing}, local: {path: ""}, persistentVolumeReclaimPolicy: Burn}
"#,
            &expect![[r#"
                spec.capacity: Unsupported value: {"cpu":"1"}: supported values: "storage"
                spec.persistentVolumeReclaimPolicy: Unsupported value: "Burn": supported values: "Delete", "Recycle", "Retain"
                spec.local: Forbidden: may not specify more than 1 volume type
                spec.hostPath.path: Invalid value: "/a/../b": must not contain '..'
                spec.hostPath.type: Unsupported value: "Thing": supported values: "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"
                spec.local.path: Required value
                spec.nodeAffinity: Required value: Local volume requires node affinity
            "#]],
        );
    }

    #[test]
    fn prints_a_row() {
        check_row::<PersistentVolumes>(
            r#"
metadata: {name: p, creationTimestamp: 2026-01-01T00:00:00Z}
spec: {accessModes: [ReadOnlyMany], capacity: {storage: 1Gi}, claimRef: {namespace: n, name: c}}
status: {phase: Bound}
"#,
            &expect![[r#"
                Name: p
                Capacity: 1Gi
                Access Modes: ROX
                Reclaim Policy: Retain
                Status: Bound
                Claim: n/c
                StorageClass: 
                VolumeAttributesClass: <unset>
                Reason: 
                Age: 15m
                VolumeMode: Filesystem
            "#]],
        );
    }
}
