//! `networking.k8s.io/v1` NetworkPolicy: who may talk to the Pods it chooses.

use serde_json::Value;

use crate::field::{Error, Errors, Path, printed_json};
use crate::k8s_openapi::api::networking::v1::{IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort};
use crate::k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use crate::kind::{Kind, Merge, Names, Scope};
use crate::kinds::checks::{cidr, one_of, port, port_or_name};
use crate::kinds::columns::{age, age_cell, name, name_cell, text as text_column};
use crate::kinds::label_selector;
use crate::kinds::normal::fill;
use crate::kinds::{merge, names};
use crate::table::Columns;

/// NetworkPolicy of `networking.k8s.io/v1`.
pub struct NetworkPolicies;

impl Kind for NetworkPolicies {
    type Object = NetworkPolicy;

    const NAMES: Names = names("networkpolicy", &["netpol"], &[]);
    const SCOPE: Scope = Scope::Namespaced;
    const MERGES: &[Merge] = MERGES;
    const HAS_GENERATION: bool = true;

    fn desired_differs(new: &Self::Object, old: &Self::Object) -> bool {
        new.spec != old.spec
    }

    fn default(policy: &mut NetworkPolicy) {
        let spec = policy.spec.get_or_insert_default();
        spec.pod_selector.get_or_insert_default();
        let ingress = spec.ingress.iter_mut().flatten().flat_map(|r| r.ports.iter_mut().flatten());
        let egress = spec.egress.iter_mut().flatten().flat_map(|r| r.ports.iter_mut().flatten());
        for port in ingress.chain(egress) {
            fill(&mut port.protocol, "TCP");
        }
        if spec.policy_types.as_ref().is_none_or(Vec::is_empty) {
            let egress = spec.egress.as_ref().is_some_and(|rules| !rules.is_empty());
            let types = ["Ingress", "Egress"].into_iter().take(if egress { 2 } else { 1 });
            spec.policy_types = Some(types.map(str::to_owned).collect());
        }
    }

    fn validate(policy: &NetworkPolicy) -> Errors {
        let Some(spec) = &policy.spec else { return Errors::new() };
        let at = Path::new("spec");
        let mut errors = Errors::new();
        errors.extend(spec.pod_selector.iter().flat_map(|s| label_selector::validate(s, &at.child("podSelector"))));
        for (i, rule) in spec.ingress.iter().flatten().enumerate() {
            let at = at.child("ingress").index(i);
            errors.extend(ports(rule.ports.as_deref(), &at.child("ports")));
            errors.extend(peers(rule.from.as_deref(), &at.child("from")));
        }
        for (i, rule) in spec.egress.iter().flatten().enumerate() {
            let at = at.child("egress").index(i);
            errors.extend(ports(rule.ports.as_deref(), &at.child("ports")));
            errors.extend(peers(rule.to.as_deref(), &at.child("to")));
        }
        let types = spec.policy_types.as_deref().unwrap_or_default();
        if types.len() > 2 {
            errors.push(Error::invalid(&at.child("policyTypes"), printed_json(&types), "may not specify more than two policyTypes"));
        }
        for (i, kind) in types.iter().enumerate() {
            errors.extend(one_of(Some(kind), &["Egress", "Ingress"], &at.child("policyTypes").index(i)));
        }
        errors
    }

    fn columns() -> Columns<NetworkPolicy> {
        Columns {
            columns: vec![
                name(),
                text_column(
                    "Pod-Selector",
                    "podSelector selects the pods to which this NetworkPolicy object applies. The array of rules is applied to any pods selected by this field. An empty selector matches all pods in the policy's namespace. Multiple network policies can select the same set of pods. In this case, the ingress rules for each are combined additively. This field is optional. If it is not specified, it defaults to an empty selector.",
                ),
                age(),
            ],
            row: |policy, now| {
                let selector = policy.spec.as_ref().and_then(|s| s.pod_selector.as_ref());
                vec![name_cell(&policy.metadata), Value::from(label_selector::printed(selector)), age_cell(&policy.metadata, now)]
            },
        }
    }
}

fn ports(ports: Option<&[NetworkPolicyPort]>, at: &Path) -> Errors {
    let mut errors = Errors::new();
    for (i, p) in ports.into_iter().flatten().enumerate() {
        let at = at.index(i);
        errors.extend(one_of(p.protocol.as_deref(), &["SCTP", "TCP", "UDP"], &at.child("protocol")));
        errors.extend(p.port.iter().flat_map(|value| port_or_name(value, &at.child("port"))));
        let Some(end) = p.end_port else { continue };
        let end_at = at.child("endPort");
        match &p.port {
            None => errors.push(Error::required(&at.child("port"), "must be specified when `endPort` is specified")),
            Some(IntOrString::String(_)) => {
                errors.push(Error::invalid(&end_at, end, "may not be specified when `port` is non-numeric"));
            }
            Some(IntOrString::Int(start)) if end < *start => {
                errors.push(Error::invalid(&end_at, end, "must be greater than or equal to `port`"));
            }
            Some(IntOrString::Int(_)) => {}
        }
        errors.extend(port(end, &end_at));
    }
    errors
}

