//! What a request gets: decided from the configuration and the files, written by [`crate::wasi`].

use std::fs::{File, Metadata};
use std::time::UNIX_EPOCH;

use crate::clock;
use crate::config::{self, Config, Location, Rules, Server};
use crate::mime;
use crate::path;

/// The parts of a request that decide.
#[derive(Default)]
pub struct Request<'a> {
    pub method: &'a str,
    pub target: &'a str,
    pub host: &'a str,
    pub scheme: &'a str,
    pub if_none_match: &'a str,
    pub if_modified_since: &'a str,
    pub if_range: &'a str,
    pub range: &'a str,
    pub peer: &'a str,
    /// The header X-Forwarded-For.
    pub forwarded: &'a str,
}

pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Body,
}

pub enum Body {
    Empty,
    Text(String),
    /// A file, where to begin, and how much of it.
    File(File, u64, u64),
    /// What another server answers to this request.
    Proxy(Passed),
}

/// A request to another server.
#[derive(Debug, PartialEq)]
pub struct Passed {
    pub authority: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
}

const ROOT: &str = "/usr/share/nginx/html";
const FOOTER: &str = "nginx (Wharf)";

/// Decides.
pub fn answer(config: &Config, request: &Request) -> Answer {
    let none = Server::default();
    let server = config::choose(&config.servers, request.host).unwrap_or(&none);
    let Some(path) = path::normalise(request.target) else { return page(400) };
    let mut answer = decide(config, server, request, &path);
    let location = server.location(&path);
    let pages = location.iter().flat_map(|l| &l.rules.error_pages).chain(&server.defaults.error_pages);
    let shown = pages.clone().find(|(status, _)| *status == answer.status).map(|(_, path)| path.clone());
    if let Some(path) = shown.filter(|path| path.starts_with('/')) {
        let instead = decide(config, server, &Request { method: "GET", ..Request::default() }, &path);
        if instead.status == 200 {
            answer = Answer { status: answer.status, ..instead };
        }
    }
    answer
}

fn decide(config: &Config, server: &Server, request: &Request, path: &str) -> Answer {
    let location = server.location(path);
    let rules = |of: &Rules| of.answer.clone();
    let headers = location.map_or(&server.defaults.headers, |l| if l.rules.headers.is_empty() { &server.defaults.headers } else { &l.rules.headers });
    let mut answer = match rules(&server.defaults).or_else(|| rules(&location?.rules)) {
        Some((status, text)) => fixed(server, location, status, fill(&text, request, path)),
        None => match location.filter(|location| location.proxy.is_some()) {
            Some(location) => passed(config, location, request, path),
            None => files(server, location, request, path),
        },
    };
    if matches!(answer.status, 200 | 201 | 204 | 206 | 301 | 302 | 303 | 304 | 307 | 308) {
        answer.headers.extend(headers.iter().map(|(name, value)| (name.clone(), fill(value, request, path))));
    }
    answer
}

/// Variables, as far as a request tells them.
fn fill(text: &str, request: &Request, path: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out += &rest[..at];
        let behind = &rest[at + 1..];
        let (name, after) = match behind.strip_prefix('{').and_then(|braced| braced.split_once('}')) {
            Some(parts) => parts,
            None => behind.split_at(behind.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(behind.len())),
        };
        let query = request.target.split_once('?').map_or("", |(_, query)| query);
        match name {
            "uri" | "document_uri" => out += path,
            "request_uri" => out += request.target,
            "host" => out += request.host.rsplit_once(':').map_or(request.host, |(name, _)| name),
            "http_host" => out += request.host,
            "scheme" => out += if request.scheme.is_empty() { "http" } else { request.scheme },
            "args" | "query_string" => out += query,
            "is_args" => out += if query.is_empty() { "" } else { "?" },
            "request_method" => out += request.method,
            "remote_addr" => out += request.peer,
            "proxy_add_x_forwarded_for" if request.forwarded.is_empty() => out += request.peer,
            "proxy_add_x_forwarded_for" => out += &format!("{}, {}", request.forwarded, request.peer),
            "hostname" => out += std::fs::read_to_string("/etc/hostname").unwrap_or_default().trim(),
            "server_protocol" => out += "HTTP/1.1",
            "nginx_version" => out += env!("CARGO_PKG_VERSION"),
            _ => {}
        }
        rest = after;
    }
    out + rest
}

