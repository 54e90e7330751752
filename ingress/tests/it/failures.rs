//! Requests that do not reach a Pod: each its status.

use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use hyper::body::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use wharf_net::{ListenerKind, Proto, Scope};

use crate::bed::{Bed, body, channel_body, client, get, rule, send, send_on};

#[tokio::test]
async fn nobody_wants_it() {
    let bed = Bed::new().await;
    bed.routes(&rule("a.test", "web", &[]));
    let (status, headers, text) = send(bed.http, get("nobody.example", "/")).await;
    assert_eq!((status, &headers["content-type"]), (StatusCode::NOT_FOUND, &"text/html".parse().unwrap()));
    assert!(text.contains("<center><h1>404 Not Found</h1></center>"));
}

#[tokio::test]
async fn before_the_first_list_nothing_is_not_found() {
    let bed = Bed::new().await;
    let asked = std::time::Instant::now();
    assert_eq!(send(bed.http, get("a.test", "/")).await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert!(asked.elapsed() >= Duration::from_secs(4), "it was waited for");
    // One that waits is served as soon as the routes are there.
    let _pod = bed.pod(9).await;
    bed.service("web", &[Ipv4Addr::new(10, 244, 0, 9)]);
    let waits = tokio::spawn(send(bed.http, get("a.test", "/")));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!waits.is_finished());
    bed.routes(&rule("a.test", "web", &[]));
    assert_eq!(waits.await.unwrap().0, StatusCode::OK);
}

#[tokio::test]
async fn no_service_no_endpoint_nobody_listening() {
    let bed = Bed::new().await;
    bed.routes(&rule("a.test", "web", &[]));
    assert_eq!(send(bed.http, get("a.test", "/")).await.0, StatusCode::SERVICE_UNAVAILABLE);
    bed.service("web", &[]);
    assert_eq!(send(bed.http, get("a.test", "/")).await.0, StatusCode::SERVICE_UNAVAILABLE);
    bed.service("web", &[Ipv4Addr::new(10, 244, 0, 9)]);
    assert_eq!(send(bed.http, get("a.test", "/")).await.0, StatusCode::BAD_GATEWAY);
    // Bound in the table, but the kernel refuses.
    let gone = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap();
    let _guard = bed.net.listeners.register(Proto::Tcp, "10.244.0.9:80".parse().unwrap(), Scope::Wildcard, gone, ListenerKind::Socket, "x").unwrap();
    assert_eq!(send(bed.http, get("a.test", "/")).await.0, StatusCode::BAD_GATEWAY);
    // It comes, and everything is well.
    drop(_guard);
    let _pod = bed.pod(9).await;
    assert_eq!(send(bed.http, get("a.test", "/")).await, (StatusCode::OK, send(bed.http, get("a.test", "/")).await.1, "pod9".to_owned()));
}

#[tokio::test]
async fn another_endpoint_is_tried() {
    let bed = Bed::new().await;
    let pod = bed.pod(5).await;
    let gone = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap();
    let _guard = bed.net.listeners.register(Proto::Tcp, "10.244.0.9:80".parse().unwrap(), Scope::Wildcard, gone, ListenerKind::Socket, "x").unwrap();
    bed.service("web", &[pod.ip, Ipv4Addr::new(10, 244, 0, 9), Ipv4Addr::new(10, 244, 0, 10)]);
    bed.routes(&rule("a.test", "web", &[]));
    for _ in 0..12 {
        assert_eq!(send(bed.http, get("a.test", "/")).await.2, "pod5");
        let post = Request::post("/echo").header("host", "a.test").body(body("all of it")).unwrap();
        assert_eq!(send(bed.http, post).await.2, "all of it", "nothing was sent to those that refused");
    }
}

