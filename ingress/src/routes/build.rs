//! How the table is made: host by host, then each as small as it can be.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use regex::Regex;
use wharf_net::Services;

use super::{Host, Location, Matching, Prefix, Routes};
use crate::canary::{self, CanaryRules};
use crate::kept::{Kept, Path, PathType, Target, parts};

#[derive(Default)]
struct Draft {
    exact: HashMap<Arc<str>, HostDraft>,
    wildcard: HashMap<Arc<str>, HostDraft>,
    any: HostDraft,
}

#[derive(Default)]
struct HostDraft {
    exact: HashMap<Box<str>, Arc<Location>>,
    prefixes: Vec<Prefix>,
    default: Option<Arc<Location>>,
}

impl Routes {
    /// Builds the table from the Ingresses that are ours.
    pub fn build<'a>(ingresses: impl IntoIterator<Item = &'a Arc<Kept>>, services: &Services) -> Routes {
        let mut ingresses: Vec<&Arc<Kept>> = ingresses.into_iter().collect();
        ingresses.sort_by(|a, b| a.by_age(b));
        let mut draft = Draft::default();
        // Canaries find the locations that they stand beside.
        let (canaries, others): (Vec<_>, Vec<_>) = ingresses.into_iter().partition(|ingress| ingress.annotations.canary.is_some());
        for ingress in others.into_iter().chain(canaries) {
            draft.add(ingress, services);
        }
        // Collected anew: a map that grew has room that nobody needs.
        let whole = |hosts: HashMap<Arc<str>, HostDraft>| hosts.into_iter().map(|(name, host)| (name, host.whole())).collect();
        Routes { exact: whole(draft.exact), wildcard: whole(draft.wildcard), any: draft.any.whole() }
    }
}

impl Draft {
    fn add(&mut self, ingress: &Arc<Kept>, services: &Services) {
        let (namespace, name) = parts(&ingress.name);
        if !ingress.odd.is_empty() {
            tracing::warn!(%namespace, %name, "annotations of the Ingress are not understood: {}", ingress.odd);
        }
        let secured: HashSet<&str> = ingress.tls.iter().flat_map(|tls| &tls.hosts).map(|host| &**host).collect();
        let location = |target: &Target, host: &str, regex: Option<Arc<Regex>>| {
            Arc::new(Location {
                backend: services.backend(namespace, parts(&target.service).1, target.port.clone()),
                ingress: ingress.name.clone(),
                service: target.service.clone(),
                annotations: ingress.annotations.clone(),
                main: ingress.clone(),
                tls: is_secured(&secured, host),
                regex,
                canaries: Vec::new(),
            })
        };
        if let Some(rules) = &ingress.annotations.canary {
            for rule in &ingress.rules {
                let host = match (&*rule.host, rule.host.strip_prefix("*.")) {
                    ("", _) => Some(&mut self.any),
                    (_, Some(rest)) => self.wildcard.get_mut(rest),
                    (exact, None) => self.exact.get_mut(exact),
                };
                let Some(host) = host else { continue };
                for path in &rule.paths {
                    host.add_canary(path, rules, &location(&path.target, &rule.host, None));
                }
            }
            return;
        }
        let default = |host: &str| ingress.default.as_ref().map(|target| location(target, host, None));
        if ingress.rules.is_empty() && self.any.default.is_none() {
            self.any.default = default("");
        }
        let use_regex = ingress.annotations.use_regex;
        for rule in &ingress.rules {
            let host = match (&*rule.host, rule.host.strip_prefix("*.")) {
                ("", _) => &mut self.any,
                (_, Some(rest)) => self.wildcard.entry(rest.into()).or_default(),
                (_, None) => self.exact.entry(rule.host.clone()).or_default(),
            };
            if host.default.is_none() {
                host.default = default(&rule.host);
            }
            for path in &rule.paths {
                let (matching, text) = match path.kind {
                    PathType::Exact => {
                        host.exact.entry(path.text.clone()).or_insert_with(|| location(&path.target, &rule.host, None));
                        continue;
                    }
                    _ if use_regex => (Matching::Regex, &*path.text),
                    PathType::Prefix => (Matching::Elements, path.text.trim_end_matches('/')),
                    PathType::ImplementationSpecific => (Matching::Text, &*path.text),
                };
                let regex = if use_regex { canary::regex(&format!("(?i)^{text}")).map(Arc::new) } else { None };
                if use_regex && regex.is_none() {
                    tracing::warn!(%namespace, %name, path = text, "the path of the Ingress is no regular expression");
                    continue;
                }
                if !host.prefixes.iter().any(|there| *there.path == *text && there.matching == matching) {
                    host.prefixes.push(Prefix { path: text.into(), matching, location: location(&path.target, &rule.host, regex) });
                }
            }
        }
    }
}

impl HostDraft {
    /// A canary stands beside the location of the same path.
    fn add_canary(&mut self, path: &Path, rules: &Arc<CanaryRules>, canary: &Location) {
        let main = if path.kind == PathType::Exact {
            self.exact.get_mut(&*path.text)
        } else {
            let bare = path.text.trim_end_matches('/');
            let same = |prefix: &&mut Prefix| *prefix.path == *path.text || prefix.matching == Matching::Elements && *prefix.path == *bare;
            self.prefixes.iter_mut().find(same).map(|prefix| &mut prefix.location)
        };
        // What the main Ingress says counts for both; only the backend is the canary's.
        if let Some(main) = main.and_then(Arc::get_mut) {
            let canary = Location {
                backend: canary.backend.clone(),
                ingress: canary.ingress.clone(),
                service: canary.service.clone(),
                annotations: main.annotations.clone(),
                main: main.main.clone(),
                tls: main.tls,
                regex: main.regex.clone(),
                canaries: Vec::new(),
            };
            main.canaries.push((rules.clone(), Arc::new(canary)));
        }
    }

    fn whole(mut self) -> Host {
        // Stable: of equal paths the older stays first; comparing elements is the stricter of two equal ones.
        self.prefixes.sort_by_key(|prefix| (Reverse(prefix.path.len()), prefix.matching != Matching::Elements));
        self.exact.shrink_to_fit();
        Host { exact: (!self.exact.is_empty()).then(|| Box::new(self.exact)), prefixes: self.prefixes.into(), default: self.default }
    }
}

/// Whether a host, or the wildcard above it, is among those with TLS.
fn is_secured(secured: &HashSet<&str>, host: &str) -> bool {
    let above = || host.split_once('.').is_some_and(|(label, rest)| label != "*" && secured.contains(&*format!("*.{rest}")));
    !host.is_empty() && (secured.contains(host) || above())
}
