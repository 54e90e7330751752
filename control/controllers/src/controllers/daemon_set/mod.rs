//! DaemonSet controller: one Pod on every node that the template may be on.

mod nodes;
mod rollout;
mod status;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::jiff::Timestamp;
use parking_lot::Mutex;

use crate::action::{Action, Note};
use crate::controllers::Controller;
use crate::history::{self, HASH_LABEL, History, Owner};
use crate::kinds::{matches, selects_everything};
use crate::pods::{claim, created, deleted, is_available, is_terminating, node_of, phase, ready_since};
use crate::queue::Queue;
use crate::resource::{Key, controller_of, name, namespace, uid};
use crate::world::{Turn, World};

/// At most so many Pods are created and deleted in one plan.
const BURST: usize = 250;
/// How long a node rests after a Pod failed on it, doubled each time.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LAST_BACKOFF: Duration = Duration::from_secs(15 * 60);
/// Nodes whose failures are remembered.
const REMEMBERED: usize = 10_000;

/// The controller `daemonset-controller`.
#[derive(Default)]
pub struct DaemonSets {
    /// When the failed Pod of a set on a node was last replaced, and how long the rest was.
    failures: Mutex<HashMap<(String, String), (Timestamp, Duration)>>,
}

impl Controller for DaemonSets {
    fn name(&self) -> &'static str {
        "daemonset-controller"
    }

    fn account(&self) -> &'static str {
        "daemon-set-controller"
    }

    fn component(&self) -> &'static str {
        "daemonset-controller"
    }

    fn triggers(&self, world: &World, queue: &Arc<Queue>) {
        world.daemon_sets.own_key(queue);
        world.pods.owner_key(queue, "DaemonSet");
        world.controller_revisions.owner_key(queue, "DaemonSet");
        world.pods.on_change(queue, |world, change, add| {
            let pod = change.latest();
            if change.new.is_some() && controller_of(&pod.metadata).is_none() {
                for set in world.daemon_sets.in_namespace(namespace(&pod.metadata)) {
                    if matches(&set.spec.selector, pod.metadata.labels.as_ref()) {
                        add(Key::of(&set.metadata));
                    }
                }
            }
        });
        world.nodes.on_change(queue, |world, change, add| {
            let chosen_by = |n: &Arc<Node>| (n.metadata.labels.clone(), n.spec.as_ref().and_then(|s| s.taints.clone()), n.metadata.uid.clone());
            if change.old.as_ref().map(chosen_by) != change.new.as_ref().map(chosen_by) {
                world.daemon_sets.all().iter().for_each(|set| add(Key::of(&set.metadata)));
            }
        });
    }

    fn plan(&self, turn: &Turn<'_>) -> Vec<Action> {
        let Some(set) = turn.world.daemon_sets.get(&turn.key.namespace, &turn.key.name) else { return Vec::new() };
        if selects_everything(&set.spec.selector) {
            return selecting_all(&set);
        }
        if is_ending(&set) {
            return Vec::new();
        }
        let mut actions = Vec::new();
        let owned = turn.world.pods.controlled_by(uid(&set.metadata));
        let pods = claim(&*set, &set.spec.selector, &owned, &turn.world.pods.orphans(namespace(&set.metadata)), &mut actions);
        let collisions = set.status.as_ref().and_then(|s| s.collision_count);
        let owner = Owner { object: &*set, selector: &set.spec.selector, template: &set.spec.template, collisions, hash_label: HASH_LABEL };
        let Some(history) = History::sync(&owner, turn.world, &mut actions) else {
            actions.push(status::collision(&set));
            return actions;
        };
        let observed = Observed::new(&set, &pods, turn, history::hash(&history.current));
        let work = self.work(&observed, &mut actions);
        work.perform(&observed, &mut actions);
        let in_use: BTreeSet<String> = pods.iter().filter_map(|p| p.metadata.labels.as_ref()?.get(HASH_LABEL).cloned()).collect();
        history.clean_up(set.spec.revision_history_limit, &in_use, &mut actions);
        status::write(&observed, &mut actions);
        actions
    }
}

impl DaemonSets {
    fn work(&self, observed: &Observed<'_>, actions: &mut Vec<Action>) -> Work {
        let mut work = Work::default();
        self.manage(observed, &mut work, actions);
        // A rollout goes on when every node has what it shall have.
        if work.is_empty() && observed.set.spec.update_strategy.as_ref().and_then(|s| s.type_.as_deref()) != Some("OnDelete") {
            rollout::roll(observed, &mut work);
        }
        work
    }

    /// A Pod for each node that wants one and has none; surplus, ended and misplaced ones go.
    fn manage(&self, observed: &Observed<'_>, work: &mut Work, actions: &mut Vec<Action>) {
        for node in &observed.nodes {
            let pods = observed.on(name(&node.node.metadata));
            if node.should_run && pods.is_empty() {
                work.create.push(name(&node.node.metadata).to_owned());
            } else if node.may_stay {
                let mut running: Vec<&Arc<Pod>> = Vec::new();
                for pod in pods.iter().filter(|p| !is_terminating(p)) {
                    match phase(pod) {
                        "Failed" => self.replace_failed(observed, pod, name(&node.node.metadata), work, actions),
                        "Succeeded" => {
                            let message =
                                format!("Found succeeded daemon pod {} on node {}, will try to delete it", Key::of(&pod.metadata), name(&node.node.metadata));
                            actions.push(Action::Record(Note::normal(observed.set, "SucceededDaemonPod", message)));
                            work.delete.push(pod.clone());
                        }
                        _ => running.push(pod),
                    }
                }
                observed.prune(running, work);
            } else {
                work.delete.extend(pods.iter().filter(|p| !is_terminating(p)).cloned());
            }
        }
        // Pods that wait for a node that is gone.
        let there: BTreeSet<&str> = observed.nodes.iter().map(|n| name(&n.node.metadata)).collect();
        let lost = observed.by_node.iter().filter(|(node, _)| !there.contains(node.as_str())).flat_map(|(_, pods)| pods);
        work.delete.extend(lost.filter(|p| node_of(p).is_empty() && !is_terminating(p)).cloned());
    }

