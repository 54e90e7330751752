use std::sync::Arc;

use base64::Engine as _;
use expect_test::{Expect, expect};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

use super::*;
use crate::Signer;
use crate::testing::{plan, text, world};

#[derive(Debug)]
struct Stamp;

impl Signer for Stamp {
    fn sign(&self, _request: &str, client: bool, server: bool, seconds: Option<i32>) -> Result<String, String> {
        Ok(format!("client={client} server={server} {seconds:?}"))
    }
}

fn request(common_name: &str, organization: &str, names: &[&str]) -> String {
    let mut params = CertificateParams::new(names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, organization);
    params.distinguished_name.push(DnType::CommonName, common_name);
    let pem = params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap();
    base64::engine::general_purpose::STANDARD.encode(pem)
}

fn csr(signer: &str, user: &str, group: &str, usage: &str, request: &str, status: &str) -> String {
    format!(
        "
apiVersion: certificates.k8s.io/v1
kind: CertificateSigningRequest
metadata: {{name: c, creationTimestamp: '2026-01-01T11:00:00Z'}}
spec: {{signerName: {signer}, username: '{user}', groups: ['{group}'], usages: [digital signature, {usage}], request: {request}}}
status: {status}
---
apiVersion: v1
kind: Node
metadata: {{name: w}}
status: {{addresses: [{{type: InternalIP, address: 10.77.0.2}}, {{type: Hostname, address: w}}]}}
"
    )
}

/// What is asked before it is approved; `at once` where nothing is.
fn approved(yaml: &str) -> String {
    let actions = plan(&Approving, &world(yaml), "c");
    let text = text(&actions, &["status.conditions.0.type"]);
    match text.as_str() {
        "" => "never".to_owned(),
        "update CertificateSigningRequest c approval\n  status.conditions.0.type: \"Approved\"\n" => "at once".to_owned(),
        other => {
            let asked = other.trim().strip_prefix("update CertificateSigningRequest c approval if ").unwrap_or(other);
            asked.replace("may create certificatesigningrequests/", "")
        }
    }
}

#[test]
fn nodes_are_approved_and_nobody_else() {
    let node = request("system:node:w", "system:nodes", &[]);
    let serving = request("system:node:w", "system:nodes", &["w", "10.77.0.2"]);
    let foreign = request("system:node:w", "system:nodes", &["w", "10.77.0.3"]);
    let master = request("system:node:w", "system:masters", &[]);
    let person = request("jane", "developers", &[]);
    for (signer, user, group, usage, request, expected) in [
        (KUBELET_CLIENT, "system:bootstrap:abcdef", "system:bootstrappers", "client auth", &node, "system:bootstrap:abcdef nodeclient"),
        (KUBELET_CLIENT, "system:node:w", NODES, "client auth", &node, "system:node:w selfnodeclient or system:node:w nodeclient"),
        (KUBELET_CLIENT, "system:node:other", NODES, "client auth", &node, "system:node:other nodeclient"),
        (KUBELET_CLIENT, "jane", "developers", "client auth", &node, "jane nodeclient"),
        (KUBELET_CLIENT, "system:bootstrap:abcdef", "system:bootstrappers", "server auth", &node, "never"),
        (KUBELET_CLIENT, "system:bootstrap:abcdef", "system:bootstrappers", "client auth", &master, "never"),
        (KUBELET_CLIENT, "system:bootstrap:abcdef", "system:bootstrappers", "client auth", &serving, "never"),
        (KUBELET_SERVING, "system:node:w", NODES, "server auth", &serving, "at once"),
        (KUBELET_SERVING, "system:node:w", NODES, "server auth", &foreign, "never"),
        (KUBELET_SERVING, "system:node:other", NODES, "server auth", &serving, "never"),
        (KUBELET_SERVING, "system:bootstrap:abcdef", "system:bootstrappers", "server auth", &serving, "never"),
        (CLIENT, "jane", "developers", "client auth", &person, "never"),
    ] {
        assert_eq!(approved(&csr(signer, user, group, usage, request, "{}")), expected, "{signer} {user} {group} {usage}");
    }
    let denied = "{conditions: [{type: Denied, status: 'True'}]}";
    assert_eq!(approved(&csr(KUBELET_CLIENT, "system:node:w", NODES, "client auth", &node, denied)), "never");
}

fn signed(yaml: &str, expect: Expect) {
    let mut world = world(yaml);
    world.options.signer = Some(Arc::new(Stamp));
    expect.assert_eq(&text(&plan(&Signing, &world, "c"), &["status.certificate", "status.conditions.1.reason"]));
}

#[test]
fn what_is_approved_is_signed() {
    let approved = "{conditions: [{type: Approved, status: 'True', lastUpdateTime: '2026-01-01T11:30:00Z'}]}";
    let person = request("jane", "developers", &[]);
    signed(&csr(CLIENT, "jane", "d", "client auth", &person, "{}"), expect![[""]]);
    signed(&csr("example.com/own", "jane", "d", "client auth", &person, approved), expect![[""]]);
    let stamp = base64::engine::general_purpose::STANDARD.encode("client=true server=false None");
    signed(
        &csr(CLIENT, "jane", "d", "client auth", &person, approved),
        expect![[r#"
            update CertificateSigningRequest c status
              status.certificate: "Y2xpZW50PXRydWUgc2VydmVyPWZhbHNlIE5vbmU="
        "#]],
    );
    assert_eq!(stamp, "Y2xpZW50PXRydWUgc2VydmVyPWZhbHNlIE5vbmU=");
    signed(
        &csr(KUBELET_SERVING, "jane", "d", "server auth", &person, approved),
        expect![[r#"
            update CertificateSigningRequest c status
              status.conditions.1.reason: "SignerValidationFailure"
        "#]],
    );
}

#[test]
fn what_is_over_goes_away() {
    let person = request("jane", "developers", &[]);
    let after = |status: &str| text(&plan(&Cleaner, &world(&csr(CLIENT, "jane", "d", "client auth", &person, status)), "c"), &[]);
    assert_eq!(after("{}"), "again in 82800s\n");
    assert_eq!(after("{conditions: [{type: Denied, status: 'True', lastUpdateTime: '2026-01-01T11:30:00Z'}]}"), "again in 1800s\n");
    assert_eq!(after("{conditions: [{type: Approved, status: 'True', lastUpdateTime: '2026-01-01T10:59:00Z'}]}"), "delete CertificateSigningRequest c\n");
}