/// What is asked of the server behind a location. With a path of its own, that stands in place of the location's.
fn passed(config: &Config, location: &Location, request: &Request, path: &str) -> Answer {
    let Some(proxy) = &location.proxy else { return page(500) };
    let to = fill(&proxy.to, request, path);
    let Some(place) = to.strip_prefix("http://") else { return page(502) };
    let (name, own) = place.find('/').map_or((place, None), |at| (&place[..at], Some(&place[at..])));
    let query = request.target.split_once('?').map_or(String::new(), |(_, query)| format!("?{query}"));
    let target = match own {
        Some(own) if !location.path.is_empty() => format!("{own}{}{query}", encode(path.strip_prefix(location.path.as_str()).unwrap_or(path))),
        Some(own) => format!("{own}{query}"),
        None => request.target.to_string(),
    };
    let behind = config.upstreams.iter().find(|(known, _)| known == name).map(|(_, addresses)| addresses);
    let authority = match behind {
        Some(addresses) if addresses.is_empty() => return page(502),
        Some(addresses) => addresses[clock::turn() % addresses.len()].clone(),
        None => name.to_string(),
    };
    let mut headers: Vec<(String, String)> = proxy.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), fill(value, request, path))).collect();
    if !headers.iter().any(|(name, _)| name == "host") {
        headers.push(("host".into(), authority.clone()));
    }
    Answer { status: 200, headers: Vec::new(), body: Body::Proxy(Passed { authority, target, headers }) }
}

fn fixed(server: &Server, location: Option<&Location>, status: u16, text: String) -> Answer {
    if matches!(status, 301 | 302 | 303 | 307 | 308) {
        let mut answer = page(status);
        answer.headers.push(("location".into(), text));
        return answer;
    }
    if text.is_empty() {
        return if status == 204 { Answer { status, headers: Vec::new(), body: Body::Empty } } else { page(status) };
    }
    let kind = location.and_then(|l| l.rules.default_type.clone()).or_else(|| server.defaults.default_type.clone());
    let kind = kind.unwrap_or_else(|| "text/plain".into());
    Answer { status, headers: vec![("content-type".into(), kind)], body: Body::Text(text) }
}

fn files(server: &Server, location: Option<&Location>, request: &Request, path: &str) -> Answer {
    if !matches!(request.method, "GET" | "HEAD") {
        return page(405);
    }
    let rules = location.map(|l| &l.rules);
    let root = rules.and_then(|r| r.root.as_deref()).or(server.defaults.root.as_deref()).unwrap_or(ROOT);
    let name = |path: &str| match location {
        Some(Location { alias: Some(alias), path: prefix, .. }) => {
            format!("{}/{}", alias.trim_end_matches('/'), path.strip_prefix(prefix.as_str()).unwrap_or(path).trim_start_matches('/'))
        }
        _ => format!("{root}{path}"),
    };
    let default_index = vec!["index.html".to_string(), "index.htm".to_string()];
    let index = rules.and_then(|r| r.index.as_ref()).or(server.defaults.index.as_ref()).unwrap_or(&default_index);
    let kind = rules.and_then(|r| r.default_type.as_deref()).or(server.defaults.default_type.as_deref());
    let Some(tries) = rules.and_then(|r| r.try_files.as_ref()).or(server.defaults.try_files.as_ref()) else {
        return file(&name(path), path, request, index, kind);
    };
    for (position, candidate) in tries.iter().enumerate() {
        let candidate = fill(candidate, request, path);
        if let Some(code) = candidate.strip_prefix('=').and_then(|c| c.parse().ok()) {
            return page(code);
        }
        let last = position + 1 == tries.len();
        let there = std::fs::metadata(name(&candidate)).is_ok_and(|m| m.is_dir() == candidate.ends_with('/'));
        if there || last {
            return file(&name(&candidate), &candidate, request, index, kind);
        }
    }
    page(404)
}

