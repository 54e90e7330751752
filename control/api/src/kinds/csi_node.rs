//! `storage.k8s.io/v1` CSINode: the storage drivers of a node.

use crate::k8s_openapi::api::storage::v1::CSINode;
use crate::kind::{Kind, Merge, Names, Scope};
use crate::kinds::{merge, names};

/// CSINode of `storage.k8s.io/v1`.
pub struct CSINodes;

impl Kind for CSINodes {
    type Object = CSINode;

    const NAMES: Names = names("csinode", &[], &[]);
    const SCOPE: Scope = Scope::Cluster;
    const MERGES: &[Merge] = MERGES;
    const ALLOW_UNCONDITIONAL_UPDATE: bool = false;
}

/// How lists and maps of these types are merged, from the OpenAPI document.
const MERGES: &[Merge] = &[
    merge("io.k8s.api.storage.v1.CSINodeDriver", "topologyKeys", "", "", "atomic", &[]),
    merge("io.k8s.api.storage.v1.CSINodeSpec", "drivers", "merge", "name", "map", &["name"]),
];
