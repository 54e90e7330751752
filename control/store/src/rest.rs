//! Lets items rest: those that were written some time ago are packed, while no write waits. Most are not read again for long: Events, what a
//! version was before it was overwritten, Pods that run.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use wharf_rest::Dictionary;

use crate::item::{Item, resource_of};

/// The age at which items are packed.
pub(crate) const AGE: Duration = Duration::from_millis(500);

/// Items that may wait to be packed; where writing never pauses, the oldest stay whole.
const WAITING: usize = 1 << 16;

/// The items that are whole, and what the next ones are packed by.
#[derive(Default)]
pub(crate) struct Rest {
    waiting: VecDeque<(Instant, Weak<Item>)>,
    /// By resource.
    dictionaries: HashMap<Box<str>, Dictionary>,
}

impl Rest {
    /// An item that is to rest one day.
    pub(crate) fn add(&mut self, item: &Arc<Item>, now: Instant) {
        let gone = |(_, item): &(Instant, Weak<Item>)| item.strong_count() == 0;
        while self.waiting.len() >= WAITING || self.waiting.front().is_some_and(gone) {
            self.waiting.pop_front();
        }
        self.waiting.push_back((now, Arc::downgrade(item)));
    }

    /// Packs the next item that was written before `before`. Whether there was one.
    pub(crate) fn pack(&mut self, before: Instant) -> bool {
        if self.waiting.front().is_none_or(|(written, _)| *written >= before) {
            self.waiting.shrink_to(64);
            return false;
        }
        let Some(item) = self.waiting.pop_front().and_then(|(_, item)| item.upgrade()) else { return true };
        let resource = resource_of(item.key());
        if !self.dictionaries.contains_key(resource) {
            self.dictionaries.insert(resource.into(), Dictionary::default());
        }
        self.dictionaries.get(resource).iter().for_each(|dictionary| item.pack(dictionary));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::{EventKind, key};
    use crate::write::NewValue;

    fn item(name: &str, noise: u64) -> Arc<Item> {
        let words: Vec<String> = (0..200).map(|n: u64| (n * n * noise % 65_521).to_string()).collect();
        let json = format!(r#"{{"resourceVersion":"","name":"{name}","x":"{}"}}"#, words.concat()).into_bytes();
        Arc::new(Item::new(key("", "pods", "a", name), 11, EventKind::Added, &NewValue { json, revision_at: 20 }))
    }

    #[test]
    fn old_items_are_packed_and_read_as_they_were() {
        let (now, mut rest) = (Instant::now(), Rest::default());
        let items = [item("a", 7919), item("b", 7919), item("c", 7919), item("d", 104_729), item("e", 104_729)];
        let frames = items.each_ref().map(|item| item.frame());
        for item in &items {
            rest.add(item, now);
        }
        assert!(!rest.pack(now), "none is old yet");
        let mut steps = 0;
        while rest.pack(now + AGE) {
            steps += 1;
        }
        assert_eq!(steps, items.len());
        assert_eq!(items.each_ref().map(|item| item.is_packed()), [false, true, true, false, true]);
        assert_eq!(items.each_ref().map(|item| item.frame()), frames);
        assert_eq!(items[1].json_at(77), items[1].deleted(77).json());
    }

    #[test]
    fn what_is_gone_is_passed_over() {
        let (now, mut rest) = (Instant::now(), Rest::default());
        rest.add(&item("a", 1), now);
        assert!(rest.pack(now + AGE));
        assert!(!rest.pack(now + AGE));
        assert!(rest.dictionaries.is_empty());
    }
}
