//! The annotations of ingress-nginx that are understood: `nginx.ingress.kubernetes.io/…`.

use std::collections::BTreeMap;
use std::time::Duration;

const PREFIX: &str = "nginx.ingress.kubernetes.io/";

/// How large a request's body may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLimit {
    /// At most so many bytes.
    Bytes(u64),
    /// `proxy-body-size: "0"`.
    Unlimited,
}

/// What an Ingress' annotations say, with ingress-nginx' defaults where they are silent or not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotations {
    /// `proxy-connect-timeout`, 5 s.
    pub connect_timeout: Duration,
    /// `proxy-read-timeout`, 60 s: until the response's head, and between two parts of its body.
    pub read_timeout: Duration,
    /// `proxy-body-size`, 1 MiB.
    pub body_limit: BodyLimit,
    /// `ssl-redirect`, true: plain HTTP is redirected to HTTPS where the host has TLS.
    pub ssl_redirect: bool,
    /// `force-ssl-redirect`, false: also where it has none.
    pub force_ssl_redirect: bool,
    /// `rewrite-target`: replaces the path (without captures: paths are not regular expressions here).
    pub rewrite_target: Option<String>,
    /// `upstream-vhost`: replaces the Host header.
    pub upstream_vhost: Option<String>,
}

impl Default for Annotations {
    fn default() -> Annotations {
        Annotations {
            connect_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(60),
            body_limit: BodyLimit::Bytes(1 << 20),
            ssl_redirect: true,
            force_ssl_redirect: false,
            rewrite_target: None,
            upstream_vhost: None,
        }
    }
}

impl Annotations {
    /// Reads them; a value that is not understood counts as absent, and is named in the second part.
    pub fn of(annotations: &BTreeMap<String, String>) -> (Annotations, Vec<String>) {
        let (mut read, mut odd) = (Annotations::default(), Vec::new());
        for (key, value) in annotations {
            let Some(name) = key.strip_prefix(PREFIX) else { continue };
            let value = value.trim();
            let understood = match name {
                "proxy-connect-timeout" => seconds(value).map(|time| read.connect_timeout = time),
                "proxy-read-timeout" => seconds(value).map(|time| read.read_timeout = time),
                "proxy-body-size" => size(value).map(|limit| read.body_limit = limit),
                "ssl-redirect" => value.parse().ok().map(|on| read.ssl_redirect = on),
                "force-ssl-redirect" => value.parse().ok().map(|on| read.force_ssl_redirect = on),
                "rewrite-target" => (value.starts_with('/') && !value.contains('$') && value.parse::<http::uri::PathAndQuery>().is_ok())
                    .then(|| read.rewrite_target = Some(value.to_owned())),
                "upstream-vhost" => http::HeaderValue::from_str(value).is_ok().then(|| read.upstream_vhost = Some(value.to_owned())),
                _ => continue,
            };
            if understood.is_none() {
                odd.push(format!("{key}: {value:?}"));
            }
        }
        (read, odd)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> (Annotations, Vec<String>) {
        Annotations::of(&pairs.iter().map(|(name, value)| (format!("{PREFIX}{name}"), (*value).to_owned())).collect())
    }

    #[test]
    fn understood() {
        let (read, odd) =
            read(&[("proxy-read-timeout", "3600"), ("proxy-body-size", "8m"), ("ssl-redirect", "false"), ("rewrite-target", "/x"), ("other", "y")]);
        let expected = Annotations {
            read_timeout: Duration::from_secs(3600),
            body_limit: BodyLimit::Bytes(8 << 20),
            ssl_redirect: false,
            rewrite_target: Some("/x".to_owned()),
            ..Annotations::default()
        };
        assert_eq!((read, odd), (expected, vec![]));
        assert_eq!(size("0"), Some(BodyLimit::Unlimited));
        assert_eq!(size("10"), Some(BodyLimit::Bytes(10)));
    }

    #[test]
    fn odd_values_leave_the_defaults() {
        let odd = [
            ("proxy-read-timeout", "soon"),
            ("proxy-connect-timeout", "0"),
            ("proxy-body-size", "99999999999g"),
            ("ssl-redirect", "perhaps"),
            ("upstream-vhost", "a\nb"),
        ];
        let (read, names) = read(&odd);
        assert_eq!(read, Annotations::default());
        assert_eq!(names.len(), odd.len());
        for value in ["", "m", "-1", "1.5m", "ü"] {
            assert_eq!(size(value), None, "{value}");
        }
    }
}
