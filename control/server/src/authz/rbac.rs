//! RBAC, pure: which rules match a request, and which bindings give a user which rules.

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::rbac::v1::{PolicyRule, Subject};

use super::Attributes;
use crate::Identity;

/// Rules given to subjects, everywhere or in one namespace.
#[derive(Debug)]
pub(crate) struct Grant {
    /// `None` for a ClusterRoleBinding.
    pub(crate) namespace: Option<String>,
    pub(crate) rules: Arc<[PolicyRule]>,
    /// For reviews: `RoleBinding "x/ns" of Role "y" to User "jane"`, with `{}` in place of the subject.
    pub(crate) words: String,
}

/// All grants, by subject.
#[derive(Debug, Default)]
pub(crate) struct Index {
    by_user: HashMap<String, Vec<Arc<Grant>>>,
    by_group: HashMap<String, Vec<Arc<Grant>>>,
}

impl Index {
    /// Adds a binding's grant for each of its subjects. ServiceAccounts without a namespace are of the binding's.
    pub(crate) fn add(&mut self, subjects: &[Subject], grant: Grant) {
        let grant = Arc::new(grant);
        for subject in subjects {
            match subject.kind.as_str() {
                "User" => self.by_user.entry(subject.name.clone()).or_default().push(grant.clone()),
                "Group" => self.by_group.entry(subject.name.clone()).or_default().push(grant.clone()),
                "ServiceAccount" => {
                    let namespace = subject.namespace.as_deref().or(grant.namespace.as_deref()).unwrap_or_default();
                    self.by_user.entry(format!("system:serviceaccount:{namespace}:{}", subject.name)).or_default().push(grant.clone());
                }
                _ => {}
            }
        }
    }

    /// Whether any grant allows it.
    pub(crate) fn allows(&self, identity: &Identity, attributes: &Attributes<'_>) -> bool {
        let resource = attributes.resource();
        self.grants(identity).any(|(_, g)| applies(g, attributes) && g.rules.iter().any(|r| matches(r, attributes, &resource)))
    }

    /// The words of the grant that allows it.
    pub(crate) fn find(&self, identity: &Identity, attributes: &Attributes<'_>) -> Option<String> {
        let resource = attributes.resource();
        self.grants(identity).find(|(_, g)| applies(g, attributes) && g.rules.iter().any(|r| matches(r, attributes, &resource))).map(|(group, g)| {
            let subject = group.map_or_else(|| subject_words(&identity.user), |group| format!("Group {group:?}"));
            format!("RBAC: allowed by {}", g.words.replacen("{}", &subject, 1))
        })
    }

    /// Every rule that the user has in a namespace (empty: at the cluster scope).
    pub(crate) fn rules(&self, identity: &Identity, namespace: &str) -> Vec<PolicyRule> {
        self.grants(identity)
            .filter(|(_, g)| g.namespace.as_deref().is_none_or(|n| n == namespace && !namespace.is_empty()))
            .flat_map(|(_, g)| g.rules.iter().cloned())
            .collect()
    }

    /// The grants of a user, with the group that brings each, if one does.
    fn grants<'a>(&'a self, identity: &'a Identity) -> impl Iterator<Item = (Option<&'a str>, &'a Arc<Grant>)> {
        let user = self.by_user.get(&identity.user).into_iter().flatten().map(|g| (None, g));
        user.chain(identity.groups.iter().flat_map(|name| self.by_group.get(name).into_iter().flatten().map(move |g| (Some(name.as_str()), g))))
    }
}

fn subject_words(user: &str) -> String {
    match user.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':')) {
        Some((namespace, name)) => format!("ServiceAccount \"{name}/{namespace}\""),
        None => format!("User {user:?}"),
    }
}

fn applies(grant: &Grant, attributes: &Attributes<'_>) -> bool {
    match &grant.namespace {
        None => true,
        Some(namespace) => attributes.path.is_none() && namespace == attributes.namespace,
    }
}

/// Whether a rule allows a request. `resource` is [`Attributes::resource`].
pub(crate) fn matches(rule: &PolicyRule, attributes: &Attributes<'_>, resource: &str) -> bool {
    if !has(Some(&rule.verbs), attributes.verb) {
        return false;
    }
    match attributes.path {
        Some(path) => rule.non_resource_urls.iter().flatten().any(|url| url_covers(url, path)),
        None => {
            has(rule.api_groups.as_ref(), attributes.group)
                && rule.resources.iter().flatten().any(|r| resource_covers(r, resource, attributes.subresource))
                && rule.resource_names.as_ref().is_none_or(|names| names.is_empty() || names.iter().any(|n| n == attributes.name))
        }
    }
}

