//! TTL after finished: a Job that has ended is deleted `ttlSecondsAfterFinished` later.

use std::sync::Arc;
use std::time::Duration;

use super::job::finished;
use crate::action::Action;
use crate::controllers::Controller;
use crate::queue::Queue;
use crate::resource::Target;
use crate::world::{Turn, World};

/// The controller `ttl-after-finished-controller`.
pub struct TtlAfterFinished;

impl Controller for TtlAfterFinished {
    fn name(&self) -> &'static str {
        "ttl-after-finished-controller"
    }

    fn account(&self) -> &'static str {
        "ttl-after-finished-controller"
    }

    fn triggers(&self, world: &World, queue: &Arc<Queue>) {
        world.jobs.own_key(queue);
    }

    fn plan(&self, turn: &Turn<'_>) -> Vec<Action> {
        let Some(job) = turn.world.jobs.get(&turn.key.namespace, &turn.key.name).filter(|j| j.metadata.deletion_timestamp.is_none()) else {
            return Vec::new();
        };
        let Some(ttl) = job.spec.as_ref().and_then(|s| s.ttl_seconds_after_finished) else { return Vec::new() };
        let Some(since) = finished(&job).and_then(|c| c.last_transition_time.as_ref()) else { return Vec::new() };
        let left = i64::from(ttl) - (turn.now.as_second() - since.0.as_second());
        match u64::try_from(left) {
            Ok(left) if left > 0 => vec![Action::RequeueAfter(Duration::from_secs(left))],
            _ => vec![Action::Delete { target: Target::exactly(&*job), propagation: Some("Foreground"), grace: None, unless: Vec::new(), announce: None }],
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::testing::check;

    #[test]
    fn after_its_time() {
        let job = |ttl: i32, condition: &str| {
            format!(
                "
apiVersion: batch/v1
kind: Job
metadata: {{name: j}}
spec: {{ttlSecondsAfterFinished: {ttl}, template: {{}}}}
status: {{conditions: [{{type: {condition}, status: 'True', lastTransitionTime: '2026-01-01T11:59:50Z'}}]}}
"
            )
        };
        check(&TtlAfterFinished, &job(15, "Complete"), "default/j", &[], expect![["again in 5s\n"]]);
        check(&TtlAfterFinished, &job(10, "Failed"), "default/j", &[], expect![["delete Job j Foreground\n"]]);
        check(&TtlAfterFinished, &job(0, "FailureTarget"), "default/j", &[], expect![[""]]);
    }
}
