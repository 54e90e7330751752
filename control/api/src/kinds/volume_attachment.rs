//! `storage.k8s.io/v1` VolumeAttachment: a volume being attached to a node.

use crate::k8s_openapi::api::storage::v1::VolumeAttachment;
use crate::kind::{Kind, Names, Scope, Subresource};
use crate::kinds::names;

/// VolumeAttachment of `storage.k8s.io/v1`.
pub struct VolumeAttachments;

impl Kind for VolumeAttachments {
    type Object = VolumeAttachment;

    const NAMES: Names = names("volumeattachment", &[], &[]);
    const SCOPE: Scope = Scope::Cluster;
    const SUBRESOURCES: &[Subresource] = &[Subresource::Status];
    const ALLOW_UNCONDITIONAL_UPDATE: bool = false;

    fn copy_status(to: &mut Self::Object, from: &Self::Object) {
        to.status.clone_from(&from.status);
    }
}
