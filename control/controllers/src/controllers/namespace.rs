//! Namespace controller: empties a namespace that was deleted, Pods first, and lets go of it once nothing is left.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, NamespaceCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::action::{Action, Body};
use crate::controllers::Controller;
use crate::graph::Remaining;
use crate::queue::Queue;
use crate::resource::{Key, Resource};
use crate::world::{Turn, World};

const FINALIZER: &str = "kubernetes";
/// When to look again where nothing is heard of what remains.
const PATIENCE: Duration = Duration::from_secs(10);

/// The controller `namespace-controller`.
pub struct Namespaces;

impl Controller for Namespaces {
    fn name(&self) -> &'static str {
        "namespace-controller"
    }

    fn account(&self) -> &'static str {
        "namespace-controller"
    }

    fn triggers(&self, world: &World, queue: &Arc<Queue>) {
        world.namespaces.own_key(queue);
        world.on_graph_change(queue, |world, change, add| {
            let namespace = &change.latest().namespace;
            if !namespace.is_empty() && world.namespaces.get("", namespace).is_some_and(|n| !is_active(&n)) {
                add(Key::new("", &**namespace));
            }
        });
    }

    fn plan(&self, turn: &Turn<'_>) -> Vec<Action> {
        let Some(namespace) = turn.world.namespaces.get("", &turn.key.name) else { return Vec::new() };
        let finalizers = namespace.spec.as_ref().and_then(|s| s.finalizers.clone()).unwrap_or_default();
        if namespace.metadata.deletion_timestamp.is_none() || !finalizers.iter().any(|f| f == FINALIZER) {
            return Vec::new();
        }
        if !turn.world.all_listed() {
            return vec![Action::RequeueAfter(Duration::from_millis(200))];
        }
        let mut actions = Vec::new();
        let remaining = turn.world.graph.remaining(&turn.key.name);
        status(&namespace, &remaining, turn, &mut actions);
        let all = || {
            let kinds = turn.world.graph.namespaced_resources();
            let events = Resource { group: "".into(), version: "v1".into(), plural: "events".into(), kind: "Event".into(), namespaced: true };
            kinds.iter().map(|r| (**r).clone()).chain([events]).collect::<Vec<_>>()
        };
        let delete = |resource: Resource| Action::DeleteCollection { resource, namespace: turn.key.name.clone() };
        let is_pods = |r: &Remaining| r.resource.group.is_empty() && r.resource.plural == "pods";
        if remaining.is_empty() {
            // What the caches have not seen yet goes too, and the API server is asked before the end.
            actions.extend(all().into_iter().map(delete));
            actions.push(Action::Barrier);
            let mut ended = (*namespace).clone();
            if let Some(finalizers) = ended.spec.as_mut().and_then(|s| s.finalizers.as_mut()) {
                finalizers.retain(|f| f != FINALIZER);
            }
            actions.push(Action::FinalizeNamespace { object: Body::of(&ended), resources: all() });
            return actions;
        }
        // Pods may need their ConfigMaps, Secrets and accounts to end well.
        let pods: Vec<&Remaining> = remaining.iter().filter(|r| is_pods(r)).collect();
        let now = if pods.is_empty() { remaining.iter().collect() } else { pods };
        actions.extend(now.into_iter().filter(|r| r.deleting < r.count).map(|r| delete((*r.resource).clone())));
        actions.push(Action::RequeueAfter(PATIENCE));
        actions
    }
}

/// Whether the namespace takes new objects.
pub(crate) fn is_active(namespace: &Namespace) -> bool {
    namespace.metadata.deletion_timestamp.is_none() && namespace.status.as_ref().and_then(|s| s.phase.as_deref()) != Some("Terminating")
}

