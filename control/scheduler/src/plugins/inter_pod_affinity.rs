//! InterPodAffinity: Pods that want to be near others, or far from them, by the labels of nodes.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PodAffinityTerm, WeightedPodAffinityTerm};
use wharf_rest::Pairs;

use crate::framework::{Change, MAX_SCORE, Plugin, State, Verdict};
use crate::labels::selected;
use crate::node::{NodeInfo, Snapshot};
use crate::pod::PodInfo;

pub(super) struct InterPodAffinity;

/// (label of nodes, its value) → how many Pods, or how much weight.
type Domains = BTreeMap<(String, String), i64>;

#[derive(Default)]
struct Near {
    /// Domains with a Pod that wants none like ours.
    forbidden: Domains,
    /// For each required term: Pods that match it.
    wanted: Vec<(String, Domains)>,
    /// Nobody matches any of the terms, but the Pod itself would: the first of a group has to begin somewhere.
    first: bool,
    /// For each required anti-affinity term: Pods that match it.
    shunned: Vec<(String, Domains)>,
    /// What is preferred, by weight.
    preferred: Domains,
}

impl Plugin for InterPodAffinity {
    fn name(&self) -> &'static str {
        "InterPodAffinity"
    }

    fn wakes(&self, _: Change) -> bool {
        true
    }

    fn prepare(&self, pod: &PodInfo, snapshot: &Snapshot) -> State {
        let mut near = Near::default();
        theirs(&mut near, pod, snapshot);
        if pod.near.is_some() {
            ours(&mut near, pod, snapshot);
        }
        Box::new(near)
    }

    fn filter(&self, state: &State, _: &PodInfo, node: &NodeInfo) -> Verdict {
        let Some(near) = state.downcast_ref::<Near>() else { return Verdict::Fits };
        let count = |key: &String, domains: &Domains| Some(domains.get(&(key.clone(), node.labels.get(key)?.clone())).copied().unwrap_or(0));
        let satisfied = near.wanted.iter().all(|(key, domains)| count(key, domains).is_some_and(|n| n > 0 || near.first));
        if !satisfied {
            return Verdict::never("node(s) didn't match pod affinity rules");
        }
        if near.shunned.iter().any(|(key, domains)| count(key, domains).is_some_and(|n| n > 0)) {
            return Verdict::not_now("node(s) didn't match pod anti-affinity rules");
        }
        if near.forbidden.keys().any(|(key, value)| node.labels.get(key) == Some(value)) {
            return Verdict::not_now("node(s) didn't satisfy existing pods anti-affinity rules");
        }
        Verdict::Fits
    }

    fn weight(&self) -> i64 {
        2
    }

    fn scores(&self, state: &State, _: &PodInfo) -> bool {
        state.downcast_ref::<Near>().is_some_and(|near| !near.preferred.is_empty())
    }

    fn score(&self, state: &State, _: &PodInfo, node: &NodeInfo) -> i64 {
        let Some(near) = state.downcast_ref::<Near>() else { return 0 };
        near.preferred.iter().filter(|((key, value), _)| node.labels.get(key) == Some(value)).map(|(_, weight)| weight).sum()
    }

    fn normalise(&self, scores: &mut [i64]) {
        let (least, most) = (scores.iter().copied().min().unwrap_or(0), scores.iter().copied().max().unwrap_or(0));
        for score in scores {
            *score = if most == least { 0 } else { MAX_SCORE * (*score - least) / (most - least) };
        }
    }
}

/// What Pods that are placed already want of ours.
fn theirs(near: &mut Near, pod: &PodInfo, snapshot: &Snapshot) {
    for (other, node) in snapshot.affine() {
        for term in required(other, true) {
            if matches(term, other, pod, snapshot) {
                count(&mut near.forbidden, term, node, 1);
            }
        }
        for (weight, term) in preferences(other) {
            if matches(term, other, pod, snapshot) {
                count(&mut near.preferred, term, node, weight);
            }
        }
        // A Pod that must be near ones like ours is glad of one more.
        for term in required(other, false) {
            if matches(term, other, pod, snapshot) {
                count(&mut near.preferred, term, node, 1);
            }
        }
    }
}

