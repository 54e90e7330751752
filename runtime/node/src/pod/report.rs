//! Writing a Pod's status: one write at a time, and only the newest state is written.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::{Value, json};

use super::context::PodContext;

const TIMEOUT: Duration = Duration::from_secs(30);

/// The uid of the Pod in the API that was written to, and the hash of the status that it has from us.
type Written = (Arc<String>, u64);

/// The status writer of one Pod.
#[derive(Default)]
pub(super) struct Reporter {
    written: Option<Written>,
    flight: Option<BoxFuture<'static, Result<Written, String>>>,
    failures: u32,
    retry_at: Option<Timestamp>,
}

impl Reporter {
    /// Begins to write the status, unless the API has it, or a write goes on already (then after that).
    pub(super) fn report(&mut self, context: &Arc<PodContext>, pod: &Pod, status: &PodStatus, now: Timestamp) {
        if self.flight.is_some() || self.retry_at.is_some_and(|at| at > now) {
            return;
        }
        let Some(object) = context.object.load_full() else { return };
        let Ok(value) = serde_json::to_value(status) else { return };
        let hash = hash(&value);
        if self.written.is_none() && *object == context.uid {
            let there = pod.status.as_ref().and_then(|s| serde_json::to_value(s).ok());
            self.written = there.map(|v| (object.clone(), self::hash(&v)));
        }
        if self.written.as_ref().is_some_and(|(to, status)| *to == object && *status == hash) {
            return;
        }
        let patch = patch(&object, pod.status.as_ref(), value);
        let context = context.clone();
        self.flight = Some(
            async move {
                let api: kube::Api<Pod> = kube::Api::namespaced(context.node.config.client.clone(), &context.namespace);
                let params = PatchParams::default();
                let patch = Patch::Merge(patch);
                match tokio::time::timeout(TIMEOUT, api.patch_status(&context.name, &params, &patch)).await {
                    Ok(Ok(_)) => Ok((object, hash)),
                    // It is gone, or another Pod has its name: the informer will tell.
                    Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => Ok((object, hash)),
                    Ok(Err(error)) => Err(error.to_string()),
                    Err(_) => Err("timed out".to_owned()),
                }
            }
            .boxed(),
        );
    }

    /// Whether the API has this status, as far as this node knows.
    pub(super) fn is_settled(&self, status: &PodStatus) -> bool {
        self.flight.is_none() && serde_json::to_value(status).is_ok_and(|v| self.written.as_ref().is_some_and(|(_, written)| *written == hash(&v)))
    }

    /// Waits for the write that goes on; for ever when there is none.
    pub(super) async fn wait(&mut self) {
        let Some(flight) = &mut self.flight else { return std::future::pending().await };
        let result = flight.await;
        self.flight = None;
        match result {
            Ok(written) => {
                self.written = Some(written);
                self.failures = 0;
                self.retry_at = None;
            }
            Err(error) => {
                self.failures = (self.failures + 1).min(6);
                let wait = Duration::from_millis(500) * 2u32.pow(self.failures);
                self.retry_at = Timestamp::now().checked_add(jiff::SignedDuration::try_from(wait).unwrap_or_default()).ok();
                tracing::warn!(error, "writing the status of a Pod failed, it will be tried again");
            }
        }
    }

    /// When to try again, after a failure.
    pub(super) fn retry_at(&self) -> Option<Timestamp> {
        self.retry_at.filter(|_| self.flight.is_none())
    }
}

/// A merge patch that makes the status what it should be: what is there and should not be is set to null.
fn patch(uid: &str, old: Option<&PodStatus>, mut new: Value) -> Value {
    if let (Some(Value::Object(old)), Value::Object(new)) = (old.and_then(|s| serde_json::to_value(s).ok()), &mut new) {
        for key in old.keys() {
            new.entry(key.clone()).or_insert(Value::Null);
        }
    }
    json!({"metadata": {"uid": uid}, "status": new})
}

fn hash(value: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.to_string().hash(&mut hasher);
    hasher.finish()
}

/// Takes a Pod whose containers have ended out of the API.
pub(crate) async fn delete(context: &PodContext) -> Result<(), String> {
    let api: kube::Api<Pod> = kube::Api::namespaced(context.node.config.client.clone(), &context.namespace);
    let params = DeleteParams {
        grace_period_seconds: Some(0),
        preconditions: Some(Preconditions { uid: Some(context.uid.clone()), resource_version: None }),
        ..Default::default()
    };
    match tokio::time::timeout(TIMEOUT, api.delete(&context.name, &params)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("timed out".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_should_go_is_set_to_null() {
        let old = PodStatus { reason: Some("Evicted".into()), phase: Some("Running".into()), ..Default::default() };
        let new = serde_json::to_value(PodStatus { phase: Some("Pending".into()), ..Default::default() }).unwrap();
        assert_eq!(patch("u", Some(&old), new), json!({"metadata": {"uid": "u"}, "status": {"phase": "Pending", "reason": null}}));
    }
}
