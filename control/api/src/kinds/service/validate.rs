//! What kube-apiserver refuses of a Service.

use std::collections::BTreeSet;

use serde_json::json;

use super::is_external;
use crate::field::{Error, Errors, Path, printed_json};
use crate::k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use crate::k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use crate::kinds::checks::{cidr, each, endpoint_ip, ip, one_of, parse_ip, port, port_or_name};
use crate::kinds::normal::text;
use crate::meta::{dns1123_label, dns1123_subdomain, qualified_name, validate_labels};

const KUBELET_PORT: i32 = 10250;
const ONLY_LOAD_BALANCER: &str = "may only be used when `type` is 'LoadBalancer'";

/// Refusals of a Service.
pub(super) fn service(service: &Service) -> Errors {
    let empty = ServiceSpec::default();
    let (spec, at) = (service.spec.as_ref().unwrap_or(&empty), Path::new("spec"));
    let mut errors = Errors::new();
    let list = spec.ports.as_deref().unwrap_or_default();
    let headless = is_headless(spec);
    if list.is_empty() && !headless && text(&spec.type_) != "ExternalName" {
        errors.push(Error::required(&at.child("ports"), ""));
    }
    errors.extend(of_type(spec, &at));
    errors.extend(ports(list, &at.child("ports")));
    errors.extend(validate_labels(spec.selector.as_ref(), &at.child("selector")));
    errors.extend(affinity(spec, &at));
    errors.extend(addresses(spec, &at));
    errors.extend(one_of(spec.type_.as_deref(), &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"], &at.child("type")));
    errors.extend(port_pairs(spec, &at.child("ports")));
    errors.extend(load_balancer(spec, &at));
    errors.extend(traffic_policies(spec, &at));
    errors
}

/// Refusals of an update.
pub(super) fn update(new: &Service, old: &Service) -> Errors {
    let mut errors = service(new);
    let empty = ServiceSpec::default();
    let (new, old) = (new.spec.as_ref().unwrap_or(&empty), old.spec.as_ref().unwrap_or(&empty));
    let at = Path::new("spec");
    let first = |list: &Option<Vec<String>>| list.iter().flatten().next().cloned();
    if text(&new.type_) != "ExternalName" && text(&old.type_) != "ExternalName" {
        for (new, old, field) in [(&new.cluster_ips, &old.cluster_ips, "clusterIPs"), (&new.ip_families, &old.ip_families, "ipFamilies")] {
            if first(old).is_some() && first(new) != first(old) {
                errors.push(Error::invalid(&at.child(field).index(0), printed_json(new), "may not change once set"));
            }
        }
    }
    if text(&new.type_) == "LoadBalancer" && text(&old.type_) == "LoadBalancer" && new.load_balancer_class != old.load_balancer_class {
        let class = printed_json(&new.load_balancer_class);
        errors.push(Error::invalid(&at.child("loadBalancerClass"), class, "may not change once set"));
    }
    errors
}

fn is_headless(spec: &ServiceSpec) -> bool {
    spec.cluster_ips.iter().flatten().next().or(spec.cluster_ip.as_ref()).is_some_and(|ip| ip == "None")
}

fn of_type(spec: &ServiceSpec, at: &Path) -> Errors {
    let mut errors = Errors::new();
    let kind = text(&spec.type_);
    match kind {
        "LoadBalancer" | "NodePort" => {
            for (i, p) in spec.ports.iter().flatten().enumerate() {
                if kind == "LoadBalancer" && p.port == KUBELET_PORT {
                    let words = format!("may not expose port {KUBELET_PORT} externally since it is used by kubelet");
                    errors.push(Error::invalid(&at.child("ports").index(i).child("port"), p.port, words));
                }
            }
            if is_headless(spec) {
                let words = format!("may not be set to 'None' for {kind} services");
                errors.push(Error::invalid(&at.child("clusterIPs").index(0), "None", words));
            }
        }
        "ExternalName" => {
            for (given, field) in [
                (spec.cluster_ips.as_ref().is_some_and(|l| !l.is_empty()) || spec.cluster_ip.is_some(), "clusterIPs"),
                (spec.ip_families.as_ref().is_some_and(|l| !l.is_empty()), "ipFamilies"),
                (spec.ip_family_policy.is_some(), "ipFamilyPolicy"),
            ] {
                if given {
                    errors.push(Error::forbidden(&at.child(field), "may not be set for ExternalName services"));
                }
            }
            let name = text(&spec.external_name);
            let name = name.strip_suffix('.').unwrap_or(name);
            let at = at.child("externalName");
            if name.is_empty() {
                errors.push(Error::required(&at, ""));
            } else {
                errors.extend(each(&at, name, dns1123_subdomain(name)));
            }
        }
        _ => {}
    }
    errors
}

fn ports(ports: &[ServicePort], at: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut names = BTreeSet::new();
    for (i, p) in ports.iter().enumerate() {
        let at = at.index(i);
        let name = text(&p.name);
        if name.is_empty() && ports.len() > 1 {
            errors.push(Error::required(&at.child("name"), ""));
        } else if !name.is_empty() {
            errors.extend(each(&at.child("name"), name, dns1123_label(name)));
            if !names.insert(name) {
                errors.push(Error::duplicate(&at.child("name"), name));
            }
        }
        errors.extend(port(p.port, &at.child("port")));
        errors.extend(one_of(p.protocol.as_deref(), &["SCTP", "TCP", "UDP"], &at.child("protocol")));
        errors.extend(port_or_name(p.target_port.as_ref().unwrap_or(&IntOrString::Int(0)), &at.child("targetPort")));
        let protocol = text(&p.app_protocol);
        if !protocol.is_empty() {
            errors.extend(each(&at.child("appProtocol"), protocol, qualified_name(protocol)));
        }
    }
    errors
}

fn affinity(spec: &ServiceSpec, at: &Path) -> Errors {
    let mut errors: Errors = one_of(spec.session_affinity.as_deref(), &["ClientIP", "None"], &at.child("sessionAffinity")).into_iter().collect();
    let config = spec.session_affinity_config.as_ref();
    let at = at.child("sessionAffinityConfig");
    match text(&spec.session_affinity) {
        "ClientIP" => {
            let seconds = config.and_then(|c| c.client_ip.as_ref()).and_then(|c| c.timeout_seconds);
            if let Some(seconds) = seconds.filter(|s| *s <= 0 || *s > 86400) {
                let words = "must be greater than 0 and less than 86400";
                errors.push(Error::invalid(&at.child("clientIP.timeoutSeconds"), seconds, words));
            }
        }
        "None" if config.is_some() => {
            errors.push(Error::forbidden(&at, "must not be set when session affinity is None"));
        }
        _ => {}
    }
    errors
}

fn addresses(spec: &ServiceSpec, at: &Path) -> Errors {
    let mut errors = Errors::new();
    let list = spec.cluster_ips.as_deref().unwrap_or_default();
    let list_at = at.child("clusterIPs");
    if text(&spec.type_) != "ExternalName" {
        let one = text(&spec.cluster_ip);
        match (one, list.first()) {
            ("", Some(_)) => errors.push(Error::invalid(&list_at, printed_json(&list), "must be empty when `clusterIP` is not specified")),
            (one, Some(first)) if one != first => errors.push(Error::invalid(&list_at, printed_json(&list), "first value must match `clusterIP`")),
            _ => {}
        }
        let mut families = BTreeSet::new();
        // Each is said once, with the whole list.
        let (mut misplaced, mut too_many) = (false, false);
        for (i, text) in list.iter().enumerate() {
            if text == "None" {
                if list.len() > 1 && !misplaced {
                    misplaced = true;
                    errors.push(Error::invalid(&list_at, printed_json(&list), "'None' must be the first and only value"));
                }
                continue;
            }
            match parse_ip(text) {
                None => errors.extend(ip(text, &list_at.index(i))),
                Some(ip) if !families.insert(ip.is_ipv4()) => {
                    if std::mem::replace(&mut too_many, true) {
                        continue;
                    }
                    let words = "may specify no more than one IP for each IP family";
                    errors.push(Error::invalid(&list_at, printed_json(&list), words));
                }
                Some(_) => {}
            }
        }
        for (i, family) in spec.ip_families.iter().flatten().enumerate() {
            errors.extend(one_of(Some(family), &["IPv4", "IPv6"], &at.child("ipFamilies").index(i)));
        }
        if spec.ip_family_policy.is_some() {
            let supported = &["PreferDualStack", "RequireDualStack", "SingleStack"];
            errors.extend(one_of(spec.ip_family_policy.as_deref(), supported, &at.child("ipFamilyPolicy")));
        }
    }
    for (i, text) in spec.external_ips.iter().flatten().enumerate() {
        errors.extend(endpoint_ip(text, &at.child("externalIPs").index(i)));
    }
    errors
}

/// A port and a node port is given once for each protocol.
fn port_pairs(spec: &ServiceSpec, at: &Path) -> Errors {
    let mut errors = Errors::new();
    let (mut node_ports, mut pairs) = (BTreeSet::new(), BTreeSet::new());
    for (i, p) in spec.ports.iter().flatten().enumerate() {
        let at = at.index(i);
        let protocol = text(&p.protocol);
        if let Some(node_port) = p.node_port.filter(|p| *p != 0) {
            if text(&spec.type_) == "ClusterIP" {
                errors.push(Error::forbidden(&at.child("nodePort"), "may not be used when `type` is 'ClusterIP'"));
            }
            if !node_ports.insert((protocol, node_port)) {
                errors.push(Error::duplicate(&at.child("nodePort"), node_port));
            }
        }
        if !pairs.insert((protocol, p.port)) {
            // As the internal type is printed: its fields, in its order.
            let printed = format!(r#"{{"Name":"","Protocol":{},"AppProtocol":null,"Port":{},"TargetPort":0,"NodePort":0}}"#, json!(protocol), p.port);
            errors.push(Error { kind: crate::field::ErrorType::Duplicate, path: at, value: printed, detail: String::new() });
        }
    }
    errors
}

fn load_balancer(spec: &ServiceSpec, at: &Path) -> Errors {
    let mut errors = Errors::new();
    let is_balancer = text(&spec.type_) == "LoadBalancer";
    let ranges = spec.load_balancer_source_ranges.as_deref().unwrap_or_default();
    if !is_balancer && !ranges.is_empty() {
        errors.push(Error::forbidden(&at.child("loadBalancerSourceRanges"), ONLY_LOAD_BALANCER));
    }
    if is_balancer {
        for (i, range) in ranges.iter().enumerate() {
            errors.extend(cidr(range.trim(), &at.child("loadBalancerSourceRanges").index(i)));
        }
        if spec.allocate_load_balancer_node_ports.is_none() {
            errors.push(Error::required(&at.child("allocateLoadBalancerNodePorts"), "must be specified when `type` is 'LoadBalancer'"));
        }
    } else {
        for (given, field) in
            [(spec.allocate_load_balancer_node_ports.is_some(), "allocateLoadBalancerNodePorts"), (spec.load_balancer_class.is_some(), "loadBalancerClass")]
        {
            if given {
                errors.push(Error::forbidden(&at.child(field), ONLY_LOAD_BALANCER));
            }
        }
    }
    if let Some(class) = spec.load_balancer_class.as_ref().filter(|_| is_balancer) {
        errors.extend(each(&at.child("loadBalancerClass"), class, qualified_name(class)));
    }
    errors
}

fn traffic_policies(spec: &ServiceSpec, at: &Path) -> Errors {
    let mut errors = Errors::new();
    let external_at = at.child("externalTrafficPolicy");
    let external = text(&spec.external_traffic_policy);
    if is_external(spec) {
        errors.extend(one_of(Some(external), &["Cluster", "Local"], &external_at));
    } else if !external.is_empty() {
        errors.push(Error::invalid(&external_at, external, "may only be set for externally-accessible services"));
    }
    let checked = text(&spec.type_) == "LoadBalancer" && external == "Local";
    if let Some(node_port) = spec.health_check_node_port.filter(|_| !checked) {
        let words = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        errors.push(Error::invalid(&at.child("healthCheckNodePort"), node_port, words));
    }
    if spec.internal_traffic_policy.is_some() {
        errors.extend(one_of(spec.internal_traffic_policy.as_deref(), &["Cluster", "Local"], &at.child("internalTrafficPolicy")));
    }
    if spec.traffic_distribution.is_some() {
        let supported = &["PreferClose", "PreferSameNode", "PreferSameZone"];
        errors.extend(one_of(spec.traffic_distribution.as_deref(), supported, &at.child("trafficDistribution")));
    }
    errors
}
