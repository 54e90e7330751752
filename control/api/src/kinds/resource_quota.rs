//! `v1` ResourceQuota: bounds of what a namespace uses.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::field::{Error, Errors, Path, printed_json};
use crate::k8s_openapi::api::core::v1::{ResourceQuota, ResourceQuotaSpec};
use crate::k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use crate::kind::{Kind, Merge, Names, Scope, Subresource};
use crate::kinds::checks::{IMMUTABLE, NOT_NEGATIVE, each};
use crate::kinds::columns::{age, age_cell, name, name_cell, text};
use crate::kinds::{amount, pod};
use crate::kinds::{merge, names};
use crate::meta::qualified_name;
use crate::table::Columns;

/// ResourceQuota of `v1`.
pub struct ResourceQuotas;

impl Kind for ResourceQuotas {
    type Object = ResourceQuota;

    const NAMES: Names = names("resourcequota", &["quota"], &[]);
    const SCOPE: Scope = Scope::Namespaced;
    const SUBRESOURCES: &[Subresource] = &[Subresource::Status];
    const MERGES: &[Merge] = MERGES;

    fn copy_status(to: &mut Self::Object, from: &Self::Object) {
        to.status.clone_from(&from.status);
    }

    fn default(quota: &mut ResourceQuota) {
        let spec = quota.spec.get_or_insert_default();
        spec.hard.iter_mut().flatten().for_each(|(_, amount)| amount::round_to_milli(amount));
        quota.status.get_or_insert_default();
    }

    fn prepare_create(quota: &mut ResourceQuota) {
        quota.status.get_or_insert_default();
    }

    fn validate(quota: &ResourceQuota) -> Errors {
        let empty = ResourceQuotaSpec::default();
        let spec = quota.spec.as_ref().unwrap_or(&empty);
        let mut errors = amounts(spec.hard.as_ref(), &Path::new("spec.hard"));
        if spec.scopes.iter().flatten().any(|s| !SCOPES.contains(&s.as_str())) {
            errors.push(Error::invalid(&Path::new("spec.scopes"), printed_json(&spec.scopes), "unsupported scope"));
        }
        errors
    }

    fn validate_update(new: &ResourceQuota, old: &ResourceQuota) -> Errors {
        let mut errors = Self::validate(new);
        let scopes = |quota: &ResourceQuota| quota.spec.as_ref().and_then(|s| s.scopes.clone()).unwrap_or_default();
        if scopes(new) != scopes(old) {
            errors.push(Error::invalid(&Path::new("spec.scopes"), printed_json(&scopes(new)), IMMUTABLE));
        }
        errors
    }

    fn validate_status_update(new: &ResourceQuota, _old: &ResourceQuota) -> Errors {
        let Some(status) = &new.status else { return Errors::new() };
        let mut errors = amounts(status.hard.as_ref(), &Path::new("status.hard"));
        errors.extend(amounts(status.used.as_ref(), &Path::new("status.used")));
        errors
    }

    fn columns() -> Columns<ResourceQuota> {
        Columns {
            columns: vec![
                name(),
                text("Request", "Request represents a minimum amount of cpu/memory that a container may consume."),
                text("Limit", "Limits control the maximum amount of cpu/memory that a container may use independent of contention on the node."),
                age(),
            ],
            row: |quota, now| {
                let status = quota.status.clone().unwrap_or_default();
                let (mut requests, mut limits) = (Vec::new(), Vec::new());
                for (name, hard) in status.hard.iter().flatten() {
                    let used = status.used.as_ref().and_then(|u| u.get(name)).map_or("0", |q| q.0.as_str());
                    let list = if name.starts_with("limits") { &mut limits } else { &mut requests };
                    list.push(format!("{name}: {used}/{}", hard.0));
                }
                vec![name_cell(&quota.metadata), Value::from(requests.join(", ")), Value::from(limits.join(", ")), age_cell(&quota.metadata, now)]
            },
        }
    }
}

const SCOPES: &[&str] =
    &["Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "PriorityClass", "CrossNamespacePodAffinity", "VolumeAttributesClass"];

fn amounts(amounts: Option<&BTreeMap<String, Quantity>>, at: &Path) -> Errors {
    let mut errors = Errors::new();
    for (name, amount) in amounts.into_iter().flatten() {
        let at = at.key(name);
        errors.extend(each(&at, name, qualified_name(name)));
        if !name.contains('/') && !pod::is_standard(name) {
            errors.push(Error::invalid(&at, name, "must be a standard resource for quota"));
        }
        if amount::is_negative(amount) {
            errors.push(Error::invalid(&at, &amount.0, NOT_NEGATIVE));
        }
        if is_counted(name) && !amount::is_whole(amount) {
            errors.push(Error::invalid(&at, &amount.0, "must be an integer"));
        }
    }
    errors
}

/// Whether a resource comes in whole pieces.
fn is_counted(name: &str) -> bool {
    let pieces = [
        "pods",
        "resourcequotas",
        "services",
        "replicationcontrollers",
        "secrets",
        "configmaps",
        "persistentvolumeclaims",
        "services.nodeports",
        "services.loadbalancers",
    ];
    pieces.contains(&name) || name.starts_with("count/") || !pod::is_native(name)
}

/// How lists and maps of these types are merged, from the OpenAPI document.
const MERGES: &[Merge] = &[
    merge("io.k8s.api.core.v1.ResourceQuotaSpec", "scopes", "", "", "atomic", &[]),
    merge("io.k8s.api.core.v1.ScopeSelector", "", "", "", "atomic", &[]),
    merge("io.k8s.api.core.v1.ScopeSelector", "matchExpressions", "", "", "atomic", &[]),
    merge("io.k8s.api.core.v1.ScopedResourceSelectorRequirement", "values", "", "", "atomic", &[]),
];

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::kinds::testing::{check_refused, check_row};

    #[test]
    fn refuses_in_kubernetes_words() {
        check_refused::<ResourceQuotas>(
            r#"
metadata: {name: p, creationTimestamp: 2026-01-01T00:00:00Z}
spec: {hard: {pods: "0.5", thing: 1, cpu: "-1", count/jobs.batch: 3}, scopes: [Never]}
"#,
            &expect![[r#"
                spec.hard[cpu]: Invalid value: "-1": must be greater than or equal to 0
                spec.hard[pods]: Invalid value: "0.5": must be an integer
                spec.hard[thing]: Invalid value: "thing": must be a standard resource for quota
                spec.scopes: Invalid value: ["Never"]: unsupported scope
            "#]],
        );
    }

    #[test]
    fn prints_a_row() {
        check_row::<ResourceQuotas>(
            r#"
metadata: {name: p, creationTimestamp: 2026-01-01T00:00:00Z}
spec: {}
status: {hard: {pods: 4, limits.cpu: 2, requests.cpu: 1}, used: {pods: 1}}
"#,
            &expect![[r#"
                Name: p
                Request: pods: 1/4, requests.cpu: 0/1
                Limit: limits.cpu: 0/2
                Age: 15m
            "#]],
        );
    }
}
