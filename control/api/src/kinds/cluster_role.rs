//! `rbac.authorization.k8s.io/v1` ClusterRole: a set of permissions, of the cluster.

use crate::field::Error;
use crate::field::{Errors, Path};
use crate::k8s_openapi::api::rbac::v1::ClusterRole;
use crate::kind::{Kind, Merge, Names, Scope};
use crate::kinds::label_selector;
use crate::kinds::rbac;
use crate::kinds::{merge, names};

/// ClusterRole of `rbac.authorization.k8s.io/v1`.
pub struct ClusterRoles;

impl Kind for ClusterRoles {
    type Object = ClusterRole;

    const NAMES: Names = names("clusterrole", &[], &[]);
    const SCOPE: Scope = Scope::Cluster;
    const MERGES: &[Merge] = MERGES;
    const ALLOW_CREATE_ON_UPDATE: bool = true;

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        crate::kinds::path_segment_name(name, prefix)
    }

    fn validate(role: &ClusterRole) -> Errors {
        let mut errors = rbac::rules(role.rules.as_deref().unwrap_or_default(), false, &Path::new("rules"));
        if let Some(aggregation) = &role.aggregation_rule {
            let at = Path::new("aggregationRule.clusterRoleSelectors");
            let selectors = aggregation.cluster_role_selectors.as_deref().unwrap_or_default();
            if selectors.is_empty() {
                errors.push(Error::required(&at, "at least one clusterRoleSelector required if aggregationRule is non-nil"));
            }
            for (i, selector) in selectors.iter().enumerate() {
                errors.extend(label_selector::validate(selector, &at.index(i)));
            }
        }
        errors
    }
}

/// How lists and maps of these types are merged, from the OpenAPI document.
const MERGES: &[Merge] = &[
    merge("io.k8s.api.rbac.v1.AggregationRule", "clusterRoleSelectors", "", "", "atomic", &[]),
    merge("io.k8s.api.rbac.v1.ClusterRole", "rules", "", "", "atomic", &[]),
    merge("io.k8s.api.rbac.v1.PolicyRule", "apiGroups", "", "", "atomic", &[]),
    merge("io.k8s.api.rbac.v1.PolicyRule", "nonResourceURLs", "", "", "atomic", &[]),
    merge("io.k8s.api.rbac.v1.PolicyRule", "resourceNames", "", "", "atomic", &[]),
    merge("io.k8s.api.rbac.v1.PolicyRule", "resources", "", "", "atomic", &[]),
    merge("io.k8s.api.rbac.v1.PolicyRule", "verbs", "", "", "atomic", &[]),
];

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::kinds::testing::check_refused;

    #[test]
    fn refuses_in_kubernetes_words() {
        check_refused::<ClusterRoles>(
            r#"
rules: [{verbs: [get], nonResourceURLs: [/healthz]}, {verbs: [get], nonResourceURLs: [/x], apiGroups: [""], resources: [pods]}]
aggregationRule: {}
"#,
            &expect![[r#"
                rules[1].nonResourceURLs: Invalid value: ["/x"]: rules cannot apply to both regular resources and non-resource URLs
                aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required if aggregationRule is non-nil
            "#]],
        );
    }
}
