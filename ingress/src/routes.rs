//! The route table, pure: which location serves a host and a path.
//!
//! As ingress-nginx chooses: the host first (exact, then `*.` for one label, then rules without a host), then the path within that host:
//! an exact one, else the longest prefix (or regular expression), else the default backend. Of two Ingresses with the same host and path the
//! older wins. A canary takes a part of the requests of the location that has its host and path.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use k8s_openapi::api::networking::v1::{Ingress, IngressBackend, IngressClass};
use wharf_net::{Backend, PortRef, Services};

use regex::Regex;

use crate::Annotations;
use crate::canary::{self, CanaryRules};

/// The controller that an IngressClass must name to be served here.
pub const CONTROLLER: &str = "k8s.io/ingress-nginx";

/// Where a request goes, and how.
pub struct Location {
    /// The Service's port.
    pub backend: Backend,
    /// `namespace/name` of the Ingress.
    pub ingress: Arc<str>,
    /// `namespace/name` of the Service, for logs.
    pub service: String,
    /// The path of the rule; empty for a default backend.
    pub path: String,
    /// What the Ingress' annotations say.
    pub annotations: Annotations,
    /// Whether `spec.tls` covers the host.
    pub tls: bool,
    /// What the path is, where it is a regular expression.
    pub(crate) regex: Option<Regex>,
    /// Others that take a part of its requests.
    pub(crate) canaries: Vec<(CanaryRules, Arc<Location>)>,
    /// The plugins that the Ingress names.
    pub plugins: Vec<String>,
    /// The labels of the Ingress, which plugins may select by.
    pub labels: Arc<BTreeMap<String, String>>,
}

/// All routes at one moment.
#[derive(Default)]
pub struct Routes {
    exact: HashMap<Box<str>, Host>,
    /// By what follows `*.`.
    wildcard: HashMap<Box<str>, Host>,
    any: Host,
}

#[derive(Default)]
struct Host {
    exact: HashMap<Box<str>, Arc<Location>>,
    /// Longest first.
    prefixes: Vec<Prefix>,
    default: Option<Arc<Location>>,
}

struct Prefix {
    /// Without its trailing slash where elements are compared.
    path: Box<str>,
    by_element: bool,
    /// The path is a regular expression.
    regex: Option<Regex>,
    location: Arc<Location>,
}

/// Whether an Ingress is this controller's: by its class, the annotation from before there were classes, or because the default class is ours.
pub fn is_ours<'a>(ingress: &Ingress, classes: impl IntoIterator<Item = &'a IngressClass>) -> bool {
    let ours = |class: &&IngressClass| class.spec.as_ref().and_then(|spec| spec.controller.as_deref()) == Some(CONTROLLER);
    let named = ingress.spec.as_ref().and_then(|spec| spec.ingress_class_name.as_deref());
    let annotated = ingress.metadata.annotations.as_ref().and_then(|all| all.get("kubernetes.io/ingress.class")).map(String::as_str);
    let mut classes = classes.into_iter().filter(ours);
    match (named, annotated) {
        (Some(named), _) => classes.any(|class| class.metadata.name.as_deref() == Some(named)),
        (None, Some(annotated)) => annotated == "nginx",
        (None, None) => classes.any(|class| {
            let annotations = class.metadata.annotations.as_ref();
            annotations.and_then(|all| all.get("ingressclass.kubernetes.io/is-default-class")).is_some_and(|value| value == "true")
        }),
    }
}

/// The order in which Ingresses are heard, the oldest first: what one has is not another's.
pub(crate) fn by_age(a: &Ingress, b: &Ingress) -> std::cmp::Ordering {
    let age = |ingress: &Ingress| ingress.metadata.creation_timestamp.as_ref().map(|time| time.0);
    age(a).cmp(&age(b)).then_with(|| (&a.metadata.namespace, &a.metadata.name).cmp(&(&b.metadata.namespace, &b.metadata.name)))
}