/// What our Pod wants of those that are placed.
fn ours(near: &mut Near, pod: &PodInfo, snapshot: &Snapshot) {
    let (affinity, anti): (Vec<_>, Vec<_>) = (required(pod, false).collect(), required(pod, true).collect());
    near.wanted = affinity.iter().map(|t| (t.topology_key.clone(), Domains::new())).collect();
    near.shunned = anti.iter().map(|t| (t.topology_key.clone(), Domains::new())).collect();
    for node in snapshot.nodes().iter().filter(|n| n.present) {
        for other in node.pods.values() {
            // All terms must be met by one and the same Pod.
            if !affinity.is_empty() && affinity.iter().all(|term| matches(term, pod, other, snapshot)) {
                affinity.iter().zip(&mut near.wanted).for_each(|(term, (_, domains))| count(domains, term, node, 1));
            }
            for (term, (_, domains)) in anti.iter().zip(&mut near.shunned) {
                if matches(term, pod, other, snapshot) {
                    count(domains, term, node, 1);
                }
            }
            for (weight, term) in preferences(pod) {
                if matches(term, pod, other, snapshot) {
                    count(&mut near.preferred, term, node, weight);
                }
            }
        }
    }
    near.first = near.wanted.iter().all(|(_, domains)| domains.is_empty()) && affinity.iter().all(|term| matches(term, pod, pod, snapshot));
}

fn count(domains: &mut Domains, term: &PodAffinityTerm, node: &NodeInfo, weight: i64) {
    if let Some(value) = node.labels.get(&term.topology_key) {
        *domains.entry((term.topology_key.clone(), value.clone())).or_default() += weight;
    }
}

fn required(pod: &PodInfo, anti: bool) -> impl Iterator<Item = &PodAffinityTerm> {
    let near = pod.near.as_ref().and_then(|n| n.affinity.as_ref()).and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
    let far = pod.near.as_ref().and_then(|n| n.anti.as_ref()).and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
    if anti { far } else { near }.into_iter().flatten()
}

/// Preferred terms; those of anti-affinity weigh against.
fn preferences(pod: &PodInfo) -> impl Iterator<Item = (i64, &PodAffinityTerm)> {
    let near = pod.near.as_ref().and_then(|n| n.affinity.as_ref()).and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_ref());
    let far = pod.near.as_ref().and_then(|n| n.anti.as_ref()).and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_ref());
    let weighted = |sign: i64| move |t: &'_ WeightedPodAffinityTerm| i64::from(t.weight) * sign;
    let (plus, minus) = (weighted(1), weighted(-1));
    near.into_iter().flatten().map(move |t| (plus(t), &t.pod_affinity_term)).chain(far.into_iter().flatten().map(move |t| (minus(t), &t.pod_affinity_term)))
}

/// Whether `owner`'s term means `other`. Namespaces are those that the term names or selects; the owner's when it does neither.
fn matches(term: &PodAffinityTerm, owner: &PodInfo, other: &PodInfo, snapshot: &Snapshot) -> bool {
    let named = term.namespaces.as_deref().unwrap_or_default();
    let none = Pairs::default();
    let labels = || snapshot.surroundings.namespace_labels(&other.namespace).unwrap_or(&none);
    let namespace = match &term.namespace_selector {
        selector @ Some(_) => named.iter().any(|n| **n == *other.namespace) || selected(selector.as_ref(), labels()),
        None if named.is_empty() => other.namespace == owner.namespace,
        None => named.iter().any(|n| **n == *other.namespace),
    };
    let same = |keys: &Option<Vec<String>>, equal: bool| {
        keys.iter().flatten().all(|key| owner.labels.get(key).is_none_or(|value| (other.labels.get(key) == Some(value)) == equal))
    };
    namespace && selected(term.label_selector.as_ref(), &other.labels) && same(&term.match_label_keys, true) && same(&term.mismatch_label_keys, false)
}

#[cfg(test)]
mod tests {
    use super::super::check::check;

    fn pod(kind: &str, rule: &str, app: &str) -> String {
        let term = format!("{{labelSelector: {{matchLabels: {{app: {app}}}}}, topologyKey: zone}}");
        let rule = match rule {
            "required" => format!("requiredDuringSchedulingIgnoredDuringExecution: [{term}]"),
            _ => format!("preferredDuringSchedulingIgnoredDuringExecution: [{{weight: 50, podAffinityTerm: {term}}}]"),
        };
        format!("{{metadata: {{labels: {{app: x}}}}, spec: {{affinity: {{{kind}: {{{rule}}}}}}}}}")
    }

