//! `curl [-sSfiIvLkgNGO] [-o FILE] [-w FORMAT] [-H HEADER] [-X METHOD] [-d DATA] [-T FILE] [-u USER] [-m SECONDS] URL…`

mod secure;

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use wasip2::clocks::monotonic_clock;

use super::http::{Body, Connection, Head};
use super::url::Url;
use crate::applets::text::base64;
use crate::context::{Context, Error, Result};
use crate::io::{Output, reason};
use crate::net::{self, TcpStream};
use crate::options::Options;
use crate::rt;

const AGENT: &str = concat!("curl/8.0.0 (wharf ", env!("CARGO_PKG_VERSION"), ")");
/// Redirections that are followed, unless told otherwise.
const MOST_REDIRECTIONS: i64 = 50;
const SHORT: &str = "sSfiIvLkgNGO#46jJaRqlno:w:H:X:d:T:u:m:A:e:b:c:r:x:E:K:F:z:Y:0";
/// Those without a letter of their own have a control character here.
const LONG: &[(&str, char)] = &[
    ("silent", 's'),
    ("show-error", 'S'),
    ("fail", 'f'),
    ("fail-with-body", '\u{1}'),
    ("include", 'i'),
    ("show-headers", 'i'),
    ("head", 'I'),
    ("verbose", 'v'),
    ("location", 'L'),
    ("location-trusted", 'L'),
    ("insecure", 'k'),
    ("globoff", 'g'),
    ("no-buffer", 'N'),
    ("get", 'G'),
    ("remote-name", 'O'),
    ("output", 'o'),
    ("write-out", 'w'),
    ("header", 'H'),
    ("request", 'X'),
    ("data", 'd'),
    ("data-ascii", 'd'),
    ("data-raw", '\u{2}'),
    ("data-binary", '\u{3}'),
    ("data-urlencode", '\u{4}'),
    ("json", '\u{5}'),
    ("upload-file", 'T'),
    ("user", 'u'),
    ("max-time", 'm'),
    ("connect-timeout", '\u{6}'),
    ("user-agent", 'A'),
    ("referer", 'e'),
    ("cookie", 'b'),
    ("cookie-jar", 'c'),
    ("range", 'r'),
    ("proxy", 'x'),
    ("noproxy", '\u{7}'),
    ("cacert", '\u{8}'),
    ("cert", 'E'),
    ("key", '\u{b}'),
    ("resolve", '\u{c}'),
    ("retry", '\u{e}'),
    ("retry-delay", '\u{f}'),
    ("retry-connrefused", '\u{10}'),
    ("retry-all-errors", '\u{11}'),
    ("max-redirs", '\u{12}'),
    ("dump-header", 'D'),
    ("url", '\u{13}'),
    ("http1.1", '\u{14}'),
    ("http1.0", '0'),
    ("http2", '\u{14}'),
    ("compressed", '\u{14}'),
    ("ipv4", '4'),
    ("ipv6", '6'),
    ("progress-bar", '#'),
    ("no-progress-meter", '\u{15}'),
    ("connect-to", '\u{16}'),
    ("create-dirs", '\u{14}'),
    ("path-as-is", '\u{14}'),
    ("oauth2-bearer", '\u{17}'),
];
const LONG_VALUED: &str = "\u{2}:\u{3}:\u{4}:\u{5}:\u{6}:\u{7}:\u{8}:\u{b}:\u{c}:\u{e}:\u{f}:\u{12}:D:\u{13}:\u{16}:\u{17}:\u{1}\u{10}\u{11}\u{14}\u{15}";

/// What went wrong, as curl numbers it.
struct Failure {
    code: i32,
    message: String,
}

fn failure(code: i32, message: impl Into<String>) -> Failure {
    Failure { code, message: message.into() }
}

/// What `-w` tells.
#[derive(Default)]
struct Facts {
    status: u16,
    url: String,
    redirect: Option<String>,
    redirects: i64,
    content_type: String,
    method: String,
    received: u64,
    sent: u64,
    header_size: usize,
    remote: Option<SocketAddr>,
    local: Option<SocketAddr>,
    named: f64,
    connected: f64,
    /// 0 without TLS.
    secured: f64,
    begun: f64,
    total: f64,
}