fn has(list: Option<&Vec<String>>, wanted: &str) -> bool {
    list.into_iter().flatten().any(|l| l == "*" || l == wanted)
}

/// `*` is all, `*/scale` every `scale`.
pub(crate) fn resource_covers(rule: &str, resource: &str, subresource: &str) -> bool {
    rule == "*" || rule == resource || (!subresource.is_empty() && rule.strip_prefix("*/") == Some(subresource))
}

/// `/healthz/*` is everything below, `*` is all.
pub(crate) fn url_covers(rule: &str, path: &str) -> bool {
    rule == path || rule.strip_suffix('*').is_some_and(|prefix| path.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Option<Vec<String>> {
        (!text.is_empty()).then(|| text.split(' ').map(str::to_owned).map(|s| if s == "core" { String::new() } else { s }).collect())
    }

    fn rule(verbs: &str, groups: &str, resources: &str, names: &str, urls: &str) -> PolicyRule {
        PolicyRule {
            verbs: list(verbs).unwrap_or_default(),
            api_groups: list(groups),
            resources: list(resources),
            resource_names: list(names),
            non_resource_urls: list(urls),
        }
    }

    #[test]
    fn rules() {
        let pods = Attributes { verb: "get", plural: "pods", namespace: "a", name: "p", ..Attributes::default() };
        let log = Attributes { subresource: "log", ..pods };
        let scale = Attributes { verb: "update", group: "apps", plural: "deployments", subresource: "scale", ..pods };
        let health = Attributes { verb: "get", path: Some("/healthz/ping"), ..Attributes::default() };
        let table = [
            (rule("get", "core", "pods", "", ""), pods, true),
            (rule("*", "*", "*", "", ""), pods, true),
            (rule("list", "core", "pods", "", ""), pods, false),
            (rule("get", "apps", "pods", "", ""), pods, false),
            (rule("get", "core", "pods", "", ""), log, false),
            (rule("get", "core", "pods/log", "", ""), log, true),
            (rule("get", "core", "*", "", ""), log, true),
            (rule("update", "apps", "*/scale", "", ""), scale, true),
            (rule("update", "apps", "*/scale", "", ""), pods, false),
            (rule("get", "core", "pods", "p q", ""), pods, true),
            (rule("get", "core", "pods", "q", ""), pods, false),
            (rule("get", "", "", "", "/healthz /healthz/*"), health, true),
            (rule("get", "", "", "", "*"), health, true),
            (rule("get", "", "", "", "/livez"), health, false),
            (rule("get", "", "", "", "*"), pods, false),
            (rule("*", "*", "*", "", ""), health, false),
        ];
        for (rule, attributes, wanted) in table {
            assert_eq!(matches(&rule, &attributes, &attributes.resource()), wanted, "{rule:?} {attributes:?}");
        }
    }

    #[test]
    fn bindings_of_users_groups_and_accounts() {
        let mut index = Index::default();
        let subject = |kind: &str, name: &str, namespace: Option<&str>| Subject {
            kind: kind.into(),
            name: name.into(),
            namespace: namespace.map(Into::into),
            ..Subject::default()
        };
        let rules: Arc<[PolicyRule]> = vec![rule("get", "core", "pods", "", "")].into();
        let words = r#"RoleBinding "b/a" of Role "r" to {}"#.to_owned();
        index.add(
            &[subject("User", "jane", None), subject("ServiceAccount", "sa", None)],
            Grant { namespace: Some("a".into()), rules: rules.clone(), words: words.clone() },
        );
        index.add(&[subject("Group", "ops", None)], Grant { namespace: None, rules, words });
        let get = |namespace| Attributes { verb: "get", plural: "pods", namespace, ..Attributes::default() };
        assert!(index.allows(&Identity::new("jane", &[]), &get("a")));
        assert!(!index.allows(&Identity::new("jane", &[]), &get("b")));
        assert!(!index.allows(&Identity::new("jane", &[]), &get("")));
        assert!(index.allows(&Identity::service_account("a", "sa"), &get("a")));
        assert!(!index.allows(&Identity::service_account("b", "sa"), &get("a")));
        assert!(index.allows(&Identity::new("joe", &["ops"]), &get("")));
        assert_eq!(index.find(&Identity::new("jane", &[]), &get("a")).as_deref(), Some(r#"RBAC: allowed by RoleBinding "b/a" of Role "r" to User "jane""#));
        assert_eq!(index.rules(&Identity::new("jane", &[]), "a").len(), 1);
        assert_eq!(index.rules(&Identity::new("jane", &[]), "").len(), 0);
    }
}