fn status(namespace: &Namespace, remaining: &[Remaining], turn: &Turn<'_>, actions: &mut Vec<Action>) {
    let old = namespace.status.clone().unwrap_or_default();
    if remaining.is_empty() && old.conditions.is_none() {
        return; // it is gone before anyone could read of it
    }
    let kind = |r: &Resource| format!("{}.{}", r.plural, r.group);
    let content: Vec<String> = remaining.iter().map(|r| format!("{} has {} resource instances", kind(&r.resource), r.count)).collect();
    let mut finalizers: BTreeMap<&str, usize> = BTreeMap::new();
    for (finalizer, count) in remaining.iter().flat_map(|r| &r.finalizers) {
        *finalizers.entry(finalizer).or_default() += count;
    }
    let finalizers: Vec<String> = finalizers.into_iter().map(|(f, n)| format!("{f} in {n} resource instances")).collect();
    let some = |holds: bool, yes: (&str, String), no: (&str, &str)| {
        if holds { ("True", yes.0.to_owned(), yes.1) } else { ("False", no.0.to_owned(), no.1.to_owned()) }
    };
    let wanted = [
        ("NamespaceDeletionDiscoveryFailure", some(false, ("", String::new()), ("ResourcesDiscovered", "All resources successfully discovered"))),
        ("NamespaceDeletionGroupVersionParsingFailure", some(false, ("", String::new()), ("ParsedGroupVersions", "All legacy kube types successfully parsed"))),
        (
            "NamespaceDeletionContentFailure",
            match turn.failure.filter(|f| !f.lost_race) {
                Some(failure) => ("True", "ContentDeletionFailed".to_owned(), format!("Failed to delete all resource types, 1 remaining: {}", failure.message)),
                None => ("False", "ContentDeleted".to_owned(), "All content successfully deleted, may be waiting on finalization".to_owned()),
            },
        ),
        (
            "NamespaceContentRemaining",
            some(
                !content.is_empty(),
                ("SomeResourcesRemain", format!("Some resources are remaining: {}", content.join(", "))),
                ("ContentRemoved", "All content successfully removed"),
            ),
        ),
        (
            "NamespaceFinalizersRemaining",
            some(
                !finalizers.is_empty(),
                ("SomeFinalizersRemain", format!("Some content in the namespace has finalizers remaining: {}", finalizers.join(", "))),
                ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
            ),
        ),
    ];
    let mut new = old.clone();
    new.phase = Some("Terminating".to_owned());
    let conditions = new.conditions.get_or_insert_default();
    for (type_, (status, reason, message)) in wanted {
        let at = conditions.iter().position(|c| c.type_ == type_);
        let since = at.map(|at| &conditions[at]).filter(|c| c.status == status).and_then(|c| c.last_transition_time.clone());
        let condition = NamespaceCondition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: Some(reason),
            message: Some(message),
            last_transition_time: Some(since.unwrap_or(Time(turn.now))),
        };
        match at {
            Some(at) => conditions[at] = condition,
            None => conditions.push(condition),
        }
    }
    if new != old {
        let mut written = namespace.clone();
        written.status = Some(new);
        // A final PUT follows where nothing remains; this one would make it a conflict.
        if !remaining.is_empty() {
            actions.push(Action::set_status(&written));
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::testing::check;

    const ENDING: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: a, deletionTimestamp: '2026-01-01T11:59:00Z'}
spec: {finalizers: [kubernetes]}
status: {phase: Terminating}
";
    const CONFIG: &str = "
---
apiVersion: v1
kind: ConfigMap
metadata: {name: c, namespace: a, finalizers: [hold]}
";
    const POD: &str = "
---
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: a}
";

    #[test]
    fn pods_end_first() {
        check(
            &Namespaces,
            &format!("{ENDING}{CONFIG}{POD}"),
            "a",
            &[],
            expect![[r#"
                update Namespace a status
                delete all pods in a
                again in 10s
            "#]],
        );
    }

    #[test]
    fn then_the_rest() {
        let show = ["status.conditions.3.message", "status.conditions.4.message"];
        check(
            &Namespaces,
            &format!("{ENDING}{CONFIG}"),
            "a",
            &show,
            expect![[r#"
                update Namespace a status
                  status.conditions.3.message: "Some resources are remaining: configmaps. has 1 resource instances"
                  status.conditions.4.message: "Some content in the namespace has finalizers remaining: hold in 1 resource instances"
                delete all configmaps in a
                again in 10s
            "#]],
        );
    }

    #[test]
    fn an_empty_one_ends() {
        check(
            &Namespaces,
            &format!("{ENDING}{}", POD.replace("namespace: a", "namespace: b")),
            "a",
            &[],
            expect![[r#"
                delete all pods in a
                delete all events in a
                barrier
                finalize Namespace a
            "#]],
        );
    }

    #[test]
    fn an_active_one_is_left_alone() {
        check(&Namespaces, "{apiVersion: v1, kind: Namespace, metadata: {name: a}, spec: {finalizers: [kubernetes]}}", "a", &[], expect![[""]]);
    }
}
