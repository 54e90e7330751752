//! Pods of this process, called without a socket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Frame;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use wharf_ingress::{Body, LocalError, LocalFailure, LocalFuture, LocalHandlers, Options};

use crate::bed::{Bed, body, channel_body, client, get, rule, send};

/// Serves 10.244.0.5:80.
#[derive(Default)]
struct Handlers {
    calls: AtomicUsize,
    dropped: Arc<AtomicUsize>,
}

impl LocalHandlers for Handlers {
    fn serves(&self, endpoint: SocketAddr) -> bool {
        endpoint == "10.244.0.5:80".parse().unwrap()
    }

    fn call(&self, endpoint: SocketAddr, request: Request<Body>, peer: SocketAddr) -> Result<LocalFuture, Request<Body>> {
        if !self.serves(endpoint) {
            return Err(request);
        }
        self.calls.fetch_add(1, Ordering::Relaxed);
        let dropped = OnDrop(self.dropped.clone());
        Ok(Box::pin(async move {
            let fail = |failure| Err(LocalError { failure, message: "words".to_owned() });
            let answer = match request.uri().path() {
                "/trap" => return fail(LocalFailure::Broken),
                "/busy" => return fail(LocalFailure::Busy),
                "/never" => std::future::pending().await,
                "/stream" => {
                    let (to, from) = mpsc::channel(1);
                    tokio::spawn(async move {
                        for i in 0..3 {
                            to.send(Ok(Frame::data(Bytes::from(i.to_string())))).await.unwrap();
                            tokio::time::sleep(Duration::from_millis(50)).await;
                        }
                    });
                    channel_body(from)
                }
                "/flood" => {
                    let (to, from) = mpsc::channel(1);
                    tokio::spawn(async move {
                        while to.send(Ok(Frame::data(Bytes::from(vec![0; 64 << 10])))).await.is_ok() {}
                        drop(dropped);
                    });
                    return Ok(Response::new(channel_body(from)));
                }
                "/echo" => request.into_body(),
                "/count" => match request.into_body().collect().await {
                    Ok(whole) => body(whole.to_bytes().len().to_string()),
                    Err(_) => return fail(LocalFailure::Broken),
                },
                path => body(format!("{path} {} {} {:?}", request.headers()["x-forwarded-for"].to_str().unwrap(), peer.ip(), request.headers().get("upgrade"))),
            };
            drop(dropped);
            let mut response = Response::new(answer);
            response.headers_mut().insert("connection", "close".parse().unwrap());
            Ok(response)
        }))
    }
}

struct OnDrop(Arc<AtomicUsize>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn called_in_process() {
    let handlers = Arc::new(Handlers::default());
    let bed = Bed::with(handlers.clone()).await;
    let remote = bed.pod(6).await;
    bed.service("web", &["10.244.0.5".parse().unwrap(), remote.ip]);
    bed.routes(&rule("a.test", "web", &[("proxy-read-timeout", "1")]));
    for _ in 0..10 {
        assert_eq!(send(bed.http, get("a.test", "/x")).await.2, "/x 127.0.0.1 127.0.0.1 None", "local first");
    }
    assert_eq!(handlers.calls.load(Ordering::Relaxed), 10);
    assert_eq!(send(bed.http, get("a.test", "/stream")).await.2, "012");
    let echo = Request::post("/echo").header("host", "a.test").body(body("x".repeat(200_000))).unwrap();
    assert_eq!(send(bed.http, echo).await.2.len(), 200_000);
    assert_eq!(send(bed.http, get("a.test", "/trap")).await.0, StatusCode::BAD_GATEWAY);
    assert_eq!(send(bed.http, get("a.test", "/busy")).await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(send(bed.http, get("a.test", "/never")).await.0, StatusCode::GATEWAY_TIMEOUT);
    // Only the Pod behind a socket is left.
    bed.service("web", &[remote.ip]);
    assert_eq!(send(bed.http, get("a.test", "/")).await.2, "pod6");
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_call() {
    let handlers = Arc::new(Handlers::default());
    let bed = Bed::with(handlers.clone()).await;
    bed.service("web", &["10.244.0.5".parse().unwrap()]);
    bed.routes(&rule("a.test", "web", &[]));
    let mut client = client(bed.http).await;
    let request = tokio::spawn(async move { client.send_request(get("a.test", "/never")).await.map(|response| response.into_body().boxed_unsync()) });
    while handlers.calls.load(Ordering::Relaxed) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    request.abort();
    let _ = request.await;
    all_dropped(&handlers).await;
}

async fn all_dropped(handlers: &Handlers) {
    for _ in 0..6000 {
        if handlers.dropped.load(Ordering::SeqCst) == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the call goes on for nobody");
}

#[tokio::test]
async fn a_client_that_takes_nothing_ends_the_call() {
    let handlers = Arc::new(Handlers::default());
    let bed = Bed::with_options(handlers.clone(), Options { client_patience: Duration::from_secs(1), ..Options::default() }).await;
    bed.service("web", &["10.244.0.5".parse().unwrap()]);
    bed.routes(&rule("a.test", "web", &[]));
    let mut stream = tokio::net::TcpStream::connect(bed.http).await.unwrap();
    stream.write_all(b"GET /flood HTTP/1.1\r\nhost: a.test\r\n\r\n").await.unwrap();
    all_dropped(&handlers).await;
    drop(stream);
}

#[tokio::test]
async fn a_body_that_is_too_large_or_too_slow_is_the_clients_fault() {
    let handlers = Arc::new(Handlers::default());
    let bed = Bed::with_options(handlers.clone(), Options { client_patience: Duration::from_secs(1), ..Options::default() }).await;
    bed.service("web", &["10.244.0.5".parse().unwrap()]);
    bed.routes(&rule("a.test", "web", &[("proxy-body-size", "1k")]));
    let (to, from) = mpsc::channel(8);
    for _ in 0..5 {
        to.send(Ok(Frame::data(Bytes::from(vec![b'x'; 300])))).await.unwrap();
    }
    let post = |body| Request::post("/count").header("host", "a.test").body(body).unwrap();
    assert_eq!(send(bed.http, post(channel_body(from))).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    let (slow, from) = mpsc::channel(1);
    slow.send(Ok(Frame::data(Bytes::from_static(b"and then")))).await.unwrap();
    assert_eq!(send(bed.http, post(channel_body(from))).await.0, StatusCode::REQUEST_TIMEOUT);
}
