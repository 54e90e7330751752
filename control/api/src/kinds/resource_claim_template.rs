//! `resource.k8s.io/v1` ResourceClaimTemplate: claims made for each Pod.

use crate::k8s_openapi::api::resource::v1::ResourceClaimTemplate;
use crate::kind::{Kind, Names, Scope};
use crate::kinds::columns::{age, age_cell, name, name_cell};
use crate::kinds::names;
use crate::table::Columns;

/// ResourceClaimTemplate of `resource.k8s.io/v1`.
pub struct ResourceClaimTemplates;

impl Kind for ResourceClaimTemplates {
    type Object = ResourceClaimTemplate;

    const NAMES: Names = names("resourceclaimtemplate", &[], &[]);
    const SCOPE: Scope = Scope::Namespaced;

    fn columns() -> Columns<ResourceClaimTemplate> {
        Columns { columns: vec![name(), age()], row: |object, now| vec![name_cell(&object.metadata), age_cell(&object.metadata, now)] }
    }
}
