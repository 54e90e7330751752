//! What `kubectl get services` prints.

use serde_json::Value;

use crate::k8s_openapi::api::core::v1::{LoadBalancerStatus, Service, ServicePort, ServiceSpec};
use crate::kinds::columns::{age, age_cell, name, name_cell, or_none, text as text_column};
use crate::kinds::normal::text;
use crate::kinds::workload::printed_labels;
use crate::table::Columns;

/// The table of Services.
pub(super) fn columns() -> Columns<Service> {
    Columns {
        columns: vec![
            name(),
            text_column("Type", "type determines how the Service is exposed. Defaults to ClusterIP. Valid options are ExternalName, ClusterIP, NodePort, and LoadBalancer. \"ClusterIP\" allocates a cluster-internal IP address for load-balancing to endpoints. Endpoints are determined by the selector or if that is not specified, by manual construction of an Endpoints object or EndpointSlice objects. If clusterIP is \"None\", no virtual IP is allocated and the endpoints are published as a set of endpoints rather than a virtual IP. \"NodePort\" builds on ClusterIP and allocates a port on every node which routes to the same endpoints as the clusterIP. \"LoadBalancer\" builds on NodePort and creates an external load-balancer (if supported in the current cloud) which routes to the same endpoints as the clusterIP. \"ExternalName\" aliases this service to the specified externalName. Several other fields do not apply to ExternalName services. More info: https://kubernetes.io/docs/concepts/services-networking/service/#publishing-services-service-types"),
            text_column("Cluster-IP", "clusterIP is the IP address of the service and is usually assigned randomly. If an address is specified manually, is in-range (as per system configuration), and is not in use, it will be allocated to the service; otherwise creation of the service will fail. This field may not be changed through updates unless the type field is also being changed to ExternalName (which requires this field to be blank) or the type field is being changed from ExternalName (in which case this field may optionally be specified, as describe above).  Valid values are \"None\", empty string (\"\"), or a valid IP address. Setting this to \"None\" makes a \"headless service\" (no virtual IP), which is useful when direct endpoint connections are preferred and proxying is not required.  Only applies to types ClusterIP, NodePort, and LoadBalancer. If this field is specified when creating a Service of type ExternalName, creation will fail. This field will be wiped when updating a Service to type ExternalName. More info: https://kubernetes.io/docs/concepts/services-networking/service/#virtual-ips-and-service-proxies"),
            text_column("External-IP", "externalIPs is a list of IP addresses for which nodes in the cluster will also accept traffic for this service.  These IPs are not managed by Kubernetes.  The user is responsible for ensuring that traffic arrives at a node with this IP.  A common example is external load-balancers that are not part of the Kubernetes system."),
            text_column("Port(s)", "The list of ports that are exposed by this service. More info: https://kubernetes.io/docs/concepts/services-networking/service/#virtual-ips-and-service-proxies"),
            age(),
            text_column("Selector", "Route service traffic to pods with label keys and values matching this selector. If empty or not present, the service is assumed to have an external process managing its endpoints, which Kubernetes will not modify. Only applies to types ClusterIP, NodePort, and LoadBalancer. Ignored if type is ExternalName. More info: https://kubernetes.io/docs/concepts/services-networking/service/").wide(),
        ],
        row: |service, now| {
            let empty = ServiceSpec::default();
            let spec = service.spec.as_ref().unwrap_or(&empty);
            let ip = spec.cluster_ips.iter().flatten().next().or(spec.cluster_ip.as_ref());
            vec![
                name_cell(&service.metadata),
                Value::from(text(&spec.type_)),
                or_none(ip.map(String::as_str)),
                Value::from(external(spec, service.status.as_ref().and_then(|s| s.load_balancer.as_ref()))),
                Value::from(ports(spec.ports.as_deref().unwrap_or_default())),
                age_cell(&service.metadata, now),
                printed_labels(spec.selector.as_ref()),
            ]
        },
    }
}

fn external(spec: &ServiceSpec, status: Option<&LoadBalancerStatus>) -> String {
    let external_ips = spec.external_ips.as_deref().unwrap_or_default();
    match text(&spec.type_) {
        "ClusterIP" | "NodePort" if external_ips.is_empty() => "<none>".to_owned(),
        "ClusterIP" | "NodePort" => external_ips.join(","),
        "LoadBalancer" => {
            let balancer = load_balancer(status);
            let all: Vec<&str> = balancer.iter().chain(external_ips).map(String::as_str).collect();
            if all.is_empty() { "<pending>".to_owned() } else { all.join(",") }
        }
        "ExternalName" => text(&spec.external_name).to_owned(),
        _ => "<unknown>".to_owned(),
    }
}

/// Addresses of a load balancer, each once, in order.
fn load_balancer(status: Option<&LoadBalancerStatus>) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for ingress in status.iter().flat_map(|s| s.ingress.iter().flatten()) {
        let address = Some(text(&ingress.ip)).filter(|ip| !ip.is_empty()).unwrap_or(text(&ingress.hostname));
        if !address.is_empty() && !out.iter().any(|a| a == address) {
            out.push(address.to_owned());
        }
    }
    out.sort();
    out
}

fn ports(ports: &[ServicePort]) -> String {
    let pieces: Vec<String> = ports
        .iter()
        .map(|p| match p.node_port {
            Some(node_port) if node_port > 0 => format!("{}:{node_port}/{}", p.port, text(&p.protocol)),
            _ => format!("{}/{}", p.port, text(&p.protocol)),
        })
        .collect();
    if pieces.is_empty() { "<none>".to_owned() } else { pieces.join(",") }
}
