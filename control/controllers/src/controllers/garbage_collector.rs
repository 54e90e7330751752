//! Garbage collector: what is left of an owner follows it.
//!
//! Keys are uids. It works on the graph of all kinds' metadata, and asks the API server before it believes that an owner is gone.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::action::Action;
use crate::controllers::Controller;
use crate::graph::{Node, Owner};
use crate::queue::Queue;
use crate::resource::{Key, Target};
use crate::world::{Turn, World};

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";
/// When to look again at an owner of a kind that is not known.
const PATIENCE: Duration = Duration::from_secs(30);

/// The controller `garbage-collector-controller`.
pub struct GarbageCollector;

impl Controller for GarbageCollector {
    fn name(&self) -> &'static str {
        "garbage-collector-controller"
    }

    fn account(&self) -> &'static str {
        "generic-garbage-collector"
    }

    fn triggers(&self, world: &World, queue: &Arc<Queue>) {
        world.on_graph_change(queue, |world, change, add| {
            let node = change.latest();
            let key = || Key::new("", &*node.uid);
            match &change.new {
                // Whose owner went must look for itself; an owner that waits for this one may go on.
                None => {
                    world.graph.dependents(&node.uid).iter().for_each(|d| add(Key::new("", &*d.uid)));
                    node.owners.iter().for_each(|o| add(Key::new("", &*o.uid)));
                }
                Some(new) => {
                    let owners_changed = change.old.as_ref().is_none_or(|old| old.owners != new.owners);
                    if !new.owners.is_empty() && owners_changed || new.deleting && (new.held_by(FOREGROUND) || new.held_by(ORPHAN)) {
                        add(key());
                    }
                    if owners_changed && let Some(old) = &change.old {
                        old.owners.iter().for_each(|o| add(Key::new("", &*o.uid)));
                    }
                    // Dependents of an owner that begins to wait for them begin to go.
                    if new.deleting && new.held_by(FOREGROUND) {
                        world.graph.dependents(&new.uid).iter().for_each(|d| add(Key::new("", &*d.uid)));
                    }
                    // One that starts to go while its owner waits.
                    for owner in new.owners.iter().filter_map(|o| world.graph.get(&o.uid)).filter(|o| o.deleting) {
                        add(Key::new("", &*owner.uid));
                        add(key());
                    }
                }
            }
        });
    }

    fn plan(&self, turn: &Turn<'_>) -> Vec<Action> {
        let Some(node) = turn.world.graph.get(&turn.key.name) else { return Vec::new() };
        if !turn.world.all_listed() {
            return vec![Action::RequeueAfter(Duration::from_millis(200))];
        }
        if node.deleting {
            return match () {
                () if node.held_by(ORPHAN) => orphan(&node, turn.world),
                () if node.held_by(FOREGROUND) => foreground(&node, turn.world),
                () => Vec::new(),
            };
        }
        if node.owners.is_empty() { Vec::new() } else { follow(&node, turn.world) }
    }
}

/// Frees the dependents first, then the owner.
fn orphan(node: &Node, world: &World) -> Vec<Action> {
    let mut actions: Vec<Action> = world.graph.dependents(&node.uid).iter().map(|d| without_owners(d, |o| *o.uid == *node.uid)).collect();
    actions.push(Action::Barrier);
    actions.push(without_finalizer(node, ORPHAN));
    actions
}

/// Lets the owner go once no dependent blocks it. The dependents have keys of their own.
fn foreground(node: &Node, world: &World) -> Vec<Action> {
    let dependents = world.graph.dependents(&node.uid);
    let blocks = |d: &Node| d.owners.iter().any(|o| *o.uid == *node.uid && o.block_owner_deletion == Some(true));
    if dependents.iter().any(|d| blocks(d)) {
        return dependents.iter().filter(|d| !d.deleting).flat_map(|d| follow(d, world)).collect();
    }
    vec![without_finalizer(node, FOREGROUND)]
}

/// What becomes of an object after its owners.
fn follow(node: &Node, world: &World) -> Vec<Action> {
    let (mut solid, mut waiting, mut absent) = (false, Vec::new(), Vec::new());
    for owner in &node.owners {
        match world.graph.get(&owner.uid) {
            Some(is) if same_object(node, owner, &is) && is.deleting && is.held_by(FOREGROUND) => waiting.push(owner),
            Some(is) if same_object(node, owner, &is) => solid = true,
            // Its uid belongs to another, or to nobody.
            _ => absent.push(owner),
        }
    }
    let mut unless = Vec::new();
    for owner in &absent {
        let Some(resource) = world.graph.resource(&owner.api_version, &owner.kind) else {
            // Of a kind that nobody serves nothing is known, and nothing is deleted for what is not known.
            return vec![Action::RequeueAfter(PATIENCE)];
        };
        let namespace = if resource.namespaced { node.namespace.to_string() } else { String::new() };
        let is_absurd = resource.namespaced && namespace.is_empty();
        if !is_absurd {
            unless.push(Target {
                resource: (*resource).clone(),
                namespace,
                name: owner.name.to_string(),
                uid: Some(owner.uid.to_string()),
                resource_version: None,
            });
        }
    }
    if solid {
        // Others keep it; those that do not are no longer named. They are asked for again by the precondition of the version.
        if absent.is_empty() && waiting.is_empty() {
            return Vec::new();
        }
        let gone: Vec<Arc<str>> = absent.iter().chain(&waiting).map(|o| o.uid.clone()).collect();
        return vec![without_owners(node, |o| gone.contains(&o.uid))];
    }
    let has_dependents = !world.graph.dependents(&node.uid).is_empty();
    let propagation = match () {
        () if !waiting.is_empty() && has_dependents => "Foreground",
        () if node.held_by(ORPHAN) => "Orphan",
        () if node.held_by(FOREGROUND) => "Foreground",
        () => "Background",
    };
    vec![Action::Delete { target: node.target(), propagation: Some(propagation), grace: None, unless, announce: None }]
}

