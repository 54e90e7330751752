//! A Deployment's ReplicaSets as they are observed, and as the plan makes them.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, ReplicaSetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;

use super::template::{self, HASH_LABEL};
use super::{bounds, replicas};
use crate::action::{Action, Announce, Note, reference};
use crate::kinds::{Labels, matches};
use crate::pods::{adopt, has_ended, release};
use crate::resource::{Target, controller_ref, name, namespace, uid};
use crate::world::World;

pub(crate) const REVISION: &str = "deployment.kubernetes.io/revision";
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";
/// Annotations that are not copied from a Deployment to its ReplicaSets.
const OWN_ANNOTATIONS: [&str; 6] =
    ["kubectl.kubernetes.io/last-applied-configuration", REVISION, REVISION_HISTORY, DESIRED_REPLICAS, MAX_REPLICAS, "deprecated.deployment.rollback.to"];
const HISTORY_CHARS: usize = 2_000;

/// One ReplicaSet: as it is, and what it shall become.
pub(super) struct Set {
    pub(super) is: Arc<ReplicaSet>,
    replicas: i32,
    annotations: BTreeMap<String, String>,
    min_ready_seconds: Option<i32>,
}

impl Set {
    fn new(is: Arc<ReplicaSet>) -> Set {
        Set {
            replicas: is.spec.replicas.unwrap_or(1),
            annotations: is.metadata.annotations.clone().unwrap_or_default(),
            min_ready_seconds: is.spec.min_ready_seconds,
            is,
        }
    }

    pub(super) fn replicas(&self) -> i32 {
        self.replicas
    }

    /// Pods that serve and are to stay: the status may still count some that were scaled away.
    pub(super) fn available(&self) -> i32 {
        self.is.status.as_ref().and_then(|s| s.available_replicas).unwrap_or_default().min(self.is.spec.replicas.unwrap_or(1))
    }

    pub(super) fn name(&self) -> &str {
        name(&self.is.metadata)
    }

    pub(super) fn revision(&self) -> i64 {
        self.annotations.get(REVISION).and_then(|r| r.parse().ok()).unwrap_or_default()
    }

    fn number(&self, annotation: &str) -> Option<i32> {
        self.annotations.get(annotation).and_then(|v| v.parse().ok())
    }

    /// The size that the Deployment had (with surge) when this set was last resized.
    pub(super) fn max_replicas(&self) -> Option<i32> {
        self.number(MAX_REPLICAS)
    }

    pub(super) fn desired_replicas(&self) -> Option<i32> {
        self.number(DESIRED_REPLICAS)
    }

    /// Whether anything was changed; the patch for it is added.
    fn change(&self, actions: &mut Vec<Action>) {
        let mut patch = json!({});
        let was = self.is.metadata.annotations.clone().unwrap_or_default();
        for (key, value) in self.annotations.iter().filter(|(k, v)| was.get(*k) != Some(v)) {
            patch["metadata"]["annotations"][key] = json!(value);
        }
        if self.is.spec.replicas.unwrap_or(1) != self.replicas {
            patch["spec"]["replicas"] = json!(self.replicas);
        }
        if self.is.spec.min_ready_seconds.unwrap_or_default() != self.min_ready_seconds.unwrap_or_default() {
            patch["spec"]["minReadySeconds"] = json!(self.min_ready_seconds.unwrap_or_default());
        }
        if patch != json!({}) {
            actions.push(Action::patch(Target::of(&*self.is), patch));
        }
    }
}

/// All ReplicaSets of a Deployment.
pub(super) struct Sets<'a> {
    deployment: &'a Deployment,
    /// The one of the newest template.
    pub(super) new: Option<Set>,
    /// The others, oldest first.
    pub(super) old: Vec<Set>,
    pub(super) created: Option<Created>,
    notes: Vec<Note>,
}

/// The ReplicaSet that the plan creates.
pub(super) struct Created {
    pub(super) name: String,
    pub(super) revision: i64,
}

