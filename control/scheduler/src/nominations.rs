//! Pods that wait for their victims to leave a node: their room there is not for Pods that matter less.

use std::collections::HashMap;
use std::sync::Arc;

use crate::node::Snapshot;
use crate::pod::PodInfo;

/// Who is nominated to which node.
#[derive(Default)]
pub(crate) struct Nominations {
    by_uid: HashMap<Arc<str>, (Arc<PodInfo>, String)>,
}

impl Nominations {
    /// The node that a Pod waits for.
    pub(crate) fn of(&self, uid: &str) -> Option<&str> {
        self.by_uid.get(uid).map(|(_, node)| node.as_str())
    }

    /// A Pod waits for a node.
    pub(crate) fn set(&mut self, pod: Arc<PodInfo>, node: &str) {
        self.by_uid.insert(pod.uid.clone(), (pod, node.to_owned()));
    }

    /// It does not any more.
    pub(crate) fn clear(&mut self, uid: &str) {
        self.by_uid.remove(uid);
    }

    /// Less important Pods that wait for a node which another now has: they look elsewhere.
    pub(crate) fn displace(&mut self, node: &str, priority: i32) {
        self.by_uid.retain(|_, (pod, theirs)| theirs != node || pod.priority >= priority);
    }

    /// Places those that matter at least as much as `pod`; their uids, for [`Nominations::release`].
    pub(crate) fn reserve(&self, snapshot: &mut Snapshot, pod: &PodInfo) -> Vec<Arc<str>> {
        let mut placed = Vec::new();
        for (uid, (other, node)) in &self.by_uid {
            if *uid != pod.uid && other.priority >= pod.priority && snapshot.place_of(uid).is_none() && snapshot.node(node).is_some_and(|n| n.present) {
                snapshot.place(other.clone(), node);
                placed.push(uid.clone());
            }
        }
        placed
    }

    /// Takes them away again.
    pub(crate) fn release(snapshot: &mut Snapshot, placed: &[Arc<str>]) {
        for uid in placed {
            snapshot.remove_pod(uid);
        }
    }
}
