//! Which Pod is next: those that may be tried now, those that wait out a failure, those that wait for a change.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::pod::PodInfo;

/// After the first failure.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// The longest.
const MAX_BACKOFF: Duration = Duration::from_secs(10);
/// A Pod that nothing woke for so long is tried anyway.
const MAX_WAIT: Duration = Duration::from_secs(300);
/// How often such Pods are looked for.
const SWEEP: Duration = Duration::from_secs(30);

/// Greater priority first, then who came first.
type Rank = (Reverse<i32>, u64);

struct Waiting {
    pod: Arc<PodInfo>,
    attempts: u32,
    /// End of its back-off.
    until: Instant,
    place: Place,
}

enum Place {
    Active(Rank),
    Backoff(u64),
    /// The plugins that refused it; none when it failed for another reason.
    Unschedulable {
        refused_by: Vec<&'static str>,
        since: Instant,
    },
    /// Taken out, being decided or bound.
    Flying,
}

/// Pods that have no node.
#[derive(Default)]
pub struct Queue {
    pods: HashMap<Arc<str>, Waiting>,
    active: BTreeMap<Rank, Arc<str>>,
    backoff: BTreeMap<(Instant, u64), Arc<str>>,
    sequence: u64,
    /// When those who wait too long are looked for, every so often.
    sweep: Option<Instant>,
}

impl Queue {
    /// A Pod without a node was seen. A known one is tried again only if what matters of it changed.
    pub fn add(&mut self, pod: PodInfo, now: Instant) {
        let uid = pod.uid.clone();
        if let Some(waiting) = self.pods.get_mut(&uid) {
            if *waiting.pod == pod {
                return;
            }
            waiting.pod = Arc::new(pod);
            if matches!(waiting.place, Place::Unschedulable { .. }) {
                self.activate(&uid);
            }
            return;
        }
        let waiting = Waiting { pod: Arc::new(pod), attempts: 0, until: now, place: Place::Flying };
        self.pods.insert(uid.clone(), waiting);
        self.activate(&uid);
    }

    /// A Pod has a node, or is gone.
    pub fn remove(&mut self, uid: &str) {
        if let Some(waiting) = self.pods.remove(uid) {
            self.unlink(&waiting);
        }
    }

    /// Uids of all Pods that are known here.
    pub fn known(&self) -> Vec<Arc<str>> {
        self.pods.keys().cloned().collect()
    }

    /// Takes the next Pod out; it stays known until [`Queue::remove`] or a failure.
    pub fn pop(&mut self, now: Instant) -> Option<Arc<PodInfo>> {
        self.end_backoffs(now);
        let (_, uid) = self.active.pop_first()?;
        let waiting = self.pods.get_mut(&uid)?;
        waiting.place = Place::Flying;
        waiting.attempts += 1;
        Some(waiting.pod.clone())
    }

    /// No node was found. The Pod waits for a change that could matter to the plugins that refused it.
    pub fn unschedulable(&mut self, uid: &str, refused_by: Vec<&'static str>, now: Instant) {
        if let Some(waiting) = self.pods.get_mut(uid) {
            waiting.until = now + backoff(waiting.attempts);
            waiting.place = Place::Unschedulable { refused_by, since: now };
        }
    }

    /// Something else went wrong (a binding was refused): tried again after a back-off.
    pub fn failed(&mut self, uid: &str, now: Instant) {
        self.sequence += 1;
        if let Some(waiting) = self.pods.get_mut(uid) {
            waiting.until = now + backoff(waiting.attempts);
            waiting.place = Place::Backoff(self.sequence);
            self.backoff.insert((waiting.until, self.sequence), waiting.pod.uid.clone());
        }
    }

