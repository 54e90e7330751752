//! The component's door: a `wasi:http` request in, an answer out, a line to the log.

use std::io::{Read, Seek, SeekFrom, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingRequest, IncomingResponse, Method, OutgoingBody, OutgoingRequest, OutgoingResponse, ResponseOutparam, Scheme,
};
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

use crate::answer::{Answer, Body, Passed, Request, answer, page};
use crate::config;
use crate::log::{self, Line};

wit_bindgen::generate!({ path: "../../../sdk/wit/container", world: "handler" });

use wharf::container::incoming;

/// Headers that are for one connection, and not passed on.
const HOP_BY_HOP: &[&str] = &["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "host", "content-length"];

struct Nginx;

wasip2::http::proxy::export!(Nginx);

impl wasip2::exports::http::incoming_handler::Guest for Nginx {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let fields = request.headers();
        let header = |name: &str| fields.get(name).into_iter().next().and_then(|v| String::from_utf8(v).ok()).unwrap_or_default();
        let method = request.method();
        let method = name(&method);
        let target = request.path_with_query().unwrap_or_else(|| "/".into());
        let host = request.authority().unwrap_or_else(|| header("host"));
        let forwarded = header("x-forwarded-for");
        let peer = incoming::peer().map(|peer| peer.address).unwrap_or_default();
        let forwarded_proto = header("x-forwarded-proto");
        let scheme = match (forwarded_proto.as_str(), request.scheme()) {
            ("http" | "https", _) => forwarded_proto.as_str(),
            (_, Some(Scheme::Https)) => "https",
            _ => "http",
        };
        let decided = answer(
            &config::read(),
            &Request {
                method,
                target: &target,
                host: &host,
                scheme,
                if_none_match: &header("if-none-match"),
                if_modified_since: &header("if-modified-since"),
                if_range: &header("if-range"),
                range: &header("range"),
                peer: &peer,
                forwarded: &forwarded,
            },
        );
        let (status, sent) = match decided.body {
            Body::Proxy(passed) => match pass(&request, &fields, passed) {
                Ok(response) => hand_back(response, &decided.headers, method == "HEAD", out),
                Err(error) => {
                    let timeout = matches!(error, ErrorCode::ConnectionTimeout | ErrorCode::HttpResponseTimeout | ErrorCode::ConnectionReadTimeout);
                    let status = if timeout { 504 } else { 502 };
                    (status, send(page(status), method == "HEAD", out))
                }
            },
            _ => (decided.status, send(decided, method == "HEAD", out)),
        };
        record(&Line {
            peer: &peer,
            user: "",
            method,
            target: &target,
            status,
            sent,
            referer: &header("referer"),
            agent: &header("user-agent"),
            forwarded: &forwarded,
        });
    }
}

/// Writes the answer; how many bytes of the body went out.
fn send(answer: Answer, head: bool, out: ResponseOutparam) -> u64 {
    let length = match &answer.body {
        Body::Empty | Body::Proxy(_) => None,
        Body::Text(text) => Some(text.len() as u64),
        Body::File(_, _, length) => Some(*length),
    };
    let fields = Fields::new();
    let own = [("server".to_string(), "nginx (Wharf)".to_string())];
    let length = length.map(|l| ("content-length".to_string(), l.to_string()));
    for (name, value) in own.iter().chain(&answer.headers).chain(&length) {
        // A header of the configuration that is none is left out.
        let _ = fields.append(name, value.as_bytes());
    }
    let response = OutgoingResponse::new(fields);
    let _ = response.set_status_code(answer.status);
    let Ok(body) = response.body() else { return 0 };
    ResponseOutparam::set(out, Ok(response));
    let Ok(mut stream) = body.write() else { return 0 };
    // The host lets no body through to HEAD, but counts its length: what is written ends at the first refusal.
    let sent = match answer.body {
        Body::Empty | Body::Proxy(_) => 0,
        Body::Text(text) => stream.write_all(text.as_bytes()).and_then(|()| Write::flush(&mut stream)).map_or(0, |()| text.len() as u64),
        Body::File(mut file, from, length) => copy(&mut file, from, length, &mut stream),
    };
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
    if head { 0 } else { sent }
}

