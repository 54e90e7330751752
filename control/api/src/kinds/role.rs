//! `rbac.authorization.k8s.io/v1` Role: a set of permissions, of one namespace.

use crate::field::{Errors, Path};
use crate::k8s_openapi::api::rbac::v1::Role;
use crate::kind::{Kind, Merge, Names, Scope};
use crate::kinds::rbac;
use crate::kinds::{merge, names};

/// Role of `rbac.authorization.k8s.io/v1`.
pub struct Roles;

impl Kind for Roles {
    type Object = Role;

    const NAMES: Names = names("role", &[], &[]);
    const SCOPE: Scope = Scope::Namespaced;
    const MERGES: &[Merge] = MERGES;
    const ALLOW_CREATE_ON_UPDATE: bool = true;

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        crate::kinds::path_segment_name(name, prefix)
    }

    fn validate(role: &Role) -> Errors {
        rbac::rules(role.rules.as_deref().unwrap_or_default(), true, &Path::new("rules"))
    }
}

/// How lists and maps of these types are merged, from the OpenAPI document.
const MERGES: &[Merge] = &[merge("io.k8s.api.rbac.v1.Role", "rules", "", "", "atomic", &[])];

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::kinds::testing::check_refused;

    #[test]
    fn refuses_in_kubernetes_words() {
        check_refused::<Roles>(
            r#"
rules: [{}, {verbs: [get], nonResourceURLs: [/healthz]}, {verbs: [get], apiGroups: [""]}]
"#,
            &expect![[r#"
                rules[0].verbs: Required value: verbs must contain at least one value
                rules[0].apiGroups: Required value: resource rules must supply at least one api group
                rules[0].resources: Required value: resource rules must supply at least one resource
                rules[1].nonResourceURLs: Invalid value: ["/healthz"]: namespaced rules cannot apply to non-resource URLs
                rules[2].resources: Required value: resource rules must supply at least one resource
            "#]],
        );
    }
}
