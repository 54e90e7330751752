//! The table as a table: Ingresses in YAML, requests, the Services they reach.

use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use wharf_net::Services;

use super::*;
use crate::kept::CONTROLLER;

fn ingresses(yaml: &str) -> Vec<Arc<Kept>> {
    use serde::Deserialize;
    serde_yaml::Deserializer::from_str(yaml).map(|document| Arc::new(Kept::of(&Ingress::deserialize(document).unwrap()))).collect()
}

fn table(yaml: &str) -> Routes {
    Routes::build(&ingresses(yaml), &Services::new())
}

/// An Ingress in one line: `name` of namespace default, `rules` in YAML's flow style.
fn one(name: &str, age: u32, rest: &str) -> String {
    format!("metadata: {{namespace: default, name: {name}, creationTimestamp: '2026-01-01T00:00:{age:02}Z'}}\nspec: {{{rest}}}\n")
}

fn path(kind: &str, path: &str, service: &str) -> String {
    format!("{{pathType: {kind}, path: '{path}', backend: {{service: {{name: {service}, port: {{number: 80}}}}}}}}")
}

fn check(routes: &Routes, requests: &[(&str, &str, &str)]) {
    for (host, path, expected) in requests {
        let found = routes.find(host, path).map_or("-", |location| location.service.strip_prefix("default/").unwrap());
        assert_eq!(found, *expected, "{host} {path}");
    }
}

#[test]
fn kubernetes_examples_of_path_types() {
    // The table of examples in the documentation of Ingress.
    let cases = [
        ("Prefix", "/", "/any", true),
        ("Prefix", "/", "/", true),
        ("Exact", "/foo", "/foo", true),
        ("Exact", "/foo", "/bar", false),
        ("Exact", "/foo", "/foo/", false),
        ("Exact", "/foo/", "/foo", false),
        ("Prefix", "/foo", "/foo", true),
        ("Prefix", "/foo", "/foo/", true),
        ("Prefix", "/foo/", "/foo", true),
        ("Prefix", "/foo/", "/foo/", true),
        ("Prefix", "/aaa/bb", "/aaa/bbb", false),
        ("Prefix", "/aaa/bbb", "/aaa/bbb", true),
        ("Prefix", "/aaa/bbb/", "/aaa/bbb", true),
        ("Prefix", "/aaa/bbb", "/aaa/bbb/", true),
        ("Prefix", "/aaa/bbb", "/aaa/bbb/ccc", true),
        ("Prefix", "/aaa/bbb", "/aaa/bbbxyz", false),
        ("ImplementationSpecific", "/aaa", "/aaabbb", true),
        ("ImplementationSpecific", "/aaa/", "/aaa", false),
        ("Prefix", "/Foo", "/foo", false),
    ];
    for (kind, rule, request, expected) in cases {
        let routes = table(&one("a", 0, &format!("rules: [{{http: {{paths: [{}]}}}}]", path(kind, rule, "web"))));
        assert_eq!(routes.find("", request).is_some(), expected, "{kind} {rule} {request}");
    }
}

#[test]
fn the_longest_wins_and_exact_before_it() {
    let paths = [
        path("Prefix", "/", "root"),
        path("Prefix", "/a/b", "ab"),
        path("Prefix", "/a", "a"),
        path("Exact", "/a/b", "exact"),
        path("ImplementationSpecific", "/a/bc", "impl"),
    ];
    let routes = table(&one("a", 0, &format!("rules: [{{http: {{paths: [{}]}}}}]", paths.join(", "))));
    check(
        &routes,
        &[
            ("x", "/", "root"),
            ("x", "/a", "a"),
            ("x", "/ab", "root"),
            ("x", "/a/b", "exact"),
            ("x", "/a/b/", "ab"),
            ("x", "/a/b/c", "ab"),
            ("x", "/a/bcd", "impl"),
            ("x", "/a/c", "a"),
        ],
    );
}

#[test]
fn hosts_exact_then_wildcard_then_any() {
    let rules = ["a.example.com", "'*.example.com'", "''"].map(|host| {
        format!(
            "{{host: {host}, http: {{paths: [{}]}}}}",
            path(
                "Prefix",
                "/x",
                if host.starts_with('a') {
                    "exact"
                } else if host.len() > 2 {
                    "wild"
                } else {
                    "any"
                }
            )
        )
    });
    let routes = table(&one("a", 0, &format!("rules: [{}]", rules.join(", "))));
    assert_eq!(routes.hosts(), 2);
    check(
        &routes,
        &[
            ("a.example.com", "/x", "exact"),
            ("A.Example.COM:8080", "/x", "exact"),
            ("a.example.com.", "/x", "exact"),
            ("b.example.com", "/x", "wild"),
            ("b.c.example.com", "/x", "any"),
            ("example.com", "/x", "any"),
            (".example.com", "/x", "any"),
            ("", "/x", "any"),
            ("[::1]:8080", "/x", "any"),
            // A host's rules are its own: another path of it is nobody's.
            ("a.example.com", "/y", "-"),
        ],
    );
}

