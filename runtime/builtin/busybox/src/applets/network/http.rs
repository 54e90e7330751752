//! HTTP/1.1, as `wget`, `curl` and `httpd` speak it.

use std::io::{self, ErrorKind};

use crate::net::TcpStream;

/// The longest head of a message.
const LONGEST_HEAD: usize = 256 << 10;

/// A connection whose bytes are read in pieces.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    ended: bool,
}

/// What stands before a body.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// `HTTP/1.1 200 OK`, or `GET / HTTP/1.1`
    pub first: String,
    pub headers: Vec<(String, String)>,
    /// All of it, as it came.
    pub raw: String,
}

impl Head {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The status of a response.
    pub fn status(&self) -> u16 {
        self.first.split_whitespace().nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
    }

    pub fn is_chunked(&self) -> bool {
        self.get("Transfer-Encoding").is_some_and(|value| value.to_ascii_lowercase().contains("chunked"))
    }

    pub fn length(&self) -> Option<u64> {
        self.get("Content-Length")?.trim().parse().ok()
    }
}

/// How a body ends.
#[derive(Clone, Copy, Debug)]
pub enum Body {
    Length(u64),
    /// What is left of a chunk.
    Chunked(u64),
    /// With the connection.
    Open,
    Over,
}

impl Body {
    /// The body of a response.
    pub fn of(head: &Head, method: &str) -> Body {
        let status = head.status();
        if method == "HEAD" || status / 100 == 1 || status == 204 || status == 304 {
            Body::Over
        } else if head.is_chunked() {
            Body::Chunked(0)
        } else {
            head.length().map_or(Body::Open, Body::Length)
        }
    }
}

impl Connection {
    pub fn new(stream: TcpStream) -> Connection {
        Connection { stream, buffer: Vec::new(), ended: false }
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    async fn fill(&mut self) -> io::Result<bool> {
        if self.ended {
            return Ok(false);
        }
        let bytes = self.stream.read(64 << 10).await?;
        self.ended = bytes.is_empty();
        self.buffer.extend(bytes);
        Ok(!self.ended)
    }

    async fn line(&mut self, most: usize) -> io::Result<String> {
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.buffer) {
                let line: Vec<u8> = self.buffer.drain(..=at).collect();
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            if self.buffer.len() > most {
                return Err(io::Error::new(ErrorKind::InvalidData, "header line too long"));
            }
            if !self.fill().await? {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Reads a head. `UnexpectedEof` when the other side said nothing.
    pub async fn head(&mut self) -> io::Result<Head> {
        let mut head = Head::default();
        loop {
            let line = self.line(LONGEST_HEAD).await?;
            head.raw += &line;
            if head.raw.len() > LONGEST_HEAD {
                return Err(io::Error::new(ErrorKind::InvalidData, "headers too long"));
            }
            let text = line.trim_end_matches(['\r', '\n']);
            if head.first.is_empty() {
                if !text.is_empty() {
                    head.first = text.into();
                }
                continue;
            }
            if text.is_empty() {
                return Ok(head);
            }
            if let Some((name, value)) = text.split_once(':') {
                head.headers.push((name.trim().into(), value.trim().into()));
            }
        }
    }

    /// The next bytes of a body; empty at its end.
    pub async fn body(&mut self, body: &mut Body) -> io::Result<Vec<u8>> {
        loop {
            let limit = match body {
                Body::Over | Body::Length(0) => return Ok(Vec::new()),
                Body::Length(left) => *left,
                Body::Open => u64::MAX,
                Body::Chunked(0) => {
                    let line = self.line(LONGEST_HEAD).await?;
                    let digits = line.trim().split(';').next().unwrap_or_default().trim();
                    if digits.is_empty() {
                        continue;
                    }
                    let size = u64::from_str_radix(digits, 16).map_err(|_| io::Error::new(ErrorKind::InvalidData, "bad chunk"))?;
                    if size == 0 {
                        while !self.line(LONGEST_HEAD).await?.trim().is_empty() {}
                        *body = Body::Over;
                    } else {
                        *body = Body::Chunked(size);
                    }
                    continue;
                }
                Body::Chunked(left) => *left,
            };
            if self.buffer.is_empty() && !self.fill().await? {
                return match body {
                    Body::Open => Ok(Vec::new()),
                    _ => Err(ErrorKind::UnexpectedEof.into()),
                };
            }
            let count = self.buffer.len().min(usize::try_from(limit).unwrap_or(usize::MAX));
            let bytes: Vec<u8> = self.buffer.drain(..count).collect();
            match body {
                Body::Length(left) => *left -= count as u64,
                Body::Chunked(left) => {
                    *left -= count as u64;
                    if *left == 0 {
                        // The chunk's own newline.
                        self.line(2).await?;
                    }
                }
                Body::Open | Body::Over => {}
            }
            return Ok(bytes);
        }
    }
}
