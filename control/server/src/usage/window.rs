//! What was used between two samples. Pure.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;

/// What the kubelet's `/stats/summary` says, as far as it matters here.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Summary {
    pub(super) node: NodeStats,
    #[serde(default)]
    pub(super) pods: Vec<PodStats>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NodeStats {
    pub(super) node_name: String,
    #[serde(default)]
    pub(super) memory: Memory,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PodStats {
    pub(super) pod_ref: PodRef,
    #[serde(default)]
    pub(super) containers: Vec<ContainerStats>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct PodRef {
    pub(super) uid: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ContainerStats {
    pub(super) name: String,
    #[serde(default)]
    pub(super) start_time: Option<Timestamp>,
    #[serde(default)]
    pub(super) cpu: Cpu,
    #[serde(default)]
    pub(super) memory: Memory,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Cpu {
    #[serde(default)]
    pub(super) usage_core_nano_seconds: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Memory {
    #[serde(default)]
    pub(super) working_set_bytes: u64,
}

/// All nodes at one time.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) at: Timestamp,
    pub(super) nodes: Vec<Summary>,
}

/// What is used: processor time a second in billionths of a core, and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Use {
    pub(super) nanocores: u64,
    pub(super) bytes: u64,
}

/// What Pods and nodes used over a time.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    /// When it ended.
    pub(super) at: Timestamp,
    pub(super) length: Duration,
    pub(super) nodes: HashMap<String, Use>,
    /// Containers in the order of the node's, by the Pod's uid.
    pub(super) pods: HashMap<String, Vec<(String, Use)>>,
}

/// What was used from one sample to the next. A container that began in between counts from its beginning; one that is
/// in neither sample running counts for nothing.
pub(super) fn between(before: &Sample, after: &Sample) -> Window {
    let length = Duration::try_from(after.at.duration_since(before.at)).unwrap_or_default();
    let mut earlier = HashMap::new();
    for pod in before.nodes.iter().flat_map(|n| &n.pods) {
        for container in &pod.containers {
            earlier.insert((pod.pod_ref.uid.as_str(), container.name.as_str()), container);
        }
    }
    let mut window = Window { at: after.at, length, ..Window::default() };
    for summary in &after.nodes {
        let mut node = Use { nanocores: 0, bytes: summary.node.memory.working_set_bytes };
        for pod in &summary.pods {
            let mut containers = Vec::new();
            for now in &pod.containers {
                let then = earlier.get(&(pod.pod_ref.uid.as_str(), now.name.as_str())).copied();
                if let Some(nanocores) = rate(before.at, then, after.at, now) {
                    node.nanocores += nanocores;
                    containers.push((now.name.clone(), Use { nanocores, bytes: now.memory.working_set_bytes }));
                }
            }
            if !containers.is_empty() {
                window.pods.insert(pod.pod_ref.uid.clone(), containers);
            }
        }
        window.nodes.insert(summary.node.node_name.clone(), node);
    }
    window
}

fn rate(began: Timestamp, then: Option<&ContainerStats>, ended: Timestamp, now: &ContainerStats) -> Option<u64> {
    let started = now.start_time?;
    let used = now.cpu.usage_core_nano_seconds;
    let (since, used) = match then {
        Some(then) if then.cpu.usage_core_nano_seconds <= used => (began, used - then.cpu.usage_core_nano_seconds),
        _ if started >= began => (started, used),
        // Not seen before, though it ran, or counted anew: there is nothing to compare with.
        _ => return None,
    };
    let nanos = u128::try_from(ended.duration_since(since).as_nanos()).ok().filter(|n| *n > 0)?;
    u64::try_from(u128::from(used) * 1_000_000_000 / nanos).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    /// (name, started at, CPU seconds)
    fn sample(second: i64, containers: &[(&str, Option<i64>, u64)]) -> Sample {
        let containers: Vec<_> = containers
            .iter()
            .map(|(name, started, cpu)| {
                json!({"name": name, "startTime": started.map(|s| at(s).to_string()),
                    "cpu": {"time": "x", "usageCoreNanoSeconds": cpu * 1_000_000_000}, "memory": {"workingSetBytes": 1024}})
            })
            .collect();
        let summary = json!({"node": {"nodeName": "n", "memory": {"workingSetBytes": 4096}}, "pods": [{"podRef": {"uid": "u", "name": "p", "namespace": "d"}, "containers": containers}]});
        Sample { at: at(second), nodes: vec![serde_json::from_value(summary).unwrap()] }
    }

    #[test]
    fn rates() {
        const CORE: u64 = 1_000_000_000;
        /// When it began, and CPU seconds.
        type Ran = (Option<i64>, u64);
        #[rustfmt::skip]
        let table: [(&str, Option<Ran>, Ran, Option<u64>); 6] = [
            ("between two samples", Some((Some(-50), 5)), (Some(-50), 10), Some(CORE / 2)),
            ("idle", Some((Some(-50), 5)), (Some(-50), 5), Some(0)),
            ("began in between", None, (Some(5), 5), Some(CORE)),
            ("began anew, and counts anew", Some((Some(-50), 100)), (Some(8), 1), Some(CORE / 2)),
            ("ran before, but was not seen", None, (Some(-50), 10), None),
            ("does not run", Some((Some(-50), 5)), (None, 10), None),
        ];
        for (what, before, (started, cpu), want) in table {
            let before = match before {
                Some((started, cpu)) => sample(0, &[("c", started, cpu)]),
                None => sample(0, &[]),
            };
            let window = between(&before, &sample(10, &[("c", started, cpu)]));
            let got = window.pods.get("u").map(|c| c[0].1.nanocores);
            assert_eq!(got, want, "{what}");
            assert_eq!(window.nodes["n"], Use { nanocores: want.unwrap_or(0), bytes: 4096 }, "{what}");
            assert_eq!(window.length, Duration::from_secs(10));
        }
    }
}
