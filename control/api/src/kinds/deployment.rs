//! `apps/v1` Deployment: Pods from a template, replaced step by step when it changes.

use serde_json::Value;

use crate::field::{Error, Errors, Path, printed_json};
use crate::k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStatus, DeploymentStrategy, RollingUpdateDeployment};
use crate::k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use crate::kind::{Kind, Merge, Names, Scope, Subresource};
use crate::kinds::checks::{at_most_100_percent, count_or_percent, not_negative};
use crate::kinds::columns::{age, age_cell, containers_and_images, containers_and_images_columns, name, name_cell, text as text_column};
use crate::kinds::normal::{drop_false, drop_zero, fill, text};
use crate::kinds::{label_selector, pod, workload};
use crate::kinds::{merge, names, scale};
use crate::table::Columns;

/// Deployment of `apps/v1`.
pub struct Deployments;

impl Kind for Deployments {
    type Object = Deployment;

    const NAMES: Names = names("deployment", &["deploy"], &["all"]);
    const SCOPE: Scope = Scope::Namespaced;
    const SUBRESOURCES: &[Subresource] = &[scale(".spec.selector"), Subresource::Status];
    const MERGES: &[Merge] = MERGES;
    const HAS_GENERATION: bool = true;

    fn copy_status(to: &mut Self::Object, from: &Self::Object) {
        to.status.clone_from(&from.status);
    }

    fn keep_on_status_update(new: &mut Self::Object, old: &Self::Object) {
        new.metadata.labels.clone_from(&old.metadata.labels);
    }

    fn desired_differs(new: &Self::Object, old: &Self::Object) -> bool {
        new.spec != old.spec || new.metadata.annotations != old.metadata.annotations
    }

    fn default(deployment: &mut Deployment) {
        let spec = &mut deployment.spec;
        drop_zero(&mut spec.min_ready_seconds);
        drop_false(&mut spec.paused);
        pod::default_template(&mut spec.template);
        fill(&mut spec.replicas, 1);
        let strategy = spec.strategy.get_or_insert_default();
        fill(&mut strategy.type_, "RollingUpdate");
        if text(&strategy.type_) == "RollingUpdate" {
            let rolling = strategy.rolling_update.get_or_insert_default();
            rolling.max_unavailable.get_or_insert_with(quarter);
            rolling.max_surge.get_or_insert_with(quarter);
        }
        fill(&mut spec.revision_history_limit, 10);
        fill(&mut spec.progress_deadline_seconds, 600);
        deployment.status.get_or_insert_default();
    }

    fn prepare_create(deployment: &mut Deployment) {
        deployment.status.get_or_insert_default();
    }

    fn validate(deployment: &Deployment) -> Errors {
        validate_spec(&deployment.spec, &Path::new("spec"))
    }

    fn validate_update(new: &Deployment, old: &Deployment) -> Errors {
        let mut errors = Self::validate(new);
        errors.extend(workload::selector_is_immutable(&new.spec.selector, &old.spec.selector, &Path::new("spec.selector")));

        errors
    }

    fn validate_status_update(new: &Deployment, _old: &Deployment) -> Errors {
        let empty = DeploymentStatus::default();
        let status = new.status.as_ref().unwrap_or(&empty);
        let at = Path::new("status");
        let parts = [("updatedReplicas", status.updated_replicas), ("readyReplicas", status.ready_replicas), ("availableReplicas", status.available_replicas)];
        let mut errors = workload::status_counts(status.replicas.unwrap_or(0), &parts, &at);
        errors.extend(not_negative(status.observed_generation, &at.child("observedGeneration")));
        errors.extend(not_negative(status.unavailable_replicas, &at.child("unavailableReplicas")));
        errors.extend(not_negative(status.collision_count, &at.child("collisionCount")));
        if let Some(available) = status.available_replicas.filter(|n| *n > status.ready_replicas.unwrap_or(0)) {
            errors.push(Error::invalid(&at.child("availableReplicas"), available, "cannot be greater than readyReplicas"));
        }
        errors
    }