#[tokio::test]
async fn too_slow() {
    let bed = Bed::new().await;
    let pod = bed.pod(5).await;
    bed.service("web", &[pod.ip]);
    bed.routes(&rule("a.test", "web", &[("proxy-read-timeout", "1")]));
    assert_eq!(send(bed.http, get("a.test", "/slow")).await.0, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(send(bed.http, get("a.test", "/late")).await.0, StatusCode::OK);
    let (status, _, text) = send(bed.http, get("a.test", "/stall")).await;
    assert!(status == StatusCode::OK && text.starts_with("broken"), "a body that stalls is broken off: {text}");
}

#[tokio::test]
async fn a_pod_that_hangs_up() {
    let bed = Bed::new().await;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let kernel = listener.local_addr().unwrap();
    let _guard = bed.net.listeners.register(Proto::Tcp, "10.244.0.9:80".parse().unwrap(), Scope::Wildcard, kernel, ListenerKind::Socket, "x").unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                // One answer, then an end without a word; `/die` is not answered.
                let mut buffer = [0; 4096];
                let length = stream.read(&mut buffer).await.unwrap_or(0);
                if !buffer[..length].starts_with(b"GET /die") {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
                }
            });
        }
    });
    bed.service("web", &[Ipv4Addr::new(10, 244, 0, 9)]);
    bed.routes(&rule("a.test", "web", &[]));
    let mut client = client(bed.http).await;
    for _ in 0..30 {
        assert_eq!(send_on(&mut client, get("a.test", "/")).await.2, "ok", "a kept connection that was closed is replaced");
    }
    assert_eq!(send_on(&mut client, get("a.test", "/die")).await.0, StatusCode::BAD_GATEWAY);
    assert_eq!(send_on(&mut client, get("a.test", "/")).await.2, "ok");
}

#[tokio::test]
async fn bodies_have_a_limit() {
    let bed = Bed::new().await;
    let pod = bed.pod(5).await;
    bed.service("web", &[pod.ip]);
    bed.routes(&rule("a.test", "web", &[("proxy-body-size", "1k")]));
    let post = |body| Request::post("/echo").header("host", "a.test").body(body).unwrap();
    assert_eq!(send(bed.http, post(body(vec![b'x'; 1024]))).await.2.len(), 1024);
    assert_eq!(send(bed.http, post(body(vec![b'x'; 1025]))).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    let (to, from) = mpsc::channel(8);
    for _ in 0..5 {
        to.send(Ok(Frame::data(Bytes::from(vec![b'x'; 300])))).await.unwrap();
    }
    drop(to);
    let (status, _, text) = send(bed.http, post(channel_body(from))).await;
    assert!(status == StatusCode::PAYLOAD_TOO_LARGE || text.starts_with("broken"), "{status} {}", text.len());
}

#[tokio::test]
async fn bad_requests() {
    let bed = Bed::new().await;
    bed.service("web", &[]);
    bed.routes(&rule("", "web", &[]));
    for (request, expected) in [
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "HTTP/1.1 400"),
        ("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n".to_owned(), "HTTP/1.1 400"),
        ("GET / HTTP/1.1\r\nhost: a/b\r\n\r\n".to_owned(), "HTTP/1.1 400"),
        ("GET / HTTP/1.0\r\n\r\n".to_owned(), "HTTP/1.0 503"),
        ("GET http://a.test/x HTTP/1.1\r\nhost: other\r\n\r\n".to_owned(), "HTTP/1.1 503"),
        ("CONNECT a.test:443 HTTP/1.1\r\nhost: a.test:443\r\n\r\n".to_owned(), "HTTP/1.1 4"),
        (format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(100_000)), "HTTP/1.1 431"),
        (format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(500)), "HTTP/1.1 431"),
        ("nonsense\r\n\r\n".to_owned(), "HTTP/1.1 400"),
    ] {
        let mut stream = TcpStream::connect(bed.http).await.unwrap();
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = vec![0; 32];
        let length = tokio::time::timeout(Duration::from_secs(30), stream.read(&mut answer)).await.expect("an answer").unwrap_or(0);
        let answer = String::from_utf8_lossy(&answer[..length]);
        assert!(answer.starts_with(expected), "{:?}: {answer:?}", &request[..request.len().min(60)]);
    }
}
