//! `autoscaling/v2` HorizontalPodAutoscaler: how many Pods there should be, from what they use.

use serde_json::Value;

use crate::field::{Error, Errors, Path};
use crate::k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use crate::k8s_openapi::api::autoscaling::v2::{
    HorizontalPodAutoscalerSpec, HorizontalPodAutoscalerStatus, MetricSpec, MetricStatus, MetricTarget, MetricValueStatus, ResourceMetricSource,
};
use crate::kind::{Kind, Merge, Names, Scope, Subresource};
use crate::kinds::columns::{age, age_cell, name, name_cell, text};
use crate::kinds::normal::fill;
use crate::kinds::{merge, names};
use crate::table::Columns;

/// HorizontalPodAutoscaler of `autoscaling/v2`.
pub struct HorizontalPodAutoscalers;

impl Kind for HorizontalPodAutoscalers {
    type Object = HorizontalPodAutoscaler;

    const NAMES: Names = names("horizontalpodautoscaler", &["hpa"], &["all"]);
    const SCOPE: Scope = Scope::Namespaced;
    const SUBRESOURCES: &[Subresource] = &[Subresource::Status];
    const MERGES: &[Merge] = MERGES;

    fn copy_status(to: &mut Self::Object, from: &Self::Object) {
        to.status.clone_from(&from.status);
    }

    fn default(scaler: &mut HorizontalPodAutoscaler) {
        fill(&mut scaler.spec.min_replicas, 1);
        if scaler.spec.metrics.as_ref().is_none_or(Vec::is_empty) {
            let target = MetricTarget { type_: "Utilization".to_owned(), average_utilization: Some(80), ..MetricTarget::default() };
            let resource = Some(ResourceMetricSource { name: "cpu".to_owned(), target });
            scaler.spec.metrics = Some(vec![MetricSpec { type_: "Resource".to_owned(), resource, ..MetricSpec::default() }]);
        }
        scaler.status.get_or_insert_default();
    }

    fn prepare_create(scaler: &mut HorizontalPodAutoscaler) {
        scaler.status.get_or_insert_default();
    }

    fn validate(scaler: &HorizontalPodAutoscaler) -> Errors {
        validate_spec(&scaler.spec, &Path::new("spec"))
    }

    fn columns() -> Columns<HorizontalPodAutoscaler> {
        Columns {
            columns: vec![
                name(),
                text(
                    "Reference",
                    "scaleTargetRef points to the target resource to scale, and is used to the pods for which metrics should be collected, as well as to actually change the replica count.",
                ),
                text(
                    "Targets",
                    "metrics contains the specifications for which to use to calculate the desired replica count (the maximum replica count across all metrics will be used).  The desired replica count is calculated multiplying the ratio between the target value and the current value by the current number of pods.  Ergo, metrics used must decrease as the pod count is increased, and vice-versa.  See the individual metric source types for more information about how each type of metric must respond. If not set, the default metric will be set to 80% average CPU utilization.",
                ),
                text(
                    "MinPods",
                    "minReplicas is the lower limit for the number of replicas to which the autoscaler can scale down.  It defaults to 1 pod.  minReplicas is allowed to be 0 if the alpha feature gate HPAScaleToZero is enabled and at least one Object or External metric is configured.  Scaling is active as long as at least one metric value is available.",
                ),
                text(
                    "MaxPods",
                    "maxReplicas is the upper limit for the number of replicas to which the autoscaler can scale up. It cannot be less that minReplicas.",
                ),
                text("Replicas", "currentReplicas is current number of replicas of pods managed by this autoscaler, as last seen by the autoscaler."),
                age(),
            ],
            row: |scaler, now| {
                let empty = HorizontalPodAutoscalerStatus::default();
                let (spec, status) = (&scaler.spec, scaler.status.as_ref().unwrap_or(&empty));
                let current = status.current_metrics.as_deref().unwrap_or_default();
                vec![
                    name_cell(&scaler.metadata),
                    Value::from(format!("{}/{}", spec.scale_target_ref.kind, spec.scale_target_ref.name)),
                    Value::from(targets(spec.metrics.as_deref().unwrap_or_default(), current)),
                    Value::from(spec.min_replicas.map_or_else(|| "<unset>".to_owned(), |n| n.to_string())),
                    Value::from(spec.max_replicas),
                    Value::from(status.current_replicas.unwrap_or(0)),
                    age_cell(&scaler.metadata, now),
                ]
            },
        }
    }
}

