//! Whether a Job comes to its end, and why.

use std::time::Duration;

use k8s_openapi::api::batch::v1::JobStatus;

use super::policy::{Failure, of_failure, of_success};
use super::tally::Tally;
use super::{Run, Work};
use crate::pods::phase;

/// How a Job ends.
pub(super) struct Verdict {
    pub(super) complete: bool,
    pub(super) reason: String,
    pub(super) message: String,
}

/// The reasons for which a Job fails, which its Event tells too.
const FAILURES: [&str; 5] = ["BackoffLimitExceeded", "DeadlineExceeded", "FailedIndexes", "MaxFailedIndexesExceeded", "PodFailurePolicy"];

impl Verdict {
    fn failed(reason: &str, message: &str) -> Option<Verdict> {
        Some(Verdict { complete: false, reason: reason.to_owned(), message: message.to_owned() })
    }

    fn complete(reason: &str, message: &str) -> Option<Verdict> {
        Some(Verdict { complete: true, reason: reason.to_owned(), message: message.to_owned() })
    }

    /// The reason of the Event of a failure.
    pub(super) fn event(&self) -> &'static str {
        FAILURES.iter().find(|r| **r == self.reason).unwrap_or(&FAILURES[0])
    }
}

impl Run<'_> {
    pub(super) fn verdict(&self, status: &JobStatus, tally: &Tally, active: usize, work: &mut Work) -> Option<Verdict> {
        // What was decided once stays.
        for (type_, complete) in [("SuccessCriteriaMet", true), ("FailureTarget", false)] {
            if let Some(c) = status.conditions.iter().flatten().find(|c| c.type_ == type_ && c.status == "True") {
                return Some(Verdict { complete, reason: c.reason.clone().unwrap_or_default(), message: c.message.clone().unwrap_or_default() });
            }
        }
        for pod in self.pods.iter().filter(|p| self.spec.pod_failure_policy.is_some() && self.has_failed(p)) {
            if let Failure::FailJob(why) = of_failure(self.spec.pod_failure_policy.as_ref(), pod) {
                return Verdict::failed("PodFailurePolicy", &why);
            }
        }
        if tally.failed > self.backoff_limit() || self.restarts_too_often() {
            return Verdict::failed("BackoffLimitExceeded", "Job has reached the specified backoff limit");
        }
        if let (Some(deadline), Some(start), false) = (self.spec.active_deadline_seconds, &status.start_time, self.suspended()) {
            let passed = self.now.duration_since(start.0);
            let left = Duration::from_secs(deadline.unsigned_abs()).saturating_sub(Duration::try_from(passed).unwrap_or_default());
            if left.is_zero() {
                return Verdict::failed("DeadlineExceeded", "Job was active longer than specified deadline");
            }
            work.wait(left);
        }
        if self.indexed() {
            if let Some(failed) = &tally.failed_indexes {
                if self.spec.max_failed_indexes.is_some_and(|most| failed.total() > most) {
                    return Verdict::failed("MaxFailedIndexesExceeded", "Job has exceeded the specified maximal number of failed indexes");
                }
                if failed.total() > 0 && failed.total().saturating_add(tally.completed.total()) >= self.completions() {
                    return Verdict::failed("FailedIndexes", "Job has failed indexes");
                }
            }
            if let Some(why) = of_success(self.spec.success_policy.as_ref(), self.completions(), &tally.completed) {
                return Verdict::complete("SuccessPolicy", &why);
            }
        }
        let reached = match self.spec.completions {
            Some(wanted) => tally.succeeded >= wanted,
            None => tally.succeeded > 0 && active == 0,
        };
        if reached { Verdict::complete("CompletionsReached", "Reached expected number of succeeded pods") } else { None }
    }

    fn backoff_limit(&self) -> i32 {
        self.spec.backoff_limit.unwrap_or(6)
    }

    /// Whether containers that are restarted in place have been so too often.
    fn restarts_too_often(&self) -> bool {
        if self.spec.template.spec.as_ref().and_then(|s| s.restart_policy.as_deref()) != Some("OnFailure") {
            return false;
        }
        let living = self.pods.iter().filter(|p| matches!(phase(p), "Running" | "Pending")).filter_map(|p| p.status.as_ref());
        let containers = living.flat_map(|s| s.init_container_statuses.iter().flatten().chain(s.container_statuses.iter().flatten()));
        let restarts = containers.fold(0_i32, |sum, c| sum.saturating_add(c.restart_count));
        restarts > 0 && restarts >= self.backoff_limit()
    }
}
