//! `networking.k8s.io/v1` Ingress: HTTP routes from outside to Services.

use serde_json::Value;

use crate::field::{Error, Errors, Path};
use crate::k8s_openapi::api::networking::v1::{HTTPIngressPath, Ingress, IngressBackend, IngressLoadBalancerStatus, IngressRule, IngressSpec, IngressStatus};
use crate::kind::{Kind, Merge, Names, Scope, Subresource};
use crate::kinds::checks::{each, parse_ip, port};
use crate::kinds::columns::{age, age_cell, name, name_cell, or_none, text as text_column};
use crate::kinds::normal::{drop_empty, drop_zero, text};
use crate::kinds::{merge, names};
use crate::meta::names::{port_name, wildcard_dns1123_subdomain};
use crate::meta::{dns1123_label, dns1123_subdomain};
use crate::table::Columns;

/// Ingress of `networking.k8s.io/v1`.
pub struct Ingresses;

impl Kind for Ingresses {
    type Object = Ingress;

    const NAMES: Names = names("ingress", &["ing"], &[]);
    const SCOPE: Scope = Scope::Namespaced;
    const SUBRESOURCES: &[Subresource] = &[Subresource::Status];
    const MERGES: &[Merge] = MERGES;
    const HAS_GENERATION: bool = true;

    fn copy_status(to: &mut Self::Object, from: &Self::Object) {
        to.status.clone_from(&from.status);
    }

    fn desired_differs(new: &Self::Object, old: &Self::Object) -> bool {
        new.spec != old.spec
    }

    fn default(ingress: &mut Ingress) {
        let spec = ingress.spec.get_or_insert_default();
        let paths = spec.rules.iter_mut().flatten().filter_map(|r| r.http.as_mut()).flat_map(|h| h.paths.iter_mut());
        for backend in paths.map(|p| &mut p.backend).chain(&mut spec.default_backend) {
            if let Some(port) = backend.service.as_mut().and_then(|s| s.port.as_mut()) {
                drop_empty(&mut port.name);
                drop_zero(&mut port.number);
            }
        }
        ingress.status.get_or_insert_with(empty_status);
    }

    fn prepare_create(ingress: &mut Ingress) {
        ingress.status = Some(empty_status());
    }

    fn validate(ingress: &Ingress) -> Errors {
        let empty = IngressSpec::default();
        let spec = ingress.spec.as_ref().unwrap_or(&empty);
        let mut errors = validate_spec(spec, &Path::new("spec"));
        for (i, tls) in spec.tls.iter().flatten().enumerate() {
            let secret = text(&tls.secret_name);
            if !secret.is_empty() {
                errors.extend(each(&Path::new("spec.tls").index(i).child("secretName"), secret, dns1123_subdomain(secret)));
            }
        }
        let class = ingress.metadata.annotations.as_ref().and_then(|a| a.get(CLASS_ANNOTATION));
        if let (Some(class), Some(_)) = (class, &spec.ingress_class_name) {
            let at = Path::new("metadata.annotations").child(CLASS_ANNOTATION);
            errors.push(Error::invalid(&at, class, "can not be set when the class field is also set"));
        }
        errors
    }

    fn validate_update(new: &Ingress, _old: &Ingress) -> Errors {
        validate_spec(new.spec.as_ref().unwrap_or(&IngressSpec::default()), &Path::new("spec"))
    }

