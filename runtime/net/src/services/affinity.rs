//! Which endpoint a client was sent to last, for `sessionAffinity: ClientIP`; bounded.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::Proto;

/// At most so many clients are remembered for a Service.
const MOST: usize = 8192;

type Client = (IpAddr, u16, Proto);

#[derive(Default)]
pub(super) struct Affinity {
    clients: HashMap<Client, (SocketAddr, Instant)>,
}

impl Affinity {
    pub(super) fn get(&self, client: Client, timeout: Duration, now: Instant) -> Option<SocketAddr> {
        self.clients.get(&client).filter(|(_, last)| now.saturating_duration_since(*last) < timeout).map(|(endpoint, _)| *endpoint)
    }

    pub(super) fn put(&mut self, client: Client, endpoint: SocketAddr, timeout: Duration, now: Instant) {
        if self.clients.len() >= MOST && !self.clients.contains_key(&client) {
            self.clients.retain(|_, (_, last)| now.saturating_duration_since(*last) < timeout);
            if self.clients.len() >= MOST {
                let victim = self.clients.keys().next().copied();
                victim.map(|victim| self.clients.remove(&victim));
            }
        }
        self.clients.insert(client, (endpoint, now));
    }

    /// Forgets clients of endpoints that are gone; all of them when affinity was turned off.
    pub(super) fn keep(&mut self, endpoints: impl Iterator<Item = SocketAddr>, wanted: bool) {
        if self.clients.is_empty() {
            return;
        }
        let endpoints: HashSet<SocketAddr> = if wanted { endpoints.collect() } else { HashSet::new() };
        self.clients.retain(|_, (endpoint, _)| endpoints.contains(endpoint));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounded() {
        let (mut affinity, now, minute) = (Affinity::default(), Instant::now(), Duration::from_secs(60));
        let endpoint = "10.244.0.5:80".parse().unwrap();
        for i in 0..MOST as u32 + 100 {
            affinity.put((IpAddr::V4(i.into()), 80, Proto::Tcp), endpoint, minute, now);
        }
        assert_eq!(affinity.clients.len(), MOST);
        affinity.put((IpAddr::V4(u32::MAX.into()), 80, Proto::Tcp), endpoint, minute, now + minute);
        assert_eq!(affinity.clients.len(), 1);
    }
}
