//! Plain HTTP/1.1, as much of it as a test needs.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use libtest_mimic::Failed;

use crate::client::Answer;

/// GET over a connection of its own.
pub fn get(at: SocketAddr, host: &str, path: &str) -> Result<Answer, Failed> {
    send(at, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
}

/// Sends this text, and reads until the server closes.
pub fn send(at: SocketAddr, request: &str) -> Result<Answer, Failed> {
    let mut stream = TcpStream::connect(at)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(request.as_bytes())?;
    let mut raw = Vec::new();
    stream.read_to_end(&mut raw)?;
    parse(&raw)
}

/// An answer that ended with its connection.
pub fn parse(raw: &[u8]) -> Result<Answer, Failed> {
    let end = raw.windows(4).position(|w| w == b"\r\n\r\n").ok_or_else(|| format!("no HTTP answer: {:?}", String::from_utf8_lossy(raw)))?;
    let head = String::from_utf8_lossy(&raw[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or("no status code")?;
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = &raw[end + 4..];
    Ok(Answer { status, body: if chunked { unchunk(body)? } else { body.to_vec() } })
}

fn unchunk(mut rest: &[u8]) -> Result<Vec<u8>, Failed> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|w| w == b"\r\n").ok_or("a chunk is cut")?;
        let text = std::str::from_utf8(&rest[..line])?;
        let size = usize::from_str_radix(text.split(';').next().unwrap_or_default().trim(), 16)?;
        let data = &rest[line + 2..];
        if size == 0 {
            return Ok(body);
        }
        body.extend_from_slice(data.get(..size).ok_or("a chunk is cut")?);
        rest = data.get(size + 2..).ok_or("a chunk is cut")?;
    }
}
