//! `apps/v1` DaemonSet: one Pod on every node that it chooses.

use serde_json::Value;

use crate::field::{Error, Errors, Path, printed_json};
use crate::k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetSpec, DaemonSetStatus, DaemonSetUpdateStrategy};
use crate::k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use crate::kind::{Kind, Merge, Names, Scope, Subresource};
use crate::kinds::checks::{at_most_100_percent, count_or_percent, not_negative};
use crate::kinds::columns::{age, age_cell, containers_and_images, containers_and_images_columns, name, name_cell, text as text_column};
use crate::kinds::normal::{drop_zero, fill, text};
use crate::kinds::{label_selector, pod, workload};
use crate::kinds::{merge, names};
use crate::table::{Column, Columns};

/// DaemonSet of `apps/v1`.
pub struct DaemonSets;

impl Kind for DaemonSets {
    type Object = DaemonSet;

    const NAMES: Names = names("daemonset", &["ds"], &["all"]);
    const SCOPE: Scope = Scope::Namespaced;
    const SUBRESOURCES: &[Subresource] = &[Subresource::Status];
    const MERGES: &[Merge] = MERGES;
    const HAS_GENERATION: bool = true;

    fn copy_status(to: &mut Self::Object, from: &Self::Object) {
        to.status.clone_from(&from.status);
    }

    fn desired_differs(new: &Self::Object, old: &Self::Object) -> bool {
        new.spec != old.spec
    }

    fn default(set: &mut DaemonSet) {
        let spec = &mut set.spec;
        drop_zero(&mut spec.min_ready_seconds);
        pod::default_template(&mut spec.template);
        let strategy = spec.update_strategy.get_or_insert_default();
        fill(&mut strategy.type_, "RollingUpdate");
        if text(&strategy.type_) == "RollingUpdate" {
            let rolling = strategy.rolling_update.get_or_insert_default();
            rolling.max_unavailable.get_or_insert(IntOrString::Int(1));
            rolling.max_surge.get_or_insert(IntOrString::Int(0));
        }
        fill(&mut spec.revision_history_limit, 10);
        set.status.get_or_insert_default();
    }

    fn prepare_create(set: &mut DaemonSet) {
        set.status = Some(DaemonSetStatus::default());
        set_template_generation(set, 1);
    }

    fn prepare_update(new: &mut DaemonSet, old: &DaemonSet) {
        let generation = template_generation(old);
        let changed = new.spec.template != old.spec.template;
        set_template_generation(new, if changed { generation + 1 } else { generation });
    }

    fn validate(set: &DaemonSet) -> Errors {
        validate_spec(&set.spec, &Path::new("spec"))
    }

    fn validate_update(new: &DaemonSet, old: &DaemonSet) -> Errors {
        let mut errors = Self::validate(new);
        errors.extend(workload::selector_is_immutable(&new.spec.selector, &old.spec.selector, &Path::new("spec.selector")));
        errors
    }

    fn columns() -> Columns<DaemonSet> {
        let [containers, images] = containers_and_images_columns();
        Columns {
            columns: vec![
                name(),
                Column::new("Desired", "integer", "The total number of nodes that should be running the daemon pod (including nodes correctly running the daemon pod). More info: https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/"),
                Column::new("Current", "integer", "The number of nodes that are running at least 1 daemon pod and are supposed to run the daemon pod. More info: https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/"),
                Column::new("Ready", "integer", "numberReady is the number of nodes that should be running the daemon pod and have one or more of the daemon pod running with a Ready Condition."),
                Column::new("Up-to-date", "integer", "The total number of nodes that are running updated daemon pod"),
                Column::new("Available", "integer", "The number of nodes that should be running the daemon pod and have one or more of the daemon pod running and available (ready for at least spec.minReadySeconds)"),
                text_column("Node Selector", "NodeSelector is a selector which must be true for the pod to fit on a node. Selector which must match a node's labels for the pod to be scheduled on that node. More info: https://kubernetes.io/docs/concepts/configuration/assign-pod-node/"),
                age(),
                containers,
                images,
                text_column("Selector", "A label query over pods that are managed by the daemon set. Must match in order to be controlled. It must match the pod template's labels. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors").wide(),
            ],
            row: |set, now| {
                let empty = DaemonSetStatus::default();
                let status = set.status.as_ref().unwrap_or(&empty);
                let [containers, images] = containers_and_images(Some(&set.spec.template));
                vec![
                    name_cell(&set.metadata),
                    Value::from(status.desired_number_scheduled),
                    Value::from(status.current_number_scheduled),
                    Value::from(status.number_ready),
                    Value::from(status.updated_number_scheduled.unwrap_or(0)),
                    Value::from(status.number_available.unwrap_or(0)),
                    workload::printed_labels(set.spec.template.spec.as_ref().and_then(|s| s.node_selector.as_ref())),
                    age_cell(&set.metadata, now),
                    containers,
                    images,
                    Value::from(label_selector::printed(Some(&set.spec.selector))),
                ]
            },
        }
    }
}

