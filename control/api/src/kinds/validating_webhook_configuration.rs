//! `admissionregistration.k8s.io/v1` ValidatingWebhookConfiguration: webhooks that check requests.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::field::{Error, Errors, Path};
use crate::k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use crate::kind::{Kind, Merge, Names, Scope};
use crate::kinds::columns::{age, age_cell, name, name_cell, text};
use crate::kinds::webhook;
use crate::kinds::{merge, names};
use crate::table::Columns;

/// ValidatingWebhookConfiguration of `admissionregistration.k8s.io/v1`.
pub struct ValidatingWebhookConfigurations;

impl Kind for ValidatingWebhookConfigurations {
    type Object = ValidatingWebhookConfiguration;

    const NAMES: Names = names("validatingwebhookconfiguration", &[], &["api-extensions"]);
    const SCOPE: Scope = Scope::Cluster;
    const MERGES: &[Merge] = MERGES;
    const ALLOW_UNCONDITIONAL_UPDATE: bool = false;
    const HAS_GENERATION: bool = true;

    fn desired_differs(new: &Self::Object, old: &Self::Object) -> bool {
        new.webhooks != old.webhooks
    }

    fn default(configuration: &mut ValidatingWebhookConfiguration) {
        for hook in configuration.webhooks.iter_mut().flatten() {
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

    fn validate(configuration: &ValidatingWebhookConfiguration) -> Errors {
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

    fn columns() -> Columns<ValidatingWebhookConfiguration> {
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
    merge("io.k8s.api.admissionregistration.v1.ValidatingWebhook", "admissionReviewVersions", "", "", "atomic", &[]),
    merge("io.k8s.api.admissionregistration.v1.ValidatingWebhook", "matchConditions", "merge", "name", "map", &["name"]),
    merge("io.k8s.api.admissionregistration.v1.ValidatingWebhook", "rules", "", "", "atomic", &[]),
    merge("io.k8s.api.admissionregistration.v1.ValidatingWebhookConfiguration", "webhooks", "merge", "name", "map", &["name"]),
];
