//! Nobody gives what they don't have: the check on roles and bindings that users write.

use std::fmt::Write as _;

use k8s_openapi::api::rbac::v1::PolicyRule;
use wharf_api::status::ApiError;

use super::rbac::{resource_covers, url_covers};
use super::{Attributes, Authorizer};
use crate::{Identity, MASTERS};

/// A user may write a role (`plural` of `roles`, `clusterroles`) whose rules they have themselves, or with the verb `escalate`.
pub(crate) fn may_write_role(
    authorizer: &Authorizer,
    identity: &Identity,
    (plural, namespace, name): (&str, &str, &str),
    rules: &[PolicyRule],
) -> Result<(), ApiError> {
    let escalate = Attributes { verb: "escalate", group: GROUP, plural, namespace, name, ..Attributes::default() };
    if identity.is_in(MASTERS) || authorizer.check(identity, &escalate).is_ok() {
        return Ok(());
    }
    holds(authorizer, identity, namespace, rules).map_err(|missing| refusal(identity, (plural, name), &missing))
}

/// A user may bind (`plural` of `rolebindings`, `clusterrolebindings`) a role whose rules they have themselves, or with the verb `bind` on it.
pub(crate) fn may_bind(
    authorizer: &Authorizer,
    identity: &Identity,
    (plural, namespace, name): (&str, &str, &str),
    (role_kind, role): (&str, &str),
) -> Result<(), ApiError> {
    let roles = if role_kind == "ClusterRole" { "clusterroles" } else { "roles" };
    let bind = Attributes { verb: "bind", group: GROUP, plural: roles, namespace, name: role, ..Attributes::default() };
    if identity.is_in(MASTERS) || authorizer.check(identity, &bind).is_ok() {
        return Ok(());
    }
    let role_namespace = (roles == "roles").then_some(namespace);
    let Some(rules) = authorizer.rbac.rules_of(role_namespace, role) else {
        return Err(ApiError::not_found(GROUP, roles, role));
    };
    holds(authorizer, identity, namespace, &rules).map_err(|missing| refusal(identity, (plural, name), &missing))
}

const GROUP: &str = "rbac.authorization.k8s.io";

fn holds(authorizer: &Authorizer, identity: &Identity, namespace: &str, rules: &[PolicyRule]) -> Result<(), Vec<PolicyRule>> {
    let owned = authorizer.rbac.index().rules(identity, namespace);
    let missing: Vec<PolicyRule> = rules.iter().flat_map(break_down).filter(|rule| !owned.iter().any(|own| covers(own, rule))).collect();
    if missing.is_empty() { Ok(()) } else { Err(missing) }
}

fn refusal(identity: &Identity, (plural, name): (&str, &str), missing: &[PolicyRule]) -> ApiError {
    let mut words = format!("user {:?} (groups=[", identity.user);
    for (i, group) in identity.groups.iter().enumerate() {
        let _ = write!(words, "{}{group:?}", if i == 0 { "" } else { " " });
    }
    words.push_str("]) is attempting to grant RBAC permissions not currently held:");
    let mut lines: Vec<String> = missing.iter().map(compact).collect();
    lines.sort();
    for line in lines {
        let _ = write!(words, "\n{line}");
    }
    ApiError::forbidden(GROUP, plural, name, words)
}

/// One rule for each group, resource, name and verb, so that several of a user's rules together can cover it.
fn break_down(rule: &PolicyRule) -> Vec<PolicyRule> {
    let mut out = Vec::new();
    for verb in &rule.verbs {
        for url in rule.non_resource_urls.iter().flatten() {
            out.push(PolicyRule { verbs: vec![verb.clone()], non_resource_urls: Some(vec![url.clone()]), ..PolicyRule::default() });
        }
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                let one = PolicyRule {
                    verbs: vec![verb.clone()],
                    api_groups: Some(vec![group.clone()]),
                    resources: Some(vec![resource.clone()]),
                    ..PolicyRule::default()
                };
                match rule.resource_names.as_deref().unwrap_or_default() {
                    [] => out.push(one),
                    names => out.extend(names.iter().map(|n| PolicyRule { resource_names: Some(vec![n.clone()]), ..one.clone() })),
                }
            }
        }
    }
    out
}

/// Whether a rule gives all that a broken-down one gives.
fn covers(own: &PolicyRule, wanted: &PolicyRule) -> bool {
    let first = |list: &Option<Vec<String>>| list.as_ref().and_then(|l| l.first()).cloned();
    let has = |list: Option<&Vec<String>>, wanted: &str| list.into_iter().flatten().any(|l| l == "*" || l == wanted);
    if !wanted.verbs.iter().all(|v| has(Some(&own.verbs), v)) {
        return false;
    }
    if let Some(url) = first(&wanted.non_resource_urls) {
        return own.non_resource_urls.iter().flatten().any(|u| url_covers(u, &url));
    }
    let (Some(group), Some(resource)) = (first(&wanted.api_groups), first(&wanted.resources)) else { return false };
    let subresource = resource.split_once('/').map_or("", |(_, s)| s);
    let names = own.resource_names.as_deref().unwrap_or_default();
    has(own.api_groups.as_ref(), &group)
        && own.resources.iter().flatten().any(|r| resource_covers(r, &resource, subresource))
        && (names.is_empty() || first(&wanted.resource_names).is_some_and(|n| names.contains(&n)))
}

/// `{APIGroups:[""], Resources:["pods"], Verbs:["get"]}`
fn compact(rule: &PolicyRule) -> String {
    let mut parts = Vec::new();
    let mut add = |name: &str, list: &[String]| {
        if !list.is_empty() {
            parts.push(format!("{name}:[{}]", list.iter().map(|l| format!("{l:?}")).collect::<Vec<_>>().join(" ")));
        }
    };
    add("APIGroups", rule.api_groups.as_deref().unwrap_or_default());
    add("Resources", rule.resources.as_deref().unwrap_or_default());
    add("ResourceNames", rule.resource_names.as_deref().unwrap_or_default());
    add("NonResourceURLs", rule.non_resource_urls.as_deref().unwrap_or_default());
    add("Verbs", &rule.verbs);
    format!("{{{}}}", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(json: serde_json::Value) -> PolicyRule {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn covering() {
        let wanted = rule(serde_json::json!({"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list"]}));
        let all = rule(serde_json::json!({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}));
        assert!(break_down(&wanted).iter().all(|w| covers(&all, w)));
        let some = rule(serde_json::json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}));
        let missing: Vec<String> = break_down(&wanted).iter().filter(|w| !covers(&some, w)).map(compact).collect();
        assert_eq!(missing.len(), 3);
        assert_eq!(compact(&some), r#"{APIGroups:[""], Resources:["pods"], Verbs:["get"]}"#);
        let named = rule(serde_json::json!({"apiGroups": [""], "resources": ["pods"], "resourceNames": ["p"], "verbs": ["get"]}));
        assert!(!covers(&named, &break_down(&some)[0]));
        assert!(covers(&some, &break_down(&named)[0]));
    }
}
