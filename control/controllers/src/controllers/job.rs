//! Job controller: runs Pods until enough have succeeded, or too many have failed.
//!
//! Each Pod carries a finalizer until it is counted: first its uid stands in the status as uncounted, then the finalizer
//! goes, then it moves into the count. So none is counted twice or lost, whatever is interrupted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::batch::v1::{Job, JobCondition, JobSpec, JobStatus, UncountedTerminatedPods};
use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, ObjectFieldSelector, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde_json::json;

use crate::action::{Action, Announce, Note, reference};
use crate::controllers::Controller;
use crate::pods::{claim, phase, pod_of, ready_since};
use crate::queue::Queue;
use crate::resource::{Target, controller_of, uid};
use crate::world::{Turn, World};

const TRACKING: &str = "batch.kubernetes.io/job-tracking";
const INDEX: &str = "batch.kubernetes.io/job-completion-index";
const FIRST_BACKOFF: i64 = 10;
const LAST_BACKOFF: i64 = 600;
const BURST: usize = 500;

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
    }

    fn plan(&self, turn: &Turn<'_>) -> Vec<Action> {
        let Some(job) = turn.world.jobs.get(&turn.key.namespace, &turn.key.name) else { return let_go(turn) };
        let Some(spec) = job.spec.as_ref().filter(|s| s.managed_by.as_deref().is_none_or(|m| m == "kubernetes.io/job-controller")) else {
            return Vec::new();
        };
        let mut actions = Vec::new();
        let owned = turn.world.pods.controlled_by(uid(&job.metadata));
        if finished(&job).is_some() {
            return owned.iter().filter(|p| tracked(p)).map(|p| untrack(p)).collect();
        }
        let pods = match &spec.selector {
            Some(selector) => claim(&*job, selector, &owned, &turn.world.pods.orphans(&turn.key.namespace), &mut actions),
            None => owned,
        };
        if job.metadata.deletion_timestamp.is_none() {
            Run { job: &job, spec, pods: &pods, now: turn.now }.plan(&mut actions);
        }
        actions
    }
}

/// The condition that says that the Job has ended.
pub(crate) fn finished(job: &Job) -> Option<&JobCondition> {
    job.status.as_ref()?.conditions.iter().flatten().find(|c| matches!(c.type_.as_str(), "Complete" | "Failed") && c.status == "True")
}

/// Pods of a Job that is gone are counted by nobody.
fn let_go(turn: &Turn<'_>) -> Vec<Action> {
    let of_job = |p: &Pod| controller_of(&p.metadata).is_some_and(|o| o.kind == "Job" && o.name == turn.key.name);
    turn.world.pods.in_namespace(&turn.key.namespace).iter().filter(|p| of_job(p) && tracked(p)).map(|p| untrack(p)).collect()
}

fn tracked(pod: &Pod) -> bool {
    pod.metadata.finalizers.iter().flatten().any(|f| f == TRACKING)
}

fn untrack(pod: &Pod) -> Action {
    let finalizers: Vec<&String> = pod.metadata.finalizers.iter().flatten().filter(|f| *f != TRACKING).collect();
    Action::patch(Target::exactly(pod), json!({"metadata": {"finalizers": finalizers}}))
}

fn index(pod: &Pod) -> Option<i32> {
    pod.metadata.annotations.as_ref()?.get(INDEX)?.parse().ok()
}

fn ended_at(pod: &Pod) -> Option<Timestamp> {
    let containers = pod.status.as_ref()?.container_statuses.iter().flatten();
    let ended = containers.filter_map(|c| c.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref()).map(|t| t.0).max();
    ended.or_else(|| pod.metadata.deletion_timestamp.as_ref().map(|t| t.0)).or_else(|| pod.status.as_ref()?.start_time.as_ref().map(|t| t.0))
}

fn is_active(pod: &Pod) -> bool {
    crate::pods::is_active(pod)
}

fn has_failed(pod: &Pod) -> bool {
    phase(pod) == "Failed" || pod.metadata.deletion_timestamp.is_some() && phase(pod) != "Succeeded"
}

