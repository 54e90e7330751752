//! The annotations of ingress-nginx that are understood: `nginx.ingress.kubernetes.io/…`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::canary::CanaryRules;
use crate::cors::Cors;

const PREFIX: &str = "nginx.ingress.kubernetes.io/";

/// How large a request's body may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLimit {
    /// At most so many bytes.
    Bytes(u64),
    /// `proxy-body-size: "0"`.
    Unlimited,
}

/// What endpoints speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http,
    /// HTTP/2 without TLS, with trailers.
    Grpc,
}

/// What an Ingress' annotations say, with ingress-nginx' defaults where they are silent or not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotations {
    /// `proxy-connect-timeout`, 5 s.
    pub connect_timeout: Duration,
    /// `proxy-read-timeout`, 60 s: until the response's head, and between two parts of its body.
    pub read_timeout: Duration,
    /// `proxy-send-timeout`, 60 s: until the endpoint takes the next part of the request's body.
    pub send_timeout: Duration,
    /// `proxy-body-size`, 1 MiB.
    pub body_limit: BodyLimit,
    /// `ssl-redirect`, true: plain HTTP is redirected to HTTPS where the host has TLS.
    pub ssl_redirect: bool,
    /// `force-ssl-redirect`, false: also where it has none.
    pub force_ssl_redirect: bool,
    /// `rewrite-target`: replaces the path; `$1` to `$9` are what the groups of the rule's path matched.
    pub rewrite_target: Option<String>,
    /// `use-regex`, false: paths are regular expressions. A `rewrite-target` with groups implies it.
    pub use_regex: bool,
    /// `upstream-vhost`: replaces the Host header.
    pub upstream_vhost: Option<String>,
    /// `backend-protocol`: HTTP or GRPC.
    pub protocol: Protocol,
    /// `whitelist-source-range` (or `allowlist-source-range`): who may come; `None`: everybody.
    pub allowed: Option<Vec<IpNet>>,
    /// `denylist-source-range`: who may not.
    pub denied: Vec<IpNet>,
    /// `enable-cors` and what goes with it.
    pub cors: Option<Box<Cors>>,
    /// `canary` and what goes with it: the Ingress takes a part of another's requests.
    pub canary: Option<Arc<CanaryRules>>,
}

impl Default for Annotations {
    fn default() -> Annotations {
        Annotations {
            connect_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(60),
            send_timeout: Duration::from_secs(60),
            body_limit: BodyLimit::Bytes(1 << 20),
            ssl_redirect: true,
            force_ssl_redirect: false,
            rewrite_target: None,
            use_regex: false,
            upstream_vhost: None,
            protocol: Protocol::Http,
            allowed: None,
            denied: Vec::new(),
            cors: None,
            canary: None,
        }
    }
}

impl Annotations {
    /// Reads them; a value that is not understood counts as absent, and is named in the second part.
    pub fn of(annotations: &BTreeMap<String, String>) -> (Annotations, Vec<String>) {
        let (mut read, mut odd) = (Annotations::default(), Vec::new());
        let (mut cors, mut canary) = (Cors::default(), CanaryRules::default());
        let (mut with_cors, mut is_canary) = (false, false);
        for (key, value) in annotations {
            let Some(name) = key.strip_prefix(PREFIX) else { continue };
            let value = value.trim();
            let understood = match name {
                "proxy-connect-timeout" => seconds(value).map(|time| read.connect_timeout = time),
                "proxy-read-timeout" => seconds(value).map(|time| read.read_timeout = time),
                "proxy-send-timeout" => seconds(value).map(|time| read.send_timeout = time),
                "proxy-body-size" => size(value).map(|limit| read.body_limit = limit),
                "ssl-redirect" => value.parse().ok().map(|on| read.ssl_redirect = on),
                "force-ssl-redirect" => value.parse().ok().map(|on| read.force_ssl_redirect = on),
                "rewrite-target" => rewrite_target(value).map(|target| read.rewrite_target = Some(target)),
                "use-regex" => value.parse().ok().map(|on| read.use_regex = on),
                "upstream-vhost" => http::HeaderValue::from_str(value).is_ok().then(|| read.upstream_vhost = Some(value.to_owned())),
                "backend-protocol" => protocol(value).map(|protocol| read.protocol = protocol),
                "whitelist-source-range" | "allowlist-source-range" => networks(value).map(|all| read.allowed = Some(all)),
                "denylist-source-range" => networks(value).map(|all| read.denied = all),
                "enable-cors" => value.parse().ok().map(|on| with_cors = on),
                "canary" => value.parse().ok().map(|on| is_canary = on),
                _ => match cors.read(name, value).or_else(|| canary.read(name, value)) {
                    Some(understood) => understood.then_some(()),
                    None => continue,
                },
            };
            if understood.is_none() {
                odd.push(format!("{key}: {value:?}"));
                // Who may come is not widened by a mistake.
                if name.ends_with("list-source-range") {
                    read.allowed = Some(Vec::new());
                }
            }
        }
        read.use_regex |= read.rewrite_target.as_ref().is_some_and(|target| target.contains('$'));
        read.cors = with_cors.then(|| Box::new(cors));
        read.canary = is_canary.then(|| Arc::new(canary));
        (read, odd)
    }

