//! `/containerLogs/{namespace}/{pod}/{container}`: the words of its refusals are those that `kubectl logs` shows.

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use serde::Deserialize;

use super::Kubelet;
use crate::logs::{LogOptions, read, run_path};
use crate::pod::record::{self, PodRecord, State as ContainerState};

/// The query, as `PodLogOptions` has it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct LogQuery {
    follow: Option<String>,
    previous: Option<String>,
    timestamps: Option<String>,
    since_seconds: Option<i64>,
    since_time: Option<String>,
    tail_lines: Option<u64>,
    limit_bytes: Option<u64>,
    stream: Option<String>,
}

pub(super) async fn container(
    State(kubelet): State<Kubelet>,
    Path((namespace, name, container)): Path<(String, String, String)>,
    Query(query): Query<LogQuery>,
) -> Response {
    let Some(context) = kubelet.pods.find(&namespace, &name) else {
        return refuse(StatusCode::NOT_FOUND, format!("pod \"{name}\" not found\n"));
    };
    let view = context.view.load_full();
    let pod = view.pod.as_ref().map(|kept| kept.look());
    let known = pod.as_deref().is_some_and(|p| record::container(p, &container).is_some());
    if !known {
        return refuse(StatusCode::NOT_FOUND, format!("container \"{container}\" not found in pod \"{name}\"\n"));
    }
    let options = match options(&query) {
        Ok(options) => options,
        Err(words) => return refuse(StatusCode::BAD_REQUEST, words),
    };
    let run = match run(&view.record, pod.as_deref(), &name, &container, is_set(query.previous.as_deref())) {
        Ok(run) => run,
        Err(words) => return refuse(StatusCode::BAD_REQUEST, words),
    };
    let path = run_path(&context.log_dir(), &container, run);
    let live = kubelet.shared.logs.current(&path);
    ([(header::CONTENT_TYPE, "text/plain")], Body::from_stream(read(path, live, options))).into_response()
}

/// Which run's log is meant.
fn run(record: &PodRecord, object: Option<&Pod>, pod: &str, container: &str, previous: bool) -> Result<i32, String> {
    let found = record.containers.get(container);
    let waiting = || format!("container \"{container}\" in pod \"{pod}\" is waiting to start: {}", waits_for(object, container));
    let found = found.filter(|r| r.state != ContainerState::Waiting).ok_or_else(waiting)?;
    match previous {
        false => Ok(found.run),
        true if found.run > 0 => Ok(found.run - 1),
        true => Err(format!("previous terminated container \"{container}\" in pod \"{pod}\" not found")),
    }
}

/// What a container waits for, in the kubelet's words.
fn waits_for<'p>(pod: Option<&'p Pod>, container: &str) -> &'p str {
    let status = pod.and_then(|p| p.status.as_ref());
    let all =
        status.into_iter().flat_map(|s| [&s.init_container_statuses, &s.container_statuses, &s.ephemeral_container_statuses].into_iter().flatten().flatten());
    let waiting = all.filter(|c| c.name == container).find_map(|c| c.state.as_ref()?.waiting.as_ref()?.reason.as_deref());
    match waiting {
        Some("ErrImagePull") => "image can't be pulled",
        Some("ImagePullBackOff") => "trying and failing to pull image",
        Some(reason) => reason,
        None => "ContainerCreating",
    }
}

fn options(query: &LogQuery) -> Result<LogOptions, String> {
    let mut since = query.since_seconds.and_then(|s| Timestamp::now().checked_sub(SignedDuration::from_secs(s)).ok());
    if let Some(text) = query.since_time.as_deref().filter(|t| !t.is_empty()) {
        since = Some(text.parse().map_err(|e| format!("invalid sinceTime: {e}"))?);
    }
    let stream = match query.stream.as_deref() {
        None | Some("" | "All") => None,
        Some("Stdout") => Some("stdout".to_owned()),
        Some("Stderr") => Some("stderr".to_owned()),
        Some(other) => return Err(format!("invalid stream {other:?}")),
    };
    Ok(LogOptions {
        follow: is_set(query.follow.as_deref()),
        tail: query.tail_lines,
        since,
        timestamps: is_set(query.timestamps.as_deref()),
        limit: query.limit_bytes,
        stream,
    })
}

fn is_set(value: Option<&str>) -> bool {
    value.is_some_and(|v| !matches!(v, "" | "0" | "false" | "False" | "f" | "F" | "FALSE"))
}

fn refuse(status: StatusCode, words: String) -> Response {
    (status, words).into_response()
}
