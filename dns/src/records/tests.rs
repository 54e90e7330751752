//! Objects in, answers out.

use super::*;

fn parse<T: serde::de::DeserializeOwned>(yaml: &str) -> T {
    serde_yaml::from_str(yaml).unwrap()
}

fn slice(service: &str, suffix: &str, ports: &str, endpoints: &str) -> EndpointSlice {
    parse(&format!(
        "{{addressType: IPv4, metadata: {{namespace: default, name: {service}-{suffix}, labels: {{kubernetes.io/service-name: {service}}}}}, ports: {ports}, endpoints: {endpoints}}}"
    ))
}

fn service(name: &str, spec: &str) -> Service {
    parse(&format!("{{metadata: {{namespace: default, name: {name}}}, spec: {{{spec}}}}}"))
}

fn records() -> Records {
    let mut records = Records::new("cluster.local.");
    records.apply_namespace("default");
    records.apply_service(&parse(
        "{metadata: {namespace: kube-system, name: kube-dns}, spec: {clusterIP: 10.96.0.10, ports: [{name: dns, port: 53, protocol: UDP}]}}",
    ));
    records.apply_service(&service("web", "clusterIP: 10.96.0.20, clusterIPs: [10.96.0.20], ports: [{name: http, port: 80}, {name: metrics, port: 9090}]"));
    records.apply_slice(&slice("web", "1", "[{name: http, port: 8080}]", "[{addresses: [10.244.0.5]}]"));
    records.apply_service(&service("db", "clusterIP: None, ports: [{name: sql, port: 5432}]"));
    records.apply_slice(&slice(
        "db",
        "1",
        "[{name: sql, port: 5432, protocol: TCP}]",
        "[{addresses: [10.244.0.6], hostname: db-0}, {addresses: [10.244.0.7]}, {addresses: [10.244.0.8], conditions: {ready: false}}]",
    ));
    records.apply_service(&service("empty", "clusterIP: None"));
    records.apply_service(&service("ext", "type: ExternalName, externalName: WWW.example.com."));
    records
}

/// The answer in one line.
fn ask(records: &Records, name: &str, kind: Kind) -> String {
    match records.query(name, kind) {
        Answer::Found { records, additional } => {
            let mut text: Vec<String> = records
                .iter()
                .map(|data| match data {
                    Data::A(ip) => ip.to_string(),
                    Data::Cname(target) => format!("CNAME {target}"),
                    Data::Srv { port, weight, target } => format!("{weight} {port} {target}"),
                    Data::Ptr(name) | Data::Ns(name) => name.clone(),
                    Data::Txt(text) => format!("{text:?}"),
                    Data::Soa => "SOA".to_owned(),
                })
                .collect();
            text.extend(additional.iter().map(|(name, ip)| format!("+{name}={ip}")));
            text.join(" ")
        }
        other => format!("{other:?}"),
    }
}