pub async fn curl(cx: &mut Context) -> Result {
    let options = match cx.options(&format!("{SHORT}{LONG_VALUED}"), LONG) {
        Ok(options) => options,
        Err(error) => {
            let message = error.message.replace("unrecognized option '", "option ").replace("invalid option -- '", "option -");
            let message = if message.starts_with("option ") { format!("{}: is unknown", message.trim_end_matches('\'')) } else { message };
            return Err(Error::new(format!("{message}\ncurl: try 'curl --help' for more information")).with_code(2));
        }
    };
    let mut urls: Vec<String> = options.values('\u{13}').map(String::from).collect();
    urls.extend(options.operands.iter().cloned());
    if urls.is_empty() {
        return Err(Error::new("(2) no URL specified\ncurl: try 'curl --help' for more information").with_code(2));
    }
    let outputs: Vec<&str> = options.values('o').collect();
    let mut code = 0;
    for (index, url) in urls.iter().enumerate() {
        let output = outputs.get(index).copied();
        code = transfer(cx, &options, url, output).await?;
    }
    Ok(code)
}

fn seconds(options: &Options, letter: char) -> Option<Duration> {
    options.value(letter)?.parse::<f64>().ok().filter(|seconds| *seconds > 0.0 && *seconds < 1e9).map(Duration::from_secs_f64)
}

/// One URL, with its retries, to its exit code.
async fn transfer(cx: &Context, options: &Options, url: &str, output: Option<&str>) -> Result {
    let begin = monotonic_clock::now();
    let mut left: u32 = options.value('\u{e}').and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut pause = 1;
    loop {
        let mut facts = Facts { url: url.into(), ..Facts::default() };
        let limit = seconds(options, 'm');
        let run = run(cx, options, url, output, &mut facts, begin);
        let ended = match limit {
            Some(limit) => rt::timeout(limit, run).await,
            None => Some(run.await),
        };
        facts.total = since(begin);
        let ended = ended.unwrap_or_else(|| {
            let milliseconds = limit.unwrap_or_default().as_millis();
            Err(if facts.connected == 0.0 {
                failure(28, format!("Connection timed out after {milliseconds} milliseconds"))
            } else {
                failure(28, format!("Operation timed out after {milliseconds} milliseconds with {} bytes received", facts.received))
            })
        });
        let code = ended.as_ref().err().map_or(0, |failure| failure.code);
        let transient = matches!(code, 6 | 28)
            || code == 7 && options.has('\u{10}')
            || code != 0 && options.has('\u{11}')
            || matches!(facts.status, 408 | 429 | 500 | 502 | 503 | 504);
        if transient && left > 0 {
            left -= 1;
            let delay = options.value('\u{f}').and_then(|text| text.parse().ok()).filter(|delay| *delay > 0).unwrap_or(pause);
            pause = (pause * 2).min(600);
            if !options.has('s') {
                cx.stderr
                    .write_all(format!("Warning: Problem: transient error. Will retry in {delay} seconds. {} retries left.\n", left + 1).as_bytes())
                    .await?;
            }
            rt::sleep(Duration::from_secs(delay)).await;
            continue;
        }
        if let Err(failure) = &ended
            && (!options.has('s') || options.has('S'))
        {
            cx.stdout.flush().await?;
            cx.warn(format!("({}) {}", failure.code, failure.message)).await;
        }
        if let Some(format) = options.value('w') {
            let message = ended.as_ref().err().map_or("", |failure| failure.message.as_str());
            cx.stdout.write(write_out(format, &facts, code, message)).await?;
        }
        return Ok(code);
    }
}

fn since(begin: u64) -> f64 {
    (monotonic_clock::now() - begin) as f64 / 1e9
}

