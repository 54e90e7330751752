//! The kubelet API: what the API server asks a node for.

mod logs;
mod serve;
mod stats;
pub mod streaming;

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use k8s_openapi::List;
use k8s_openapi::api::core::v1::Pod;

pub use serve::{KubeletTls, serve_kubelet};

use crate::pod::context::Shared;
use crate::pods::Pods;
use crate::streams::Streams;

/// What the handlers see.
#[derive(Clone)]
struct Kubelet {
    shared: Arc<Shared>,
    pods: Arc<Pods>,
}

/// The API of a node.
pub(crate) fn router(shared: Arc<Shared>, pods: Arc<Pods>, streams: Arc<dyn Streams>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/pods", get(list))
        .route("/containerLogs/{namespace}/{pod}/{container}", get(logs::container))
        .route("/stats/summary", get(stats::summary))
        .route("/metrics/resource", get(stats::resource))
        .route("/metrics", get(stats::metrics))
        .with_state(Kubelet { shared, pods })
        .merge(streaming::router(streams))
}

async fn list(State(kubelet): State<Kubelet>) -> Json<List<Pod>> {
    let pods = kubelet.pods.contexts().into_iter().filter_map(|c| c.view.load().pod.as_ref().map(|kept| Arc::unwrap_or_clone(kept.look())));
    Json(List { items: pods.collect(), ..Default::default() })
}
