//! Amounts of resources, and what a Pod asks for.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use wharf_api::quantity::Quantity;

/// Amounts: processor time in thousandths of a core, the rest in their own units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// `cpu`, in thousandths.
    pub cpu: i64,
    /// `memory`, in bytes.
    pub memory: i64,
    /// `ephemeral-storage`, in bytes.
    pub storage: i64,
    /// Number of Pods (of a node only).
    pub pods: i64,
    /// Everything else by name.
    pub other: BTreeMap<String, i64>,
}

impl Resources {
    /// Reads a list as nodes and containers have it; what does not parse counts as nothing (it was validated before).
    pub fn parse(list: Option<&BTreeMap<String, Text>>) -> Resources {
        let mut resources = Resources::default();
        for (name, text) in list.into_iter().flatten() {
            let Ok(quantity) = text.0.parse::<Quantity>() else { continue };
            match name.as_str() {
                "cpu" => resources.cpu = quantity.milli_value(),
                "memory" => resources.memory = quantity.value(),
                "ephemeral-storage" => resources.storage = quantity.value(),
                "pods" => resources.pods = quantity.value(),
                other => {
                    resources.other.insert(other.to_string(), quantity.value());
                }
            }
        }
        resources
    }

    /// Adds.
    pub fn add(&mut self, more: &Resources) {
        self.each(more, i64::saturating_add);
    }

    /// Takes away.
    pub fn remove(&mut self, less: &Resources) {
        self.each(less, i64::saturating_sub);
    }

    /// Takes the greater of each.
    pub fn max(&mut self, than: &Resources) {
        self.each(than, |a, b| a.max(b));
    }

    fn each(&mut self, with: &Resources, combine: fn(i64, i64) -> i64) {
        self.cpu = combine(self.cpu, with.cpu);
        self.memory = combine(self.memory, with.memory);
        self.storage = combine(self.storage, with.storage);
        self.pods = combine(self.pods, with.pods);
        for (name, amount) in &with.other {
            let mine = self.other.entry(name.clone()).or_default();
            *mine = combine(*mine, *amount);
        }
    }
}

/// What a container without requests counts as when nodes are compared (not when they are filtered).
const DEFAULT_CPU: i64 = 100;
const DEFAULT_MEMORY: i64 = 200 << 20;

/// What a Pod asks for: (to fit, to compare).
///
/// Containers and restartable init containers run together; an init container runs beside the restartable ones before
/// it. The Pod's own requests, when given, stand for the sum. Overhead comes on top.
pub(crate) fn requests(spec: &PodSpec) -> (Resources, Resources) {
    let fit = total(spec, |container| wanted(container.resources.as_ref()));
    let compare = total(spec, |container| {
        let mut wanted = wanted(container.resources.as_ref());
        let named = |name: &str| container.resources.as_ref().and_then(|r| r.requests.as_ref()).is_some_and(|r| r.contains_key(name));
        if !named("cpu") {
            wanted.cpu = DEFAULT_CPU;
        }
        if !named("memory") {
            wanted.memory = DEFAULT_MEMORY;
        }
        wanted
    });
    (fit, compare)
}

fn wanted(resources: Option<&ResourceRequirements>) -> Resources {
    Resources::parse(resources.and_then(|r| r.requests.as_ref()))
}

fn total(spec: &PodSpec, of: impl Fn(&Container) -> Resources) -> Resources {
    let mut sum = Resources::default();
    for container in &spec.containers {
        sum.add(&of(container));
    }
    let mut sidecars = Resources::default();
    let mut peak = Resources::default();
    for container in spec.init_containers.iter().flatten() {
        let mut wanted = of(container);
        if container.restart_policy.as_deref() == Some("Always") {
            sum.add(&wanted);
            sidecars.add(&wanted);
            wanted = sidecars.clone();
        } else {
            wanted.add(&sidecars);
        }
        peak.max(&wanted);
    }
    sum.max(&peak);
    if let Some(own) = spec.resources.as_ref().and_then(|r| r.requests.as_ref()) {
        let given = Resources::parse(Some(own));
        if own.contains_key("cpu") {
            sum.cpu = given.cpu;
        }
        if own.contains_key("memory") {
            sum.memory = given.memory;
        }
    }
    sum.add(&Resources::parse(spec.overhead.as_ref()));
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_pod_asks_for() {
        for (spec, cpu, memory) in [
            (json!({"containers": [{"name": "a"}]}), 0, 0),
            (
                json!({"containers": [{"name": "a", "resources": {"requests": {"cpu": "250m", "memory": "1Gi"}}}, {"name": "b", "resources": {"requests": {"cpu": 1}}}]}),
                1250,
                1 << 30,
            ),
            (
                json!({"containers": [{"name": "a", "resources": {"requests": {"cpu": "1"}}}], "initContainers": [{"name": "i", "resources": {"requests": {"cpu": "3"}}}]}),
                3000,
                0,
            ),
            (
                json!({"containers": [{"name": "a", "resources": {"requests": {"cpu": "1"}}}], "initContainers": [
                {"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "1"}}}, {"name": "i", "resources": {"requests": {"cpu": "3"}}}]}),
                4000,
                0,
            ),
            (json!({"containers": [{"name": "a", "resources": {"requests": {"cpu": "1"}}}], "overhead": {"cpu": "100m"}}), 1100, 0),
            (json!({"containers": [{"name": "a"}], "resources": {"requests": {"cpu": "2"}}}), 2000, 0),
        ] {
            let spec: PodSpec = serde_json::from_value(spec.clone()).unwrap_or_else(|e| panic!("{spec}: {e}"));
            let (fit, _) = requests(&spec);
            assert_eq!((fit.cpu, fit.memory), (cpu, memory), "{spec:?}");
        }
    }
}
