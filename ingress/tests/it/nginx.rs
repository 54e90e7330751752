//! What ingress-nginx' annotations do: canaries, rewrites, who may come, CORS, limits and timeouts; and WebSockets.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use http::{Request, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};

use crate::bed::{Bed, body, get, rule, send};

#[tokio::test]
async fn two_versions_share_traffic() {
    let bed = Bed::new().await;
    let (old, new) = (bed.pod(2).await, bed.pod(3).await);
    bed.service("old", &[old.ip]);
    bed.service("new", &[new.ip]);
    let canary = |more: &[(&str, &str)]| {
        let all: Vec<(&str, &str)> = [("canary", "true")].iter().chain(more).copied().collect();
        format!("{}---\n{}", rule("a.test", "old", &[]), rule("a.test", "new", &all).replacen("a-test", "a-canary", 1))
    };
    let asked = async |name: &'static str, value: &str| {
        let mut request = get("a.test", "/");
        if !name.is_empty() {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        send(bed.http, request).await.2
    };
    bed.routes(&canary(&[("canary-weight", "50")]));
    let mut of_new = 0;
    for _ in 0..200 {
        of_new += usize::from(asked("", "").await == "pod3");
    }
    assert!((50..150).contains(&of_new), "{of_new} of 200");
    bed.routes(&canary(&[("canary-by-header", "x-canary"), ("canary-by-cookie", "canary")]));
    assert_eq!((asked("", "").await.as_str(), asked("x-canary", "always").await.as_str()), ("pod2", "pod3"));
    assert_eq!(asked("cookie", "canary=always").await, "pod3");
    bed.routes(&canary(&[("canary-weight", "100")]));
    assert_eq!(asked("", "").await, "pod3");
}

#[tokio::test]
async fn paths_are_rewritten_by_groups() {
    let bed = Bed::new().await;
    let pod = bed.pod(2).await;
    bed.service("web", &[pod.ip]);
    bed.routes(&rule("a.test", "web", &[("rewrite-target", "/$1")]).replace("path: /,", "path: '/app/(.*)',"));
    let (_, _, told) = send(bed.http, get("a.test", "/app/headers?x=1")).await;
    assert!(told.starts_with("GET /headers?x=1\n"), "{told}");
    assert_eq!(send(bed.http, get("a.test", "/other")).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn who_may_come() {
    let bed = Bed::new().await;
    let pod = bed.pod(2).await;
    bed.service("web", &[pod.ip]);
    bed.routes(&format!(
        "{}---\n{}",
        rule("here.test", "web", &[("whitelist-source-range", "127.0.0.0/8")]),
        rule("there.test", "web", &[("whitelist-source-range", "192.0.2.0/24")])
    ));
    assert_eq!(send(bed.http, get("here.test", "/")).await.0, StatusCode::OK);
    assert_eq!(send(bed.http, get("there.test", "/")).await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn browsers_of_other_origins() {
    let bed = Bed::new().await;
    let pod = bed.pod(2).await;
    bed.service("web", &[pod.ip]);
    bed.routes(&rule("a.test", "web", &[("enable-cors", "true"), ("cors-allow-origin", "https://app.test"), ("cors-max-age", "60")]));
    let ask = async |method: &str, origin: &str| {
        let request = Request::builder().method(method).uri("/").header("host", "a.test").header("origin", origin);
        send(bed.http, request.header("access-control-request-method", "PUT").body(body("")).unwrap()).await
    };
    let (status, headers, _) = ask("OPTIONS", "https://app.test").await;
    assert_eq!((status, &headers["access-control-allow-origin"]), (StatusCode::NO_CONTENT, &"https://app.test".parse().unwrap()));
    assert_eq!(headers["access-control-max-age"], "60");
    let (status, headers, told) = ask("GET", "https://app.test").await;
    assert_eq!((status, told.as_str(), headers.contains_key("access-control-allow-origin")), (StatusCode::OK, "pod2", true));
    let (status, headers, _) = ask("GET", "https://evil.test").await;
    assert_eq!((status, headers.contains_key("access-control-allow-origin")), (StatusCode::OK, false));
}

#[tokio::test]
async fn heads_and_bodies_have_limits() {
    let bed = Bed::new().await;
    let pod = bed.pod(2).await;
    bed.service("web", &[pod.ip]);
    bed.routes(&rule("a.test", "web", &[("proxy-body-size", "1k")]));
    let post = |bytes: usize| Request::post("/count").header("host", "a.test").body(body(vec![b'x'; bytes])).unwrap();
    assert_eq!(send(bed.http, post(1024)).await.2, "1024");
    assert_eq!(send(bed.http, post(1025)).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    let mut stream = TcpStream::connect(bed.http).await.unwrap();
    let request = format!("GET / HTTP/1.1\r\nhost: a.test\r\nx-long: {}\r\n\r\n", "x".repeat(70 << 10));
    // The answer may come, and the connection close, before all of it is written.
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 431");
}

#[tokio::test]
async fn an_endpoint_that_takes_nothing_is_given_up() {
    let bed = Bed::new().await;
    let pod = bed
        .pod_of(2, |listener: TcpListener| async move {
            // Accepts, and reads nothing.
            let mut kept = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                kept.push(stream);
            }
        })
        .await;
    bed.service("web", &[pod.ip]);
    bed.routes(&rule("a.test", "web", &[("proxy-send-timeout", "1"), ("proxy-read-timeout", "60"), ("proxy-body-size", "0")]));
    let request = Request::post("/").header("host", "a.test").body(body(vec![b'x'; 32 << 20])).unwrap();
    let answered = tokio::time::timeout(Duration::from_secs(30), send(bed.http, request)).await.expect("it is given up long before the read timeout");
    assert_eq!(answered.0, StatusCode::GATEWAY_TIMEOUT);
}

#[tokio::test]
async fn web_sockets_reach_pods_and_end_in_order() {
    let bed = Bed::new().await;
    let pod = bed
        .pod_of(2, |listener: TcpListener| async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
                while let Some(Ok(message)) = socket.next().await {
                    match message {
                        Message::Text(text) if text.as_str() == "bye" => {
                            let frame = CloseFrame { code: CloseCode::Away, reason: "as told".into() };
                            let _ = socket.close(Some(frame)).await;
                        }
                        message @ (Message::Text(_) | Message::Binary(_)) => socket.send(message).await.unwrap(),
                        _ => {}
                    }
                }
            }
        })
        .await;
    bed.service("web", &[pod.ip]);
    bed.routes(&rule("ws.test", "web", &[]));
    let stream = TcpStream::connect(bed.http).await.unwrap();
    let (mut socket, response) = tokio_tungstenite::client_async("ws://ws.test/chat".into_client_request().unwrap(), stream).await.unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    for message in [Message::text("hello"), Message::binary(vec![7; 100_000])] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), message);
    }
    socket.send(Message::text("bye")).await.unwrap();
    let Some(Ok(Message::Close(Some(frame)))) = socket.next().await else { panic!("it closes") };
    assert_eq!((frame.code, frame.reason.as_str()), (CloseCode::Away, "as told"));
    assert!(socket.next().await.is_none(), "and the connection ends");
}
