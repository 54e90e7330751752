//! Deciding: filters, then scores. Pure: the same nodes and the same Pod give the same answer, but for the choice among equals.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;

use rand::Rng;

use crate::node::{NodeInfo, Snapshot};
use crate::pod::PodInfo;
use crate::preemption::{Preemption, preempt};

/// What a plugin worked out once for a Pod, for its filter and score.
pub type State = Box<dyn Any>;

/// A plugin's word on one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The Pod may run there.
    Fits,
    /// Not now: fewer Pods there would help. Reasons in Kubernetes' words.
    Unschedulable(Vec<String>),
    /// Not at all, whoever leaves.
    Unresolvable(Vec<String>),
}

impl Verdict {
    /// Unresolvable, for one constant reason.
    pub fn never(reason: &str) -> Verdict {
        Verdict::Unresolvable(vec![reason.to_string()])
    }

    /// Unschedulable, for one constant reason.
    pub fn not_now(reason: &str) -> Verdict {
        Verdict::Unschedulable(vec![reason.to_string()])
    }
}

/// What happened in the cluster that may let a waiting Pod run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A node was added, or its labels, taints or room changed.
    Node,
    /// A Pod got a node, or its labels changed.
    PodPlaced,
    /// A Pod left its node.
    PodGone,
    /// Labels of a namespace changed.
    Namespace,
}

/// One rule: where a Pod may run, or where it had better.
pub trait Plugin: Send + Sync {
    /// Its name, as Kubernetes has it.
    fn name(&self) -> &'static str;

    /// Whether a change may let in a Pod that this plugin refused.
    fn wakes(&self, change: Change) -> bool {
        change == Change::Node
    }

    /// Worked out once for a Pod, before its nodes are looked at.
    fn prepare(&self, _pod: &PodInfo, _snapshot: &Snapshot) -> State {
        Box::new(())
    }

    /// Whether the Pod may run on a node.
    fn filter(&self, _state: &State, _pod: &PodInfo, _node: &NodeInfo) -> Verdict {
        Verdict::Fits
    }

    /// How much its score counts; 0 when it does not score.
    fn weight(&self) -> i64 {
        0
    }

    /// Worked out once for the nodes that fit, before they are scored.
    fn prepare_scores(&self, _state: &mut State, _pod: &PodInfo, _snapshot: &Snapshot, _fitting: &[&NodeInfo]) {}

    /// Whether the Pod's own wishes make the score matter.
    fn scores(&self, _state: &State, _pod: &PodInfo) -> bool {
        true
    }

    /// How good a node is.
    fn score(&self, _state: &State, _pod: &PodInfo, _node: &NodeInfo) -> i64 {
        0
    }

    /// Brings the scores of all candidates to 0..=100.
    fn normalise(&self, _scores: &mut [i64]) {}
}

/// The highest score of a plugin.
pub const MAX_SCORE: i64 = 100;

/// Brings scores to 0..=100 in proportion to the greatest; reversed when less is better.
pub fn proportional(scores: &mut [i64], reverse: bool) {
    let greatest = scores.iter().copied().max().unwrap_or(0);
    for score in scores {
        if greatest > 0 {
            *score = *score * MAX_SCORE / greatest;
        }
        if reverse {
            *score = MAX_SCORE - *score;
        }
    }
}

/// Why no node was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FitError {
    /// How many nodes there are.
    pub nodes: usize,
    /// Reasons, and how many nodes gave each.
    pub reasons: BTreeMap<String, usize>,
    /// Nodes where fewer Pods would help.
    pub preemptible: Vec<String>,
    /// Why no Pods have to leave for this one; `None` when some do.
    pub preemption: Option<String>,
    /// The plugins that refused.
    pub plugins: Vec<&'static str>,
}

impl std::error::Error for FitError {}

impl fmt::Display for FitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nodes == 0 {
            return f.write_str("no nodes available to schedule pods");
        }
        f.write_str(&counted(self.nodes, &self.reasons))?;
        match &self.preemption {
            Some(why) => write!(f, " no new claims to deallocate, preemption: {why}"),
            None => Ok(()),
        }
    }
}

/// `0/4 nodes are available: 1 Too many pods, 3 Insufficient cpu.`
pub(crate) fn counted(nodes: usize, reasons: &BTreeMap<String, usize>) -> String {
    let mut reasons: Vec<String> = reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    reasons.sort();
    format!("0/{nodes} nodes are available: {}.", reasons.join(", "))
}

/// The plugins in the order in which they are asked, and where the search went on last.
pub struct Framework {
    plugins: Vec<Box<dyn Plugin>>,
    next: usize,
}

impl Framework {
    /// With the plugins of [`crate::plugins::all`], or others.
    pub fn new(plugins: Vec<Box<dyn Plugin>>) -> Framework {
        Framework { plugins, next: 0 }
    }