#[test]
fn names_of_the_specification() {
    let records = records();
    let cases = [
        ("web.default.svc.cluster.local", Kind::A, "10.96.0.20"),
        ("web.default.svc.cluster.local", Kind::Other, "NoData"),
        (
            "web.default.svc.cluster.local",
            Kind::Srv,
            "50 80 web.default.svc.cluster.local 50 9090 web.default.svc.cluster.local +web.default.svc.cluster.local=10.96.0.20",
        ),
        ("_http._tcp.web.default.svc.cluster.local", Kind::Srv, "100 80 web.default.svc.cluster.local +web.default.svc.cluster.local=10.96.0.20"),
        ("_http._tcp.web.default.svc.cluster.local", Kind::A, "NoData"),
        ("_http._udp.web.default.svc.cluster.local", Kind::Srv, "NoName"),
        ("_nope._tcp.web.default.svc.cluster.local", Kind::Srv, "NoName"),
        ("_tcp.web.default.svc.cluster.local", Kind::A, "NoData"),
        ("10-244-0-5.web.default.svc.cluster.local", Kind::A, "10.244.0.5"),
        ("nope.default.svc.cluster.local", Kind::A, "NoName"),
        ("web.other.svc.cluster.local", Kind::A, "NoName"),
        ("db.default.svc.cluster.local", Kind::A, "10.244.0.6 10.244.0.7"),
        ("db-0.db.default.svc.cluster.local", Kind::A, "10.244.0.6"),
        ("10-244-0-7.db.default.svc.cluster.local", Kind::A, "10.244.0.7"),
        ("10-244-0-8.db.default.svc.cluster.local", Kind::A, "NoName"),
        (
            "_sql._tcp.db.default.svc.cluster.local",
            Kind::Srv,
            "50 5432 10-244-0-7.db.default.svc.cluster.local 50 5432 db-0.db.default.svc.cluster.local \
             +10-244-0-7.db.default.svc.cluster.local=10.244.0.7 +db-0.db.default.svc.cluster.local=10.244.0.6",
        ),
        ("empty.default.svc.cluster.local", Kind::A, "NoName"),
        ("ext.default.svc.cluster.local", Kind::A, "CNAME www.example.com"),
        ("ext.default.svc.cluster.local", Kind::Txt, "NoData"),
        ("10-244-0-99.default.pod.cluster.local", Kind::A, "10.244.0.99"),
        ("10-244-0-99.nowhere.pod.cluster.local", Kind::A, "NoName"),
        ("x.default.pod.cluster.local", Kind::A, "NoName"),
        ("default.svc.cluster.local", Kind::A, "NoData"),
        ("nowhere.svc.cluster.local", Kind::A, "NoName"),
        ("svc.cluster.local", Kind::A, "NoData"),
        ("cluster.local", Kind::A, "NoData"),
        ("cluster.local", Kind::Soa, "SOA"),
        ("cluster.local", Kind::Ns, "ns.dns.cluster.local +ns.dns.cluster.local=10.96.0.10"),
        ("ns.dns.cluster.local", Kind::A, "10.96.0.10"),
        ("dns-version.cluster.local", Kind::Txt, "\"1.1.0\""),
        ("20.0.96.10.in-addr.arpa", Kind::Ptr, "web.default.svc.cluster.local"),
        ("20.0.96.10.in-addr.arpa", Kind::A, "NoData"),
        ("6.0.244.10.in-addr.arpa", Kind::Ptr, "db-0.db.default.svc.cluster.local"),
        ("99.0.244.10.in-addr.arpa", Kind::Ptr, "Elsewhere"),
        ("www.example.com", Kind::A, "Elsewhere"),
    ];
    for (name, kind, expected) in cases {
        assert_eq!(ask(&records, name, kind), expected, "{name} {kind:?}");
    }
}

#[test]
fn what_is_deleted_is_forgotten() {
    let mut records = records();
    for (namespace, name) in records.slice_names() {
        records.delete_slice(&namespace, &name);
    }
    assert_eq!(ask(&records, "db.default.svc.cluster.local", Kind::A), "NoName");
    assert_eq!(ask(&records, "6.0.244.10.in-addr.arpa", Kind::Ptr), "Elsewhere");
    for (namespace, name) in records.service_names() {
        records.delete_service(&namespace, &name);
    }
    records.delete_namespace("default");
    assert_eq!(ask(&records, "web.default.svc.cluster.local", Kind::A), "NoName");
    assert!(records.by_cluster_ip.is_empty() && records.by_endpoint.is_empty() && records.slices.is_empty() && records.namespace_names().is_empty());
}

#[test]
fn a_service_changes_its_type_and_address() {
    let mut records = records();
    records.apply_service(&service("web", "clusterIP: None"));
    assert_eq!(ask(&records, "web.default.svc.cluster.local", Kind::A), "10.244.0.5");
    assert_eq!(ask(&records, "20.0.96.10.in-addr.arpa", Kind::Ptr), "Elsewhere");
    records.apply_service(&service("web", "clusterIP: 10.96.0.21"));
    assert_eq!(ask(&records, "21.0.96.10.in-addr.arpa", Kind::Ptr), "web.default.svc.cluster.local");
    // An endpoint in two slices stays while one of them has it.
    records.apply_slice(&slice("web", "2", "[]", "[{addresses: [10.244.0.5]}]"));
    records.delete_slice("default", "web-1");
    assert_eq!(ask(&records, "5.0.244.10.in-addr.arpa", Kind::Ptr), "10-244-0-5.web.default.svc.cluster.local");
}
