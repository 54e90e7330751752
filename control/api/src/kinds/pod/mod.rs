//! `v1` Pod: containers that live and die together.

mod columns;
mod default;
mod diff;
mod internal;
mod merges;
mod qos;
#[cfg(test)]
mod tests;
mod update;
mod validate;

use crate::field::Errors;
use crate::k8s_openapi::api::core::v1::{Pod, PodCondition, PodStatus, Volume};
use crate::kind::{Kind, Names, Scope, Subresource};
use crate::kinds::{names, other};
use crate::table::Columns;

pub use default::pull_policy;
pub(crate) use default::template as default_template;
pub(crate) use internal::template as printed_template;
pub use qos::class as qos_class;
pub use update::validate_ephemeral_containers;
pub(crate) use validate::{host_path_source, is_native, is_standard, node_selector, taint, template as validate_template};

/// Pod of `v1`.
pub struct Pods;

impl Kind for Pods {
    type Object = Pod;

    const NAMES: Names = names("pod", &["po"], &["all"]);
    const SCOPE: Scope = Scope::Namespaced;
    const SUBRESOURCES: &[Subresource] = &[
        other("attach", "", "PodAttachOptions", &["create", "get"]),
        other("binding", "", "Binding", &["create"]),
        other("ephemeralcontainers", "", "Pod", &["get", "patch", "update"]),
        other("eviction", "policy/v1", "Eviction", &["create"]),
        other("exec", "", "PodExecOptions", &["create", "get"]),
        other("log", "", "Pod", &["get"]),
        other("portforward", "", "PodPortForwardOptions", &["create", "get"]),
        other("proxy", "", "PodProxyOptions", &["create", "delete", "get", "patch", "update"]),
        other("resize", "", "Pod", &["get", "patch", "update"]),
        Subresource::Status,
    ];
    const MERGES: &[crate::kind::Merge] = merges::MERGES;
    const HAS_GENERATION: bool = true;

    fn copy_status(to: &mut Self::Object, from: &Self::Object) {
        to.status.clone_from(&from.status);
    }

    fn keep_on_status_update(new: &mut Self::Object, old: &Self::Object) {
        new.metadata.owner_references.clone_from(&old.metadata.owner_references);
    }

    fn desired_differs(new: &Self::Object, old: &Self::Object) -> bool {
        new.spec != old.spec
    }

    fn default(pod: &mut Pod) {
        default::pod(pod);
    }

    fn prepare_create(pod: &mut Pod) {
        let qos_class = Some(qos::class(pod).to_owned());
        let gated = pod.spec.as_ref().is_some_and(|s| !s.scheduling_gates.as_ref().is_none_or(Vec::is_empty));
        let conditions = gated.then(|| vec![scheduling_gated()]);
        pod.status = Some(PodStatus { phase: Some("Pending".to_owned()), qos_class, conditions, ..PodStatus::default() });
    }

    fn validate(pod: &Pod) -> Errors {
        validate::pod(pod)
    }

    fn validate_update(new: &Pod, old: &Pod) -> Errors {
        update::validate_update(new, old)
    }

    fn validate_status_update(new: &Pod, old: &Pod) -> Errors {
        update::validate_status_update(new, old)
    }

    fn columns() -> Columns<Pod> {
        columns::columns()
    }

    fn selectable_fields(pod: &Pod) -> Vec<(&'static str, String)> {
        let spec = pod.spec.as_ref();
        let status = pod.status.as_ref();
        let text = |text: Option<&String>| text.cloned().unwrap_or_default();
        let ip = status.and_then(|s| s.pod_ips.iter().flatten().next().map(|ip| &ip.ip).or(s.pod_ip.as_ref()));
        vec![
            ("spec.nodeName", text(spec.and_then(|s| s.node_name.as_ref()))),
            ("spec.restartPolicy", text(spec.and_then(|s| s.restart_policy.as_ref()))),
            ("spec.schedulerName", text(spec.and_then(|s| s.scheduler_name.as_ref()))),
            ("spec.serviceAccountName", text(spec.and_then(|s| s.service_account_name.as_ref()))),
            ("spec.hostNetwork", spec.and_then(|s| s.host_network).unwrap_or(false).to_string()),
            ("status.phase", text(status.and_then(|s| s.phase.as_ref()))),
            ("status.podIP", text(ip)),
            ("status.nominatedNodeName", text(status.and_then(|s| s.nominated_node_name.as_ref()))),
        ]
    }
}

fn scheduling_gated() -> PodCondition {
    PodCondition {
        type_: "PodScheduled".to_owned(),
        status: "False".to_owned(),
        reason: Some("SchedulingGated".to_owned()),
        message: Some("Scheduling is blocked due to non-empty scheduling gates".to_owned()),
        ..PodCondition::default()
    }
}

/// The JSON names of the sources that a volume has; one is right.
pub(crate) fn volume_sources(v: &Volume) -> Vec<&'static str> {
    [
        (v.empty_dir.is_some(), "emptyDir"),
        (v.host_path.is_some(), "hostPath"),
        (v.git_repo.is_some(), "gitRepo"),
        (v.gce_persistent_disk.is_some(), "gcePersistentDisk"),
        (v.aws_elastic_block_store.is_some(), "awsElasticBlockStore"),
        (v.secret.is_some(), "secret"),
        (v.nfs.is_some(), "nfs"),
        (v.iscsi.is_some(), "iscsi"),
        (v.glusterfs.is_some(), "glusterfs"),
        (v.flocker.is_some(), "flocker"),
        (v.persistent_volume_claim.is_some(), "persistentVolumeClaim"),
        (v.rbd.is_some(), "rbd"),
        (v.cinder.is_some(), "cinder"),
        (v.cephfs.is_some(), "cephfs"),
        (v.flex_volume.is_some(), "flexVolume"),
        (v.downward_api.is_some(), "downwardAPI"),
        (v.fc.is_some(), "fc"),
        (v.azure_file.is_some(), "azureFile"),
        (v.config_map.is_some(), "configMap"),
        (v.vsphere_volume.is_some(), "vsphereVolume"),
        (v.quobyte.is_some(), "quobyte"),
        (v.photon_persistent_disk.is_some(), "photonPersistentDisk"),
        (v.portworx_volume.is_some(), "portworxVolume"),
        (v.azure_disk.is_some(), "azureDisk"),
        (v.storageos.is_some(), "storageos"),
        (v.projected.is_some(), "projected"),
        (v.scale_io.is_some(), "scaleIO"),
        (v.csi.is_some(), "csi"),
        (v.ephemeral.is_some(), "ephemeral"),
        (v.image.is_some(), "image"),
    ]
    .into_iter()
    .filter_map(|(given, name)| given.then_some(name))
    .collect()
}