    fn columns() -> Columns<Ingress> {
        Columns {
            columns: vec![
                name(),
                text_column("Class", "The name of the IngressClass resource that should be used for additional configuration"),
                text_column("Hosts", "Hosts that incoming requests are matched against before the ingress rule"),
                text_column("Address", "Address is a list containing ingress points for the load-balancer"),
                text_column("Ports", "Ports of TLS configurations that open"),
                age(),
            ],
            row: |ingress, now| {
                let empty = IngressSpec::default();
                let spec = ingress.spec.as_ref().unwrap_or(&empty);
                let tls = !spec.tls.as_ref().is_none_or(Vec::is_empty);
                vec![
                    name_cell(&ingress.metadata),
                    or_none(spec.ingress_class_name.as_deref()),
                    Value::from(hosts(spec.rules.as_deref().unwrap_or_default())),
                    Value::from(address(ingress.status.as_ref().and_then(|s| s.load_balancer.as_ref()))),
                    Value::from(if tls { "80, 443" } else { "80" }),
                    age_cell(&ingress.metadata, now),
                ]
            },
        }
    }
}

const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

fn empty_status() -> IngressStatus {
    IngressStatus { load_balancer: Some(IngressLoadBalancerStatus::default()) }
}

fn validate_spec(spec: &IngressSpec, at: &Path) -> Errors {
    let mut errors = Errors::new();
    let rules = spec.rules.as_deref().unwrap_or_default();
    if rules.is_empty() && spec.default_backend.is_none() {
        errors.push(Error::invalid(at, Value::Null, "either `defaultBackend` or `rules` must be specified"));
    }
    errors.extend(spec.default_backend.iter().flat_map(|b| backend(b, &at.child("defaultBackend"))));
    for (i, rule) in rules.iter().enumerate() {
        errors.extend(validate_rule(rule, &at.child("rules").index(i)));
    }
    for (i, tls) in spec.tls.iter().flatten().enumerate() {
        for host in tls.hosts.iter().flatten() {
            errors.extend(each(&at.child("tls").index(i).child("hosts"), host, host_name(host)));
        }
    }
    if let Some(class) = &spec.ingress_class_name {
        errors.extend(each(&at.child("ingressClassName"), class, dns1123_subdomain(class)));
    }
    errors
}

fn host_name(host: &str) -> Vec<String> {
    if host.contains('*') { wildcard_dns1123_subdomain(host) } else { dns1123_subdomain(host) }
}

fn validate_rule(rule: &IngressRule, at: &Path) -> Errors {
    let mut errors = Errors::new();
    let host = text(&rule.host);
    if parse_ip(host).is_some() {
        errors.push(Error::invalid(&at.child("host"), host, "must be a DNS name, not an IP address"));
    } else if !host.is_empty() {
        errors.extend(each(&at.child("host"), host, host_name(host)));
    }
    let Some(http) = &rule.http else { return errors };
    let at = at.child("http.paths");
    if http.paths.is_empty() {
        errors.push(Error::required(&at, ""));
    }
    for (i, path) in http.paths.iter().enumerate() {
        errors.extend(validate_path(path, &at.index(i)));
        errors.extend(backend(&path.backend, &at.index(i).child("backend")));
    }
    errors
}

fn validate_path(path: &HTTPIngressPath, at: &Path) -> Errors {
    const BAD_PARTS: &[&str] = &["//", "/./", "/../", "%2f", "%2F"];
    const BAD_ENDS: &[&str] = &["/..", "/."];
    let mut errors = Errors::new();
    let (text, at_path) = (text(&path.path), at.child("path"));
    let mut refuse = |words: String| errors.push(Error::invalid(&at_path, text, words));
    match path.path_type.as_str() {
        "Exact" | "Prefix" => {
            if !text.starts_with('/') {
                refuse("must be an absolute path".to_owned());
            }
            for part in BAD_PARTS.iter().filter(|part| text.contains(**part)) {
                refuse(format!("must not contain '{part}'"));
            }
            for end in BAD_ENDS.iter().filter(|end| text.ends_with(**end)) {
                refuse(format!("cannot end with '{end}'"));
            }
        }
        "ImplementationSpecific" => {
            if !text.is_empty() && !text.starts_with('/') {
                refuse("must be an absolute path".to_owned());
            }
        }
        "" => errors.push(Error::required(&at.child("pathType"), "pathType must be specified")),
        other => errors.push(Error::not_supported(&at.child("pathType"), other, &["Exact", "ImplementationSpecific", "Prefix"])),
    }
    errors
}

