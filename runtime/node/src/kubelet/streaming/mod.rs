//! `/exec`, `/attach` and `/portForward`: how a client's streams travel to a Pod and back.
//!
//! What is asked is the same for all protocols ([`Streams`]); each protocol is a file that turns what is on the wire into streams:
//!
//! | | over a WebSocket | over SPDY/3.1 (`spdy`) |
//! |---|---|---|
//! | exec, attach (`session`, `outcome`) | `websocket_command` | `spdy_command` |
//! | port-forward (`forward`) | `spdy_forward`, within; `websocket_forward`, as it was | `spdy_forward` |
//!
//! Architecture Invariant: nothing here holds more of a client's data than a buffer of fixed size for each stream; who reads slowly is
//! waited for.

mod activity;
mod channels;
mod forward;
mod outcome;
mod session;
mod spdy;
mod spdy_command;
mod spdy_forward;
mod upgrade;
mod websocket_command;
mod websocket_forward;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequestParts, Path, Query, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::UPGRADE;
use http::request::Parts;
use hyper_util::rt::TokioIo;
use tokio::sync::Semaphore;

use crate::streams::{StreamError, Streams, Target};
use channels::Codec;
use forward::Pod;
use session::{Job, Wanted};

/// Connections of clients that a node has at the same time, and streams of SPDY within them.
const MAX_STREAMS: usize = 4096;
/// What a stream holds between the wire and the process.
const BUFFER: usize = 64 << 10;
/// The longest message of a WebSocket. Go's clients send 32 KiB, others what their user gave them at once.
const MAX_MESSAGE: usize = 16 << 20;
/// How long a client may take to leave after it was told that all is over.
const LINGER: Duration = Duration::from_secs(10);

#[derive(Clone)]
struct Streaming {
    streams: Arc<dyn Streams>,
    permits: Arc<Semaphore>,
}

/// The routes, over whatever can do it.
pub fn router(streams: Arc<dyn Streams>) -> Router {
    Router::new()
        .route("/exec/{namespace}/{pod}/{container}", get(exec).post(exec))
        .route("/attach/{namespace}/{pod}/{container}", get(attach).post(attach))
        .route("/portForward/{namespace}/{pod}", get(port_forward).post(port_forward))
        .with_state(Streaming { streams, permits: Arc::new(Semaphore::new(MAX_STREAMS)) })
}

type Container = Path<(String, String, String)>;
type Pairs = Query<Vec<(String, String)>>;

async fn exec(State(streaming): State<Streaming>, Path(path): Container, Query(query): Pairs, request: Request) -> Response {
    let command: Vec<String> = query.iter().filter(|(key, _)| key == "command").map(|(_, value)| value.clone()).collect();
    if command.is_empty() {
        return refuse(StatusCode::BAD_REQUEST, "you must specify at least 1 command for the container");
    }
    remote_command(streaming, path, &query, Job::Exec(command), request).await
}

async fn attach(State(streaming): State<Streaming>, Path(path): Container, Query(query): Pairs, request: Request) -> Response {
    remote_command(streaming, path, &query, Job::Attach, request).await
}

/// Exec and attach, over whichever protocol the client upgrades to.
async fn remote_command(streaming: Streaming, path: (String, String, String), query: &[(String, String)], job: Job, mut request: Request) -> Response {
    let Some(wanted) = Wanted::from_query(query) else {
        return refuse(StatusCode::BAD_REQUEST, "you must specify at least 1 of stdin, stdout, stderr");
    };
    let Ok(permit) = streaming.permits.clone().try_acquire_owned() else { return too_many() };
    let (namespace, pod, container) = path;
    let target = Target { namespace, pod, container };
    let Streaming { streams, permits } = streaming;
    if wants_websocket(&request) {
        let known = websocket_command::PROTOCOLS;
        let upgrade = match websocket(&mut request.into_parts().0, known.map(|p| p.name)).await {
            Ok(upgrade) => upgrade,
            Err(refusal) => return refusal,
        };
        let unnamed = known[known.len() - 1];
        let protocol = upgrade.selected_protocol().and_then(|name| known.into_iter().find(|p| p.name.as_bytes() == name.as_bytes())).unwrap_or(unnamed);
        return upgrade.on_upgrade(move |socket| async move {
            websocket_command::serve(socket, protocol, &*streams, target, job, wanted).await;
            drop(permit);
        });
    }
    // Within a WebSocket it is told on the error stream: clients take a refusal for a server that knows no WebSockets.
    if let Err(error) = streams.find(&target.namespace, &target.pod, Some(&target.container)) {
        return refuse(status(&error), &error.to_string());
    }
    let (answer, protocol) = match upgrade::to_spdy(request.headers(), &spdy_command::PROTOCOLS) {
        Ok(upgraded) => upgraded,
        Err(refusal) => return *refusal,
    };
    on_upgrade(&mut request, move |io| async move {
        let serve = |opened| spdy_command::serve(opened, protocol, &*streams, target, job, wanted);
        spdy::serve(io, permits, spdy_command::accept, serve).await;
        drop(permit);
    });
    answer
}