fn file(name: &str, path: &str, request: &Request, index: &[String], kind: Option<&str>) -> Answer {
    let meta = match std::fs::metadata(name) {
        Ok(meta) => meta,
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => return page(403),
        Err(_) => return page(404),
    };
    if !meta.is_dir() {
        // A file is not a folder.
        return if path.ends_with('/') { page(404) } else { content(name, &meta, request, kind) };
    }
    if !path.ends_with('/') {
        let mut answer = page(301);
        let scheme = if request.scheme.is_empty() { "http" } else { request.scheme };
        answer.headers.push(("location".into(), format!("{scheme}://{}{}/", request.host, encode(path))));
        return answer;
    }
    for candidate in index {
        let inside = format!("{}/{candidate}", name.trim_end_matches('/'));
        if let Ok(meta) = std::fs::metadata(&inside)
            && !meta.is_dir()
        {
            return content(&inside, &meta, request, kind);
        }
    }
    page(403)
}

fn content(name: &str, meta: &Metadata, request: &Request, kind: Option<&str>) -> Answer {
    let Ok(file) = File::open(name) else { return page(403) };
    let size = meta.len();
    let modified = meta.modified().ok().and_then(|m| m.duration_since(UNIX_EPOCH).ok()).map_or(0, |d| d.as_secs());
    let (etag, date) = (format!("\"{modified:x}-{size:x}\""), clock::http(modified));
    let mut headers = vec![("last-modified".into(), date.clone()), ("etag".into(), etag.clone())];
    let weak = |tag: &str| tag.trim().trim_start_matches("W/") == etag;
    let unchanged = match request.if_none_match {
        "" => request.if_modified_since == date,
        tags => tags.trim() == "*" || tags.split(',').any(weak),
    };
    if unchanged {
        return Answer { status: 304, headers, body: Body::Empty };
    }
    let kind = mime::of(name).or(kind).unwrap_or("application/octet-stream");
    headers.push(("content-type".into(), kind.into()));
    headers.push(("accept-ranges".into(), "bytes".into()));
    let conditional = request.if_range.is_empty() || request.if_range == etag || request.if_range == date;
    match if conditional { range(request.range, size) } else { None } {
        None => Answer { status: 200, headers, body: Body::File(file, 0, size) },
        Some(Err(())) => {
            let mut answer = page(416);
            answer.headers.push(("content-range".into(), format!("bytes */{size}")));
            answer
        }
        Some(Ok((from, length))) => {
            headers.push(("content-range".into(), format!("bytes {from}-{}/{size}", from + length - 1)));
            Answer { status: 206, headers, body: Body::File(file, from, length) }
        }
    }
}

/// One range of bytes: (from, length). Several, or what is no range, are as if there were none.
fn range(text: &str, size: u64) -> Option<Result<(u64, u64), ()>> {
    let (from, to) = text.strip_prefix("bytes=")?.trim().split_once('-')?;
    if to.contains(',') {
        return None;
    }
    let (from, last) = match (from.is_empty(), to.is_empty()) {
        (true, true) => return None,
        (true, false) => {
            let length = to.parse::<u64>().ok()?.min(size);
            if length == 0 {
                return Some(Err(()));
            }
            (size - length, size - 1)
        }
        (false, true) => (from.parse().ok()?, u64::MAX),
        (false, false) => (from.parse().ok()?, to.parse().ok()?),
    };
    if last < from {
        return None;
    }
    if from >= size {
        return Some(Err(()));
    }
    Some(Ok((from, last.min(size - 1) - from + 1)))
}

