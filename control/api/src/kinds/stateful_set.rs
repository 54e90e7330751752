//! `apps/v1` StatefulSet: Pods with names and storage that stay theirs.

use serde_json::Value;

use crate::field::{Error, Errors, Path, printed_json};
use crate::k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetStatus, StatefulSetUpdateStrategy};
use crate::kind::{Kind, Merge, Names, Scope, Subresource};
use crate::kinds::checks::{count_or_percent, not_negative, one_of};
use crate::kinds::columns::{age, age_cell, containers_and_images, containers_and_images_columns, name, name_cell, text as text_column};
use crate::kinds::normal::{drop_empty, drop_zero, fill, text};
use crate::kinds::persistent_volume_claim::{self, PersistentVolumeClaims};
use crate::kinds::{merge, names, scale};
use crate::kinds::{pod, workload};
use crate::table::Columns;

/// StatefulSet of `apps/v1`.
pub struct StatefulSets;

impl Kind for StatefulSets {
    type Object = StatefulSet;

    const NAMES: Names = names("statefulset", &["sts"], &["all"]);
    const SCOPE: Scope = Scope::Namespaced;
    const SUBRESOURCES: &[Subresource] = &[scale(".spec.selector"), Subresource::Status];
    const MERGES: &[Merge] = MERGES;
    const HAS_GENERATION: bool = true;

    fn copy_status(to: &mut Self::Object, from: &Self::Object) {
        to.status.clone_from(&from.status);
    }

    fn desired_differs(new: &Self::Object, old: &Self::Object) -> bool {
        new.spec != old.spec
    }

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        crate::kinds::dns_label_name(name, prefix)
    }

    fn default(set: &mut StatefulSet) {
        let spec = &mut set.spec;
        drop_zero(&mut spec.min_ready_seconds);
        drop_empty(&mut spec.service_name);
        pod::default_template(&mut spec.template);
        fill(&mut spec.replicas, 1);
        fill(&mut spec.pod_management_policy, "OrderedReady");
        let strategy = spec.update_strategy.get_or_insert_default();
        fill(&mut strategy.type_, "RollingUpdate");
        if text(&strategy.type_) == "RollingUpdate" {
            fill(&mut strategy.rolling_update.get_or_insert_default().partition, 0);
        }
        let retention = spec.persistent_volume_claim_retention_policy.get_or_insert_default();
        fill(&mut retention.when_deleted, "Retain");
        fill(&mut retention.when_scaled, "Retain");
        fill(&mut spec.revision_history_limit, 10);
        spec.volume_claim_templates.iter_mut().flatten().for_each(PersistentVolumeClaims::default);
        set.status.get_or_insert_with(empty_status);
    }

    fn prepare_create(set: &mut StatefulSet) {
        set.status = Some(empty_status());
    }

    fn validate(set: &StatefulSet) -> Errors {
        validate_spec(&set.spec, &Path::new("spec"))
    }

    fn validate_update(new: &StatefulSet, old: &StatefulSet) -> Errors {
        let mut errors = Self::validate(new);
        let mut allowed = new.spec.clone();
        allowed.replicas = old.spec.replicas;
        allowed.ordinals.clone_from(&old.spec.ordinals);
        allowed.template = old.spec.template.clone();
        allowed.update_strategy.clone_from(&old.spec.update_strategy);
        allowed.revision_history_limit = old.spec.revision_history_limit;
        allowed.min_ready_seconds = old.spec.min_ready_seconds;
        allowed.persistent_volume_claim_retention_policy.clone_from(&old.spec.persistent_volume_claim_retention_policy);
        if allowed != old.spec {
            errors.push(Error::forbidden(&Path::new("spec"), UPDATES));
        }
        errors
    }

    fn validate_status_update(new: &StatefulSet, _old: &StatefulSet) -> Errors {
        let Some(status) = &new.status else { return Errors::new() };
        let parts = [
            ("readyReplicas", status.ready_replicas),
            ("currentReplicas", status.current_replicas),
            ("updatedReplicas", status.updated_replicas),
            ("availableReplicas", status.available_replicas),
        ];
        workload::status_counts(status.replicas, &parts, &Path::new("status"))
    }

    fn columns() -> Columns<StatefulSet> {
        let [containers, images] = containers_and_images_columns();
        Columns {
            columns: vec![name(), text_column("Ready", "Number of the pod with ready state"), age(), containers, images],
            row: |set, now| {
                let ready = set.status.as_ref().and_then(|s| s.ready_replicas).unwrap_or(0);
                let [containers, images] = containers_and_images(Some(&set.spec.template));
                vec![
                    name_cell(&set.metadata),
                    Value::from(format!("{ready}/{}", set.spec.replicas.unwrap_or(0))),
                    age_cell(&set.metadata, now),
                    containers,
                    images,
                ]
            },
        }
    }
}

const UPDATES: &str = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', \
'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";

