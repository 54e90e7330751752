//! `v1` ServiceAccount: who a Pod is.

use crate::k8s_openapi::api::core::v1::ServiceAccount;
use crate::kind::{Kind, Merge, Names, Scope, Subresource};
use crate::kinds::columns::{age, age_cell, name, name_cell};
use crate::kinds::{merge, names, other};
use crate::table::Columns;

/// ServiceAccount of `v1`.
pub struct ServiceAccounts;

impl Kind for ServiceAccounts {
    type Object = ServiceAccount;

    const NAMES: Names = names("serviceaccount", &["sa"], &[]);
    const SCOPE: Scope = Scope::Namespaced;
    const SUBRESOURCES: &[Subresource] = &[other("token", "authentication.k8s.io/v1", "TokenRequest", &["create"])];
    const MERGES: &[Merge] = MERGES;

    fn columns() -> Columns<ServiceAccount> {
        Columns { columns: vec![name(), age()], row: |account, now| vec![name_cell(&account.metadata), age_cell(&account.metadata, now)] }
    }
}

/// How lists and maps of these types are merged, from the OpenAPI document.
const MERGES: &[Merge] = &[
    merge("io.k8s.api.core.v1.ServiceAccount", "imagePullSecrets", "", "", "atomic", &[]),
    merge("io.k8s.api.core.v1.ServiceAccount", "secrets", "merge", "name", "map", &["name"]),
];
