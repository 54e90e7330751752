//! PVC protection: a claim that is being deleted goes once no Pod on a node uses it any more.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};

use crate::action::Action;
use crate::controllers::Controller;
use crate::kinds::{claim_term, claims};
use crate::queue::Queue;
use crate::resource::{Key, controller_of, namespace};
use crate::world::{Turn, World};

const FINALIZER: &str = "kubernetes.io/pvc-protection";

/// The controller `persistentvolumeclaim-protection-controller`.
pub struct PvcProtection;

impl Controller for PvcProtection {
    fn name(&self) -> &'static str {
        "persistentvolumeclaim-protection-controller"
    }

    fn account(&self) -> &'static str {
        "pvc-protection-controller"
    }

    fn triggers(&self, world: &World, queue: &Arc<Queue>) {
        world.persistent_volume_claims.own_key(queue);
        world.pods.on_change(queue, |_, change, add| {
            // One that is there, and is not leaving a claim, lets nobody go.
            if let Some(old) = &change.old {
                claims(old).for_each(|claim| add(Key::new(namespace(&old.metadata), claim)));
            }
        });
    }

    fn plan(&self, turn: &Turn<'_>) -> Vec<Action> {
        let Key { namespace, name } = &turn.key;
        let Some(claim) = turn.world.persistent_volume_claims.get(namespace, name) else { return Vec::new() };
        let protected = claim.metadata.finalizers.iter().flatten().any(|f| f == FINALIZER);
        let mut claim = (*claim).clone();
        if claim.metadata.deletion_timestamp.is_none() {
            if protected {
                return Vec::new();
            }
            claim.metadata.finalizers.get_or_insert_default().push(FINALIZER.to_owned());
            return vec![Action::update(&claim)];
        }
        if !protected || turn.world.pods.by(&claim_term(namespace, name)).iter().any(|pod| uses(pod, &claim)) {
            return Vec::new();
        }
        claim.metadata.finalizers.iter_mut().for_each(|all| all.retain(|f| f != FINALIZER));
        vec![Action::update(&claim)]
    }
}

/// Whether a Pod uses a claim. One that has no node will not get one with a claim that is being deleted; one that has ended needs the claim
/// that was made for it no longer, but keeps those that it names.
fn uses(pod: &Pod, claim: &PersistentVolumeClaim) -> bool {
    let Some(spec) = pod.spec.as_ref().filter(|s| s.node_name.as_deref().is_some_and(|n| !n.is_empty())) else { return false };
    let name = claim.metadata.name.as_deref().unwrap_or_default();
    let its_own = controller_of(&claim.metadata).is_some_and(|owner| Some(&owner.uid) == pod.metadata.uid.as_ref());
    spec.volumes.iter().flatten().any(|volume| match &volume.persistent_volume_claim {
        Some(named) => named.claim_name == name,
        None => volume.ephemeral.is_some() && its_own && !crate::pods::has_ended(pod),
    })
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::testing::check;

    fn claim(more: &str) -> String {
        format!("\n---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: data, {more}}}\nspec: {{}}\n")
    }

    fn pod(more: &str, volume: &str) -> String {
        format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: p, uid: p-uid}}\nspec: {{{more}, containers: [], volumes: [{{name: v, {volume}}}]}}\n")
    }

    #[test]
    fn goes_when_nobody_uses_it() {
        let going = claim("finalizers: [kubernetes.io/pvc-protection, other], deletionTimestamp: '2026-01-01T00:00:00Z'");
        let free = || {
            expect![[r#"
                update PersistentVolumeClaim data
                  metadata.finalizers: ["other"]
            "#]]
        };
        let named = "persistentVolumeClaim: {claimName: data}";
        let look = |world: String, expected: expect_test::Expect| check(&PvcProtection, &world, "default/data", &["metadata.finalizers"], expected);
        look(going.clone(), free());
        look(pod("nodeName: n", named) + &going, expect![[""]]);
        look(pod("nodeName: ''", named) + &going, free());
        look(pod("nodeName: n", "persistentVolumeClaim: {claimName: other}") + &going, free());
        let ended = pod("nodeName: n", named).replace("spec:", "status: {phase: Succeeded}\nspec:");
        look(ended + &going, expect![[""]]);
    }

    #[test]
    fn a_claim_that_was_made_for_a_pod_goes_when_that_has_ended() {
        let made = "name: p-v, ownerReferences: [{apiVersion: v1, kind: Pod, name: p, uid: p-uid, controller: true}], finalizers: [kubernetes.io/pvc-protection], deletionTimestamp: '2026-01-01T00:00:00Z'";
        let made = claim(made).replace("name: data, ", "");
        let running = pod("nodeName: n", "ephemeral: {}");
        check(&PvcProtection, &(running.clone() + &made), "default/p-v", &[], expect![[""]]);
        check(
            &PvcProtection,
            &(running.replace("spec:", "status: {phase: Failed}\nspec:") + &made),
            "default/p-v",
            &[],
            expect![[r#"
                update PersistentVolumeClaim p-v
            "#]],
        );
    }

    #[test]
    fn each_is_protected() {
        check(&PvcProtection, &claim("finalizers: [kubernetes.io/pvc-protection]"), "default/data", &[], expect![[""]]);
        check(
            &PvcProtection,
            &claim(""),
            "default/data",
            &["metadata.finalizers"],
            expect![[r#"
                update PersistentVolumeClaim data
                  metadata.finalizers: ["kubernetes.io/pvc-protection"]
            "#]],
        );
    }
}