    const NODES: &str = "a zone=1 pod={metadata: {labels: {app: db}}}; b zone=2; c zone=1 unschedulable";

    #[test]
    fn near_and_far() {
        check(NODES, &pod("podAffinity", "required", "db"), "a");
        check(NODES, &pod("podAntiAffinity", "required", "db"), "b");
        check(NODES, &pod("podAffinity", "preferred", "db"), "a");
        check(NODES, &pod("podAntiAffinity", "preferred", "db"), "b");
        check(
            NODES,
            &pod("podAffinity", "required", "none"),
            "0/3 nodes are available: 1 node(s) were unschedulable, 2 node(s) didn't match pod affinity rules.",
        );
        check(
            "a zone=1 pod={metadata: {labels: {app: db}}}",
            &pod("podAntiAffinity", "required", "db"),
            "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules.",
        );
        // The first of a group that wants to be near itself.
        check("a zone=1", &pod("podAffinity", "required", "x"), "a");
    }

    #[test]
    fn placed_pods_have_their_say() {
        let nodes = format!("a zone=1 pod={}; b zone=2", pod("podAntiAffinity", "required", "y"));
        check(&nodes, "{metadata: {labels: {app: y}}}", "b");
        let only = nodes.split(';').next().unwrap();
        check(only, "{metadata: {labels: {app: y}}}", "0/1 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules.");
        check(only, "{metadata: {labels: {app: y}, namespace: other}}", "a");
    }

    #[test]
    fn namespaces() {
        let nodes = "namespace=prod tier=hot; namespace=test tier=cold; a zone=1 pod={metadata: {namespace: prod, labels: {app: db}}}; b zone=2";
        let far = |more: &str| {
            let term = format!("{{labelSelector: {{matchLabels: {{app: db}}}}, topologyKey: zone{more}}}");
            format!("{{affinity: {{podAntiAffinity: {{requiredDuringSchedulingIgnoredDuringExecution: [{term}]}}}}, nodeSelector: {{zone: '1'}}}}")
        };
        for (more, fits) in [
            ("", true),
            (", namespaces: [prod]", false),
            (", namespaces: [test]", true),
            (", namespaceSelector: {}", false),
            (", namespaceSelector: {matchLabels: {tier: hot}}", false),
            (", namespaceSelector: {matchLabels: {tier: cold}}", true),
            (", namespaces: [prod], namespaceSelector: {matchLabels: {tier: cold}}", false),
        ] {
            check(
                nodes,
                &far(more),
                if fits {
                    "a"
                } else {
                    "0/2 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 1 node(s) didn't match pod anti-affinity rules."
                },
            );
        }
        // The selector of a placed Pod is asked of the namespace of the one that comes.
        let theirs = "namespace=prod tier=hot; namespace=test tier=cold; a pod={metadata: {namespace: other}, spec: {affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{labelSelector: {}, topologyKey: kubernetes.io/hostname, namespaceSelector: {matchLabels: {tier: hot}}}]}}}}";
        check(theirs, "{metadata: {namespace: test}}", "a");
        check(theirs, "{metadata: {namespace: prod}}", "0/1 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules.");
    }

    #[test]
    fn terms_must_be_met_by_one_pod() {
        let both = "{affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{labelSelector: {matchLabels: {app: x}}, topologyKey: zone}, {labelSelector: {matchLabels: {tier: y}}, topologyKey: zone}]}}}";
        check("a zone=1 pod={metadata: {labels: {app: x}}} pod={metadata: {labels: {tier: y}}}", both, "0/1");
        check("a zone=1 pod={metadata: {labels: {app: x, tier: y}}}", both, "a");
        // `matchLabelKeys`: only Pods with the owner's own value.
        let own = |version: &str| {
            format!(
                "{{metadata: {{labels: {{v: '{version}'}}}}, spec: {{affinity: {{podAntiAffinity: {{requiredDuringSchedulingIgnoredDuringExecution: [{{labelSelector: {{}}, topologyKey: zone, matchLabelKeys: [v]}}]}}}}}}}}"
            )
        };
        check("a zone=1 pod={metadata: {labels: {v: '1'}}}", &own("1"), "0/1");
        check("a zone=1 pod={metadata: {labels: {v: '1'}}}", &own("2"), "a");
    }
}
