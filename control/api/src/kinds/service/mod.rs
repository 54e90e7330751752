//! `v1` Service: one address for many Pods.

mod columns;
mod validate;

use crate::field::Errors;
use crate::k8s_openapi::api::core::v1::{ClientIPConfig, LoadBalancerStatus, Service, ServicePort, ServiceSpec, ServiceStatus, SessionAffinityConfig};
use crate::k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use crate::kind::{Kind, Merge, Names, Scope, Subresource};
use crate::kinds::normal::{drop_empty, drop_false, drop_zero, fill, text};
use crate::kinds::{merge, names, other};
use crate::table::Columns;

/// Service of `v1`.
pub struct Services;

impl Kind for Services {
    type Object = Service;

    const NAMES: Names = names("service", &["svc"], &["all"]);
    const SCOPE: Scope = Scope::Namespaced;
    const SUBRESOURCES: &[Subresource] = &[other("proxy", "", "ServiceProxyOptions", &["create", "delete", "get", "patch", "update"]), Subresource::Status];
    const MERGES: &[Merge] = MERGES;
    const ALLOW_CREATE_ON_UPDATE: bool = true;

    fn copy_status(to: &mut Self::Object, from: &Self::Object) {
        to.status.clone_from(&from.status);
    }

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        crate::kinds::dns_label_name(name, prefix)
    }

    fn default(service: &mut Service) {
        let spec = service.spec.get_or_insert_default();
        normalize(spec);
        default_spec(spec);
        let kind = text(&spec.type_).to_owned();
        let status = service.status.get_or_insert_with(empty_status);
        if kind == "LoadBalancer" {
            for ingress in status.load_balancer.iter_mut().flat_map(|b| b.ingress.iter_mut().flatten()) {
                if ingress.ip.as_ref().is_some_and(|ip| !ip.is_empty()) {
                    fill(&mut ingress.ip_mode, "VIP");
                }
            }
        }
    }

    fn prepare_create(service: &mut Service) {
        service.status = Some(empty_status());
        let spec = service.spec.get_or_insert_default();
        cluster_ips_follow(spec);
        if text(&spec.type_) != "ExternalName" {
            default_families(spec);
        }
    }

    fn prepare_update(new: &mut Service, old: &Service) {
        let empty = ServiceSpec::default();
        let (new, old) = (new.spec.get_or_insert_default(), old.spec.as_ref().unwrap_or(&empty));
        keep_allocated(new, old);
        drop_of_other_types(new, old);
        cluster_ips_follow(new);
        if text(&new.type_) != "ExternalName" {
            default_families(new);
        }
    }

    fn validate(service: &Service) -> Errors {
        validate::service(service)
    }

    fn validate_update(new: &Service, old: &Service) -> Errors {
        validate::update(new, old)
    }

    fn columns() -> Columns<Service> {
        columns::columns()
    }

    fn selectable_fields(service: &Service) -> Vec<(&'static str, String)> {
        let spec = service.spec.as_ref();
        let text = |text: Option<&String>| text.cloned().unwrap_or_default();
        vec![("spec.clusterIP", text(spec.and_then(|s| s.cluster_ip.as_ref()))), ("spec.type", text(spec.and_then(|s| s.type_.as_ref())))]
    }
}

fn empty_status() -> ServiceStatus {
    ServiceStatus { load_balancer: Some(LoadBalancerStatus::default()), ..ServiceStatus::default() }
}

fn normalize(spec: &mut ServiceSpec) {
    for text in [
        &mut spec.type_,
        &mut spec.session_affinity,
        &mut spec.cluster_ip,
        &mut spec.external_name,
        &mut spec.load_balancer_ip,
        &mut spec.external_traffic_policy,
    ] {
        drop_empty(text);
    }
    drop_false(&mut spec.publish_not_ready_addresses);
    drop_zero(&mut spec.health_check_node_port);
    if spec.cluster_ips.as_ref().is_some_and(Vec::is_empty) {
        spec.cluster_ips = None;
    }
    for port in spec.ports.iter_mut().flatten() {
        drop_empty(&mut port.name);
        drop_zero(&mut port.node_port);
    }
}

