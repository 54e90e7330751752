//! Job controller: runs Pods until enough have succeeded, or too many have failed.
//!
//! Each Pod carries a finalizer until it is counted: first its uid stands in the status as uncounted (or its index as
//! completed), then the finalizer goes, then it moves into the count. So none is counted twice or lost, whatever is
//! interrupted.

mod indexes;
mod manage;
mod policy;
mod tally;
#[cfg(test)]
mod tests;
mod verdict;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::batch::v1::{Job, JobCondition, JobSpec, JobStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde_json::json;

use self::tally::Tally;
use self::verdict::Verdict;
use crate::action::{Action, Note};
use crate::controllers::Controller;
use crate::kinds::{JOB_TRACKING, matches, tracked_by_job};
use crate::pods::{has_ended, is_active, is_terminating, ready_since, release};
use crate::queue::Queue;
use crate::resource::{Key, Target, controller_of, controller_ref, namespace, uid};
use crate::world::{Turn, World};

const INDEX: &str = "batch.kubernetes.io/job-completion-index";

/// The controller `job-controller`.
pub struct Jobs;

impl Controller for Jobs {
    fn name(&self) -> &'static str {
        "job-controller"
    }

    fn account(&self) -> &'static str {
        "job-controller"
    }

    fn triggers(&self, world: &World, queue: &Arc<Queue>) {
        world.jobs.own_key(queue);
        world.pods.owner_key(queue, "Job");
        world.pods.on_change(queue, |world, change, add| {
            let Some(pod) = change.new.as_ref().filter(|p| controller_of(&p.metadata).is_none()) else { return };
            if let Some(job) = tracked_by_job(pod) {
                add(Key::new(namespace(&pod.metadata), job));
            }
            for job in world.jobs.in_namespace(namespace(&pod.metadata)) {
                if job.spec.as_ref().and_then(|s| s.selector.as_ref()).is_some_and(|s| matches(s, pod.metadata.labels.as_ref())) {
                    add(Key::of(&job.metadata));
                }
            }
        });
    }

    fn plan(&self, turn: &Turn<'_>) -> Vec<Action> {
        let job = turn.world.jobs.get(&turn.key.namespace, &turn.key.name);
        let mut actions = let_go(job.as_deref(), turn);
        let Some(job) = job else { return actions };
        let Some(spec) = job.spec.as_ref().filter(|s| s.managed_by.as_deref().is_none_or(|m| m == "kubernetes.io/job-controller")) else {
            return actions;
        };
        let owned = turn.world.pods.controlled_by(uid(&job.metadata));
        if finished(&job).is_some() || is_ending(&job) {
            actions.extend(owned.iter().filter(|p| tracked(p)).map(|p| untrack(p)));
            return actions;
        }
        let pods = claim(&job, spec, owned, turn, &mut actions);
        Run { job: &job, spec, pods: &pods, now: turn.now }.plan(&mut actions);
        actions
    }
}

/// The condition that says that the Job has ended.
pub(crate) fn finished(job: &Job) -> Option<&JobCondition> {
    job.status.as_ref()?.conditions.iter().flatten().find(|c| matches!(c.type_.as_str(), "Complete" | "Failed") && c.status == "True")
}

fn is_ending(job: &Job) -> bool {
    job.metadata.deletion_timestamp.is_some()
}

/// Pods of a Job that is gone are counted by nobody, also when there is another one of its name.
fn let_go(job: Option<&Job>, turn: &Turn<'_>) -> Vec<Action> {
    let stranger = |pod: &Pod| match (job, controller_of(&pod.metadata)) {
        (None, _) => true,
        (Some(job), Some(owner)) => owner.uid != uid(&job.metadata),
        // One that nothing controls may yet be adopted.
        (Some(_), None) => false,
    };
    let tracked = turn.world.pods.by(&format!("job/{}/{}", turn.key.namespace, turn.key.name));
    tracked.iter().filter(|p| stranger(p)).map(|p| untrack(p)).collect()
}

