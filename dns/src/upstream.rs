//! The world's names: the host's resolvers, asked with patience and remembered for a short while.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Semaphore;

/// How long one resolver may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long all of them together may take.
const ALL_PATIENCE: Duration = Duration::from_secs(5);
/// Questions under way at one time; more are refused.
const MOST: usize = 512;
/// Answers kept, and for how long at most.
const MOST_KEPT: usize = 4096;
const KEPT_FOR: u32 = 30;
/// resolv.conf allows three.
const MOST_SERVERS: usize = 3;

/// Why there is no answer from outside.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The host has no resolver.
    #[error("there is no resolver to ask")]
    NoServers,
    /// Too many questions are under way.
    #[error("too many questions are under way")]
    Busy,
    /// All failed; this is what the last one said.
    #[error("asking {server}: {reason}")]
    Failed {
        /// The resolver.
        server: SocketAddr,
        /// What went wrong.
        reason: String,
    },
}

/// The resolvers outside.
pub struct Upstream {
    servers: Vec<SocketAddr>,
    room: Semaphore,
    kept: Mutex<HashMap<(Name, RecordType), Kept>>,
}

struct Kept {
    message: Message,
    since: Instant,
    seconds: u32,
}

/// The resolvers that a `resolv.conf` names, without those that are our own.
pub fn nameservers(resolv_conf: &str, own: &[IpAddr]) -> Vec<SocketAddr> {
    let lines = resolv_conf.lines().filter_map(|line| line.split(['#', ';']).next()?.trim().strip_prefix("nameserver"));
    let ips = lines.filter(|rest| rest.starts_with([' ', '\t'])).filter_map(|rest| rest.split('%').next()?.trim().parse::<IpAddr>().ok());
    ips.filter(|ip| !own.contains(ip)).take(MOST_SERVERS).map(|ip| SocketAddr::new(ip, 53)).collect()
}

impl Upstream {
    /// Asks these.
    pub fn new(servers: Vec<SocketAddr>) -> Upstream {
        Upstream { servers, room: Semaphore::new(MOST), kept: Mutex::default() }
    }

    /// Asks those of the host's `/etc/resolv.conf`, without our own addresses.
    pub fn of_host(own: &[IpAddr]) -> Upstream {
        let text = std::fs::read_to_string("/etc/resolv.conf").inspect_err(|error| tracing::debug!(%error, "reading /etc/resolv.conf")).unwrap_or_default();
        Upstream::new(nameservers(&text, own))
    }

    /// Whom it asks.
    pub fn servers(&self) -> &[SocketAddr] {
        &self.servers
    }

    /// The answer of the first resolver that has one (which may be that there is no such name).
    pub(crate) async fn ask(&self, name: &Name, kind: RecordType) -> Result<Message, UpstreamError> {
        let key = (name.to_lowercase(), kind);
        if let Some(kept) = self.recall(&key) {
            return Ok(kept);
        }
        let mut failure = UpstreamError::NoServers;
        let Ok(_permit) = self.room.try_acquire() else { return Err(UpstreamError::Busy) };
        let asking = async {
            // Twice around.
            for server in self.servers.iter().chain(&self.servers) {
                match tokio::time::timeout(PATIENCE, exchange(*server, name, kind)).await {
                    Ok(Ok(message)) if matches!(message.metadata.response_code, ResponseCode::NoError | ResponseCode::NXDomain) => return Some(message),
                    Ok(Ok(message)) => failure = UpstreamError::Failed { server: *server, reason: message.metadata.response_code.to_string() },
                    Ok(Err(error)) => failure = UpstreamError::Failed { server: *server, reason: error.to_string() },
                    Err(_) => failure = UpstreamError::Failed { server: *server, reason: "no answer".to_owned() },
                }
            }
            None
        };
        let answer = tokio::time::timeout(ALL_PATIENCE, asking).await.ok().flatten();
        match answer {
            Some(message) => {
                self.keep(key, &message);
                Ok(message)
            }
            None => Err(failure),
        }
    }

