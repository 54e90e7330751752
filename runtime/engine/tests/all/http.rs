use crate::support::*;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use std::sync::Arc;
use std::time::{Duration, Instant};
use wharf_engine::*;

const GUESTS: [(&str, Entry); 2] = [("http-p2", Entry::HttpP2), ("http-p3", Entry::HttpP3)];

pub fn body(text: &str) -> Body {
    Full::new(Bytes::copy_from_slice(text.as_bytes())).map_err(|never| match never {}).boxed_unsync()
}

pub async fn call(h: &HttpContainer, path: &str, text: &str) -> Result<::http::Response<Body>, HandlerError> {
    let request = ::http::Request::get(path).header("host", "example.com").body(body(text)).unwrap();
    h.handler().call(request, "10.244.0.9:1234".parse().unwrap()).await
}

pub async fn get(h: &HttpContainer, path: &str) -> (u16, String) {
    let r = call(h, path, "").await.unwrap();
    let status = r.status().as_u16();
    (status, String::from_utf8(r.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap())
}

/// A handler without requests holds nothing, as soon as guests have finished what they still had to do.
async fn idle(h: &HttpContainer, usage: &Usage) {
    for _ in 0..400 {
        if (h.in_work(), usage.memory_bytes()) == (0, 0) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{} requests in work, {} bytes held", h.in_work(), usage.memory_bytes());
}

#[tokio::test]
async fn answers_with_environment_and_files() {
    for (guest, entry) in GUESTS {
        let s = setup(entry, &[]);
        std::fs::write(s.root.path().join("note"), "from the image").unwrap();
        let h = serve(&program(guest), s.spec);
        assert_eq!(get(&h, "/").await, (200, "Hello, WASI!".into()));
        assert_eq!(get(&h, "/env").await, (200, "GREETING=hello\n".into()));
        assert_eq!(get(&h, "/file?note").await.0, 200);
        assert_eq!(get(&h, "/elsewhere").await.0, 404);
        assert_eq!(h.requests(), 4);
        idle(&h, &s.usage).await;
        assert!(s.usage.cpu_nanos() > 0 && s.usage.peak_bytes() > 0);
    }
}

#[tokio::test]
async fn the_guest_knows_whom_the_client_asked() {
    for (guest, entry) in GUESTS {
        let h = serve(&program(guest), setup(entry, &[]).spec);
        for (host, expected) in [(Some("shop.example:8080"), "shop.example:8080"), (None, "localhost"), (Some("no host at all"), "localhost")] {
            let mut request = ::http::Request::get("/authority").body(body("")).unwrap();
            if let Some(host) = host {
                request.headers_mut().insert("host", host.parse().unwrap());
            }
            let answer = h.handler().call(request, "10.244.0.9:1234".parse().unwrap()).await.unwrap();
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), expected);
        }
        assert_eq!(h.failures().borrow().traps, 0);
    }
}

#[tokio::test]
async fn a_small_body_has_a_length_and_a_large_one_streams() {
    let s = setup(Entry::HttpP2, &[]);
    let h = serve(&program("http-p2"), s.spec);
    use http_body::Body as _;
    assert_eq!(call(&h, "/", "").await.unwrap().body().size_hint().exact(), Some(12));
    let large = call(&h, "/big?3000000", "").await.unwrap();
    assert_eq!(large.body().size_hint().exact(), None);
    assert_eq!(large.into_body().collect().await.unwrap().to_bytes().len(), 3_000_000);
}

#[tokio::test]
async fn bodies_stream_both_ways() {
    for (guest, entry) in GUESTS {
        let s = setup(entry, &[]);
        let h = serve(&program(guest), s.spec);
        let r = call(&h, "/echo", &"round and round ".repeat(10_000)).await.unwrap();
        assert_eq!(r.into_body().collect().await.unwrap().to_bytes().len(), 160_000);
    }
    let s = setup(Entry::HttpP2, &[]);
    let h = serve(&program("http-p2"), s.spec);
    let mut r = call(&h, "/drip", "").await.unwrap().into_body();
    let mut arrived = Vec::new();
    while let Some(frame) = r.frame().await {
        let data = frame.unwrap().into_data().unwrap();
        arrived.push((data, Instant::now()));
    }
    assert_eq!(arrived.len(), 3);
    assert!(arrived[2].1 - arrived[0].1 > Duration::from_millis(80));
}

#[tokio::test]
async fn instances_are_fresh_unless_reuse_is_asked_for() {
    let s = setup(Entry::HttpP2, &[]);
    let h = serve(&program("http-p2"), s.spec);
    assert_eq!((get(&h, "/served").await.1, get(&h, "/served").await.1), ("1".into(), "1".into()));
    let mut s = setup(Entry::HttpP2, &[]);
    s.spec.http.requests_per_instance = 3;
    let h = serve(&program("http-p2"), s.spec);
    let mut served = Vec::new();
    for _ in 0..4 {
        served.push(get(&h, "/served").await.1);
    }
    assert_eq!(served, ["1", "2", "3", "1"]);
}

#[tokio::test]
async fn output_goes_to_the_log() {
    let s = setup(Entry::HttpP2, &[]);
    let h = serve(&program("http-p2"), s.spec);
    get(&h, "/log").await;
    assert_eq!(s.log.text(), "to stdout\nto stderr\n");
}