/// Whether a reference means this object: of its kind, and of the dependent's namespace or none.
fn same_object(dependent: &Node, owner: &Owner, is: &Node) -> bool {
    let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
    *is.resource.kind == *owner.kind && is.resource.group == group && (is.namespace.is_empty() || is.namespace == dependent.namespace)
}

fn without_owners(node: &Node, gone: impl Fn(&Owner) -> bool) -> Action {
    let owners: Vec<&Owner> = node.owners.iter().filter(|o| !gone(o)).collect();
    Action::patch(node.target(), json!({"metadata": {"ownerReferences": owners}}))
}

fn without_finalizer(node: &Node, finalizer: &str) -> Action {
    let finalizers: Vec<&String> = node.finalizers.iter().filter(|f| *f != finalizer).collect();
    Action::patch(node.target(), json!({"metadata": {"finalizers": finalizers}}))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::testing::check;

    const OWNED: &str = "
apiVersion: v1
kind: Pod
metadata: {name: p, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: r, uid: r, blockOwnerDeletion: true}]}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: other}
spec: {selector: {}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: some}
spec: {selector: {}, template: {}}
";

    fn owner(more: &str) -> String {
        format!("{OWNED}\n---\napiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {{name: r, uid: r{more}}}\nspec: {{selector: {{}}}}\n")
    }

    const DELETING: &str = ", deletionTimestamp: '2026-01-01T00:00:00Z'";

    #[test]
    fn dependents_follow_their_owner() {
        check(
            &GarbageCollector,
            OWNED,
            "pod-p",
            &[],
            expect![[r#"
            delete Pod p Background unless ReplicaSet r
        "#]],
        );
        check(&GarbageCollector, &owner(""), "pod-p", &[], expect![[""]]);
        check(&GarbageCollector, &owner(DELETING), "pod-p", &[], expect![[""]]);
    }

    #[test]
    fn foreground_waits_for_those_that_block() {
        let yaml = owner(&format!("{DELETING}, finalizers: [foregroundDeletion]"));
        check(
            &GarbageCollector,
            &yaml,
            "r",
            &[],
            expect![[r#"
            delete Pod p Background
        "#]],
        );
        check(
            &GarbageCollector,
            &yaml,
            "pod-p",
            &[],
            expect![[r#"
            delete Pod p Background
        "#]],
        );
        check(
            &GarbageCollector,
            &yaml.replace("blockOwnerDeletion: true", "blockOwnerDeletion: false"),
            "r",
            &[],
            expect![[r#"
            patch ReplicaSet r: {"metadata":{"finalizers":[]}}
        "#]],
        );
        check(&GarbageCollector, &yaml.replace("{name: p,", "{name: p, deletionTimestamp: '2026-01-01T00:00:00Z',"), "r", &[], expect![[""]]);
    }

    #[test]
    fn orphans_are_freed_before_their_owner_goes() {
        let yaml = owner(&format!("{DELETING}, finalizers: [keep, orphan]"));
        check(
            &GarbageCollector,
            &yaml,
            "r",
            &[],
            expect![[r#"
            patch Pod p: {"metadata":{"ownerReferences":[]}}
            barrier
            patch ReplicaSet r: {"metadata":{"finalizers":["keep"]}}
        "#]],
        );
    }

    #[test]
    fn one_owner_of_several_is_enough() {
        let two = OWNED.replace("ownerReferences: [", "ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: some, uid: deployment-some}, ");
        check(
            &GarbageCollector,
            &two,
            "pod-p",
            &[],
            expect![[r#"
            patch Pod p: {"metadata":{"ownerReferences":[{"apiVersion":"apps/v1","kind":"Deployment","name":"some","uid":"deployment-some"}]}}
        "#]],
        );
    }

    #[test]
    fn unknown_kinds_keep_what_they_may_own() {
        check(
            &GarbageCollector,
            &OWNED.replace("kind: ReplicaSet, name: r", "kind: Widget, name: r"),
            "pod-p",
            &[],
            expect![[r#"
            again in 30s
        "#]],
        );
    }
}
