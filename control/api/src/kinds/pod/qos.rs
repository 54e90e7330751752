//! The quality-of-service class of a Pod, which its requests and limits decide.

use std::collections::BTreeMap;

use crate::k8s_openapi::api::core::v1::{Pod, ResourceRequirements};
use crate::k8s_openapi::apimachinery::pkg::api::resource::Quantity as Amount;
use crate::quantity::Quantity;

/// `Guaranteed`, `Burstable` or `BestEffort`.
pub fn class(pod: &Pod) -> &'static str {
    let Some(spec) = &pod.spec else { return "BestEffort" };
    let parts: Vec<Option<&ResourceRequirements>> = match &spec.resources {
        Some(whole) => vec![Some(whole)],
        None => spec.containers.iter().chain(spec.init_containers.iter().flatten()).map(|c| c.resources.as_ref()).collect(),
    };
    let (mut requests, mut limits) = ([0i128; 2], [0i128; 2]);
    let mut guaranteed = true;
    for part in parts {
        let limited = amounts(part.and_then(|r| r.limits.as_ref()));
        let requested = amounts(part.and_then(|r| r.requests.as_ref()));
        guaranteed &= limited.iter().all(|n| *n > 0);
        for i in 0..2 {
            requests[i] += requested[i];
            limits[i] += limited[i];
        }
    }
    if requests == [0, 0] && limits == [0, 0] {
        "BestEffort"
    } else if guaranteed && requests == limits {
        "Guaranteed"
    } else {
        "Burstable"
    }
}

/// CPU and memory, where they are above zero.
fn amounts(resources: Option<&BTreeMap<String, Amount>>) -> [i128; 2] {
    ["cpu", "memory"].map(|name| {
        let amount = resources.and_then(|r| r.get(name)).and_then(|q| q.0.parse::<Quantity>().ok());
        amount.map_or(0, |q| q.nanos().max(0))
    })
}
