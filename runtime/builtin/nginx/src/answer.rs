//! What a request gets: decided from the configuration and the files, written by [`crate::wasi`].

use std::fs::{File, Metadata};
use std::time::UNIX_EPOCH;

use crate::clock;
use crate::config::{self, Location, Rules, Server};
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
}

const ROOT: &str = "/usr/share/nginx/html";
const FOOTER: &str = "nginx (Wharf)";

/// Decides.
pub fn answer(servers: &[Server], request: &Request) -> Answer {
    let none = Server::default();
    let server = config::choose(servers, request.host).unwrap_or(&none);
    let Some(path) = path::normalise(request.target) else { return page(400) };
    let location = server.location(&path);
    let rules = |of: &Rules| of.answer.clone();
    let headers = location.map_or(&server.defaults.headers, |l| if l.rules.headers.is_empty() { &server.defaults.headers } else { &l.rules.headers });
    let mut answer = match rules(&server.defaults).or_else(|| rules(&location?.rules)) {
        Some((status, text)) => fixed(server, location, status, text),
        None => files(server, location, request, &path),
    };
    if matches!(answer.status, 200 | 201 | 204 | 206 | 301 | 302 | 303 | 304 | 307 | 308) {
        answer.headers.extend(headers.iter().cloned());
    }
    answer
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
        let candidate = candidate.replace("$uri", path);
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
        let servers = config::parse(&format!(
            "server {{ root {0}; location /alias {{ alias {0}; }} location /spa {{ try_files $uri /index.html; }} location /gone {{ return 410; }} location /old {{ return 301 /new; }} }}",
            dir.display()
        ));
        let get = |target: &str| answer(&servers, &Request { method: "GET", target, host: "h", ..Request::default() });
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
        let first = get("/a%20b.txt");
        let tag = header(&first, "etag");
        assert_eq!(answer(&servers, &Request { method: "GET", target: "/a%20b.txt", if_none_match: &tag, ..Request::default() }).status, 304);
        let part = answer(&servers, &Request { method: "GET", target: "/a%20b.txt", range: "bytes=2-3", ..Request::default() });
        assert_eq!((part.status, header(&part, "content-range").as_str()), (206, "bytes 2-3/10"));
        assert_eq!(answer(&servers, &Request { method: "POST", target: "/", ..Request::default() }).status, 405);
        std::fs::remove_dir_all(dir).unwrap();
    }
}