#[tokio::test]
async fn failures_have_their_words() {
    for (guest, entry) in GUESTS {
        let mut s = setup(entry, &[]);
        s.spec.memory_limit = Some(32 << 20);
        let h = serve(&program(guest), s.spec);
        let e = call(&h, "/trap", "").await.err().unwrap();
        assert!(matches!(&e, HandlerError::Trap(w) if w.contains("unreachable")), "{e:?}");
        assert_eq!(e.status(), 502);
        assert_eq!(call(&h, "/eat", "").await.err(), Some(HandlerError::OutOfMemory));
        let stats = h.failures().borrow().clone();
        assert_eq!((stats.traps, stats.out_of_memory, stats.timeouts), (1, 1, 0), "{stats:?}");
        assert_eq!(get(&h, "/").await.1, "Hello, WASI!");
        idle(&h, &s.usage).await;
    }
    let h = serve(&program("http-p2"), setup(Entry::HttpP2, &[]).spec);
    assert!(matches!(call(&h, "/nothing", "").await.err(), Some(HandlerError::Guest(_))));
    let h = serve(&program("http-p3"), setup(Entry::HttpP3, &[]).spec);
    assert!(matches!(call(&h, "/error", "").await.err(), Some(HandlerError::Guest(w)) if w.contains("asked to")));
}

#[tokio::test]
async fn a_request_that_spins_times_out() {
    for (guest, entry) in GUESTS {
        let mut s = setup(entry, &[]);
        s.spec.http.timeout = Duration::from_millis(300);
        let h = serve(&program(guest), s.spec);
        let begin = Instant::now();
        assert_eq!(call(&h, "/spin", "").await.err(), Some(HandlerError::Timeout(Duration::from_millis(300))));
        assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
        assert_eq!(h.failures().borrow().timeouts, 1);
        idle(&h, &s.usage).await;
    }
}

#[tokio::test]
async fn draining_lets_requests_finish_and_takes_no_new_ones() {
    let s = setup(Entry::HttpP2, &[]);
    let h = serve(&program("http-p2"), s.spec);
    let body = call(&h, "/drip", "").await.unwrap().into_body();
    let drained = {
        let h = h.clone();
        tokio::spawn(async move { h.drain(Duration::from_secs(5)).await })
    };
    tokio::task::yield_now().await;
    assert_eq!(call(&h, "/", "").await.err(), Some(HandlerError::Draining));
    assert_eq!(body.collect().await.unwrap().to_bytes(), "0\n1\n2\n");
    assert!(drained.await.unwrap());
    // One that does not end is ended.
    let s = setup(Entry::HttpP2, &[]);
    let h = serve(&program("http-p2"), s.spec);
    let mut body = call(&h, "/stuck", "").await.unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "begun");
    let rest = tokio::spawn(async move { body.frame().await });
    assert!(!h.drain(Duration::from_millis(50)).await);
    assert!(rest.await.unwrap().unwrap().is_err());
    idle(&h, &s.usage).await;
}

#[tokio::test]
async fn too_many_at_once_are_refused() {
    let mut s = setup(Entry::HttpP2, &[]);
    s.spec.http.max_concurrent = 1;
    let h = serve(&program("http-p2"), s.spec);
    let held = call(&h, "/stuck", "").await.unwrap();
    assert_eq!(call(&h, "/", "").await.err(), Some(HandlerError::Overloaded(1)));
    drop(held);
}

/// Answers every request with what was asked.
struct Mirror;

impl Outgoing for Mirror {
    fn send(&self, r: ::http::Request<Body>, _: OutgoingOptions) -> BoxFuture<'static, Result<::http::Response<Body>, OutgoingError>> {
        Box::pin(async move {
            match r.uri().host() {
                Some("nowhere") => Err(OutgoingError::Refused),
                _ => Ok(::http::Response::new(body(&format!("{} {}", r.method(), r.uri())))),
            }
        })
    }
}

#[tokio::test]
async fn requests_go_out_through_the_seam() {
    for (guest, entry) in GUESTS {
        let mut s = setup(entry, &[]);
        s.spec.outgoing = Arc::new(Mirror);
        let h = serve(&program(guest), s.spec);
        assert_eq!(get(&h, "/fetch?http://web.default:8080/a/b").await, (200, "fetched: GET http://web.default:8080/a/b".into()));
        let (status, words) = get(&h, "/fetch?http://nowhere/").await;
        assert_eq!(status, 502);
        assert!(words.contains("ConnectionRefused"), "{words}");
    }
}

/// Many at a time of every kind, some of them abandoned at some moment: in the end nothing is held, and it still answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_and_some_abandoned() {
    for ((guest, entry), reuse) in [(GUESTS[0], 1), (GUESTS[0], 5), (GUESTS[1], 1), (GUESTS[1], 5)] {
        let mut s = setup(entry, &[]);
        s.spec.http.requests_per_instance = reuse;
        s.spec.http.timeout = Duration::from_secs(5);
        let h = serve(&program(guest), s.spec);
        let clients = (0..16).map(|c| {
            let h = h.clone();
            tokio::spawn(async move {
                for i in 0..20 {
                    match (c + i) % 5 {
                        0 => assert_eq!(get(&h, "/").await, (200, "Hello, WASI!".into())),
                        1 => {
                            let r = call(&h, "/echo", &"x".repeat(50_000)).await.unwrap();
                            assert_eq!(r.into_body().collect().await.unwrap().to_bytes().len(), 50_000);
                        }
                        2 => drop(call(&h, "/echo", &"x".repeat(50_000)).await.unwrap()),
                        3 => drop(tokio::time::timeout(Duration::from_micros(300), call(&h, "/echo", "x")).await),
                        _ => assert!(matches!(call(&h, "/trap", "").await, Err(HandlerError::Trap(_)))),
                    }
                }
            })
        });
        for c in clients.collect::<Vec<_>>() {
            c.await.unwrap();
        }
        assert_eq!(get(&h, "/").await.0, 200);
        h.kill();
        idle(&h, &s.usage).await;
    }
}
