//! LimitRanger: a namespace's default requests and limits, and their bounds.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, LimitRange, LimitRangeItem, Pod, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use wharf_api::DynObject;
use wharf_api::quantity::Quantity;
use wharf_api::status::ApiError;

use super::{Admission, Operation};

const ANNOTATION: &str = "kubernetes.io/limit-ranger";

type Resources = BTreeMap<String, Text>;

pub(super) fn mutate(admission: &Admission<'_>, object: &mut dyn DynObject) -> Result<(), ApiError> {
    if admission.operation != Operation::Create || !admission.is("", "pods") {
        return Ok(());
    }
    let items = items(admission);
    let Some(pod) = object.as_any_mut().downcast_mut::<Pod>().filter(|_| !items.is_empty()) else { return Ok(()) };
    let mut said = Vec::new();
    for item in items.iter().filter(|i| i.type_ == "Container") {
        let Some(spec) = pod.spec.as_mut() else { continue };
        let init = spec.init_containers.iter_mut().flatten().map(|c| ("init-container", c));
        let containers: Vec<(&str, &mut Container)> = spec.containers.iter_mut().map(|c| ("container", c)).chain(init).collect();
        for (what, container) in containers {
            let resources = container.resources.get_or_insert_default();
            let requests = fill(&mut resources.requests, item.default_request.as_ref());
            let limits = fill(&mut resources.limits, item.default.as_ref());
            for (names, kind) in [(requests, "request"), (limits, "limit")] {
                if !names.is_empty() {
                    said.push(format!("{} {kind} for {what} {}", names.join(", "), container.name));
                }
            }
        }
    }
    if !said.is_empty() {
        pod.metadata.annotations.get_or_insert_default().insert(ANNOTATION.into(), format!("LimitRanger plugin set: {}", said.join("; ")));
    }
    Ok(())
}

/// Adds what is missing, and says what it was.
fn fill(to: &mut Option<Resources>, defaults: Option<&Resources>) -> Vec<String> {
    let mut added = Vec::new();
    for (name, amount) in defaults.into_iter().flatten() {
        let to = to.get_or_insert_default();
        if !to.contains_key(name) {
            to.insert(name.clone(), amount.clone());
            added.push(name.clone());
        }
    }
    added
}

pub(super) fn validate(admission: &Admission<'_>, object: Option<&dyn DynObject>) -> Result<(), ApiError> {
    if admission.operation != Operation::Create || !admission.is("", "pods") {
        return Ok(());
    }
    let Some(spec) = object.and_then(|o| o.as_any().downcast_ref::<Pod>()).and_then(|p| p.spec.as_ref()) else { return Ok(()) };
    let mut errors = Vec::new();
    for item in items(admission) {
        match item.type_.as_str() {
            "Container" => {
                for container in spec.containers.iter().chain(spec.init_containers.iter().flatten()) {
                    check(&item, &container.resources.clone().unwrap_or_default(), &mut errors);
                }
            }
            "Pod" => check(&item, &sum(spec), &mut errors),
            _ => {}
        }
    }
    match errors.as_slice() {
        [] => Ok(()),
        [one] => Err(admission.forbidden(one)),
        many => Err(admission.forbidden(format!("[{}]", many.join(", ")))),
    }
}

fn items(admission: &Admission<'_>) -> Vec<LimitRangeItem> {
    let all = admission.ask.shared.cache().snapshot("core/limitranges");
    let prefix = format!("core/limitranges/{}/", admission.ask.namespace());
    let ranges = all.range(&prefix, None).filter_map(|i| serde_json::from_slice::<LimitRange>(&i.json()).ok());
    ranges.filter_map(|r| r.spec).flat_map(|s| s.limits).collect()
}

fn get(list: Option<&Resources>, name: &str) -> Option<Quantity> {
    list?.get(name)?.0.parse().ok()
}