    fn recall(&self, key: &(Name, RecordType)) -> Option<Message> {
        let kept = self.kept.lock();
        let kept = kept.get(key)?;
        let age = u32::try_from(kept.since.elapsed().as_secs()).ok()?;
        if age >= kept.seconds {
            return None;
        }
        let mut message = kept.message.clone();
        for record in message.answers.iter_mut().chain(&mut message.authorities) {
            record.ttl = record.ttl.saturating_sub(age);
        }
        Some(message)
    }

    fn keep(&self, key: (Name, RecordType), message: &Message) {
        let negative = message.authorities.iter().filter_map(|record| match &record.data {
            RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
            _ => None,
        });
        let seconds = if message.answers.is_empty() { negative.min() } else { message.answers.iter().map(|record| record.ttl).min() };
        let seconds = seconds.unwrap_or(0).min(KEPT_FOR);
        if seconds == 0 {
            return;
        }
        let mut kept = self.kept.lock();
        if kept.len() >= MOST_KEPT {
            kept.retain(|_, kept| kept.since.elapsed().as_secs() < u64::from(kept.seconds));
            if kept.len() >= MOST_KEPT {
                kept.clear();
            }
        }
        kept.insert(key, Kept { message: message.clone(), since: Instant::now(), seconds });
    }
}

async fn exchange(server: SocketAddr, name: &Name, kind: RecordType) -> io::Result<Message> {
    let mut question = Message::query();
    question.metadata.op_code = OpCode::Query;
    question.metadata.recursion_desired = true;
    question.add_query(Query::query(name.clone(), kind));
    let mut edns = Edns::new();
    edns.set_max_payload(1232).set_version(0);
    question.set_edns(edns);
    let bytes = question.to_vec().map_err(io::Error::other)?;
    let answer = over_udp(server, &bytes, &question).await?;
    if answer.metadata.truncation { over_tcp(server, &bytes, &question).await } else { Ok(answer) }
}

async fn over_udp(server: SocketAddr, bytes: &[u8], question: &Message) -> io::Result<Message> {
    let any: SocketAddr = if server.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    // A new port for every question: an answer must guess it, and the number too.
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(bytes).await?;
    let mut buffer = vec![0; 4096];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if let Some(answer) = Message::from_vec(&buffer[..length]).ok().filter(|answer| answers(answer, question)) {
            return Ok(answer);
        }
    }
}

async fn over_tcp(server: SocketAddr, bytes: &[u8], question: &Message) -> io::Result<Message> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), bytes].concat()).await?;
    let length = stream.read_u16().await?;
    let mut buffer = vec![0; usize::from(length)];
    stream.read_exact(&mut buffer).await?;
    let answer = Message::from_vec(&buffer).map_err(io::Error::other)?;
    if answers(&answer, question) { Ok(answer) } else { Err(io::Error::other("an answer to another question")) }
}

fn answers(answer: &Message, question: &Message) -> bool {
    let same = |a: &[Query], b: &[Query]| matches!((a, b), ([a], [b]) if a.name == b.name && a.query_type == b.query_type && a.query_class == b.query_class);
    answer.metadata.message_type == MessageType::Response && answer.metadata.id == question.metadata.id && same(&answer.queries, &question.queries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolv_conf() {
        let text = "# x\nnameserver 10.0.0.2\nnameserver\t1.1.1.1 # y\n nameserver 9.9.9.9\nnameservers 3.3.3.3\nnameserver fe80::1%eth0\nnameserver 127.96.0.10\nnameserver 8.8.8.8\nsearch a.b\nnameserver nonsense\n";
        let own: IpAddr = "127.96.0.10".parse().unwrap();
        let servers: Vec<String> = nameservers(text, &[own]).iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["10.0.0.2:53", "1.1.1.1:53", "9.9.9.9:53"]);
        assert_eq!(nameservers("nameserver 127.96.0.10", &[own]), []);
        assert_eq!(nameservers("nameserver fe80::1%eth0", &[]), ["[fe80::1]:53".parse().unwrap()]);
    }
}
