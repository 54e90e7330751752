//! RollingUpdate: old Pods are replaced, node by node, within maxUnavailable, or after a surge within maxSurge.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Observed, Work};
use crate::pods::is_terminating;

/// Whether a new Pod starts beside the old one.
pub(super) fn surges(set: &DaemonSet) -> bool {
    bounds(set, 1).0 > 0
}

/// How many nodes may have one Pod more, and how many none that is available.
fn bounds(set: &DaemonSet, wanted: i32) -> (i32, i32) {
    let rolling = set.spec.update_strategy.as_ref().and_then(|s| s.rolling_update.as_ref());
    let surge = crate::pods::scaled(rolling.and_then(|r| r.max_surge.as_ref()).unwrap_or(&IntOrString::Int(0)), wanted, true);
    let unavailable = crate::pods::scaled(rolling.and_then(|r| r.max_unavailable.as_ref()).unwrap_or(&IntOrString::Int(1)), wanted, true);
    (surge, if surge == 0 { unavailable.max(1) } else { unavailable })
}

/// The new and the old Pod of a node; `None` where there are several, which do not stay.
fn pair<'a>(observed: &Observed<'_>, pods: &'a [Arc<Pod>]) -> Option<[Option<&'a Arc<Pod>>; 2]> {
    let (new, old): (Vec<&Arc<Pod>>, Vec<_>) = pods.iter().filter(|p| !is_terminating(p)).partition(|p| observed.is_current(p));
    (new.len() <= 1 && old.len() <= 1).then(|| [new.first().copied(), old.first().copied()])
}

pub(super) fn roll(observed: &Observed<'_>, work: &mut Work) {
    let wanted = i32::try_from(observed.nodes.iter().filter(|n| n.should_run).count()).unwrap_or(i32::MAX);
    let (surge, unavailable) = bounds(observed.set, wanted);
    if surges(observed.set) { rise(observed, surge, work) } else { replace(observed, unavailable, work) }
}

/// Deletes old Pods, those that serve nobody first.
fn replace(observed: &Observed<'_>, max_unavailable: i32, work: &mut Work) {
    let mut unavailable = 0;
    let mut candidates = Vec::new();
    for pods in observed.by_node.values() {
        match pair(observed, pods) {
            Some([Some(new), None]) => unavailable += i32::from(!observed.is_available(new)),
            Some([None, Some(old)]) if observed.is_available(old) => candidates.push(old),
            Some([None, Some(old)]) => {
                unavailable += 1;
                work.delete.push(old.clone());
            }
            _ => unavailable += 1,
        }
    }
    let spare = usize::try_from(max_unavailable - unavailable).unwrap_or_default();
    work.delete.extend(candidates.into_iter().take(spare).cloned());
}

/// Makes new Pods beside old ones, and deletes those that are succeeded.
fn rise(observed: &Observed<'_>, max_surge: i32, work: &mut Work) {
    let mut risen = 0;
    let mut candidates = Vec::new();
    for (node, pods) in &observed.by_node {
        match pair(observed, pods) {
            None => risen += 1,
            Some([None, Some(old)]) if observed.is_available(old) => candidates.push(node),
            Some([None, Some(_)]) => {
                risen += 1;
                work.create.push(node.clone());
            }
            Some([Some(new), Some(old)]) => {
                if !observed.is_available(old) || observed.is_available(new) {
                    work.delete.push(old.clone());
                } else {
                    risen += 1;
                }
            }
            Some(_) => {}
        }
    }
    let spare = usize::try_from(max_surge - risen).unwrap_or_default();
    work.create.extend(candidates.into_iter().take(spare).cloned());
}