    fn columns() -> Columns<Deployment> {
        let [containers, images] = containers_and_images_columns();
        Columns {
            columns: vec![
                name(),
                text_column("Ready", "Number of the pod with ready state"),
                text_column("Up-to-date", "Total number of non-terminating pods targeted by this deployment that have the desired template spec."),
                text_column("Available", "Total number of available non-terminating pods (ready for at least minReadySeconds) targeted by this deployment."),
                age(),
                containers,
                images,
                text_column("Selector", "Label selector for pods. Existing ReplicaSets whose pods are selected by this will be the ones affected by this deployment. It must match the pod template's labels.").wide(),
            ],
            row: |deployment, now| {
                let no_status = DeploymentStatus::default();
                let (spec, status) = (&deployment.spec, deployment.status.as_ref().unwrap_or(&no_status));
                let [containers, images] = containers_and_images(Some(&spec.template));
                vec![
                    name_cell(&deployment.metadata),
                    Value::from(format!("{}/{}", status.ready_replicas.unwrap_or(0), spec.replicas.unwrap_or(0))),
                    Value::from(status.updated_replicas.unwrap_or(0)),
                    Value::from(status.available_replicas.unwrap_or(0)),
                    age_cell(&deployment.metadata, now),
                    containers,
                    images,
                    Value::from(label_selector::printed(Some(&spec.selector))),
                ]
            },
        }
    }
}

fn quarter() -> IntOrString {
    IntOrString::String("25%".to_owned())
}

fn validate_spec(spec: &DeploymentSpec, at: &Path) -> Errors {
    let mut errors: Errors = not_negative(spec.replicas, &at.child("replicas")).into_iter().collect();
    errors.extend(workload::selector_and_template(&spec.selector, Some(&spec.template), "deployment", at));
    errors.extend(spec.strategy.iter().flat_map(|s| strategy(s, &at.child("strategy"))));
    errors.extend(not_negative(spec.min_ready_seconds, &at.child("minReadySeconds")));
    errors.extend(not_negative(spec.revision_history_limit, &at.child("revisionHistoryLimit")));
    if let Some(deadline) = spec.progress_deadline_seconds {
        let at = at.child("progressDeadlineSeconds");
        errors.extend(not_negative(Some(deadline), &at));
        if deadline <= spec.min_ready_seconds.unwrap_or(0) {
            errors.push(Error::invalid(&at, deadline, "must be greater than minReadySeconds"));
        }
    }
    errors
}

fn strategy(strategy: &DeploymentStrategy, at: &Path) -> Errors {
    let at_rolling = at.child("rollingUpdate");
    match (text(&strategy.type_), &strategy.rolling_update) {
        ("Recreate", Some(_)) => vec![Error::forbidden(&at_rolling, "may not be specified when strategy `type` is 'Recreate'")],
        ("Recreate", None) => Errors::new(),
        ("RollingUpdate", Some(rolling)) => rolling_update(rolling, &at_rolling),
        ("RollingUpdate", None) => vec![Error::required(&at_rolling, "this should be defaulted and never be nil")],
        (other, _) => vec![Error::not_supported(&at.child("type"), other, &["Recreate", "RollingUpdate"])],
    }
}

fn rolling_update(rolling: &RollingUpdateDeployment, at: &Path) -> Errors {
    let zero = IntOrString::Int(0);
    let (unavailable, surge) = (rolling.max_unavailable.as_ref().unwrap_or(&zero), rolling.max_surge.as_ref().unwrap_or(&zero));
    let at_unavailable = at.child("maxUnavailable");
    let mut errors = count_or_percent(unavailable, &at_unavailable);
    errors.extend(count_or_percent(surge, &at.child("maxSurge")));
    if is_zero(unavailable) && is_zero(surge) {
        errors.push(Error::invalid(&at_unavailable, printed_json(unavailable), "may not be 0 when `maxSurge` is 0"));
    }
    errors.extend(at_most_100_percent(unavailable, &at_unavailable));
    errors
}

fn is_zero(value: &IntOrString) -> bool {
    matches!(value, IntOrString::Int(0)) || matches!(value, IntOrString::String(text) if text == "0%")
}

