//! PodTopologySpread: like Pods are spread evenly over zones, nodes or whatever label a constraint names. Those without
//! constraints of their own are preferably spread over nodes and zones, if a Service or a controller says who is like them.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::TopologySpreadConstraint;

use super::node_affinity;
use crate::framework::{Change, MAX_SCORE, Plugin, State, Verdict};
use crate::labels::selected;
use crate::node::{NodeInfo, Snapshot};
use crate::pod::PodInfo;
use wharf_api::placement::tolerates;
use wharf_rest::Pairs;

pub(super) struct PodTopologySpread;

const HOSTNAME: &str = "kubernetes.io/hostname";
/// The constraints of Pods that have none: label, and how uneven is well.
const DEFAULTS: [(&str, i32); 2] = [(HOSTNAME, 3), ("topology.kubernetes.io/zone", 5)];
/// The score of a node that lacks a label: the lowest of all in the end.
const IGNORED: i64 = -1;

#[derive(Default)]
struct Spreads {
    hard: Vec<Spread>,
    soft: Vec<Spread>,
    /// Nodes without all labels of the soft ones are the worst.
    complete: bool,
}

/// How many like Pods each domain has, for one constraint.
struct Spread {
    constraint: TopologySpreadConstraint,
    counts: BTreeMap<String, i64>,
    /// The Pod counts itself.
    own: i64,
    /// Many domains make each Pod weigh more, or a spread over nodes would drown in one over zones.
    weight: f64,
}

impl Plugin for PodTopologySpread {
    fn name(&self) -> &'static str {
        "PodTopologySpread"
    }

    fn wakes(&self, _: Change) -> bool {
        true
    }

    fn prepare(&self, pod: &PodInfo, snapshot: &Snapshot) -> State {
        let hard: Vec<_> = pod.wishes().spread.iter().filter(|c| is_hard(c)).collect();
        let keys: BTreeSet<&str> = hard.iter().map(|c| c.topology_key.as_str()).collect();
        let hard = hard.into_iter().map(|constraint| spread(constraint, &keys, pod, snapshot, |_| true)).collect();
        Box::new(Spreads { hard, ..Spreads::default() })
    }

    fn filter(&self, state: &State, _: &PodInfo, node: &NodeInfo) -> Verdict {
        for spread in state.downcast_ref::<Spreads>().into_iter().flat_map(|s| &s.hard) {
            let Some(domain) = node.labels.get(&spread.constraint.topology_key) else {
                return Verdict::never("node(s) didn't match pod topology spread constraints (missing required label)");
            };
            let enough = spread.constraint.min_domains.is_none_or(|wanted| spread.counts.len() as i64 >= i64::from(wanted));
            let least = if enough { spread.counts.values().copied().min().unwrap_or(0) } else { 0 };
            let here = spread.counts.get(domain).copied().unwrap_or(0);
            if here + spread.own - least > i64::from(spread.constraint.max_skew) {
                return Verdict::not_now("node(s) didn't match pod topology spread constraints");
            }
        }
        Verdict::Fits
    }

    fn weight(&self) -> i64 {
        2
    }

    fn prepare_scores(&self, state: &mut State, pod: &PodInfo, snapshot: &Snapshot, fitting: &[&NodeInfo]) {
        let Some(spreads) = state.downcast_mut::<Spreads>() else { return };
        let constraints: Vec<TopologySpreadConstraint> = match pod.wishes().spread.as_slice() {
            [] => defaults(pod, snapshot),
            own => own.iter().filter(|c| !is_hard(c)).cloned().collect(),
        };
        spreads.complete = !pod.wishes().spread.is_empty();
        let keys: BTreeSet<&str> = constraints.iter().filter(|_| spreads.complete).map(|c| c.topology_key.as_str()).collect();
        for constraint in &constraints {
            let key = &constraint.topology_key;
            let domains: BTreeSet<&String> = fitting.iter().filter(|n| has_all(n, &keys)).filter_map(|n| n.labels.get(key)).collect();
            let mut spread = spread(constraint, &keys, pod, snapshot, |domain| domains.contains(domain));
            spread.weight = (domains.len() as f64 + 2.0).ln();
            spreads.soft.push(spread);
        }
    }

    fn scores(&self, state: &State, _: &PodInfo) -> bool {
        state.downcast_ref::<Spreads>().is_some_and(|s| !s.soft.is_empty())
    }

    fn score(&self, state: &State, _: &PodInfo, node: &NodeInfo) -> i64 {
        let Some(spreads) = state.downcast_ref::<Spreads>() else { return 0 };
        let mut score = 0.0;
        for spread in &spreads.soft {
            match node.labels.get(&spread.constraint.topology_key) {
                Some(domain) => {
                    let here = spread.counts.get(domain).copied().unwrap_or(0);
                    score += here as f64 * spread.weight + f64::from(spread.constraint.max_skew - 1);
                }
                None if spreads.complete => return IGNORED,
                None => {}
            }
        }
        score.round() as i64
    }

    fn normalise(&self, scores: &mut [i64]) {
        let known = || scores.iter().copied().filter(|s| *s != IGNORED);
        let (least, most) = (known().min().unwrap_or(0), known().max().unwrap_or(0));
        for score in scores {
            *score = match (*score, most) {
                (IGNORED, _) => 0,
                (_, 0) => MAX_SCORE,
                (score, most) => MAX_SCORE * (most + least - score) / most,
            };
        }
    }
}