fn default_spec(spec: &mut ServiceSpec) {
    fill(&mut spec.session_affinity, "None");
    if text(&spec.session_affinity) == "None" {
        spec.session_affinity_config = None;
    }
    if text(&spec.session_affinity) == "ClientIP" {
        let config: &mut SessionAffinityConfig = spec.session_affinity_config.get_or_insert_default();
        let client_ip: &mut ClientIPConfig = config.client_ip.get_or_insert_default();
        fill(&mut client_ip.timeout_seconds, 10800);
    }
    fill(&mut spec.type_, "ClusterIP");
    for port in spec.ports.iter_mut().flatten() {
        fill(&mut port.protocol, "TCP");
        let open = match &port.target_port {
            None | Some(IntOrString::Int(0)) => true,
            Some(IntOrString::Int(_)) => false,
            Some(IntOrString::String(name)) => name.is_empty(),
        };
        if open {
            port.target_port = Some(IntOrString::Int(port.port));
        }
    }
    if is_external(spec) {
        fill(&mut spec.external_traffic_policy, "Cluster");
    }
    if text(&spec.type_) != "ExternalName" {
        fill(&mut spec.internal_traffic_policy, "Cluster");
    }
    if text(&spec.type_) == "LoadBalancer" {
        fill(&mut spec.allocate_load_balancer_node_ports, true);
    }
}

/// Whether the Service is reached from outside the cluster.
fn is_external(spec: &ServiceSpec) -> bool {
    match text(&spec.type_) {
        "NodePort" | "LoadBalancer" => true,
        "ClusterIP" => !spec.external_ips.as_ref().is_none_or(Vec::is_empty),
        _ => false,
    }
}

/// `clusterIPs` repeats `clusterIP`, which clients that know but one address set.
fn cluster_ips_follow(spec: &mut ServiceSpec) {
    match (&spec.cluster_ip, &mut spec.cluster_ips) {
        (Some(ip), None) => spec.cluster_ips = Some(vec![ip.clone()]),
        (Some(ip), Some(ips)) if ips.len() == 1 && ips[0] != *ip => ips[0].clone_from(ip),
        _ => {}
    }
}

fn default_families(spec: &mut ServiceSpec) {
    fill(&mut spec.ip_family_policy, "SingleStack");
    if spec.ip_families.as_ref().is_none_or(Vec::is_empty) {
        let v6 = spec.cluster_ip.as_ref().is_some_and(|ip| ip.contains(':'));
        spec.ip_families = Some(vec![if v6 { "IPv6" } else { "IPv4" }.to_owned()]);
    }
}

/// What was allocated stays when an update leaves it out.
fn keep_allocated(new: &mut ServiceSpec, old: &ServiceSpec) {
    let has_address = |spec: &ServiceSpec| text(&spec.type_) != "ExternalName";
    if has_address(new) && has_address(old) {
        if new.cluster_ip.is_none() && new.cluster_ips.is_none() {
            new.cluster_ip.clone_from(&old.cluster_ip);
            new.cluster_ips.clone_from(&old.cluster_ips);
        } else if new.cluster_ip.is_none() {
            new.cluster_ip = new.cluster_ips.iter().flatten().next().cloned();
        }
        if new.ip_families.as_ref().is_none_or(Vec::is_empty) {
            new.ip_families.clone_from(&old.ip_families);
        }
        if new.ip_family_policy.is_none() {
            new.ip_family_policy.clone_from(&old.ip_family_policy);
        }
    }
    if has_node_ports(new) && has_node_ports(old) {
        let mut taken: Vec<i32> = new.ports.iter().flatten().filter_map(|p| p.node_port).collect();
        let old_ports = old.ports.as_deref().unwrap_or_default();
        for port in new.ports.iter_mut().flatten().filter(|p| p.node_port.is_none()) {
            let same = |p: &&ServicePort| p.port == port.port && text(&p.protocol) == text(&port.protocol);
            let before = old_ports.iter().find(same).and_then(|p| p.node_port).filter(|p| !taken.contains(p));
            taken.extend(before);
            port.node_port = before;
        }
    }
    let checked = |spec: &ServiceSpec| text(&spec.type_) == "LoadBalancer" && text(&spec.external_traffic_policy) == "Local";
    if checked(new) && checked(old) && new.health_check_node_port.is_none() {
        new.health_check_node_port = old.health_check_node_port;
    }
}

fn has_node_ports(spec: &ServiceSpec) -> bool {
    matches!(text(&spec.type_), "NodePort" | "LoadBalancer")
}