impl Routes {
    /// Builds the table from the Ingresses that are ours.
    pub fn build<'a>(ingresses: impl IntoIterator<Item = &'a Ingress>, services: &Services) -> Routes {
        let mut ingresses: Vec<&Ingress> = ingresses.into_iter().collect();
        ingresses.sort_by(|a, b| by_age(a, b));
        let mut routes = Routes::default();
        // Canaries find the locations that they stand beside.
        let (canaries, others): (Vec<&Ingress>, Vec<&Ingress>) = ingresses.into_iter().partition(|ingress| is_canary(ingress));
        for ingress in others.into_iter().chain(canaries) {
            routes.add(ingress, services);
        }
        for host in routes.exact.values_mut().chain(routes.wildcard.values_mut()).chain([&mut routes.any]) {
            // Stable: of equal paths the older stays first; comparing elements is the stricter of two equal ones.
            host.prefixes.sort_by_key(|prefix| (std::cmp::Reverse(prefix.path.len()), !prefix.by_element));
        }
        routes
    }

    fn add(&mut self, ingress: &Ingress, services: &Services) {
        let (Some(spec), Some(namespace), Some(name)) = (&ingress.spec, &ingress.metadata.namespace, &ingress.metadata.name) else { return };
        let (annotations, odd) = Annotations::of(ingress.metadata.annotations.as_ref().unwrap_or(&BTreeMap::new()));
        if !odd.is_empty() {
            tracing::warn!(%namespace, %name, "annotations of the Ingress are not understood: {}", odd.join(", "));
        }
        let secured: HashSet<String> = tls_hosts(ingress).into_iter().flat_map(|(_, hosts)| hosts).collect();
        let label: Arc<str> = format!("{namespace}/{name}").into();
        let plugins = crate::plugins::named(ingress.metadata.annotations.as_ref());
        let labels = Arc::new(ingress.metadata.labels.clone().unwrap_or_default());
        let location = |backend: &IngressBackend, host: &str, path: &str| {
            let service = backend.service.as_ref()?;
            let port = service.port.as_ref()?;
            let port = match (&port.name, port.number) {
                (Some(name), _) if !name.is_empty() => PortRef::Name(name.as_str().into()),
                (_, Some(number)) => PortRef::Number(number.try_into().ok()?),
                _ => return None,
            };
            Some(Arc::new(Location {
                backend: services.backend(namespace, &service.name, port),
                ingress: label.clone(),
                service: format!("{namespace}/{}", service.name),
                path: path.to_owned(),
                annotations: annotations.clone(),
                tls: is_secured(&secured, host),
                regex: None,
                canaries: Vec::new(),
                plugins: plugins.clone(),
                labels: labels.clone(),
            }))
        };
        if let Some(rules) = &annotations.canary {
            for rule in spec.rules.iter().flatten() {
                let name = rule.host.as_deref().unwrap_or_default().to_ascii_lowercase();
                let host = match (name.as_str(), name.strip_prefix("*.")) {
                    ("", _) => Some(&mut self.any),
                    (_, Some(rest)) => self.wildcard.get_mut(rest),
                    (exact, None) => self.exact.get_mut(exact),
                };
                let Some(host) = host else { continue };
                for path in rule.http.iter().flat_map(|http| &http.paths) {
                    let text = path.path.as_deref().filter(|path| !path.is_empty()).unwrap_or("/");
                    if let Some(canary) = location(&path.backend, &name, text) {
                        host.add_canary(text, &path.path_type, rules, &canary);
                    }
                }
            }
            return;
        }
        let default = |host: &str| spec.default_backend.as_ref().and_then(|backend| location(backend, host, ""));
        let rules = spec.rules.iter().flatten();
        if spec.rules.as_ref().is_none_or(Vec::is_empty) && self.any.default.is_none() {
            self.any.default = default("");
        }
        for rule in rules {
            let name = rule.host.as_deref().unwrap_or_default().to_ascii_lowercase();
            let host = match (name.as_str(), name.strip_prefix("*.")) {
                ("", _) => &mut self.any,
                (_, Some(rest)) => self.wildcard.entry(rest.into()).or_default(),
                (exact, None) => self.exact.entry(exact.into()).or_default(),
            };
            if host.default.is_none() {
                host.default = default(&name);
            }
            for path in rule.http.iter().flat_map(|http| &http.paths) {
                let text = path.path.as_deref().filter(|path| !path.is_empty()).unwrap_or("/");
                let Some(location) = location(&path.backend, &name, text) else { continue };
                match path.path_type.as_str() {
                    "Exact" => {
                        host.exact.entry(text.into()).or_insert(location);
                    }
                    kind => {
                        let by_element = kind == "Prefix" && !annotations.use_regex;
                        let text = if by_element { text.trim_end_matches('/') } else { text };
                        let regex = if annotations.use_regex { canary::regex(&format!("(?i)^{text}")) } else { None };
                        if annotations.use_regex && regex.is_none() {
                            tracing::warn!(%namespace, %name, path = text, "the path of the Ingress is no regular expression");
                            continue;
                        }
                        if !host.prefixes.iter().any(|there| there.is(text, by_element, annotations.use_regex)) {
                            let mut location = location;
                            if let Some(location) = Arc::get_mut(&mut location) {
                                location.regex.clone_from(&regex);
                            }
                            host.prefixes.push(Prefix { path: text.into(), by_element, regex, location });
                        }
                    }
                }
            }
        }
    }

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
    /// A canary stands beside the location of the same path.
    fn add_canary(&mut self, text: &str, kind: &str, rules: &CanaryRules, canary: &Arc<Location>) {
        let main = if kind == "Exact" {
            self.exact.get_mut(text)
        } else {
            let bare = text.trim_end_matches('/');
            let same = |prefix: &&mut Prefix| *prefix.path == *text || prefix.by_element && *prefix.path == *bare;
            self.prefixes.iter_mut().find(same).map(|prefix| &mut prefix.location)
        };
        // What the main Ingress says counts for both; only the backend is the canary's.
        if let Some(main) = main.and_then(Arc::get_mut) {
            let canary = Location { annotations: main.annotations.clone(), regex: main.regex.clone(), tls: main.tls, ..canary.beside(main) };
            main.canaries.push((rules.clone(), Arc::new(canary)));
        }
    }

    fn find(&self, path: &str) -> Option<&Arc<Location>> {
        if !self.exact.is_empty()
            && let Some(found) = self.exact.get(path)
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

    fn beside(&self, main: &Location) -> Location {
        Location {
            backend: self.backend.clone(),
            ingress: self.ingress.clone(),
            service: self.service.clone(),
            path: self.path.clone(),
            annotations: self.annotations.clone(),
            tls: self.tls,
            regex: None,
            canaries: Vec::new(),
            plugins: main.plugins.clone(),
            labels: main.labels.clone(),
        }
    }
}