fn check(item: &LimitRangeItem, resources: &ResourceRequirements, errors: &mut Vec<String>) {
    let kind = &item.type_;
    let of = |name: &str| (get(resources.requests.as_ref(), name), get(resources.limits.as_ref(), name));
    for (name, bound) in item.min.iter().flatten() {
        let Ok(min) = bound.0.parse::<Quantity>() else { continue };
        let (request, limit) = of(name);
        match (request, limit) {
            (None, _) => errors.push(format!("minimum {name} usage per {kind} is {}.  No request is specified", bound.0)),
            (Some(request), _) if request < min => errors.push(format!("minimum {name} usage per {kind} is {}, but request is {request}", bound.0)),
            (_, Some(limit)) if limit < min => errors.push(format!("minimum {name} usage per {kind} is {}, but limit is {limit}", bound.0)),
            _ => {}
        }
    }
    for (name, bound) in item.max.iter().flatten() {
        let Ok(max) = bound.0.parse::<Quantity>() else { continue };
        let (request, limit) = of(name);
        match (request, limit) {
            (_, None) => errors.push(format!("maximum {name} usage per {kind} is {}.  No limit is specified", bound.0)),
            (_, Some(limit)) if limit > max => errors.push(format!("maximum {name} usage per {kind} is {}, but limit is {limit}", bound.0)),
            (Some(request), _) if request > max => errors.push(format!("maximum {name} usage per {kind} is {}, but request is {request}", bound.0)),
            _ => {}
        }
    }
    for (name, bound) in item.max_limit_request_ratio.iter().flatten() {
        let Ok(max) = bound.0.parse::<Quantity>() else { continue };
        match of(name) {
            (None, _) => errors.push(format!("{name} max limit to request ratio per {kind} is {}, but no request is specified or request is 0", bound.0)),
            (_, None) => errors.push(format!("{name} max limit to request ratio per {kind} is {}, but no limit is specified or limit is 0", bound.0)),
            (Some(request), Some(limit)) if request.sign() > 0 => {
                #[expect(clippy::cast_precision_loss, reason = "a ratio for people; Kubernetes too computes it in floating point")]
                let (ratio, most) = (limit.nanos() as f64 / request.nanos() as f64, max.nanos() as f64 / 1e9);
                if ratio > most {
                    errors.push(format!("{name} max limit to request ratio per {kind} is {}, but provided ratio is {ratio:.6}", bound.0));
                }
            }
            _ => {}
        }
    }
}

/// What a Pod's containers have together; init containers run one after another, so the largest counts.
fn sum(spec: &PodSpec) -> ResourceRequirements {
    let total = |pick: fn(&ResourceRequirements) -> Option<&Resources>| {
        let mut sums: BTreeMap<String, i128> = BTreeMap::new();
        for container in &spec.containers {
            for (name, text) in container.resources.as_ref().and_then(pick).into_iter().flatten() {
                *sums.entry(name.clone()).or_default() += text.0.parse::<Quantity>().map_or(0, |q| q.nanos());
            }
        }
        for container in spec.init_containers.iter().flatten() {
            for (name, text) in container.resources.as_ref().and_then(pick).into_iter().flatten() {
                let one = text.0.parse::<Quantity>().map_or(0, |q| q.nanos());
                let sum = sums.entry(name.clone()).or_default();
                *sum = (*sum).max(one);
            }
        }
        let sums: Resources = sums.into_iter().map(|(name, nanos)| (name, Text(canonical(nanos)))).collect();
        (!sums.is_empty()).then_some(sums)
    };
    ResourceRequirements { requests: total(|r| r.requests.as_ref()), limits: total(|r| r.limits.as_ref()), ..ResourceRequirements::default() }
}

fn canonical(nanos: i128) -> String {
    let text = format!("{nanos}n");
    wharf_api::quantity::canonical(&text).ok().flatten().unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_in_words() {
        let item: LimitRangeItem = serde_json::from_value(serde_json::json!({
            "type": "Container", "max": {"cpu": "1"}, "min": {"memory": "64Mi"}, "maxLimitRequestRatio": {"cpu": "2"},
        }))
        .unwrap();
        let mut errors = Vec::new();
        let resources = serde_json::from_value(serde_json::json!({"limits": {"cpu": "2"}, "requests": {"cpu": "500m", "memory": "1Mi"}})).unwrap();
        check(&item, &resources, &mut errors);
        assert_eq!(
            errors,
            [
                "minimum memory usage per Container is 64Mi, but request is 1Mi",
                "maximum cpu usage per Container is 1, but limit is 2",
                "cpu max limit to request ratio per Container is 2, but provided ratio is 4.000000",
            ]
        );
        assert_eq!(canonical(1_500_000_000), "1500m");
    }
}
