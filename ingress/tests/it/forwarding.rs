//! Requests that reach a Pod.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Frame;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use wharf_ingress::{NoLocalHandlers, Options};

use crate::bed::{Bed, body, channel_body, client, get, rule, send, send_on};

#[tokio::test]
async fn the_pod_is_told_who_asks_and_how() {
    let bed = Bed::new().await;
    let pod = bed.pod(5).await;
    bed.service("web", &[pod.ip]);
    bed.routes(&rule("a.test", "web", &[]));
    let request = Request::post("/headers?x=%20y")
        .header("host", "a.test:8080")
        .header("connection", "keep-alive, x-private")
        .header("x-private", "1")
        .header("keep-alive", "300")
        .header("te", "gzip")
        .header("proxy", "evil")
        .header("x-forwarded-for", "1.2.3.4")
        .header("x-forwarded-proto", "https")
        .header("x-real-ip", "1.2.3.4")
        .header("x-request-id", "mine")
        .header("accept", "*/*")
        .body(body("hello"))
        .unwrap();
    let (status, headers, text) = send(bed.http, request).await;
    assert_eq!(status, StatusCode::OK);
    let port = bed.http.port();
    let expected = format!(
        "POST /headers?x=%20y\naccept: */*\ncontent-length: 5\nhost: a.test:8080\nx-forwarded-for: 127.0.0.1\nx-forwarded-host: a.test:8080\n\
         x-forwarded-port: {port}\nx-forwarded-proto: http\nx-forwarded-scheme: http\nx-original-forwarded-for: 1.2.3.4\nx-real-ip: 127.0.0.1\nx-request-id: mine\nx-scheme: http"
    );
    assert_eq!(text, expected);
    assert!(headers.contains_key("x-public") && !headers.contains_key("x-secret"), "{headers:?}");
    let (_, _, text) = send(bed.http, get("a.test", "/headers")).await;
    let id = text.lines().find_map(|line| line.strip_prefix("x-request-id: ")).unwrap();
    assert!(id.len() == 32 && !text.contains("connection"), "{text}");
}

#[tokio::test]
async fn both_ways_stream_at_once() {
    let bed = Bed::new().await;
    let pod = bed.pod(5).await;
    bed.service("web", &[pod.ip]);
    bed.routes(&rule("a.test", "web", &[]));
    let (to, from) = mpsc::channel(1);
    let request = Request::post("/echo").header("host", "a.test").body(channel_body(from)).unwrap();
    let mut client = client(bed.http).await;
    let sent = tokio::spawn(async move { client.send_request(request).await.unwrap() });
    to.send(Ok(Frame::data(Bytes::from_static(b"0")))).await.unwrap();
    let mut answer = sent.await.unwrap().into_body();
    for i in 0..20 {
        // Each part comes back before the next one is sent.
        let part = tokio::time::timeout(Duration::from_secs(30), answer.frame()).await.expect("a part").unwrap().unwrap().into_data().unwrap();
        assert_eq!(part, i.to_string());
        to.send(Ok(Frame::data(Bytes::from((i + 1).to_string())))).await.unwrap();
    }
    drop(to);
    assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), "20");
    assert!(answer.frame().await.is_none());
}

#[tokio::test]
async fn a_large_body_arrives_whole() {
    let bed = Bed::new().await;
    let pod = bed.pod(5).await;
    bed.service("web", &[pod.ip]);
    bed.routes(&rule("a.test", "web", &[("proxy-body-size", "0")]));
    let large: String = (0..400_000).map(|i| format!("{i:07}\n")).collect();
    let (status, _, text) = send(bed.http, Request::post("/echo").header("host", "a.test").body(body(large.clone())).unwrap()).await;
    assert!(status == StatusCode::OK && text == large);
}

#[tokio::test]
async fn endpoints_take_turns_and_connections_are_kept() {
    let bed = Bed::new().await;
    let (a, b) = (bed.pod(5).await, bed.pod(6).await);
    bed.service("web", &[a.ip, b.ip]);
    bed.routes(&rule("a.test", "web", &[]));
    let mut client = client(bed.http).await;
    let mut seen = std::collections::BTreeMap::new();
    for _ in 0..100 {
        *seen.entry(send_on(&mut client, get("a.test", "/")).await.2).or_insert(0) += 1;
    }
    assert_eq!(seen, [("pod5".to_owned(), 50), ("pod6".to_owned(), 50)].into());
}

