//! The recent events of one resource, bounded by time and bytes, and how a watcher reads on in them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::item::Event;
use crate::packed::{Held, Version};

/// The wanted revision is no longer in the history: list again (HTTP 410).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too old resource version: {wanted} ({oldest})")]
pub struct Expired {
    /// The revision asked for.
    pub wanted: u64,
    /// The oldest one that can be watched from.
    pub oldest: u64,
}

/// How much history is kept, per resource.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Events younger than this stay unless `max_bytes` is passed.
    pub min_age: Duration,
    /// Older events go even when there is room.
    pub max_age: Duration,
    /// Events older than `min_age` go while there are more bytes than this.
    pub soft_bytes: usize,
    /// The oldest events go, whatever their age, while there are more bytes than this.
    pub max_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { min_age: Duration::from_secs(75), max_age: Duration::from_secs(300), soft_bytes: 4 << 20, max_bytes: 32 << 20 }
    }
}

/// A ring of events in the order of their revisions.
pub(crate) struct History {
    events: VecDeque<(Instant, Held)>,
    /// So many of the oldest events are packed.
    packed: usize,
    bytes: usize,
    /// Everything after this revision is here.
    oldest: u64,
}

impl History {
    pub(crate) fn starting_at(revision: u64) -> History {
        History { events: VecDeque::new(), packed: 0, bytes: 0, oldest: revision }
    }

    pub(crate) fn push(&mut self, event: Arc<Event>, now: Instant, limits: &Limits) {
        let held = Held::Whole(event);
        self.bytes += held.cost();
        self.events.push_back((now, held));
        self.trim(now, limits);
    }

    /// Drops what the limits no longer allow.
    pub(crate) fn trim(&mut self, now: Instant, limits: &Limits) {
        while let Some((at, event)) = self.events.front() {
            let age = now.saturating_duration_since(*at);
            let keep = self.bytes <= limits.max_bytes && (age < limits.min_age || (age < limits.max_age && self.bytes <= limits.soft_bytes));
            if keep {
                break;
            }
            self.bytes -= event.cost();
            self.oldest = event.revision();
            self.packed = self.packed.saturating_sub(1);
            self.events.pop_front();
        }
        if self.events.is_empty() {
            self.events.shrink_to(64);
        }
    }

    /// Up to `max` events after `position`.
    pub(crate) fn after(&self, position: u64, max: usize) -> Result<Vec<Arc<Event>>, Expired> {
        if position < self.oldest {
            return Err(Expired { wanted: position, oldest: self.oldest });
        }
        let from = self.events.partition_point(|(_, event)| event.revision() <= position);
        Ok(self.events.range(from..).take(max).map(|(_, event)| event.event()).collect())
    }

    /// Up to `max` of the oldest events that are whole still, of those made before `before`.
    pub(crate) fn whole(&self, before: Instant, max: usize) -> Vec<Arc<Event>> {
        let old = self.events.range(self.packed..).take_while(|(at, _)| *at < before);
        old.filter_map(|(_, event)| event.whole().cloned()).take(max).collect()
    }

    /// Puts packed events in the places of whole ones. What they say was there before may be packed where it was written, too.
    pub(crate) fn pack(&mut self, packed: Vec<Held>) {
        for held in packed {
            if let Some(Version::Packed(before)) = held.previous()
                && let Some(at) = self.find(before.revision())
            {
                let before = before.clone();
                let old = &mut self.events[at].1;
                self.bytes -= old.cost();
                old.share(before);
                self.bytes += old.cost();
            }
            let Some(at) = self.find(held.revision()) else { continue };
            self.bytes = self.bytes + held.cost() - self.events[at].1.cost();
            self.events[at].1 = held;
            self.packed = self.packed.max(at + 1);
        }
    }

    fn find(&self, revision: u64) -> Option<usize> {
        let at = self.events.partition_point(|(_, event)| event.revision() < revision);
        self.events.get(at).filter(|(_, event)| event.revision() == revision).map(|_| at)
    }

    pub(crate) fn has_after(&self, position: u64) -> bool {
        self.events.back().is_some_and(|(_, event)| event.revision() > position)
    }