/// The Pods that the Job controls or comes to control; those that it adopts are tracked from then on.
fn claim(job: &Job, spec: &JobSpec, owned: Vec<Arc<Pod>>, turn: &Turn<'_>, actions: &mut Vec<Action>) -> Vec<Arc<Pod>> {
    let Some(selector) = &spec.selector else { return owned };
    let (mut claimed, strangers): (Vec<_>, Vec<_>) = owned.into_iter().partition(|p| matches(selector, p.metadata.labels.as_ref()));
    actions.extend(strangers.iter().map(|p| release(Target::of(&**p), &p.metadata, uid(&job.metadata))));
    for pod in turn.world.pods.orphans(&turn.key.namespace) {
        if !is_active(&pod) || !matches(selector, pod.metadata.labels.as_ref()) {
            continue;
        }
        let mut adopted = (*pod).clone();
        let finalizers = adopted.metadata.finalizers.get_or_insert_default();
        if !finalizers.iter().any(|f| f == JOB_TRACKING) {
            finalizers.push(JOB_TRACKING.to_owned());
        }
        let owners = adopted.metadata.owner_references.get_or_insert_default();
        owners.push(controller_ref(job));
        let patch = json!({"metadata": {"ownerReferences": owners, "finalizers": finalizers}});
        actions.push(Action::patch(Target::exactly(&*pod), patch));
        claimed.push(Arc::new(adopted));
    }
    claimed
}

fn tracked(pod: &Pod) -> bool {
    pod.metadata.finalizers.iter().flatten().any(|f| f == JOB_TRACKING)
}

fn untrack(pod: &Pod) -> Action {
    let finalizers: Vec<&String> = pod.metadata.finalizers.iter().flatten().filter(|f| *f != JOB_TRACKING).collect();
    Action::patch(Target::exactly(pod), json!({"metadata": {"finalizers": finalizers}}))
}

fn index(pod: &Pod) -> Option<i32> {
    pod.metadata.annotations.as_ref()?.get(INDEX)?.parse().ok().filter(|i| *i >= 0)
}

/// One Job that has not ended.
struct Run<'a> {
    job: &'a Job,
    spec: &'a JobSpec,
    pods: &'a [Arc<Pod>],
    now: Timestamp,
}

/// What a plan does after the status is written.
#[derive(Default)]
struct Work {
    /// Pods that are counted, or never shall be.
    untrack: Vec<Arc<Pod>>,
    create: Vec<Pod>,
    delete: Vec<Arc<Pod>>,
    again: Option<Duration>,
}

impl Work {
    fn wait(&mut self, wait: Duration) {
        self.again = Some(self.again.map_or(wait, |a| a.min(wait)));
    }
}

