//! Which nodes a Pod may be on: node selector terms and tolerations, as scheduler and controllers ask.

use std::collections::BTreeMap;

use crate::k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm, PodSpec, Taint, Toleration};

/// Whether a node is one that the Pod's `nodeSelector` and required node affinity allow.
pub fn allows(pod: &PodSpec, name: &str, labels: &BTreeMap<String, String>) -> bool {
    let required = pod.affinity.as_ref().and_then(|a| a.node_affinity.as_ref()?.required_during_scheduling_ignored_during_execution.as_ref());
    pod.node_selector.iter().flatten().all(|(key, value)| labels.get(key) == Some(value))
        && required.is_none_or(|selector| selector.node_selector_terms.iter().any(|term| term_matches(term, name, labels)))
}

/// Whether a term matches a node. An empty term matches none.
pub fn term_matches(term: &NodeSelectorTerm, name: &str, labels: &BTreeMap<String, String>) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    if expressions.is_empty() && fields.is_empty() {
        return false;
    }
    let field = |key: &str| (key == "metadata.name").then_some(name);
    expressions.iter().all(|r| requirement(r, labels.get(&r.key).map(String::as_str))) && fields.iter().all(|r| requirement(r, field(&r.key)))
}

fn requirement(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let among = |v: &str| values.iter().any(|x| x == v);
    let compare = || numbers(value?, values.first()?);
    match requirement.operator.as_str() {
        "In" => value.is_some_and(among),
        "NotIn" => !value.is_some_and(among),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compare().is_some_and(|(have, want)| have > want),
        "Lt" => compare().is_some_and(|(have, want)| have < want),
        _ => false,
    }
}

/// Whether a toleration covers a taint: no effect covers all, no key with `Exists` covers everything.
pub fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let empty_or_equal = |mine: &Option<String>, theirs: &str| mine.as_deref().is_none_or(|m| m.is_empty() || m == theirs);
    if !empty_or_equal(&toleration.effect, &taint.effect) || !empty_or_equal(&toleration.key, &taint.key) {
        return false;
    }
    let (mine, theirs) = (toleration.value.as_deref().unwrap_or(""), taint.value.as_deref().unwrap_or(""));
    match toleration.operator.as_deref().unwrap_or("Equal") {
        "Exists" => true,
        "" | "Equal" => toleration.key.as_deref().is_some_and(|k| !k.is_empty()) && mine == theirs,
        "Lt" => numbers(theirs, mine).is_some_and(|(taint, mine)| taint < mine),
        "Gt" => numbers(theirs, mine).is_some_and(|(taint, mine)| taint > mine),
        _ => false,
    }
}

fn numbers(a: &str, b: &str) -> Option<(i64, i64)> {
    Some((a.parse().ok()?, b.parse().ok()?))
}