#[tokio::test]
async fn a_changed_route_drops_no_request() {
    let bed = Arc::new(Bed::new().await);
    let (a, b) = (bed.pod(5).await, bed.pod(6).await);
    bed.service("a", &[a.ip]);
    bed.service("b", &[b.ip]);
    bed.routes(&rule("x.test", "a", &[]));
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (bed, stop, answered) = (bed.clone(), stop.clone(), answered.clone());
            tokio::spawn(async move {
                let mut client = client(bed.http).await;
                let mut seen = std::collections::BTreeSet::new();
                while !stop.load(Ordering::Relaxed) {
                    let (status, _, text) = send_on(&mut client, get("x.test", "/")).await;
                    assert_eq!(status, StatusCode::OK, "{text}");
                    answered.fetch_add(1, Ordering::Relaxed);
                    seen.insert(text);
                }
                seen
            })
        })
        .collect();
    for i in 0..200 {
        bed.routes(&rule("x.test", if i % 2 == 0 { "b" } else { "a" }, &[]));
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        assert_eq!(client.await.unwrap().len(), 2, "each client saw both");
    }
    assert!(answered.load(Ordering::Relaxed) > 200);
    // And the change is seen by the next request.
    bed.routes(&rule("x.test", "a", &[]));
    assert_eq!(send(bed.http, get("x.test", "/")).await.2, "pod5");
    bed.routes(&rule("x.test", "b", &[]));
    assert_eq!(send(bed.http, get("x.test", "/")).await.2, "pod6");
    bed.routes(&rule("y.test", "b", &[]));
    assert_eq!(send(bed.http, get("x.test", "/")).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn protocols_are_switched() {
    let bed = Bed::new().await;
    let pod = bed.pod(5).await;
    bed.service("web", &[pod.ip]);
    bed.routes(&rule("a.test", "web", &[]));
    let request = Request::get("/upgrade").header("host", "a.test").header("connection", "Upgrade").header("upgrade", "bytes").body(body("")).unwrap();
    let mut response = client(bed.http).await.send_request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(response.headers()["upgrade"], "bytes");
    let mut stream = TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap());
    for word in ["ping", "pong"] {
        stream.write_all(word.as_bytes()).await.unwrap();
        let mut back = [0; 4];
        tokio::time::timeout(Duration::from_secs(30), stream.read_exact(&mut back)).await.expect("an echo").unwrap();
        assert_eq!(back, word.as_bytes());
    }
}

#[tokio::test]
async fn rewritten_targets_and_hosts() {
    let bed = Bed::new().await;
    let pod = bed.pod(5).await;
    bed.service("web", &[pod.ip]);
    bed.routes(&rule("a.test", "web", &[("rewrite-target", "/headers"), ("upstream-vhost", "inner.test")]));
    let (_, _, text) = send(bed.http, get("a.test", "/some/where?q=1")).await;
    assert!(text.starts_with("GET /headers?q=1\n") && text.contains("\nhost: inner.test\n") && text.contains("x-forwarded-host: a.test"), "{text}");
}

#[tokio::test]
async fn the_end_lets_requests_finish() {
    let bed = Bed::new().await;
    let pod = bed.pod(5).await;
    bed.service("web", &[pod.ip]);
    bed.routes(&rule("a.test", "web", &[]));
    let mut idle = client(bed.http).await;
    assert_eq!(send_on(&mut idle, get("a.test", "/")).await.2, "pod5");
    let late = tokio::spawn(send(bed.http, get("a.test", "/late")));
    tokio::time::sleep(Duration::from_millis(100)).await;
    bed.token.cancel();
    assert_eq!(late.await.unwrap().2, "pod5");
    tokio::time::timeout(Duration::from_secs(20), bed.served).await.expect("idle connections do not hold it up").unwrap();
    assert!(tokio::net::TcpStream::connect(bed.http).await.is_err());
}

