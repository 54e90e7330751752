//! Roles and bindings.

use serde_json::{Map, Value, json};

use super::{New, one_name, required};
use crate::error::{Error, Result};
use crate::session::Session;

/// `create role`
#[derive(Debug, clap::Args)]
pub(super) struct Role {
    name: Vec<String>,
    /// get, list, watch, create, …; * is all of them.
    #[arg(long, value_delimiter = ',')]
    verb: Vec<String>,
    /// RESOURCE[.GROUP][/SUBRESOURCE]; may be repeated.
    #[arg(long, value_delimiter = ',')]
    resource: Vec<String>,
    /// Only objects with these names.
    #[arg(long)]
    resource_name: Vec<String>,
}

/// `create clusterrole`
#[derive(Debug, clap::Args)]
pub(super) struct ClusterRole {
    #[command(flatten)]
    role: Role,
    /// Paths that are no resources.
    #[arg(long, value_delimiter = ',')]
    non_resource_url: Vec<String>,
    /// Labels of cluster roles whose rules these are, as KEY=VALUE.
    #[arg(long, value_delimiter = ',')]
    aggregation_rule: Vec<String>,
}

impl Role {
    async fn rules(&self, session: &Session) -> Result<Vec<Value>> {
        let discovery = session.discovery().await?;
        let mut verbs: Vec<String> = Vec::new();
        for verb in &self.verb {
            if verb == "*" {
                verbs = vec!["*".into()];
                break;
            }
            if !verbs.contains(verb) {
                verbs.push(verb.clone());
            }
        }
        // One rule for each group, in the order in which they are named.
        let mut rules: Vec<(String, Vec<String>)> = Vec::new();
        for word in &self.resource {
            let (word, sub) = word.split_once('/').map_or((word.as_str(), ""), |(word, sub)| (word, sub));
            let (group, mut plural) =
                if word == "*" { (String::new(), "*".to_owned()) } else { discovery.find(word).map(|r| (r.group.clone(), r.plural.clone()))? };
            if !sub.is_empty() {
                plural = format!("{plural}/{sub}");
            }
            match rules.iter_mut().find(|(g, _)| *g == group) {
                Some((_, resources)) => resources.push(plural),
                None => rules.push((group, vec![plural])),
            }
        }
        Ok(rules
            .into_iter()
            .map(|(group, resources)| {
                let mut rule = json!({"apiGroups": [group], "resources": resources, "verbs": verbs});
                if !self.resource_name.is_empty() {
                    rule["resourceNames"] = self.resource_name.clone().into();
                }
                rule
            })
            .collect())
    }

    fn check(&self) -> Result<&str> {
        let name = one_name(&self.name)?;
        if self.verb.is_empty() {
            return Err(Error::message("at least one verb must be specified"));
        }
        Ok(name)
    }

    pub(super) async fn object(&self, session: &Session) -> Result<New> {
        let name = self.check()?;
        if self.resource.is_empty() {
            return Err(Error::message("at least one resource must be specified"));
        }
        let rules = self.rules(session).await?;
        Ok(New::namespaced("roles", json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": name}, "rules": rules})))
    }
}

impl ClusterRole {
    pub(super) async fn object(&self, session: &Session) -> Result<New> {
        let mut object = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole"});
        if !self.aggregation_rule.is_empty() {
            let mut labels = Map::new();
            for pair in &self.aggregation_rule {
                let (key, value) = pair.split_once('=').ok_or_else(|| Error::message(format!("{pair:?} is not KEY=VALUE")))?;
                labels.insert(key.to_owned(), value.into());
            }
            object["metadata"] = json!({"name": one_name(&self.role.name)?});
            object["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": labels}]});
            object["rules"] = json!([]);
            return Ok(New::cluster("clusterroles", object));
        }
        let name = self.role.check()?;
        if self.role.resource.is_empty() && self.non_resource_url.is_empty() {
            return Err(Error::message("one of resource or nonResourceURL must be specified"));
        }
        let mut rules = self.role.rules(session).await?;
        if !self.non_resource_url.is_empty() {
            rules.push(json!({"nonResourceURLs": self.non_resource_url, "verbs": self.role.verb}));
        }
        object["metadata"] = json!({"name": name});
        object["rules"] = rules.into();
        Ok(New::cluster("clusterroles", object))
    }
}

/// `create rolebinding` and `create clusterrolebinding`
#[derive(Debug, clap::Args)]
pub(super) struct Binding {
    name: Vec<String>,
    /// The cluster role.
    #[arg(long, default_value = "", hide_default_value = true)]
    clusterrole: String,
    /// The role.
    #[arg(long, default_value = "", hide_default_value = true)]
    role: String,
    /// A user; may be repeated.
    #[arg(long = "user", id = "user", value_delimiter = ',')]
    user: Vec<String>,
    /// A group; may be repeated.
    #[arg(long, value_delimiter = ',')]
    group: Vec<String>,
    /// A service account as NAMESPACE:NAME; may be repeated.
    #[arg(long, value_delimiter = ',')]
    serviceaccount: Vec<String>,
}

impl Binding {
    fn subjects(&self) -> Result<Vec<Value>> {
        let mut subjects = Vec::new();
        for (kind, names) in [("User", &self.user), ("Group", &self.group)] {
            subjects.extend(names.iter().map(|name| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name})));
        }
        for account in &self.serviceaccount {
            let (namespace, name) = account
                .split_once(':')
                .filter(|(namespace, name)| !namespace.is_empty() && !name.is_empty())
                .ok_or_else(|| Error::message("serviceaccount must be <namespace>:<name>"))?;
            subjects.push(json!({"kind": "ServiceAccount", "name": name, "namespace": namespace}));
        }
        Ok(subjects)
    }

    fn binding(&self, kind: &str, role_kind: &str, role: &str) -> Result<Value> {
        let mut object = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": one_name(&self.name)?},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role_kind, "name": role},
        });
        let subjects = self.subjects()?;
        if !subjects.is_empty() {
            object["subjects"] = subjects.into();
        }
        Ok(object)
    }

    pub(super) fn role_binding(&self) -> Result<New> {
        one_name(&self.name)?;
        if self.clusterrole.is_empty() == self.role.is_empty() {
            return Err(Error::message("exactly one of clusterrole or role must be specified"));
        }
        let (kind, role) = if self.role.is_empty() { ("ClusterRole", &self.clusterrole) } else { ("Role", &self.role) };
        Ok(New::namespaced("rolebindings", self.binding("RoleBinding", kind, role)?))
    }

    pub(super) fn cluster_role_binding(&self) -> Result<New> {
        required(&[("clusterrole", !self.clusterrole.is_empty())])?;
        Ok(New::cluster("clusterrolebindings", self.binding("ClusterRoleBinding", "ClusterRole", &self.clusterrole)?))
    }
}