/// A change of type takes away what only the old type had, unless the update says otherwise.
fn drop_of_other_types(new: &mut ServiceSpec, old: &ServiceSpec) {
    if text(&new.type_) == text(&old.type_) {
        return;
    }
    if text(&new.type_) == "ExternalName" {
        if new.cluster_ip == old.cluster_ip {
            new.cluster_ip = None;
        }
        if new.cluster_ips == old.cluster_ips {
            new.cluster_ips = None;
        }
        new.ip_families = None;
        new.ip_family_policy = None;
        new.internal_traffic_policy = None;
    }
    if !has_node_ports(new) && has_node_ports(old) {
        let before: Vec<Option<i32>> = old.ports.iter().flatten().map(|p| p.node_port).collect();
        let now: Vec<Option<i32>> = new.ports.iter().flatten().map(|p| p.node_port).collect();
        if before == now {
            new.ports.iter_mut().flatten().for_each(|p| p.node_port = None);
        }
    }
    if !is_external(new) && new.external_traffic_policy == old.external_traffic_policy {
        new.external_traffic_policy = None;
    }
    if text(&new.type_) != "LoadBalancer" {
        if new.allocate_load_balancer_node_ports == old.allocate_load_balancer_node_ports {
            new.allocate_load_balancer_node_ports = None;
        }
        if new.load_balancer_class == old.load_balancer_class {
            new.load_balancer_class = None;
        }
        new.health_check_node_port = None;
    }
}