fn backend(backend: &IngressBackend, at: &Path) -> Errors {
    let mut errors = Errors::new();
    match (&backend.service, &backend.resource) {
        (Some(_), Some(_)) => errors.push(Error::invalid(at, "", "cannot set both resource and service backends")),
        (None, None) => errors.push(Error::invalid(at, "", "resource or service backend is required")),
        (None, Some(resource)) => {
            let at = at.child("resource");
            for (value, field, words) in [(&resource.kind, "kind", "kind is required"), (&resource.name, "name", "name is required")] {
                if value.is_empty() {
                    errors.push(Error::required(&at.child(field), words));
                }
            }
        }
        (Some(service), None) => {
            let at_service = at.child("service");
            if service.name.is_empty() {
                errors.push(Error::required(&at_service.child("name"), ""));
            } else {
                errors.extend(each(&at_service.child("name"), &service.name, dns1123_label(&service.name)));
            }
            let name = service.port.as_ref().map_or("", |p| text(&p.name));
            let number = service.port.as_ref().and_then(|p| p.number).unwrap_or(0);
            match (name, number) {
                ("", 0) => errors.push(Error::required(at, "port name or number is required")),
                ("", number) => errors.extend(port(number, &at_service.child("port.number"))),
                (name, 0) => errors.extend(each(&at_service.child("port.name"), name, port_name(name))),
                _ => errors.push(Error::invalid(at, "", "cannot set both port name & port number")),
            }
        }
    }
    errors
}

fn hosts(rules: &[IngressRule]) -> String {
    const SHOWN: usize = 3;
    let names: Vec<&str> = rules.iter().map(|r| text(&r.host)).filter(|h| !h.is_empty()).take(SHOWN).collect();
    match names.len() {
        0 => "*".to_owned(),
        SHOWN if rules.len() > SHOWN => format!("{} + {} more...", names.join(","), rules.len() - SHOWN),
        _ => names.join(","),
    }
}

fn address(status: Option<&IngressLoadBalancerStatus>) -> String {
    let mut out: Vec<&str> = status
        .iter()
        .flat_map(|s| s.ingress.iter().flatten())
        .map(|i| Some(text(&i.ip)).filter(|ip| !ip.is_empty()).unwrap_or(text(&i.hostname)))
        .filter(|a| !a.is_empty())
        .collect();
    out.sort_unstable();
    out.dedup();
    out.join(",")
}

