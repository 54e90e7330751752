//! What the server serves: its resources, and which of them a word on the command line means.

use serde_json::Value;

use crate::error::{Error, Result};
use crate::session::{Session, encode};

/// One resource of one version of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resource {
    /// Empty for the core group.
    pub group: String,
    /// `v1`
    pub version: String,
    /// `Pod`
    pub kind: String,
    /// `pods`
    pub plural: String,
    /// `pod`
    pub singular: String,
    /// `po`
    pub short: Vec<String>,
    /// `all`
    pub categories: Vec<String>,
    /// `get`, `list`, …
    pub verbs: Vec<String>,
    /// `status`, `scale`, …
    pub subresources: Vec<String>,
    /// Whether its objects are in namespaces.
    pub namespaced: bool,
}

impl Resource {
    /// `apps/v1`
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `deployment.apps`, `pod`
    pub fn kind_name(&self) -> String {
        with_group(&self.kind.to_lowercase(), &self.group)
    }

    /// `deployments.apps`, `pods`
    pub fn resource_name(&self) -> String {
        with_group(&self.plural, &self.group)
    }

    /// The path of the collection; without a namespace, of all namespaces.
    pub fn path(&self, namespace: Option<&str>) -> String {
        let root = if self.group.is_empty() { format!("/api/{}", self.version) } else { format!("/apis/{}/{}", self.group, self.version) };
        match namespace.filter(|namespace| self.namespaced && !namespace.is_empty()) {
            Some(namespace) => format!("{root}/namespaces/{}/{}", encode(namespace), self.plural),
            None => format!("{root}/{}", self.plural),
        }
    }

    /// The path of one object.
    pub fn object(&self, namespace: Option<&str>, name: &str) -> String {
        format!("{}/{}", self.path(namespace), encode(name))
    }

    /// Whether it is this kind of this group.
    pub fn is(&self, group: &str, kind: &str) -> bool {
        self.group == group && self.kind == kind
    }
}

/// `kind.group`, or `kind` in the core group.
pub fn with_group(name: &str, group: &str) -> String {
    if group.is_empty() { name.to_owned() } else { format!("{name}.{group}") }
}

/// Everything the server serves, in the order in which it prefers it.
#[derive(Debug, Clone, Default)]
pub struct Discovery {
    /// All resources of all versions.
    pub resources: Vec<Resource>,
    /// Group and its versions, the preferred one first.
    pub groups: Vec<(String, Vec<String>)>,
}

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";

impl Discovery {
    /// Asks the server.
    pub async fn ask(session: &Session) -> Result<Discovery> {
        let (core, groups) = futures::join!(session.get_as("/api", AGGREGATED), session.get_as("/apis", AGGREGATED));
        let (core, groups) = (core?, groups?);
        let mut found = Discovery::default();
        for list in [core, groups] {
            match list["kind"].as_str() {
                Some("APIGroupDiscoveryList") => found.add_aggregated(&list),
                Some("APIVersions") => {
                    let versions = strings(&list["versions"]);
                    found.add_legacy(session, "", versions).await?;
                }
                _ => {
                    for group in list["groups"].as_array().into_iter().flatten() {
                        let mut versions: Vec<String> =
                            group["versions"].as_array().into_iter().flatten().filter_map(|v| Some(v["version"].as_str()?.to_owned())).collect();
                        if let Some(at) = versions.iter().position(|v| Some(v.as_str()) == group["preferredVersion"]["version"].as_str()) {
                            let preferred = versions.remove(at);
                            versions.insert(0, preferred);
                        }
                        found.add_legacy(session, group["name"].as_str().unwrap_or_default(), versions).await?;
                    }
                }
            }
        }
        Ok(found)
    }

    async fn add_legacy(&mut self, session: &Session, group: &str, versions: Vec<String>) -> Result<()> {
        for version in &versions {
            let path = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
            let list = match session.get(&path).await {
                Ok(list) => list,
                // A group whose server is away hides only itself.
                Err(Error::Status(_)) => continue,
                Err(other) => return Err(other),
            };
            self.add_version(group, version, &list);
        }
        self.groups.push((group.to_owned(), versions));
        Ok(())
    }

    fn add_version(&mut self, group: &str, version: &str, list: &Value) {
        for resource in list["resources"].as_array().into_iter().flatten() {
            let name = resource["name"].as_str().unwrap_or_default();
            if let Some((parent, sub)) = name.split_once('/') {
                if let Some(parent) = self.resources.iter_mut().find(|r| r.group == group && r.version == version && r.plural == parent) {
                    parent.subresources.push(sub.to_owned());
                }
                continue;
            }
            let kind = resource["kind"].as_str().unwrap_or_default().to_owned();
            let singular = resource["singularName"].as_str().filter(|s| !s.is_empty()).map_or_else(|| kind.to_lowercase(), str::to_owned);
            self.resources.push(Resource {
                group: group.to_owned(),
                version: version.to_owned(),
                plural: name.to_owned(),
                singular,
                kind,
                short: strings(&resource["shortNames"]),
                categories: strings(&resource["categories"]),
                verbs: strings(&resource["verbs"]),
                subresources: Vec::new(),
                namespaced: resource["namespaced"].as_bool().unwrap_or(false),
            });
        }
    }

