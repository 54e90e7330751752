//! A `wasi:http` 0.2 handler for the engine's tests: the path says what it does.

use std::io::Write as _;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, IncomingBody, IncomingRequest, Method, OutgoingBody, OutgoingRequest, OutgoingResponse, ResponseOutparam, Scheme};
use wasip2::io::streams::StreamError;

wasip2::http::proxy::export!(Guest);

struct Guest;

/// Requests that this instance has served.
static SERVED: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);

impl wasip2::exports::http::incoming_handler::Guest for Guest {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let served = SERVED.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        let path = request.path_with_query().unwrap_or_default();
        let (path, query) = path.split_once('?').unwrap_or((&path, ""));
        match path {
            "/" => reply(out, 200, "Hello, WASI!"),
            "/authority" => reply(out, 200, &request.authority().unwrap_or_default()),
            "/served" => reply(out, 200, &served.to_string()),
            "/env" => {
                let text: String = std::env::vars().map(|(k, v)| format!("{k}={v}\n")).collect();
                reply(out, 200, &text)
            }
            "/file" => match std::fs::read_to_string(query) {
                Ok(text) => reply(out, 200, &text),
                Err(e) => reply(out, 404, &e.to_string()),
            },
            "/big" => reply(out, 200, &"x".repeat(query.parse().unwrap_or(0))),
            "/echo" => echo(request, out),
            "/log" => {
                println!("to stdout");
                eprintln!("to stderr");
                reply(out, 200, "")
            }
            "/drip" => drip(out),
            "/spin" => loop {
                std::hint::black_box(0);
            },
            "/eat" => {
                let mut held = Vec::new();
                loop {
                    held.push(vec![1u8; 1 << 20]);
                }
            }
            "/trap" => panic!("asked to"),
            "/nothing" => {}
            "/stuck" => {
                let (_keep, body, stream) = begin(out, 200);
                let _ = stream.blocking_write_and_flush(b"begun");
                std::thread::sleep(std::time::Duration::from_secs(3600));
                drop((stream, body));
            }
            "/fetch" => fetch(query, out),
            _ => reply(out, 404, "no such path"),
        }
    }
}

fn begin(out: ResponseOutparam, status: u16) -> ((), OutgoingBody, wasip2::io::streams::OutputStream) {
    let response = OutgoingResponse::new(Fields::new());
    response.set_status_code(status).unwrap();
    let body = response.body().unwrap();
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().unwrap();
    ((), body, stream)
}

fn reply(out: ResponseOutparam, status: u16, text: &str) {
    let ((), body, mut stream) = begin(out, status);
    if !text.is_empty() {
        stream.write_all(text.as_bytes()).unwrap();
    }
    stream.flush().unwrap();
    drop(stream);
    OutgoingBody::finish(body, None).unwrap();
}

fn echo(request: IncomingRequest, out: ResponseOutparam) {
    let ((), body, to) = begin(out, 200);
    let incoming = request.consume().unwrap();
    let from = incoming.stream().unwrap();
    loop {
        match from.blocking_read(4096) {
            Ok(bytes) => to.blocking_write_and_flush(&bytes).unwrap(),
            Err(StreamError::Closed) => break,
            Err(e) => panic!("{e:?}"),
        }
    }
    drop((from, to));
    IncomingBody::finish(incoming);
    OutgoingBody::finish(body, None).unwrap();
}

fn drip(out: ResponseOutparam) {
    let ((), body, stream) = begin(out, 200);
    for i in 0..3 {
        stream.blocking_write_and_flush(format!("{i}\n").as_bytes()).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    drop(stream);
    OutgoingBody::finish(body, None).unwrap();
}

fn fetch(url: &str, out: ResponseOutparam) {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let request = OutgoingRequest::new(Fields::new());
    request.set_method(&Method::Get).unwrap();
    request.set_scheme(Some(if scheme == "https" { &Scheme::Https } else { &Scheme::Http })).unwrap();
    request.set_authority(Some(authority)).unwrap();
    request.set_path_with_query(Some(&format!("/{path}"))).unwrap();
    let answer = outgoing_handler::handle(request, None).and_then(|f| {
        f.subscribe().block();
        f.get().unwrap().unwrap()
    });
    match answer {
        Err(e) => reply(out, 502, &format!("{e:?}")),
        Ok(r) => {
            let body = r.consume().unwrap();
            let stream = body.stream().unwrap();
            let mut all = Vec::new();
            while let Ok(b) = stream.blocking_read(4096) {
                all.extend(b);
            }
            reply(out, r.status(), &format!("fetched: {}", String::from_utf8_lossy(&all)));
        }
    }
}