    pub(crate) fn oldest(&self) -> u64 {
        self.oldest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::{EventKind, Item, key};
    use crate::write::NewValue;

    fn event(revision: u64, bytes: usize) -> Arc<Event> {
        let json = format!(r#"{{"resourceVersion":"","x":"{}"}}"#, "x".repeat(bytes)).into_bytes();
        let item = Item::new(key("", "pods", "a", "b"), revision, EventKind::Added, &NewValue { json, revision_at: 20 });
        Arc::new(Event { kind: EventKind::Added, item: Arc::new(item), previous: None })
    }

    fn revisions(history: &History, after: u64) -> Result<Vec<u64>, Expired> {
        Ok(history.after(after, 100)?.iter().map(|e| e.revision()).collect())
    }

    #[test]
    fn young_events_stay_up_to_the_hard_bound_and_old_ones_go() {
        let limits = Limits { min_age: Duration::from_secs(75), max_age: Duration::from_secs(300), soft_bytes: 2_000, max_bytes: 4_000 };
        let start = Instant::now();
        let mut history = History::starting_at(10);
        for revision in 11..14 {
            history.push(event(revision, 800), start, &limits);
        }
        assert_eq!(revisions(&history, 10), Ok(vec![11, 12, 13]), "over the soft bound, but young");
        history.push(event(14, 800), start, &limits);
        assert_eq!(revisions(&history, 10), Err(Expired { wanted: 10, oldest: 11 }), "over the hard bound");
        assert_eq!(revisions(&history, 11), Ok(vec![12, 13, 14]));
        history.trim(start + Duration::from_secs(80), &limits);
        assert_eq!(revisions(&history, 13), Ok(vec![14]), "older than 75 s and over the soft bound");
        assert!(revisions(&history, 11).is_err());
        history.trim(start + Duration::from_secs(301), &limits);
        assert_eq!(revisions(&history, 14), Ok(vec![]));
        assert_eq!(history.oldest(), 14);
    }

    /// Three versions of one object and what a watch then sees of them, packed and not.
    #[test]
    fn packed_events_read_as_they_were() {
        let limits = Limits::default();
        let now = Instant::now();
        let item = |revision: u64, kind| {
            let json = format!(r#"{{"resourceVersion":"","n":{revision},"x":"{}"}}"#, "x".repeat(900)).into_bytes();
            Arc::new(Item::new(key("", "pods", "a", "b"), revision, kind, &NewValue { json, revision_at: 20 }))
        };
        let (first, second) = (item(11, EventKind::Added), item(12, EventKind::Modified));
        let third = Arc::new(second.deleted(13));
        let events = [
            Event { kind: EventKind::Added, item: first.clone(), previous: None },
            Event { kind: EventKind::Modified, item: second.clone(), previous: Some(first) },
            Event { kind: EventKind::Deleted, item: third, previous: Some(second.clone()) },
        ];
        let mut history = History::starting_at(10);
        for event in events {
            history.push(Arc::new(event), now, &limits);
        }
        let texts = |history: &History| -> Vec<_> {
            let read = history.after(10, 10).unwrap();
            read.iter().map(|e| (e.kind, e.frame(), e.revision(), e.previous.as_ref().map(|p| (p.revision(), p.json().to_vec(), p.json_at(77))))).collect()
        };
        let (before, bytes) = (texts(&history), history.bytes);
        assert!(history.whole(now, 10).is_empty(), "nothing is old yet");
        let mut pack = |current: &dyn Fn(&Arc<Item>) -> bool| {
            let old = history.whole(now + Duration::from_secs(1), 2);
            history.pack(Held::pack(&old, current));
            assert_eq!(texts(&history), before);
            old.len()
        };
        // The second version is what a reader would get: it stays as it is.
        assert_eq!(pack(&|item| Arc::ptr_eq(item, &second)), 2);
        assert_eq!(pack(&|_| false), 1, "the third was whole");
        assert!(history.bytes * 2 < bytes, "{} of {bytes}", history.bytes);
        assert_eq!(Arc::strong_count(&second), 1, "the version that was current when its event was packed is packed with the next one");
        history.trim(now + Duration::from_secs(301), &limits);
        assert_eq!((history.bytes, history.packed), (0, 0));
    }

    #[test]
    fn many_alike_are_described_by_one_of_them() {
        let (limits, now) = (Limits::default(), Instant::now());
        let mut history = History::starting_at(10);
        for revision in 11..61 {
            // Not alike within itself.
            let words: Vec<String> = (0..200).map(|n: u64| (n * n * 7919 % 65_521).to_string()).collect();
            let json = format!(r#"{{"resourceVersion":"","n":{revision},"x":"{}"}}"#, words.concat()).into_bytes();
            let item = Item::new(key("", "pods", "a", &format!("p{revision}")), revision, EventKind::Added, &NewValue { json, revision_at: 20 });
            history.push(Arc::new(Event { kind: EventKind::Added, item: Arc::new(item), previous: None }), now, &limits);
        }
        let texts = |history: &History| history.after(10, 100).unwrap().iter().map(|e| (e.item.key().clone(), e.frame())).collect::<Vec<_>>();
        let (before, bytes) = (texts(&history), history.bytes);
        let old = history.whole(now + Duration::from_secs(1), 100);
        history.pack(Held::pack(&old, |_| false));
        assert_eq!(texts(&history), before);
        assert!(history.bytes * 4 < bytes, "{} of {bytes}", history.bytes);
    }
}
