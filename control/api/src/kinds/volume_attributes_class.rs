//! `storage.k8s.io/v1` VolumeAttributesClass: changeable attributes of volumes.

use crate::k8s_openapi::api::storage::v1::VolumeAttributesClass;
use crate::kind::{Kind, Names, Scope};
use crate::kinds::names;

/// VolumeAttributesClass of `storage.k8s.io/v1`.
pub struct VolumeAttributesClasses;

impl Kind for VolumeAttributesClasses {
    type Object = VolumeAttributesClass;

    const NAMES: Names = names("volumeattributesclass", &["vac"], &[]);
    const SCOPE: Scope = Scope::Cluster;
}
