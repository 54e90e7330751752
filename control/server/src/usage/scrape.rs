//! Asking the nodes, no more often than is of use.

use std::sync::Arc;
use std::time::Duration;

use ::http::Request;
use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Node;
use tokio::sync::Mutex;

use super::window::{Sample, Summary, Window, between};
use crate::Body;
use crate::server::Shared;

/// How long an answer serves everybody.
const FRESH: SignedDuration = SignedDuration::from_secs(5);
/// An older sample tells nothing of now.
const STALE: SignedDuration = SignedDuration::from_secs(60);
/// The shortest window: what is waited for when there is no sample yet.
const SHORTEST: Duration = Duration::from_secs(1);
/// How long a node may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer of a node.
const MAX_SUMMARY: usize = 16 << 20;
/// Nodes that are asked at a time.
const AT_A_TIME: usize = 16;

/// The last sample and the last window. Nobody asks, nothing is done.
#[derive(Default)]
pub(crate) struct Usage {
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    sample: Option<Sample>,
    window: Option<Arc<Window>>,
}

impl Usage {
    /// What is used now. The first asker in a while waits for a second between two samples; all others share what there is.
    pub(super) async fn now(&self, shared: &Shared) -> Arc<Window> {
        let mut last = self.last.lock().await;
        let age = |at: Timestamp| Timestamp::now().duration_since(at);
        if let Some(window) = last.window.as_ref().filter(|w| age(w.at) < FRESH) {
            return window.clone();
        }
        let before = match last.sample.take().filter(|s| age(s.at) < STALE) {
            Some(before) => before,
            None => {
                let first = sample(shared).await;
                tokio::time::sleep(SHORTEST).await;
                first
            }
        };
        let after = sample(shared).await;
        let window = Arc::new(between(&before, &after));
        (last.sample, last.window) = (Some(after), Some(window.clone()));
        window
    }
}

async fn sample(shared: &Shared) -> Sample {
    let snapshot = shared.cache().snapshot("core/nodes");
    let nodes: Vec<Node> = snapshot.range("core/nodes/", None).filter_map(|item| serde_json::from_slice(&item.json()).ok()).collect();
    let at = Timestamp::now();
    let asked = nodes.into_iter().map(|node| async move {
        match tokio::time::timeout(PATIENCE, summary(shared, &node)).await {
            Ok(Ok(summary)) => Some(summary),
            Ok(Err(error)) => {
                tracing::debug!(node = node.metadata.name, error, "what the node uses is not known");
                None
            }
            Err(_) => None,
        }
    });
    let nodes = futures::stream::iter(asked).buffer_unordered(AT_A_TIME).filter_map(std::future::ready).collect().await;
    Sample { at, nodes }
}

async fn summary(shared: &Shared, node: &Node) -> Result<Summary, String> {
    let request = Request::get("/stats/summary").body(Body::empty()).map_err(|e| e.to_string())?;
    let response = shared.config.node_dialer.call(node, request).await.map_err(|e| e.to_string())?;
    if !response.status().is_success() {
        return Err(response.status().to_string());
    }
    let body = axum::body::to_bytes(response.into_body(), MAX_SUMMARY).await.map_err(|e| e.to_string())?;
    serde_json::from_slice(&body).map_err(|e| e.to_string())
}
