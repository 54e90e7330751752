//! `storage.k8s.io/v1` CSIDriver: what a storage driver can do.

use crate::k8s_openapi::api::storage::v1::CSIDriver;
use crate::kind::{Kind, Merge, Names, Scope};
use crate::kinds::{merge, names};

/// CSIDriver of `storage.k8s.io/v1`.
pub struct CSIDrivers;

impl Kind for CSIDrivers {
    type Object = CSIDriver;

    const NAMES: Names = names("csidriver", &[], &[]);
    const SCOPE: Scope = Scope::Cluster;
    const MERGES: &[Merge] = MERGES;
    const ALLOW_UNCONDITIONAL_UPDATE: bool = false;
}

/// How lists and maps of these types are merged, from the OpenAPI document.
const MERGES: &[Merge] = &[
    merge("io.k8s.api.storage.v1.CSIDriverSpec", "tokenRequests", "", "", "atomic", &[]),
    merge("io.k8s.api.storage.v1.CSIDriverSpec", "volumeLifecycleModes", "", "", "set", &[]),
];
