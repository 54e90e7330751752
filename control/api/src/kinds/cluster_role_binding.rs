//! `rbac.authorization.k8s.io/v1` ClusterRoleBinding: grants a ClusterRole everywhere.

use serde_json::Value;

use crate::field::Errors;
use crate::k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use crate::kind::{Kind, Merge, Names, Scope};
use crate::kinds::columns::{age, age_cell, name, name_cell, text};
use crate::kinds::rbac;
use crate::kinds::{merge, names};
use crate::table::Columns;

/// ClusterRoleBinding of `rbac.authorization.k8s.io/v1`.
pub struct ClusterRoleBindings;

impl Kind for ClusterRoleBindings {
    type Object = ClusterRoleBinding;

    const NAMES: Names = names("clusterrolebinding", &[], &[]);
    const SCOPE: Scope = Scope::Cluster;
    const MERGES: &[Merge] = MERGES;
    const ALLOW_CREATE_ON_UPDATE: bool = true;

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        crate::kinds::path_segment_name(name, prefix)
    }

    fn default(binding: &mut ClusterRoleBinding) {
        rbac::default_binding(&mut binding.role_ref, binding.subjects.as_mut());
    }

    fn validate(binding: &ClusterRoleBinding) -> Errors {
        rbac::binding(&binding.role_ref, &["ClusterRole"], binding.subjects.as_deref().unwrap_or_default(), false)
    }

    fn validate_update(new: &ClusterRoleBinding, old: &ClusterRoleBinding) -> Errors {
        let mut errors = Self::validate(new);
        errors.extend(rbac::role_is_immutable(&new.role_ref, &old.role_ref));
        errors
    }

    fn columns() -> Columns<ClusterRoleBinding> {
        Columns {
            columns: vec![
                name(),
                text(
                    "Role",
                    "RoleRef can only reference a ClusterRole in the global namespace. If the RoleRef cannot be resolved, the Authorizer must return an error.",
                ),
                age(),
                text("Users", "Users in the clusterRoleBinding").wide(),
                text("Groups", "Groups in the clusterRoleBinding").wide(),
                text("ServiceAccounts", "ServiceAccounts in the clusterRoleBinding").wide(),
            ],
            row: |binding, now| {
                let [users, groups, accounts] = rbac::subject_cells(binding.subjects.as_deref().unwrap_or_default());
                let role = format!("{}/{}", binding.role_ref.kind, binding.role_ref.name);
                vec![name_cell(&binding.metadata), Value::from(role), age_cell(&binding.metadata, now), users, groups, accounts]
            },
        }
    }
}

/// How lists and maps of these types are merged, from the OpenAPI document.
const MERGES: &[Merge] = &[
    merge("io.k8s.api.rbac.v1.ClusterRoleBinding", "subjects", "", "", "atomic", &[]),
    merge("io.k8s.api.rbac.v1.RoleRef", "", "", "", "atomic", &[]),
    merge("io.k8s.api.rbac.v1.Subject", "", "", "", "atomic", &[]),
];
