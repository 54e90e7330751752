//! The recent events of one resource, bounded by time and bytes, and how a watcher reads on in them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::item::Event;

/// What an event costs beside its versions.
const FIXED: usize = 200;

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
    /// Events older than `min_age` go while there are more bytes than this. Bytes are those of the versions before and after, also where they
    /// are packed in memory.
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
    events: VecDeque<(Instant, Arc<Event>)>,
    bytes: usize,
    /// Everything after this revision is here.
    oldest: u64,
}

impl History {
    pub(crate) fn starting_at(revision: u64) -> History {
        History { events: VecDeque::new(), bytes: 0, oldest: revision }
    }

    pub(crate) fn push(&mut self, event: Arc<Event>, now: Instant, limits: &Limits) {
        self.bytes += cost(&event);
        self.events.push_back((now, event));
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
            self.bytes -= cost(event);
            self.oldest = event.revision();
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
        Ok(self.events.range(from..).take(max).map(|(_, event)| event.clone()).collect())
    }

    pub(crate) fn has_after(&self, position: u64) -> bool {
        self.events.back().is_some_and(|(_, event)| event.revision() > position)
    }

    pub(crate) fn oldest(&self) -> u64 {
        self.oldest
    }
}

/// The bytes that an event keeps from being freed: its own, and those of the version before.
fn cost(event: &Event) -> usize {
    FIXED + event.item.frame_len() + event.previous.as_ref().map_or(0, |item| item.frame_len())
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
}
