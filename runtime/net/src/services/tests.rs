//! The index as a table: events in, choices out.

use super::*;

fn parse<T: serde::de::DeserializeOwned>(yaml: &str) -> T {
    serde_yaml::from_str(yaml).unwrap()
}

/// A Service with a ClusterIP; `ports` in YAML's flow style.
pub(crate) fn service(namespace: &str, name: &str, ip: &str, ports: &str) -> Service {
    parse(&format!("{{metadata: {{namespace: {namespace}, name: {name}}}, spec: {{clusterIP: {ip}, clusterIPs: [{ip}], ports: {ports}}}}}"))
}

/// An EndpointSlice `NAME-suffix` of a Service; `ports` and `endpoints` in YAML's flow style.
pub(crate) fn slice(namespace: &str, service: &str, suffix: &str, ports: &str, endpoints: &str) -> EndpointSlice {
    parse(&format!(
        "{{addressType: IPv4, metadata: {{namespace: {namespace}, name: {service}-{suffix}, labels: {{kubernetes.io/service-name: {service}}}}}, ports: {ports}, endpoints: {endpoints}}}"
    ))
}

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 244, 0, 9));
const IP: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 20);

/// All endpoints that ten picks give, sorted; or why there is none.
fn route(services: &Services, port: u16, proto: Proto) -> String {
    let mut picked: Vec<String> = (0..10)
        .map(|_| match services.route(IP, port, proto, CLIENT) {
            Route::Endpoint(endpoint) => endpoint.to_string(),
            other => format!("{other:?}"),
        })
        .collect();
    picked.sort();
    picked.dedup();
    picked.join(" ")
}

#[test]
fn service_and_slices_come_in_any_order() {
    let web = service("default", "web", "10.96.0.20", "[{port: 80, targetPort: 8080}]");
    let one = slice("default", "web", "1", "[{name: '', port: 8080, protocol: TCP}]", "[{addresses: [10.244.0.5]}]");
    let two = slice("default", "web", "2", "[{port: 8080}]", "[{addresses: [10.244.0.6]}, {addresses: [10.244.0.5]}]");
    let events: [&dyn Fn(&Services); 3] = [&|s| s.apply_service(&web), &|s| s.apply_slice(&one), &|s| s.apply_slice(&two)];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let services = Services::new();
        assert_eq!(route(&services, 80, Proto::Tcp), "NotAService");
        order.iter().for_each(|event| events[*event](&services));
        assert_eq!(route(&services, 80, Proto::Tcp), "10.244.0.5:8080 10.244.0.6:8080");
        assert_eq!(services.endpoints("default", "web", PortRef::Number(80)).len(), 2, "no duplicates");
        services.delete_slice("default", "web-2");
        assert_eq!(route(&services, 80, Proto::Tcp), "10.244.0.5:8080");
        services.delete_slice("default", "web-1");
        assert_eq!(route(&services, 80, Proto::Tcp), "NoEndpoints");
        services.delete_service("default", "web");
        assert_eq!(route(&services, 80, Proto::Tcp), "NotAService");
        assert!(services.known.lock().slots.is_empty() && services.fronts().is_empty());
    }
}

#[test]
fn round_robin_is_even() {
    let services = Services::new();
    services.apply_service(&service("default", "web", "10.96.0.20", "[{port: 80}]"));
    services.apply_slice(&slice("default", "web", "1", "[{port: 80}]", "[{addresses: [10.244.0.5]}, {addresses: [10.244.0.6]}, {addresses: [10.244.0.7]}]"));
    let mut counts = HashMap::new();
    for _ in 0..300 {
        let Route::Endpoint(endpoint) = services.route(IP, 80, Proto::Tcp, CLIENT) else { panic!() };
        *counts.entry(endpoint).or_insert(0) += 1;
    }
    assert!(counts.len() == 3 && counts.values().all(|count| *count == 100), "{counts:?}");
}

#[test]
fn readiness_as_kube_proxy_sees_it() {
    let cases = [
        ("{addresses: [10.244.0.5]}", "10.244.0.5:80"),
        ("{addresses: [10.244.0.5], conditions: {ready: true}}", "10.244.0.5:80"),
        ("{addresses: [10.244.0.5], conditions: {ready: false}}", "NoEndpoints"),
        ("{addresses: [10.244.0.5], conditions: {ready: false, serving: true, terminating: true}}", "10.244.0.5:80"),
        ("{addresses: [10.244.0.5], conditions: {ready: false, serving: false, terminating: true}}", "NoEndpoints"),
        ("{addresses: [10.244.0.5], conditions: {ready: false, serving: true, terminating: true}}, {addresses: [10.244.0.6]}", "10.244.0.6:80"),
        ("{addresses: [10.244.0.5, 10.244.0.99]}", "10.244.0.5:80"),
        ("{addresses: [fd00::5]}", "NoEndpoints"),
    ];
    for (endpoints, expected) in cases {
        let services = Services::new();
        services.apply_service(&service("default", "web", "10.96.0.20", "[{port: 80}]"));
        services.apply_slice(&slice("default", "web", "1", "[{port: 80}]", &format!("[{endpoints}]")));
        assert_eq!(route(&services, 80, Proto::Tcp), expected, "{endpoints}");
    }
}