impl Prefix {
    fn is(&self, path: &str, by_element: bool, regex: bool) -> bool {
        *self.path == *path && self.by_element == by_element && self.regex.is_some() == regex
    }

    fn matches(&self, path: &str) -> bool {
        if let Some(regex) = &self.regex {
            return regex.is_match(path);
        }
        match path.strip_prefix(&*self.path) {
            Some(rest) => !self.by_element || rest.is_empty() || rest.starts_with('/'),
            None => false,
        }
    }
}

fn is_canary(ingress: &Ingress) -> bool {
    let annotations = ingress.metadata.annotations.as_ref();
    annotations.and_then(|all| all.get("nginx.ingress.kubernetes.io/canary")).is_some_and(|value| value.trim() == "true")
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

/// The Secrets of `spec.tls` (empty: the default certificate) and the hosts they are for, in lower case: those named, else those of the rules.
pub(crate) fn tls_hosts(ingress: &Ingress) -> Vec<(&str, Vec<String>)> {
    let Some(spec) = &ingress.spec else { return Vec::new() };
    let hosts_of = |named: &Option<Vec<String>>| -> Vec<String> {
        let named = named.iter().flatten().map(|host| host.to_ascii_lowercase()).collect::<Vec<_>>();
        if named.is_empty() { spec.rules.iter().flatten().filter_map(|rule| rule.host.as_ref()).map(|host| host.to_ascii_lowercase()).collect() } else { named }
    };
    spec.tls.iter().flatten().map(|tls| (tls.secret_name.as_deref().unwrap_or_default(), hosts_of(&tls.hosts))).collect()
}

/// Whether a host, or the wildcard above it, is among those with TLS.
fn is_secured(secured: &HashSet<String>, host: &str) -> bool {
    let above = || host.split_once('.').is_some_and(|(label, rest)| label != "*" && secured.contains(&format!("*.{rest}")));
    !host.is_empty() && (secured.contains(host) || above())
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
