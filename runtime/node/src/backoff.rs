//! Back-off as the kubelet's: the first failure is retried at once, then after 10 s, doubling to 300 s, and forgotten after 10 quiet minutes.

use std::collections::HashMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// The delay of the first back-off.
pub const INITIAL: Duration = Duration::from_secs(10);
/// The longest back-off.
pub const MAX: Duration = Duration::from_secs(300);

/// The back-off of the things of one Pod (its containers, or its images), by name.
#[derive(Debug, Default)]
pub struct Backoff {
    entries: HashMap<String, Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    delay: Duration,
    updated: Timestamp,
}

impl Backoff {
    /// When the back-off of `key` ends, if it is still going on at `now`, for an event that happened at `since`.
    pub fn until(&self, key: &str, since: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let entry = self.entries.get(key)?;
        if expired(entry.updated, since) {
            return None;
        }
        let end = since.checked_add(SignedDuration::try_from(entry.delay).unwrap_or(SignedDuration::MAX)).ok()?;
        (now < end).then_some(end)
    }

    /// Counts one more try at `now`: the next failure waits longer.
    pub fn next(&mut self, key: &str, now: Timestamp) {
        let entry = self.entries.get(key).copied().filter(|e| !expired(e.updated, now));
        let delay = entry.map_or(INITIAL, |e| (e.delay * 2).min(MAX));
        self.entries.insert(key.to_owned(), Entry { delay, updated: now });
    }

    /// The current delay of `key`; zero where there is none.
    pub fn delay(&self, key: &str) -> Duration {
        self.entries.get(key).map_or(Duration::ZERO, |e| e.delay)
    }

    /// Forgets `key`.
    pub fn reset(&mut self, key: &str) {
        self.entries.remove(key);
    }
}

fn expired(updated: Timestamp, at: Timestamp) -> bool {
    at.duration_since(updated) > SignedDuration::try_from(MAX * 2).unwrap_or(SignedDuration::MAX)
}

/// A duration as Go prints it (`10s`, `1m20s`, `5m0s`), which is what people grep for in a `CrashLoopBackOff` message.
pub fn go_duration(d: Duration) -> String {
    let secs = d.as_secs();
    match (secs / 3600, secs / 60 % 60, secs % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m{s}s"),
        (h, m, s) => format!("{h}h{m}m{s}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + secs).unwrap()
    }

    #[test]
    fn doubles_and_is_forgotten() {
        let mut b = Backoff::default();
        assert_eq!(b.until("c", at(0), at(0)), None, "the first failure is retried at once");
        b.next("c", at(0));
        let mut now = 0;
        let mut waits = vec![];
        for _ in 0..7 {
            let end = b.until("c", at(now), at(now)).unwrap();
            waits.push(end.duration_since(at(now)).as_secs());
            now = end.as_second() - 1_800_000_000;
            b.next("c", at(now));
        }
        assert_eq!(waits, [10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(b.until("c", at(now + 601), at(now + 601)), None, "ran for more than ten minutes");
        b.next("c", at(now + 601));
        assert_eq!(b.delay("c"), INITIAL);
    }

    #[test]
    fn prints_like_go() {
        let all = [10, 20, 40, 80, 160, 300, 3600].map(|s| go_duration(Duration::from_secs(s)));
        assert_eq!(all, ["10s", "20s", "40s", "1m20s", "2m40s", "5m0s", "1h0m0s"]);
    }
}