/// Counts the changes of the template, as a field of the kind's first version did.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

fn template_generation(set: &DaemonSet) -> i64 {
    set.metadata.annotations.as_ref().and_then(|a| a.get(TEMPLATE_GENERATION)).and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn set_template_generation(set: &mut DaemonSet, generation: i64) {
    set.metadata.annotations.get_or_insert_default().insert(TEMPLATE_GENERATION.to_owned(), generation.to_string());
}

fn validate_spec(spec: &DaemonSetSpec, at: &Path) -> Errors {
    let mut errors = workload::selector_and_template(&spec.selector, Some(&spec.template), "daemonset", at);
    errors.extend(not_negative(spec.min_ready_seconds, &at.child("minReadySeconds")));
    errors.extend(spec.update_strategy.iter().flat_map(|s| strategy(s, &at.child("updateStrategy"))));
    errors.extend(not_negative(spec.revision_history_limit, &at.child("revisionHistoryLimit")));
    errors
}

fn strategy(strategy: &DaemonSetUpdateStrategy, at: &Path) -> Errors {
    let rolling = match (text(&strategy.type_), &strategy.rolling_update) {
        ("OnDelete", _) => return Errors::new(),
        ("RollingUpdate", Some(rolling)) => rolling,
        ("RollingUpdate", None) => return vec![Error::required(&at.child("rollingUpdate"), "")],
        (other, _) => return vec![Error::not_supported(&at.child("type"), other, &["RollingUpdate", "OnDelete"])],
    };
    let at = at.child("rollingUpdate");
    let zero = IntOrString::Int(0);
    let (unavailable, surge) = (rolling.max_unavailable.as_ref().unwrap_or(&zero), rolling.max_surge.as_ref().unwrap_or(&zero));
    let is_zero = |n: &IntOrString| matches!(n, IntOrString::Int(0)) || matches!(n, IntOrString::String(text) if text == "0%");
    let mut errors = count_or_percent(unavailable, &at.child("maxUnavailable"));
    errors.extend(at_most_100_percent(unavailable, &at.child("maxUnavailable")));
    errors.extend(count_or_percent(surge, &at.child("maxSurge")));
    errors.extend(at_most_100_percent(surge, &at.child("maxSurge")));
    match (is_zero(unavailable), is_zero(surge)) {
        (true, true) => errors.push(Error::required(&at.child("maxUnavailable"), "cannot be 0 when maxSurge is 0")),
        (false, false) => {
            let words = "may not be set when maxUnavailable is non-zero";
            errors.push(Error::invalid(&at.child("maxSurge"), printed_json(surge), words));
        }
        _ => {}
    }
    errors
}

/// How lists and maps of these types are merged, from the OpenAPI document.
const MERGES: &[Merge] = &[merge("io.k8s.api.apps.v1.DaemonSetStatus", "conditions", "merge", "type", "map", &["type"])];

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::kinds::testing::{check_refused, check_row};

    #[test]
    fn refuses_in_kubernetes_words() {
        check_refused::<DaemonSets>(
            r#"
metadata: {name: web, creationTimestamp: 2026-01-01T00:00:00Z}
spec:
  updateStrategy: {rollingUpdate: {maxUnavailable: 1, maxSurge: 1}}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: "nginx:1.25"}]}
"#,
            &expect![[r#"
                spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero
            "#]],
        );
        check_refused::<DaemonSets>(
            r#"
metadata: {name: web, creationTimestamp: 2026-01-01T00:00:00Z}
spec:
  updateStrategy: {rollingUpdate: {maxUnavailable: 0}}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: "nginx:1.25"}]}
"#,
            &expect![[r#"
                spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0
            "#]],
        );
    }

    #[test]
    fn counts_changes_of_the_template() {
        let mut old: DaemonSet = serde_yaml::from_str("spec: {template: {spec: {nodeName: a}}}").unwrap();
        DaemonSets::prepare_create(&mut old);
        let mut new = old.clone();
        DaemonSets::prepare_update(&mut new, &old);
        assert_eq!(template_generation(&new), 1);
        new.spec.template.spec = None;
        DaemonSets::prepare_update(&mut new, &old);
        assert_eq!(template_generation(&new), 2);
    }

    #[test]
    fn prints_a_row() {
        check_row::<DaemonSets>(
            r#"
metadata: {name: web, creationTimestamp: 2026-01-01T00:00:00Z}
spec:
  
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: "nginx:1.25"}]}
status: {desiredNumberScheduled: 3, currentNumberScheduled: 2, numberReady: 1}
"#,
            &expect![[r#"
                Name: web
                Desired: 3
                Current: 2
                Ready: 1
                Up-to-date: 0
                Available: 0
                Node Selector: <none>
                Age: 15m
                Containers: c
                Images: nginx:1.25
                Selector: app=web
            "#]],
        );
    }
}