    /// Whether a client may come.
    pub(crate) fn admits(&self, client: IpAddr) -> bool {
        let within = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&client));
        !within(&self.denied) && self.allowed.as_deref().is_none_or(within)
    }
}

/// Seconds, as ingress-nginx writes them: a number; one day at most.
fn seconds(value: &str) -> Option<Duration> {
    let seconds: u64 = value.strip_suffix('s').unwrap_or(value).parse().ok()?;
    (1..=86_400).contains(&seconds).then(|| Duration::from_secs(seconds))
}

/// nginx' sizes: `8k`, `10m`, `1g`; 0 is no limit.
fn size(value: &str) -> Option<BodyLimit> {
    let (digits, unit) = match value.as_bytes().last()? {
        b'k' | b'K' => (&value[..value.len() - 1], 1 << 10),
        b'm' | b'M' => (&value[..value.len() - 1], 1 << 20),
        b'g' | b'G' => (&value[..value.len() - 1], 1 << 30),
        _ => (value, 1),
    };
    let bytes = digits.parse::<u64>().ok()?.checked_mul(unit)?;
    Some(if bytes == 0 { BodyLimit::Unlimited } else { BodyLimit::Bytes(bytes) })
}

/// A path, in which only groups are left to be filled in.
fn rewrite_target(value: &str) -> Option<String> {
    let mut rest = value.split('$').skip(1);
    let groups_only = rest.all(|after| after.starts_with(|c: char| c.is_ascii_digit()));
    let plain: String = value.replace('$', "");
    (value.starts_with('/') || value.starts_with('$')).then_some(())?;
    (groups_only && format!("/{plain}").parse::<http::uri::PathAndQuery>().is_ok()).then(|| value.to_owned())
}

fn protocol(value: &str) -> Option<Protocol> {
    match value.to_ascii_uppercase().as_str() {
        "HTTP" | "AUTO_HTTP" => Some(Protocol::Http),
        "GRPC" => Some(Protocol::Grpc),
        _ => None,
    }
}

fn networks(value: &str) -> Option<Vec<IpNet>> {
    let one = |text: &str| text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    value.split(',').map(str::trim).filter(|text| !text.is_empty()).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> (Annotations, Vec<String>) {
        Annotations::of(&pairs.iter().map(|(name, value)| (format!("{PREFIX}{name}"), (*value).to_owned())).collect())
    }

    #[test]
    fn understood() {
        let (read, odd) = read(&[
            ("proxy-read-timeout", "3600"),
            ("proxy-send-timeout", "7"),
            ("proxy-body-size", "8m"),
            ("ssl-redirect", "false"),
            ("rewrite-target", "/x"),
            ("backend-protocol", "grpc"),
            ("other", "y"),
        ]);
        let expected = Annotations {
            read_timeout: Duration::from_secs(3600),
            send_timeout: Duration::from_secs(7),
            body_limit: BodyLimit::Bytes(8 << 20),
            ssl_redirect: false,
            rewrite_target: Some("/x".to_owned()),
            protocol: Protocol::Grpc,
            ..Annotations::default()
        };
        assert_eq!((read, odd), (expected, vec![]));
        assert_eq!(size("0"), Some(BodyLimit::Unlimited));
        assert_eq!(size("10"), Some(BodyLimit::Bytes(10)));
    }

    #[test]
    fn a_target_with_groups_makes_paths_regular_expressions() {
        let (with, odd) = read(&[("rewrite-target", "/$2")]);
        assert!(with.use_regex && odd.is_empty());
        assert!(!read(&[("rewrite-target", "/plain")]).0.use_regex);
        assert_eq!(read(&[("rewrite-target", "$1")]).0.rewrite_target.as_deref(), Some("$1"));
        for bad in ["no-slash", "/$x", "/a b"] {
            assert_eq!(read(&[("rewrite-target", bad)]).1.len(), 1, "{bad}");
        }
    }

    #[test]
    fn clients_come_from_where_they_may() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let (some, _) = read(&[("whitelist-source-range", "10.0.0.0/8, 192.0.2.7")]);
        assert!(some.admits(ip("10.1.2.3")) && some.admits(ip("192.0.2.7")) && !some.admits(ip("192.0.2.8")));
        let (but, _) = read(&[("denylist-source-range", "10.0.0.0/8")]);
        assert!(!but.admits(ip("10.1.2.3")) && but.admits(ip("192.0.2.7")));
        let (nobody, odd) = read(&[("whitelist-source-range", "everyone")]);
        assert!(!nobody.admits(ip("10.1.2.3")) && odd.len() == 1, "a mistake lets nobody in");
    }

    #[test]
    fn odd_values_leave_the_defaults() {
        let odd = [
            ("proxy-read-timeout", "soon"),
            ("proxy-connect-timeout", "0"),
            ("proxy-body-size", "99999999999g"),
            ("ssl-redirect", "perhaps"),
            ("upstream-vhost", "a\nb"),
            ("backend-protocol", "FCGI"),
            ("canary-weight", "many"),
            ("cors-max-age", "long"),
        ];
        let (read, names) = read(&odd);
        assert_eq!(read, Annotations::default());
        assert_eq!(names.len(), odd.len());
        for value in ["", "m", "-1", "1.5m", "ü"] {
            assert_eq!(size(value), None, "{value}");
        }
    }
}