/// One Job that has not ended.
struct Run<'a> {
    job: &'a Job,
    spec: &'a JobSpec,
    pods: &'a [Arc<Pod>],
    now: Timestamp,
}

impl Run<'_> {
    fn plan(&self, actions: &mut Vec<Action>) {
        let old = self.job.status.clone().unwrap_or_default();
        let mut status = old.clone();
        let mut notes = Vec::new();
        let suspended = self.spec.suspend == Some(true);
        self.start(suspended, &mut status, &mut notes);
        let (succeeded, failed, completed) = self.count(&mut status);
        let active: Vec<&Arc<Pod>> = self.pods.iter().filter(|p| is_active(p)).collect();
        let terminating = self.pods.iter().filter(|p| p.metadata.deletion_timestamp.is_some() && !matches!(phase(p), "Succeeded" | "Failed")).count();
        let some = |n: usize| (n > 0).then(|| i32::try_from(n).unwrap_or(i32::MAX));
        status.active = some(active.len());
        status.ready = Some(some(active.iter().filter(|p| ready_since(p).is_some()).count()).unwrap_or(0));
        status.terminating = Some(some(terminating).unwrap_or(0));

        let mut again = None;
        let verdict = self.verdict(&status, succeeded, failed, active.len(), &mut again);
        let mut work = Vec::new();
        match &verdict {
            Some((complete, reason, message)) => {
                work.extend(active.iter().map(|p| self.delete(p)));
                let (first, last) = if *complete { ("SuccessCriteriaMet", "Complete") } else { ("FailureTarget", "Failed") };
                set(&mut status, first, "True", reason, message, self.now);
                let uncounted = status.uncounted_terminated_pods.clone().unwrap_or_default();
                let settled = uncounted.succeeded.iter().flatten().chain(uncounted.failed.iter().flatten()).next().is_none();
                if active.is_empty() && terminating == 0 && settled {
                    set(&mut status, last, "True", reason, message, self.now);
                    if *complete {
                        status.completion_time = Some(Time(self.now));
                        notes.push(Note::normal(self.job, "Completed", "Job completed"));
                    } else if !old.conditions.iter().flatten().any(|c| c.type_ == "Failed") {
                        let reason = if reason == "DeadlineExceeded" { "DeadlineExceeded" } else { "BackoffLimitExceeded" };
                        notes.push(Note::warning(self.job, reason, message.clone()));
                    }
                }
            }
            None if suspended => work.extend(active.iter().map(|p| self.delete(p))),
            None => self.manage(succeeded, &completed, &active, terminating, &mut work, &mut again),
        }
        let uncounted = status.uncounted_terminated_pods.clone().unwrap_or_default();
        if status != old {
            let mut written = self.job.clone();
            written.status = Some(status);
            actions.push(Action::set_status(&written));
            actions.push(Action::Barrier);
        }
        let counted: BTreeSet<&String> = uncounted.succeeded.iter().flatten().chain(uncounted.failed.iter().flatten()).collect();
        actions.extend(self.pods.iter().filter(|p| tracked(p) && p.metadata.uid.as_ref().is_some_and(|u| counted.contains(u))).map(|p| untrack(p)));
        actions.extend(work);
        actions.extend(notes.into_iter().map(Action::Record));
        actions.extend(again.map(Action::RequeueAfter));
    }

    fn start(&self, suspended: bool, status: &mut JobStatus, notes: &mut Vec<Note>) {
        let was = status.conditions.iter().flatten().find(|c| c.type_ == "Suspended").map(|c| c.status == "True");
        if suspended {
            status.start_time = None;
            if was != Some(true) {
                set(status, "Suspended", "True", "JobSuspended", "Job suspended", self.now);
                notes.push(Note::normal(self.job, "Suspended", "Job suspended"));
            }
            return;
        }
        if was == Some(true) {
            set(status, "Suspended", "False", "JobResumed", "Job resumed", self.now);
            notes.push(Note::normal(self.job, "Resumed", "Job resumed"));
        }
        status.start_time.get_or_insert(Time(self.now));
    }

    /// Moves Pods towards the counts; gives how many have succeeded and failed in all, and the completed indexes.
    fn count(&self, status: &mut JobStatus) -> (i32, i32, BTreeSet<i32>) {
        let held: BTreeMap<&str, &Arc<Pod>> = self.pods.iter().filter(|p| tracked(p)).map(|p| (uid(&p.metadata), p)).collect();
        let uncounted = status.uncounted_terminated_pods.take().unwrap_or_default();
        let indexed = self.spec.completion_mode.as_deref() == Some("Indexed");
        let mut completed = parse_indexes(status.completed_indexes.as_deref().unwrap_or_default());
        let split = |uids: Option<Vec<String>>| -> (Vec<String>, i32) {
            let (left, done): (Vec<_>, Vec<_>) = uids.unwrap_or_default().into_iter().partition(|u| held.contains_key(u.as_str()));
            (left, i32::try_from(done.len()).unwrap_or(i32::MAX))
        };
        let (mut succeeded, counted_succeeded) = split(uncounted.succeeded);
        let (mut failed, counted_failed) = split(uncounted.failed);
        for (uid, pod) in &held {
            if succeeded.iter().chain(&failed).any(|u| u == uid) {
                continue;
            }
            if phase(pod) == "Succeeded" {
                if let Some(index) = index(pod).filter(|i| indexed && (0..self.spec.completions.unwrap_or_default()).contains(i)) {
                    completed.insert(index);
                }
                succeeded.push((*uid).to_owned());
            } else if has_failed(pod) {
                failed.push((*uid).to_owned());
            }
        }
        let some = |n: i32| (n > 0).then_some(n);
        let sum = |counted: i32, waiting: &Vec<String>| counted + i32::try_from(waiting.len()).unwrap_or(i32::MAX);
        status.failed = some(status.failed.unwrap_or_default() + counted_failed);
        let failures = sum(status.failed.unwrap_or_default(), &failed);
        let successes = if indexed {
            status.completed_indexes = (!completed.is_empty()).then(|| print_indexes(&completed));
            status.succeeded = some(i32::try_from(completed.len()).unwrap_or(i32::MAX));
            status.succeeded.unwrap_or_default()
        } else {
            status.succeeded = some(status.succeeded.unwrap_or_default() + counted_succeeded);
            sum(status.succeeded.unwrap_or_default(), &succeeded)
        };
        let list = |uids: Vec<String>| (!uids.is_empty()).then_some(uids);
        status.uncounted_terminated_pods = Some(UncountedTerminatedPods { succeeded: list(succeeded), failed: list(failed) });
        (successes, failures, completed)
    }

    /// Whether the Job ends, and how: complete, reason, message.
    fn verdict(&self, status: &JobStatus, succeeded: i32, failed: i32, active: usize, again: &mut Option<Duration>) -> Option<(bool, String, String)> {
        // What was decided once stays.
        for (type_, complete) in [("FailureTarget", false), ("SuccessCriteriaMet", true)] {
            if let Some(c) = status.conditions.iter().flatten().find(|c| c.type_ == type_ && c.status == "True") {
                return Some((complete, c.reason.clone().unwrap_or_default(), c.message.clone().unwrap_or_default()));
            }
        }
        let some = |complete, reason: &str, message: &str| Some((complete, reason.to_owned(), message.to_owned()));
        let limit = self.spec.backoff_limit.unwrap_or(6);
        let restarts: i32 = self
            .pods
            .iter()
            .filter(|p| is_active(p))
            .flat_map(|p| p.status.iter().flat_map(|s| s.container_statuses.iter().flatten()))
            .map(|c| c.restart_count)
            .sum();
        let in_place = self.spec.template.spec.as_ref().and_then(|s| s.restart_policy.as_deref()) == Some("OnFailure");
        if failed > limit || in_place && restarts > 0 && restarts >= limit {
            return some(false, "BackoffLimitExceeded", "Job has reached the specified backoff limit");
        }
        if let (Some(deadline), Some(start)) = (self.spec.active_deadline_seconds, &status.start_time) {
            match u64::try_from(deadline - (self.now.as_second() - start.0.as_second())) {
                Ok(left) if left > 0 => *again = Some(Duration::from_secs(left)),
                _ => return some(false, "DeadlineExceeded", "Job was active longer than specified deadline"),
            }
        }
        let complete = match self.spec.completions {
            Some(wanted) => succeeded >= wanted,
            None => succeeded > 0 && active == 0,
        };
        if complete { some(true, "CompletionsReached", "Reached expected number of succeeded pods") } else { None }
    }

    fn manage(
        &self,
        succeeded: i32,
        completed: &BTreeSet<i32>,
        active: &[&Arc<Pod>],
        terminating: usize,
        work: &mut Vec<Action>,
        again: &mut Option<Duration>,
    ) {
        let parallelism = usize::try_from(self.spec.parallelism.unwrap_or(1)).unwrap_or_default();
        let wanted = match self.spec.completions {
            Some(all) => usize::try_from(all - succeeded).unwrap_or_default().min(parallelism),
            None if succeeded > 0 => active.len().min(parallelism),
            None => parallelism,
        };
        if active.len() > wanted {
            let mut surplus = active.to_vec();
            surplus.sort_by_key(|p| (phase(p) == "Running", ready_since(p).is_some(), std::cmp::Reverse(p.metadata.creation_timestamp.as_ref().map(|t| t.0))));
            work.extend(surplus.iter().take(active.len() - wanted).map(|p| self.delete(p)));
            return;
        }
        let waits = if self.spec.pod_replacement_policy.as_deref() == Some("Failed") { terminating } else { 0 };
        let missing = wanted.saturating_sub(active.len() + waits).min(BURST);
        if missing == 0 {
            return;
        }
        if let Some(wait) = self.backoff() {
            *again = Some(again.map_or(wait, |a| a.min(wait)));
            return;
        }
        let announce = || Announce {
            about: reference(self.job),
            done: Some(("SuccessfulCreate", "Created pod: {name}".to_owned())),
            failed: Some(("FailedCreate", "Error creating: {error}".to_owned())),
        };
        if self.spec.completion_mode.as_deref() == Some("Indexed") {
            let taken: BTreeSet<i32> = active.iter().filter_map(|p| index(p)).collect();
            let free = (0..self.spec.completions.unwrap_or_default()).filter(|i| !completed.contains(i) && !taken.contains(i));
            work.extend(free.take(missing).map(|i| Action::create(&self.pod(Some(i))).announced(announce())));
        } else {
            let pod = self.pod(None);
            work.extend((0..missing).map(|_| Action::create(&pod).announced(announce())));
        }
    }

    /// How long to wait after the last failure before the next attempt.
    fn backoff(&self) -> Option<Duration> {
        let ended = |failed: bool| self.pods.iter().filter(move |p| if failed { has_failed(p) } else { phase(p) == "Succeeded" }).filter_map(|p| ended_at(p));
        let success = ended(false).max();
        let failures: Vec<Timestamp> = ended(true).filter(|t| success.is_none_or(|s| *t > s)).collect();
        let last = failures.iter().max()?;
        let exponent = u32::try_from(failures.len() - 1).unwrap_or(u32::MAX).min(10);
        let wait = (FIRST_BACKOFF << exponent).min(LAST_BACKOFF) - (self.now.as_second() - last.as_second());
        u64::try_from(wait).ok().filter(|w| *w > 0).map(Duration::from_secs)
    }

    fn delete(&self, pod: &Arc<Pod>) -> Action {
        let done = Some(("SuccessfulDelete", "Deleted pod: {name}".to_owned()));
        Action::delete(&**pod).announced(Announce { about: reference(self.job), done, failed: Some(("FailedDelete", "Error deleting: {error}".to_owned())) })
    }

    fn pod(&self, at: Option<i32>) -> Pod {
        let mut pod = pod_of(self.job, Some(&self.spec.template));
        pod.metadata.finalizers.get_or_insert_default().push(TRACKING.to_owned());
        let Some(at) = at else { return pod };
        let name = crate::resource::name(&self.job.metadata);
        pod.metadata.generate_name = Some(format!("{name}-{at}-"));
        pod.metadata.annotations.get_or_insert_default().insert(INDEX.to_owned(), at.to_string());
        pod.metadata.labels.get_or_insert_default().insert(INDEX.to_owned(), at.to_string());
        if let Some(spec) = &mut pod.spec {
            spec.hostname.get_or_insert_with(|| format!("{name}-{at}"));
            let field = ObjectFieldSelector { api_version: None, field_path: format!("metadata.annotations['{INDEX}']") };
            let from = EnvVarSource { field_ref: Some(field), ..EnvVarSource::default() };
            for container in spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()) {
                let env = container.env.get_or_insert_default();
                if !env.iter().any(|e| e.name == "JOB_COMPLETION_INDEX") {
                    env.push(EnvVar { name: "JOB_COMPLETION_INDEX".to_owned(), value: None, value_from: Some(from.clone()) });
                }
            }
        }
        pod
    }
}

