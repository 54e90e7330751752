//! `storage.k8s.io/v1` CSIStorageCapacity: how much room a storage class has somewhere.

use crate::k8s_openapi::api::storage::v1::CSIStorageCapacity;
use crate::kind::{Kind, Names, Scope};
use crate::kinds::names;

/// CSIStorageCapacity of `storage.k8s.io/v1`.
pub struct CSIStorageCapacities;

impl Kind for CSIStorageCapacities {
    type Object = CSIStorageCapacity;

    const NAMES: Names = names("csistoragecapacity", &[], &[]);
    const SCOPE: Scope = Scope::Namespaced;
    const ALLOW_UNCONDITIONAL_UPDATE: bool = false;
}