async fn port_forward(
    State(Streaming { streams, permits }): State<Streaming>,
    Path((namespace, name)): Path<(String, String)>,
    Query(query): Pairs,
    mut request: Request,
) -> Response {
    let Ok(permit) = permits.clone().try_acquire_owned() else { return too_many() };
    if let Err(error) = streams.find(&namespace, &name, None) {
        return refuse(status(&error), &error.to_string());
    }
    let pod = Pod { namespace, name };
    if wants_websocket(&request) {
        let [(binary, _), (base64, _)] = websocket_forward::PROTOCOLS;
        let upgrade = match websocket(&mut request.into_parts().0, [spdy_forward::TUNNELED, binary, base64]).await {
            Ok(upgrade) => upgrade,
            Err(refusal) => return refusal,
        };
        let name = upgrade.selected_protocol().map(|name| name.as_bytes().to_vec()).unwrap_or_default();
        if name == spdy_forward::TUNNELED.as_bytes() {
            return upgrade.on_upgrade(move |socket| async move {
                spdy_forward::serve_tunneled(socket, permits, &*streams, &pod).await;
                drop(permit);
            });
        }
        let ports = match websocket_forward::ports(&query) {
            Ok(ports) => ports,
            Err(words) => return refuse(StatusCode::BAD_REQUEST, &words),
        };
        let codec = websocket_forward::PROTOCOLS.into_iter().find(|p| p.0.as_bytes() == name).map_or(Codec::Binary, |p| p.1);
        return upgrade.on_upgrade(move |socket| async move {
            websocket_forward::serve(socket, codec, &*streams, &pod, &ports).await;
            drop(permit);
        });
    }
    let answer = match upgrade::to_spdy(request.headers(), &[spdy_forward::PROTOCOL]) {
        Ok((answer, _)) => answer,
        Err(refusal) => return *refusal,
    };
    on_upgrade(&mut request, move |io| async move {
        spdy_forward::serve(io, permits, &*streams, &pod).await;
        drop(permit);
    });
    answer
}

fn wants_websocket(request: &Request) -> bool {
    request.headers().get(UPGRADE).is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// The upgrade to a WebSocket, with one of these subprotocols. A client may name none; one that names only others is refused.
async fn websocket<const N: usize>(parts: &mut Parts, protocols: [&'static str; N]) -> Result<WebSocketUpgrade, Response> {
    let upgrade = WebSocketUpgrade::from_request_parts(parts, &()).await.map_err(IntoResponse::into_response)?;
    let upgrade = upgrade.max_message_size(MAX_MESSAGE).max_frame_size(MAX_MESSAGE).write_buffer_size(0).protocols(protocols);
    if upgrade.selected_protocol().is_none() && upgrade.requested_protocols().next().is_some() {
        return Err(refuse(StatusCode::FORBIDDEN, &format!("requested protocol(s) are not supported: supports [{}]", protocols.join(" "))));
    }
    Ok(upgrade)
}

/// Serves the connection once the answer has upgraded it.
fn on_upgrade<F>(request: &mut Request, serve: impl FnOnce(TokioIo<hyper::upgrade::Upgraded>) -> F + Send + 'static)
where
    F: Future<Output = ()> + Send,
{
    let upgraded = hyper::upgrade::on(request);
    tokio::spawn(async move {
        match upgraded.await {
            Ok(io) => serve(TokioIo::new(io)).await,
            Err(error) => tracing::debug!(%error, "a connection was not upgraded"),
        }
    });
}

fn status(error: &StreamError) -> StatusCode {
    match error {
        StreamError::NotFound(_) => StatusCode::NOT_FOUND,
        StreamError::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn too_many() -> Response {
    refuse(StatusCode::TOO_MANY_REQUESTS, "too many streams are open on this node")
}

fn refuse(status: StatusCode, words: &str) -> Response {
    (status, words.to_owned()).into_response()
}
