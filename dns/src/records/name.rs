//! Where in the cluster's tree a name stands.

use std::net::Ipv4Addr;

/// A name's place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// Outside the cluster's domain.
    Elsewhere,
    /// `4.3.2.1.in-addr.arpa`
    Reverse(Ipv4Addr),
    /// The domain itself.
    Apex,
    /// `dns-version.DOMAIN`
    Version,
    /// `ns.dns.DOMAIN`
    NameServer,
    /// A name that only has others below it: `svc.DOMAIN`, `pod.DOMAIN`, `dns.DOMAIN`.
    Between,
    /// `NAMESPACE.svc.DOMAIN`, `NAMESPACE.pod.DOMAIN`
    Namespace(&'a str),
    /// `1-2-3-4.NAMESPACE.pod.DOMAIN`
    Pod { namespace: &'a str, ip: Ipv4Addr },
    /// `SERVICE.NAMESPACE.svc.DOMAIN`
    Service { namespace: &'a str, service: &'a str },
    /// `LABEL.SERVICE.NAMESPACE.svc.DOMAIN`
    Endpoint { namespace: &'a str, service: &'a str, label: &'a str },
    /// `_PROTO.SERVICE.NAMESPACE.svc.DOMAIN`
    Protocol { namespace: &'a str, service: &'a str, proto: &'a str },
    /// `_PORT._PROTO.SERVICE.NAMESPACE.svc.DOMAIN`
    Port { namespace: &'a str, service: &'a str, port: &'a str, proto: &'a str },
    /// Inside the domain, and nothing.
    Nowhere,
}

pub(super) fn place<'a>(name: &'a str, domain: &str) -> Place<'a> {
    if let Some(reversed) = name.strip_suffix(".in-addr.arpa") {
        return reversed_ip(reversed).map_or(Place::Elsewhere, Place::Reverse);
    }
    if name == domain {
        return Place::Apex;
    }
    let Some(inside) = name.strip_suffix(domain).and_then(|rest| rest.strip_suffix('.')) else { return Place::Elsewhere };
    // From the domain downwards; more labels than any name has need no place to be kept.
    let mut labels = inside.rsplit('.');
    let [first, namespace, third, fourth, fifth, sixth] = std::array::from_fn(|_| labels.next());
    match (first, namespace, third, fourth, fifth, sixth) {
        (Some("dns-version"), None, ..) => Place::Version,
        (Some("svc" | "pod" | "dns"), None, ..) => Place::Between,
        (Some("dns"), Some("ns"), None, ..) => Place::NameServer,
        (Some("svc" | "pod"), Some(namespace), None, ..) => Place::Namespace(namespace),
        (Some("pod"), Some(namespace), Some(dashed), None, ..) => match dashed_ip(dashed) {
            Some(ip) => Place::Pod { namespace, ip },
            None => Place::Nowhere,
        },
        (Some("svc"), Some(namespace), Some(service), None, ..) => Place::Service { namespace, service },
        (Some("svc"), Some(namespace), Some(service), Some(label), None, None) => match label.strip_prefix('_') {
            Some(proto) => Place::Protocol { namespace, service, proto },
            None => Place::Endpoint { namespace, service, label },
        },
        (Some("svc"), Some(namespace), Some(service), Some(proto), Some(port), None) => match (port.strip_prefix('_'), proto.strip_prefix('_')) {
            (Some(port), Some(proto)) => Place::Port { namespace, service, port, proto },
            _ => Place::Nowhere,
        },
        _ => Place::Nowhere,
    }
}

/// `1-2-3-4`
fn dashed_ip(text: &str) -> Option<Ipv4Addr> {
    if text.contains('.') { None } else { text.replace('-', ".").parse().ok() }
}

/// `4.3.2.1`
fn reversed_ip(text: &str) -> Option<Ipv4Addr> {
    let [a, b, c, d] = text.parse::<Ipv4Addr>().ok()?.octets();
    Some(Ipv4Addr::new(d, c, b, a))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let at = |name: &'static str| place(name, "cluster.local");
        assert_eq!(at("cluster.local"), Place::Apex);
        assert_eq!(at("xcluster.local"), Place::Elsewhere);
        assert_eq!(at("example.com"), Place::Elsewhere);
        assert_eq!(at(""), Place::Elsewhere);
        assert_eq!(at("svc.cluster.local"), Place::Between);
        assert_eq!(at("default.svc.cluster.local"), Place::Namespace("default"));
        assert_eq!(at("web.default.svc.cluster.local"), Place::Service { namespace: "default", service: "web" });
        assert_eq!(at("a.web.default.svc.cluster.local"), Place::Endpoint { namespace: "default", service: "web", label: "a" });
        assert_eq!(at("_tcp.web.default.svc.cluster.local"), Place::Protocol { namespace: "default", service: "web", proto: "tcp" });
        assert_eq!(at("_http._tcp.web.default.svc.cluster.local"), Place::Port { namespace: "default", service: "web", port: "http", proto: "tcp" });
        assert_eq!(at("http._tcp.web.default.svc.cluster.local"), Place::Nowhere);
        assert_eq!(at("x._http._tcp.web.default.svc.cluster.local"), Place::Nowhere);
        assert_eq!(at("10-244-0-5.default.pod.cluster.local"), Place::Pod { namespace: "default", ip: Ipv4Addr::new(10, 244, 0, 5) });
        assert_eq!(at("10-244-0.default.pod.cluster.local"), Place::Nowhere);
        assert_eq!(at("other.cluster.local"), Place::Nowhere);
        assert_eq!(at("web.default.cluster.local"), Place::Nowhere);
        assert_eq!(at("5.0.244.10.in-addr.arpa"), Place::Reverse(Ipv4Addr::new(10, 244, 0, 5)));
        assert_eq!(at("244.10.in-addr.arpa"), Place::Elsewhere);
        assert_eq!(at("dns-version.cluster.local"), Place::Version);
        assert_eq!(at("ns.dns.cluster.local"), Place::NameServer);
    }
}
