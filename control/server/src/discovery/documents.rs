//! The discovery documents, in their legacy and aggregated forms.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use wharf_api::{KindInfo, Registry, Subresource};

use crate::usage;

/// Groups in the order in which clients prefer them; others follow.
const ORDER: [&str; 21] = [
    "",
    "apiregistration.k8s.io",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "resource.k8s.io",
    "flowcontrol.apiserver.k8s.io",
];

pub(super) struct Group {
    pub(super) name: String,
    /// The preferred one first.
    pub(super) versions: Vec<Version>,
}

pub(super) struct Version {
    pub(super) name: String,
    resources: Vec<Entry>,
}

/// A resource and what stands behind its objects.
struct Entry {
    name: String,
    singular: String,
    namespaced: bool,
    kind: String,
    /// Group and version of the kind, where the aggregated form tells them.
    response: (Cow<'static, str>, Cow<'static, str>),
    verbs: Vec<&'static str>,
    short: Vec<Cow<'static, str>>,
    categories: Vec<Cow<'static, str>>,
    stored: bool,
    subresources: Vec<Sub>,
}

struct Sub {
    name: &'static str,
    group: &'static str,
    version: &'static str,
    kind: String,
    verbs: Vec<&'static str>,
}

type Unstored = (&'static str, &'static str, &'static str, &'static str, &'static str, bool, &'static [&'static str], &'static [&'static str]);

/// Resources that are asked but not stored: group, version, plural, singular, kind, namespaced, verbs, short names.
#[rustfmt::skip]
const UNSTORED: [Unstored; 10] = [
    ("", "v1", "bindings", "binding", "Binding", true, &["create"], &[]),
    ("", "v1", "componentstatuses", "componentstatus", "ComponentStatus", false, &["get", "list"], &["cs"]),
    ("authentication.k8s.io", "v1", "selfsubjectreviews", "selfsubjectreview", "SelfSubjectReview", false, &["create"], &[]),
    ("authentication.k8s.io", "v1", "tokenreviews", "tokenreview", "TokenReview", false, &["create"], &[]),
    ("authorization.k8s.io", "v1", "localsubjectaccessreviews", "localsubjectaccessreview", "LocalSubjectAccessReview", true, &["create"], &[]),
    ("authorization.k8s.io", "v1", "selfsubjectaccessreviews", "selfsubjectaccessreview", "SelfSubjectAccessReview", false, &["create"], &[]),
    ("authorization.k8s.io", "v1", "selfsubjectrulesreviews", "selfsubjectrulesreview", "SelfSubjectRulesReview", false, &["create"], &[]),
    ("authorization.k8s.io", "v1", "subjectaccessreviews", "subjectaccessreview", "SubjectAccessReview", false, &["create"], &[]),
    (usage::GROUP, usage::VERSION, "nodes", "", "NodeMetrics", false, &["get", "list"], &[]),
    (usage::GROUP, usage::VERSION, "pods", "", "PodMetrics", true, &["get", "list"], &[]),
];

/// All groups, in order.
pub(super) fn groups(registry: &Registry) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut add = |group: &str, version: &str, entry: Entry| {
        let at = groups.iter().position(|g| g.name == group).unwrap_or_else(|| {
            groups.push(Group { name: group.to_owned(), versions: Vec::new() });
            groups.len() - 1
        });
        let versions = &mut groups[at].versions;
        let at = versions.iter().position(|v| v.name == version).unwrap_or_else(|| {
            versions.push(Version { name: version.to_owned(), resources: Vec::new() });
            versions.len() - 1
        });
        versions[at].resources.push(entry);
    };
    for resource in registry.resources() {
        add(&resource.info().group, &resource.info().version, entry(resource.info()));
    }
    for (group, version, name, singular, kind, namespaced, verbs, short) in UNSTORED {
        let entry = Entry {
            name: name.into(),
            singular: singular.into(),
            namespaced,
            kind: kind.into(),
            response: Default::default(),
            verbs: verbs.to_vec(),
            short: short.iter().map(|s| (*s).into()).collect(),
            categories: Vec::new(),
            stored: false,
            subresources: Vec::new(),
        };
        add(group, version, entry);
    }
    let order = registry.groups();
    for group in &mut groups {
        let known = order.iter().find(|g| g.name == group.name);
        group.versions.sort_by_key(|v| known.and_then(|g| g.versions.iter().position(|n| *n == v.name)).unwrap_or(usize::MAX));
        for version in &mut group.versions {
            version.resources.sort_by(|a, b| a.name.cmp(&b.name));
        }
    }
    groups.sort_by_key(|g| ORDER.iter().position(|o| *o == g.name).unwrap_or(usize::MAX));
    groups
}

fn entry(info: &KindInfo) -> Entry {
    let mut subresources: Vec<Sub> = info
        .subresources
        .iter()
        .map(|s| match s {
            Subresource::Status => Sub { name: "status", group: "", version: "", kind: info.kind.clone().into_owned(), verbs: vec!["get", "patch", "update"] },
            Subresource::Scale { .. } => {
                Sub { name: "scale", group: "autoscaling", version: "v1", kind: "Scale".into(), verbs: vec!["get", "patch", "update"] }
            }
            Subresource::Other { name, group_version, kind, verbs } => {
                let (group, version) = group_version.split_once('/').unwrap_or(("", ""));
                Sub { name, group, version, kind: (*kind).into(), verbs: verbs.to_vec() }
            }
        })
        .collect();
    subresources.sort_by(|a, b| a.name.cmp(b.name));
    Entry {
        name: info.plural.clone().into_owned(),
        singular: info.singular.clone().into_owned(),
        namespaced: info.namespaced(),
        kind: info.kind.clone().into_owned(),
        response: if info.custom { (info.group.clone(), info.version.clone()) } else { Default::default() },
        verbs: info.verbs.to_vec(),
        short: info.short.clone(),
        categories: info.categories.clone(),
        stored: true,
        subresources,
    }
}

impl Group {
    /// An entry of `APIGroupList`.
    pub(super) fn legacy(&self) -> Value {
        let version = |v: &Version| json!({"groupVersion": format!("{}/{}", self.name, v.name), "version": v.name});
        let versions: Vec<Value> = self.versions.iter().map(version).collect();
        json!({"name": self.name, "preferredVersion": versions.first(), "versions": versions})
    }
}

impl Version {
    /// `APIResourceList`.
    pub(super) fn legacy(&self, group: &str) -> Value {
        let group_version = if group.is_empty() { self.name.clone() } else { format!("{group}/{}", self.name) };
        let mut resources = Vec::new();
        for entry in &self.resources {
            let mut one = json!({"name": entry.name, "singularName": entry.singular, "namespaced": entry.namespaced, "kind": entry.kind, "verbs": entry.verbs});
            lists(&mut one, entry);
            if entry.stored {
                let hash = Sha256::digest(format!("{group}/{}/{}", self.name, entry.kind));
                one["storageVersionHash"] = base64(&hash[..8]).into();
            }
            resources.push(one);
            for sub in &entry.subresources {
                let name = format!("{}/{}", entry.name, sub.name);
                let mut one = json!({"name": name, "singularName": "", "namespaced": entry.namespaced, "kind": sub.kind, "verbs": sub.verbs});
                if !sub.version.is_empty() {
                    one["group"] = sub.group.into();
                    one["version"] = sub.version.into();
                }
                resources.push(one);
            }
        }
        let mut list = json!({"kind": "APIResourceList", "groupVersion": group_version, "resources": resources});
        if !group.is_empty() {
            list["apiVersion"] = "v1".into();
        }
        list
    }
}

fn lists(one: &mut Value, entry: &Entry) {
    if !entry.short.is_empty() {
        one["shortNames"] = json!(entry.short);
    }
    if !entry.categories.is_empty() {
        one["categories"] = json!(entry.categories);
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// `APIGroupDiscoveryList`.
pub(super) fn aggregated<'a>(groups: impl Iterator<Item = &'a Group>) -> Bytes {
    let items: Vec<Value> = groups
        .map(|group| {
            let versions: Vec<Value> = group
                .versions
                .iter()
                .map(|v| json!({"version": v.name, "freshness": "Current", "resources": v.resources.iter().map(aggregated_entry).collect::<Vec<_>>()}))
                .collect();
            let metadata = if group.name.is_empty() { json!({}) } else { json!({"name": group.name}) };
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}).to_string().into()
}

fn aggregated_entry(entry: &Entry) -> Value {
    let mut one = json!({
        "resource": entry.name, "responseKind": {"group": entry.response.0, "version": entry.response.1, "kind": entry.kind},
        "scope": if entry.namespaced { "Namespaced" } else { "Cluster" }, "singularResource": entry.singular, "verbs": entry.verbs,
    });
    lists(&mut one, entry);
    let subresources: Vec<Value> = entry
        .subresources
        .iter()
        .map(|s| {
            let (group, version) = if s.version.is_empty() { (&*entry.response.0, &*entry.response.1) } else { (s.group, s.version) };
            json!({"subresource": s.name, "responseKind": {"group": group, "version": version, "kind": s.kind}, "verbs": s.verbs})
        })
        .collect();
    if !subresources.is_empty() {
        one["subresources"] = subresources.into();
    }
    one
}

/// `/version`.
pub(super) fn version(git: &str) -> Value {
    let mut numbers = git.trim_start_matches('v').split(['.', '+', '-']);
    let (major, minor) = (numbers.next().unwrap_or("1"), numbers.next().unwrap_or("37"));
    json!({
        "major": major, "minor": minor, "emulationMajor": major, "emulationMinor": minor, "minCompatibilityMajor": major, "minCompatibilityMinor": "36",
        "gitVersion": git, "gitCommit": "", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, match std::env::consts::ARCH { "x86_64" => "amd64", "aarch64" => "arm64", other => other }),
    })
}