    /// Finds the best node: that to which the Pod is nominated, if it fits. Of many nodes only as many are looked at as
    /// it takes to find enough that fit; the next search goes on from there.
    pub fn schedule(&mut self, snapshot: &Snapshot, pod: &PodInfo, nominated: Option<&str>) -> Result<String, FitError> {
        let mut states = self.prepare(snapshot, pod);
        let nodes = snapshot.nodes();
        let total = nodes.iter().filter(|n| n.present).count();
        let enough = enough(total);
        let mut error = FitError { nodes: total, ..FitError::default() };
        if let Some(node) = nominated.and_then(|name| snapshot.node(name)).filter(|n| n.present)
            && self.refusal(&states, pod, node).is_none()
        {
            return Ok(node.name.to_string());
        }
        let mut fitting: Vec<&NodeInfo> = Vec::new();
        let mut looked = 0;
        while looked < nodes.len() && fitting.len() < enough {
            let node = &nodes[(self.next + looked) % nodes.len()];
            looked += 1;
            if node.present && self.filter(&states, pod, node, &mut error) {
                fitting.push(node);
            }
        }
        if !nodes.is_empty() {
            self.next = (self.next + looked) % nodes.len();
        }
        match fitting.as_slice() {
            [] => Err(error),
            [only] => Ok(only.name.to_string()),
            _ => {
                for (plugin, state) in self.plugins.iter().zip(&mut states) {
                    plugin.prepare_scores(state, pod, snapshot, &fitting);
                }
                Ok(self.best(&states, pod, &fitting))
            }
        }
    }

    /// Whether the Pod may run on a node as things are; else the reasons of the first plugin that refuses.
    pub fn fits(&self, snapshot: &Snapshot, pod: &PodInfo, node: &str) -> Result<(), Vec<String>> {
        let states = self.prepare(snapshot, pod);
        let Some(node) = snapshot.node(node).filter(|n| n.present) else { return Err(Vec::new()) };
        match self.refusal(&states, pod, node) {
            None => Ok(()),
            Some((_, reasons, _)) => Err(reasons),
        }
    }

    fn prepare(&self, snapshot: &Snapshot, pod: &PodInfo) -> Vec<State> {
        self.plugins.iter().map(|plugin| plugin.prepare(pod, snapshot)).collect()
    }

    /// The first plugin that refuses a node: its name, its reasons, and whether fewer Pods would help.
    fn refusal(&self, states: &[State], pod: &PodInfo, node: &NodeInfo) -> Option<(&'static str, Vec<String>, bool)> {
        self.plugins.iter().zip(states).find_map(|(plugin, state)| match plugin.filter(state, pod, node) {
            Verdict::Fits => None,
            Verdict::Unschedulable(reasons) => Some((plugin.name(), reasons, true)),
            Verdict::Unresolvable(reasons) => Some((plugin.name(), reasons, false)),
        })
    }

    fn filter(&self, states: &[State], pod: &PodInfo, node: &NodeInfo, error: &mut FitError) -> bool {
        let Some((plugin, reasons, resolvable)) = self.refusal(states, pod, node) else { return true };
        for reason in reasons {
            *error.reasons.entry(reason).or_default() += 1;
        }
        if resolvable {
            error.preemptible.push(node.name.to_string());
        }
        if !error.plugins.contains(&plugin) {
            error.plugins.push(plugin);
        }
        false
    }

    fn best(&self, states: &[State], pod: &PodInfo, nodes: &[&NodeInfo]) -> String {
        let mut totals = vec![0i64; nodes.len()];
        let mut scores = vec![0i64; nodes.len()];
        for (plugin, state) in self.plugins.iter().zip(states) {
            if plugin.weight() == 0 || !plugin.scores(state, pod) {
                continue;
            }
            for (score, node) in scores.iter_mut().zip(nodes) {
                *score = plugin.score(state, pod, node);
            }
            plugin.normalise(&mut scores);
            for (total, score) in totals.iter_mut().zip(&scores) {
                *total += score * plugin.weight();
            }
        }
        // Among equals by chance, so that two schedulers or a restart do not always fill the same node first.
        let (mut best, mut equals, mut rng) = (0, 0u32, rand::rng());
        for (index, total) in totals.iter().enumerate() {
            if *total > totals[best] {
                (best, equals) = (index, 1);
            } else if *total == totals[best] {
                equals += 1;
                if rng.random_range(0..equals) == 0 {
                    best = index;
                }
            }
        }
        nodes[best].name.to_string()
    }

    /// Looks for Pods that could leave for one that fits nowhere, and says in the error why there are none.
    pub fn preempt(&self, snapshot: &mut Snapshot, pod: &PodInfo, nominated: Option<&str>, mut error: FitError) -> (FitError, Preemption) {
        let preemption = preempt(self, snapshot, pod, nominated, &error);
        if let Preemption::Nobody { why, .. } = &preemption {
            error.preemption = Some(why.clone());
        }
        (error, preemption)
    }

    /// Whether a change may let in a Pod that these plugins refused.
    pub fn wakes(&self, refused_by: &[&'static str], change: Change) -> bool {
        self.plugins.iter().any(|plugin| refused_by.contains(&plugin.name()) && plugin.wakes(change))
    }
}

/// Of how many nodes the best is chosen: all up to 100, then a share that falls from 50 % to 5 %.
fn enough(nodes: usize) -> usize {
    const AT_LEAST: usize = 100;
    if nodes < AT_LEAST {
        return nodes.max(1);
    }
    let percent = 50usize.saturating_sub(nodes / 125).max(5);
    (nodes * percent / 100).max(AT_LEAST)
}

/// One decision with the standard plugins: the node's name, or why there is none, and who would have to leave.
pub fn schedule(snapshot: &mut Snapshot, pod: &PodInfo) -> Result<String, Box<(FitError, Preemption)>> {
    let mut framework = Framework::new(crate::plugins::all());
    framework.schedule(snapshot, pod, None).map_err(|error| Box::new(framework.preempt(snapshot, pod, None, error)))
}
