//! `v1` Endpoints: the addresses behind a Service, in one object.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::field::{Error, Errors, Path};
use crate::k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints};
use crate::kind::{Kind, Merge, Names, Scope};
use crate::kinds::checks::{each, endpoint_ip, one_of, port};
use crate::kinds::columns::{age, age_cell, name, name_cell, text as text_column};
use crate::kinds::normal::{drop_empty, fill, text};
use crate::kinds::{merge, names};
use crate::meta::{dns1123_label, dns1123_subdomain};
use crate::table::Columns;

/// Endpoints of `v1`.
pub struct EndpointsKind;

impl Kind for EndpointsKind {
    type Object = Endpoints;

    const NAMES: Names = names("endpoints", &["ep"], &[]);
    const SCOPE: Scope = Scope::Namespaced;
    const MERGES: &[Merge] = MERGES;
    const ALLOW_CREATE_ON_UPDATE: bool = true;

    fn default(endpoints: &mut Endpoints) {
        for subset in endpoints.subsets.iter_mut().flatten() {
            for port in subset.ports.iter_mut().flatten() {
                drop_empty(&mut port.name);
                fill(&mut port.protocol, "TCP");
            }
        }
    }

    fn validate(endpoints: &Endpoints) -> Errors {
        let at = Path::new("subsets");
        endpoints.subsets.iter().flatten().enumerate().flat_map(|(i, subset)| validate_subset(subset, &at.index(i))).collect()
    }

    fn columns() -> Columns<Endpoints> {
        Columns {
            columns: vec![
                name(),
                text_column(
                    "Endpoints",
                    "The set of all endpoints is the union of all subsets. Addresses are placed into subsets according to the IPs they share. A single address with multiple ports, some of which are ready and some of which are not (because they come from different containers) will result in the address being displayed in different subsets for the different ports. No address will appear in both Addresses and NotReadyAddresses in the same subset. Sets of addresses and ports that comprise a service.",
                ),
                age(),
            ],
            row: |endpoints, now| {
                let printed = printed(endpoints.subsets.as_deref().unwrap_or_default());
                vec![name_cell(&endpoints.metadata), Value::from(printed), age_cell(&endpoints.metadata, now)]
            },
        }
    }
}

fn validate_subset(subset: &EndpointSubset, at: &Path) -> Errors {
    let mut errors = Errors::new();
    let (ready, not_ready) = (subset.addresses.as_deref().unwrap_or_default(), subset.not_ready_addresses.as_deref().unwrap_or_default());
    if ready.is_empty() && not_ready.is_empty() {
        errors.push(Error::required(at, "must specify `addresses` or `notReadyAddresses`"));
    }
    for (list, field) in [(ready, "addresses"), (not_ready, "notReadyAddresses")] {
        errors.extend(list.iter().enumerate().flat_map(|(i, address)| validate_address(address, &at.child(field).index(i))));
    }
    let ports = subset.ports.as_deref().unwrap_or_default();
    let mut names = BTreeSet::new();
    for (i, p) in ports.iter().enumerate() {
        let at = at.child("ports").index(i);
        errors.extend(validate_port(p, ports.len() > 1, &at));
        if !text(&p.name).is_empty() && !names.insert(text(&p.name)) {
            errors.push(Error::duplicate(&at.child("name"), text(&p.name)));
        }
    }
    errors
}

fn validate_address(address: &EndpointAddress, at: &Path) -> Errors {
    let mut errors = endpoint_ip(&address.ip, &at.child("ip"));
    for (name, field, check) in
        [(text(&address.hostname), "hostname", dns1123_label as fn(&str) -> Vec<String>), (text(&address.node_name), "nodeName", dns1123_subdomain)]
    {
        if !name.is_empty() {
            errors.extend(each(&at.child(field), name, check(name)));
        }
    }
    errors
}

fn validate_port(p: &EndpointPort, needs_name: bool, at: &Path) -> Errors {
    let mut errors = Errors::new();
    let name = text(&p.name);
    if needs_name && name.is_empty() {
        errors.push(Error::required(&at.child("name"), ""));
    } else if !name.is_empty() {
        errors.extend(each(&at.child("name"), name, dns1123_label(name)));
    }
    errors.extend(port(p.port, &at.child("port")));
    errors.extend(one_of(p.protocol.as_deref(), &["SCTP", "TCP", "UDP"], &at.child("protocol")));
    errors
}

/// The first three of `ip:port`, and how many more there are.
fn printed(subsets: &[EndpointSubset]) -> String {
    let mut all = Vec::new();
    for subset in subsets {
        let addresses = subset.addresses.as_deref().unwrap_or_default();
        match subset.ports.as_deref().unwrap_or_default() {
            [] => all.extend(addresses.iter().map(|a| a.ip.clone())),
            ports => {
                let pairs = ports.iter().flat_map(|p| addresses.iter().map(move |a| (a, p.port)));
                all.extend(pairs.map(|(a, port)| if a.ip.contains(':') { format!("[{}]:{port}", a.ip) } else { format!("{}:{port}", a.ip) }));
            }
        }
    }
    if all.is_empty() { "<none>".to_owned() } else { crate::kinds::columns::first_three(&all) }
}

/// How lists and maps of these types are merged, from the OpenAPI document.
const MERGES: &[Merge] = &[
    merge("io.k8s.api.core.v1.EndpointAddress", "", "", "", "atomic", &[]),
    merge("io.k8s.api.core.v1.EndpointPort", "", "", "", "atomic", &[]),
    merge("io.k8s.api.core.v1.EndpointSubset", "addresses", "", "", "atomic", &[]),
    merge("io.k8s.api.core.v1.EndpointSubset", "notReadyAddresses", "", "", "atomic", &[]),
    merge("io.k8s.api.core.v1.EndpointSubset", "ports", "", "", "atomic", &[]),
    merge("io.k8s.api.core.v1.Endpoints", "subsets", "", "", "atomic", &[]),
    merge("io.k8s.api.core.v1.ObjectReference", "", "", "", "atomic", &[]),
];

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::kinds::testing::{check_refused, check_row};

    #[test]
    fn refuses_in_kubernetes_words() {
        check_refused::<EndpointsKind>(
            r#"
subsets: [{}, {addresses: [{ip: 127.0.0.1}, {ip: x, hostname: A_}, {ip: 224.0.0.1}], ports: [{port: 0}, {port: 80, name: a, protocol: X}]}]
"#,
            &expect![[r#"
                subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`
                subsets[1].addresses[0].ip: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)
                subsets[1].addresses[1].ip: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)
                subsets[1].addresses[1].hostname: Invalid value: "A_": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
                subsets[1].addresses[2].ip: Invalid value: "224.0.0.1": may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)
                subsets[1].ports[0].name: Required value
                subsets[1].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive
                subsets[1].ports[1].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP"
            "#]],
        );
    }

    #[test]
    fn prints_a_row() {
        check_row::<EndpointsKind>(
            r#"
metadata: {name: e, creationTimestamp: 2026-01-01T00:00:00Z}
subsets: [{addresses: [{ip: 1.2.3.5}, {ip: 1.2.3.4}], ports: [{port: 80, name: w}, {port: 81, name: x}]}]
"#,
            &expect![[r#"
                Name: e
                Endpoints: 1.2.3.5:80,1.2.3.4:80,1.2.3.5:81 + 1 more...
                Age: 15m
            "#]],
        );
        check_row::<EndpointsKind>(
            r#"
metadata: {name: e}
"#,
            &expect![[r#"
                Name: e
                Endpoints: <none>
                Age: <unknown>
            "#]],
        );
    }
}
