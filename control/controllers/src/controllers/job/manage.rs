//! Which Pods a Job makes, and which it deletes because there are too many.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, ObjectFieldSelector, Pod};
use k8s_openapi::jiff::Timestamp;

use super::tally::{Tally, all_failures, ended_at};
use super::{INDEX, Run, Work, index, tracked};
use crate::kinds::JOB_TRACKING;
use crate::pods::{has_ended, is_terminating, node_of, phase, pod_of, ready_since};
use crate::resource::name;

const FIRST_BACKOFF: Duration = Duration::from_secs(10);
const LAST_BACKOFF: Duration = Duration::from_secs(600);
/// At most so many Pods are created or deleted in one plan.
const BURST: usize = 500;
/// The API server adds five letters to a generated name, which may have no more than 63.
const LONGEST_PREFIX: usize = 58;

impl Run<'_> {
    pub(super) fn manage(&self, tally: &Tally, active: &[&Arc<Pod>], terminating: usize, work: &mut Work) {
        let parallelism = usize::try_from(self.spec.parallelism.unwrap_or(1)).unwrap_or_default();
        let wanted = match self.spec.completions {
            Some(all) => usize::try_from(all - tally.succeeded).unwrap_or_default().min(parallelism),
            // The first that succeeds says that the work is done; those that run may end theirs.
            None if tally.succeeded > 0 => active.len(),
            None => parallelism,
        };
        let surplus = self.surplus(active, active.len().saturating_sub(wanted));
        if !surplus.is_empty() {
            // They have not failed.
            work.untrack.extend(surplus.iter().filter(|p| tracked(p)).cloned());
            work.delete.extend(surplus);
            return;
        }
        let waits = if self.replaces_only_failed() { terminating } else { 0 };
        let missing = wanted.saturating_sub(active.len() + waits).min(BURST);
        if missing == 0 {
            return;
        }
        if self.spec.backoff_limit_per_index.is_none()
            && let Some(wait) = self.backoff()
        {
            work.wait(wait);
            return;
        }
        if !self.indexed() {
            work.create.extend(std::iter::repeat_n(self.pod(None), missing));
            return;
        }
        let ending = self.pods.iter().filter(|p| self.replaces_only_failed() && is_terminating(p) && !has_ended(p));
        let taken: BTreeSet<i32> = active.iter().copied().chain(ending).filter_map(|p| index(p)).collect();
        let mut taken = tally.completed.with(taken);
        if let Some(failed) = &tally.failed_indexes {
            taken = taken.or(failed);
        }
        for at in taken.missing(self.completions()).take(missing) {
            let before = tally.waiting.get(&at);
            let rest = before.and_then(|last| self.rest(all_failures(last) + 1, ended_at(last)?));
            match rest {
                Some(wait) => work.wait(wait),
                None => {
                    let mut pod = self.pod(Some(at));
                    if self.spec.backoff_limit_per_index.is_some() {
                        self.inherit(before, &mut pod);
                    }
                    work.create.push(pod);
                }
            }
        }
    }

    /// Pods that are too many: those without a valid index, all but one of each index, and `count` at least.
    fn surplus(&self, active: &[&Arc<Pod>], count: usize) -> Vec<Arc<Pod>> {
        let mut least_first: Vec<&Arc<Pod>> = active.to_vec();
        least_first.sort_by_cached_key(|p| {
            let rank = ["Pending", "Unknown", "Running"].iter().position(|known| *known == phase(p));
            let restarts = p.status.iter().flat_map(|s| s.container_statuses.iter().flatten()).map(|c| c.restart_count).max();
            let made = p.metadata.creation_timestamp.as_ref().map(|t| t.0);
            (!node_of(p).is_empty(), rank, ready_since(p).is_some(), Reverse(ready_since(p).flatten()), Reverse(restarts), Reverse(made))
        });
        let mut surplus = Vec::new();
        if self.indexed() {
            let mut best: BTreeMap<i32, &str> = BTreeMap::new();
            for pod in &least_first {
                if let Some(at) = index(pod).filter(|at| *at < self.completions()) {
                    best.insert(at, name(&pod.metadata));
                }
            }
            let stays = |pod: &Pod| index(pod).and_then(|at| best.get(&at)).is_some_and(|n| *n == name(&pod.metadata));
            let (left, doubled): (Vec<_>, Vec<_>) = least_first.iter().copied().partition(|p| stays(p));
            surplus.extend(doubled);
            least_first = left;
        }
        surplus.extend(least_first.into_iter().take(count.saturating_sub(surplus.len())));
        surplus.into_iter().take(BURST).cloned().collect()
    }

    /// How long it is until the next attempt after the failures since the last success.
    fn backoff(&self) -> Option<Duration> {
        let ended =
            |failed: bool| self.pods.iter().filter(move |p| if failed { self.has_failed(p) } else { phase(p) == "Succeeded" }).filter_map(|p| ended_at(p));
        let success = ended(false).max();
        let failures: Vec<Timestamp> = ended(true).filter(|t| success.is_none_or(|s| *t > s)).collect();
        self.rest(i32::try_from(failures.len()).unwrap_or(i32::MAX), *failures.iter().max()?)
    }

    /// How long it is until the next attempt after so many failures, the last of them then.
    fn rest(&self, failures: i32, last: Timestamp) -> Option<Duration> {
        let doubled = u32::try_from(failures.clamp(1, 11) - 1).unwrap_or_default();
        let passed = Duration::try_from(self.now.duration_since(last)).unwrap_or_default();
        Some((FIRST_BACKOFF * (1 << doubled)).min(LAST_BACKOFF).saturating_sub(passed)).filter(|w| !w.is_zero())
    }

    fn pod(&self, at: Option<i32>) -> Pod {
        let mut pod = pod_of(self.job, Some(&self.spec.template));
        let finalizers = pod.metadata.finalizers.get_or_insert_default();
        if !finalizers.iter().any(|f| f == JOB_TRACKING) {
            finalizers.push(JOB_TRACKING.to_owned());
        }
        let Some(at) = at else { return pod };
        let (name, suffix) = (name(&self.job.metadata), format!("-{at}-"));
        let prefix: String = name.chars().take(LONGEST_PREFIX - suffix.len()).collect();
        pod.metadata.generate_name = Some(format!("{prefix}{suffix}"));
        pod.metadata.annotations.get_or_insert_default().insert(INDEX.to_owned(), at.to_string());
        pod.metadata.labels.get_or_insert_default().insert(INDEX.to_owned(), at.to_string());
        if let Some(spec) = &mut pod.spec {
            spec.hostname = Some(format!("{name}-{at}"));
            let field = ObjectFieldSelector { api_version: None, field_path: format!("metadata.labels['{INDEX}']") };
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
