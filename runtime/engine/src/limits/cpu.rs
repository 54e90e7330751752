use parking_lot::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How long an unused allowance is kept, as with the kernel's CFS quota.
const PERIOD: Duration = Duration::from_millis(100);

/// A share of CPU time, common to all instances that hold it: at most so many milliseconds per second, with a burst of
/// a tenth of a second's share.
#[derive(Debug)]
pub struct CpuQuota {
    /// 0: unlimited.
    millicores: AtomicU32,
    throttled: AtomicU64,
    bucket: Mutex<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    /// Nanoseconds of CPU time that may be used now; negative: overdrawn.
    nanos: i64,
    filled: Instant,
}

impl CpuQuota {
    /// `millicores`: 1000 is one core; 0 means unlimited.
    pub fn new(millicores: u32) -> Self {
        let full = full(millicores);
        Self { millicores: millicores.into(), throttled: 0.into(), bucket: Mutex::new(Bucket { nanos: full, filled: Instant::now() }) }
    }

    /// No limit (a spinning guest still leaves others their share).
    pub fn unlimited() -> Self {
        Self::new(0)
    }

    /// The limit in millicores; `None`: unlimited.
    pub fn millicores(&self) -> Option<u32> {
        match self.millicores.load(Relaxed) {
            0 => None,
            n => Some(n),
        }
    }

    /// Changes the limit while guests run (0: unlimited).
    pub fn set(&self, millicores: u32) {
        self.millicores.store(millicores, Relaxed);
    }

    /// Nanoseconds that guests were made to wait.
    pub fn throttled_nanos(&self) -> u64 {
        self.throttled.load(Relaxed)
    }

    /// Counts CPU time as used.
    pub(crate) fn charge(&self, nanos: u64) {
        if let Some(m) = self.millicores() {
            self.fill(m).nanos -= nanos as i64;
        }
    }

    /// How long to wait before running on; `None`: not at all.
    pub(crate) fn wait(&self) -> Option<Duration> {
        let m = self.millicores()?;
        let nanos = self.fill(m).nanos;
        if nanos > 0 {
            return None;
        }
        // Until a tenth of the burst is there, so that wake-ups stay rare.
        let lacking = (full(m) / 10 - nanos) as u64;
        let wait = Duration::from_nanos(lacking.saturating_mul(1000) / u64::from(m)).min(Duration::from_secs(10));
        self.throttled.fetch_add(wait.as_nanos() as u64, Relaxed);
        Some(wait)
    }

    fn fill(&self, millicores: u32) -> parking_lot::MutexGuard<'_, Bucket> {
        let mut b = self.bucket.lock();
        let now = Instant::now();
        let passed = now.saturating_duration_since(b.filled).min(Duration::from_secs(60)).as_nanos() as i64;
        b.filled = now;
        b.nanos = (b.nanos + passed / 1000 * i64::from(millicores)).min(full(millicores));
        b
    }
}

fn full(millicores: u32) -> i64 {
    PERIOD.as_nanos() as i64 / 1000 * i64::from(millicores.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unlimited_never_waits() {
        let q = CpuQuota::unlimited();
        q.charge(u64::MAX / 4);
        assert_eq!(q.wait(), None);
    }

    #[test]
    fn an_overdrawn_quota_waits_in_proportion() {
        let q = CpuQuota::new(100);
        assert_eq!(q.wait(), None);
        q.charge(10_000_000 + 10_000_000); // the burst of 10 ms, and 10 ms more
        let wait = q.wait().expect("overdrawn");
        assert!(wait > Duration::from_millis(90) && wait < Duration::from_millis(120), "{wait:?}");
        assert!(q.throttled_nanos() > 0);
    }
}
