//! `admissionregistration.k8s.io/v1` MutatingWebhookConfiguration: webhooks that change requests.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::field::{Error, Errors, Path};
use crate::k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use crate::kind::{Kind, Merge, Names, Scope};
use crate::kinds::columns::{age, age_cell, name, name_cell, text};
use crate::kinds::normal::fill;
use crate::kinds::webhook;
use crate::kinds::{merge, names};
use crate::table::Columns;

/// MutatingWebhookConfiguration of `admissionregistration.k8s.io/v1`.
pub struct MutatingWebhookConfigurations;

impl Kind for MutatingWebhookConfigurations {
    type Object = MutatingWebhookConfiguration;

    const NAMES: Names = names("mutatingwebhookconfiguration", &[], &["api-extensions"]);
    const SCOPE: Scope = Scope::Cluster;
    const MERGES: &[Merge] = MERGES;
    const ALLOW_UNCONDITIONAL_UPDATE: bool = false;
    const HAS_GENERATION: bool = true;

    fn desired_differs(new: &Self::Object, old: &Self::Object) -> bool {
        new.webhooks != old.webhooks
    }

    fn default(configuration: &mut MutatingWebhookConfiguration) {
        for hook in configuration.webhooks.iter_mut().flatten() {
            fill(&mut hook.reinvocation_policy, "Never");
            webhook::default(&mut webhook::Fields {
                failure_policy: &mut hook.failure_policy,
                match_policy: &mut hook.match_policy,
                namespace_selector: &mut hook.namespace_selector,
                object_selector: &mut hook.object_selector,
                timeout_seconds: &mut hook.timeout_seconds,
                rules: &mut hook.rules,
                client: &mut hook.client_config,
            });
        }
    }

    fn validate(configuration: &MutatingWebhookConfiguration) -> Errors {
        let mut errors = Errors::new();
        let mut names = BTreeSet::new();
        for (i, hook) in configuration.webhooks.iter().flatten().enumerate() {
            let at = Path::new("webhooks").index(i);
            errors.extend(webhook::validate(
                &hook.name,
                &hook.side_effects,
                &hook.admission_review_versions,
                hook.timeout_seconds,
                hook.failure_policy.as_deref(),
                hook.match_policy.as_deref(),
                &hook.client_config,
                &at,
            ));
            if !hook.name.is_empty() && !names.insert(&hook.name) {
                errors.push(Error::duplicate(&at.child("name"), &hook.name));
            }
        }
        errors
    }

    fn columns() -> Columns<MutatingWebhookConfiguration> {
        Columns {
            columns: vec![name(), text("Webhooks", "webhooks is a list of webhooks and the affected resources and operations."), age()],
            row: |configuration, now| {
                let count = configuration.webhooks.as_ref().map_or(0, Vec::len);
                vec![name_cell(&configuration.metadata), Value::from(count), age_cell(&configuration.metadata, now)]
            },
        }
    }
}

/// How lists and maps of these types are merged, from the OpenAPI document.
const MERGES: &[Merge] = &[
    merge("io.k8s.api.admissionregistration.v1.MutatingWebhook", "admissionReviewVersions", "", "", "atomic", &[]),
    merge("io.k8s.api.admissionregistration.v1.MutatingWebhook", "matchConditions", "merge", "name", "map", &["name"]),
    merge("io.k8s.api.admissionregistration.v1.MutatingWebhook", "rules", "", "", "atomic", &[]),
    merge("io.k8s.api.admissionregistration.v1.MutatingWebhookConfiguration", "webhooks", "merge", "name", "map", &["name"]),
    merge("io.k8s.api.admissionregistration.v1.RuleWithOperations", "apiGroups", "", "", "atomic", &[]),
    merge("io.k8s.api.admissionregistration.v1.RuleWithOperations", "apiVersions", "", "", "atomic", &[]),
    merge("io.k8s.api.admissionregistration.v1.RuleWithOperations", "operations", "", "", "atomic", &[]),
    merge("io.k8s.api.admissionregistration.v1.RuleWithOperations", "resources", "", "", "atomic", &[]),
];

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::kinds::testing::{check_default, check_refused};

    #[test]
    fn fills_in_what_is_left_out() {
        check_default::<MutatingWebhookConfigurations>(
            r#"
metadata: {name: w}
webhooks: [{name: a.b.c, rules: [{}], clientConfig: {service: {name: s, namespace: n}}}]
"#,
            &expect![[r#"
                apiVersion: admissionregistration.k8s.io/v1
                kind: MutatingWebhookConfiguration
                metadata:
                  generation: 1
                  name: w
                webhooks:
                - admissionReviewVersions: []
                  clientConfig:
                    service:
                      name: s
                      namespace: n
                      port: 443
                  failurePolicy: Fail
                  matchPolicy: Equivalent
                  name: a.b.c
                  namespaceSelector: {}
                  objectSelector: {}
                  reinvocationPolicy: Never
                  rules:
                  - scope: '*'
                  sideEffects: ''
                  timeoutSeconds: 10
            "#]],
        );
    }

    #[test]
    fn refuses_in_kubernetes_words() {
        check_refused::<MutatingWebhookConfigurations>(
            r#"
webhooks: [{name: a, timeoutSeconds: 31, clientConfig: {}}]
"#,
            &expect![[r#"
                webhooks[0].name: Invalid value: "a": should be a domain with at least three segments separated by dots
                webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun
                webhooks[0].admissionReviewVersions: Required value: must specify one of v1, v1beta1
                webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds
                webhooks[0].clientConfig: Required value: exactly one of url or service is required
            "#]],
        );
    }
}
