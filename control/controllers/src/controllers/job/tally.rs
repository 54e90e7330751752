//! How many Pods have succeeded and failed, and their way into the counts of the status.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::batch::v1::{JobStatus, UncountedTerminatedPods};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::indexes::Indexes;
use super::policy::{Failure, of_failure};
use super::verdict::Verdict;
use super::{Run, Work, index, tracked};
use crate::pods::{has_ended, is_active, phase};
use crate::resource::uid;

/// So many Pods stand in a status as uncounted at most.
const UNCOUNTED: usize = 500;
const FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
const IGNORED_FAILURES: &str = "batch.kubernetes.io/job-index-ignored-failure-count";

/// What has come of a Job's Pods, those that are not counted yet among them.
pub(super) struct Tally {
    pub(super) succeeded: i32,
    /// Failures that count.
    pub(super) failed: i32,
    /// Indexes that have succeeded.
    pub(super) completed: Indexes,
    /// Indexes that have failed, where each has a backoff limit of its own.
    pub(super) failed_indexes: Option<Indexes>,
    /// The last failed Pod of each index that waits for another, which inherits its count of failures.
    pub(super) waiting: BTreeMap<i32, Arc<Pod>>,
    uncounted_succeeded: BTreeSet<String>,
    uncounted_failed: BTreeSet<String>,
}

impl Tally {
    /// Counts what no longer has to be tracked, and looks at the rest.
    pub(super) fn new(run: &Run<'_>, status: &mut JobStatus) -> Tally {
        let held: BTreeSet<&str> = run.pods.iter().filter(|p| tracked(p)).map(|p| uid(&p.metadata)).collect();
        let uncounted = status.uncounted_terminated_pods.take().unwrap_or_default();
        let settle = |uids: Option<Vec<String>>, count: &mut Option<i32>| -> BTreeSet<String> {
            let (left, done): (BTreeSet<_>, BTreeSet<_>) = uids.unwrap_or_default().into_iter().partition(|u| held.contains(u.as_str()));
            *count = positive(count.unwrap_or_default().saturating_add(number(done.len())));
            left
        };
        let uncounted_succeeded = settle(uncounted.succeeded, &mut status.succeeded);
        let uncounted_failed = settle(uncounted.failed, &mut status.failed);
        let mut tally = Tally {
            succeeded: status.succeeded.unwrap_or_default() + number(uncounted_succeeded.len()),
            failed: status.failed.unwrap_or_default() + number(uncounted_failed.len()),
            completed: Indexes::default(),
            failed_indexes: None,
            waiting: BTreeMap::new(),
            uncounted_succeeded,
            uncounted_failed,
        };
        tally.look(run, status);
        tally
    }

    fn look(&mut self, run: &Run<'_>, status: &JobStatus) {
        let of_job: Vec<&Arc<Pod>> = run.pods.iter().filter(|p| tracked(p) && run.counts(p)).collect();
        let new_failed = of_job.iter().filter(|p| run.has_failed(p) && !self.uncounted_failed.contains(uid(&p.metadata)));
        self.failed += number(new_failed.filter(|p| of_failure(run.spec.pod_failure_policy.as_ref(), p) != Failure::Ignore).count());
        if !run.indexed() {
            self.succeeded += number(of_job.iter().filter(|p| phase(p) == "Succeeded" && !self.uncounted_succeeded.contains(uid(&p.metadata))).count());
            return;
        }
        let done = of_job.iter().filter(|p| phase(p) == "Succeeded" && !self.uncounted_failed.contains(uid(&p.metadata)));
        self.completed = Indexes::parse(status.completed_indexes.as_deref().unwrap_or_default(), run.completions()).with(done.filter_map(|p| index(p)));
        self.succeeded = self.completed.total();
        let Some(limit) = run.spec.backoff_limit_per_index else { return };
        let failed = of_job.iter().filter(|p| run.index_has_failed(p, limit)).filter_map(|p| index(p));
        let failed = Indexes::parse(status.failed_indexes.as_deref().unwrap_or_default(), run.completions()).with(failed);
        let active: BTreeSet<i32> = run.pods.iter().filter(|p| is_active(p)).filter_map(|p| index(p)).collect();
        for pod in of_job.into_iter().filter(|p| run.has_failed(p)) {
            let Some(at) = index(pod).filter(|at| !self.completed.has(*at) && !failed.has(*at) && !active.contains(at)) else { continue };
            let later = |than: &Arc<Pod>| all_failures(than) <= all_failures(pod) && ended_at(than) <= ended_at(pod);
            if self.waiting.get(&at).is_none_or(later) {
                self.waiting.insert(at, pod.clone());
            }
        }
        self.failed_indexes = Some(failed);
    }
}