#[test]
fn ports_by_number_name_and_protocol() {
    let services = Services::new();
    let ports = "[{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53}, {name: metrics, port: 9153, nodePort: 30153}]";
    services.apply_service(&service("kube-system", "kube-dns", "10.96.0.20", ports));
    let ports = "[{name: dns, port: 5353, protocol: UDP}, {name: dns-tcp, port: 5354, protocol: TCP}, {name: metrics, port: 9153}]";
    services.apply_slice(&slice("kube-system", "kube-dns", "1", ports, "[{addresses: [10.244.0.5], nodeName: worker}]"));
    assert_eq!(route(&services, 53, Proto::Udp), "10.244.0.5:5353");
    assert_eq!(route(&services, 53, Proto::Tcp), "10.244.0.5:5354");
    assert_eq!(route(&services, 9153, Proto::Udp), "NotAService");
    assert_eq!(services.route_node_port(30153, Proto::Tcp, CLIENT), Route::Endpoint("10.244.0.5:9153".parse().unwrap()));
    assert_eq!(services.route_node_port(30153, Proto::Udp, CLIENT), Route::NotAService);
    let pick = |port| services.backend("kube-system", "kube-dns", port).pick(CLIENT, &[], |_| true);
    assert_eq!(pick(PortRef::Number(53)), Choice::Endpoint("10.244.0.5:5354".parse().unwrap()));
    assert_eq!(pick(PortRef::Name("dns".into())), Choice::Endpoint("10.244.0.5:5353".parse().unwrap()));
    assert_eq!(pick(PortRef::Name("no".into())), Choice::NoService);
    assert_eq!(services.endpoints("kube-system", "kube-dns", PortRef::Number(9153))[0].node.as_deref(), Some("worker"));
    let fronts: Vec<String> = services.fronts().iter().map(|f| format!("{:?} {} {}", f.ip, f.port, f.proto.as_str())).collect();
    assert_eq!(fronts, ["None 30153 TCP", "Some(10.96.0.20) 53 TCP", "Some(10.96.0.20) 53 UDP", "Some(10.96.0.20) 9153 TCP"]);
}

#[test]
fn headless_and_external_name() {
    let services = Services::new();
    services.apply_service(&service("default", "db", "None", "[{port: 5432}]"));
    services.apply_slice(&slice("default", "db", "1", "[{port: 5432}]", "[{addresses: [10.244.0.5]}]"));
    assert!(services.fronts().is_empty());
    assert_eq!(services.backend("default", "db", PortRef::Number(5432)).endpoints().len(), 1);
    services.apply_service(&parse("{metadata: {namespace: default, name: ext}, spec: {type: ExternalName, externalName: example.com}}"));
    let pick = |port| services.backend("default", "ext", port).pick(CLIENT, &[], |_| true);
    assert_eq!(pick(PortRef::Number(443)), Choice::External { host: "example.com".into(), port: 443 });
    assert_eq!(pick(PortRef::Name("https".into())), Choice::NoService);
}

#[test]
fn a_backend_outlives_its_service() {
    let services = Services::new();
    let backend = services.backend("default", "web", PortRef::Number(80));
    assert!(!backend.exists());
    assert_eq!(backend.pick(CLIENT, &[], |_| true), Choice::NoService);
    for _ in 0..2 {
        services.apply_service(&service("default", "web", "10.96.0.20", "[{port: 80}]"));
        assert!(backend.exists());
        assert_eq!(backend.pick(CLIENT, &[], |_| true), Choice::NoEndpoints);
        services.apply_slice(&slice("default", "web", "1", "[{port: 80}]", "[{addresses: [10.244.0.5]}, {addresses: [10.244.0.6]}]"));
        let [a, b] = ["10.244.0.5:80", "10.244.0.6:80"].map(|a| a.parse::<SocketAddr>().unwrap());
        for _ in 0..4 {
            assert_eq!(backend.pick(CLIENT, &[a], |_| true), Choice::Endpoint(b), "not what failed");
            assert_eq!(backend.pick(CLIENT, &[], |e| e == a), Choice::Endpoint(a), "the preferred one");
        }
        assert_eq!(backend.pick(CLIENT, &[a, b], |_| true), Choice::NoEndpoints);
        services.delete_slice("default", "web-1");
        services.delete_service("default", "web");
        assert_eq!(backend.pick(CLIENT, &[], |_| true), Choice::NoService);
    }
}