/// The page of an error or redirection.
pub fn page(status: u16) -> Answer {
    let words = match status {
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Authorization Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Not Allowed",
        410 => "Gone",
        416 => "Requested Range Not Satisfiable",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Temporarily Unavailable",
        504 => "Gateway Time-out",
        _ => "",
    };
    let title = format!("{status} {words}");
    let title = title.trim();
    let text = format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n<hr><center>{FOOTER}</center>\r\n</body>\r\n</html>\r\n"
    );
    Answer { status, headers: vec![("content-type".into(), "text/html".into())], body: Body::Text(text) }
}

/// A path for a Location header.
fn encode(path: &str) -> String {
    let mut safe = String::new();
    for b in path.bytes() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => safe.push(b as char),
            b => safe.push_str(&format!("%{b:02X}")),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (text, want) in [
            ("bytes=0-4", Some(Ok((0, 5)))),
            ("bytes=5-", Some(Ok((5, 5)))),
            ("bytes=-3", Some(Ok((7, 3)))),
            ("bytes=-30", Some(Ok((0, 10)))),
            ("bytes=8-100", Some(Ok((8, 2)))),
            ("bytes=10-", Some(Err(()))),
            ("bytes=4-2", None),
            ("bytes=0-1,3-4", None),
            ("bytes=-", None),
            ("lines=1-2", None),
            ("", None),
        ] {
            assert_eq!(range(text, 10), want, "{text}");
        }
    }

    #[test]
    fn files_are_served() {
        let dir = std::env::temp_dir().join(format!("wharf-nginx-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("sub")).unwrap();
        std::fs::write(dir.join("index.html"), "<h1>hi</h1>").unwrap();
        std::fs::write(dir.join("a b.txt"), "0123456789").unwrap();
        let config = config::parse(&format!(
            "server {{ root {0}; location /alias {{ alias {0}; }} location /spa {{ try_files $uri /index.html; }} location /gone {{ return 410; }} location /old {{ return 301 /new; }} \
             location /to {{ return 302 $scheme://$host$request_uri; }} location /api/ {{ proxy_pass http://up/v1/; }} error_page 404 /index.html; }} upstream up {{ server a:1; }}",
            dir.display()
        ));
        let get = |target: &str| answer(&config, &Request { method: "GET", target, host: "h", ..Request::default() });
        let header = |a: &Answer, name: &str| a.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone()).unwrap_or_default();
        for (target, status) in [
            ("/", 200),
            ("/index.html", 200),
            ("/a%20b.txt", 200),
            ("/none", 404),
            ("/sub", 301),
            ("/sub/", 403),
            ("/index.html/", 404),
            ("/../x", 400),
            ("/alias/index.html", 200),
            ("/spa/deep/link", 200),
            ("/gone", 410),
            ("/old", 301),
        ] {
            assert_eq!(get(target).status, status, "{target}");
        }
        assert_eq!(header(&get("/"), "content-type"), "text/html");
        assert_eq!(header(&get("/sub"), "location"), "http://h/sub/");
        assert_eq!(header(&get("/to?a=b"), "location"), "http://h/to?a=b");
        assert!(matches!(get("/none").body, Body::File(..)), "an error has the page that is set for it");
        let Body::Proxy(passed) = get("/api/x?y=z").body else { panic!("not passed on") };
        assert_eq!(passed, Passed { authority: "a:1".into(), target: "/v1/x?y=z".into(), headers: vec![("host".into(), "a:1".into())] });
        let first = get("/a%20b.txt");
        let tag = header(&first, "etag");
        assert_eq!(answer(&config, &Request { method: "GET", target: "/a%20b.txt", if_none_match: &tag, ..Request::default() }).status, 304);
        let part = answer(&config, &Request { method: "GET", target: "/a%20b.txt", range: "bytes=2-3", ..Request::default() });
        assert_eq!((part.status, header(&part, "content-range").as_str()), (206, "bytes 2-3/10"));
        assert_eq!(answer(&config, &Request { method: "POST", target: "/", ..Request::default() }).status, 405);
        std::fs::remove_dir_all(dir).unwrap();
    }
}
