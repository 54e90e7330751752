//! A controller's work queue: each key once, never in two hands, failing ones later and later.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::resource::Key;
use crate::world::Failure;

const FIRST_BACKOFF: Duration = Duration::from_millis(5);
const LAST_BACKOFF: Duration = Duration::from_secs(60);
/// A lost race is soon decided.
const LAST_RACE: Duration = Duration::from_secs(1);
/// All failing keys of a queue together are retried at most so often, after a first burst.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);
const RETRY_BURST: u32 = 100;

/// The queue of one controller.
#[derive(Default)]
pub struct Queue {
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Default)]
struct State {
    ready: VecDeque<Key>,
    queued: HashSet<Key>,
    /// Keys in someone's hands, and whether they are wanted again.
    held: HashMap<Key, bool>,
    later: BinaryHeap<Reverse<(Instant, Key)>>,
    wanted_at: HashMap<Key, Instant>,
    failures: HashMap<Key, (u32, Failure)>,
    retry_debt: Option<Instant>,
}

impl Queue {
    /// Wants the key planned.
    pub fn add(&self, key: Key) {
        let mut state = self.state.lock();
        if let Some(again) = state.held.get_mut(&key) {
            *again = true;
        } else if state.queued.insert(key.clone()) {
            state.ready.push_back(key);
            drop(state);
            self.wake.notify_one();
        }
    }

    /// Wants the key planned after a while. The earliest of several wishes counts.
    pub fn add_after(&self, key: Key, after: Duration) {
        let at = Instant::now() + after;
        let mut state = self.state.lock();
        if state.wanted_at.get(&key).is_some_and(|earlier| *earlier <= at) {
            return;
        }
        state.wanted_at.insert(key.clone(), at);
        state.later.push(Reverse((at, key)));
        drop(state);
        self.wake.notify_one();
    }

    /// The next key, which is then in the caller's hands until [`Queue::done`].
    pub async fn next(&self) -> Key {
        loop {
            let woken = self.wake.notified();
            let next_at = {
                let mut state = self.state.lock();
                state.ripen(Instant::now());
                if let Some(key) = state.ready.pop_front() {
                    state.queued.remove(&key);
                    state.held.insert(key.clone(), false);
                    return key;
                }
                state.later.peek().map(|Reverse((at, _))| *at)
            };
            match next_at {
                Some(at) => tokio::select! { () = woken => {}, () = tokio::time::sleep_until(at) => {} },
                None => woken.await,
            }
        }
    }

    /// Why the key's last plan failed, if it did.
    pub fn failure(&self, key: &Key) -> Option<Failure> {
        self.state.lock().failures.get(key).map(|(_, failure)| failure.clone())
    }

    /// Gives a key back. A failed one comes again after its backoff.
    pub fn done(&self, key: Key, failure: Option<Failure>) {
        let mut state = self.state.lock();
        let again = state.held.remove(&key).unwrap_or_default();
        let backoff = match failure {
            Some(failure) => Some(state.fail(&key, failure)),
            None => {
                state.failures.remove(&key);
                None
            }
        };
        drop(state);
        if let Some(backoff) = backoff {
            self.add_after(key, backoff);
        } else if again {
            self.add(key);
        }
    }
}

impl State {
    fn ripen(&mut self, now: Instant) {
        while let Some(Reverse((at, _))) = self.later.peek()
            && *at <= now
        {
            let Some(Reverse((at, key))) = self.later.pop() else { break };
            if self.wanted_at.get(&key) != Some(&at) {
                continue; // an earlier wish took its place
            }
            self.wanted_at.remove(&key);
            if let Some(again) = self.held.get_mut(&key) {
                *again = true;
            } else if self.queued.insert(key.clone()) {
                self.ready.push_back(key);
            }
        }
    }

    fn fail(&mut self, key: &Key, failure: Failure) -> Duration {
        let lost_race = failure.lost_race;
        let (count, last) = self.failures.entry(key.clone()).or_insert_with(|| (0, failure.clone()));
        *last = failure;
        let backoff = FIRST_BACKOFF.saturating_mul(1 << (*count).min(16)).min(if lost_race { LAST_RACE } else { LAST_BACKOFF });
        *count += 1;
        if lost_race {
            return backoff;
        }
        let now = Instant::now();
        let debt = self.retry_debt.map_or(now, |d| d.max(now)) + RETRY_INTERVAL;
        self.retry_debt = Some(debt);
        backoff.max((debt - now).saturating_sub(RETRY_INTERVAL * RETRY_BURST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::new("", name)
    }

    fn failure() -> Failure {
        Failure { verb: "create", message: "no".to_owned(), lost_race: false }
    }

    #[tokio::test]
    async fn a_key_is_queued_once_and_held_by_one() {
        let queue = Queue::default();
        queue.add(key("a"));
        queue.add(key("b"));
        queue.add(key("a"));
        assert_eq!(queue.next().await, key("a"));
        queue.add(key("a")); // while held
        assert_eq!(queue.next().await, key("b"));
        assert!(tokio::time::timeout(Duration::from_millis(20), queue.next()).await.is_err(), "a is held");
        queue.done(key("a"), None);
        assert_eq!(queue.next().await, key("a"));
    }

    #[tokio::test]
    async fn failures_come_back_and_are_forgotten() {
        let queue = Queue::default();
        queue.add(key("a"));
        for _ in 0..3 {
            let k = queue.next().await;
            queue.done(k, Some(failure()));
        }
        let k = queue.next().await;
        assert_eq!(queue.failure(&k), Some(failure()));
        queue.done(k, None);
        assert_eq!(queue.failure(&key("a")), None);
    }

    #[test]
    fn backoff_doubles_up_to_its_cap() {
        let mut state = State::default();
        let waits: Vec<u128> = (0..16).map(|_| state.fail(&key("a"), failure()).as_millis()).collect();
        assert_eq!(waits[..5], [5, 10, 20, 40, 80]);
        assert_eq!(waits[14..], [60_000, 60_000]);
        // And all keys together are held back after a burst.
        let last = (0..200).map(|i| state.fail(&key(&i.to_string()), failure())).last().unwrap();
        assert!(last > Duration::from_secs(10), "{last:?}");
    }

    #[tokio::test]
    async fn the_earliest_wish_counts() {
        let queue = Queue::default();
        queue.add_after(key("a"), Duration::from_secs(100));
        queue.add_after(key("a"), Duration::from_millis(20));
        let begun = Instant::now();
        let k = queue.next().await;
        assert!((Duration::from_millis(20)..Duration::from_secs(50)).contains(&begun.elapsed()));
        queue.done(k, None);
        assert!(tokio::time::timeout(Duration::from_millis(20), queue.next()).await.is_err());
    }
}