#[test]
fn client_ip_affinity() {
    let services = Services::new();
    services.apply_service(&parse(
        "{metadata: {namespace: default, name: web}, spec: {clusterIP: 10.96.0.20, ports: [{port: 80}], sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 60}}}}",
    ));
    let all = "[{addresses: [10.244.0.5]}, {addresses: [10.244.0.6]}, {addresses: [10.244.0.7]}]";
    services.apply_slice(&slice("default", "web", "1", "[{port: 80}]", all));
    let front = Front { ip: Some(IP), port: 80, proto: Proto::Tcp };
    let start = Instant::now();
    let at = |client: u8, seconds| services.route_front(&front, Ipv4Addr::new(10, 244, 1, client).into(), start + Duration::from_secs(seconds));
    let first = at(1, 0);
    assert!((0..20).all(|i| at(1, i * 50) == first), "each request renews it");
    let others: HashSet<String> = (2..30).map(|client| format!("{:?}", at(client, 0))).collect();
    assert_eq!(others.len(), 3, "other clients go elsewhere");
    let later: HashSet<String> = (0..9).map(|i| format!("{:?}", at(1, 10_000 + i * 61))).collect();
    assert_eq!(later.len(), 3, "it ends with its timeout");
    // When its endpoint goes, a client moves, and stays there.
    let Route::Endpoint(kept) = at(1, 20_000) else { panic!() };
    let rest: Vec<&str> = ["10.244.0.5", "10.244.0.6", "10.244.0.7"].into_iter().filter(|ip| *ip != kept.ip().to_string()).collect();
    services.apply_slice(&slice("default", "web", "1", "[{port: 80}]", &format!("[{{addresses: [{}]}}, {{addresses: [{}]}}]", rest[0], rest[1])));
    let moved = at(1, 20_001);
    assert!(moved != Route::Endpoint(kept) && (0..10).all(|_| at(1, 20_002) == moved));
}

#[test]
fn changes_of_address_and_type_move_the_fronts() {
    let services = Services::new();
    let fronts = |services: &Services| {
        services.fronts().iter().map(|f| format!("{}:{}", f.ip.map(|ip| ip.to_string()).unwrap_or_default(), f.port)).collect::<Vec<_>>().join(" ")
    };
    services.apply_service(&service("default", "web", "10.96.0.20", "[{port: 80, nodePort: 30080}]"));
    assert_eq!(fronts(&services), ":30080 10.96.0.20:80");
    services.apply_service(&service("default", "web", "10.96.0.21", "[{port: 81}]"));
    assert_eq!(fronts(&services), "10.96.0.21:81");
    // A new Service took over an address before the old one's deletion was heard.
    services.apply_service(&service("default", "new", "10.96.0.21", "[{port: 81}]"));
    services.delete_service("default", "web");
    assert_eq!(fronts(&services), "10.96.0.21:81");
    services.apply_service(&parse(
        "{metadata: {namespace: default, name: new}, spec: {type: ExternalName, externalName: a.b, clusterIP: 10.96.0.21, ports: [{port: 81}]}}",
    ));
    assert_eq!(fronts(&services), "");
    services.apply_service(&parse("{metadata: {namespace: default, name: new}, spec: {clusterIP: 10.96.0.22, externalIPs: [192.0.2.1], ports: [{port: 81}]}, status: {loadBalancer: {ingress: [{ip: 192.0.2.2, ipMode: VIP}, {ip: 192.0.2.3, ipMode: Proxy}]}}}"));
    assert_eq!(fronts(&services), "10.96.0.22:81 192.0.2.1:81 192.0.2.2:81");
}

#[test]
fn a_slice_may_change_its_service() {
    let services = Services::new();
    services.apply_service(&service("default", "web", "10.96.0.20", "[{port: 80}]"));
    let mut moving = slice("default", "web", "1", "[{port: 80}]", "[{addresses: [10.244.0.5]}]");
    services.apply_slice(&moving);
    assert_eq!(route(&services, 80, Proto::Tcp), "10.244.0.5:80");
    moving.metadata.labels = Some([("kubernetes.io/service-name".to_owned(), "other".to_owned())].into());
    services.apply_slice(&moving);
    assert_eq!(route(&services, 80, Proto::Tcp), "NoEndpoints");
    moving.metadata.labels = None;
    services.apply_slice(&moving);
    assert!(services.slice_names().is_empty());
}
