//! The resolver of this process: what is known, whom to ask otherwise, and look-ups for guests.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RData, RecordType};
use parking_lot::RwLock;
use tokio::sync::watch;

use crate::records::{Answer, Data, Kind, Records};
use crate::upstream::Upstream;

/// What the resolver is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// The cluster's domain.
    pub domain: String,
    /// The resolvers for other names; `None`: those of the host's `/etc/resolv.conf`.
    pub upstream: Option<Vec<SocketAddr>>,
    /// Addresses (of the kernel) that this resolver itself is served at: never asked.
    pub own: Vec<IpAddr>,
}

impl Default for Options {
    fn default() -> Options {
        Options { domain: "cluster.local".to_owned(), upstream: None, own: vec![Ipv4Addr::new(127, 96, 0, 10).into(), Ipv4Addr::new(10, 96, 0, 10).into()] }
    }
}

/// Why a name has no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// There is no such name, or it has no address.
    #[error("no such name")]
    NotFound,
    /// It could not be found out.
    #[error("the resolvers failed")]
    Failed,
}

/// The cluster's resolver; started once per process.
pub struct Dns {
    pub(crate) records: RwLock<Records>,
    pub(crate) upstream: Upstream,
    /// Which address comes first changes from answer to answer.
    pub(crate) turn: AtomicUsize,
    /// The zone's serial number: grows with every change.
    pub(crate) serial: AtomicU32,
    /// What has been listed once: Services, EndpointSlices, Namespaces.
    pub(crate) listed: watch::Sender<[bool; 3]>,
}

/// How long a question waits for a resolver that has just started.
const SYNC_TIME: Duration = Duration::from_secs(3);
/// Aliases are followed so often.
pub(crate) const MOST_ALIASES: usize = 8;

impl Dns {
    /// A resolver that knows nothing yet: [`Dns::run`] keeps it.
    pub fn new(options: Options) -> Arc<Dns> {
        let upstream = match options.upstream {
            Some(mut servers) => {
                servers.retain(|server| !options.own.contains(&server.ip()) || server.port() != 53);
                Upstream::new(servers)
            }
            None => Upstream::of_host(&options.own),
        };
        Arc::new(Dns {
            records: RwLock::new(Records::new(&options.domain)),
            upstream,
            turn: AtomicUsize::new(0),
            serial: AtomicU32::new(1),
            listed: watch::Sender::new([false; 3]),
        })
    }

    /// The cluster's domain.
    pub fn domain(&self) -> String {
        self.records.read().domain().to_owned()
    }

    /// The resolvers that are asked for other names.
    pub fn upstream(&self) -> &[SocketAddr] {
        self.upstream.servers()
    }

    /// Changes what is known.
    pub fn update(&self, change: impl FnOnce(&mut Records)) {
        change(&mut self.records.write());
        self.serial.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until all Services, EndpointSlices and Namespaces are known.
    pub async fn synced(&self) {
        // The sender lives as long as `self`.
        let _ = self.listed.subscribe().wait_for(|listed| listed.iter().all(|listed| *listed)).await;
    }

    /// Says that all is known: for who feeds it without [`Dns::run`].
    pub fn set_synced(&self) {
        self.listed.send_replace([true; 3]);
    }

    /// Until all is known no name of the cluster is denied: that is waited for, though not for ever. False: still unknown.
    pub(crate) async fn is_synced(&self) -> bool {
        self.all_listed() || tokio::time::timeout(SYNC_TIME, self.synced()).await.is_ok()
    }

    pub(crate) fn all_listed(&self) -> bool {
        self.listed.borrow().iter().all(|listed| *listed)
    }

    /// The IPv4 addresses of a full name (with or without its final dot); names outside the cluster's domain are asked of the world.
    pub async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, LookupError> {
        if let Ok(ip) = name.parse::<IpAddr>() {
            return Ok(vec![ip]);
        }
        let mut name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        if name == "localhost" || name.ends_with(".localhost") {
            return Ok(vec![Ipv4Addr::LOCALHOST.into()]);
        }
        for _ in 0..MOST_ALIASES {
            let mut answer = self.records.read().query(&name, Kind::A);
            if matches!(answer, Answer::NoData | Answer::NoName) && !self.all_listed() {
                if !self.is_synced().await {
                    return Err(LookupError::Failed);
                }
                answer = self.records.read().query(&name, Kind::A);
            }
            match answer {
                Answer::NoData | Answer::NoName => return Err(LookupError::NotFound),
                Answer::Elsewhere => return self.resolve_outside(&name).await,
                Answer::Found { records, .. } => match records.first() {
                    Some(Data::Cname(target)) => name.clone_from(target),
                    _ => {
                        let ips = records.iter().filter_map(|data| if let Data::A(ip) = data { Some(IpAddr::V4(*ip)) } else { None });
                        return Ok(self.turned(ips.collect()));
                    }
                },
            }
        }
        Err(LookupError::Failed)
    }

    /// Looks a name up as a resolver with a search list does: a name with fewer than `ndots` dots is tried in each domain first, and one
    /// with a final dot only as it is. The first that has addresses counts.
    pub async fn lookup(&self, name: &str, search: &[String], ndots: usize) -> Result<Vec<IpAddr>, LookupError> {
        if name.is_empty() || name.len() > 253 {
            return Err(LookupError::NotFound);
        }
        if name.ends_with('.') || name.parse::<IpAddr>().is_ok() {
            return self.resolve(name).await;
        }
        let searched = search.iter().map(|domain| format!("{name}.{}", domain.trim_matches('.')));
        let itself = std::iter::once(name.to_owned());
        let first_itself = name.bytes().filter(|byte| *byte == b'.').count() >= ndots;
        let names: Vec<String> = if first_itself { itself.chain(searched).collect() } else { searched.chain(itself).collect() };
        let mut failure = LookupError::NotFound;
        for name in names {
            match self.resolve(&name).await {
                Ok(ips) => return Ok(ips),
                Err(LookupError::NotFound) => {}
                Err(LookupError::Failed) => failure = LookupError::Failed,
            }
        }
        Err(failure)
    }

    async fn resolve_outside(&self, name: &str) -> Result<Vec<IpAddr>, LookupError> {
        let asked = Name::from_ascii(format!("{name}.")).map_err(|_| LookupError::NotFound)?;
        let message = self.upstream.ask(&asked, RecordType::A).await.map_err(|error| {
            tracing::debug!(%name, %error, "resolving");
            LookupError::Failed
        })?;
        let ips = message.answers.iter().filter_map(|record| if let RData::A(ip) = &record.data { Some(IpAddr::V4(ip.0)) } else { None });
        match ips.collect::<Vec<_>>() {
            ips if ips.is_empty() || message.metadata.response_code == ResponseCode::NXDomain => Err(LookupError::NotFound),
            ips => Ok(ips),
        }
    }

    /// The same in another order.
    pub(crate) fn turned<T>(&self, mut all: Vec<T>) -> Vec<T> {
        if all.len() > 1 {
            let by = self.turn.fetch_add(1, Ordering::Relaxed) % all.len();
            all.rotate_left(by);
        }
        all
    }
}