    fn replace_failed(&self, observed: &Observed<'_>, pod: &Arc<Pod>, node: &str, work: &mut Work, actions: &mut Vec<Action>) {
        let key = (uid(&observed.set.metadata).to_owned(), node.to_owned());
        let mut failures = self.failures.lock();
        let now = observed.now;
        let since = |at: Timestamp| Duration::try_from(now.duration_since(at)).unwrap_or_default();
        if let Some((at, rest)) = failures.get(&key).copied()
            && since(at) < rest
        {
            actions.push(Action::RequeueAfter(rest - since(at)));
            return;
        }
        if failures.len() >= REMEMBERED {
            failures.retain(|_, (at, rest)| since(*at) < *rest);
        }
        let rest = failures.get(&key).filter(|(at, _)| since(*at) < 2 * LAST_BACKOFF).map_or(FIRST_BACKOFF, |(_, rest)| (*rest * 2).min(LAST_BACKOFF));
        failures.insert(key, (now, rest));
        let message = format!("Found failed daemon pod {} on node {node}, will try to kill it", Key::of(&pod.metadata));
        actions.push(Action::Record(Note::warning(observed.set, "FailedDaemonPod", message)));
        work.delete.push(pod.clone());
    }
}

fn is_ending(set: &DaemonSet) -> bool {
    set.metadata.deletion_timestamp.is_some()
}

fn selecting_all(set: &DaemonSet) -> Vec<Action> {
    vec![Action::Record(Note::warning(set, "SelectingAll", "This daemon set is selecting all pods. A non-empty selector is required."))]
}

/// Pods to make, by node, and Pods to delete.
#[derive(Default)]
struct Work {
    create: Vec<String>,
    delete: Vec<Arc<Pod>>,
}

impl Work {
    fn is_empty(&self) -> bool {
        self.create.is_empty() && self.delete.is_empty()
    }

    fn perform(&self, observed: &Observed<'_>, actions: &mut Vec<Action>) {
        for node in self.create.iter().take(BURST) {
            actions.push(Action::create(&nodes::pod_for(observed.set, node, observed.hash)).announced(created(observed.set)));
        }
        for pod in self.delete.iter().take(BURST) {
            actions.push(Action::delete(&**pod).announced(deleted(observed.set)));
        }
    }
}

/// A node, and what it means to the set.
struct Place {
    node: Arc<Node>,
    /// It wants a Pod.
    should_run: bool,
    /// A Pod that is there stays.
    may_stay: bool,
}

/// The set, its nodes and its Pods.
struct Observed<'a> {
    set: &'a DaemonSet,
    nodes: Vec<Place>,
    /// The Pods of each node, oldest first, but for those that have ended and are on their way out.
    by_node: BTreeMap<String, Vec<Arc<Pod>>>,
    /// The hash of the current template.
    hash: &'a str,
    now: Timestamp,
}

impl<'a> Observed<'a> {
    fn new(set: &'a DaemonSet, pods: &[Arc<Pod>], turn: &Turn<'_>, hash: &'a str) -> Observed<'a> {
        let wanted = nodes::pod_for(set, "", hash).spec.unwrap_or_default();
        let nodes = turn.world.nodes.all().into_iter().map(|node| nodes::judge(set, &wanted, node)).collect();
        let mut by_node: BTreeMap<String, Vec<Arc<Pod>>> = BTreeMap::new();
        for pod in pods.iter().filter(|p| !(crate::pods::has_ended(p) && is_terminating(p))) {
            if let Some(node) = nodes::target(pod) {
                by_node.entry(node.to_owned()).or_default().push(pod.clone());
            }
        }
        for pods in by_node.values_mut() {
            pods.sort_by_cached_key(|p| (node_of(p).is_empty(), p.metadata.creation_timestamp.as_ref().map(|t| t.0), name(&p.metadata).to_owned()));
        }
        Observed { set, nodes, by_node, hash, now: turn.now }
    }

    fn on(&self, node: &str) -> &[Arc<Pod>] {
        self.by_node.get(node).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether a Pod is of the current template.
    fn is_current(&self, pod: &Pod) -> bool {
        pod.metadata.labels.as_ref().and_then(|l| l.get(HASH_LABEL)).is_some_and(|h| h == self.hash)
    }

    fn is_available(&self, pod: &Pod) -> bool {
        is_available(pod, self.set.spec.min_ready_seconds.unwrap_or_default(), self.now)
    }

    /// Of several Pods on a node the oldest stays; while a surge replaces one, the oldest of each template.
    fn prune(&self, running: Vec<&Arc<Pod>>, work: &mut Work) {
        if running.len() <= 1 {
            return;
        }
        if !rollout::surges(self.set) {
            work.delete.extend(running.into_iter().skip(1).cloned());
            return;
        }
        let (new, old): (Vec<_>, Vec<_>) = running.into_iter().partition(|p| self.is_current(p));
        work.delete.extend(new.iter().skip(1).chain(old.iter().skip(1)).map(|p| (*p).clone()));
        if let (Some(new), Some(old)) = (new.first(), old.first())
            && (ready_since(old).is_none() || self.is_available(new))
        {
            work.delete.push((*old).clone());
        }
    }
}
