//! Refusals of what decides where a Pod runs: affinity, tolerations, spreading, gates.

use std::collections::BTreeSet;

use crate::field::{Error, Errors, Path};
use crate::k8s_openapi::api::core::v1::{
    Affinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PodAffinityTerm, PodSchedulingGate, Toleration, TopologySpreadConstraint,
    WeightedPodAffinityTerm,
};
use crate::kinds::checks::{each, one_of};
use crate::kinds::label_selector;
use crate::kinds::normal::text;
use crate::meta::{dns1123_label, label_value, qualified_name};

const EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// The taints that a Pod bears.
pub(crate) fn tolerations(list: &[Toleration], at: &Path) -> Errors {
    let mut errors = Errors::new();
    for (i, toleration) in list.iter().enumerate() {
        let at = at.index(i);
        let (key, operator, value, effect) = (text(&toleration.key), text(&toleration.operator), text(&toleration.value), text(&toleration.effect));
        if !key.is_empty() {
            errors.extend(each(&at.child("key"), key, qualified_name(key)));
        }
        if key.is_empty() && operator != "Exists" {
            let words = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errors.push(Error::invalid(&at.child("operator"), operator, words));
        }
        if toleration.toleration_seconds.is_some() && effect != "NoExecute" {
            errors.push(Error::invalid(&at.child("effect"), effect, "effect must be 'NoExecute' when `tolerationSeconds` is set"));
        }
        match operator {
            "" | "Equal" => {
                let complaints = label_value(value);
                if !complaints.is_empty() {
                    errors.push(Error::invalid(&at.child("operator"), value, complaints.join(";")));
                }
            }
            "Exists" if !value.is_empty() => {
                errors.push(Error::invalid(&at.child("operator"), value, "value must be empty when `operator` is 'Exists'"));
            }
            "Exists" => {}
            other => errors.push(Error::not_supported(&at.child("operator"), other, &["Equal", "Exists"])),
        }
        if !effect.is_empty() && !EFFECTS.contains(&effect) {
            errors.push(Error::not_supported(&at.child("effect"), effect, EFFECTS));
        }
    }
    errors
}

/// Which nodes and which other Pods attract or repel a Pod.
pub(super) fn affinity(affinity: &Affinity, at: &Path) -> Errors {
    let mut errors = Errors::new();
    if let Some(node) = &affinity.node_affinity {
        let at = at.child("nodeAffinity");
        if let Some(required) = &node.required_during_scheduling_ignored_during_execution {
            errors.extend(node_selector(required, &at.child("requiredDuringSchedulingIgnoredDuringExecution")));
        }
        for (i, term) in node.preferred_during_scheduling_ignored_during_execution.iter().flatten().enumerate() {
            let at = at.child("preferredDuringSchedulingIgnoredDuringExecution").index(i);
            errors.extend(weight(term.weight, &at));
            errors.extend(node_selector_term(&term.preference, &at.child("preference")));
        }
    }
    if let Some(pod) = &affinity.pod_affinity {
        let (required, preferred) = (&pod.required_during_scheduling_ignored_during_execution, &pod.preferred_during_scheduling_ignored_during_execution);
        errors.extend(pod_terms(required.as_deref(), preferred.as_deref(), &at.child("podAffinity")));
    }
    if let Some(pod) = &affinity.pod_anti_affinity {
        let (required, preferred) = (&pod.required_during_scheduling_ignored_during_execution, &pod.preferred_during_scheduling_ignored_during_execution);
        errors.extend(pod_terms(required.as_deref(), preferred.as_deref(), &at.child("podAntiAffinity")));
    }
    errors
}

fn weight(weight: i32, at: &Path) -> Option<Error> {
    (!(1..=100).contains(&weight)).then(|| Error::invalid(&at.child("weight"), weight, "must be in the range 1-100"))
}

/// A choice of nodes.
pub(crate) fn node_selector(selector: &NodeSelector, at: &Path) -> Errors {
    let at = at.child("nodeSelectorTerms");
    if selector.node_selector_terms.is_empty() {
        return vec![Error::required(&at, "must have at least one node selector term")];
    }
    selector.node_selector_terms.iter().enumerate().flat_map(|(i, term)| node_selector_term(term, &at.index(i))).collect()
}

fn node_selector_term(term: &NodeSelectorTerm, at: &Path) -> Errors {
    let mut errors = Errors::new();
    for (i, requirement) in term.match_expressions.iter().flatten().enumerate() {
        errors.extend(node_requirement(requirement, &at.child("matchExpressions").index(i)));
    }
    for (i, requirement) in term.match_fields.iter().flatten().enumerate() {
        let at = at.child("matchFields").index(i);
        let values = requirement.values.as_deref().unwrap_or_default();
        match requirement.operator.as_str() {
            "In" | "NotIn" if values.len() != 1 => {
                let words = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
                errors.push(Error::required(&at.child("values"), words));
            }
            "In" | "NotIn" => {}
            other => errors.push(Error::invalid(&at.child("operator"), other, "not a valid selector operator")),
        }
        if requirement.key != "metadata.name" {
            errors.push(Error::invalid(&at.child("key"), &requirement.key, "not a valid field selector key"));
        }
    }
    errors
}