fn peers(peers: Option<&[NetworkPolicyPeer]>, at: &Path) -> Errors {
    let mut errors = Errors::new();
    for (i, peer) in peers.into_iter().flatten().enumerate() {
        let at = at.index(i);
        let selects = peer.pod_selector.is_some() || peer.namespace_selector.is_some();
        errors.extend(peer.pod_selector.iter().flat_map(|s| label_selector::validate(s, &at.child("podSelector"))));
        errors.extend(peer.namespace_selector.iter().flat_map(|s| label_selector::validate(s, &at.child("namespaceSelector"))));
        match &peer.ip_block {
            None if !selects => errors.push(Error::required(&at, "must specify a peer")),
            Some(_) if selects => {
                errors.push(Error::forbidden(&at, "may not specify both ipBlock and another peer"));
            }
            Some(block) => errors.extend(ip_block(block, &at.child("ipBlock"))),
            None => {}
        }
    }
    errors
}

fn ip_block(block: &IPBlock, at: &Path) -> Errors {
    if block.cidr.is_empty() {
        return vec![Error::required(&at.child("cidr"), "")];
    }
    let mut errors: Errors = cidr(&block.cidr, &at.child("cidr")).into_iter().collect();
    let outer = block.cidr.parse::<ipnet::IpNet>().ok();
    for (i, except) in block.except.iter().flatten().enumerate() {
        let at = at.child("except").index(i);
        match (except.parse::<ipnet::IpNet>(), outer) {
            (Err(_), _) => errors.extend(cidr(except, &at)),
            (Ok(inner), Some(outer)) if !outer.contains(&inner) || outer.prefix_len() >= inner.prefix_len() => {
                errors.push(Error::invalid(&at, except, "must be a strict subset of `cidr`"));
            }
            _ => {}
        }
    }
    errors
}

/// How lists and maps of these types are merged, from the OpenAPI document.
const MERGES: &[Merge] = &[
    merge("io.k8s.api.networking.v1.IPBlock", "except", "", "", "atomic", &[]),
    merge("io.k8s.api.networking.v1.NetworkPolicyEgressRule", "ports", "", "", "atomic", &[]),
    merge("io.k8s.api.networking.v1.NetworkPolicyEgressRule", "to", "", "", "atomic", &[]),
    merge("io.k8s.api.networking.v1.NetworkPolicyIngressRule", "from", "", "", "atomic", &[]),
    merge("io.k8s.api.networking.v1.NetworkPolicyIngressRule", "ports", "", "", "atomic", &[]),
    merge("io.k8s.api.networking.v1.NetworkPolicySpec", "egress", "", "", "atomic", &[]),
    merge("io.k8s.api.networking.v1.NetworkPolicySpec", "ingress", "", "", "atomic", &[]),
    merge("io.k8s.api.networking.v1.NetworkPolicySpec", "policyTypes", "", "", "atomic", &[]),
];

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::kinds::testing::{check_default, check_refused, check_row};

    #[test]
    fn fills_in_what_is_left_out() {
        check_default::<NetworkPolicies>(
            r#"
metadata: {name: p, creationTimestamp: 2026-01-01T00:00:00Z}
spec: {podSelector: {}, egress: [{ports: [{port: 53}]}]}
"#,
            &expect![[r#"
                apiVersion: networking.k8s.io/v1
                kind: NetworkPolicy
                metadata:
                  creationTimestamp: 2026-01-01T00:00:00Z
                  generation: 1
                  name: p
                spec:
                  egress:
                  - ports:
                    - port: 53
                      protocol: TCP
                  podSelector: {}
                  policyTypes:
                  - Ingress
                  - Egress
            "#]],
        );
    }

    #[test]
    fn refuses_in_kubernetes_words() {
        check_refused::<NetworkPolicies>(
            r#"
metadata: {name: p, creationTimestamp: 2026-01-01T00:00:00Z}
spec: {policyTypes: [Sideways], ingress: [{from: [{}, {podSelector: {}, ipBlock: {cidr: x}}, {ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/16]}}], ports: [{endPort: 3}, {port: 9, endPort: 3}]}]}
"#,
            &expect![[r#"
                spec.ingress[0].ports[0].port: Required value: must be specified when `endPort` is specified
                spec.ingress[0].ports[1].endPort: Invalid value: 3: must be greater than or equal to `port`
                spec.ingress[0].from[0]: Required value: must specify a peer
                spec.ingress[0].from[1]: Forbidden: may not specify both ipBlock and another peer
                spec.ingress[0].from[2].ipBlock.except[0]: Invalid value: "11.0.0.0/16": must be a strict subset of `cidr`
                spec.policyTypes[0]: Unsupported value: "Sideways": supported values: "Egress", "Ingress"
            "#]],
        );
    }

    #[test]
    fn prints_a_row() {
        check_row::<NetworkPolicies>(
            r#"
metadata: {name: p, creationTimestamp: 2026-01-01T00:00:00Z}
spec: {podSelector: {matchLabels: {a: b}}}
"#,
            &expect![[r#"
                Name: p
                Pod-Selector: a=b
                Age: 15m
            "#]],
        );
    }
}