#[tokio::test]
async fn an_upload_may_take_longer_than_the_answer() {
    let bed = Bed::new().await;
    let pod = bed.pod(5).await;
    bed.service("web", &[pod.ip]);
    bed.routes(&rule("a.test", "web", &[("proxy-read-timeout", "1")]));
    let (to, from) = mpsc::channel(1);
    let request = Request::post("/count").header("host", "a.test").body(channel_body(from)).unwrap();
    let answer = tokio::spawn(send(bed.http, request));
    for _ in 0..8 {
        to.send(Ok(Frame::data(Bytes::from_static(b"0123456789")))).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    drop(to);
    let (status, _, text) = answer.await.unwrap();
    assert_eq!((status, &*text), (StatusCode::OK, "80"));
}

#[tokio::test]
async fn a_tunnel_is_a_connection_and_ends_when_nothing_moves() {
    let bed = Bed::with_options(Arc::new(NoLocalHandlers), Options { max_connections: 1, ..Options::default() }).await;
    let pod = bed.pod(5).await;
    bed.service("web", &[pod.ip]);
    bed.routes(&rule("a.test", "web", &[("proxy-read-timeout", "5")]));
    let request = Request::get("/upgrade").header("host", "a.test").header("connection", "Upgrade").header("upgrade", "bytes").body(body("")).unwrap();
    let mut response = client(bed.http).await.send_request(request).await.unwrap();
    let mut stream = TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap());
    stream.write_all(b"ping").await.unwrap();
    let mut back = [0; 4];
    stream.read_exact(&mut back).await.unwrap();
    let second = tokio::spawn(send(bed.http, get("a.test", "/")));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!second.is_finished(), "the one place is taken");
    // Nothing is said in it, so that it is closed, and the place is free.
    assert!(matches!(tokio::time::timeout(Duration::from_secs(60), stream.read(&mut back)).await.expect("an end"), Ok(0) | Err(_)));
    assert_eq!(tokio::time::timeout(Duration::from_secs(60), second).await.unwrap().unwrap().2, "pod5");
}

#[tokio::test]
async fn nothing_is_smuggled() {
    let bed = Bed::new().await;
    let pod = bed.pod(5).await;
    bed.service("web", &[pod.ip]);
    bed.routes(&rule("a.test", "web", &[]));
    let chunked = "5\r\nhello\r\n0\r\n\r\n";
    for (head, body, expected) in [
        ("content-length: 3\r\ntransfer-encoding: chunked", chunked, "transfer-encoding: chunked"),
        ("transfer-encoding: chunked\r\ncontent-length: 3", chunked, "transfer-encoding: chunked"),
        ("transfer-encoding: chunked\r\nconnection: close\r\nconnection: transfer-encoding", chunked, "transfer-encoding: chunked"),
        ("content-length: 5\r\nconnection: content-length", "hello", "content-length: 5"),
        ("x_real_ip: 9.9.9.9\r\ncontent-length: 5", "hello", "content-length: 5"),
        ("upgrade: h2c\r\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA\r\nconnection: upgrade, http2-settings\r\ncontent-length: 5", "hello", "content-length: 5"),
    ] {
        let request = format!("POST /headers HTTP/1.1\r\nhost: a.test\r\n{head}\r\n\r\n{body}");
        let (status, text) = raw(&bed, &request).await;
        assert_eq!(status, "200", "{head}: {text}");
        let framing: Vec<&str> = text.lines().filter(|line| line.starts_with("content-length") || line.starts_with("transfer-encoding")).collect();
        assert_eq!(framing, [expected], "{head}: {text}");
        for word in ["x_real_ip", "h2c", "http2-settings", "upgrade", "connection"] {
            assert!(!text.contains(word), "{head}: {text}");
        }
    }
    for (head, body) in [
        ("transfer-encoding: gzip", "hello"),
        ("transfer-encoding: chunked, identity", chunked),
        ("content-length: 5\r\ncontent-length: 6", "hello"),
        ("content-length: +5", "hello"),
        ("transfer-encoding : chunked", chunked),
        ("host: other.test", ""),
    ] {
        let (status, text) = raw(&bed, &format!("POST /headers HTTP/1.1\r\nhost: a.test\r\n{head}\r\n\r\n{body}")).await;
        assert_eq!(status, "400", "{head}: {text}");
    }
    for (line, expected) in [("TRACE / HTTP/1.1", "405"), ("CONNECT a.test:80 HTTP/1.1", "405"), ("GET http://a.test/ HTTP/1.1\r\nhost: a.test", "400")] {
        assert_eq!(raw(&bed, &format!("{line}\r\nhost: a.test\r\n\r\n")).await.0, expected, "{line}");
    }
}

/// Sends bytes and reads an answer until its end; its status, and all of it.
async fn raw(bed: &Bed, request: &str) -> (String, String) {
    let mut stream = tokio::net::TcpStream::connect(bed.http).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let (mut answer, mut part) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&answer).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                return (head.get(9..12).unwrap_or_default().to_owned(), body.to_owned());
            }
        }
        match tokio::time::timeout(Duration::from_secs(30), stream.read(&mut part)).await.expect("an answer") {
            Ok(length) if length > 0 => answer.extend_from_slice(&part[..length]),
            _ => return (String::new(), text),
        }
    }
}
