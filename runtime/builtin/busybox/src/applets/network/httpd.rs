//! `httpd [-fiv] [-p [ADDRESS:]PORT] [-h FOLDER]`: serves a folder, and runs scripts in its `cgi-bin`.

use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use super::http::{Body, Connection, Head};
use crate::calendar::{Moment, Zone};
use crate::context::{Context, Error, Result};
use crate::io::{Descriptor, Output, pipe, reason};
use crate::net::TcpListener;
use crate::{disk, rt};

/// Connections at a time.
const MOST: usize = 500;
/// How long a request is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest body that a script is given.
const LONGEST: usize = 16 << 20;

const TYPES: &[(&str, &str)] = &[
    ("css", "text/css"),
    ("gif", "image/gif"),
    ("htm", "text/html"),
    ("html", "text/html"),
    ("ico", "image/x-icon"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript"),
    ("json", "application/json"),
    ("mjs", "text/javascript"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("txt", "text/plain"),
    ("wasm", "application/wasm"),
    ("webp", "image/webp"),
    ("xml", "text/xml"),
    ("yaml", "text/plain"),
    ("yml", "text/plain"),
];

struct Server {
    cx: Context,
    folder: String,
    verbose: bool,
}

pub async fn httpd(cx: &mut Context) -> Result {
    let options = cx.options("fivp:h:c:u:r:m:d:e:", &[])?;
    if let Some(text) = options.value('d') {
        cx.stdout.write(decoded(text)).await?;
        return Ok(0);
    }
    let at = match options.value('p') {
        None => SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 80),
        Some(text) => match text.parse::<u16>() {
            Ok(port) => SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port),
            Err(_) => {
                let (address, port) = text.rsplit_once(':').ok_or_else(|| Error::new(format!("invalid number '{text}'")))?;
                let address: IpAddr = address.trim_matches(['[', ']']).parse().map_err(|_| Error::new(format!("bad address '{address}'")))?;
                SocketAddr::new(address, port.parse().map_err(|_| Error::new(format!("invalid number '{port}'")))?)
            }
        },
    };
    let folder = cx.path(options.value('h').unwrap_or(".")).to_string_lossy().into_owned();
    if !fs::metadata(&folder).is_ok_and(|metadata| metadata.is_dir()) {
        return Err(Error::new(format!("can't change directory to '{}': No such file or directory", options.value('h').unwrap_or("."))));
    }
    let listener = TcpListener::bind(at).await.map_err(|error| Error::new(format!("bind: {}", reason(&error))))?;
    let server = Rc::new(Server { cx: cx.clone(), folder, verbose: options.has('v') });
    let serving = async move {
        let mut running: Vec<rt::Task<()>> = Vec::new();
        loop {
            let Ok((stream, peer)) = listener.accept().await else {
                rt::sleep(Duration::from_millis(50)).await;
                continue;
            };
            running.retain(|task| !task.is_done());
            if running.len() >= MOST {
                continue;
            }
            let server = server.clone();
            running.push(rt::spawn(async move { server.connection(Connection::new(stream), peer).await }));
        }
    };
    // In the background it goes on by itself; there it dies with the shell.
    if options.has('f') || options.has('i') {
        serving.await
    } else {
        rt::spawn(serving).detach();
        Ok(0)
    }
}

/// An answer: its status, its headers, and what follows.
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    content: Content,
}

enum Content {
    Bytes(Vec<u8>),
    File(Descriptor, u64),
}

impl Server {
    async fn connection(&self, mut connection: Connection, peer: SocketAddr) {
        let Some(Ok(head)) = rt::timeout(PATIENCE, connection.head()).await else { return };
        let mut words = head.first.split_whitespace();
        let (method, target) = (words.next().unwrap_or_default().to_string(), words.next().unwrap_or("/").to_string());
        let answer = match self.answer(&head, &method, &target, &mut connection, peer).await {
            Ok(answer) => answer,
            Err(status) => page(status),
        };
        if self.verbose {
            self.cx.warn(format!("{peer}: url:{target}")).await;
            self.cx.warn(format!("{peer}: response:{}", answer.status)).await;
        }
        let _ = send(&connection, &method, answer).await;
    }

