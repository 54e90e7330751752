//! ResourceQuota controller: counts what a namespace uses. Admission enters what it lets in by itself; this corrects it when
//! something goes, and when what was let in did not come.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ResourceQuota, ResourceQuotaStatus};
use k8s_openapi::jiff::Timestamp;
use parking_lot::Mutex;
use wharf_api::quota::{self, Amounts};

use crate::action::Action;
use crate::controllers::Controller;
use crate::queue::Queue;
use crate::resource::{Key, namespace, uid};
use crate::world::{Turn, World};

/// What admission has let in is in the caches by then, or did not come.
const IN_FLIGHT: Duration = Duration::from_secs(1);
/// Quotas whose versions are remembered.
const REMEMBERED: usize = 10_000;

/// The controller `resourcequota-controller`.
#[derive(Default)]
pub struct ResourceQuotas {
    /// Since when a quota, by its uid, has been seen in a version.
    seen: Mutex<HashMap<String, (String, Timestamp)>>,
}

impl Controller for ResourceQuotas {
    fn name(&self) -> &'static str {
        "resourcequota-controller"
    }

    fn account(&self) -> &'static str {
        "resourcequota-controller"
    }

    fn triggers(&self, world: &World, queue: &Arc<Queue>) {
        let all_in = |world: &World, namespace: &str, add: &mut dyn FnMut(Key)| {
            world.resource_quotas.in_namespace(namespace).iter().for_each(|q| add(Key::of(&q.metadata)));
        };
        world.resource_quotas.own_key(queue);
        world.on_graph_change(queue, move |world, change, add| {
            if let (None, Some(node)) | (Some(node), None) = (&change.old, &change.new) {
                all_in(world, &node.namespace, add);
            }
        });
        world.pods.on_change(queue, move |world, change, add| all_in(world, namespace(&change.latest().metadata), add));
        world.services.on_change(queue, move |world, change, add| all_in(world, namespace(&change.latest().metadata), add));
        world.persistent_volume_claims.on_change(queue, move |world, change, add| all_in(world, namespace(&change.latest().metadata), add));
    }

    fn plan(&self, turn: &Turn<'_>) -> Vec<Action> {
        let Some(quota) = turn.world.resource_quotas.get(&turn.key.namespace, &turn.key.name) else { return Vec::new() };
        let hard = quota.spec.as_ref().and_then(|s| s.hard.clone()).unwrap_or_default();
        let used = in_use(&quota, turn.world);
        let amount = |name: &String| used.get(name).copied().unwrap_or_default();
        let old = quota.status.clone().unwrap_or_default();
        let was = quota::parse(old.used.as_ref());
        let new = ResourceQuotaStatus { used: Some(hard.keys().map(|name| (name.clone(), quota::text(name, amount(name)))).collect()), hard: Some(hard) };
        let same_amounts = was.len() == new.used.iter().flatten().count() && new.used.iter().flatten().all(|(name, _)| was.get(name) == Some(&amount(name)));
        if same_amounts && quota::parse(old.hard.as_ref()) == quota::parse(new.hard.as_ref()) {
            return Vec::new();
        }
        let less = was.iter().any(|(name, was)| new.used.iter().flatten().any(|(n, _)| n == name) && amount(name) < *was);
        if let Some(wait) = Some(self.settles_in(&quota, turn.now)).filter(|wait| less && !wait.is_zero()) {
            return vec![Action::RequeueAfter(wait)];
        }
        let mut written = (*quota).clone();
        written.status = Some(new);
        vec![Action::set_status(&written)]
    }
}

impl ResourceQuotas {
    /// How long it is until a quota has been in its version for so long that all that was entered in it has come.
    fn settles_in(&self, quota: &ResourceQuota, now: Timestamp) -> Duration {
        let version = quota.metadata.resource_version.clone().unwrap_or_default();
        let mut seen = self.seen.lock();
        if seen.len() >= REMEMBERED {
            seen.clear();
        }
        let since = seen.entry(uid(&quota.metadata).to_owned()).or_insert_with(|| (version.clone(), now));
        if since.0 != version {
            *since = (version, now);
        }
        IN_FLIGHT.saturating_sub(Duration::try_from(now.duration_since(since.1)).unwrap_or_default())
    }
}