    fn add_aggregated(&mut self, list: &Value) {
        for group in list["items"].as_array().into_iter().flatten() {
            let name = group["metadata"]["name"].as_str().unwrap_or_default();
            let mut versions = Vec::new();
            for version in group["versions"].as_array().into_iter().flatten() {
                let version_name = version["version"].as_str().unwrap_or_default();
                versions.push(version_name.to_owned());
                for resource in version["resources"].as_array().into_iter().flatten() {
                    let kind = resource["responseKind"]["kind"].as_str().unwrap_or_default().to_owned();
                    let subresources = resource["subresources"].as_array().into_iter().flatten();
                    self.resources.push(Resource {
                        group: name.to_owned(),
                        version: version_name.to_owned(),
                        plural: resource["resource"].as_str().unwrap_or_default().to_owned(),
                        singular: resource["singularResource"].as_str().filter(|s| !s.is_empty()).map_or_else(|| kind.to_lowercase(), str::to_owned),
                        kind,
                        short: strings(&resource["shortNames"]),
                        categories: strings(&resource["categories"]),
                        verbs: strings(&resource["verbs"]),
                        subresources: subresources.filter_map(|s| Some(s["subresource"].as_str()?.to_owned())).collect(),
                        namespaced: resource["scope"] == "Namespaced",
                    });
                }
            }
            self.groups.push((name.to_owned(), versions));
        }
    }

    /// The resources of each group's preferred version (and those that only other versions have).
    pub fn preferred(&self) -> Vec<&Resource> {
        let mut chosen: Vec<&Resource> = Vec::new();
        for resource in &self.resources {
            if !chosen.iter().any(|c| c.group == resource.group && c.plural == resource.plural) {
                chosen.push(resource);
            }
        }
        chosen
    }

    /// What a word means: `po`, `pods`, `Pod`, `deployments.apps`, `deployments.v1.apps`.
    pub fn find(&self, word: &str) -> Result<&Resource> {
        let lower = word.to_lowercase();
        let mut parts = lower.splitn(3, '.');
        let (name, second, third) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
        if let (Some(version), Some(group)) = (second, third)
            && let Some(found) = self.named(name, |r| r.version == version && r.group == group)
        {
            return Ok(found);
        }
        let group = lower.split_once('.').map(|(_, group)| group);
        // A group may be given by its beginning (`deployments.app`); the whole of it comes first.
        let found = match group {
            None => self.named(name, |_| true),
            Some(group) => self
                .named(name, |r| r.group == group)
                .or_else(|| self.named(name, |r| !group.is_empty() && r.group.starts_with(group)))
                .or_else(|| second.filter(|_| third.is_none()).and_then(|version| self.named(name, |r| r.version == version && r.group.is_empty()))),
        };
        found.ok_or_else(|| Error::message(format!("the server doesn't have a resource type {:?}", word.split('.').next().unwrap_or_default())))
    }

    fn named(&self, name: &str, which: impl Fn(&Resource) -> bool) -> Option<&Resource> {
        let all = || self.resources.iter().filter(|r| which(r));
        all()
            .find(|r| r.plural == name || r.singular == name)
            .or_else(|| all().find(|r| r.short.iter().any(|short| short == name)))
            .or_else(|| all().find(|r| r.kind.to_lowercase() == name))
    }

    /// The resource of a kind that a manifest names.
    pub fn kind(&self, api_version: &str, kind: &str) -> Option<&Resource> {
        self.resources.iter().find(|r| r.kind == kind && r.api_version() == api_version)
    }

    /// The resources of a category, such as `all`.
    pub fn category(&self, name: &str) -> Vec<&Resource> {
        self.preferred().into_iter().filter(|r| r.categories.iter().any(|c| c == name)).collect()
    }
}

/// The strings of an array.
pub fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|v| Some(v.as_str()?.to_owned())).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn discovery() -> Discovery {
        let resource = |group: &str, version: &str, kind: &str, plural: &str, short: &str, namespaced: bool| Resource {
            group: group.into(),
            version: version.into(),
            kind: kind.into(),
            plural: plural.into(),
            singular: kind.to_lowercase(),
            short: vec![short.into()],
            categories: if namespaced { vec!["all".into()] } else { vec![] },
            namespaced,
            ..Resource::default()
        };
        Discovery {
            resources: vec![
                resource("", "v1", "Pod", "pods", "po", true),
                resource("", "v1", "Node", "nodes", "no", false),
                resource("", "v1", "Event", "events", "ev", true),
                resource("apps", "v1", "Deployment", "deployments", "deploy", true),
                resource("events.k8s.io", "v1", "Event", "events", "ev", true),
                resource("example.dev", "v2", "Widget", "widgets", "wd", true),
                resource("example.dev", "v1", "Widget", "widgets", "wd", true),
            ],
            groups: vec![],
        }
    }

    #[test]
    fn words_mean_resources() {
        let discovery = discovery();
        for (word, means) in [
            ("po", "v1 pods"),
            ("pod", "v1 pods"),
            ("Pods", "v1 pods"),
            ("deploy", "apps/v1 deployments"),
            ("deployments.apps", "apps/v1 deployments"),
            ("deployments.v1.apps", "apps/v1 deployments"),
            ("deployment.v1.apps", "apps/v1 deployments"),
            ("events", "v1 events"),
            ("events.events.k8s.io", "events.k8s.io/v1 events"),
            ("widgets", "example.dev/v2 widgets"),
            ("widgets.v1.example.dev", "example.dev/v1 widgets"),
        ] {
            let found = discovery.find(word).unwrap();
            assert_eq!(format!("{} {}", found.api_version(), found.plural), means, "{word}");
        }
        assert_eq!(discovery.find("nonsense.x").unwrap_err().text(), "the server doesn't have a resource type \"nonsense\"");
    }

    #[test]
    fn paths_know_their_scope() {
        let discovery = discovery();
        assert_eq!(discovery.find("deploy").unwrap().object(Some("a"), "b"), "/apis/apps/v1/namespaces/a/deployments/b");
        assert_eq!(discovery.find("no").unwrap().object(Some("a"), "b"), "/api/v1/nodes/b");
        assert_eq!(discovery.find("po").unwrap().path(None), "/api/v1/pods");
    }
}
