//! CronJob controller: makes Jobs by the clock, and clears away old ones.
//!
//! A Job's name is that of its scheduled time, so that none is made twice. It is made in one plan and entered in the status
//! in the next, when the cache has it; whatever was interrupted, `status.lastScheduleTime` says which ones are entered.

mod missed;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::batch::v1::{CronJob, CronJobStatus, Job};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use k8s_openapi::jiff::tz::TimeZone;
use wharf_api::cron::Schedule;

use self::missed::Clock;
use super::job::finished;
use crate::action::{Action, Note, reference};
use crate::controllers::Controller;
use crate::pods::announce;
use crate::queue::Queue;
use crate::resource::{Target, controller_ref, name, uid};
use crate::world::{Turn, World};

const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";
/// So long after its time a Job is made, so that a clock that runs a little behind does not make none.
const DELTA: Duration = Duration::from_millis(100);

/// The controller `cronjob-controller`.
pub struct CronJobs;

impl Controller for CronJobs {
    fn name(&self) -> &'static str {
        "cronjob-controller"
    }

    fn account(&self) -> &'static str {
        "cronjob-controller"
    }

    fn triggers(&self, world: &World, queue: &Arc<Queue>) {
        world.cron_jobs.own_key(queue);
        world.jobs.owner_key(queue, "CronJob");
    }

    fn plan(&self, turn: &Turn<'_>) -> Vec<Action> {
        let Some(cron) = turn.world.cron_jobs.get(&turn.key.namespace, &turn.key.name) else { return Vec::new() };
        let mut jobs = turn.world.jobs.controlled_by(uid(&cron.metadata));
        jobs.retain(|j| j.metadata.deletion_timestamp.is_none());
        let mut sync = Sync { cron: &cron, status: cron.status.clone().unwrap_or_default(), actions: Vec::new(), notes: Vec::new() };
        sync.observe(&jobs);
        if cron.metadata.deletion_timestamp.is_none() {
            sync.start(turn);
        }
        sync.clear(&jobs);
        sync.finish()
    }
}

/// One CronJob, and the plan for it so far.
struct Sync<'a> {
    cron: &'a CronJob,
    status: CronJobStatus,
    actions: Vec<Action>,
    notes: Vec<Note>,
}

