//! ServiceAccount controller: a ServiceAccount `default` in each active namespace.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::namespace::is_active;
use crate::action::Action;
use crate::controllers::Controller;
use crate::queue::Queue;
use crate::resource::{Key, namespace};
use crate::world::{Turn, World};

/// The controller `serviceaccount-controller`, whose keys are namespaces.
pub struct ServiceAccounts;

impl Controller for ServiceAccounts {
    fn name(&self) -> &'static str {
        "serviceaccount-controller"
    }

    fn account(&self) -> &'static str {
        "service-account-controller"
    }

    fn triggers(&self, world: &World, queue: &Arc<Queue>) {
        world.namespaces.own_key(queue);
        world.service_accounts.on_change(queue, |_, change, add| {
            if change.new.is_none() {
                add(Key::new("", namespace(&change.latest().metadata)));
            }
        });
    }

    fn plan(&self, turn: &Turn<'_>) -> Vec<Action> {
        let active = turn.world.namespaces.get("", &turn.key.name).is_some_and(|n| is_active(&n));
        if !active || turn.world.service_accounts.get(&turn.key.name, "default").is_some() {
            return Vec::new();
        }
        let metadata = ObjectMeta { name: Some("default".to_owned()), namespace: Some(turn.key.name.clone()), ..ObjectMeta::default() };
        vec![Action::create(&ServiceAccount { metadata, ..ServiceAccount::default() })]
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::testing::check;

    #[test]
    fn one_in_each_active_namespace() {
        let world = "
apiVersion: v1
kind: Namespace
metadata: {name: a}
status: {phase: Active}
---
apiVersion: v1
kind: Namespace
metadata: {name: b}
status: {phase: Terminating}
---
apiVersion: v1
kind: Namespace
metadata: {name: c}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: default, namespace: c}
";
        check(
            &ServiceAccounts,
            world,
            "a",
            &["metadata"],
            expect![[r#"
            create ServiceAccount default
              metadata: {"name":"default","namespace":"a"}
        "#]],
        );
        check(&ServiceAccounts, world, "b", &[], expect![[""]]);
        check(&ServiceAccounts, world, "c", &[], expect![[""]]);
        check(&ServiceAccounts, world, "d", &[], expect![[""]]);
    }
}
