//! `wget [-cqS] [--spider] [-O FILE] [-o FILE] [--header STR] [--post-data STR] [-Y on|off] [-P DIR] [-U AGENT] [-T SEC] URL…`

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use super::http::{Body, Connection, Head};
use super::url::Url;
use crate::applets::text::base64;
use crate::container::tls;
use crate::context::{Context, Error, Result};
use crate::io::{Output, reason};
use crate::net::{self, TcpStream};
use crate::options::Options;
use crate::rt;

/// Redirections that are followed.
const MOST: u32 = 5;

pub async fn wget(cx: &mut Context) -> Result {
    let long = [
        ("spider", 's'),
        ("output-document", 'O'),
        ("output-file", 'o'),
        ("header", 'h'),
        ("post-data", 'p'),
        ("post-file", 'f'),
        ("quiet", 'q'),
        ("continue", 'c'),
        ("server-response", 'S'),
        ("directory-prefix", 'P'),
        ("user-agent", 'U'),
        ("timeout", 'T'),
        ("tries", 't'),
        ("no-check-certificate", 'k'),
        ("proxy", 'Y'),
        ("no-verbose", 'n'),
        ("method", 'm'),
        ("body-data", 'b'),
    ];
    let options = cx.options("cqSO:o:P:Y:U:T:t:n:sh:p:f:km:b:", &long)?;
    if options.operands.is_empty() {
        return Err(Error::usage("usage: wget [-cqS] [--spider] [-O FILE] [--header STR] [--post-data STR] [-P DIR] [-U AGENT] [-T SEC] URL..."));
    }
    let limit = match options.value('T') {
        Some(text) => Duration::from_secs_f64(
            text.parse::<f64>().ok().filter(|seconds| (0.0..1e9).contains(seconds)).ok_or_else(|| Error::new(format!("invalid number '{text}'")))?,
        ),
        None => Duration::from_secs(900),
    };
    let mut log = Log { quiet: options.has('q'), output: None };
    if let Some(path) = options.value('o').filter(|path| *path != "-") {
        log.output = Some(cx.create(path, false).map_err(|error| Error::about(path, &error))?);
    }
    for operand in &options.operands {
        let Some(url) = Url::parse(operand) else { return Err(Error::new(format!("not an http or ftp url: {operand}"))) };
        get(cx, &options, url, limit, &log).await?;
    }
    Ok(0)
}

struct Log {
    quiet: bool,
    output: Option<crate::io::Descriptor>,
}

impl Log {
    async fn say(&self, cx: &Context, text: String) {
        if !self.quiet {
            let to = self.output.as_ref().unwrap_or(&cx.stderr);
            let _ = to.write_all(text.as_bytes()).await;
        }
    }
}

fn timed_out() -> Error {
    Error::new("download timed out")
}

async fn get(cx: &Context, options: &Options, mut url: Url, limit: Duration, log: &Log) -> Result<()> {
    let target = match options.value('O') {
        Some(path) => path.to_string(),
        None => {
            let path = url.path.split('?').next().unwrap_or_default();
            let name = crate::applets::name_of(path);
            let name = if name.is_empty() { "index.html" } else { name };
            options.value('P').map_or(name.to_string(), |folder| format!("{}/{name}", folder.trim_end_matches('/')))
        }
    };
    let begun = if options.has('c') { std::fs::metadata(cx.path(&target)).map_or(0, |metadata| metadata.len()) } else { 0 };
    let mut turns = 0;
    let (mut connection, head) = loop {
        let (connection, head) = ask(cx, options, &url, begun, limit, log).await?;
        let status = head.status();
        if options.has('S') {
            log.say(cx, head.raw.lines().filter(|line| !line.is_empty()).map(|line| format!("  {line}\n")).collect()).await;
        }
        match status {
            300..=303 | 307 | 308 => {
                turns += 1;
                let location = head.get("Location").ok_or_else(|| Error::new("server returned error: ".to_string() + &head.first))?;
                if turns > MOST {
                    return Err(Error::new("too many redirections"));
                }
                url = url.join(location).ok_or_else(|| Error::new(format!("bad redirection (no {location})")))?;
            }
            200..=206 => break (connection, head),
            _ => return Err(Error::new(format!("server returned error: {}", head.first))),
        }
    };
    if options.has('s') {
        log.say(cx, "remote file exists\n".into()).await;
        return Ok(());
    }
    let resumes = begun > 0 && head.status() == 206;
    let to_stdout = target == "-";
    let output = match to_stdout {
        true => cx.stdout.clone(),
        false => Output::new(cx.create(&target, resumes).map_err(|error| Error::new(format!("can't open '{target}': {}", reason(&error))))?),
    };
    log.say(cx, if to_stdout { "writing to stdout\n".into() } else { format!("saving to '{target}'\n") }).await;
    let mut body = Body::of(&head, "GET");
    let total = head.length();
    let mut received = 0;
    loop {
        let bytes = match rt::timeout(limit, connection.body(&mut body)).await {
            None => return Err(timed_out()),
            Some(Ok(bytes)) => bytes,
            Some(Err(error)) if error.kind() == ErrorKind::UnexpectedEof => return Err(Error::new("connection closed prematurely")),
            Some(Err(error)) => return Err(Error::new(reason(&error))),
        };
        if bytes.is_empty() {
            break;
        }
        received += bytes.len() as u64;
        output.write(bytes).await?;
    }
    output.flush().await?;
    let name = if to_stdout { "-" } else { crate::applets::name_of(&target) };
    log.say(cx, progress(name, received, total) + if to_stdout { "written to stdout\n" } else { "" }).await;
    if !to_stdout {
        log.say(cx, format!("'{target}' saved\n")).await;
    }
    Ok(())
}