fn node_requirement(requirement: &NodeSelectorRequirement, at: &Path) -> Errors {
    let mut errors = Errors::new();
    let values = requirement.values.as_deref().unwrap_or_default();
    match requirement.operator.as_str() {
        "In" | "NotIn" if values.is_empty() => {
            errors.push(Error::required(&at.child("values"), "must be specified when `operator` is 'In' or 'NotIn'"));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            errors.push(Error::forbidden(&at.child("values"), "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"));
        }
        "Gt" | "Lt" if values.len() != 1 => {
            errors.push(Error::required(&at.child("values"), "must be specified single value when `operator` is 'Lt' or 'Gt'"));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        other => errors.push(Error::invalid(&at.child("operator"), other, "not a valid selector operator")),
    }
    errors.extend(each(&at.child("key"), &requirement.key, qualified_name(&requirement.key)));
    errors
}

fn pod_terms(required: Option<&[PodAffinityTerm]>, preferred: Option<&[WeightedPodAffinityTerm]>, at: &Path) -> Errors {
    let mut errors = Errors::new();
    for (i, term) in required.into_iter().flatten().enumerate() {
        errors.extend(pod_term(term, &at.child("requiredDuringSchedulingIgnoredDuringExecution").index(i)));
    }
    for (i, term) in preferred.into_iter().flatten().enumerate() {
        let at = at.child("preferredDuringSchedulingIgnoredDuringExecution").index(i);
        errors.extend(weight(term.weight, &at));
        errors.extend(pod_term(&term.pod_affinity_term, &at.child("podAffinityTerm")));
    }
    errors
}

fn pod_term(term: &PodAffinityTerm, at: &Path) -> Errors {
    let mut errors = Errors::new();
    errors.extend(term.label_selector.iter().flat_map(|s| label_selector::validate(s, &at.child("labelSelector"))));
    errors.extend(term.namespace_selector.iter().flat_map(|s| label_selector::validate(s, &at.child("namespaceSelector"))));
    for namespace in term.namespaces.iter().flatten() {
        errors.extend(each(&at.child("namespace"), namespace, dns1123_label(namespace)));
    }
    if term.topology_key.is_empty() {
        errors.push(Error::required(&at.child("topologyKey"), "can not be empty"));
    }
    errors.extend(each(&at.child("topologyKey"), &term.topology_key, qualified_name(&term.topology_key)));
    errors
}

/// How Pods are spread over zones and the like.
pub(super) fn topology_spread(constraints: &[TopologySpreadConstraint], at: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut seen = BTreeSet::new();
    for (i, constraint) in constraints.iter().enumerate() {
        let at = at.index(i);
        if constraint.max_skew <= 0 {
            errors.push(Error::invalid(&at.child("maxSkew"), constraint.max_skew, "must be greater than zero"));
        }
        if constraint.topology_key.is_empty() {
            errors.push(Error::required(&at.child("topologyKey"), "can not be empty"));
        } else {
            errors.extend(each(&at.child("topologyKey"), &constraint.topology_key, qualified_name(&constraint.topology_key)));
        }
        let unsatisfiable = constraint.when_unsatisfiable.as_str();
        if !matches!(unsatisfiable, "DoNotSchedule" | "ScheduleAnyway") {
            errors.push(Error::not_supported(&at.child("whenUnsatisfiable"), unsatisfiable, &["DoNotSchedule", "ScheduleAnyway"]));
        }
        if !seen.insert((constraint.topology_key.as_str(), unsatisfiable)) {
            let pair = format!("{{{}, {unsatisfiable}}}", constraint.topology_key);
            errors.push(Error::duplicate(&at.child("{topologyKey, whenUnsatisfiable}"), pair));
        }
        if let Some(domains) = constraint.min_domains {
            let at = at.child("minDomains");
            if domains <= 0 {
                errors.push(Error::invalid(&at, domains, "must be greater than zero"));
            }
            if unsatisfiable != "DoNotSchedule" {
                let words = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {unsatisfiable}");
                errors.push(Error::invalid(&at, domains, words));
            }
        }
        for (policy, field) in [(&constraint.node_affinity_policy, "nodeAffinityPolicy"), (&constraint.node_taints_policy, "nodeTaintsPolicy")] {
            if policy.is_some() {
                errors.extend(one_of(policy.as_deref(), &["Honor", "Ignore"], &at.child(field)));
            }
        }
        let keys = constraint.match_label_keys.as_deref().unwrap_or_default();
        if !keys.is_empty() && constraint.label_selector.is_none() {
            errors.push(Error::forbidden(&at.child("matchLabelKeys"), "must not be specified when labelSelector is not set"));
        }
        for (j, key) in keys.iter().enumerate() {
            errors.extend(each(&at.child("matchLabelKeys").index(j), key, qualified_name(key)));
        }
        errors.extend(constraint.label_selector.iter().flat_map(|s| label_selector::validate(s, &at.child("labelSelector"))));
    }
    errors
}

/// What must be lifted before a Pod is scheduled.
pub(super) fn gates(gates: &[PodSchedulingGate], at: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut seen = BTreeSet::new();
    for (i, gate) in gates.iter().enumerate() {
        let at = at.index(i);
        errors.extend(each(&at, &gate.name, qualified_name(&gate.name)));
        if !seen.insert(&gate.name) {
            errors.push(Error::duplicate(&at, &gate.name));
        }
    }
    errors
}