impl<'a> Sets<'a> {
    /// The sets that the Deployment controls or comes to control; the steps for the latter are added.
    pub(super) fn observe(deployment: &'a Deployment, world: &World, actions: &mut Vec<Action>) -> Sets<'a> {
        let (selector, deleting) = (&deployment.spec.selector, deployment.metadata.deletion_timestamp.is_some());
        let mut claimed = Vec::new();
        for set in world.replica_sets.controlled_by(uid(&deployment.metadata)) {
            if matches(selector, set.metadata.labels.as_ref()) {
                claimed.push(set);
            } else if !deleting {
                actions.push(release(Target::of(&*set), &set.metadata, uid(&deployment.metadata)));
            }
        }
        for set in world.replica_sets.orphans(namespace(&deployment.metadata)) {
            if !deleting && set.metadata.deletion_timestamp.is_none() && matches(selector, set.metadata.labels.as_ref()) {
                actions.push(adopt(Target::of(&*set), &set.metadata, controller_ref(deployment)));
                claimed.push(set);
            }
        }
        claimed.sort_by(|a, b| {
            let age = |s: &ReplicaSet| (s.metadata.creation_timestamp.as_ref().map(|t| t.0), s.metadata.name.clone());
            age(a).cmp(&age(b))
        });
        let mut sets = Sets { deployment, new: None, old: Vec::new(), created: None, notes: Vec::new() };
        for set in claimed {
            let newest = sets.new.is_none() && set.spec.template.as_ref().is_some_and(|t| template::same(t, &deployment.spec.template));
            let set = Set::new(set);
            if newest { sets.new = Some(set) } else { sets.old.push(set) }
        }
        sets
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Set> {
        self.old.iter().chain(&self.new)
    }

    /// Pods wanted of all sets together.
    pub(super) fn total(&self) -> i32 {
        self.all().map(Set::replicas).sum()
    }

    pub(super) fn old_total(&self) -> i32 {
        self.old.iter().map(Set::replicas).sum()
    }

    pub(super) fn available(&self) -> i32 {
        self.all().map(Set::available).sum()
    }

    /// Whether the Deployment was scaled since its sets were last touched.
    pub(super) fn resized(&self) -> bool {
        self.all().filter(|s| s.replicas > 0).any(|s| s.desired_replicas().is_some_and(|d| d != replicas(self.deployment)))
    }

    /// Resizes a set, and notes so.
    pub(super) fn scale(&mut self, of: &str, to: i32) {
        let (deployment, surge) = (self.deployment, bounds(self.deployment).0);
        let Some(set) = self.old.iter_mut().chain(&mut self.new).find(|s| name(&s.is.metadata) == of) else { return };
        let wanted = replicas(deployment);
        set.annotations.insert(DESIRED_REPLICAS.to_owned(), wanted.to_string());
        set.annotations.insert(MAX_REPLICAS.to_owned(), (wanted + surge).to_string());
        let from = std::mem::replace(&mut set.replicas, to);
        if from != to {
            let direction = if to > from { "up" } else { "down" };
            self.notes.push(Note::normal(deployment, "ScalingReplicaSet", format!("Scaled {direction} replica set {of} from {from} to {to}")));
        }
    }

    /// How large the newest set may be now.
    pub(super) fn new_size(&self) -> i32 {
        let (wanted, is) = (replicas(self.deployment), self.new.as_ref().map_or(0, Set::replicas));
        if super::recreates(self.deployment) {
            return wanted;
        }
        let room = wanted + bounds(self.deployment).0 - self.total();
        if room <= 0 { is } else { is + room.min(wanted - is).max(0) }
    }

    /// Brings the newest set's annotations up to date, or creates it.
    pub(super) fn sync_new(&mut self, create: bool, actions: &mut Vec<Action>) {
        let revision = self.old.iter().map(Set::revision).max().unwrap_or_default() + 1;
        let deployment = self.deployment;
        if let Some(set) = &mut self.new {
            annotate(&mut set.annotations, deployment, revision);
            set.min_ready_seconds = deployment.spec.min_ready_seconds;
        } else if create {
            let set = self.make(revision);
            let called = name(&set.metadata).to_owned();
            let size = set.spec.replicas.unwrap_or_default();
            let done = (size > 0).then(|| ("ScalingReplicaSet", format!("Scaled up replica set {called} from 0 to {size}")));
            let failed = Some(("ReplicaSetCreateError", format!("Failed to create new replica set {called:?}: {{error}}")));
            actions.push(Action::create(&set).announced(Announce { about: reference(deployment), done, failed }));
            // Nobody is told of a set that could not be made.
            actions.push(Action::Barrier);
            self.created = Some(Created { name: called, revision });
        }
    }

    fn make(&self, revision: i64) -> ReplicaSet {
        let deployment = self.deployment;
        let hash = template::hash(&deployment.spec.template, deployment.status.as_ref().and_then(|s| s.collision_count));
        let mut template = deployment.spec.template.clone();
        template.metadata.get_or_insert_default().labels.get_or_insert_default().insert(HASH_LABEL.to_owned(), hash.clone());
        let mut selector = deployment.spec.selector.clone();
        selector.match_labels.get_or_insert_default().insert(HASH_LABEL.to_owned(), hash.clone());
        let (wanted, surge) = (replicas(deployment), bounds(deployment).0);
        let mut annotations = Labels::new();
        annotate(&mut annotations, deployment, revision);
        annotations.insert(DESIRED_REPLICAS.to_owned(), wanted.to_string());
        annotations.insert(MAX_REPLICAS.to_owned(), (wanted + surge).to_string());
        ReplicaSet {
            metadata: ObjectMeta {
                name: Some(format!("{}-{hash}", name(&deployment.metadata))),
                namespace: deployment.metadata.namespace.clone(),
                labels: template.metadata.as_ref().and_then(|m| m.labels.clone()),
                annotations: Some(annotations),
                owner_references: Some(vec![controller_ref(deployment)]),
                ..ObjectMeta::default()
            },
            spec: ReplicaSetSpec { replicas: Some(self.new_size()), min_ready_seconds: deployment.spec.min_ready_seconds, selector, template: Some(template) },
            status: None,
        }
    }

    /// The name that a new set would have, if that is taken by another than one of ours with this template.
    pub(super) fn collides(&self, world: &World) -> bool {
        let hash = template::hash(&self.deployment.spec.template, self.deployment.status.as_ref().and_then(|s| s.collision_count));
        self.new.is_none() && world.replica_sets.get(namespace(&self.deployment.metadata), &format!("{}-{hash}", name(&self.deployment.metadata))).is_some()
    }

    /// The steps that make the sets as they shall be.
    pub(super) fn finish(&mut self, actions: &mut Vec<Action>) {
        self.all().for_each(|set| set.change(actions));
        actions.extend(self.notes.drain(..).map(Action::Record));
    }

    /// Deletes old sets that hold nothing, beyond the history that is kept.
    pub(super) fn clean_up(&self, actions: &mut Vec<Action>) {
        let Some(limit) = self.deployment.spec.revision_history_limit.and_then(|l| usize::try_from(l).ok()) else { return };
        let mut sets: Vec<&Set> = self.old.iter().filter(|s| s.is.metadata.deletion_timestamp.is_none()).collect();
        let excess = sets.len().saturating_sub(limit);
        sets.sort_by_key(|s| s.revision());
        for set in sets.into_iter().take(excess) {
            let status = set.is.status.clone().unwrap_or_default();
            let settled = status.observed_generation >= set.is.metadata.generation;
            if status.replicas == 0 && set.replicas == 0 && set.is.spec.replicas == Some(0) && settled {
                actions.push(Action::delete(&*set.is));
            }
        }
    }

    /// Whether Pods of old sets still run, if only to end.
    pub(super) fn old_pods_run(&self, world: &World) -> bool {
        self.old.iter().any(|s| world.pods.controlled_by(uid(&s.is.metadata)).iter().any(|p| !has_ended(p)))
    }
}

/// Copies the Deployment's annotations, and raises the revision, remembering former ones.
fn annotate(annotations: &mut BTreeMap<String, String>, deployment: &Deployment, revision: i64) {
    for (key, value) in deployment.metadata.annotations.iter().flatten().filter(|(k, _)| !OWN_ANNOTATIONS.contains(&k.as_str())) {
        annotations.insert(key.clone(), value.clone());
    }
    let was = annotations.get(REVISION).cloned();
    if was.as_ref().and_then(|r| r.parse::<i64>().ok()).unwrap_or_default() >= revision {
        return;
    }
    annotations.insert(REVISION.to_owned(), revision.to_string());
    if let Some(was) = was.filter(|r| !r.is_empty()) {
        let mut history: Vec<String> = annotations.get(REVISION_HISTORY).map(|h| h.split(',').map(str::to_owned).collect()).unwrap_or_default();
        history.push(was);
        while history.len() > 1 && history.iter().map(|r| r.len() + 1).sum::<usize>() > HISTORY_CHARS {
            history.remove(0);
        }
        annotations.insert(REVISION_HISTORY.to_owned(), history.join(","));
    }
}