impl Run<'_> {
    fn plan(&self, actions: &mut Vec<Action>) {
        let old = self.job.status.clone().unwrap_or_default();
        let (mut status, mut notes, mut work) = (old.clone(), Vec::new(), Work::default());
        self.start(&mut status);
        let tally = Tally::new(self, &mut status);
        let active: Vec<&Arc<Pod>> = self.pods.iter().filter(|p| is_active(p)).collect();
        let terminating = self.pods.iter().filter(|p| is_terminating(p) && !has_ended(p)).count();
        let verdict = self.verdict(&status, &tally, active.len(), &mut work);
        match &verdict {
            Some(_) => work.delete.extend(active.iter().map(|p| (*p).clone())),
            None if self.suspended() => self.suspend(&active, &mut status, &mut work, &mut notes),
            None => {
                self.resume(&mut status, &mut notes);
                self.manage(&tally, &active, terminating, &mut work);
            }
        }
        self.track(&tally, verdict.as_ref(), &mut status, &mut work);
        let some = |n: usize| (n > 0).then(|| i32::try_from(n).unwrap_or(i32::MAX));
        status.active = some(active.len());
        status.ready = Some(some(active.iter().filter(|p| ready_since(p).is_some()).count()).unwrap_or(0));
        status.terminating = Some(some(terminating).unwrap_or(0));
        if let Some(verdict) = &verdict {
            self.conclude(verdict, active.is_empty() && terminating == 0, &mut status, &mut notes);
        }
        if status != old {
            let mut written = self.job.clone();
            written.status = Some(status);
            actions.push(Action::set_status(&written));
            actions.push(Action::Barrier);
        }
        self.perform(work, actions);
        actions.extend(notes.into_iter().map(Action::Record));
    }

    fn suspended(&self) -> bool {
        self.spec.suspend == Some(true)
    }

    fn indexed(&self) -> bool {
        self.spec.completion_mode.as_deref() == Some("Indexed")
    }

    fn completions(&self) -> i32 {
        self.spec.completions.unwrap_or_default()
    }

    /// Whether a Pod is replaced only when it has failed, not as soon as it is being deleted.
    fn replaces_only_failed(&self) -> bool {
        self.spec.pod_replacement_policy.as_deref() == Some("Failed") || self.spec.pod_failure_policy.is_some()
    }

    fn has_failed(&self, pod: &Pod) -> bool {
        match crate::pods::phase(pod) {
            "Failed" => true,
            "Succeeded" => false,
            // One that is deleted may never get to say how it ended.
            _ => is_terminating(pod) && !self.replaces_only_failed(),
        }
    }

    fn start(&self, status: &mut JobStatus) {
        if self.suspended() {
            status.start_time = None;
        } else {
            status.start_time.get_or_insert(Time(self.now));
        }
    }

    fn suspend(&self, active: &[&Arc<Pod>], status: &mut JobStatus, work: &mut Work, notes: &mut Vec<Note>) {
        if set(status, "Suspended", "True", "JobSuspended", "Job suspended", self.now) {
            notes.push(Note::normal(self.job, "Suspended", "Job suspended"));
        }
        // They have not failed.
        work.untrack.extend(active.iter().filter(|p| tracked(p)).map(|p| (*p).clone()));
        work.delete.extend(active.iter().map(|p| (*p).clone()));
    }

    fn resume(&self, status: &mut JobStatus, notes: &mut Vec<Note>) {
        let was = status.conditions.iter().flatten().any(|c| c.type_ == "Suspended" && c.status == "True");
        if was && set(status, "Suspended", "False", "JobResumed", "Job resumed", self.now) {
            status.start_time = Some(Time(self.now));
            notes.push(Note::normal(self.job, "Resumed", "Job resumed"));
        }
    }

    /// Writes down that the Job comes to its end, and that it has when nothing is left of it to be counted.
    fn conclude(&self, verdict: &Verdict, over: bool, status: &mut JobStatus, notes: &mut Vec<Note>) {
        let (first, last) = if verdict.complete { ("SuccessCriteriaMet", "Complete") } else { ("FailureTarget", "Failed") };
        set(status, first, "True", &verdict.reason, &verdict.message, self.now);
        let uncounted = status.uncounted_terminated_pods.clone().unwrap_or_default();
        if !over || uncounted.succeeded.iter().chain(&uncounted.failed).any(|list| !list.is_empty()) {
            return;
        }
        set(status, last, "True", &verdict.reason, &verdict.message, self.now);
        if !verdict.complete {
            notes.push(Note::warning(self.job, verdict.event(), verdict.message.clone()));
            return;
        }
        status.completion_time = Some(Time(self.now));
        if self.spec.completions.is_some_and(|wanted| status.succeeded.unwrap_or_default() > wanted) {
            notes.push(Note::warning(self.job, "TooManySucceededPods", "Too many succeeded pods running after completion count reached"));
        }
        notes.push(Note::normal(self.job, "Completed", "Job completed"));
    }

    fn perform(&self, work: Work, actions: &mut Vec<Action>) {
        actions.extend(work.untrack.iter().map(|p| untrack(p)));
        actions.extend(work.delete.iter().map(|p| Action::delete(&**p).announced(crate::pods::deleted(self.job))));
        actions.extend(work.create.iter().map(|p| Action::create(p).announced(crate::pods::created(self.job))));
        actions.extend(work.again.map(Action::RequeueAfter));
    }
}

/// Sets a condition; whether it was another.
fn set(status: &mut JobStatus, type_: &str, value: &str, reason: &str, message: &str, now: Timestamp) -> bool {
    let conditions = status.conditions.get_or_insert_default();
    if conditions.iter().any(|c| c.type_ == type_ && c.status == value) {
        return false;
    }
    conditions.retain(|c| c.type_ != type_);
    conditions.push(JobCondition {
        type_: type_.to_owned(),
        status: value.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_probe_time: Some(Time(now)),
        last_transition_time: Some(Time(now)),
    });
    true
}
