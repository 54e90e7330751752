//! The past templates of a DaemonSet or StatefulSet, kept as ControllerRevisions.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use serde_json::{Value, json};

use crate::action::Action;
use crate::controllers::deployment::template;
use crate::kinds::matches;
use crate::pods::{adopt, release};
use crate::resource::{Target, Typed, controller_ref, name, namespace, uid};
use crate::world::World;

/// The label by which a Pod, or a DaemonSet's ControllerRevision, names its template.
pub(crate) const HASH_LABEL: &str = "controller-revision-hash";

/// The revisions of an owner.
pub(crate) struct History {
    /// The one of the template as it is; perhaps the plan creates it.
    pub(crate) current: Arc<ControllerRevision>,
    /// The others, oldest first.
    pub(crate) old: Vec<Arc<ControllerRevision>>,
}

/// Which owner's history.
pub(crate) struct Owner<'a, K> {
    pub(crate) object: &'a K,
    pub(crate) selector: &'a LabelSelector,
    pub(crate) template: &'a PodTemplateSpec,
    pub(crate) collisions: Option<i32>,
    /// The label by which a revision names its hash.
    pub(crate) hash_label: &'static str,
}

impl History {
    /// The history with the current template in it; the steps for that are added. `None` if the name of the new revision
    /// is taken by another: then the hash wants to be salted anew.
    pub(crate) fn sync<K: Typed>(owner: &Owner<'_, K>, world: &World, actions: &mut Vec<Action>) -> Option<History> {
        let meta = owner.object.metadata();
        let mut all = claimed(owner, world, actions);
        all.sort_by_key(|r| (r.revision, r.metadata.creation_timestamp.as_ref().map(|t| t.0), r.metadata.name.clone()));
        let latest = all.last().map_or(0, |r| number(r));
        let current = match all.iter().rposition(|r| template_of(r).is_some_and(|t| template::same(&t, owner.template))) {
            Some(at) => {
                let current = all.remove(at);
                if number(&current) < latest {
                    actions.push(Action::patch(Target::of(&*current), json!({"revision": latest + 1})));
                }
                current
            }
            None => {
                let new = make(owner, latest + 1);
                if world.controller_revisions.get(namespace(meta), name(&new.metadata)).is_some() {
                    return None;
                }
                actions.push(Action::create(&new));
                actions.push(Action::Barrier);
                Arc::new(new)
            }
        };
        Some(History { current, old: all })
    }

    /// Deletes old revisions beyond the limit, oldest first, but for those that are in use.
    pub(crate) fn clean_up(&self, limit: Option<i32>, in_use: &BTreeSet<String>, actions: &mut Vec<Action>) {
        let limit = limit.and_then(|l| usize::try_from(l).ok()).unwrap_or(10);
        let idle = self.old.iter().filter(|r| !in_use.contains(name(&r.metadata)) && !in_use.contains(hash(r)));
        let idle: Vec<_> = idle.filter(|r| r.metadata.deletion_timestamp.is_none()).collect();
        let excess = idle.len().saturating_sub(limit);
        actions.extend(idle.iter().take(excess).map(|r| Action::delete(&***r)));
    }
}

/// The hash in the name of a DaemonSet's revision.
pub(crate) fn hash(revision: &ControllerRevision) -> &str {
    revision.metadata.labels.as_ref().and_then(|l| l.get(HASH_LABEL)).map_or("", String::as_str)
}

/// The template that a revision keeps.
pub(crate) fn template_of(revision: &ControllerRevision) -> Option<PodTemplateSpec> {
    let mut data = revision.data.0.pointer("/spec/template")?.clone();
    data.as_object_mut()?.remove("$patch");
    serde_json::from_value(data).ok()
}

fn number(revision: &ControllerRevision) -> i64 {
    revision.revision.unwrap_or_default()
}

fn claimed<K: Typed>(owner: &Owner<'_, K>, world: &World, actions: &mut Vec<Action>) -> Vec<Arc<ControllerRevision>> {
    let meta = owner.object.metadata();
    let deleting = meta.deletion_timestamp.is_some();
    let mut claimed = Vec::new();
    for revision in world.controller_revisions.controlled_by(uid(meta)) {
        if matches(owner.selector, revision.metadata.labels.as_ref()) {
            claimed.push(revision);
        } else if !deleting {
            actions.push(release(Target::of(&*revision), &revision.metadata, uid(meta)));
        }
    }
    for revision in world.controller_revisions.orphans(namespace(meta)) {
        if !deleting && revision.metadata.deletion_timestamp.is_none() && matches(owner.selector, revision.metadata.labels.as_ref()) {
            actions.push(adopt(Target::of(&*revision), &revision.metadata, controller_ref(owner.object)));
            claimed.push(revision);
        }
    }
    claimed
}

fn make<K: Typed>(owner: &Owner<'_, K>, revision: i64) -> ControllerRevision {
    let meta = owner.object.metadata();
    let hash = template::hash(owner.template, owner.collisions);
    let mut data = serde_json::to_value(owner.template).unwrap_or_default();
    data["$patch"] = Value::from("replace");
    let mut labels = owner.template.metadata.as_ref().and_then(|m| m.labels.clone()).unwrap_or_default();
    labels.insert(owner.hash_label.to_owned(), hash.clone());
    ControllerRevision {
        metadata: ObjectMeta {
            name: Some(format!("{}-{hash}", name(meta))),
            namespace: meta.namespace.clone(),
            labels: Some(labels),
            annotations: meta.annotations.clone(),
            owner_references: Some(vec![controller_ref(owner.object)]),
            ..ObjectMeta::default()
        },
        data: RawExtension(json!({"spec": {"template": data}})),
        revision: Some(revision),
    }
}
