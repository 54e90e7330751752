//! The tasks of a cluster: groups that end together, and word of a task that ended when it should not have.

use std::fmt::Display;
use std::future::Future;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Tasks under one cancellation token.
pub(crate) struct Group {
    token: CancellationToken,
    tasks: Mutex<JoinSet<()>>,
    failures: mpsc::Sender<anyhow::Error>,
}

impl Group {
    /// An empty group. The first failure of any group that shares the sender is told; more do not matter.
    pub(crate) fn new(failures: mpsc::Sender<anyhow::Error>) -> Group {
        Group { token: CancellationToken::new(), tasks: Mutex::new(JoinSet::new()), failures }
    }

    /// The token that ends the group.
    pub(crate) fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Runs a task that must go on until the group ends.
    pub(crate) fn spawn<E: Display + Send>(&self, name: impl Into<String>, task: impl Future<Output = Result<(), E>> + Send + 'static) {
        let (name, token, failures) = (name.into(), self.token.clone(), self.failures.clone());
        self.tasks.lock().spawn(async move {
            let ended = task.await;
            if token.is_cancelled() {
                if let Err(error) = ended {
                    tracing::debug!(task = name, %error, "ended");
                }
                return;
            }
            let error = match ended {
                Ok(()) => anyhow::anyhow!("{name} ended unexpectedly"),
                Err(error) => anyhow::anyhow!("{name}: {error}"),
            };
            let _ = failures.try_send(error);
        });
    }

    /// Ends the group, and waits until all its tasks have.
    pub(crate) async fn end(&self) {
        self.token.cancel();
        let mut tasks = std::mem::take(&mut *self.tasks.lock());
        while tasks.join_next().await.is_some() {}
    }
}