impl Run<'_> {
    /// Whether the Pod's end counts: where there are indexes, it has to have one.
    fn counts(&self, pod: &Pod) -> bool {
        !self.indexed() || index(pod).is_some_and(|at| at < self.completions())
    }

    fn index_has_failed(&self, pod: &Pod, limit: i32) -> bool {
        self.has_failed(pod)
            && match of_failure(self.spec.pod_failure_policy.as_ref(), pod) {
                Failure::FailIndex => true,
                Failure::Ignore => false,
                Failure::Count | Failure::FailJob(_) => annotated(pod, FAILURES) >= limit,
            }
    }

    /// Enters what has ended as uncounted; from then on its Pods need not be tracked.
    pub(super) fn track(&self, tally: &Tally, verdict: Option<&Verdict>, status: &mut JobStatus, work: &mut Work) {
        let (mut succeeded, mut failed) = (tally.uncounted_succeeded.clone(), tally.uncounted_failed.clone());
        let fails = verdict.is_some_and(|v| !v.complete);
        for pod in self.pods.iter().filter(|p| tracked(p)) {
            let of = uid(&pod.metadata).to_owned();
            let has_failed = self.has_failed(pod);
            let waits = index(pod).and_then(|at| tally.waiting.get(&at)).is_some_and(|w| w.metadata.uid == pod.metadata.uid);
            let over = phase(pod) == "Succeeded" || has_failed && !waits;
            if (!over && verdict.is_none()) || work.untrack.iter().any(|p| p.metadata.uid == pod.metadata.uid) {
                continue;
            }
            let listed = succeeded.contains(&of) || failed.contains(&of);
            if !listed && succeeded.len() + failed.len() >= UNCOUNTED {
                continue;
            }
            if !listed && self.counts(pod) {
                if phase(pod) == "Succeeded" {
                    // An index says by itself that it is counted.
                    if !self.indexed() {
                        succeeded.insert(of);
                    }
                } else if (has_failed || fails) && of_failure(self.spec.pod_failure_policy.as_ref(), pod) != Failure::Ignore {
                    failed.insert(of);
                }
            }
            work.untrack.push(pod.clone());
        }
        let list = |uids: BTreeSet<String>| (!uids.is_empty()).then(|| uids.into_iter().collect());
        status.uncounted_terminated_pods = Some(UncountedTerminatedPods { succeeded: list(succeeded), failed: list(failed) });
        if self.indexed() {
            status.succeeded = positive(tally.completed.total());
            status.completed_indexes = Some(tally.completed.to_string()).filter(|t| !t.is_empty());
            status.failed_indexes = tally.failed_indexes.as_ref().map(Indexes::to_string);
        }
    }

    /// The annotations by which a Pod inherits the failures of its index.
    pub(super) fn inherit(&self, from: Option<&Arc<Pod>>, pod: &mut Pod) {
        let (mut failures, mut ignored) = (0, 0);
        if let Some(from) = from {
            (failures, ignored) = (annotated(from, FAILURES), annotated(from, IGNORED_FAILURES));
            match of_failure(self.spec.pod_failure_policy.as_ref(), from) {
                Failure::Ignore => ignored += 1,
                _ => failures += 1,
            }
        }
        let annotations = pod.metadata.annotations.get_or_insert_default();
        annotations.insert(FAILURES.to_owned(), failures.to_string());
        if ignored > 0 {
            annotations.insert(IGNORED_FAILURES.to_owned(), ignored.to_string());
        }
    }
}

/// The failures of a Pod's index before it, also those that do not count.
pub(super) fn all_failures(pod: &Pod) -> i32 {
    annotated(pod, FAILURES).saturating_add(annotated(pod, IGNORED_FAILURES))
}

fn annotated(pod: &Pod, key: &str) -> i32 {
    let value = pod.metadata.annotations.as_ref().and_then(|a| a.get(key)?.parse::<i32>().ok());
    value.filter(|n| (0..i32::MAX).contains(n)).unwrap_or_default()
}

/// When a Pod ended: when the last of its containers did, else when it was found unready, or deleted.
pub(super) fn ended_at(pod: &Pod) -> Option<Timestamp> {
    let status = pod.status.as_ref();
    let containers: Vec<_> = status.iter().flat_map(|s| s.container_statuses.iter().flatten()).collect();
    let ends = containers.iter().map(|c| Some(c.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref()?.0));
    let all: Option<Vec<Timestamp>> = ends.collect();
    let unready = || status?.conditions.as_ref()?.iter().find(|c| c.type_ == "Ready" && c.status == "False")?.last_transition_time.as_ref().map(|t| t.0);
    let deleted = || {
        let grace = SignedDuration::from_secs(pod.metadata.deletion_grace_period_seconds.unwrap_or_default());
        pod.metadata.deletion_timestamp.as_ref().and_then(|t| t.0.checked_sub(grace).ok())
    };
    let made = || pod.metadata.creation_timestamp.as_ref().map(|t| t.0);
    all.and_then(|all| all.into_iter().max())
        .or_else(unready)
        .or_else(deleted)
        .or_else(made)
        .filter(|_| has_ended(pod) || pod.metadata.deletion_timestamp.is_some())
}

fn number(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

fn positive(n: i32) -> Option<i32> {
    (n > 0).then_some(n)
}
