//! ClusterRole aggregation: the rules of a ClusterRole with an `aggregationRule` are those of all the ClusterRoles it selects.

use std::sync::Arc;

use k8s_openapi::api::rbac::v1::PolicyRule;

use crate::action::Action;
use crate::controllers::Controller;
use crate::kinds::matches;
use crate::queue::Queue;
use crate::resource::{Key, name};
use crate::world::{Turn, World};

/// The controller `clusterrole-aggregation-controller`.
pub struct ClusterRoleAggregation;

impl Controller for ClusterRoleAggregation {
    fn name(&self) -> &'static str {
        "clusterrole-aggregation-controller"
    }

    fn account(&self) -> &'static str {
        "clusterrole-aggregation-controller"
    }

    fn triggers(&self, world: &World, queue: &Arc<Queue>) {
        // Any role may be part of any aggregate, of which there are few.
        world.cluster_roles.on_change(queue, |world, _, add| {
            for role in world.cluster_roles.all().iter().filter(|r| r.aggregation_rule.is_some()) {
                add(Key::of(&role.metadata));
            }
        });
    }

    fn plan(&self, turn: &Turn<'_>) -> Vec<Action> {
        let Some(role) = turn.world.cluster_roles.get("", &turn.key.name) else { return Vec::new() };
        let Some(rule) = &role.aggregation_rule else { return Vec::new() };
        let mut rules: Vec<PolicyRule> = Vec::new();
        let roles = turn.world.cluster_roles.all();
        for selector in rule.cluster_role_selectors.iter().flatten() {
            for other in roles.iter().filter(|r| name(&r.metadata) != turn.key.name && matches(selector, r.metadata.labels.as_ref())) {
                for rule in other.rules.iter().flatten() {
                    if !rules.contains(rule) {
                        rules.push(rule.clone());
                    }
                }
            }
        }
        if role.rules.clone().unwrap_or_default() == rules {
            return Vec::new();
        }
        let mut new = (*role).clone();
        new.rules = Some(rules);
        vec![Action::update(&new)]
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::testing::check;

    #[test]
    fn rules_are_gathered_once_each() {
        check(
            &ClusterRoleAggregation,
            "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: view}
aggregationRule: {clusterRoleSelectors: [{matchLabels: {to-view: 'true'}}]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: b, labels: {to-view: 'true'}}
rules: [{verbs: [get], apiGroups: [''], resources: [pods]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: a, labels: {to-view: 'true'}}
rules: [{verbs: [list], apiGroups: [''], resources: [pods]}, {verbs: [get], apiGroups: [''], resources: [pods]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: c}
rules: [{verbs: ['*'], apiGroups: ['*'], resources: ['*']}]
",
            "view",
            &["rules"],
            expect![[r#"
                update ClusterRole view
                  rules: [{"apiGroups":[""],"resources":["pods"],"verbs":["list"]},{"apiGroups":[""],"resources":["pods"],"verbs":["get"]}]
            "#]],
        );
    }
}