impl Sync<'_> {
    /// Brings the status up to date with the Jobs that there are.
    fn observe(&mut self, jobs: &[Arc<Job>]) {
        let entered_until = self.status.last_schedule_time.as_ref().map(|t| t.0);
        let mut active = self.status.active.take().unwrap_or_default();
        for job in jobs {
            let at = scheduled_time(job).filter(|at| name(&job.metadata) == self.job_name(*at));
            let new = at.filter(|at| entered_until.is_none_or(|until| *at > until));
            let listed = active.iter().any(|a| a.uid == job.metadata.uid);
            if let Some(at) = new.filter(|at| self.status.last_schedule_time.as_ref().is_none_or(|last| *at > last.0)) {
                self.status.last_schedule_time = Some(Time(at));
            }
            match finished(job) {
                Some(condition) => {
                    if listed || new.is_some() {
                        active.retain(|a| a.uid != job.metadata.uid);
                        self.note("SawCompletedJob", format!("Saw completed job: {}, condition: {}", name(&job.metadata), condition.type_));
                    }
                    let completed = job.status.as_ref().and_then(|s| s.completion_time.as_ref()).filter(|_| condition.type_ == "Complete");
                    let last = self.status.last_successful_time.as_ref();
                    if let Some(completed) = completed.filter(|c| last.is_none_or(|l| c.0 > l.0)) {
                        self.status.last_successful_time = Some(completed.clone());
                    }
                }
                None if listed => {}
                None if new.is_some() => active.push(reference(&**job)),
                None => self.warn("UnexpectedJob", format!("Saw a job that the controller did not create or forgot: {}", name(&job.metadata))),
            }
        }
        let (there, missing) = active.into_iter().partition(|a| jobs.iter().any(|j| j.metadata.uid == a.uid));
        for lost in Vec::from_iter::<Vec<_>>(missing) {
            self.note("MissingJob", format!("Active job went missing: {}", lost.name.unwrap_or_default()));
        }
        self.status.active = Some(there);
    }

    /// Makes the Job that is due.
    fn start(&mut self, turn: &Turn<'_>) {
        let spec = &self.cron.spec;
        let zone = match spec.time_zone.as_deref() {
            None => turn.world.options.time_zone.clone(),
            Some(named) => match TimeZone::get(named) {
                Ok(zone) => zone,
                Err(_) => return self.warn("UnknownTimeZone", format!("invalid timeZone: {named:?}: unknown time zone {named}")),
            },
        };
        if spec.suspend == Some(true) {
            return;
        }
        let schedule = match Schedule::parse(&spec.schedule) {
            Ok(schedule) => schedule,
            Err(why) => return self.warn("UnparseableSchedule", format!("unparseable schedule: {:?} : {why}", spec.schedule)),
        };
        let clock = Clock { cron: self.cron, last: self.status.last_schedule_time.as_ref().map(|t| t.0), schedule: &schedule, zone: &zone, now: turn.now };
        let due = match clock.due() {
            Ok(due) => due,
            Err(why) => return self.warn("InvalidSchedule", format!("invalid schedule: {} : {why}", spec.schedule)),
        };
        if let Some(due) = due {
            if due.too_many {
                let words = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
                self.warn("TooManyMissedTimes", words.to_owned());
            }
            self.make(due.at, &zone, turn);
        }
        self.actions.extend(clock.next().map(|wait| Action::RequeueAfter(wait + DELTA)));
    }

    fn make(&mut self, at: Timestamp, zone: &TimeZone, turn: &Turn<'_>) {
        let entered = self.status.last_schedule_time.as_ref().is_some_and(|last| last.0 == at);
        if entered || turn.world.jobs.get(&turn.key.namespace, &self.job_name(at)).is_some() {
            return;
        }
        let policy = self.cron.spec.concurrency_policy.as_deref();
        let active = self.status.active.get_or_insert_default();
        if policy == Some("Forbid") && !active.is_empty() {
            return self.note("JobAlreadyActive", "Not starting job because prior execution is running and concurrency policy is Forbid".to_owned());
        }
        if policy == Some("Replace") {
            for running in std::mem::take(active).iter().filter_map(|a| turn.world.jobs.get(&turn.key.namespace, a.name.as_deref()?)) {
                self.actions.push(self.delete(&running));
            }
            self.actions.push(Action::Barrier);
        }
        let events = announce(self.cron, ("SuccessfulCreate", "Created job {name}"), ("FailedCreate", "Error creating job: {error}"));
        self.actions.push(Action::create(&self.job(at, zone)).announced(events));
    }

    fn job_name(&self, at: Timestamp) -> String {
        format!("{}-{}", name(&self.cron.metadata), at.as_second() / 60)
    }

    fn job(&self, at: Timestamp, zone: &TimeZone) -> Job {
        let template = &self.cron.spec.job_template;
        let meta = template.metadata.clone().unwrap_or_default();
        let local = at.to_zoned(zone.clone());
        let written = if local.offset().is_zero() { at.to_string() } else { local.strftime("%FT%T%:z").to_string() };
        let mut annotations = meta.annotations.unwrap_or_default();
        annotations.insert(SCHEDULED.to_owned(), written);
        Job {
            metadata: ObjectMeta {
                name: Some(self.job_name(at)),
                namespace: self.cron.metadata.namespace.clone(),
                labels: meta.labels,
                annotations: Some(annotations),
                owner_references: Some(vec![controller_ref(self.cron)]),
                ..ObjectMeta::default()
            },
            spec: template.spec.clone(),
            status: None,
        }
    }

    /// Deletes the oldest of the Jobs that have ended, beyond the limits of the history. What the status does not tell yet
    /// stays until it does: only by that is it known that a time has had its Job.
    fn clear(&mut self, jobs: &[Arc<Job>]) {
        let spec = &self.cron.spec;
        for (type_, limit) in [("Complete", spec.successful_jobs_history_limit), ("Failed", spec.failed_jobs_history_limit)] {
            let Some(limit) = limit.and_then(|l| usize::try_from(l).ok()) else { continue };
            let mut ended: Vec<_> = jobs.iter().filter(|j| finished(j).is_some_and(|c| c.type_ == type_) && self.is_told(j)).collect();
            // One that never started is as good as new.
            let started = |j: &Job| j.status.as_ref().and_then(|s| s.start_time.as_ref()).map_or(Timestamp::MAX, |t| t.0);
            ended.sort_by_key(|j| (started(j), j.metadata.name.clone()));
            let excess = ended.len().saturating_sub(limit);
            for job in &ended[..excess] {
                self.actions.push(self.delete(job));
            }
        }
    }

    /// Whether the status, as it is stored, knows that the Job was made and has ended.
    fn is_told(&self, job: &Job) -> bool {
        let stored = self.cron.status.as_ref();
        let last = stored.and_then(|s| s.last_schedule_time.as_ref());
        let entered = scheduled_time(job).is_none_or(|at| last.is_some_and(|last| at <= last.0));
        entered && !stored.is_some_and(|s| s.active.iter().flatten().any(|a| a.uid == job.metadata.uid))
    }

    fn delete(&self, job: &Job) -> Action {
        let announce = announce(self.cron, ("SuccessfulDelete", "Deleted job {name}"), ("FailedDelete", "Deleted job: {error}"));
        Action::Delete { target: Target::of(job), propagation: Some("Background"), grace: None, unless: Vec::new(), announce: Some(announce) }
    }

    fn note(&mut self, reason: &'static str, message: String) {
        self.notes.push(Note::normal(self.cron, reason, message));
    }

    fn warn(&mut self, reason: &'static str, message: String) {
        self.notes.push(Note::warning(self.cron, reason, message));
    }

    /// The whole plan, with the status if it changes.
    fn finish(mut self) -> Vec<Action> {
        self.status.active = self.status.active.filter(|a| !a.is_empty());
        if self.status != self.cron.status.clone().unwrap_or_default() {
            let mut written = self.cron.clone();
            written.status = Some(self.status);
            self.actions.push(Action::set_status(&written));
        }
        self.actions.extend(self.notes.into_iter().map(Action::Record));
        self.actions
    }
}

/// The time for which a CronJob made the Job.
fn scheduled_time(job: &Job) -> Option<Timestamp> {
    job.metadata.annotations.as_ref()?.get(SCHEDULED)?.parse().ok()
}