fn validate_spec(spec: &HorizontalPodAutoscalerSpec, at: &Path) -> Errors {
    let mut errors = Errors::new();
    let least = spec.min_replicas.unwrap_or(1);
    if least < 1 {
        errors.push(Error::invalid(&at.child("minReplicas"), least, "must be greater than or equal to 1"));
    }
    if spec.max_replicas < 1 {
        errors.push(Error::invalid(&at.child("maxReplicas"), spec.max_replicas, "must be greater than 0"));
    }
    if spec.max_replicas < least {
        let words = "must be greater than or equal to `minReplicas`";
        errors.push(Error::invalid(&at.child("maxReplicas"), spec.max_replicas, words));
    }
    for (value, field) in [(&spec.scale_target_ref.kind, "kind"), (&spec.scale_target_ref.name, "name")] {
        if value.is_empty() {
            errors.push(Error::required(&at.child("scaleTargetRef").child(field), ""));
        }
    }
    const TYPES: &[&str] = &["ContainerResource", "External", "Object", "Pods", "Resource"];
    for (i, metric) in spec.metrics.iter().flatten().enumerate() {
        let at = at.child("metrics").index(i);
        let source = match metric.type_.as_str() {
            "" => {
                errors.push(Error::required(&at.child("type"), "must specify a metric source type"));
                continue;
            }
            "Resource" => (metric.resource.is_some(), "resource"),
            "Pods" => (metric.pods.is_some(), "pods"),
            "Object" => (metric.object.is_some(), "object"),
            "External" => (metric.external.is_some(), "external"),
            "ContainerResource" => (metric.container_resource.is_some(), "containerResource"),
            other => {
                errors.push(Error::not_supported(&at.child("type"), other, TYPES));
                continue;
            }
        };
        if !source.0 {
            errors.push(Error::required(&at.child(source.1), "must populate information for the given metric source"));
        }
    }
    errors
}

/// `cpu: 3%/80%`, the first two metrics and how many more there are.
fn targets(metrics: &[MetricSpec], current: &[MetricStatus]) -> String {
    const SHOWN: usize = 2;
    if metrics.is_empty() {
        return "<none>".to_owned();
    }
    let all: Vec<String> = metrics.iter().enumerate().map(|(i, metric)| target(metric, current.get(i))).collect();
    if all.len() > SHOWN { format!("{} + {} more...", all[..SHOWN].join(", "), all.len() - SHOWN) } else { all.join(", ") }
}

fn target(metric: &MetricSpec, current: Option<&MetricStatus>) -> String {
    let (name, target, current) = if let Some(source) = &metric.resource {
        (Some(&source.name), &source.target, current.and_then(|c| c.resource.as_ref()).map(|c| &c.current))
    } else if let Some(source) = &metric.container_resource {
        (Some(&source.name), &source.target, current.and_then(|c| c.container_resource.as_ref()).map(|c| &c.current))
    } else if let Some(source) = &metric.pods {
        (None, &source.target, current.and_then(|c| c.pods.as_ref()).map(|c| &c.current))
    } else if let Some(source) = &metric.object {
        (None, &source.target, current.and_then(|c| c.object.as_ref()).map(|c| &c.current))
    } else if let Some(source) = &metric.external {
        (None, &source.target, current.and_then(|c| c.external.as_ref()).map(|c| &c.current))
    } else {
        return "<unknown type>".to_owned();
    };
    let pair = against(target, current);
    name.map_or(pair.clone(), |name| format!("{name}: {pair}"))
}

