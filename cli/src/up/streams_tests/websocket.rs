//! WebSocket clients: exec and attach.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use http::{HeaderValue, Request};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::fake::pattern;
use super::{World, both_ways};

type Socket = WebSocketStream<TlsStream<TcpStream>>;

const V5: &str = "v5.channel.k8s.io";
const V4: &str = "v4.channel.k8s.io";

/// What a client asks to open a WebSocket to a subresource of a Pod.
fn ask(what: &str, protocol: &str) -> Request<()> {
    ask_at(&format!("/api/v1/namespaces/default/pods/{what}"), protocol)
}

fn ask_at(path: &str, protocol: &str) -> Request<()> {
    let uri = format!("wss://127.0.0.1{path}");
    let mut request = uri.into_client_request().unwrap();
    if !protocol.is_empty() {
        request.headers_mut().insert(http::header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_str(protocol).unwrap());
    }
    request
}

pub(super) async fn open(world: &World, what: &str, protocol: &str) -> Socket {
    tokio_tungstenite::client_async(ask(what, protocol), world.dial().await).await.unwrap().0
}

/// Status and words of a refusal.
pub(super) async fn refused(world: &World, what: &str, protocol: &str) -> (u16, String) {
    answer(world.dial().await, ask(what, protocol)).await
}

async fn answer(connection: TlsStream<TcpStream>, request: Request<()>) -> (u16, String) {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(connection)).await.unwrap();
    tokio::spawn(connection);
    let answer = sender.send_request(request.map(|()| wharf_server::Body::empty())).await.unwrap();
    let code = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (code, String::from_utf8_lossy(&body).into_owned())
}

/// What a client sees to the end: stdout, stderr and the error stream.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    error: String,
}

async fn to_the_end(socket: &mut Socket) -> Seen {
    let mut seen = Seen::default();
    while let Some(Ok(message)) = socket.next().await {
        let Message::Binary(bytes) = message else { continue };
        match bytes[0] {
            1 => seen.stdout.extend_from_slice(&bytes[1..]),
            2 => seen.stderr.extend_from_slice(&bytes[1..]),
            3 => seen.error.push_str(std::str::from_utf8(&bytes[1..]).unwrap()),
            other => panic!("channel {other}"),
        }
    }
    seen
}

