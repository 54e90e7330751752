//! Root CA publisher: the cluster's CA certificate as the ConfigMap `kube-root-ca.crt` of each active namespace.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::namespace::is_active;
use crate::action::Action;
use crate::controllers::Controller;
use crate::queue::Queue;
use crate::resource::{Key, name, namespace};
use crate::world::{Turn, World};

/// The ConfigMap's name.
pub const NAME: &str = "kube-root-ca.crt";
const DESCRIPTION: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service \
                           IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";

/// The controller `root-ca-certificate-publisher-controller`, whose keys are namespaces.
pub struct RootCa;

impl Controller for RootCa {
    fn name(&self) -> &'static str {
        "root-ca-certificate-publisher-controller"
    }

    fn account(&self) -> &'static str {
        "root-ca-cert-publisher"
    }

    fn triggers(&self, world: &World, queue: &Arc<Queue>) {
        world.namespaces.own_key(queue);
        world.config_maps.on_change(queue, |_, change, add| {
            if name(&change.latest().metadata) == NAME {
                add(Key::new("", namespace(&change.latest().metadata)));
            }
        });
    }

    fn plan(&self, turn: &Turn<'_>) -> Vec<Action> {
        let world = turn.world;
        if world.options.ca_pem.is_empty() || !world.namespaces.get("", &turn.key.name).is_some_and(|n| is_active(&n)) {
            return Vec::new();
        }
        let data = BTreeMap::from([("ca.crt".to_owned(), world.options.ca_pem.clone())]);
        match world.config_maps.get(&turn.key.name, NAME) {
            None => {
                let annotations = BTreeMap::from([("kubernetes.io/description".to_owned(), DESCRIPTION.to_owned())]);
                let metadata =
                    ObjectMeta { name: Some(NAME.to_owned()), namespace: Some(turn.key.name.clone()), annotations: Some(annotations), ..ObjectMeta::default() };
                vec![Action::create(&ConfigMap { metadata, data: Some(data), ..ConfigMap::default() })]
            }
            Some(current) if current.data.as_ref() != Some(&data) => {
                let mut new = (*current).clone();
                new.data = Some(data);
                new.metadata.annotations.get_or_insert_default().entry("kubernetes.io/description".to_owned()).or_insert_with(|| DESCRIPTION.to_owned());
                vec![Action::update(&new)]
            }
            Some(_) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::testing::check;

    #[test]
    fn made_and_kept_right() {
        let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n";
        check(
            &RootCa,
            namespace,
            "a",
            &["data"],
            expect![[r#"
            create ConfigMap kube-root-ca.crt
              data: {"ca.crt":"CA\n"}
        "#]],
        );
        let with = |data: &str| {
            format!("{namespace}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: kube-root-ca.crt, namespace: a}}\ndata: {{ca.crt: {data}}}\n")
        };
        check(
            &RootCa,
            &with("other"),
            "a",
            &["data"],
            expect![[r#"
            update ConfigMap kube-root-ca.crt
              data: {"ca.crt":"CA\n"}
        "#]],
        );
        check(&RootCa, &with("\"CA\\n\""), "a", &[], expect![[""]]);
    }
}
