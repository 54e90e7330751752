//! One piece of work for all who want its result at the same time.

use std::collections::HashMap;
use std::hash::Hash;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};
use parking_lot::Mutex;

/// Shares work by key. When the last one who waits goes away, the work is dropped.
pub(crate) struct Flight<K, T: Clone> {
    running: Mutex<HashMap<K, WeakShared<BoxFuture<'static, T>>>>,
}

impl<K: Hash + Eq + Clone, T: Clone> Flight<K, T> {
    pub(crate) fn new() -> Flight<K, T> {
        Flight { running: Mutex::new(HashMap::new()) }
    }

    /// Joins the work of that key, or begins it.
    pub(crate) async fn run<F>(&self, key: K, work: impl FnOnce() -> F) -> T
    where
        F: Future<Output = T> + Send + 'static,
    {
        let shared = {
            let mut running = self.running.lock();
            let joined: Option<Shared<_>> = running.get(&key).and_then(WeakShared::upgrade);
            match joined {
                Some(shared) if shared.peek().is_none() => shared,
                _ => {
                    running.retain(|_, weak| weak.upgrade().is_some());
                    let shared = work().boxed().shared();
                    if let Some(weak) = shared.downgrade() {
                        running.insert(key, weak);
                    }
                    shared
                }
            }
        };
        shared.await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    #[tokio::test]
    async fn work_is_shared_and_cancelled_with_its_last_waiter() {
        let flight: Arc<Flight<&str, usize>> = Arc::new(Flight::new());
        let (begun, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let run = |flight: Arc<Flight<&'static str, usize>>| {
            let (begun, ended) = (begun.clone(), ended.clone());
            async move {
                flight
                    .run("key", || async move {
                        let number = begun.fetch_add(1, Ordering::SeqCst);
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        ended.fetch_add(1, Ordering::SeqCst);
                        number
                    })
                    .await
            }
        };
        let (a, b) = tokio::join!(run(flight.clone()), run(flight.clone()));
        assert_eq!((a, b, begun.load(Ordering::SeqCst)), (0, 0, 1));
        assert!(tokio::time::timeout(Duration::from_millis(5), run(flight.clone())).await.is_err());
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(ended.load(Ordering::SeqCst), 1, "the abandoned work did not go on");
        assert_eq!(run(flight.clone()).await, 2);
    }
}
