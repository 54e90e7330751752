//! What the four kinds of RBAC share: rules, subjects, references to roles.

use serde_json::Value;

use crate::field::{Error, Errors, Path, printed_json};
use crate::k8s_openapi::api::rbac::v1::{PolicyRule, RoleRef, Subject};
use crate::kinds::checks::each;
use crate::kinds::normal::{drop_empty, fill, text};
use crate::meta::dns1123_subdomain;
use crate::meta::names::path_segment;

const GROUP: &str = "rbac.authorization.k8s.io";

/// What is wrong with the rules of a role. `namespaced`: of a Role, which knows no URLs.
pub(crate) fn rules(rules: &[PolicyRule], namespaced: bool, at: &Path) -> Errors {
    rules.iter().enumerate().flat_map(|(i, r)| rule(r, namespaced, &at.index(i))).collect()
}

fn rule(rule: &PolicyRule, namespaced: bool, at: &Path) -> Errors {
    let mut errors = Errors::new();
    if rule.verbs.is_empty() {
        errors.push(Error::required(&at.child("verbs"), "verbs must contain at least one value"));
    }
    let list = |field: &Option<Vec<String>>| field.clone().unwrap_or_default();
    let (urls, groups, resources) = (list(&rule.non_resource_urls), list(&rule.api_groups), list(&rule.resources));
    if !urls.is_empty() {
        let at = at.child("nonResourceURLs");
        if namespaced {
            errors.push(Error::invalid(&at, printed_json(&urls), "namespaced rules cannot apply to non-resource URLs"));
        }
        if !groups.is_empty() || !resources.is_empty() || !list(&rule.resource_names).is_empty() {
            errors.push(Error::invalid(&at, printed_json(&urls), "rules cannot apply to both regular resources and non-resource URLs"));
        }
        return errors;
    }
    if groups.is_empty() {
        errors.push(Error::required(&at.child("apiGroups"), "resource rules must supply at least one api group"));
    }
    if resources.is_empty() {
        errors.push(Error::required(&at.child("resources"), "resource rules must supply at least one resource"));
    }
    errors
}

/// Fills in the API groups of a binding.
pub(crate) fn default_binding(role: &mut RoleRef, subjects: Option<&mut Vec<Subject>>) {
    fill(&mut role.api_group, GROUP);
    for subject in subjects.into_iter().flatten() {
        drop_empty(&mut subject.namespace);
        match subject.kind.as_str() {
            "User" | "Group" => fill(&mut subject.api_group, GROUP),
            _ => drop_empty(&mut subject.api_group),
        }
    }
}

/// What is wrong with a binding. `roles`: the kinds that it may refer to. `namespaced`: of a RoleBinding.
pub(crate) fn binding(role: &RoleRef, roles: &[&str], subjects: &[Subject], namespaced: bool) -> Errors {
    let mut errors = Errors::new();
    let at = Path::new("roleRef");
    if text(&role.api_group) != GROUP {
        errors.push(Error::not_supported(&at.child("apiGroup"), text(&role.api_group), &[GROUP]));
    }
    if !roles.contains(&role.kind.as_str()) {
        errors.push(Error::not_supported(&at.child("kind"), &role.kind, roles));
    }
    if role.name.is_empty() {
        errors.push(Error::required(&at.child("name"), ""));
    } else {
        errors.extend(each(&at.child("name"), &role.name, path_segment(&role.name)));
    }
    let at = Path::new("subjects");
    errors.extend(subjects.iter().enumerate().flat_map(|(i, s)| subject(s, namespaced, &at.index(i))));
    errors
}

fn subject(subject: &Subject, namespaced: bool, at: &Path) -> Errors {
    let mut errors = Errors::new();
    if subject.name.is_empty() {
        errors.push(Error::required(&at.child("name"), ""));
    }
    let group = text(&subject.api_group);
    match subject.kind.as_str() {
        "ServiceAccount" => {
            if !subject.name.is_empty() {
                errors.extend(each(&at.child("name"), &subject.name, dns1123_subdomain(&subject.name)));
            }
            if !group.is_empty() {
                errors.push(Error::not_supported(&at.child("apiGroup"), group, &[""]));
            }
            if !namespaced && text(&subject.namespace).is_empty() {
                errors.push(Error::required(&at.child("namespace"), ""));
            }
        }
        "User" | "Group" => {
            if group != GROUP {
                errors.push(Error::not_supported(&at.child("apiGroup"), group, &[GROUP]));
            }
        }
        other => errors.push(Error::not_supported(&at.child("kind"), other, &["ServiceAccount", "User", "Group"])),
    }
    errors
}

/// A binding's role never changes.
pub(crate) fn role_is_immutable(new: &RoleRef, old: &RoleRef) -> Option<Error> {
    let printed =
        format!(r#"{{"APIGroup":{},"Kind":{},"Name":{}}}"#, Value::from(text(&new.api_group)), Value::from(new.kind.as_str()), Value::from(new.name.as_str()));
    let kind = crate::field::ErrorType::Invalid;
    (new != old).then(|| Error { kind, path: Path::new("roleRef"), value: printed, detail: "cannot change roleRef".to_owned() })
}

/// The cells of users, groups and service accounts.
pub(crate) fn subject_cells(subjects: &[Subject]) -> [Value; 3] {
    let of = |kind: &str, print: &dyn Fn(&Subject) -> String| Value::from(subjects.iter().filter(|s| s.kind == kind).map(print).collect::<Vec<_>>().join(", "));
    let name = |s: &Subject| s.name.clone();
    [of("User", &name), of("Group", &name), of("ServiceAccount", &|s| format!("{}/{}", text(&s.namespace), s.name))]
}
