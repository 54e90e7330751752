//! What a plugin is asked about: rules and selectors, as those of a webhook.

use std::collections::BTreeMap;

use k8s_openapi::api::admissionregistration::v1::RuleWithOperations;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector as Selector;
use serde::Deserialize;
use wharf_api::DynObject;
use wharf_api::kinds::plugin::PluginMatch;
use wharf_api::selector::LabelSelector;

use super::{Admission, operation};

/// The rules and selectors of a plugin. Without rules it is asked about nothing.
pub(crate) struct Matcher {
    rules: Vec<RuleWithOperations>,
    /// `None` selects everything.
    namespaces: Option<LabelSelector>,
    objects: Option<LabelSelector>,
}

/// What of a request the rules look at.
#[derive(Clone, Copy, Debug)]
struct Target<'a> {
    operation: &'a str,
    group: &'a str,
    version: &'a str,
    plural: &'a str,
    subresource: &'a str,
    namespaced: bool,
}

impl Matcher {
    pub(crate) fn new(wanted: Option<&PluginMatch>) -> Matcher {
        // A selector that cannot be read was refused when it was written.
        let read = |selector: Option<&Selector>| {
            let selector = selector.map(|s| LabelSelector::from_object(Some(s)).unwrap_or_else(|_| LabelSelector::nothing()));
            selector.filter(|s| !s.is_everything())
        };
        Matcher {
            rules: wanted.and_then(|m| m.rules.clone()).unwrap_or_default(),
            namespaces: read(wanted.and_then(|m| m.namespace_selector.as_ref())),
            objects: read(wanted.and_then(|m| m.object_selector.as_ref())),
        }
    }

    pub(crate) fn matches(&self, admission: &Admission<'_>, object: Option<&dyn DynObject>, old: Option<&dyn DynObject>) -> bool {
        let (ask, info) = (&admission.ask, admission.ask.served.info());
        let target = Target {
            operation: operation(admission.operation),
            group: &info.group,
            version: &info.version,
            plural: &info.plural,
            subresource: ask.path.subresource,
            namespaced: info.namespaced(),
        };
        if !self.rules.iter().any(|rule| fits(rule, target)) {
            return false;
        }
        if let Some(selector) = &self.objects
            && ![object, old].into_iter().flatten().any(|object| selector.matches(object.meta().labels.as_ref()))
        {
            return false;
        }
        let Some(selector) = &self.namespaces else { return true };
        if target.namespaced {
            return selector.matches(Some(&labels_of_namespace(admission)));
        }
        // Of namespaces it is their own labels that count; other objects outside of namespaces are always meant.
        !(info.group.is_empty() && info.plural == "namespaces") || [object, old].into_iter().flatten().any(|o| selector.matches(o.meta().labels.as_ref()))
    }
}

fn labels_of_namespace(admission: &Admission<'_>) -> BTreeMap<String, String> {
    #[derive(Default, Deserialize)]
    struct Lean {
        metadata: LeanMeta,
    }
    #[derive(Default, Deserialize)]
    struct LeanMeta {
        #[serde(default)]
        labels: BTreeMap<String, String>,
    }
    let key = wharf_store::key("core", "namespaces", "", admission.ask.namespace());
    let item = admission.ask.shared.cache().get(&key);
    item.and_then(|item| serde_json::from_slice::<Lean>(&item.json()).ok()).unwrap_or_default().metadata.labels
}

fn fits(rule: &RuleWithOperations, target: Target<'_>) -> bool {
    let one_of = |list: &Option<Vec<String>>, wanted: &str| list.iter().flatten().any(|one| one == "*" || one == wanted);
    let scope = match rule.scope.as_deref().unwrap_or("*") {
        "Namespaced" => target.namespaced,
        "Cluster" => !target.namespaced,
        _ => true,
    };
    let resource = rule.resources.iter().flatten().any(|resource| {
        let (plural, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        (plural == "*" || plural == target.plural) && (subresource == "*" || subresource == target.subresource)
    });
    scope && resource && one_of(&rule.operations, target.operation) && one_of(&rule.api_groups, target.group) && one_of(&rule.api_versions, target.version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_fit_as_those_of_webhooks() {
        let pods = Target { operation: "CREATE", group: "", version: "v1", plural: "pods", subresource: "", namespaced: true };
        let status = Target { subresource: "status", operation: "UPDATE", ..pods };
        let nodes = Target { plural: "nodes", namespaced: false, ..pods };
        let fits = |yaml: &str, target| fits(&serde_yaml::from_str(yaml).unwrap(), target);
        let all = "{operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*/*']}";
        assert!([pods, status, nodes].into_iter().all(|target| fits(all, target)));
        let table = [
            ("resources: [pods]", pods, true),
            ("resources: [pods]", status, false),
            ("resources: [pods/status]", status, true),
            ("resources: [pods/*]", pods, true),
            ("resources: ['*/status']", status, true),
            ("resources: ['*']", status, false),
            ("resources: [services, '*']", pods, true),
            ("resources: ['*'], scope: Cluster", pods, false),
            ("resources: ['*'], scope: Cluster", nodes, true),
            ("resources: ['*'], scope: Namespaced", nodes, false),
            ("resources: ['*'], operations: [DELETE]", pods, false),
            ("resources: ['*'], apiGroups: [apps]", pods, false),
            ("resources: ['*'], apiVersions: [v2]", pods, false),
        ];
        for (yaml, target, expected) in table {
            let mut whole = yaml.to_owned();
            for (field, value) in [("operations", "[CREATE, UPDATE]"), ("apiGroups", "['']"), ("apiVersions", "[v1]")] {
                if !whole.contains(field) {
                    whole = format!("{whole}, {field}: {value}");
                }
            }
            assert_eq!(fits(&format!("{{{whole}}}"), target), expected, "{yaml} {target:?}");
        }
    }

    #[test]
    fn nothing_is_matched_without_rules() {
        assert!(Matcher::new(None).rules.is_empty());
    }
}