/// How lists and maps of these types are merged, from the OpenAPI document.
const MERGES: &[Merge] = &[
    merge("io.k8s.api.core.v1.LoadBalancerIngress", "ports", "", "", "atomic", &[]),
    merge("io.k8s.api.core.v1.LoadBalancerStatus", "ingress", "", "", "atomic", &[]),
    merge("io.k8s.api.core.v1.ServiceSpec", "clusterIPs", "", "", "atomic", &[]),
    merge("io.k8s.api.core.v1.ServiceSpec", "externalIPs", "", "", "atomic", &[]),
    merge("io.k8s.api.core.v1.ServiceSpec", "ipFamilies", "", "", "atomic", &[]),
    merge("io.k8s.api.core.v1.ServiceSpec", "loadBalancerSourceRanges", "", "", "atomic", &[]),
    merge("io.k8s.api.core.v1.ServiceSpec", "ports", "merge", "port", "map", &["port", "protocol"]),
    merge("io.k8s.api.core.v1.ServiceSpec", "selector", "", "", "atomic", &[]),
    merge("io.k8s.api.core.v1.ServiceStatus", "conditions", "merge", "type", "map", &["type"]),
];

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::kinds::testing::{check_default, check_refused, check_row, check_update_refused};

    #[test]
    fn fills_in_what_is_left_out() {
        check_default::<Services>(
            r#"
metadata: {name: s, creationTimestamp: 2025-12-25T00:00:00Z}
spec: {ports: [{port: 80}, {name: "", port: 81, targetPort: http, protocol: UDP}]}
"#,
            &expect![[r#"
                apiVersion: v1
                kind: Service
                metadata:
                  creationTimestamp: 2025-12-25T00:00:00Z
                  name: s
                spec:
                  internalTrafficPolicy: Cluster
                  ipFamilies:
                  - IPv4
                  ipFamilyPolicy: SingleStack
                  ports:
                  - port: 80
                    protocol: TCP
                    targetPort: 80
                  - port: 81
                    protocol: UDP
                    targetPort: http
                  sessionAffinity: None
                  type: ClusterIP
                status:
                  loadBalancer: {}
            "#]],
        );
        check_default::<Services>(
            r#"
metadata: {name: s, creationTimestamp: 2025-12-25T00:00:00Z}
spec: {type: LoadBalancer, sessionAffinity: ClientIP, ports: [{port: 80}]}
"#,
            &expect![[r#"
                apiVersion: v1
                kind: Service
                metadata:
                  creationTimestamp: 2025-12-25T00:00:00Z
                  name: s
                spec:
                  allocateLoadBalancerNodePorts: true
                  externalTrafficPolicy: Cluster
                  internalTrafficPolicy: Cluster
                  ipFamilies:
                  - IPv4
                  ipFamilyPolicy: SingleStack
                  ports:
                  - port: 80
                    protocol: TCP
                    targetPort: 80
                  sessionAffinity: ClientIP
                  sessionAffinityConfig:
                    clientIP:
                      timeoutSeconds: 10800
                  type: LoadBalancer
                status:
                  loadBalancer: {}
            "#]],
        );
        check_default::<Services>(
            r#"
metadata: {name: s, creationTimestamp: 2025-12-25T00:00:00Z}
spec: {type: ExternalName, externalName: example.com}
"#,
            &expect![[r#"
                apiVersion: v1
                kind: Service
                metadata:
                  creationTimestamp: 2025-12-25T00:00:00Z
                  name: s
                spec:
                  externalName: example.com
                  sessionAffinity: None
                  type: ExternalName
                status:
                  loadBalancer: {}
            "#]],
        );
        check_default::<Services>(
            r#"
metadata: {name: s, creationTimestamp: 2025-12-25T00:00:00Z}
spec: {clusterIP: None}
"#,
            &expect![[r#"
                apiVersion: v1
                kind: Service
                metadata:
                  creationTimestamp: 2025-12-25T00:00:00Z
                  name: s
                spec:
                  clusterIP: None
                  clusterIPs:
                  - None
                  internalTrafficPolicy: Cluster
                  ipFamilies:
                  - IPv4
                  ipFamilyPolicy: SingleStack
                  sessionAffinity: None
                  type: ClusterIP
                status:
                  loadBalancer: {}
            "#]],
        );
    }

    #[test]
    fn refuses_in_kubernetes_words() {
        check_refused::<Services>(
            r#"
metadata: {name: s, creationTimestamp: 2025-12-25T00:00:00Z}
spec: {selector: {a: b}}
"#,
            &expect![[r#"
                spec.ports: Required value
            "#]],
        );
        check_refused::<Services>(
            r#"
metadata: {name: s, creationTimestamp: 2025-12-25T00:00:00Z}
spec: {ports: [{port: 0}, {port: 80, name: Web, targetPort: toolongtobeaportname, protocol: ICMP}, {port: 80, name: x}, {port: 80, name: x}]}
"#,
            &expect![[r#"
                spec.ports[0].name: Required value
                spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive
                spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive
                spec.ports[1].name: Invalid value: "Web": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
                spec.ports[1].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"
                spec.ports[1].targetPort: Invalid value: "toolongtobeaportname": must be no more than 15 characters
                spec.ports[3].name: Duplicate value: "x"
                spec.ports[3]: Duplicate value: {"Name":"","Protocol":"TCP","AppProtocol":null,"Port":80,"TargetPort":0,"NodePort":0}
            "#]],
        );
        check_refused::<Services>(
            r#"
metadata: {name: s, creationTimestamp: 2025-12-25T00:00:00Z}
spec: {clusterIP: 1.2.3, externalIPs: [127.0.0.1], ports: [{port: 80, nodePort: 30000}]}
"#,
            &expect![[r#"
                spec.clusterIPs[0]: Invalid value: "1.2.3": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)
                spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)
                spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'
            "#]],
        );
        check_refused::<Services>(
            r#"
metadata: {name: s, creationTimestamp: 2025-12-25T00:00:00Z}
spec: {type: ExternalName, clusterIP: 10.96.0.9, externalName: "a b"}
"#,
            &expect![[r#"
                spec.clusterIPs: Forbidden: may not be set for ExternalName services
                spec.externalName: Invalid value: "a b": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
            "#]],
        );
        check_refused::<Services>(
            r#"
metadata: {name: s, creationTimestamp: 2025-12-25T00:00:00Z}
spec: {type: Magic, sessionAffinity: Cookie, internalTrafficPolicy: Far, ports: [{port: 80}]}
"#,
            &expect![[r#"
                spec.sessionAffinity: Unsupported value: "Cookie": supported values: "ClientIP", "None"
                spec.type: Unsupported value: "Magic": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"
                spec.internalTrafficPolicy: Unsupported value: "Far": supported values: "Cluster", "Local"
            "#]],
        );
        check_refused::<Services>(
            r#"
metadata: {name: s, creationTimestamp: 2025-12-25T00:00:00Z}
spec: {type: NodePort, clusterIP: None, loadBalancerSourceRanges: [10.0.0.0/8], loadBalancerClass: x, ports: [{port: 80}]}
"#,
            &expect![[r#"
                spec.clusterIPs[0]: Invalid value: "None": may not be set to 'None' for NodePort services
                spec.loadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'
                spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'
            "#]],
        );
    }

    #[test]
    fn an_update_keeps_what_was_allocated() {
        let parse = |yaml: &str| -> Service { serde_yaml::from_str(yaml).unwrap() };
        let mut old =
            parse("spec: {type: NodePort, clusterIP: 10.96.0.9, clusterIPs: [10.96.0.9], ports: [{port: 80, nodePort: 30080}, {port: 81, nodePort: 30081}]}");
        Services::default(&mut old);
        Services::prepare_create(&mut old);
        let mut new = parse("spec: {type: NodePort, ports: [{port: 81}, {port: 82}]}");
        Services::default(&mut new);
        Services::prepare_update(&mut new, &old);
        let spec = new.spec.unwrap();
        assert_eq!(spec.cluster_ip.as_deref(), Some("10.96.0.9"));
        assert_eq!(spec.ports.unwrap().iter().map(|p| p.node_port).collect::<Vec<_>>(), [Some(30081), None]);
        let mut new = parse("spec: {type: ClusterIP, ports: [{port: 80, nodePort: 30080}, {port: 81, nodePort: 30081}]}");
        Services::default(&mut new);
        Services::prepare_update(&mut new, &old);
        assert_eq!(new.spec.unwrap().ports.unwrap().iter().map(|p| p.node_port).collect::<Vec<_>>(), [None, None]);
        check_update_refused::<Services>(
            r#"
metadata: {name: s, creationTimestamp: 2025-12-25T00:00:00Z}
spec: {clusterIP: 10.96.0.9, ports: [{port: 80}]}
"#,
            r#"
metadata: {name: s, creationTimestamp: 2025-12-25T00:00:00Z}
spec: {clusterIP: 10.96.0.10, ports: [{port: 80}]}
"#,
            &expect![[r#"
                spec.clusterIPs[0]: Invalid value: ["10.96.0.10"]: may not change once set
            "#]],
        );
    }

    #[test]
    fn prints_a_row() {
        check_row::<Services>(
            r#"
metadata: {name: s, creationTimestamp: 2025-12-25T00:00:00Z}
spec: {type: NodePort, clusterIP: 10.96.0.9, clusterIPs: [10.96.0.9], selector: {app: web, tier: x}, ports: [{port: 80, nodePort: 30080}, {port: 53, protocol: UDP}]}
"#,
            &expect![[r#"
                Name: s
                Type: NodePort
                Cluster-IP: 10.96.0.9
                External-IP: <none>
                Port(s): 80:30080/TCP,53/UDP
                Age: 7d
                Selector: app=web,tier=x
            "#]],
        );
        check_row::<Services>(
            r#"
metadata: {name: s, creationTimestamp: 2025-12-25T00:00:00Z}
spec: {type: LoadBalancer, clusterIP: 10.96.0.9}
"#,
            &expect![[r#"
                Name: s
                Type: LoadBalancer
                Cluster-IP: 10.96.0.9
                External-IP: <pending>
                Port(s): <none>
                Age: 7d
                Selector: <none>
            "#]],
        );
        check_row::<Services>(
            r#"
metadata: {name: s, creationTimestamp: 2025-12-25T00:00:00Z}
spec: {type: LoadBalancer, externalIPs: [1.2.3.4]}
status: {loadBalancer: {ingress: [{ip: 10.88.0.1}, {hostname: b.example}]}}
"#,
            &expect![[r#"
                Name: s
                Type: LoadBalancer
                Cluster-IP: <none>
                External-IP: 10.88.0.1,b.example,1.2.3.4
                Port(s): <none>
                Age: 7d
                Selector: <none>
            "#]],
        );
        check_row::<Services>(
            r#"
metadata: {name: s, creationTimestamp: 2025-12-25T00:00:00Z}
spec: {type: ExternalName, externalName: example.com}
"#,
            &expect![[r#"
                Name: s
                Type: ExternalName
                Cluster-IP: <none>
                External-IP: example.com
                Port(s): <none>
                Age: 7d
                Selector: <none>
            "#]],
        );
    }
}