    async fn answer(&self, head: &Head, method: &str, target: &str, connection: &mut Connection, peer: SocketAddr) -> Result<Answer, u16> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let path = decoded(path);
        if !path.starts_with('/') {
            return Err(400);
        }
        if path.split('/').any(|part| part == "..") || path.contains('\0') {
            return Err(404);
        }
        if let Some(script) = path.strip_prefix("/cgi-bin/") {
            return self.script(head, method, &path, script, query, connection, peer).await;
        }
        if !matches!(method, "GET" | "HEAD") {
            return Err(501);
        }
        let mut file = format!("{}{path}", self.folder.trim_end_matches('/'));
        if disk::stat(file.as_ref(), true).is_ok_and(|stat| stat.kind == disk::Kind::Folder) {
            if !path.ends_with('/') {
                let mut answer = page(302);
                answer.headers.push(("Location".into(), format!("{path}/")));
                return Ok(answer);
            }
            file += "index.html";
        }
        let input = self.cx.open(&file).map_err(|error| if error.kind() == ErrorKind::PermissionDenied { 403u16 } else { 404 })?;
        let stat = disk::stat(file.as_ref(), true).map_err(|_| 404u16)?;
        let extension = file.rsplit_once('.').map_or("", |(_, extension)| extension);
        let kind = TYPES.iter().find(|(known, _)| *known == extension).map_or("application/octet-stream", |(_, kind)| kind);
        let modified = date(stat.modified.0);
        let tag = format!("\"{:x}-{:x}\"", stat.modified.0, stat.size);
        let mut headers = vec![
            ("Content-type".to_string(), kind.to_string()),
            ("Accept-Ranges".into(), "bytes".into()),
            ("Last-Modified".into(), modified),
            ("ETag".into(), tag.clone()),
        ];
        if head.get("If-None-Match") == Some(&tag) {
            return Ok(Answer { status: 304, headers, content: Content::Bytes(Vec::new()) });
        }
        let range = head.get("Range").and_then(|range| range.strip_prefix("bytes=")).and_then(|range| range.split_once('-'));
        if let Some((from, to)) = range.and_then(|(from, to)| Some((from.parse::<u64>().ok()?, to))) {
            let last = to.parse().unwrap_or(u64::MAX).min(stat.size.saturating_sub(1));
            if from > last {
                return Err(416);
            }
            input.seek(std::io::SeekFrom::Start(from)).map_err(|_| 500u16)?;
            headers.push(("Content-Range".into(), format!("bytes {from}-{last}/{}", stat.size)));
            return Ok(Answer { status: 206, headers, content: Content::File(input, last + 1 - from) });
        }
        Ok(Answer { status: 200, headers, content: Content::File(input, stat.size) })
    }

    #[expect(clippy::too_many_arguments, reason = "what a script is told of a request")]
    async fn script(
        &self,
        head: &Head,
        method: &str,
        path: &str,
        script: &str,
        query: &str,
        connection: &mut Connection,
        peer: SocketAddr,
    ) -> Result<Answer, u16> {
        let name = script.split('/').next().unwrap_or_default();
        let file = format!("{}/cgi-bin/{name}", self.folder.trim_end_matches('/'));
        if name.is_empty() || !fs::metadata(&file).is_ok_and(|metadata| metadata.is_file()) {
            return Err(404);
        }
        let mut body = Vec::new();
        let mut rest = if head.is_chunked() { Body::Chunked(0) } else { Body::Length(head.length().unwrap_or(0)) };
        loop {
            let bytes = connection.body(&mut rest).await.map_err(|_| 400u16)?;
            if bytes.is_empty() {
                break;
            }
            body.extend(bytes);
            if body.len() > LONGEST {
                return Err(413);
            }
        }
        let (reader, writer) = pipe();
        let mut child = self.cx.child([file]);
        child.cwd = format!("{}/cgi-bin", self.folder.trim_end_matches('/'));
        let variables = [
            ("REQUEST_METHOD", method.to_string()),
            ("QUERY_STRING", query.into()),
            ("REQUEST_URI", head.first.split_whitespace().nth(1).unwrap_or_default().into()),
            ("SCRIPT_NAME", format!("/cgi-bin/{name}")),
            ("PATH_INFO", path["/cgi-bin/".len()..].strip_prefix(name).unwrap_or_default().into()),
            ("CONTENT_LENGTH", body.len().to_string()),
            ("CONTENT_TYPE", head.get("Content-Type").unwrap_or_default().into()),
            ("REMOTE_ADDR", peer.ip().to_string()),
            ("REMOTE_PORT", peer.port().to_string()),
            ("SERVER_PROTOCOL", "HTTP/1.1".into()),
            ("GATEWAY_INTERFACE", "CGI/1.1".into()),
        ];
        child.env.extend(variables.map(|(name, value)| (name.to_string(), value)));
        for (name, value) in &head.headers {
            child.env.insert(format!("HTTP_{}", name.to_uppercase().replace('-', "_")), value.clone());
        }
        child.stdin = Descriptor::bytes(body);
        child.stdout = Output::new(writer);
        let (_, printed) = rt::join(child.run(), reader.read_to_end()).await;
        let printed = printed.map_err(|_| 500u16)?;
        let (end, skip) = match (memchr::memmem::find(&printed, b"\r\n\r\n"), memchr::memmem::find(&printed, b"\n\n")) {
            (Some(wide), Some(narrow)) if narrow < wide => (narrow, 2),
            (Some(wide), _) => (wide, 4),
            (None, Some(narrow)) => (narrow, 2),
            (None, None) => return Err(500),
        };
        let mut answer = Answer { status: 200, headers: Vec::new(), content: Content::Bytes(printed[end + skip..].to_vec()) };
        for line in String::from_utf8_lossy(&printed[..end]).lines() {
            let Some((name, value)) = line.split_once(':') else { continue };
            if name.eq_ignore_ascii_case("Status") {
                answer.status = value.split_whitespace().next().and_then(|code| code.parse().ok()).unwrap_or(200);
            } else {
                answer.headers.push((name.trim().into(), value.trim().into()));
            }
        }
        Ok(answer)
    }
}