/// How lists and maps of these types are merged, from the OpenAPI document.
const MERGES: &[Merge] = &[
    merge("io.k8s.api.apps.v1.DeploymentSpec", "strategy", "retainKeys", "", "", &[]),
    merge("io.k8s.api.apps.v1.DeploymentStatus", "conditions", "merge", "type", "map", &["type"]),
];

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::kinds::testing::{check_default, check_refused, check_row, check_update_refused};

    #[test]
    fn fills_in_what_is_left_out() {
        check_default::<Deployments>(
            r#"
metadata: {name: web, creationTimestamp: 2026-01-01T00:00:00Z}
spec:
  minReadySeconds: 0
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: "nginx:1.25"}]}
"#,
            &expect![[r#"
                apiVersion: apps/v1
                kind: Deployment
                metadata:
                  creationTimestamp: 2026-01-01T00:00:00Z
                  generation: 1
                  name: web
                spec:
                  progressDeadlineSeconds: 600
                  replicas: 1
                  revisionHistoryLimit: 10
                  selector:
                    matchLabels:
                      app: web
                  strategy:
                    rollingUpdate:
                      maxSurge: 25%
                      maxUnavailable: 25%
                    type: RollingUpdate
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
                status: {}
            "#]],
        );
    }

    #[test]
    fn refuses_in_kubernetes_words() {
        check_refused::<Deployments>(
            r#"
metadata: {name: web, creationTimestamp: 2026-01-01T00:00:00Z}
spec:
  replicas: -1
  minReadySeconds: 700
  strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 150%}}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: "nginx:1.25"}]}
"#,
            &expect![[r#"
                spec.replicas: Invalid value: -1: must be greater than or equal to 0
                spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "150%": must not be greater than 100%
                spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds
            "#]],
        );
        check_refused::<Deployments>(
            r#"
metadata: {name: web, creationTimestamp: 2026-01-01T00:00:00Z}
spec:
  strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 0}}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: "nginx:1.25"}]}
"#,
            &expect![[r#"
                spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0
            "#]],
        );
        check_refused::<Deployments>(
            r#"
metadata: {name: web, creationTimestamp: 2026-01-01T00:00:00Z}
spec:
  strategy: {type: Recreate, rollingUpdate: {maxSurge: 1}}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: "nginx:1.25"}]}
"#,
            &expect![[r#"
                spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'
            "#]],
        );
        check_refused::<Deployments>(
            r#"
metadata: {name: web, creationTimestamp: 2026-01-01T00:00:00Z}
spec:
  strategy: {type: Magic}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: "nginx:1.25"}]}
"#,
            &expect![[r#"
                spec.strategy.type: Unsupported value: "Magic": supported values: "Recreate", "RollingUpdate"
            "#]],
        );
        check_refused::<Deployments>(
            r#"
metadata: {name: web}
spec: {template: {metadata: {labels: {a: b}}, spec: {restartPolicy: Never, containers: [{name: X}]}}}
"#,
            &expect![[r#"
                spec.selector: Required value
                spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`
                spec.template.spec.containers[0].name: Invalid value: "X": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
                spec.template.spec.containers[0].image: Required value
                spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"
            "#]],
        );
    }

    #[test]
    fn the_selector_never_changes() {
        check_update_refused::<Deployments>(
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
  
  selector: {matchLabels: {app: other}}
  template:
    metadata: {labels: {app: other}}
    spec: {containers: [{name: c, image: "nginx:1.25"}]}
"#,
            &expect![[r#"
                spec.selector: Invalid value: {"matchLabels":{"app":"other"}}: field is immutable
            "#]],
        );
    }

    #[test]
    fn prints_a_row() {
        check_row::<Deployments>(
            r#"
metadata: {name: web, creationTimestamp: 2026-01-01T00:00:00Z}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: "nginx:1.25"}]}
status: {readyReplicas: 2, updatedReplicas: 3, availableReplicas: 1}
"#,
            &expect![[r#"
                Name: web
                Ready: 2/3
                Up-to-date: 3
                Available: 1
                Age: 15m
                Containers: c
                Images: nginx:1.25
                Selector: app=web
            "#]],
        );
    }

    #[test]
    fn generation_counts_changes_of_spec_and_annotations() {
        let old: Deployment = serde_yaml::from_str("spec: {replicas: 1}").unwrap();
        let mut new = old.clone();
        new.metadata.labels = Some([("a".to_owned(), "b".to_owned())].into());
        assert!(!Deployments::desired_differs(&new, &old));
        new.metadata.annotations = Some([("a".to_owned(), "b".to_owned())].into());
        assert!(Deployments::desired_differs(&new, &old));
        new = old.clone();
        new.spec.replicas = Some(2);
        assert!(Deployments::desired_differs(&new, &old));
    }
}