/// Asks another server what this one was asked.
fn pass(request: &IncomingRequest, fields: &Fields, passed: Passed) -> Result<IncomingResponse, ErrorCode> {
    let headers = Fields::new();
    for (name, value) in fields.entries() {
        if !HOP_BY_HOP.contains(&name.as_str()) && !passed.headers.iter().any(|(own, _)| *own == name) {
            let _ = headers.append(&name, &value);
        }
    }
    for (name, value) in passed.headers.iter().filter(|(_, value)| !value.is_empty()) {
        let _ = headers.append(name, value.as_bytes());
    }
    let wrong = |()| ErrorCode::HttpRequestUriInvalid;
    let outgoing = OutgoingRequest::new(headers);
    outgoing.set_method(&request.method()).map_err(wrong)?;
    outgoing.set_scheme(Some(&Scheme::Http)).map_err(wrong)?;
    outgoing.set_authority(Some(&passed.authority)).map_err(wrong)?;
    outgoing.set_path_with_query(Some(&passed.target)).map_err(wrong)?;
    let body = outgoing.body().map_err(wrong)?;
    let answering = outgoing_handler::handle(outgoing, None)?;
    if let (Ok(from), Ok(to)) = (request.consume(), body.write()) {
        if let Ok(stream) = from.stream() {
            splice(&stream, &to);
        }
        drop(IncomingBody::finish(from));
    }
    OutgoingBody::finish(body, None)?;
    loop {
        match answering.get() {
            Some(Ok(answered)) => return answered,
            Some(Err(())) => return Err(ErrorCode::InternalError(None)),
            None => answering.subscribe().block(),
        }
    }
}

/// Hands another server's answer on: its status, and how many bytes of the body went out.
fn hand_back(response: IncomingResponse, own: &[(String, String)], head: bool, out: ResponseOutparam) -> (u16, u64) {
    let status = response.status();
    let fields = Fields::new();
    let _ = fields.append("server", b"nginx (Wharf)");
    for (name, value) in response.headers().entries() {
        if name == "content-length" || name != "server" && !HOP_BY_HOP.contains(&name.as_str()) {
            let _ = fields.append(&name, &value);
        }
    }
    for (name, value) in own {
        let _ = fields.append(name, value.as_bytes());
    }
    let answer = OutgoingResponse::new(fields);
    let _ = answer.set_status_code(status);
    let Ok(body) = answer.body() else { return (status, 0) };
    ResponseOutparam::set(out, Ok(answer));
    let mut sent = 0;
    if let (Ok(from), Ok(to)) = (response.consume(), body.write()) {
        if let Ok(stream) = from.stream() {
            sent = splice(&stream, &to);
        }
        drop(IncomingBody::finish(from));
    }
    let _ = OutgoingBody::finish(body, None);
    (status, if head { 0 } else { sent })
}

/// All of one stream into another; how much it was.
fn splice(from: &InputStream, to: &OutputStream) -> u64 {
    let mut count = 0;
    loop {
        match to.blocking_splice(from, 64 << 10) {
            Ok(some) => count += some,
            Err(StreamError::Closed | StreamError::LastOperationFailed(_)) => break,
        }
    }
    let _ = to.blocking_flush();
    count
}

fn copy(file: &mut std::fs::File, from: u64, length: u64, to: &mut impl Write) -> u64 {
    if from > 0 && file.seek(SeekFrom::Start(from)).is_err() {
        return 0;
    }
    let mut buffer = vec![0; 64 << 10];
    let mut sent = 0;
    while sent < length {
        let want = buffer.len().min((length - sent) as usize);
        match file.read(&mut buffer[..want]) {
            Ok(0) | Err(_) => break,
            Ok(read) if to.write_all(&buffer[..read]).is_err() => break,
            Ok(read) => sent += read as u64,
        }
    }
    let _ = to.flush();
    sent
}

fn record(line: &Line) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let mut text = String::new();
    // A component that serves requests has no start of its own: the container's first request leaves a mark.
    let mark = || std::fs::OpenOptions::new().write(true).create_new(true).open("/run/nginx.pid");
    let marked = match mark() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => std::fs::create_dir_all("/run").and_then(|()| mark()),
        other => other,
    };
    if let Ok(mut mark) = marked {
        let _ = mark.write_all(b"1\n");
        text = log::start(now) + "\n";
    }
    text.push_str(&log::combined(line, now));
    text.push('\n');
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes());
    let _ = stdout.flush();
}

fn name(method: &Method) -> &str {
    match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        Method::Connect => "CONNECT",
        Method::Options => "OPTIONS",
        Method::Trace => "TRACE",
        Method::Patch => "PATCH",
        Method::Other(other) => other,
    }
}
