//! `networking.k8s.io/v1` IngressClass: which controller serves an Ingress.

use serde_json::Value;

use crate::field::{Error, Errors, Path};
use crate::k8s_openapi::api::networking::v1::{IngressClass, IngressClassParametersReference, IngressClassSpec};
use crate::kind::{Kind, Names, Scope};
use crate::kinds::checks::{IMMUTABLE, each, one_of};
use crate::kinds::columns::{age, age_cell, name, name_cell, text as text_column};
use crate::kinds::names;
use crate::kinds::normal::{fill, text};
use crate::meta::{dns1123_label, dns1123_subdomain};
use crate::table::Columns;

/// IngressClass of `networking.k8s.io/v1`.
pub struct IngressClasses;

impl Kind for IngressClasses {
    type Object = IngressClass;

    const NAMES: Names = names("ingressclass", &[], &[]);
    const SCOPE: Scope = Scope::Cluster;
    const HAS_GENERATION: bool = true;

    fn desired_differs(new: &Self::Object, old: &Self::Object) -> bool {
        new.spec != old.spec
    }

    fn default(class: &mut IngressClass) {
        if let Some(parameters) = &mut class.spec.get_or_insert_default().parameters {
            fill(&mut parameters.scope, "Cluster");
        }
    }

    fn validate(class: &IngressClass) -> Errors {
        let empty = IngressClassSpec::default();
        let (spec, at) = (class.spec.as_ref().unwrap_or(&empty), Path::new("spec"));
        let mut errors = controller(text(&spec.controller), &at.child("controller"));
        errors.extend(spec.parameters.iter().flat_map(|p| parameters(p, &at.child("parameters"))));
        errors
    }

    fn validate_update(new: &IngressClass, old: &IngressClass) -> Errors {
        let controller_of = |class: &IngressClass| class.spec.as_ref().and_then(|s| s.controller.clone()).unwrap_or_default();
        let mut errors = Errors::new();
        if controller_of(new) != controller_of(old) {
            errors.push(Error::invalid(&Path::new("spec.controller"), controller_of(new), IMMUTABLE));
        }
        errors.extend(new.spec.iter().flat_map(|s| &s.parameters).flat_map(|p| parameters(p, &Path::new("spec.parameters"))));
        errors
    }

    fn columns() -> Columns<IngressClass> {
        Columns {
            columns: vec![
                name(),
                text_column("Controller", "Controller that is responsible for handling this class"),
                text_column("Parameters", "A reference to a resource with additional parameters"),
                age(),
            ],
            row: |class, now| {
                let empty = IngressClassSpec::default();
                let spec = class.spec.as_ref().unwrap_or(&empty);
                let parameters = spec.parameters.as_ref().map_or_else(
                    || "<none>".to_owned(),
                    |p| format!("{}{}/{}", p.kind, p.api_group.as_ref().map(|g| format!(".{g}")).unwrap_or_default(), p.name),
                );
                vec![name_cell(&class.metadata), Value::from(text(&spec.controller)), Value::from(parameters), age_cell(&class.metadata, now)]
            },
        }
    }
}

const MAX_CONTROLLER: usize = 250;

/// `example.com/foo`: a domain and a path below it.
fn controller(name: &str, at: &Path) -> Errors {
    let mut errors = Errors::new();
    if name.len() > MAX_CONTROLLER {
        errors.push(Error::too_long(at, MAX_CONTROLLER));
    }
    match name.split_once('/') {
        _ if name.is_empty() => errors.push(Error::required(at, "")),
        Some((domain, path)) if !domain.is_empty() && !path.is_empty() => errors.extend(each(at, domain, dns1123_subdomain(domain))),
        _ => errors.push(Error::invalid(at, name, "must be a domain-prefixed path (such as \"acme.io/foo\")")),
    }
    errors
}

fn parameters(parameters: &IngressClassParametersReference, at: &Path) -> Errors {
    let mut errors = Errors::new();
    for (value, field, words) in [(&parameters.kind, "kind", "kind is required"), (&parameters.name, "name", "name is required")] {
        if value.is_empty() {
            errors.push(Error::required(&at.child(field), words));
        }
    }
    if let Some(group) = &parameters.api_group {
        errors.extend(each(&at.child("apiGroup"), group, dns1123_subdomain(group)));
    }
    errors.extend(one_of(parameters.scope.as_deref(), &["Cluster", "Namespace"], &at.child("scope")));
    let namespace = text(&parameters.namespace);
    match text(&parameters.scope) {
        "Namespace" if namespace.is_empty() => {
            errors.push(Error::required(&at.child("namespace"), "`parameters.scope` is set to 'Namespace'"));
        }
        "Namespace" => errors.extend(each(&at.child("namespace"), namespace, dns1123_label(namespace))),
        "Cluster" if parameters.namespace.is_some() => {
            errors.push(Error::forbidden(&at.child("namespace"), "`parameters.scope` is set to 'Cluster'"));
        }
        _ => {}
    }
    errors
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::kinds::testing::{check_refused, check_row, check_update_refused};

    #[test]
    fn refuses_in_kubernetes_words() {
        check_refused::<IngressClasses>(
            r#"
spec: {}
"#,
            &expect![[r#"
                spec.controller: Required value
            "#]],
        );
        check_refused::<IngressClasses>(
            r#"
spec: {controller: x, parameters: {kind: "", name: n, scope: Namespace}}
"#,
            &expect![[r#"
                spec.controller: Invalid value: "x": must be a domain-prefixed path (such as "acme.io/foo")
                spec.parameters.kind: Required value: kind is required
                spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'
            "#]],
        );
        check_update_refused::<IngressClasses>(
            r#"
spec: {controller: a.b/c}
"#,
            r#"
spec: {controller: a.b/d}
"#,
            &expect![[r#"
                spec.controller: Invalid value: "a.b/d": field is immutable
            "#]],
        );
    }

    #[test]
    fn prints_a_row() {
        check_row::<IngressClasses>(
            r#"
metadata: {name: nginx, creationTimestamp: 2026-01-01T00:00:00Z}
spec: {controller: k8s.io/ingress-nginx, parameters: {apiGroup: x.io, kind: P, name: n}}
"#,
            &expect![[r#"
                Name: nginx
                Controller: k8s.io/ingress-nginx
                Parameters: P.x.io/n
                Age: 15m
            "#]],
        );
    }
}
