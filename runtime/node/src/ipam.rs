//! Pod addresses out of the node's Pod CIDR: each is given to one Pod (by uid) and kept over a restart of the node, because the Pod's folder remembers it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use parking_lot::Mutex;

/// The addresses of one node. The network's own address, the first host (the gateway on other clusters) and the broadcast address are never given.
#[derive(Debug)]
pub struct Ipam {
    cidr: Ipv4Net,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    owners: HashMap<Ipv4Addr, String>,
    /// Offset after the one given last, so that an address rests before it is used again.
    next: u32,
}

impl Ipam {
    /// The addresses of `cidr`, none of them given.
    pub fn new(cidr: Ipv4Net) -> Self {
        Self { cidr, inner: Mutex::default() }
    }

    /// The CIDR that addresses come from.
    pub fn cidr(&self) -> Ipv4Net {
        self.cidr
    }

    /// How many Pods can have an address.
    pub fn capacity(cidr: Ipv4Net) -> u32 {
        size(cidr).saturating_sub(3)
    }

    /// Takes the address that a Pod had before, if it is of this CIDR and free (or the Pod's own).
    pub fn claim(&self, ip: Ipv4Addr, uid: &str) -> bool {
        let mut inner = self.inner.lock();
        if !self.cidr.contains(&ip) || inner.owners.get(&ip).is_some_and(|owner| owner != uid) {
            return false;
        }
        inner.owners.insert(ip, uid.to_owned());
        true
    }

    /// A free address for the Pod `uid`; `None` when all are taken.
    pub fn allocate(&self, uid: &str) -> Option<Ipv4Addr> {
        let mut inner = self.inner.lock();
        let usable = Self::capacity(self.cidr);
        for _ in 0..usable {
            let offset = inner.next % usable;
            inner.next = offset + 1;
            let ip = Ipv4Addr::from(u32::from(self.cidr.network()) + 2 + offset);
            if let Entry::Vacant(free) = inner.owners.entry(ip) {
                free.insert(uid.to_owned());
                return Some(ip);
            }
        }
        None
    }

    /// Gives back the address of the Pod `uid`.
    pub fn release(&self, ip: Ipv4Addr, uid: &str) {
        let mut inner = self.inner.lock();
        if inner.owners.get(&ip).is_some_and(|owner| owner == uid) {
            inner.owners.remove(&ip);
        }
    }
}

fn size(cidr: Ipv4Net) -> u32 {
    u32::try_from(1u64 << (32 - u32::from(cidr.prefix_len()))).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_each_once_and_lets_it_rest() {
        let ipam = Ipam::new("10.244.0.0/29".parse().unwrap());
        assert!(ipam.claim("10.244.0.3".parse().unwrap(), "old"));
        assert!(!ipam.claim("10.244.0.3".parse().unwrap(), "other"));
        assert!(!ipam.claim("10.244.1.3".parse().unwrap(), "old"));
        let given: Vec<_> = ["a", "b", "c", "d", "e"].iter().map(|u| ipam.allocate(u).map(|ip| ip.to_string())).collect();
        let want: Vec<_> = ["10.244.0.2", "10.244.0.4", "10.244.0.5", "10.244.0.6"].iter().map(|s| Some((*s).to_owned())).chain([None]).collect();
        assert_eq!(given, want);
        ipam.release("10.244.0.4".parse().unwrap(), "a");
        assert_eq!(ipam.allocate("f"), None, "a does not own it");
        ipam.release("10.244.0.4".parse().unwrap(), "b");
        assert_eq!(ipam.allocate("f"), Some("10.244.0.4".parse().unwrap()));
    }
}
