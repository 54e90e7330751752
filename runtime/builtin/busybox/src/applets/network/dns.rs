//! Questions to name servers, over UDP and, for long answers, TCP.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::net::{TcpStream, UdpSocket};
use crate::rt;

/// How often a question is asked, and how long an answer is waited for.
const ATTEMPTS: u32 = 2;
const PATIENCE: Duration = Duration::from_secs(5);

pub const TYPES: &[(&str, u16)] =
    &[("A", 1), ("NS", 2), ("CNAME", 5), ("SOA", 6), ("PTR", 12), ("MX", 15), ("TXT", 16), ("AAAA", 28), ("SRV", 33), ("ANY", 255)];

/// An answer.
pub struct Answer {
    pub code: u8,
    pub authoritative: bool,
    pub records: Vec<Record>,
}

pub struct Record {
    pub name: String,
    pub data: Data,
}

pub enum Data {
    Address(IpAddr),
    Alias(String),
    Pointer(String),
    Server(String),
    Exchange(u16, String),
    Text(String),
    Service(u16, u16, u16, String),
    Authority { name: String, mail: String, numbers: [u32; 5] },
}

/// What `/etc/resolv.conf` says.
#[derive(Default)]
pub struct Settings {
    pub servers: Vec<IpAddr>,
    pub search: Vec<String>,
    pub dots: usize,
}

impl Settings {
    pub fn read(text: &str) -> Settings {
        let mut settings = Settings { dots: 1, ..Settings::default() };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => settings.servers.extend(words.next().and_then(|address| address.parse::<IpAddr>().ok())),
                Some("search" | "domain") => settings.search = words.map(String::from).collect(),
                Some("options") => {
                    for option in words {
                        if let Some(dots) = option.strip_prefix("ndots:").and_then(|dots| dots.parse().ok()) {
                            settings.dots = dots;
                        }
                    }
                }
                _ => {}
            }
        }
        settings
    }

    /// The names that a name may mean, in the order in which they are tried.
    pub fn candidates(&self, name: &str) -> Vec<String> {
        if let Some(absolute) = name.strip_suffix('.') {
            return vec![absolute.into()];
        }
        let searched = self.search.iter().map(|domain| format!("{name}.{}", domain.trim_end_matches('.')));
        if name.matches('.').count() >= self.dots {
            std::iter::once(name.to_string()).chain(searched).collect()
        } else {
            searched.chain([name.to_string()]).collect()
        }
    }
}

/// Asks a server.
pub async fn ask(server: SocketAddr, name: &str, kind: u16) -> io::Result<Answer> {
    let id = wasip2::random::random::get_random_u64() as u16;
    let question = question(id, name, kind)?;
    let local: SocketAddr = if server.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    for _ in 0..ATTEMPTS {
        let socket = UdpSocket::bind(local).await?;
        socket.send_to(&question, server).await?;
        let answered = rt::timeout(PATIENCE, async {
            loop {
                let (bytes, _) = socket.receive_from().await?;
                if bytes.get(..2) == Some(&id.to_be_bytes()) {
                    return io::Result::Ok(bytes);
                }
            }
        })
        .await;
        let Some(bytes) = answered.transpose()? else { continue };
        let truncated = bytes.get(2).is_some_and(|flags| flags & 2 != 0);
        let bytes = if truncated { rt::timeout(PATIENCE, over_tcp(server, &question)).await.ok_or(ErrorKind::TimedOut)?? } else { bytes };
        return read(&bytes).ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "bad answer"));
    }
    Err(ErrorKind::TimedOut.into())
}

async fn over_tcp(server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let stream = TcpStream::connect(server).await?;
    stream.write_all(&(question.len() as u16).to_be_bytes()).await?;
    stream.write_all(question).await?;
    let mut bytes = Vec::new();
    loop {
        let some = stream.read(64 << 10).await?;
        if some.is_empty() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        bytes.extend(some);
        if let [high, low, rest @ ..] = bytes.as_slice()
            && rest.len() >= usize::from(u16::from_be_bytes([*high, *low]))
        {
            return Ok(rest.to_vec());
        }
    }
}

fn question(id: u16, name: &str, kind: u16) -> io::Result<Vec<u8>> {
    let mut bytes = [id, 0x0100, 1, 0, 0, 0].map(u16::to_be_bytes).concat();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        let length = u8::try_from(label.len()).ok().filter(|length| *length < 64).ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "label too long"))?;
        bytes.push(length);
        bytes.extend(label.bytes());
    }
    bytes.push(0);
    bytes.extend(kind.to_be_bytes());
    bytes.extend(1u16.to_be_bytes());
    Ok(bytes)
}

fn read(bytes: &[u8]) -> Option<Answer> {
    let number = |at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
    let long = |at: usize| Some(u32::from(number(at)?) << 16 | u32::from(number(at + 2)?));
    let flags = number(2)?;
    let mut at = 12;
    for _ in 0..number(4)? {
        at = name(bytes, at)?.1 + 4;
    }
    let mut records = Vec::new();
    for _ in 0..number(6)? {
        let (owner, behind) = name(bytes, at)?;
        let kind = number(behind)?;
        let length = usize::from(number(behind + 8)?);
        let from = behind + 10;
        let content = bytes.get(from..from + length)?;
        let data = match (kind, content) {
            (1, [a, b, c, d]) => Some(Data::Address(Ipv4Addr::new(*a, *b, *c, *d).into())),
            (28, content) => <[u8; 16]>::try_from(content).ok().map(|octets| Data::Address(Ipv6Addr::from(octets).into())),
            (5, _) => Some(Data::Alias(name(bytes, from)?.0)),
            (12, _) => Some(Data::Pointer(name(bytes, from)?.0)),
            (2, _) => Some(Data::Server(name(bytes, from)?.0)),
            (15, _) => Some(Data::Exchange(number(from)?, name(bytes, from + 2)?.0)),
            (33, _) => Some(Data::Service(number(from)?, number(from + 2)?, number(from + 4)?, name(bytes, from + 6)?.0)),
            (16, content) => {
                let mut text = String::new();
                let mut rest = content;
                while let [length, behind @ ..] = rest {
                    let part = behind.get(..usize::from(*length))?;
                    text += &String::from_utf8_lossy(part);
                    rest = &behind[part.len()..];
                }
                Some(Data::Text(text))
            }
            (6, _) => {
                let (server, behind) = name(bytes, from)?;
                let (mail, behind) = name(bytes, behind)?;
                let numbers = [long(behind)?, long(behind + 4)?, long(behind + 8)?, long(behind + 12)?, long(behind + 16)?];
                Some(Data::Authority { name: server, mail, numbers })
            }
            _ => None,
        };
        records.extend(data.map(|data| Record { name: owner, data }));
        at = from + length;
    }
    Some(Answer { code: (flags & 15) as u8, authoritative: flags & 0x0400 != 0, records })
}

/// A name, and where it ends.
fn name(bytes: &[u8], from: usize) -> Option<(String, usize)> {
    let mut labels: Vec<String> = Vec::new();
    let (mut at, mut end) = (from, None);
    // Pointers lead back, and not for ever.
    for _ in 0..128 {
        let length = usize::from(*bytes.get(at)?);
        if length & 0xc0 == 0xc0 {
            end.get_or_insert(at + 2);
            at = (length & 0x3f) << 8 | usize::from(*bytes.get(at + 1)?);
            continue;
        }
        if length == 0 {
            return Some((labels.join("."), end.unwrap_or(at + 1)));
        }
        labels.push(String::from_utf8_lossy(bytes.get(at + 1..at + 1 + length)?).into_owned());
        at += 1 + length;
    }
    None
}
