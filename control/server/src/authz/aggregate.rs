//! ClusterRoles that are made of others (`aggregationRule`).

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::rbac::v1::{AggregationRule, ClusterRole, PolicyRule};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use wharf_store::{Expect, Write, WriteError};

use super::index::ParsedClusterRole;
use crate::server::Shared;
use crate::verbs::write;

/// The rules that a ClusterRole gives: its own, or those of all that its aggregation selects, and of what those aggregate.
pub(crate) fn effective(role: &ParsedClusterRole, all: &[Arc<ParsedClusterRole>]) -> Arc<[PolicyRule]> {
    let Some(aggregation) = &role.aggregation else { return role.rules.clone() };
    let mut names = vec![role.name.as_str()];
    let mut rules = Vec::new();
    collect(aggregation, all, &mut names, &mut rules);
    rules.into()
}

fn collect<'a>(aggregation: &AggregationRule, all: &'a [Arc<ParsedClusterRole>], seen: &mut Vec<&'a str>, rules: &mut Vec<PolicyRule>) {
    let selectors = aggregation.cluster_role_selectors.as_deref().unwrap_or_default();
    let mut parts: Vec<&'a Arc<ParsedClusterRole>> = all.iter().filter(|r| selectors.iter().any(|s| selects(s, &r.labels))).collect();
    parts.sort_by(|a, b| a.name.cmp(&b.name));
    for part in parts {
        if seen.contains(&part.name.as_str()) {
            continue;
        }
        seen.push(&part.name);
        match &part.aggregation {
            Some(inner) => collect(inner, all, seen, rules),
            None => {
                for rule in part.rules.iter() {
                    if !rules.contains(rule) {
                        rules.push(rule.clone());
                    }
                }
            }
        }
    }
}

/// Whether a selector selects these labels; a selector that says nothing selects all.
fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let equal = selector.match_labels.iter().flatten().all(|(k, v)| labels.get(k) == Some(v));
    equal
        && selector.match_expressions.iter().flatten().all(|e| {
            let value = labels.get(&e.key);
            let among = || value.is_some_and(|v| e.values.iter().flatten().any(|x| x == v));
            match e.operator.as_str() {
                "In" => among(),
                "NotIn" => !among(),
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}

/// Writes the rules of aggregated ClusterRoles into them whenever a ClusterRole changes, as the upstream's controller does.
pub(crate) async fn keep(shared: &Shared) {
    let cache = shared.cache();
    loop {
        let Ok(mut cursor) = cache.watch(CLUSTER_ROLES, cache.revision()) else { continue };
        loop {
            if let Err(error) = write_all(shared).await {
                tracing::warn!(%error, "clusterrole aggregation failed");
            }
            if cursor.next().await.is_err() {
                break;
            }
        }
    }
}

const CLUSTER_ROLES: &str = "rbac.authorization.k8s.io/clusterroles";

async fn write_all(shared: &Shared) -> Result<(), WriteError> {
    let all = shared.authorizer.rbac.cluster_roles();
    let Some(served) = shared.catalog.get("rbac.authorization.k8s.io", "v1", "clusterroles") else { return Ok(()) };
    for role in all.iter().filter(|r| r.aggregation.is_some()) {
        let rules = effective(role, &all);
        if rules == role.rules {
            continue;
        }
        let key = served.key("", &role.name);
        let Some(item) = shared.cache().get(&key) else { continue };
        let Ok(mut current) = serde_json::from_slice::<ClusterRole>(&item.json()) else { continue };
        current.rules = Some(rules.to_vec());
        let Ok(value) = served.encode(&current) else { continue };
        match write(shared, &served, Write { key, expect: Expect::Revision(item.revision()), value: Some(value) }).await {
            // Whoever changed it in between wakes this again.
            Ok(_) | Err(WriteError::Conflict(_) | WriteError::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_of_roles() {
        let selector = |label: &str| AggregationRule {
            cluster_role_selectors: Some(vec![LabelSelector {
                match_labels: Some([(label.to_owned(), "true".to_owned())].into()),
                ..LabelSelector::default()
            }]),
        };
        let role = |name: &str, label: &str, aggregation: Option<AggregationRule>, verb: &str| {
            Arc::new(ParsedClusterRole {
                name: name.into(),
                labels: [(label.to_owned(), "true".to_owned())].into(),
                aggregation,
                rules: vec![PolicyRule { verbs: vec![verb.into()], ..PolicyRule::default() }].into(),
            })
        };
        let all = [
            role("admin", "", Some(selector("to-admin")), "stale"),
            role("edit", "to-admin", Some(selector("to-edit")), "stale"),
            role("own", "to-admin", None, "own"),
            role("write", "to-edit", None, "write"),
            role("loop", "to-edit", Some(selector("to-admin")), "stale"),
        ];
        let verbs: Vec<String> = effective(&all[0], &all).iter().flat_map(|r| r.verbs.clone()).collect();
        assert_eq!(verbs, ["own", "write"]);
    }
}
