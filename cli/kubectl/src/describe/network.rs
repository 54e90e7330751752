//! Services, Endpoints and Ingresses.

use serde_json::Value;

use super::{Page, list_of, number, or, pairs, text};

/// The addresses behind a port, three of them at most.
fn endpoints(slices: &[Value], service: &str, port_name: &str) -> String {
    let slices: Vec<&Value> = slices.iter().filter(|slice| slice["metadata"]["labels"]["kubernetes.io/service-name"] == service).collect();
    if slices.is_empty() {
        return "<none>".into();
    }
    let mut all: Vec<String> = Vec::new();
    for slice in slices {
        let ready = list_of(&slice["endpoints"]).iter().filter(|endpoint| endpoint["conditions"]["ready"] != false);
        let addresses: Vec<String> = ready.map(|endpoint| text(&endpoint["addresses"][0])).collect();
        if list_of(&slice["ports"]).is_empty() {
            all.extend(addresses);
            continue;
        }
        for port in list_of(&slice["ports"]).iter().filter(|port| text(&port["name"]) == port_name) {
            all.extend(addresses.iter().map(|address| {
                if address.contains(':') { format!("[{address}]:{}", number(&port["port"])) } else { format!("{address}:{}", number(&port["port"])) }
            }));
        }
    }
    if all.len() > 3 { format!("{} + {} more...", all[..3].join(","), all.len() - 3) } else { all.join(",") }
}

impl Page {
    pub(super) fn service(&mut self, object: &Value, slices: &[Value]) -> bool {
        let spec = &object["spec"];
        let joined = |value: &Value| list_of(value).iter().map(text).collect::<Vec<_>>().join(",");
        let or_none = |text: String| if text.is_empty() { "<none>".to_owned() } else { text };
        self.names(object);
        self.metadata(object);
        self.field(0, "Selector", pairs(&spec["selector"]));
        self.field(0, "Type", text(&spec["type"]));
        if spec["ipFamilyPolicy"].is_string() {
            self.field(0, "IP Family Policy", text(&spec["ipFamilyPolicy"]));
        }
        self.field(0, "IP Families", or_none(joined(&spec["ipFamilies"])));
        self.field(0, "IP", text(&spec["clusterIP"]));
        self.field(0, "IPs", or_none(joined(&spec["clusterIPs"])));
        for (title, value) in [
            ("External IPs", joined(&spec["externalIPs"])),
            ("Desired LoadBalancer IP", text(&spec["loadBalancerIP"])),
            ("External Name", text(&spec["externalName"])),
            ("LoadBalancer Ingress", balancer(&object["status"]["loadBalancer"]["ingress"], ", ", true)),
        ] {
            if !value.is_empty() {
                self.field(0, title, value);
            }
        }
        for port in list_of(&spec["ports"]) {
            let (name, protocol) = (text(&port["name"]), text(&port["protocol"]));
            let shown = if name.is_empty() { "<unset>" } else { &name };
            self.field(0, "Port", format!("{shown}\t{}/{protocol}", number(&port["port"])));
            self.field(0, "TargetPort", format!("{}/{protocol}", text(&port["targetPort"])));
            if port["appProtocol"].is_string() {
                self.field(0, "AppProtocol", text(&port["appProtocol"]));
            }
            if number(&port["nodePort"]) != 0 {
                self.field(0, "NodePort", format!("{shown}\t{}/{protocol}", number(&port["nodePort"])));
            }
            self.field(0, "Endpoints", endpoints(slices, &text(&object["metadata"]["name"]), &name));
        }
        self.field(0, "Session Affinity", text(&spec["sessionAffinity"]));
        for (title, value) in [
            ("External Traffic Policy", text(&spec["externalTrafficPolicy"])),
            ("Internal Traffic Policy", text(&spec["internalTrafficPolicy"])),
            ("HealthCheck NodePort", text(&spec["healthCheckNodePort"])),
            ("LoadBalancer Source Ranges", joined(&spec["loadBalancerSourceRanges"])),
            ("Traffic Distribution", text(&spec["trafficDistribution"])),
        ] {
            if !value.is_empty() {
                self.field(0, title, value);
            }
        }
        true
    }

    pub(super) fn endpoints(&mut self, object: &Value) -> bool {
        self.names(object);
        self.metadata(object);
        self.line(0, "Subsets:");
        for subset in list_of(&object["subsets"]) {
            for (title, field) in [("Addresses", "addresses"), ("NotReadyAddresses", "notReadyAddresses")] {
                let addresses = list_of(&subset[field]).iter().map(|address| text(&address["ip"])).collect::<Vec<_>>().join(",");
                self.field(1, title, if addresses.is_empty() { "<none>".into() } else { addresses });
            }
            if !list_of(&subset["ports"]).is_empty() {
                self.line(1, "Ports:");
                self.line(2, "Name\tPort\tProtocol");
                self.line(2, "----\t----\t--------");
                for port in list_of(&subset["ports"]) {
                    let name = text(&port["name"]);
                    self.line(2, &format!("{}\t{}\t{}", if name.is_empty() { "<unset>" } else { &name }, number(&port["port"]), text(&port["protocol"])));
                }
            }
            self.line(0, "");
        }
        true
    }

