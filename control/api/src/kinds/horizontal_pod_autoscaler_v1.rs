//! `autoscaling/v1` HorizontalPodAutoscaler: the older form, which knows only CPU; stored as `v2`.

use serde_json::{Value, json};

use crate::field::Errors;
use crate::k8s_openapi::api::autoscaling::v1::HorizontalPodAutoscaler;
use crate::k8s_openapi::api::autoscaling::v2;
use crate::kind::{Kind, Merge, Names, Scope, Stored, Subresource};
use crate::kinds::horizontal_pod_autoscaler::HorizontalPodAutoscalers;
use crate::kinds::normal::fill;
use crate::kinds::{merge, names};
use crate::table::Columns;

/// HorizontalPodAutoscaler of `autoscaling/v1`.
pub struct HorizontalPodAutoscalersV1;

impl Kind for HorizontalPodAutoscalersV1 {
    type Object = HorizontalPodAutoscaler;

    const NAMES: Names = names("horizontalpodautoscaler", &["hpa"], &["all"]);
    const SCOPE: Scope = Scope::Namespaced;
    const SUBRESOURCES: &[Subresource] = &[Subresource::Status];
    const STORED_AS: Option<Stored> = Some(Stored { group: "autoscaling", version: "v2", to: to_v2, from: from_v2 });
    const MERGES: &[Merge] = MERGES;

    fn copy_status(to: &mut Self::Object, from: &Self::Object) {
        to.status.clone_from(&from.status);
    }

    fn default(scaler: &mut HorizontalPodAutoscaler) {
        fill(&mut scaler.spec.min_replicas, 1);
        scaler.status.get_or_insert_default();
    }

    fn prepare_create(scaler: &mut HorizontalPodAutoscaler) {
        scaler.status.get_or_insert_default();
    }

    fn validate(scaler: &HorizontalPodAutoscaler) -> Errors {
        as_v2(scaler).iter().flat_map(HorizontalPodAutoscalers::validate).collect()
    }

    fn columns() -> Columns<HorizontalPodAutoscaler> {
        Columns {
            columns: HorizontalPodAutoscalers::columns().columns,
            row: |scaler, now| as_v2(scaler).map_or_else(Vec::new, |scaler| (HorizontalPodAutoscalers::columns().row)(&scaler, now)),
        }
    }
}

/// Metrics that this version has no field for.
const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";

fn to_v2(mut scaler: Value) -> Value {
    scaler["apiVersion"] = Value::from("autoscaling/v2");
    let kept = scaler.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut).and_then(|a| a.remove(METRICS));
    let mut metrics: Vec<Value> = kept.as_ref().and_then(Value::as_str).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    if let Some(percent) = scaler.pointer_mut("/spec").and_then(Value::as_object_mut).and_then(|s| s.remove("targetCPUUtilizationPercentage")) {
        let target = json!({"type": "Utilization", "averageUtilization": percent});
        metrics.insert(0, json!({"type": "Resource", "resource": {"name": "cpu", "target": target}}));
    }
    if !metrics.is_empty() {
        scaler["spec"]["metrics"] = Value::from(metrics);
    }
    if let Some(status) = scaler.get_mut("status").and_then(Value::as_object_mut)
        && let Some(percent) = status.remove("currentCPUUtilizationPercentage")
    {
        let current = json!({"averageUtilization": percent, "averageValue": "0"});
        status.insert("currentMetrics".to_owned(), json!([{"type": "Resource", "resource": {"name": "cpu", "current": current}}]));
    }
    scaler
}

fn from_v2(mut scaler: Value) -> Value {
    scaler["apiVersion"] = Value::from("autoscaling/v1");
    let cpu = |metric: &Value| metric["resource"]["name"] == "cpu" && metric["type"] == "Resource";
    let spec = scaler["spec"].as_object_mut();
    let metrics = spec.and_then(|s| s.remove("metrics"));
    let (own, others): (Vec<Value>, Vec<Value>) = metrics
        .as_ref()
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default()
        .into_iter()
        .partition(|m| cpu(m) && m["resource"]["target"]["averageUtilization"].is_i64());
    if let Some(metric) = own.first() {
        scaler["spec"]["targetCPUUtilizationPercentage"] = metric["resource"]["target"]["averageUtilization"].clone();
    }
    if !others.is_empty() {
        scaler["metadata"]["annotations"][METRICS] = Value::from(Value::from(others).to_string());
    }
    let current = scaler.get_mut("status").and_then(Value::as_object_mut).and_then(|s| s.remove("currentMetrics"));
    let percent = current.as_ref().and_then(Value::as_array).and_then(|list| list.iter().find(|m| cpu(m)));
    if let Some(percent) = percent.map(|m| m["resource"]["current"]["averageUtilization"].clone()).filter(Value::is_i64) {
        scaler["status"]["currentCPUUtilizationPercentage"] = percent;
    }
    if let Some(spec) = scaler["spec"].as_object_mut() {
        spec.remove("behavior");
    }
    scaler
}

fn as_v2(scaler: &HorizontalPodAutoscaler) -> Option<v2::HorizontalPodAutoscaler> {
    serde_json::from_value(to_v2(serde_json::to_value(scaler).ok()?)).ok()
}

/// How lists and maps of these types are merged, from the OpenAPI document.
const MERGES: &[Merge] = &[merge("io.k8s.api.autoscaling.v1.CrossVersionObjectReference", "", "", "", "atomic", &[])];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_stored_as_v2() {
        let yaml = "{metadata: {name: h}, spec: {scaleTargetRef: {kind: Deployment, name: d}, maxReplicas: 3, targetCPUUtilizationPercentage: 70}}";
        let scaler: HorizontalPodAutoscaler = serde_yaml::from_str(yaml).unwrap();
        let stored = to_v2(serde_json::to_value(&scaler).unwrap());
        assert_eq!(stored["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 70);
        assert_eq!(serde_json::from_value::<HorizontalPodAutoscaler>(from_v2(stored)).unwrap(), scaler);
    }

    #[test]
    fn keeps_other_metrics_in_an_annotation() {
        let v2 = json!({"metadata": {}, "spec": {"maxReplicas": 1, "scaleTargetRef": {}, "metrics": [{"type": "Pods", "pods": {"metric": {"name": "x"}}}]}});
        let v1 = from_v2(v2.clone());
        assert!(v1["metadata"]["annotations"][METRICS].is_string());
        assert_eq!(to_v2(v1)["spec"]["metrics"], v2["spec"]["metrics"]);
    }
}