fn set(status: &mut JobStatus, type_: &str, value: &str, reason: &str, message: &str, now: Timestamp) {
    let conditions = status.conditions.get_or_insert_default();
    if conditions.iter().any(|c| c.type_ == type_ && c.status == value) {
        return;
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
}

/// `0-2,4`
fn print_indexes(indexes: &BTreeSet<i32>) -> String {
    let mut ranges: Vec<(i32, i32)> = Vec::new();
    for &index in indexes {
        match ranges.last_mut() {
            Some(last) if last.1 + 1 == index => last.1 = index,
            _ => ranges.push((index, index)),
        }
    }
    let text = |(from, to): (i32, i32)| match to - from {
        0 => from.to_string(),
        1 => format!("{from},{to}"),
        _ => format!("{from}-{to}"),
    };
    ranges.into_iter().map(text).collect::<Vec<_>>().join(",")
}

fn parse_indexes(text: &str) -> BTreeSet<i32> {
    let range = |part: &str| -> Option<std::ops::RangeInclusive<i32>> {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        Some(from.parse().ok()?..=to.parse().ok()?)
    };
    text.split(',').filter_map(range).flatten().collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::testing::{Cluster, check};

    fn job(spec: &str, status: &str) -> String {
        format!(
            "
apiVersion: batch/v1
kind: Job
metadata: {{name: j}}
spec: {{parallelism: 2, {spec}, backoffLimit: 1, selector: {{matchLabels: {{job: j}}}}, template: {{metadata: {{labels: {{job: j}}}}, spec: {{restartPolicy: Never, containers: [{{name: c, image: i}}]}}}}}}
status: {{{status}}}
"
        )
    }

    fn pod(name: &str, phase: &str, ended: &str) -> String {
        format!(
            "
---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{job: j}}, finalizers: [batch.kubernetes.io/job-tracking], ownerReferences: [{{apiVersion: batch/v1, kind: Job, name: j, uid: job-j, controller: true}}]}}
spec: {{containers: []}}
status: {{phase: {phase}, startTime: '{ended}'}}
"
        )
    }

    #[test]
    fn a_new_job_starts() {
        check(
            &Jobs,
            &job("completions: 3", ""),
            "default/j",
            &["status", "metadata.finalizers", "metadata.generateName"],
            expect![[r#"
                update Job j status
                  status: {"ready":0,"startTime":"2026-01-01T12:00:00Z","terminating":0,"uncountedTerminatedPods":{}}
                barrier
                create Pod 
                  metadata.finalizers: ["batch.kubernetes.io/job-tracking"]
                  metadata.generateName: "j-"
                create Pod 
                  metadata.finalizers: ["batch.kubernetes.io/job-tracking"]
                  metadata.generateName: "j-"
            "#]],
        );
    }

    #[test]
    fn indexes_are_given_once() {
        let yaml = job("completions: 3, completionMode: Indexed", "startTime: '2026-01-01T11:00:00Z', completedIndexes: '0', succeeded: 1");
        check(
            &Jobs,
            &yaml,
            "default/j",
            &["metadata.generateName", "spec.hostname", "spec.containers", "metadata.annotations"],
            expect![[r#"
                update Job j status
                barrier
                create Pod 
                  metadata.generateName: "j-1-"
                  spec.hostname: "j-1"
                  spec.containers: [{"env":[{"name":"JOB_COMPLETION_INDEX","valueFrom":{"fieldRef":{"fieldPath":"metadata.annotations['batch.kubernetes.io/job-completion-index']"}}}],"image":"i","name":"c"}]
                  metadata.annotations: {"batch.kubernetes.io/job-completion-index":"1"}
                create Pod 
                  metadata.generateName: "j-2-"
                  spec.hostname: "j-2"
                  spec.containers: [{"env":[{"name":"JOB_COMPLETION_INDEX","valueFrom":{"fieldRef":{"fieldPath":"metadata.annotations['batch.kubernetes.io/job-completion-index']"}}}],"image":"i","name":"c"}]
                  metadata.annotations: {"batch.kubernetes.io/job-completion-index":"2"}
            "#]],
        );
        assert_eq!(print_indexes(&parse_indexes("0-2,4,6,7")), "0-2,4,6,7");
    }

    #[test]
    fn failures_back_off_and_end_it() {
        let started = "startTime: '2026-01-01T11:00:00Z'";
        let one = format!("{}{}", job("completions: 1", started), pod("a", "Failed", "2026-01-01T11:59:55Z"));
        check(
            &Jobs,
            &one,
            "default/j",
            &["status.uncountedTerminatedPods"],
            expect![[r#"
                update Job j status
                  status.uncountedTerminatedPods: {"failed":["pod-a"]}
                barrier
                patch Pod a: {"metadata":{"finalizers":[]}}
                again in 5s
            "#]],
        );
        let two = format!("{one}{}", pod("b", "Failed", "2026-01-01T11:59:58Z"));
        check(
            &Jobs,
            &two,
            "default/j",
            &["status.conditions"],
            expect![[r#"
                update Job j status
                  status.conditions: [{"lastProbeTime":"2026-01-01T12:00:00Z","lastTransitionTime":"2026-01-01T12:00:00Z","message":"Job has reached the specified backoff limit","reason":"BackoffLimitExceeded","status":"True","type":"FailureTarget"}]
                barrier
                patch Pod a: {"metadata":{"finalizers":[]}}
                patch Pod b: {"metadata":{"finalizers":[]}}
            "#]],
        );
    }

    #[test]
    fn a_job_runs_to_its_end() {
        let mut cluster = Cluster::new(&job("completions: 5", ""));
        for _ in 0..40 {
            cluster.turn(&Jobs, "j");
            let pods: Vec<(String, serde_json::Value)> =
                cluster.all("Pod").iter().map(|p| (p["metadata"]["name"].as_str().unwrap().to_owned(), (*p).clone())).collect();
            assert!(pods.iter().filter(|(_, p)| p["status"]["phase"] != "Succeeded").count() <= 2);
            if let Some((name, _)) = pods.iter().find(|(_, p)| p["status"]["phase"] != "Succeeded") {
                cluster.patch("Pod", name, &json!({"status": {"phase": "Succeeded"}}));
            }
        }
        let status = &cluster.get("Job", "j")["status"];
        assert_eq!((status["succeeded"].as_i64(), status["active"].as_i64()), (Some(5), None), "{status}");
        assert!(cluster.all("Pod").iter().all(|p| p["metadata"]["finalizers"].as_array().unwrap().is_empty()));
        expect![[r#"
            Completed: Job completed
            [{"lastProbeTime":"2026-01-01T12:00:00Z","lastTransitionTime":"2026-01-01T12:00:00Z","message":"Reached expected number of succeeded pods","reason":"CompletionsReached","status":"True","type":"SuccessCriteriaMet"},{"lastProbeTime":"2026-01-01T12:00:00Z","lastTransitionTime":"2026-01-01T12:00:00Z","message":"Reached expected number of succeeded pods","reason":"CompletionsReached","status":"True","type":"Complete"}]
        "#]]
        .assert_eq(&(cluster.events.join("\n") + "\n" + &status["conditions"].to_string() + "\n"));
    }
}