/// The last line of the progress meter.
fn progress(name: &str, received: u64, total: Option<u64>) -> String {
    let short: String = name.chars().take(20).collect();
    let amount = if received >= 1 << 20 {
        format!("{:.1}M", received as f64 / f64::from(1 << 20))
    } else if received >= 1 << 10 {
        format!("{}k", received >> 10)
    } else {
        received.to_string()
    };
    let size = amount.len();
    let _ = (size, total);
    format!("{short:<20} 100% |{}| {amount:>5}  0:00:00 ETA\n", "*".repeat(32))
}

/// Sends the request and reads the head of the answer.
async fn ask(cx: &Context, options: &Options, url: &Url, begun: u64, limit: Duration, log: &Log) -> Result<(Connection, Head)> {
    if !matches!(url.scheme.as_str(), "http" | "https") {
        return Err(Error::new(format!("not an http or ftp url: {}://{}", url.scheme, url.host)));
    }
    let addresses = net::lookup(&url.host).await.map_err(|_| Error::new(format!("bad address '{}'", url.host)))?;
    let mut last = io::Error::from(ErrorKind::NotFound);
    let mut connected = None;
    for address in addresses {
        let address = SocketAddr::new(address, url.port);
        log.say(cx, format!("Connecting to {} ({address})\n", url.authority())).await;
        match rt::timeout(limit, TcpStream::connect(address)).await {
            None => return Err(timed_out()),
            Some(Ok(stream)) => {
                connected = Some(stream);
                break;
            }
            Some(Err(error)) => last = Error::about_connection(&url.host, address, error),
        }
    }
    let Some(mut stream) = connected else { return Err(Error::new(reason(&last))) };
    if url.scheme == "https" {
        let secured = tls::Options { server_name: url.host.clone(), roots: None, insecure: options.has('k'), identity: None };
        stream = match rt::timeout(limit, stream.secure(&secured)).await {
            None => return Err(timed_out()),
            Some(Ok(stream)) => stream,
            Some(Err(words)) => return Err(Error::new(format!("TLS error: {words}"))),
        };
    }
    let post = match (options.value('p'), options.value('f'), options.value('b')) {
        (Some(text), _, _) | (_, _, Some(text)) => Some(text.as_bytes().to_vec()),
        (_, Some(path), _) => Some(cx.open(path).map_err(|error| Error::about(path, &error))?.read_to_end().await?),
        _ => None,
    };
    let method = options.value('m').unwrap_or(if post.is_some() {
        "POST"
    } else if options.has('s') {
        "HEAD"
    } else {
        "GET"
    });
    let mut request = format!("{method} {} HTTP/1.1\r\n", url.path);
    let headers: Vec<&str> = options.values('h').collect();
    let given = |name: &str| headers.iter().any(|header| header.to_ascii_lowercase().starts_with(&format!("{name}:")));
    if !given("host") {
        request += &format!("Host: {}\r\n", url.authority());
    }
    if !given("user-agent") {
        request += &format!("User-Agent: {}\r\n", options.value('U').unwrap_or("Wget"));
    }
    request += "Connection: close\r\n";
    if let Some(user) = &url.user {
        request += &format!("Authorization: Basic {}\r\n", base64::encode(user.as_bytes()));
    }
    if begun > 0 {
        request += &format!("Range: bytes={begun}-\r\n");
    }
    for header in &headers {
        request += &format!("{header}\r\n");
    }
    if let Some(post) = &post {
        if !given("content-type") {
            request += "Content-Type: application/x-www-form-urlencoded\r\n";
        }
        request += &format!("Content-Length: {}\r\n", post.len());
    }
    request += "\r\n";
    let mut bytes = request.into_bytes();
    bytes.extend(post.unwrap_or_default());
    let mut connection = Connection::new(stream);
    let answered = rt::timeout(limit, async {
        connection.stream().write_all(&bytes).await?;
        loop {
            let head = connection.head().await?;
            if head.status() / 100 != 1 {
                return io::Result::Ok(head);
            }
        }
    })
    .await;
    match answered {
        None => Err(timed_out()),
        Some(Ok(head)) if head.first.starts_with("HTTP/") => Ok((connection, head)),
        Some(Ok(head)) => Err(Error::new(format!("bad response: {}", head.first))),
        Some(Err(error)) if error.kind() == ErrorKind::UnexpectedEof => Err(Error::new("error getting response")),
        Some(Err(error)) => Err(Error::new(reason(&error))),
    }
}

impl Error {
    /// `can't connect to remote host (10.0.0.1): Connection refused`
    fn about_connection(_: &str, address: SocketAddr, error: io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("can't connect to remote host ({}): {}", address.ip(), reason(&error)))
    }
}
