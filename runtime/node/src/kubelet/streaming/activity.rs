//! When something last moved on a connection, so that one that is forgotten does not stay for good.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// How long a connection may be silent: the kubelet's `--streaming-connection-idle-timeout`.
const IDLE: Duration = Duration::from_secs(4 * 60 * 60);

/// The time of the last movement. Cheap to clone.
#[derive(Clone)]
pub(super) struct Activity(Arc<Mutex<Instant>>);

impl Activity {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    /// Something moved.
    pub(super) fn seen(&self) {
        *self.0.lock() = Instant::now();
    }

    /// Resolves when nothing has moved for too long.
    pub(super) async fn idle(&self) {
        self.idle_for(IDLE).await;
    }

    async fn idle_for(&self, limit: Duration) {
        loop {
            let end = *self.0.lock() + limit;
            if end <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(end).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_moves_is_not_idle() {
        let limit = Duration::from_millis(20);
        let activity = Activity::new();
        let idle = activity.idle_for(limit);
        tokio::time::sleep(limit / 2).await;
        let moved = Instant::now();
        activity.seen();
        idle.await;
        assert!(moved.elapsed() >= limit);
    }
}