/// How lists and maps of these types are merged, from the OpenAPI document.
const MERGES: &[Merge] = &[
    merge("io.k8s.api.networking.v1.HTTPIngressRuleValue", "paths", "", "", "atomic", &[]),
    merge("io.k8s.api.networking.v1.IngressLoadBalancerIngress", "ports", "", "", "atomic", &[]),
    merge("io.k8s.api.networking.v1.IngressLoadBalancerStatus", "ingress", "", "", "atomic", &[]),
    merge("io.k8s.api.networking.v1.IngressSpec", "rules", "", "", "atomic", &[]),
    merge("io.k8s.api.networking.v1.IngressSpec", "tls", "", "", "atomic", &[]),
    merge("io.k8s.api.networking.v1.IngressTLS", "hosts", "", "", "atomic", &[]),
    merge("io.k8s.api.networking.v1.ServiceBackendPort", "", "", "", "atomic", &[]),
];

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::kinds::testing::{check_refused, check_row};

    #[test]
    fn refuses_in_kubernetes_words() {
        check_refused::<Ingresses>(
            r#"
metadata: {name: i, creationTimestamp: 2025-12-31T23:00:00Z}
spec: {}
"#,
            &expect![[r#"
                spec: Invalid value: null: either `defaultBackend` or `rules` must be specified
            "#]],
        );
        check_refused::<Ingresses>(
            r#"
metadata: {name: i, creationTimestamp: 2025-12-31T23:00:00Z}
spec: {rules: [{host: 1.2.3.4, http: {paths: [{path: x, pathType: Prefix, backend: {service: {name: s, port: {number: 80}}}}]}}]}
"#,
            &expect![[r#"
                spec.rules[0].host: Invalid value: "1.2.3.4": must be a DNS name, not an IP address
                spec.rules[0].http.paths[0].path: Invalid value: "x": must be an absolute path
            "#]],
        );
        check_refused::<Ingresses>(
            r#"
metadata: {name: i, creationTimestamp: 2025-12-31T23:00:00Z}
spec: {rules: [{host: "*.a.b", http: {paths: [{path: /a/../b, pathType: Exact, backend: {service: {name: s, port: {name: http, number: 80}}}}]}}]}
"#,
            &expect![[r#"
                spec.rules[0].http.paths[0].path: Invalid value: "/a/../b": must not contain '/../'
                spec.rules[0].http.paths[0].backend: Invalid value: "": cannot set both port name & port number
            "#]],
        );
        check_refused::<Ingresses>(
            r#"
metadata: {name: i, creationTimestamp: 2025-12-31T23:00:00Z}
spec: {rules: [{host: "a.*.b", http: {paths: [{path: /, pathType: Fuzzy, backend: {service: {name: s, port: {number: 0}}}}]}}]}
"#,
            &expect![[r#"
                spec.rules[0].host: Invalid value: "a.*.b": a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', regex used for validation is '\*\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
                spec.rules[0].http.paths[0].pathType: Unsupported value: "Fuzzy": supported values: "Exact", "ImplementationSpecific", "Prefix"
                spec.rules[0].http.paths[0].backend: Required value: port name or number is required
            "#]],
        );
        check_refused::<Ingresses>(
            r#"
metadata: {name: i, creationTimestamp: 2025-12-31T23:00:00Z}
spec: {defaultBackend: {}, ingressClassName: "a/b", tls: [{hosts: ["-"]}], rules: [{http: {paths: []}}]}
"#,
            &expect![[r#"
                spec.defaultBackend: Invalid value: "": resource or service backend is required
                spec.rules[0].http.paths: Required value
                spec.tls[0].hosts: Invalid value: "-": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
                spec.ingressClassName: Invalid value: "a/b": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
            "#]],
        );
        check_refused::<Ingresses>(
            r#"
metadata: {name: i, annotations: {kubernetes.io/ingress.class: nginx}}
spec: {ingressClassName: nginx, defaultBackend: {service: {name: s, port: {name: http}}}}
"#,
            &expect![[r#"
                metadata.annotations.kubernetes.io/ingress.class: Invalid value: "nginx": can not be set when the class field is also set
            "#]],
        );
    }

    #[test]
    fn prints_a_row() {
        check_row::<Ingresses>(
            r#"
metadata: {name: i, creationTimestamp: 2025-12-31T23:00:00Z}
spec: {ingressClassName: nginx, tls: [{}], rules: [{host: a.b}, {host: c.d}, {host: e.f}, {host: g.h}]}
status: {loadBalancer: {ingress: [{ip: 10.88.0.1}]}}
"#,
            &expect![[r#"
                Name: i
                Class: nginx
                Hosts: a.b,c.d,e.f + 1 more...
                Address: 10.88.0.1
                Ports: 80, 443
                Age: 75m
            "#]],
        );
        check_row::<Ingresses>(
            r#"
metadata: {name: i, creationTimestamp: 2025-12-31T23:00:00Z}
spec: {defaultBackend: {service: {name: s, port: {number: 80}}}}
"#,
            &expect![[r#"
                Name: i
                Class: <none>
                Hosts: *
                Address: 
                Ports: 80
                Age: 75m
            "#]],
        );
    }
}