fn empty_status() -> StatefulSetStatus {
    StatefulSetStatus { available_replicas: Some(0), ..StatefulSetStatus::default() }
}

fn validate_spec(spec: &StatefulSetSpec, at: &Path) -> Errors {
    let mut errors = Errors::new();
    let policy_at = at.child("podManagementPolicy");
    match text(&spec.pod_management_policy) {
        "" => errors.push(Error::required(&policy_at, "")),
        "OrderedReady" | "Parallel" => {}
        other => errors.push(Error::invalid(&policy_at, other, "must be 'OrderedReady' or 'Parallel'")),
    }
    errors.extend(spec.update_strategy.iter().flat_map(|s| strategy(s, &at.child("updateStrategy"))));
    if let Some(retention) = &spec.persistent_volume_claim_retention_policy {
        let at = at.child("persistentVolumeClaimRetentionPolicy");
        errors.extend(one_of(retention.when_deleted.as_deref(), &["Delete", "Retain"], &at.child("whenDeleted")));
        errors.extend(one_of(retention.when_scaled.as_deref(), &["Delete", "Retain"], &at.child("whenScaled")));
    }
    errors.extend(not_negative(spec.replicas, &at.child("replicas")));
    errors.extend(not_negative(spec.min_ready_seconds, &at.child("minReadySeconds")));
    errors.extend(not_negative(spec.revision_history_limit, &at.child("revisionHistoryLimit")));
    errors.extend(spec.ordinals.as_ref().and_then(|o| not_negative(o.start, &at.child("ordinals.start"))));
    errors.extend(workload::selector_and_template(&spec.selector, Some(&spec.template), "statefulset", at));
    for (i, claim) in spec.volume_claim_templates.iter().flatten().enumerate() {
        let at = at.child("volumeClaimTemplates").index(i).child("spec");
        errors.extend(claim.spec.iter().flat_map(|s| persistent_volume_claim::validate_spec(s, &at)));
    }
    errors
}

fn strategy(strategy: &StatefulSetUpdateStrategy, at: &Path) -> Errors {
    let rolling_at = at.child("rollingUpdate");
    match (text(&strategy.type_), &strategy.rolling_update) {
        ("", _) => vec![Error::required(at, "")],
        ("OnDelete", Some(rolling)) => {
            vec![Error::invalid(&rolling_at, printed_json(rolling), "only allowed for updateStrategy 'RollingUpdate'")]
        }
        ("RollingUpdate", Some(rolling)) => {
            let mut errors: Errors = not_negative(rolling.partition, &rolling_at.child("partition")).into_iter().collect();
            errors.extend(rolling.max_unavailable.iter().flat_map(|n| count_or_percent(n, &rolling_at.child("maxUnavailable"))));
            errors
        }
        ("OnDelete" | "RollingUpdate", None) => Errors::new(),
        _ => vec![Error::invalid(at, printed_json(strategy), "must be 'RollingUpdate' or 'OnDelete'")],
    }
}

/// How lists and maps of these types are merged, from the OpenAPI document.
const MERGES: &[Merge] = &[
    merge("io.k8s.api.apps.v1.StatefulSetSpec", "volumeClaimTemplates", "", "", "atomic", &[]),
    merge("io.k8s.api.apps.v1.StatefulSetStatus", "conditions", "merge", "type", "map", &["type"]),
];

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::kinds::testing::{check_refused, check_row, check_update_refused};

    #[test]
    fn refuses_in_kubernetes_words() {
        check_refused::<StatefulSets>(
            r#"
metadata: {name: web, creationTimestamp: 2026-01-01T00:00:00Z}
spec:
  podManagementPolicy: Chaos
  updateStrategy: {type: OnDelete, rollingUpdate: {partition: 1}}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: "nginx:1.25"}]}
"#,
            &expect![[r#"
                spec.podManagementPolicy: Invalid value: "Chaos": must be 'OrderedReady' or 'Parallel'
                spec.updateStrategy.rollingUpdate: Invalid value: {"partition":1}: only allowed for updateStrategy 'RollingUpdate'
            "#]],
        );
        check_update_refused::<StatefulSets>(
            r#"
metadata: {name: web, creationTimestamp: 2026-01-01T00:00:00Z}
spec:
  
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: "nginx:1.25"}]}
"#,
            r#"
metadata: {name: web, creationTimestamp: 2026-01-01T00:00:00Z}
spec:
  serviceName: x
  replicas: 4
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: "nginx:1.25"}]}
"#,
            &expect![[r#"
                spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden
            "#]],
        );
    }

    #[test]
    fn prints_a_row() {
        check_row::<StatefulSets>(
            r#"
metadata: {name: web, creationTimestamp: 2026-01-01T00:00:00Z}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: "nginx:1.25"}]}
status: {readyReplicas: 1, replicas: 2}
"#,
            &expect![[r#"
                Name: web
                Ready: 1/2
                Age: 15m
                Containers: c
                Images: nginx:1.25
            "#]],
        );
    }
}