fn words(status: u16) -> &'static str {
    match status {
        200 => "OK",
        206 => "Partial Content",
        302 => "Found",
        304 => "Not Modified",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        413 => "Entity Too Large",
        416 => "Range Not Satisfiable",
        501 => "Not Implemented",
        _ => "Internal Server Error",
    }
}

fn page(status: u16) -> Answer {
    let text = match status {
        404 => "The requested URL was not found",
        _ => "",
    };
    let html = format!("<HTML><HEAD><TITLE>{status} {words}</TITLE></HEAD>\n<BODY><H1>{status} {words}</H1>\n{text}\n</BODY></HTML>\n", words = words(status));
    Answer { status, headers: vec![("Content-type".into(), "text/html".into())], content: Content::Bytes(html.into_bytes()) }
}

fn date(seconds: i64) -> String {
    Moment::new(seconds, 0, &Zone::utc()).format("%a, %d %b %Y %H:%M:%S GMT")
}

async fn send(connection: &Connection, method: &str, answer: Answer) -> std::io::Result<()> {
    let length = match &answer.content {
        Content::Bytes(bytes) => bytes.len() as u64,
        Content::File(_, length) => *length,
    };
    let mut head = format!("HTTP/1.1 {} {}\r\nDate: {}\r\nConnection: close\r\n", answer.status, words(answer.status), date(crate::calendar::now().0));
    for (name, value) in &answer.headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("Content-Length: {length}\r\n\r\n");
    let stream = connection.stream();
    stream.write_all(head.as_bytes()).await?;
    if method != "HEAD" {
        match answer.content {
            Content::Bytes(bytes) => stream.write_all(&bytes).await?,
            Content::File(input, mut left) => {
                while left > 0 {
                    let bytes = input.read(usize::try_from(left.min(64 << 10)).unwrap_or(64 << 10)).await?;
                    if bytes.is_empty() {
                        break;
                    }
                    left -= bytes.len() as u64;
                    stream.write_all(&bytes).await?;
                }
            }
        }
    }
    stream.finish().await
}

/// With `%41` as what it stands for.
fn decoded(text: &str) -> String {
    let mut out = Vec::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let value = bytes.get(at + 1..at + 3).and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match (bytes[at], value) {
            (b'%', Some(value)) => {
                out.push(value);
                at += 3;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
