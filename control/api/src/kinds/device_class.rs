//! `resource.k8s.io/v1` DeviceClass: a kind of device that claims may ask for.

use crate::k8s_openapi::api::resource::v1::DeviceClass;
use crate::kind::{Kind, Merge, Names, Scope};
use crate::kinds::columns::{age, age_cell, name, name_cell};
use crate::kinds::{merge, names};
use crate::table::Columns;

/// DeviceClass of `resource.k8s.io/v1`.
pub struct DeviceClasses;

impl Kind for DeviceClasses {
    type Object = DeviceClass;

    const NAMES: Names = names("deviceclass", &[], &[]);
    const SCOPE: Scope = Scope::Cluster;
    const MERGES: &[Merge] = MERGES;
    const HAS_GENERATION: bool = true;

    fn desired_differs(new: &Self::Object, old: &Self::Object) -> bool {
        new.spec != old.spec
    }

    fn columns() -> Columns<DeviceClass> {
        Columns { columns: vec![name(), age()], row: |object, now| vec![name_cell(&object.metadata), age_cell(&object.metadata, now)] }
    }
}

/// How lists and maps of these types are merged, from the OpenAPI document.
const MERGES: &[Merge] = &[
    merge("io.k8s.api.resource.v1.DeviceClassSpec", "config", "", "", "atomic", &[]),
    merge("io.k8s.api.resource.v1.DeviceClassSpec", "selectors", "", "", "atomic", &[]),
];