fn against(target: &MetricTarget, current: Option<&MetricValueStatus>) -> String {
    let unknown = || "<unknown>".to_owned();
    if let Some(percent) = target.average_utilization {
        let now = current.and_then(|c| c.average_utilization).map_or_else(unknown, |n| format!("{n}%"));
        format!("{now}/{percent}%")
    } else if let Some(average) = &target.average_value {
        format!("{}/{} (avg)", current.and_then(|c| c.average_value.as_ref()).map_or_else(unknown, |q| q.0.clone()), average.0)
    } else {
        let wanted = target.value.as_ref().map_or_else(|| "<auto>".to_owned(), |q| q.0.clone());
        format!("{}/{wanted}", current.and_then(|c| c.value.as_ref()).map_or_else(unknown, |q| q.0.clone()))
    }
}

/// How lists and maps of these types are merged, from the OpenAPI document.
const MERGES: &[Merge] = &[
    merge("io.k8s.api.autoscaling.v2.HPAScalingRules", "policies", "", "", "atomic", &[]),
    merge("io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerSpec", "metrics", "", "", "atomic", &[]),
    merge("io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerStatus", "conditions", "merge", "type", "map", &["type"]),
    merge("io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerStatus", "currentMetrics", "", "", "atomic", &[]),
];

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::kinds::testing::{check_default, check_refused, check_row};

    #[test]
    fn fills_in_what_is_left_out() {
        check_default::<HorizontalPodAutoscalers>(
            r#"
metadata: {name: h, creationTimestamp: 2026-01-01T00:00:00Z}
spec: {scaleTargetRef: {kind: Deployment, name: d}, maxReplicas: 3}
"#,
            &expect![[r#"
                apiVersion: autoscaling/v2
                kind: HorizontalPodAutoscaler
                metadata:
                  creationTimestamp: 2026-01-01T00:00:00Z
                  name: h
                spec:
                  maxReplicas: 3
                  metrics:
                  - resource:
                      name: cpu
                      target:
                        averageUtilization: 80
                        type: Utilization
                    type: Resource
                  minReplicas: 1
                  scaleTargetRef:
                    kind: Deployment
                    name: d
                status:
                  desiredReplicas: 0
            "#]],
        );
    }

    #[test]
    fn refuses_in_kubernetes_words() {
        check_refused::<HorizontalPodAutoscalers>(
            r#"
metadata: {name: h, creationTimestamp: 2026-01-01T00:00:00Z}
spec: {scaleTargetRef: {kind: Deployment, name: d}, maxReplicas: 0, minReplicas: 0, metrics: [{type: Resource}, {type: Mood}]}
"#,
            &expect![[r#"
                spec.minReplicas: Invalid value: 0: must be greater than or equal to 1
                spec.maxReplicas: Invalid value: 0: must be greater than 0
                spec.metrics[0].resource: Required value: must populate information for the given metric source
                spec.metrics[1].type: Unsupported value: "Mood": supported values: "ContainerResource", "External", "Object", "Pods", "Resource"
            "#]],
        );
    }

    #[test]
    fn prints_a_row() {
        check_row::<HorizontalPodAutoscalers>(
            r#"
metadata: {name: h, creationTimestamp: 2026-01-01T00:00:00Z}
spec: {scaleTargetRef: {kind: Deployment, name: d}, maxReplicas: 3}
status: {currentReplicas: 2, currentMetrics: [{type: Resource, resource: {name: cpu, current: {averageUtilization: 5}}}]}
"#,
            &expect![[r#"
                Name: h
                Reference: Deployment/d
                Targets: cpu: 5%/80%
                MinPods: 1
                MaxPods: 3
                Replicas: 2
                Age: 15m
            "#]],
        );
    }
}
