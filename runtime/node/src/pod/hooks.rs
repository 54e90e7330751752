//! Lifecycle hooks: what is done in a container after it has started and before it is ended.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, LifecycleHandler};

use crate::probes::{Answer, Target};

/// Runs a hook to its end. What an HTTP request is answered does not matter; that it is, does.
pub(crate) async fn run(hook: &LifecycleHandler, container: &Container, target: &Target) -> Result<(), String> {
    if let Some(action) = &hook.exec {
        match target.exec.exec(action.command.clone().unwrap_or_default()).await? {
            (0, _) => Ok(()),
            (code, output) => Err(format!("command terminated with exit code {code}: {output}")),
        }
    } else if let Some(action) = &hook.http_get {
        match target.get(action, container, "kube-lifecycle/1.37").await {
            Ok(_) | Err(Answer::Success) => Ok(()),
            Err(Answer::Failure(words) | Answer::Unknown(words)) => Err(words),
        }
    } else if let Some(action) = &hook.sleep {
        tokio::time::sleep(Duration::from_secs(u64::try_from(action.seconds).unwrap_or(0))).await;
        Ok(())
    } else {
        // `tcpSocket` is in the API for the sake of old clients; it does not run upstream either.
        Err("invalid handler".to_owned())
    }
}