    /// Something changed: those for whom it may matter go on, after their back-off.
    pub fn wake(&mut self, matters: impl Fn(&[&'static str]) -> bool, now: Instant) {
        let mut woken = Vec::new();
        for (uid, waiting) in &self.pods {
            if let Place::Unschedulable { refused_by, .. } = &waiting.place
                && matters(refused_by)
            {
                woken.push((uid.clone(), waiting.until <= now));
            }
        }
        for (uid, ready) in woken {
            if ready { self.activate(&uid) } else { self.wait(&uid) }
        }
    }

    /// When the queue should be looked at again though nothing happens.
    pub fn next_due(&self) -> Option<Instant> {
        let sweep = self.sweep.filter(|_| !self.pods.is_empty());
        self.backoff.keys().next().map(|(until, _)| *until).into_iter().chain(sweep).min()
    }

    fn end_backoffs(&mut self, now: Instant) {
        while let Some(((until, _), _)) = self.backoff.first_key_value() {
            if *until > now {
                break;
            }
            if let Some((_, uid)) = self.backoff.pop_first() {
                self.activate(&uid);
            }
        }
        if self.sweep.is_some_and(|sweep| sweep > now) {
            return;
        }
        self.sweep = Some(now + SWEEP);
        let stale: Vec<Arc<str>> = self
            .pods
            .iter()
            .filter(|(_, w)| matches!(w.place, Place::Unschedulable { since, .. } if since + MAX_WAIT <= now))
            .map(|(uid, _)| uid.clone())
            .collect();
        stale.iter().for_each(|uid| self.activate(uid));
    }

    fn activate(&mut self, uid: &str) {
        self.sequence += 1;
        if let Some(waiting) = self.pods.get_mut(uid) {
            let rank = (Reverse(waiting.pod.priority), self.sequence);
            waiting.place = Place::Active(rank);
            self.active.insert(rank, waiting.pod.uid.clone());
        }
    }

    fn wait(&mut self, uid: &str) {
        self.sequence += 1;
        if let Some(waiting) = self.pods.get_mut(uid) {
            waiting.place = Place::Backoff(self.sequence);
            self.backoff.insert((waiting.until, self.sequence), waiting.pod.uid.clone());
        }
    }

    fn unlink(&mut self, waiting: &Waiting) {
        match &waiting.place {
            Place::Active(rank) => {
                self.active.remove(rank);
            }
            Place::Backoff(sequence) => {
                self.backoff.remove(&(waiting.until, *sequence));
            }
            Place::Unschedulable { .. } | Place::Flying => {}
        }
    }
}

fn backoff(attempts: u32) -> Duration {
    FIRST_BACKOFF.saturating_mul(1 << attempts.saturating_sub(1).min(10)).min(MAX_BACKOFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(uid: &str, priority: i32) -> PodInfo {
        PodInfo { uid: uid.into(), priority, ..PodInfo::default() }
    }

    #[test]
    fn order_and_backoff() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut queue = Queue::default();
        let next = |queue: &mut Queue, ms: u64| queue.pop(at(ms)).map(|p| p.uid.to_string());
        for (uid, priority) in [("a", 0), ("b", 0), ("high", 10)] {
            queue.add(pod(uid, priority), start);
        }
        let order = [next(&mut queue, 0), next(&mut queue, 0), next(&mut queue, 0), next(&mut queue, 0)];
        assert_eq!(order, [Some("high".into()), Some("a".into()), Some("b".into()), None]);
        queue.unschedulable("a", vec!["Fit"], start);
        queue.failed("b", start);
        queue.remove("high");
        assert_eq!(next(&mut queue, 999), None);
        assert_eq!(next(&mut queue, 1000).as_deref(), Some("b"));
        queue.failed("b", at(1000));
        assert_eq!(next(&mut queue, 2001), None, "the second back-off is longer");
        queue.wake(|refused_by| refused_by.contains(&"Taint"), at(2001));
        assert_eq!(next(&mut queue, 2001), None);
        queue.wake(|refused_by| refused_by.contains(&"Fit"), at(2001));
        assert_eq!(next(&mut queue, 2001).as_deref(), Some("a"), "its back-off is over");
        queue.unschedulable("a", vec!["Fit"], at(2001));
        queue.wake(|_| true, at(2001));
        assert_eq!(next(&mut queue, 2001), None, "woken within its back-off");
        assert_eq!([next(&mut queue, 5001), next(&mut queue, 5001)].iter().flatten().count(), 2);
    }

    #[test]
    fn nobody_is_forgotten() {
        let start = Instant::now();
        let mut queue = Queue::default();
        queue.add(pod("a", 0), start);
        queue.pop(start);
        queue.unschedulable("a", vec![], start);
        assert!(queue.next_due().is_some());
        let later = start + MAX_WAIT;
        assert_eq!(&*queue.pop(later).unwrap().uid, "a");
        queue.unschedulable("a", vec!["Fit"], later);
        queue.add(pod("a", 0), later);
        assert!(queue.pop(later).is_none(), "seen again, but the same");
        queue.add(PodInfo { labels: [("k", "v")].into_iter().collect(), ..pod("a", 0) }, later);
        assert_eq!(&*queue.pop(later).unwrap().uid, "a");
        queue.remove("a");
        assert!(queue.known().is_empty() && queue.next_due().is_none());
    }
}