#[test]
fn default_backends() {
    let backend = |name: &str| format!("defaultBackend: {{service: {{name: {name}, port: {{name: http}}}}}}");
    let rules = format!("rules: [{{host: a.example.com, http: {{paths: [{}]}}}}, {{host: bare.example.com}}]", path("Prefix", "/x", "web"));
    let routes = table(&one("a", 0, &format!("{}, {rules}", backend("own"))));
    check(&routes, &[("a.example.com", "/x", "web"), ("a.example.com", "/", "own"), ("bare.example.com", "/", "own"), ("b.example.com", "/", "-")]);
    let all = format!("{}---\n{}---\n{}", one("a", 0, &rules), one("c", 2, &backend("later")), one("b", 1, &backend("all")));
    check(&table(&all), &[("a.example.com", "/x", "web"), ("a.example.com", "/", "all"), ("b.example.com", "/", "all")]);
}

#[test]
fn the_older_ingress_wins() {
    let rule = |service: &str| format!("rules: [{{host: a.b, http: {{paths: [{}, {}]}}}}]", path("Prefix", "/", service), path("Exact", "/e", service));
    for yaml in [
        format!("{}---\n{}", one("new", 5, &rule("new")), one("old", 1, &rule("old"))),
        format!("{}---\n{}", one("old", 1, &rule("old")), one("new", 5, &rule("new"))),
    ] {
        check(&table(&yaml), &[("a.b", "/", "old"), ("a.b", "/e", "old")]);
    }
}

#[test]
fn no_spelling_slips_past_a_rule() {
    let paths = [path("Prefix", "/", "root"), path("Prefix", "/admin", "admin")];
    let routes = table(&one("a", 0, &format!("rules: [{{http: {{paths: [{}]}}}}]", paths.join(", "))));
    for spelling in ["/admin", "//admin", "/./admin", "/x/../admin", "/%61dmin", "/x/%2e%2e/admin/", "/../admin/..x", "/admin%2Fx", "/.//admin"] {
        check(&routes, &[("x", spelling, "admin")]);
    }
    for other in ["/", "", "/x", "/admins", "/admin/..", "/%", "/%zz", "/%C3", "/.well-known/x"] {
        check(&routes, &[("x", other, "root")]);
    }
    check(&routes, &[("x", "*", "-")]);
    assert_eq!(normalized("/.well-known/acme"), "/.well-known/acme");
    assert_eq!(normalized("/a/b/../"), "/a/");
}

#[test]
fn which_ingresses_are_ours() {
    let class = |name: &str, controller: &str, default: bool| -> IngressClass {
        serde_yaml::from_str(&format!(
            "{{metadata: {{name: {name}, annotations: {{ingressclass.kubernetes.io/is-default-class: '{default}'}}}}, spec: {{controller: {controller}}}}}"
        ))
        .unwrap()
    };
    let ingress = |class: &str, annotation: &str| -> Kept {
        let class = if class.is_empty() { String::new() } else { format!("ingressClassName: {class}") };
        let annotation = if annotation.is_empty() { String::new() } else { format!("kubernetes.io/ingress.class: {annotation}") };
        Kept::of(&serde_yaml::from_str(&format!("{{metadata: {{name: a, annotations: {{{annotation}}}}}, spec: {{{class}}}}}")).unwrap())
    };
    let (nginx, other) = (class("nginx", CONTROLLER, false), class("other", "example.com/other", true));
    let default = class("nginx", CONTROLLER, true);
    assert!(ingress("nginx", "").is_ours([&nginx, &other]));
    assert!(!ingress("other", "").is_ours([&nginx, &other]));
    assert!(!ingress("nginx", "").is_ours([&other]), "its class must be there");
    assert!(ingress("", "nginx").is_ours([&other]));
    assert!(!ingress("", "traefik").is_ours([&default]));
    assert!(!ingress("", "").is_ours([&nginx, &other]));
    assert!(ingress("", "").is_ours([&default]));
}

