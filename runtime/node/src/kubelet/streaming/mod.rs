//! `/exec`, `/attach` and `/portForward`: how a client's streams travel to a Pod and back.
//!
//! What is asked is the same for all protocols ([`Streams`]); each protocol is a file that turns what is on the wire into streams:
//! `websocket` (`v5.channel.k8s.io` and its ancestors).
//!
//! Architecture Invariant: nothing here holds more of a client's data than a buffer of fixed size for each stream; who reads slowly is
//! waited for.

mod activity;
mod outcome;
mod session;
mod websocket;

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, Path, Query, Request, State, WebSocketUpgrade};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use tokio::sync::Semaphore;

use crate::streams::{Streams, Target};
use session::{Job, Wanted};

/// Clients that may hold streams of a node at the same time.
const MAX_SESSIONS: usize = 1024;
/// What a stream holds between the wire and the process.
const BUFFER: usize = 64 << 10;

#[derive(Clone)]
struct Streaming {
    streams: Arc<dyn Streams>,
    sessions: Arc<Semaphore>,
}

/// The routes, over whatever can do it.
pub fn router(streams: Arc<dyn Streams>) -> Router {
    Router::new()
        .route("/exec/{namespace}/{pod}/{container}", get(exec).post(exec))
        .route("/attach/{namespace}/{pod}/{container}", get(attach).post(attach))
        .with_state(Streaming { streams, sessions: Arc::new(Semaphore::new(MAX_SESSIONS)) })
}

type Container = Path<(String, String, String)>;

async fn exec(State(streaming): State<Streaming>, Path(path): Container, Query(query): Query<Vec<(String, String)>>, request: Request) -> Response {
    let command: Vec<String> = query.iter().filter(|(key, _)| key == "command").map(|(_, value)| value.clone()).collect();
    if command.is_empty() {
        return refuse(StatusCode::BAD_REQUEST, "you must specify at least 1 command for the container");
    }
    remote_command(streaming, path, &query, Job::Exec(command), request).await
}

async fn attach(State(streaming): State<Streaming>, Path(path): Container, Query(query): Query<Vec<(String, String)>>, request: Request) -> Response {
    remote_command(streaming, path, &query, Job::Attach, request).await
}

/// Exec and attach, over whichever protocol the client upgrades to.
async fn remote_command(streaming: Streaming, path: (String, String, String), query: &[(String, String)], job: Job, request: Request) -> Response {
    let Some(wanted) = Wanted::from_query(query) else {
        return refuse(StatusCode::BAD_REQUEST, "you must specify at least 1 of stdin, stdout, stderr");
    };
    let (namespace, pod, container) = path;
    let target = Target { namespace, pod, container };
    let Ok(turn) = streaming.sessions.try_acquire_owned() else {
        return refuse(StatusCode::TOO_MANY_REQUESTS, "too many streams are open on this node");
    };
    let (mut parts, _) = request.into_parts();
    match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => websocket::remote_command(upgrade, streaming.streams, target, job, wanted, turn),
        Err(rejection) => rejection.into_response(),
    }
}

fn refuse(status: StatusCode, words: &str) -> Response {
    (status, words.to_owned()).into_response()
}