fn is_hard(constraint: &TopologySpreadConstraint) -> bool {
    constraint.when_unsatisfiable == "DoNotSchedule"
}

fn has_all(node: &NodeInfo, keys: &BTreeSet<&str>) -> bool {
    keys.iter().all(|key| node.labels.contains_key(*key))
}

fn defaults(pod: &PodInfo, snapshot: &Snapshot) -> Vec<TopologySpreadConstraint> {
    let Some(selector) = snapshot.surroundings.siblings(pod) else { return Vec::new() };
    let constraint = |(key, skew): (&str, i32)| TopologySpreadConstraint {
        topology_key: key.to_string(),
        max_skew: skew,
        when_unsatisfiable: "ScheduleAnyway".to_string(),
        label_selector: Some(selector.clone()),
        ..TopologySpreadConstraint::default()
    };
    DEFAULTS.into_iter().map(constraint).collect()
}

/// Counts like Pods on the nodes that count: those with all `keys` that the constraint's policies do not leave out, in domains that `matter`.
fn spread(constraint: &TopologySpreadConstraint, keys: &BTreeSet<&str>, pod: &PodInfo, snapshot: &Snapshot, matters: impl Fn(&String) -> bool) -> Spread {
    // `matchLabelKeys` narrows the selector to Pods with our own values.
    let narrow: Vec<_> = constraint.match_label_keys.iter().flatten().filter_map(|key| Some((key, pod.labels.get(key)?))).collect();
    let like = |labels: &Pairs| selected(constraint.label_selector.as_ref(), labels) && narrow.iter().all(|(key, value)| labels.get(key) == Some(*value));
    let mut counts = BTreeMap::new();
    for node in snapshot.nodes().iter().filter(|n| n.present && has_all(n, keys)) {
        let Some(domain) = node.labels.get(&constraint.topology_key).filter(|d| matters(d)) else { continue };
        let affine = constraint.node_affinity_policy.as_deref() == Some("Ignore") || node_affinity::matches(pod, node);
        let clean = constraint.node_taints_policy.as_deref() != Some("Honor") || {
            let mut taints = node.taints.iter().filter(|t| t.effect != "PreferNoSchedule");
            taints.all(|taint| pod.wishes().tolerations.iter().any(|t| tolerates(t, taint)))
        };
        if affine && clean {
            let count = node.pods.values().filter(|p| p.namespace == pod.namespace && !p.terminating && like(&p.labels)).count();
            *counts.entry(domain.clone()).or_insert(0) += count as i64;
        }
    }
    Spread { constraint: constraint.clone(), counts, own: i64::from(like(&pod.labels)), weight: 1.0 }
}

