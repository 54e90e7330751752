//! `apps/v1` ReplicaSet: a number of equal Pods.

use serde_json::Value;

use crate::field::{Errors, Path};
use crate::k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetStatus};
use crate::kind::{Kind, Merge, Names, Scope, Subresource};
use crate::kinds::checks::not_negative;
use crate::kinds::columns::{age, age_cell, containers_and_images, containers_and_images_columns, name, name_cell, text};
use crate::kinds::normal::{drop_zero, fill};
use crate::kinds::{label_selector, pod, workload};
use crate::kinds::{merge, names, scale};
use crate::table::{Column, Columns};

/// ReplicaSet of `apps/v1`.
pub struct ReplicaSets;

impl Kind for ReplicaSets {
    type Object = ReplicaSet;

    const NAMES: Names = names("replicaset", &["rs"], &["all"]);
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

    fn selectable_fields(object: &Self::Object) -> Vec<(&'static str, String)> {
        vec![("status.replicas", object.status.as_ref().map_or(0, |s| s.replicas).to_string())]
    }

    fn default(set: &mut ReplicaSet) {
        let spec = &mut set.spec;
        drop_zero(&mut spec.min_ready_seconds);
        fill(&mut spec.replicas, 1);
        spec.template.iter_mut().for_each(pod::default_template);
        set.status.get_or_insert_default();
    }

    fn prepare_create(set: &mut ReplicaSet) {
        set.status.get_or_insert_default();
    }

    fn validate(set: &ReplicaSet) -> Errors {
        let (spec, at) = (&set.spec, Path::new("spec"));
        let mut errors: Errors = not_negative(spec.replicas, &at.child("replicas")).into_iter().collect();
        errors.extend(not_negative(spec.min_ready_seconds, &at.child("minReadySeconds")));
        errors.extend(workload::selector_and_template(&spec.selector, spec.template.as_ref(), "deployment", &at));
        errors
    }

    fn validate_update(new: &ReplicaSet, old: &ReplicaSet) -> Errors {
        let mut errors = Self::validate(new);
        errors.extend(workload::selector_is_immutable(&new.spec.selector, &old.spec.selector, &Path::new("spec.selector")));

        errors
    }

    fn validate_status_update(new: &ReplicaSet, _old: &ReplicaSet) -> Errors {
        let Some(status) = &new.status else { return Errors::new() };
        let parts = [
            ("fullyLabeledReplicas", status.fully_labeled_replicas),
            ("readyReplicas", status.ready_replicas),
            ("availableReplicas", status.available_replicas),
        ];
        workload::status_counts(status.replicas, &parts, &Path::new("status"))
    }

    fn columns() -> Columns<ReplicaSet> {
        let [containers, images] = containers_and_images_columns();
        Columns {
            columns: vec![
                name(),
                Column::new("Desired", "integer", "Replicas is the number of desired pods. This is a pointer to distinguish between explicit zero and unspecified. Defaults to 1. More info: https://kubernetes.io/docs/concepts/workloads/controllers/replicaset"),
                Column::new("Current", "integer", "Replicas is the most recently observed number of non-terminating pods. More info: https://kubernetes.io/docs/concepts/workloads/controllers/replicaset"),
                Column::new("Ready", "integer", "The number of non-terminating pods targeted by this ReplicaSet with a Ready Condition."),
                age(),
                containers,
                images,
                text("Selector", "Selector is a label query over pods that should match the replica count. Label keys and values that must match in order to be controlled by this replica set. It must match the pod template's labels. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors").wide(),
            ],
            row: |set, now| {
                let no_status = ReplicaSetStatus::default();
                let (spec, status) = (&set.spec, set.status.as_ref().unwrap_or(&no_status));
                let [containers, images] = containers_and_images(spec.template.as_ref());
                vec![
                    name_cell(&set.metadata),
                    Value::from(spec.replicas.unwrap_or(0)),
                    Value::from(status.replicas),
                    Value::from(status.ready_replicas.unwrap_or(0)),
                    age_cell(&set.metadata, now),
                    containers,
                    images,
                    Value::from(label_selector::printed(Some(&spec.selector))),
                ]
            },
        }
    }
}

/// How lists and maps of these types are merged, from the OpenAPI document.
const MERGES: &[Merge] = &[merge("io.k8s.api.apps.v1.ReplicaSetStatus", "conditions", "merge", "type", "map", &["type"])];

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::kinds::testing::{check_default, check_refused, check_row};

    #[test]
    fn fills_in_what_is_left_out() {
        check_default::<ReplicaSets>(
            r#"
metadata: {name: web, creationTimestamp: 2026-01-01T00:00:00Z}
spec:
  
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: "nginx:1.25"}]}
"#,
            &expect![[r#"
                apiVersion: apps/v1
                kind: ReplicaSet
                metadata:
                  creationTimestamp: 2026-01-01T00:00:00Z
                  generation: 1
                  name: web
                spec:
                  replicas: 1
                  selector:
                    matchLabels:
                      app: web
                  template:
                    metadata:
                      labels:
                        app: web
                    spec:
                      containers:
                      - image: nginx:1.25
                        imagePullPolicy: IfNotPresent
                        name: c
                        resources: {}
                        terminationMessagePath: /dev/termination-log
                        terminationMessagePolicy: File
                      dnsPolicy: ClusterFirst
                      restartPolicy: Always
                      schedulerName: default-scheduler
                      securityContext: {}
                      terminationGracePeriodSeconds: 30
                status:
                  replicas: 0
            "#]],
        );
    }

    #[test]
    fn refuses_in_kubernetes_words() {
        check_refused::<ReplicaSets>(
            r#"
metadata: {name: web}
spec: {replicas: -1}
"#,
            &expect![[r#"
                spec.replicas: Invalid value: -1: must be greater than or equal to 0
                spec.selector: Required value
                spec.template: Required value
            "#]],
        );
    }

    #[test]
    fn prints_a_row() {
        check_row::<ReplicaSets>(
            r#"
metadata: {name: web, creationTimestamp: 2026-01-01T00:00:00Z}
spec:
  replicas: 3
  selector: {matchExpressions: [{key: app, operator: In, values: [web, www]}]}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: "nginx:1.25"}]}
status: {replicas: 3, readyReplicas: 2}
"#,
            &expect![[r#"
                Name: web
                Desired: 3
                Current: 3
                Ready: 2
                Age: 15m
                Containers: c
                Images: nginx:1.25
                Selector: app in (web,www)
            "#]],
        );
    }
}