#[test]
fn tls_and_annotations_reach_the_location() {
    let yaml = format!(
        "metadata: {{namespace: default, name: a, annotations: {{nginx.ingress.kubernetes.io/proxy-read-timeout: '7'}}}}\nspec: {{tls: [{{hosts: [A.example.com], secretName: s}}], rules: [{{host: a.example.com, http: {{paths: [{0}]}}}}, {{host: b.example.com, http: {{paths: [{0}]}}}}]}}\n",
        path("Prefix", "/", "web")
    );
    let routes = table(&yaml);
    let a = routes.find("a.example.com", "/").unwrap();
    assert!(a.tls && a.annotations.read_timeout.as_secs() == 7);
    assert!(!routes.find("b.example.com", "/").unwrap().tls);
}

#[test]
fn hosts_with_tls() {
    let secured = |tls: &str| {
        let rules: Vec<String> =
            ["a.b.c", "b.c", "'*.b.c'"].iter().map(|host| format!("{{host: {host}, http: {{paths: [{}]}}}}", path("Prefix", "/", "web"))).collect();
        let routes = table(&one("a", 0, &format!("tls: {tls}, rules: [{}]", rules.join(", "))));
        ["a.b.c", "b.c", "x.b.c"].map(|host| routes.find(host, "/").unwrap().tls)
    };
    assert_eq!(secured("[]"), [false, false, false]);
    assert_eq!(secured("[{hosts: [B.c]}]"), [false, true, false]);
    assert_eq!(secured("[{hosts: ['*.b.c'], secretName: s}]"), [true, false, true]);
    assert_eq!(secured("[{secretName: s}]"), [true, true, true], "all hosts of its rules");
}

#[test]
fn ports_are_stripped_from_hosts() {
    for (host, bare) in [("a:80", "a"), ("a", "a"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]"), ("a:", "a"), ("", ""), (":80", "")] {
        assert_eq!(without_port(host), bare);
    }
}

fn annotated(name: &str, annotations: &[(&str, &str)], paths: &[String]) -> String {
    let annotations: Vec<String> = annotations.iter().map(|(name, value)| format!("nginx.ingress.kubernetes.io/{name}: '{value}'")).collect();
    format!(
        "metadata: {{namespace: default, name: {name}, annotations: {{{}}}}}\nspec: {{rules: [{{host: a.test, http: {{paths: [{}]}}}}]}}\n",
        annotations.join(", "),
        paths.join(", ")
    )
}

#[test]
fn regular_expressions_rewrite() {
    let paths = [path("ImplementationSpecific", "/api(/|$)(.*)", "api"), path("Prefix", "/api/v[0-9]+", "versions"), path("Exact", "/api/x", "exact")];
    let routes = table(&annotated("a", &[("rewrite-target", "/$2")], &paths));
    for (asked, service, rewritten) in [
        ("/api", "api", "/"),
        ("/api/", "api", "/"),
        ("/API/users/7", "api", "/users/7"),
        ("/api/a%20b%3fc", "api", "/a%20b%3Fc"),
        ("/api/v1/x", "api", "/v1/x"),
        ("/api/x", "exact", "/"),
    ] {
        let location = routes.find("a.test", asked).unwrap();
        assert_eq!((&*location.service, location.rewritten(asked).as_deref()), (&*format!("default/{service}"), Some(rewritten)), "{asked}");
    }
    assert!(routes.find("a.test", "/apix").is_none());
    let routes = table(&annotated("a", &[("use-regex", "true")], &[path("Prefix", "/v[0-9]+/", "v"), path("Prefix", "/v[", "broken")]));
    check(&routes, &[("a.test", "/v12/x", "v"), ("a.test", "/v/x", "-"), ("a.test", "/v[/", "-")]);
}

#[test]
fn a_canary_stands_beside_the_location_of_its_path() {
    let main = annotated("main", &[("proxy-read-timeout", "7")], &[path("Prefix", "/", "old"), path("Exact", "/x", "oldx")]);
    let canary = annotated("a-canary", &[("canary", "true"), ("canary-weight", "30")], &[path("Prefix", "/", "new"), path("Prefix", "/none", "lost")]);
    let routes = table(&format!("{canary}---\n{main}"));
    let location = routes.find("a.test", "/y").unwrap();
    let none = http::HeaderMap::new();
    let chosen = |roll: u32| location.choose(&none, || roll).service.clone();
    assert_eq!((chosen(29), chosen(30), chosen(129)), ("default/new".into(), "default/old".into(), "default/new".into()));
    assert_eq!(location.choose(&none, || 0).annotations.read_timeout.as_secs(), 7, "what the main Ingress says counts for both");
    assert!(routes.find("a.test", "/x").unwrap().canaries.is_empty());
    assert!(table(&canary).find("a.test", "/").is_none(), "a canary alone serves nothing");
}
