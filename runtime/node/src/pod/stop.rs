//! Ending a container: asked politely, then not.

use std::time::Duration;

use wharf_engine::{Command, HttpContainer, Signal};

/// Ends a command: SIGTERM, the grace period, SIGKILL. Its end is seen by who waits for it.
pub(crate) async fn command(command: Command, grace: Duration) {
    if !grace.is_zero() {
        command.signal(Signal::Term);
        if tokio::time::timeout(grace, command.wait()).await.is_ok() {
            return;
        }
    }
    command.kill();
}

/// Ends a `wasi:http` container once the requests in work are answered, at most after the grace period. Its exit code.
pub(crate) async fn http(container: HttpContainer, grace: Duration) -> i32 {
    if grace.is_zero() {
        container.kill();
        return 137;
    }
    if container.drain(grace).await { 0 } else { 137 }
}