/// What is sent as the body, and how.
async fn data(cx: &Context, options: &Options) -> Result<Option<Vec<u8>>, Failure> {
    let mut body: Option<Vec<u8>> = None;
    for (letter, value) in options.all() {
        let (Some(value), true) = (value, matches!(letter, 'd' | '\u{2}'..='\u{5}')) else { continue };
        let part = match (letter, value.strip_prefix('@')) {
            ('d' | '\u{3}' | '\u{5}', Some(path)) => {
                let input = if path == "-" { Ok(cx.stdin.clone()) } else { cx.open(path) };
                let bytes = match input {
                    Ok(input) => input.read_to_end().await,
                    Err(error) => Err(error),
                };
                let bytes = bytes.map_err(|_| failure(26, format!("Failed to open {path}")))?;
                if letter == 'd' { bytes.into_iter().filter(|byte| !matches!(byte, b'\r' | b'\n' | 0)).collect() } else { bytes }
            }
            ('\u{4}', _) => {
                let (name, text) = match value.split_once('=') {
                    Some(("", text)) => (String::new(), text),
                    Some((name, text)) => (format!("{name}="), text),
                    None => (String::new(), value),
                };
                format!("{name}{}", encoded(text)).into_bytes()
            }
            _ => value.as_bytes().to_vec(),
        };
        body = Some(match body {
            Some(mut all) => {
                if letter != '\u{5}' {
                    all.push(b'&');
                }
                all.extend(part);
                all
            }
            None => part,
        });
    }
    Ok(body)
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

async fn run(cx: &Context, options: &Options, text: &str, output: Option<&str>, facts: &mut Facts, begin: u64) -> Result<(), Failure> {
    let mut url = Url::parse(text).ok_or_else(|| failure(3, "URL using bad/illegal format or missing URL"))?;
    let mut body = data(cx, options).await?;
    if options.has('G')
        && let Some(query) = body.take()
    {
        url.path += if url.path.contains('?') { "&" } else { "?" };
        url.path += &String::from_utf8_lossy(&query);
    }
    if let Some(path) = options.value('T') {
        let input = if path == "-" { Ok(cx.stdin.clone()) } else { cx.open(path) };
        let input = input.map_err(|_| failure(26, format!("Can't open '{path}'!")))?;
        body = Some(input.read_to_end().await.map_err(|error| failure(26, reason(&error)))?);
        if url.path.ends_with('/') {
            url.path += crate::applets::name_of(path);
        }
    }
    let default = if options.has('I') {
        "HEAD"
    } else if options.has('T') {
        "PUT"
    } else if body.is_some() {
        "POST"
    } else {
        "GET"
    };
    let mut method = options.value('X').unwrap_or(default).to_string();
    let most = options.value('\u{12}').and_then(|text| text.parse().ok()).unwrap_or(MOST_REDIRECTIONS);
    let mut writer = Writer { output: None, path: output.map(String::from) };
    if options.has('O') && writer.path.is_none() {
        let name = crate::applets::name_of(url.path.split('?').next().unwrap_or_default());
        if name.is_empty() {
            return Err(failure(23, "Remote file name has no length!"));
        }
        writer.path = Some(name.into());
    }
    let dump = match options.value('D') {
        Some("-") => Some(cx.stdout.clone()),
        Some(path) => Some(Output::new(cx.create(path, false).map_err(|_| failure(23, format!("Failed to open {path}")))?)),
        None => None,
    };
    loop {
        facts.url = url.to_string();
        facts.method.clone_from(&method);
        let (mut connection, head) = ask(cx, options, &url, &method, body.as_deref(), facts, begin).await?;
        facts.status = head.status();
        facts.header_size += head.raw.len();
        facts.content_type = head.get("Content-Type").unwrap_or_default().into();
        facts.redirect = head.get("Location").filter(|_| (300..400).contains(&facts.status)).and_then(|location| url.join(location)).map(|url| url.to_string());
        if let Some(dump) = &dump {
            let _ = dump.write(&head.raw).await;
            let _ = dump.flush().await;
        }
        if options.has('f') && facts.status >= 400 {
            return Err(failure(22, format!("The requested URL returned error: {}", facts.status)));
        }
        if options.has('i') || options.has('I') {
            writer.write(cx, head.raw.as_bytes()).await?;
        }
        let follows = options.has('L') && (300..400).contains(&facts.status);
        let mut rest = Body::of(&head, &method);
        loop {
            let bytes = connection.body(&mut rest).await.map_err(|error| match error.kind() {
                ErrorKind::UnexpectedEof => failure(18, "transfer closed with outstanding read data remaining"),
                _ => failure(56, format!("Recv failure: {}", reason(&error))),
            })?;
            if bytes.is_empty() {
                break;
            }
            if !follows || facts.redirect.is_none() {
                facts.received += bytes.len() as u64;
                writer.write(cx, &bytes).await?;
            }
        }
        if options.has('v') {
            say(cx, &format!("* Connection #0 to host {} left intact\n", url.host)).await;
        }
        let next = head.get("Location").filter(|_| follows).and_then(|location| url.join(location));
        let Some(next) = next else { break };
        facts.redirects += 1;
        if most >= 0 && facts.redirects > most {
            return Err(failure(47, format!("Maximum ({most}) redirects followed")));
        }
        if matches!(facts.status, 301..=303) && !options.has('X') && method != "HEAD" && (facts.status == 303 || method == "POST") {
            method = "GET".into();
            body = None;
        }
        if options.has('v') {
            say(cx, &format!("* Issue another request to this URL: '{next}'\n")).await;
        }
        url = next;
    }
    writer.finish(cx, options, facts, begin).await?;
    if options.has('\u{1}') && facts.status >= 400 {
        return Err(failure(22, format!("The requested URL returned error: {}", facts.status)));
    }
    Ok(())
}

/// Where the body goes: opened when something comes.
struct Writer {
    output: Option<Output>,
    path: Option<String>,
}

impl Writer {
    fn open(&mut self, cx: &Context) -> Result<&Output, Failure> {
        let output = match (self.output.take(), self.path.as_deref()) {
            (Some(output), _) => output,
            (None, None | Some("-")) => cx.stdout.clone(),
            (None, Some(path)) => Output::new(cx.create(path, false).map_err(|_| failure(23, format!("Failed to open the file {path}")))?),
        };
        Ok(self.output.insert(output))
    }

    async fn write(&mut self, cx: &Context, bytes: &[u8]) -> Result<(), Failure> {
        self.open(cx)?.write(bytes).await.map_err(|_| failure(23, format!("Failure writing output to destination, passed {} returned 0", bytes.len())))
    }

    async fn finish(&mut self, cx: &Context, options: &Options, facts: &Facts, begin: u64) -> Result<(), Failure> {
        self.open(cx)?.flush().await.map_err(|_| failure(23, "Failed writing body"))?;
        let shown = self.path.as_deref().is_some_and(|path| path != "-") || !cx.stdout.descriptor().is_terminal();
        if shown && !options.has('s') && !options.has('\u{15}') {
            say(cx, &meter(facts.received, since(begin))).await;
        }
        Ok(())
    }
}

/// The progress meter, at its end.
fn meter(received: u64, seconds: f64) -> String {
    let speed = if seconds > 0.0 { (received as f64 / seconds) as u64 } else { received };
    let short = |value: u64| if value >= 100_000 { format!("{}k", value >> 10) } else { value.to_string() };
    let (amount, speed) = (short(received), short(speed));
    let front = "  % Total    % Received % Xferd  Average Speed   Time    Time     Time  Current\n                                 Dload  Upload   Total   Spent    Left  Speed\n";
    format!("{front}100 {amount:>5}  100 {amount:>5}    0     0  {speed:>5}      0 --:--:-- --:--:-- --:--:-- {speed:>5}\n")
}

async fn say(cx: &Context, text: &str) {
    let _ = cx.stderr.write_all(text.as_bytes()).await;
}

/// `--resolve HOST:PORT:ADDRESS` and `--connect-to HOST:PORT:OTHER:PORT`, else the resolver.
async fn addresses(options: &Options, url: &Url) -> Result<Vec<SocketAddr>, Failure> {
    for entry in options.values('\u{c}') {
        let mut parts = entry.trim_start_matches('+').splitn(3, ':');
        if let (Some(host), Some(port), Some(list)) = (parts.next(), parts.next(), parts.next())
            && (host == "*" || host.eq_ignore_ascii_case(&url.host))
            && port.parse() == Ok(url.port)
        {
            let found: Vec<SocketAddr> = list
                .split(',')
                .filter_map(|address| address.trim_matches(['[', ']']).parse::<IpAddr>().ok())
                .map(|address| SocketAddr::new(address, url.port))
                .collect();
            return if found.is_empty() { Err(failure(49, format!("Couldn't parse CURLOPT_RESOLVE entry '{entry}'"))) } else { Ok(found) };
        }
    }
    let (mut host, mut port) = (url.host.clone(), url.port);
    for entry in options.values('\u{16}') {
        let parts: Vec<&str> = entry.split(':').collect();
        if let [from, from_port, to, to_port] = parts.as_slice()
            && (from.is_empty() || from.eq_ignore_ascii_case(&url.host))
            && (from_port.is_empty() || from_port.parse() == Ok(url.port))
        {
            host = if to.is_empty() { host } else { to.to_string() };
            port = to_port.parse().unwrap_or(port);
        }
    }
    let found = net::lookup(&host).await.map_err(|_| failure(6, format!("Could not resolve host: {host}")))?;
    let wanted = |address: &IpAddr| !(options.has('4') && address.is_ipv6() || options.has('6') && address.is_ipv4());
    Ok(found.into_iter().filter(wanted).map(|address| SocketAddr::new(address, port)).collect())
}

async fn connect(cx: &Context, options: &Options, url: &Url, facts: &mut Facts, begin: u64) -> Result<TcpStream, Failure> {
    let addresses = addresses(options, url).await?;
    facts.named = since(begin);
    let limit = seconds(options, '\u{6}');
    let mut last = None;
    for address in addresses {
        if options.has('v') {
            say(cx, &format!("*   Trying {address}...\n")).await;
        }
        let connecting = TcpStream::connect(address);
        let connected = match limit {
            Some(limit) => rt::timeout(limit, connecting).await.ok_or_else(|| {
                failure(28, format!("Failed to connect to {} port {} after {} ms: Timeout was reached", url.host, url.port, limit.as_millis()))
            })?,
            None => connecting.await,
        };
        match connected {
            Ok(stream) => {
                facts.connected = since(begin);
                (facts.remote, facts.local) = (Some(address), stream.local().ok());
                if options.has('v') {
                    say(cx, &format!("* Connected to {} ({}) port {}\n", url.host, address.ip(), address.port())).await;
                }
                return Ok(stream);
            }
            Err(error) => {
                if options.has('v') {
                    say(cx, &format!("* connect to {} port {} failed: {}\n", address.ip(), address.port(), reason(&error))).await;
                }
                last = Some(error);
            }
        }
    }
    let milliseconds = (since(begin) * 1e3) as u64;
    let words = if last.is_some_and(|error| error.kind() == ErrorKind::TimedOut) { "Connection timed out" } else { "Couldn't connect to server" };
    Err(failure(
        if words.starts_with("Connection") { 28 } else { 7 },
        format!("Failed to connect to {} port {} after {milliseconds} ms: {words}", url.host, url.port),
    ))
}

fn request(options: &Options, url: &Url, method: &str, body: Option<&[u8]>) -> String {
    let given: Vec<&str> = options.values('H').collect();
    let named = |name: &str| given.iter().any(|header| header.split([':', ';']).next().is_some_and(|known| known.trim().eq_ignore_ascii_case(name)));
    let version = if options.has('0') { "1.0" } else { "1.1" };
    let mut text = format!("{method} {} HTTP/{version}\r\n", url.path);
    let mut header = |name: &str, value: &str| {
        if !named(name) {
            text += &format!("{name}: {value}\r\n");
        }
    };
    header("Host", &url.authority());
    if let Some(user) = options.value('u').or(url.user.as_deref()) {
        header("Authorization", &format!("Basic {}", base64::encode(user.as_bytes())));
    }
    if let Some(token) = options.value('\u{17}') {
        header("Authorization", &format!("Bearer {token}"));
    }
    if let Some(range) = options.value('r') {
        header("Range", &format!("bytes={range}"));
    }
    header("User-Agent", options.value('A').unwrap_or(AGENT));
    header("Accept", if options.has('\u{5}') { "application/json" } else { "*/*" });
    if let Some(referer) = options.value('e') {
        header("Referer", referer);
    }
    if let Some(cookie) = options.value('b').filter(|cookie| cookie.contains('=')) {
        header("Cookie", cookie);
    }
    if let Some(body) = body {
        header("Content-Length", &body.len().to_string());
        if !options.has('T') {
            header("Content-Type", if options.has('\u{5}') { "application/json" } else { "application/x-www-form-urlencoded" });
        }
    }
    for line in given {
        match (line.split_once(':'), line.strip_suffix(';')) {
            // `Name:` takes a header away.
            (Some((_, value)), _) if value.trim().is_empty() => {}
            (Some((name, value)), _) => text += &format!("{name}: {}\r\n", value.trim()),
            (None, Some(name)) => text += &format!("{name}:\r\n"),
            (None, None) => {}
        }
    }
    text + "\r\n"
}

/// Sends the request and reads the head of the answer.
async fn ask(
    cx: &Context,
    options: &Options,
    url: &Url,
    method: &str,
    body: Option<&[u8]>,
    facts: &mut Facts,
    begin: u64,
) -> Result<(Connection, Head), Failure> {
    if !matches!(url.scheme.as_str(), "http" | "https") {
        return Err(failure(1, format!("Protocol \"{}\" not supported or disabled in libcurl", url.scheme)));
    }
    let mut stream = connect(cx, options, url, facts, begin).await?;
    if url.scheme == "https" {
        stream = secure::secure(cx, options, url, stream).await?;
        facts.secured = since(begin);
    }
    let request = request(options, url, method, body);
    if options.has('v') {
        say(cx, &request.lines().map(|line| format!("> {line}\n")).collect::<String>()).await;
    }
    let mut bytes = request.into_bytes();
    bytes.extend_from_slice(body.unwrap_or_default());
    facts.sent = body.map_or(0, |body| body.len() as u64);
    let mut connection = Connection::new(stream);
    // An answer may come before all is sent.
    let sent = connection.stream().write_all(&bytes).await;
    let head = loop {
        match connection.head().await {
            Ok(head) if head.status() / 100 == 1 && head.status() != 101 => {}
            Ok(head) if !head.first.starts_with("HTTP/") => return Err(failure(1, "Received HTTP/0.9 when not allowed")),
            Ok(head) => break head,
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Err(failure(52, "Empty reply from server")),
            Err(error) => return Err(failure(56, format!("Recv failure: {}", reason(sent.as_ref().err().unwrap_or(&error))))),
        }
    };
    facts.begun = since(begin);
    if options.has('v') {
        say(cx, &head.raw.lines().map(|line| format!("< {}\n", line.trim_end_matches('\r'))).collect::<String>()).await;
    }
    Ok((connection, head))
}

/// `%{http_code}` and the others, and escapes.
fn write_out(format: &str, facts: &Facts, code: i32, message: &str) -> String {
    let mut out = String::new();
    let mut rest = format;
    while let Some(character) = rest.chars().next() {
        if let Some(behind) = rest.strip_prefix("%{")
            && let Some((name, after)) = behind.split_once('}')
        {
            out += &fact(name, facts, code, message);
            rest = after;
            continue;
        }
        if let Some(behind) = rest.strip_prefix("%%") {
            out.push('%');
            rest = behind;
            continue;
        }
        if character == '\\' && rest.len() > 1 {
            match rest.as_bytes()[1] {
                b'n' => out.push('\n'),
                b't' => out.push('\t'),
                b'r' => out.push('\r'),
                other => out.extend(['\\', char::from(other)]),
            }
            rest = rest.get(2..).unwrap_or_default();
            continue;
        }
        out.push(character);
        rest = &rest[character.len_utf8()..];
    }
    out
}

fn fact(name: &str, facts: &Facts, code: i32, message: &str) -> String {
    let place = |address: Option<SocketAddr>| address.map_or((String::new(), 0), |address| (address.ip().to_string(), address.port()));
    let time = |seconds: f64| format!("{seconds:.6}");
    match name {
        "http_code" | "response_code" => format!("{:03}", facts.status),
        "exitcode" => code.to_string(),
        "errormsg" => message.into(),
        "url_effective" | "url" => facts.url.clone(),
        "redirect_url" => facts.redirect.clone().unwrap_or_default(),
        "num_redirects" => facts.redirects.to_string(),
        "content_type" => facts.content_type.clone(),
        "method" => facts.method.clone(),
        "scheme" => facts.url.split("://").next().unwrap_or("http").into(),
        "http_version" => "1.1".into(),
        "size_download" => facts.received.to_string(),
        "size_upload" => facts.sent.to_string(),
        "size_header" => facts.header_size.to_string(),
        "speed_download" => format!("{}", if facts.total > 0.0 { (facts.received as f64 / facts.total) as u64 } else { 0 }),
        "num_connects" => u8::from(facts.remote.is_some()).to_string(),
        "remote_ip" => place(facts.remote).0,
        "remote_port" => place(facts.remote).1.to_string(),
        "local_ip" => place(facts.local).0,
        "local_port" => place(facts.local).1.to_string(),
        "time_namelookup" => time(facts.named),
        "time_connect" => time(facts.connected),
        "time_appconnect" => time(facts.secured),
        "time_redirect" => time(0.0),
        "time_pretransfer" => time(facts.connected.max(facts.secured)),
        "time_starttransfer" => time(facts.begun),
        "time_total" => time(facts.total),
        _ => String::new(),
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        failure(56, reason(&error))
    }
}