const SUCCESS: &str = r#"{"metadata":{},"status":"Success"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn input_has_an_end_and_the_exit_code_arrives() {
    both_ways(async |world| {
        let mut socket = open(world, "p/exec?container=main&stdin=true&stdout=true&command=cat", V5).await;
        socket.send(Message::Binary(b"\x00hi".to_vec().into())).await.unwrap();
        socket.send(Message::Binary(vec![255, 0].into())).await.unwrap();
        let seen = to_the_end(&mut socket).await;
        assert_eq!((seen.stdout.as_slice(), seen.error.as_str()), (b"hi".as_slice(), SUCCESS));

        let mut socket = open(world, "p/exec?container=main&stdout=true&command=exit&command=3", V4).await;
        let status: serde_json::Value = serde_json::from_str(&to_the_end(&mut socket).await.error).unwrap();
        assert_eq!(status["reason"], "NonZeroExitCode");
        assert_eq!(status["details"]["causes"][0]["message"], "3");

        // Before v4, words.
        let mut socket = open(world, "p/exec?container=main&stdout=true&command=exit&command=3", "channel.k8s.io").await;
        assert!(to_the_end(&mut socket).await.error.ends_with("exit code 3"));
        let mut socket = open(world, "p/exec?container=main&stdout=true&stderr=true&command=both", "").await;
        let seen = to_the_end(&mut socket).await;
        assert_eq!((seen.stdout.as_slice(), seen.stderr.as_slice(), seen.error.as_str()), (b"to stdout".as_slice(), b"to stderr".as_slice(), ""));
        world.running(0).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_has_sizes() {
    both_ways(async |world| {
        let mut socket = open(world, "p/exec?container=main&stdin=true&stdout=true&stderr=true&tty=true&command=size", V5).await;
        socket.send(Message::Binary(b"\x04{\"Width\":120,\"Height\":40}".to_vec().into())).await.unwrap();
        assert_eq!(to_the_end(&mut socket).await.stdout, b"120x40 tty=true");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_ends_what_runs() {
    both_ways(async |world| {
        let socket = open(world, "p/exec?container=main&stdin=true&stdout=true&command=sleep", V5).await;
        world.running(1).await;
        drop(socket);
        world.running(0).await;

        let mut socket = open(world, "p/attach?container=main&stdin=true&stdout=true", V5).await;
        world.running(1).await;
        socket.close(None).await.unwrap();
        world.running(0).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_transfers_lose_nothing() {
    const LENGTH: usize = 5_000_000;
    both_ways(async |world| {
        let mut socket = open(world, &format!("p/exec?container=main&stdout=true&command=flood&command={LENGTH}"), V5).await;
        let seen = to_the_end(&mut socket).await;
        assert_eq!(seen.error, SUCCESS);
        assert_eq!(seen.stdout.len(), LENGTH);
        assert!(seen.stdout.iter().enumerate().all(|(at, byte)| *byte == pattern(at)));

        let mut socket = open(world, "p/exec?container=main&stdin=true&stdout=true&command=count", V5).await;
        let bytes: Vec<u8> = (0..LENGTH).map(pattern).collect();
        for chunk in bytes.chunks(32 << 10) {
            socket.send(Message::Binary([&[0], chunk].concat().into())).await.unwrap();
        }
        socket.send(Message::Binary(vec![255, 0].into())).await.unwrap();
        let seen = to_the_end(&mut socket).await;
        assert_eq!((seen.stdout, seen.error.as_str()), (LENGTH.to_string().into_bytes(), SUCCESS));

        // A process that reads nothing, and ends: its client learns it, though it is still sending.
        let mut socket = open(world, "p/exec?container=main&stdin=true&stdout=true&command=exit&command=0", V5).await;
        for chunk in bytes.chunks(32 << 10) {
            if socket.feed(Message::Binary([&[0], chunk].concat().into())).await.is_err() {
                break;
            }
        }
        assert_eq!(to_the_end(&mut socket).await.error, SUCCESS);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals() {
    both_ways(async |world| {
        let (code, body) = refused(world, "p/exec?stdout=true&command=ls", V5).await;
        assert_eq!(code, 400);
        assert!(body.contains("a container name must be specified for pod p, choose one of: [main other]"), "{body}");
        let (code, body) = refused(world, "p/exec?container=none&stdout=true&command=ls", V5).await;
        assert_eq!(code, 400);
        assert!(body.contains("container none is not valid for pod p"), "{body}");
        let (code, body) = refused(world, "nobody/exec?container=main&stdout=true&command=ls", V5).await;
        assert_eq!(code, 404);
        assert!(body.contains(r#"pods \"nobody\" not found"#), "{body}");
        let (code, body) = refused(world, "unbound/exec?container=main&stdout=true&command=ls", V5).await;
        assert_eq!(code, 400);
        assert!(body.contains("pod unbound does not have a host assigned"), "{body}");
        let (code, body) = refused(world, "p/exec?container=main&command=ls", V5).await;
        assert_eq!((code, body.as_str()), (400, "you must specify at least 1 of stdin, stdout, stderr"));
        let (code, _) = refused(world, "p/exec?container=main&stdout=true&command=ls", "v9.channel.k8s.io").await;
        assert_eq!(code, 403);

        // The node knows better than the object.
        let mut socket = open(world, "p/exec?container=other&stdout=true&command=ls", V5).await;
        let status: serde_json::Value = serde_json::from_str(&to_the_end(&mut socket).await.error).unwrap();
        assert_eq!(status["message"], r#"Internal error occurred: unable to upgrade connection: container not found ("other")"#);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_only_get_may_run_nothing() {
    both_ways(async |world| {
        let jane = world.pki.client("jane", &[]).unwrap();
        for (path, resource) in [
            ("/api/v1/namespaces/default/pods/p/exec?container=main&stdout=true&command=cat", "pods/exec"),
            ("/api/v1/namespaces/default/pods/p/portforward?ports=7", "pods/portforward"),
            ("/api/v1/nodes/n/proxy/exec/default/p/main?output=1&command=cat", "nodes/proxy"),
        ] {
            let (mut code, mut body) = answer(world.dial_as(&jane).await, ask_at(path, V4)).await;
            // The authorizer hears of the role a little after the role is there.
            while body.contains("cannot get") {
                tokio::time::sleep(Duration::from_millis(5)).await;
                (code, body) = answer(world.dial_as(&jane).await, ask_at(path, V4)).await;
            }
            assert_eq!(code, 403, "{body}");
            assert!(body.contains(&format!("User \\\"jane\\\" cannot create resource \\\"{resource}\\\"")), "{body}");
        }
        // Who may reaches the kubelet through the node as well.
        let path = "/api/v1/nodes/n/proxy/exec/default/p/main?output=1&command=exit&command=0";
        let mut socket = tokio_tungstenite::client_async(ask_at(path, V4), world.dial().await).await.unwrap().0;
        assert_eq!(to_the_end(&mut socket).await.error, SUCCESS);
        let plain = Request::get("/api/v1/namespaces/default/pods/p/exec?container=main&stdout=true&command=cat").body(()).unwrap();
        let (code, body) = answer(world.dial().await, plain).await;
        assert!(code == 400 && body.contains("Upgrade request required"), "{body}");
    })
    .await;
}
