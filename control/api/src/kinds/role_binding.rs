//! `rbac.authorization.k8s.io/v1` RoleBinding: grants a role in one namespace.

use serde_json::Value;

use crate::field::Errors;
use crate::k8s_openapi::api::rbac::v1::RoleBinding;
use crate::kind::{Kind, Merge, Names, Scope};
use crate::kinds::columns::{age, age_cell, name, name_cell, text};
use crate::kinds::rbac;
use crate::kinds::{merge, names};
use crate::table::Columns;

/// RoleBinding of `rbac.authorization.k8s.io/v1`.
pub struct RoleBindings;

impl Kind for RoleBindings {
    type Object = RoleBinding;

    const NAMES: Names = names("rolebinding", &[], &[]);
    const SCOPE: Scope = Scope::Namespaced;
    const MERGES: &[Merge] = MERGES;
    const ALLOW_CREATE_ON_UPDATE: bool = true;

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        crate::kinds::path_segment_name(name, prefix)
    }

    fn default(binding: &mut RoleBinding) {
        rbac::default_binding(&mut binding.role_ref, binding.subjects.as_mut());
    }

    fn validate(binding: &RoleBinding) -> Errors {
        rbac::binding(&binding.role_ref, &["Role", "ClusterRole"], binding.subjects.as_deref().unwrap_or_default(), true)
    }

    fn validate_update(new: &RoleBinding, old: &RoleBinding) -> Errors {
        let mut errors = Self::validate(new);
        errors.extend(rbac::role_is_immutable(&new.role_ref, &old.role_ref));
        errors
    }

    fn columns() -> Columns<RoleBinding> {
        Columns {
            columns: vec![
                name(),
                text(
                    "Role",
                    "RoleRef can reference a Role in the current namespace or a ClusterRole in the global namespace. If the RoleRef cannot be resolved, the Authorizer must return an error.",
                ),
                age(),
                text("Users", "Users in the roleBinding").wide(),
                text("Groups", "Groups in the roleBinding").wide(),
                text("ServiceAccounts", "ServiceAccounts in the roleBinding").wide(),
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
const MERGES: &[Merge] = &[merge("io.k8s.api.rbac.v1.RoleBinding", "subjects", "", "", "atomic", &[])];

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::kinds::testing::{check_default, check_refused, check_row, check_update_refused};

    #[test]
    fn fills_in_what_is_left_out() {
        check_default::<RoleBindings>(
            r#"
metadata: {name: b}
roleRef: {kind: Role, name: r}
subjects: [{kind: User, name: u}, {kind: ServiceAccount, name: s, namespace: n}]
"#,
            &expect![[r#"
                apiVersion: rbac.authorization.k8s.io/v1
                kind: RoleBinding
                metadata:
                  name: b
                roleRef:
                  apiGroup: rbac.authorization.k8s.io
                  kind: Role
                  name: r
                subjects:
                - apiGroup: rbac.authorization.k8s.io
                  kind: User
                  name: u
                - kind: ServiceAccount
                  name: s
                  namespace: n
            "#]],
        );
    }

    #[test]
    fn refuses_in_kubernetes_words() {
        check_refused::<RoleBindings>(
            r#"
roleRef: {kind: Rule, name: "", apiGroup: x}
subjects: [{kind: Robot, name: u}, {kind: User, name: ""}, {kind: ServiceAccount, name: "A b"}]
"#,
            &expect![[r#"
                roleRef.apiGroup: Unsupported value: "x": supported values: "rbac.authorization.k8s.io"
                roleRef.kind: Unsupported value: "Rule": supported values: "Role", "ClusterRole"
                roleRef.name: Required value
                subjects[0].kind: Unsupported value: "Robot": supported values: "ServiceAccount", "User", "Group"
                subjects[1].name: Required value
                subjects[2].name: Invalid value: "A b": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
            "#]],
        );
        check_update_refused::<RoleBindings>(
            r#"
roleRef: {kind: Role, name: a}
"#,
            r#"
roleRef: {kind: Role, name: b}
"#,
            &expect![[r#"
                roleRef: Invalid value: {"APIGroup":"rbac.authorization.k8s.io","Kind":"Role","Name":"b"}: cannot change roleRef
            "#]],
        );
    }

    #[test]
    fn prints_a_row() {
        check_row::<RoleBindings>(
            r#"
metadata: {name: b, creationTimestamp: 2026-01-01T00:00:00Z}
roleRef: {kind: ClusterRole, name: view}
subjects: [{kind: User, name: u}, {kind: User, name: v}, {kind: Group, name: g}, {kind: ServiceAccount, name: s, namespace: n}]
"#,
            &expect![[r#"
                Name: b
                Role: ClusterRole/view
                Age: 15m
                Users: u, v
                Groups: g
                ServiceAccounts: n/s
            "#]],
        );
    }
}