    pub(super) fn endpoint_slice(&mut self, object: &Value) -> bool {
        self.names(object);
        self.metadata(object);
        self.field(0, "AddressType", text(&object["addressType"]));
        let unset = |value: &Value| Some(text(value)).filter(|text| !text.is_empty()).unwrap_or("<unset>".into());
        if list_of(&object["ports"]).is_empty() {
            self.line(0, "Ports: <unset>");
        } else {
            self.line(0, "Ports:");
            self.line(1, "Name\tPort\tProtocol");
            self.line(1, "----\t----\t--------");
        }
        for port in list_of(&object["ports"]) {
            self.line(1, &format!("{}\t{}\t{}", unset(&port["name"]), unset(&port["port"]), text(&port["protocol"])));
        }
        let endpoints = list_of(&object["endpoints"]);
        self.line(0, if endpoints.is_empty() { "Endpoints: <none>" } else { "Endpoints:" });
        for endpoint in endpoints {
            let addresses = list_of(&endpoint["addresses"]).iter().map(text).collect::<Vec<_>>().join(", ");
            self.field(1, "- Addresses", if addresses.is_empty() { "<none>".into() } else { addresses });
            self.line(2, "Conditions:");
            self.field(3, "Ready", unset(&endpoint["conditions"]["ready"]));
            self.field(2, "Hostname", unset(&endpoint["hostname"]));
            let target = &endpoint["targetRef"];
            if target.is_object() {
                self.field(2, "TargetRef", format!("{}/{}", text(&target["kind"]), text(&target["name"])));
            }
            self.field(2, "NodeName", unset(&endpoint["nodeName"]));
            self.field(2, "Zone", unset(&endpoint["zone"]));
        }
        true
    }

    pub(super) fn ingress_class(&mut self, object: &Value) -> bool {
        self.field(0, "Name", text(&object["metadata"]["name"]));
        self.metadata(object);
        self.field(0, "Controller", text(&object["spec"]["controller"]));
        let parameters = &object["spec"]["parameters"];
        if parameters.is_object() {
            self.line(0, "Parameters:");
            for (title, field) in [("APIGroup", "apiGroup"), ("Kind", "kind"), ("Name", "name")] {
                if !parameters[field].is_null() {
                    self.field(1, title, text(&parameters[field]));
                }
            }
        }
        true
    }

    pub(super) fn ingress(&mut self, object: &Value, services: &[Value], slices: &[Value]) -> bool {
        let spec = &object["spec"];
        self.field(0, "Name", text(&object["metadata"]["name"]));
        self.labels("Labels", &object["metadata"]["labels"]);
        self.field(0, "Namespace", text(&object["metadata"]["namespace"]));
        self.field(0, "Address", balancer(&object["status"]["loadBalancer"]["ingress"], ",", false));
        self.field(0, "Ingress Class", or(&spec["ingressClassName"], "<none>"));
        let default = if spec["defaultBackend"].is_object() { backend(&spec["defaultBackend"], services, slices) } else { "<default>".into() };
        self.field(0, "Default backend", &default);
        if !list_of(&spec["tls"]).is_empty() {
            self.line(0, "TLS:");
            for tls in list_of(&spec["tls"]) {
                let hosts = list_of(&tls["hosts"]).iter().map(text).collect::<Vec<_>>().join(",");
                let secret = text(&tls["secretName"]);
                self.line(1, &if secret.is_empty() { format!("SNI routes {hosts}") } else { format!("{secret} terminates {hosts}") });
            }
        }
        self.text("Rules:\n  Host\tPath\tBackends\n");
        self.line(1, "----\t----\t--------");
        let mut none = true;
        for rule in list_of(&spec["rules"]).iter().filter(|rule| rule["http"].is_object()) {
            none = false;
            let host = text(&rule["host"]);
            self.line(1, &format!("{}\t", if host.is_empty() { "*" } else { &host }));
            for path in list_of(&rule["http"]["paths"]) {
                self.line(2, &format!("\t{} \t{}", text(&path["path"]), backend(&path["backend"], services, slices)));
            }
        }
        if none {
            self.line(1, &format!("*\t*\t{default}"));
        }
        self.annotations("Annotations", &object["metadata"]["annotations"]);
        true
    }
}

fn balancer(ingress: &Value, separator: &str, mode: bool) -> String {
    let mut all: Vec<String> = list_of(ingress)
        .iter()
        .map(|entry| match entry["ip"].as_str().filter(|ip| !ip.is_empty()) {
            Some(ip) if mode && entry["ipMode"].is_string() => format!("{ip} ({})", text(&entry["ipMode"])),
            Some(ip) => ip.to_owned(),
            None => text(&entry["hostname"]),
        })
        .collect();
    if !mode {
        all.sort();
        all.dedup();
    }
    all.join(separator)
}

fn backend(backend: &Value, services: &[Value], slices: &[Value]) -> String {
    let service = &backend["service"];
    if !service.is_object() {
        let resource = &backend["resource"];
        return if resource.is_object() {
            format!("APIGroup: {}, Kind: {}, Name: {}", or(&resource["apiGroup"], "<none>"), text(&resource["kind"]), text(&resource["name"]))
        } else {
            String::new()
        };
    }
    let (name, port) = (text(&service["name"]), &service["port"]);
    let shown = format!("{name}:{}", if number(&port["number"]) != 0 { number(&port["number"]).to_string() } else { text(&port["name"]) });
    let Some(found) = services.iter().find(|s| s["metadata"]["name"] == name.as_str()) else {
        return format!("{shown} (<error: services {name:?} not found>)");
    };
    let chosen = list_of(&found["spec"]["ports"]).iter().rfind(|p| {
        (number(&port["number"]) != 0 && p["port"] == port["number"]) || (port["name"].as_str().is_some_and(|n| !n.is_empty()) && p["name"] == port["name"])
    });
    let port_name = chosen.map_or_else(String::new, |p| text(&p["name"]));
    format!("{shown} ({})", endpoints(slices, &name, &port_name))
}