/// What the objects use that the quota is about.
fn in_use(quota: &ResourceQuota, world: &World) -> Amounts {
    let of = namespace(&quota.metadata);
    let mut used = Amounts::new();
    for pod in world.pods.in_namespace(of).iter().filter(|p| quota::is_about(quota, Some(p))) {
        quota::add(&mut used, &quota::of_pod(pod));
        quota::add(&mut used, &quota::of_object("", "pods"));
    }
    if !quota::is_about(quota, None) {
        return used;
    }
    world.services.in_namespace(of).iter().for_each(|s| quota::add(&mut used, &quota::of_service(s)));
    world.persistent_volume_claims.in_namespace(of).iter().for_each(|c| quota::add(&mut used, &quota::of_claim(c)));
    for kind in world.graph.remaining(of).iter().filter(|k| k.resource.plural != "pods") {
        quota::count(&mut used, &kind.resource.group, &kind.resource.plural, kind.count);
    }
    used
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use k8s_openapi::jiff::SignedDuration;

    use super::*;
    use crate::testing::{check, now, plan, text, world};

    fn quota(spec: &str, status: &str) -> String {
        format!("\napiVersion: v1\nkind: ResourceQuota\nmetadata: {{name: q}}\nspec: {{{spec}}}\nstatus: {{{status}}}\n")
    }

    const OBJECTS: &str = "
---
apiVersion: v1
kind: Pod
metadata: {name: a}
spec: {containers: [{name: c, image: i, resources: {requests: {cpu: 500m, memory: 1Gi}}}]}
---
apiVersion: v1
kind: Pod
metadata: {name: b}
spec: {containers: [{name: c, image: i, resources: {requests: {cpu: 500m}}}]}
status: {phase: Succeeded}
---
apiVersion: v1
kind: Service
metadata: {name: s}
spec: {type: NodePort, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: d}
spec: {selector: {}, template: {}}
";

    #[test]
    fn what_is_there_is_counted() {
        let hard = "hard: {pods: '5', count/pods: '9', requests.cpu: '2', memory: 2Gi, services.nodeports: '1', count/deployments.apps: '3', secrets: '4'}";
        check(
            &ResourceQuotas::default(),
            &format!("{}{OBJECTS}", quota(hard, "")),
            "default/q",
            &["status"],
            expect![[r#"
            update ResourceQuota q status
              status: {"hard":{"count/deployments.apps":"3","count/pods":"9","memory":"2Gi","pods":"5","requests.cpu":"2","secrets":"4","services.nodeports":"1"},"used":{"count/deployments.apps":"1","count/pods":"2","memory":"1Gi","pods":"1","requests.cpu":"500m","secrets":"0","services.nodeports":"1"}}
        "#]],
        );
        check(
            &ResourceQuotas::default(),
            &format!("{}{OBJECTS}", quota(&format!("{hard}, scopes: [BestEffort]"), "")),
            "default/q",
            &["status"],
            expect![[r#"
                update ResourceQuota q status
                  status: {"hard":{"count/deployments.apps":"3","count/pods":"9","memory":"2Gi","pods":"5","requests.cpu":"2","secrets":"4","services.nodeports":"1"},"used":{"count/deployments.apps":"0","count/pods":"0","memory":"0","pods":"0","requests.cpu":"0","secrets":"0","services.nodeports":"0"}}
            "#]],
        );
    }

    #[test]
    fn what_was_let_in_has_time_to_come() {
        let world = world(&format!("{}{OBJECTS}", quota("hard: {pods: '5'}", "hard: {pods: '5'}, used: {pods: '3'}")));
        let controller = ResourceQuotas::default();
        expect![["again in 1s\n"]].assert_eq(&text(&plan(&controller, &world, "default/q"), &[]));
        let later = Turn { world: &world, key: &Key::new("default", "q"), now: now() + SignedDuration::from_secs(1), failure: None };
        expect![[r#"
            update ResourceQuota q status
              status: {"hard":{"pods":"5"},"used":{"pods":"1"}}
        "#]]
        .assert_eq(&text(&controller.plan(&later), &["status"]));
        // One more than was entered is told at once.
        check(
            &controller,
            &format!("{}{OBJECTS}", quota("hard: {pods: '5'}", "hard: {pods: '5'}, used: {pods: '0'}")),
            "default/q",
            &["status"],
            expect![[r#"
                update ResourceQuota q status
                  status: {"hard":{"pods":"5"},"used":{"pods":"1"}}
            "#]],
        );
    }
}
