//! PV protection: a volume that is being deleted goes once it is bound to no claim.

use std::sync::Arc;

use crate::action::Action;
use crate::controllers::Controller;
use crate::queue::Queue;
use crate::world::{Turn, World};

const FINALIZER: &str = "kubernetes.io/pv-protection";

/// The controller `persistentvolume-protection-controller`.
pub struct PvProtection;

impl Controller for PvProtection {
    fn name(&self) -> &'static str {
        "persistentvolume-protection-controller"
    }

    fn account(&self) -> &'static str {
        "pv-protection-controller"
    }

    fn triggers(&self, world: &World, queue: &Arc<Queue>) {
        world.persistent_volumes.own_key(queue);
    }

    fn plan(&self, turn: &Turn<'_>) -> Vec<Action> {
        let Some(volume) = turn.world.persistent_volumes.get("", &turn.key.name) else { return Vec::new() };
        let protected = volume.metadata.finalizers.iter().flatten().any(|f| f == FINALIZER);
        let bound = volume.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Bound");
        let mut volume = (*volume).clone();
        match (volume.metadata.deletion_timestamp.is_some(), protected) {
            (true, true) if !bound => volume.metadata.finalizers.iter_mut().for_each(|all| all.retain(|f| f != FINALIZER)),
            (false, false) => volume.metadata.finalizers.get_or_insert_default().push(FINALIZER.to_owned()),
            _ => return Vec::new(),
        }
        vec![Action::update(&volume)]
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::testing::check;

    #[test]
    fn goes_when_it_is_not_bound() {
        let volume = |meta: &str, phase: &str| {
            format!("apiVersion: v1\nkind: PersistentVolume\nmetadata: {{name: v, {meta}}}\nspec: {{}}\nstatus: {{phase: {phase}}}\n")
        };
        let going = "finalizers: [kubernetes.io/pv-protection], deletionTimestamp: '2026-01-01T00:00:00Z'";
        let look = |world: String, expected: expect_test::Expect| check(&PvProtection, &world, "v", &["metadata.finalizers"], expected);
        look(volume(going, "Bound"), expect![[""]]);
        look(
            volume(going, "Released"),
            expect![[r#"
                update PersistentVolume v
                  metadata.finalizers: []
            "#]],
        );
        look(volume("finalizers: [kubernetes.io/pv-protection]", "Released"), expect![[""]]);
        look(
            volume("", "Available"),
            expect![[r#"
                update PersistentVolume v
                  metadata.finalizers: ["kubernetes.io/pv-protection"]
            "#]],
        );
    }
}
