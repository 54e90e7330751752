//! DefaultPreemption: when a Pod fits nowhere, less important Pods of one node may have to leave. Pure.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use rand::Rng;

use crate::framework::{FitError, Framework, counted};
use crate::labels::selected;
use crate::node::Snapshot;
use crate::pod::PodInfo;

/// What preemption came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Preemption {
    /// The Pod is nominated to the node; the victims have to leave it.
    Nominated {
        /// The node's name.
        node: String,
        /// Who leaves, the most important first.
        victims: Vec<Arc<PodInfo>>,
    },
    /// Nobody leaves.
    Nobody {
        /// Why, in Kubernetes' words.
        why: String,
        /// A nomination that the Pod has had is void.
        void: bool,
    },
}

/// Of how many nodes the best is chosen: a tenth, at least a hundred.
const AT_LEAST: usize = 100;

/// Looks for the node where the fewest and least important Pods have to leave. The snapshot is as before afterwards.
pub fn preempt(framework: &Framework, snapshot: &mut Snapshot, pod: &PodInfo, nominated: Option<&str>, error: &FitError) -> Preemption {
    if pod.wishes().never_preempts {
        return Preemption::Nobody { why: "not eligible due to preemptionPolicy=Never.".into(), void: false };
    }
    if nominated.is_some_and(|name| waits(snapshot, pod, name, error)) {
        return Preemption::Nobody { why: "not eligible due to a terminating pod on the nominated node.".into(), void: false };
    }
    let candidates = &error.preemptible;
    let mut reasons = BTreeMap::new();
    let mut best: Option<Candidate> = None;
    let (mut found, enough) = (0, (candidates.len() / 10).max(AT_LEAST));
    let first = if candidates.is_empty() { 0 } else { rand::rng().random_range(0..candidates.len()) };
    for name in candidates[first..].iter().chain(&candidates[..first]) {
        match victims(framework, snapshot, pod, name) {
            Ok(candidate) => {
                found += 1;
                if best.as_ref().is_none_or(|best| candidate.rank() < best.rank()) {
                    best = Some(candidate);
                }
                if found >= enough {
                    break;
                }
            }
            Err(why) => why.into_iter().for_each(|reason| *reasons.entry(reason).or_default() += 1),
        }
    }
    if let Some(Candidate { node, victims, .. }) = best {
        return Preemption::Nominated { node, victims };
    }
    let hopeless = error.nodes - candidates.len().min(error.nodes);
    if hopeless > 0 {
        *reasons.entry("Preemption is not helpful for scheduling".to_string()).or_default() += hopeless;
    }
    Preemption::Nobody { why: counted(error.nodes, &reasons), void: true }
}

/// Victims of an earlier preemption are still leaving the node: more of them would not help.
fn waits(snapshot: &Snapshot, pod: &PodInfo, nominated: &str, error: &FitError) -> bool {
    // Never there, whoever leaves: then elsewhere.
    let possible = error.preemptible.iter().any(|name| name == nominated);
    possible && snapshot.node(nominated).is_some_and(|node| node.pods.values().any(|p| p.terminating && p.priority < pod.priority))
}

struct Candidate {
    node: String,
    victims: Vec<Arc<PodInfo>>,
    violations: usize,
}

impl Candidate {
    /// Less is better: budgets violated, the greatest priority among the victims, the sum of them, their number; then
    /// those that have run for the shortest time.
    fn rank(&self) -> (usize, i32, i64, usize, Reverse<i64>) {
        let highest = self.victims.iter().map(|v| v.priority).max().unwrap_or(i32::MIN);
        let sum = self.victims.iter().map(|v| i64::from(v.priority) - i64::from(i32::MIN)).sum();
        let since = self.victims.iter().filter(|v| v.priority == highest).map(|v| v.started).min().unwrap_or(i64::MAX);
        (self.violations, highest, sum, self.victims.len(), Reverse(since))
    }
}

/// The fewest Pods that have to leave one node, or why that does not help.
fn victims(framework: &Framework, snapshot: &mut Snapshot, pod: &PodInfo, name: &str) -> Result<Candidate, Vec<String>> {
    let nobody = || vec!["No preemption victims found for incoming pod".to_string()];
    let mut lesser: Vec<Arc<PodInfo>> = snapshot.node(name).into_iter().flat_map(|n| n.pods.values()).filter(|p| p.priority < pod.priority).cloned().collect();
    if lesser.is_empty() {
        return Err(nobody());
    }
    lesser.sort_by_key(|p| (Reverse(p.priority), p.started, p.uid.clone()));
    for lesser in &lesser {
        snapshot.remove_pod(&lesser.uid);
    }
    if let Err(reasons) = framework.fits(snapshot, pod, name) {
        lesser.into_iter().for_each(|p| snapshot.place(p, name));
        return Err(reasons);
    }
    // As many as possible may stay, first those whose budgets would be violated, then the most important.
    let (violating, other) = by_budget(snapshot, lesser);
    let (mut victims, mut violations) = (Vec::new(), 0);
    for (lesser, violates) in violating.into_iter().map(|p| (p, true)).chain(other.into_iter().map(|p| (p, false))) {
        snapshot.place(lesser.clone(), name);
        if framework.fits(snapshot, pod, name).is_err() {
            snapshot.remove_pod(&lesser.uid);
            violations += usize::from(violates);
            victims.push(lesser);
        }
    }
    victims.iter().for_each(|victim| snapshot.place(victim.clone(), name));
    victims.sort_by_key(|p| (Reverse(p.priority), p.started, p.uid.clone()));
    if victims.is_empty() { Err(nobody()) } else { Ok(Candidate { node: name.to_string(), victims, violations }) }
}

/// Those whose leaving would violate a budget, and the others, in the order given.
fn by_budget(snapshot: &Snapshot, pods: Vec<Arc<PodInfo>>) -> (Vec<Arc<PodInfo>>, Vec<Arc<PodInfo>>) {
    let mut left: BTreeMap<(String, String), i32> = BTreeMap::new();
    pods.into_iter().partition(|pod| {
        let mut violates = false;
        for (name, budget) in snapshot.surroundings.budgets(&pod.namespace) {
            let selector = &budget.selector;
            let empty = selector.match_labels.iter().flatten().next().is_none() && selector.match_expressions.iter().flatten().next().is_none();
            if pod.labels.is_empty() || empty || !selected(Some(selector), &pod.labels) || budget.disrupted.contains(&*pod.name) {
                continue;
            }
            let left = left.entry((pod.namespace.to_string(), name.to_string())).or_insert(budget.allowed);
            *left -= 1;
            violates |= *left < 0;
        }
        violates
    })
}

#[cfg(test)]
#[path = "preemption_tests.rs"]
mod tests;
