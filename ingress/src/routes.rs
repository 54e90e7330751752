//! The route table, pure: which location serves a host and a path.
//!
//! As ingress-nginx chooses: the host first (exact, then `*.` for one label, then rules without a host), then the path within that host:
//! an exact one, else the longest prefix (or regular expression), else the default backend. Of two Ingresses with the same host and path the
//! older wins. A canary takes a part of the requests of the location that has its host and path.

mod build;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use regex::Regex;
use wharf_net::Backend;

use crate::canary::CanaryRules;
use crate::{Annotations, Kept};

/// Where a request goes, and how.
pub struct Location {
    /// The Service's port.
    pub backend: Backend,
    /// `namespace/name` of the Ingress.
    pub ingress: Arc<str>,
    /// `namespace/name` of the Service, for logs.
    pub service: Arc<str>,
    /// What the Ingress' annotations say; a canary's: what those of the Ingress beside it say.
    pub annotations: Arc<Annotations>,
    /// The Ingress whose plugins and labels count: a canary's is the one beside it.
    pub main: Arc<Kept>,
    /// Whether `spec.tls` covers the host.
    pub tls: bool,
    /// What the path is, where it is a regular expression.
    pub(crate) regex: Option<Arc<Regex>>,
    /// Others that take a part of its requests.
    pub(crate) canaries: Vec<(Arc<CanaryRules>, Arc<Location>)>,
}

/// All routes at one moment.
#[derive(Default)]
pub struct Routes {
    exact: HashMap<Arc<str>, Host>,
    /// By what follows `*.`.
    wildcard: HashMap<Arc<str>, Host>,
    any: Host,
}

#[derive(Default)]
struct Host {
    #[expect(clippy::box_collection, reason = "few hosts have exact paths, and a map without any takes 48 bytes")]
    exact: Option<Box<HashMap<Box<str>, Arc<Location>>>>,
    /// Longest first.
    prefixes: Box<[Prefix]>,
    default: Option<Arc<Location>>,
}

struct Prefix {
    /// Without its trailing slash where elements are compared.
    path: Box<str>,
    matching: Matching,
    location: Arc<Location>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Matching {
    /// What follows the path begins with a slash.
    Elements,
    Text,
    /// The path is a regular expression, the location's.
    Regex,
}

impl Routes {
    /// The location for a Host header (its port is ignored) and the path of a request's target as it was sent; `None`: nobody wants it.
    pub fn find(&self, host: &str, path: &str) -> Option<&Arc<Location>> {
        let path = normalized(path);
        let host = self.host(host);
        host.find(&path).or_else(|| if std::ptr::eq(host, &self.any) { None } else { self.any.default.as_ref() })
    }

    /// How many hosts have rules of their own.
    pub fn hosts(&self) -> usize {
        self.exact.len() + self.wildcard.len()
    }

    fn host(&self, host: &str) -> &Host {
        let host = without_port(host);
        let host = if host.bytes().any(|byte| byte.is_ascii_uppercase()) { Cow::Owned(host.to_ascii_lowercase()) } else { Cow::Borrowed(host) };
        let host = host.strip_suffix('.').unwrap_or(&host);
        if let Some(found) = self.exact.get(host) {
            return found;
        }
        let wildcard = if self.wildcard.is_empty() {
            None
        } else {
            host.split_once('.').filter(|(label, _)| !label.is_empty()).and_then(|(_, rest)| self.wildcard.get(rest))
        };
        wildcard.unwrap_or(&self.any)
    }
}

impl Host {
    fn find(&self, path: &str) -> Option<&Arc<Location>> {
        if let Some(exact) = &self.exact
            && let Some(found) = exact.get(path)
        {
            return Some(found);
        }
        self.prefixes.iter().find(|prefix| prefix.matches(path)).map(|prefix| &prefix.location).or(self.default.as_ref())
    }
}

impl Location {
    /// The location for a request among this and its canaries. `roll` is any number, evenly spread.
    pub(crate) fn choose<'a>(self: &'a Arc<Location>, headers: &http::HeaderMap, roll: impl Fn() -> u32) -> &'a Arc<Location> {
        self.canaries.iter().find(|(rules, _)| rules.takes(headers, roll())).map_or(self, |(_, canary)| canary)
    }

    /// The path that the endpoint is asked for, where it is another.
    pub(crate) fn rewritten(&self, path: &str) -> Option<String> {
        let target = self.annotations.rewrite_target.as_deref()?;
        let path = normalized(path);
        let groups = self.regex.as_ref().and_then(|regex| regex.captures(&path));
        let mut new = String::with_capacity(target.len() + path.len());
        let mut rest = target.chars();
        while let Some(c) = rest.next() {
            match (c, rest.clone().next().and_then(|digit| digit.to_digit(10))) {
                ('$', Some(group)) => {
                    rest.next();
                    new.push_str(&escaped(groups.as_ref().and_then(|groups| groups.get(group as usize)).map_or("", |group| group.as_str())));
                }
                (c, _) => new.push(c),
            }
        }
        Some(if new.starts_with('/') { new } else { format!("/{new}") })
    }
}

impl Prefix {
    fn matches(&self, path: &str) -> bool {
        if self.matching == Matching::Regex {
            return self.location.regex.as_ref().is_some_and(|regex| regex.is_match(path));
        }
        match path.strip_prefix(&*self.path) {
            Some(rest) => self.matching == Matching::Text || rest.is_empty() || rest.starts_with('/'),
            None => false,
        }
    }
}

/// What was decoded, as it stands in a request's target again.
fn escaped(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z'
            | b'A'..=b'Z'
            | b'0'..=b'9'
            | b'/'
            | b'-'
            | b'.'
            | b'_'
            | b'~'
            | b'!'
            | b'$'
            | b'&'
            | b'\''
            | b'('
            | b')'
            | b'*'
            | b'+'
            | b','
            | b';'
            | b'='
            | b':'
            | b'@' => text.push(byte as char),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

/// A Host header without its port; an IPv6 address keeps its brackets.
pub fn without_port(host: &str) -> &str {
    let Some((before, port)) = host.rsplit_once(':') else { return host };
    let whole = !host.starts_with('[') || before.ends_with(']');
    if whole && port.bytes().all(|byte| byte.is_ascii_digit()) { before } else { host }
}

/// The path as routes compare it: percent-decoded, without `.`, `..` and empty elements, so that no spelling of a path slips past a rule.
fn normalized(path: &str) -> Cow<'_, str> {
    let plain = !path.as_bytes().windows(2).any(|two| matches!(two, b"//" | b"/.")) && !path.contains('%');
    if plain {
        return Cow::Borrowed(path);
    }
    let mut decoded = Vec::with_capacity(path.len());
    let bytes = path.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let hex = |byte: Option<&u8>| byte.and_then(|byte| (*byte as char).to_digit(16));
        match (bytes[at], hex(bytes.get(at + 1)), hex(bytes.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    let decoded = String::from_utf8_lossy(&decoded);
    let mut elements: Vec<&str> = Vec::new();
    let last = decoded.rsplit('/').next().unwrap_or_default();
    for element in decoded.split('/') {
        match element {
            "" | "." => {}
            ".." => {
                elements.pop();
            }
            element => elements.push(element),
        }
    }
    let folder = matches!(last, "" | "." | "..") && !elements.is_empty();
    Cow::Owned(format!("/{}{}", elements.join("/"), if folder { "/" } else { "" }))
}

#[cfg(test)]
mod tests;
