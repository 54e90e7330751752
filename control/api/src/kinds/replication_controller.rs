//! `v1` ReplicationController: the ancestor of ReplicaSets.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::field::{Error, Errors, Path};
use crate::k8s_openapi::api::core::v1::{ReplicationController, ReplicationControllerSpec, ReplicationControllerStatus};
use crate::kind::{Kind, Merge, Names, Scope, Subresource};
use crate::kinds::checks::not_negative;
use crate::kinds::columns::{age, age_cell, containers_and_images, containers_and_images_columns, name, name_cell, text};
use crate::kinds::normal::{drop_zero, fill};
use crate::kinds::{merge, names, scale};
use crate::kinds::{pod, workload};
use crate::table::{Column, Columns};

/// ReplicationController of `v1`.
pub struct ReplicationControllers;

impl Kind for ReplicationControllers {
    type Object = ReplicationController;

    const NAMES: Names = names("replicationcontroller", &["rc"], &["all"]);
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

    fn default(controller: &mut ReplicationController) {
        let spec = controller.spec.get_or_insert_default();
        drop_zero(&mut spec.min_ready_seconds);
        spec.template.iter_mut().for_each(pod::default_template);
        let labels = spec.template.as_ref().and_then(workload::labels).filter(|l| !l.is_empty()).cloned();
        if let Some(labels) = labels {
            if spec.selector.as_ref().is_none_or(BTreeMap::is_empty) {
                spec.selector = Some(labels.clone());
            }
            if controller.metadata.labels.as_ref().is_none_or(BTreeMap::is_empty) {
                controller.metadata.labels = Some(labels);
            }
        }
        fill(&mut spec.replicas, 1);
        controller.status.get_or_insert_default();
    }

    fn prepare_create(controller: &mut ReplicationController) {
        controller.status = Some(ReplicationControllerStatus::default());
    }

    fn validate(controller: &ReplicationController) -> Errors {
        let empty = ReplicationControllerSpec::default();
        let (spec, at) = (controller.spec.as_ref().unwrap_or(&empty), Path::new("spec"));
        let mut errors: Errors = not_negative(spec.min_ready_seconds, &at.child("minReadySeconds")).into_iter().collect();
        let nothing = BTreeMap::new();
        let selector = spec.selector.as_ref().unwrap_or(&nothing);
        if selector.is_empty() {
            errors.push(Error::required(&at.child("selector"), ""));
        }
        errors.extend(not_negative(spec.replicas, &at.child("replicas")));
        let at = at.child("template");
        let Some(template) = &spec.template else {
            errors.push(Error::required(&at, ""));
            return errors;
        };
        let labels = workload::labels(template);
        if !selector.iter().all(|(key, value)| labels.and_then(|l| l.get(key)) == Some(value)) {
            errors.push(workload::selector_mismatch(labels, &at));
        }
        errors.extend(pod::validate_template(template, &at));
        errors.extend(workload::restarts_always(template, &at));
        errors
    }

    fn columns() -> Columns<ReplicationController> {
        let [containers, images] = containers_and_images_columns();
        Columns {
            columns: vec![
                name(),
                Column::new("Desired", "integer", "Replicas is the number of desired replicas. This is a pointer to distinguish between explicit zero and unspecified. Defaults to 1. More info: https://kubernetes.io/docs/concepts/workloads/controllers/replicationcontroller#what-is-a-replicationcontroller"),
                Column::new("Current", "integer", "Replicas is the most recently observed number of replicas. More info: https://kubernetes.io/docs/concepts/workloads/controllers/replicationcontroller#what-is-a-replicationcontroller"),
                Column::new("Ready", "integer", "The number of ready replicas for this replication controller."),
                age(),
                containers,
                images,
                text("Selector", "Selector is a label query over pods that should match the Replicas count. If Selector is empty, it is defaulted to the labels present on the Pod template. Label keys and values that must match in order to be controlled by this replication controller, if empty defaulted to labels on Pod template. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors").wide(),
            ],
            row: |controller, now| {
                let (no_spec, no_status) = (ReplicationControllerSpec::default(), ReplicationControllerStatus::default());
                let spec = controller.spec.as_ref().unwrap_or(&no_spec);
                let status = controller.status.as_ref().unwrap_or(&no_status);
                let [containers, images] = containers_and_images(spec.template.as_ref());
                vec![
                    name_cell(&controller.metadata),
                    Value::from(spec.replicas.unwrap_or(0)),
                    Value::from(status.replicas),
                    Value::from(status.ready_replicas.unwrap_or(0)),
                    age_cell(&controller.metadata, now),
                    containers,
                    images,
                    workload::printed_labels(spec.selector.as_ref()),
                ]
            },
        }
    }
}

/// How lists and maps of these types are merged, from the OpenAPI document.
const MERGES: &[Merge] = &[
    merge("io.k8s.api.core.v1.ReplicationControllerSpec", "selector", "", "", "atomic", &[]),
    merge("io.k8s.api.core.v1.ReplicationControllerStatus", "conditions", "merge", "type", "map", &["type"]),
];

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::kinds::testing::{check_default, check_refused};

    #[test]
    fn fills_in_what_is_left_out() {
        check_default::<ReplicationControllers>(
            r#"
metadata: {name: web, creationTimestamp: 2026-01-01T00:00:00Z}
spec:
  
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: "nginx:1.25"}]}
"#,
            &expect![[r#"
                apiVersion: v1
                kind: ReplicationController
                metadata:
                  creationTimestamp: 2026-01-01T00:00:00Z
                  generation: 1
                  labels:
                    app: web
                  name: web
                spec:
                  replicas: 1
                  selector:
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
        check_refused::<ReplicationControllers>(
            r#"
spec: {replicas: -1, selector: {a: b}, template: {spec: {}}}
"#,
            &expect![[r#"
                spec.replicas: Invalid value: -1: must be greater than or equal to 0
                spec.template.metadata.labels: Invalid value: null: `selector` does not match template `labels`
                spec.template.spec.containers: Required value
            "#]],
        );
    }
}