#[cfg(test)]
mod tests {
    use super::super::check::check;

    fn pod(when: &str, more: &str) -> String {
        format!(
            "{{metadata: {{labels: {{app: x}}}}, spec: {{topologySpreadConstraints: [{{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: {when}, labelSelector: {{matchLabels: {{app: x}}}}{more}}}]}}}}"
        )
    }

    const LIKE: &str = "pod={metadata: {labels: {app: x}}}";

    #[test]
    fn hard_constraints() {
        let hard = pod("DoNotSchedule", "");
        check(&format!("a zone=1 {LIKE}; b zone=2"), &hard, "b");
        check(
            &format!("a zone=1 {LIKE}; b zone=2 unschedulable"),
            &hard,
            "0/2 nodes are available: 1 node(s) didn't match pod topology spread constraints, 1 node(s) were unschedulable.",
        );
        check("a; b", &hard, "0/2 nodes are available: 2 node(s) didn't match pod topology spread constraints (missing required label).");
        check(&format!("a zone=1 {LIKE}; b zone=1 unschedulable"), &hard, "a");
        check(&format!("a zone=1 {LIKE}"), &pod("DoNotSchedule", ", minDomains: 2"), "0/1 nodes");
        check(&format!("a zone=1 {LIKE}; b zone=2 taint=k:NoSchedule"), &pod("DoNotSchedule", ", nodeTaintsPolicy: Honor"), "a");
    }

    #[test]
    fn soft_constraints() {
        let nodes = format!("a zone=1 {LIKE}; b zone=2 pod={{containers: [{{name: c, resources: {{requests: {{cpu: 500m}}}}}}]}}");
        check(&nodes, &pod("ScheduleAnyway", ""), "b");
    }

    #[test]
    fn who_is_counted() {
        let of = |more: &str| {
            format!(
                "{{metadata: {{labels: {{app: x}}}}, spec: {{nodeSelector: {{pool: a}}, topologySpreadConstraints: [{{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule, labelSelector: {{matchLabels: {{app: x}}}}{more}}}]}}}}"
            )
        };
        // Zone 2 has no node that the Pod may have: it counts only when the policy says so.
        let nodes = format!("a zone=1 pool=a {LIKE}; b zone=2 pool=b");
        check(&nodes, &of(""), "a");
        check(&nodes, &of(", nodeAffinityPolicy: Ignore"), "0/2");
        // Pods that leave, and those of other namespaces, do not count.
        check("a zone=1 pod={metadata: {deletionTimestamp: '2026-01-01T00:00:00Z', labels: {app: x}}}; b zone=2 unschedulable", &pod("DoNotSchedule", ""), "a");
        check("a zone=1 pod={metadata: {namespace: other, labels: {app: x}}}; b zone=2 unschedulable", &pod("DoNotSchedule", ""), "a");
        let by_version = pod("DoNotSchedule", ", matchLabelKeys: [v]").replace("app: x}}, spec", "app: x, v: '2'}}, spec");
        check("a zone=1 pod={metadata: {labels: {app: x, v: '1'}}}; b zone=2 unschedulable", &by_version, "a");
    }

    #[test]
    fn a_node_without_the_label_is_the_last_choice() {
        check(&format!("a; b zone=1 {LIKE}"), &pod("ScheduleAnyway", ""), "b");
    }

    #[test]
    fn those_without_constraints_are_spread_by_their_service() {
        // b is fuller, so that only the spread speaks for it.
        let nodes = |service: &str| format!("{service}a {LIKE}; b pod={{containers: [{{name: c, resources: {{requests: {{cpu: 200m, memory: 400Mi}}}}}}]}}");
        check(&nodes("service=s app=x;"), "{metadata: {labels: {app: x}}}", "b");
        check(&nodes("service=s app=y;"), "{metadata: {labels: {app: x}}}", "a");
    }
}
