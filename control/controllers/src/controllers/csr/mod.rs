//! CertificateSigningRequests: approving those of nodes, signing what is approved, and clearing away what is over.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#kubernetes-signers>

mod approving;
mod cleaner;
mod signing;

use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;

pub use approving::Approving;
pub use cleaner::Cleaner;
pub use signing::Signing;

/// Client certificates of anybody; never approved by itself.
const CLIENT: &str = "kubernetes.io/kube-apiserver-client";
/// Client certificates of nodes.
const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
/// Serving certificates of nodes.
const KUBELET_SERVING: &str = "kubernetes.io/kubelet-serving";
/// The group of nodes.
const NODES: &str = "system:nodes";
/// What a node's user name begins with.
const NODE: &str = "system:node:";

/// What a request asks for.
#[derive(Debug, Default)]
struct Asked {
    common_name: String,
    organizations: Vec<String>,
    dns_names: Vec<String>,
    addresses: Vec<String>,
    /// Mail addresses, URIs and the like.
    others: usize,
}

impl Asked {
    fn of(request: &CertificateSigningRequest) -> Option<Asked> {
        let (_, pem) = x509_parser::pem::parse_x509_pem(&request.spec.request.0).ok()?;
        let (_, parsed) = X509CertificationRequest::from_der(&pem.contents).ok()?;
        let subject = &parsed.certification_request_info.subject;
        let mut asked = Asked {
            common_name: subject.iter_common_name().next()?.as_str().ok()?.to_owned(),
            organizations: subject.iter_organization().filter_map(|o| o.as_str().ok()).map(str::to_owned).collect(),
            ..Asked::default()
        };
        for extension in parsed.requested_extensions().into_iter().flatten() {
            let ParsedExtension::SubjectAlternativeName(names) = extension else { continue };
            for name in &names.general_names {
                match name {
                    GeneralName::DNSName(name) => asked.dns_names.push((*name).to_owned()),
                    GeneralName::IPAddress(bytes) => match (<[u8; 4]>::try_from(*bytes), <[u8; 16]>::try_from(*bytes)) {
                        (Ok(v4), _) => asked.addresses.push(std::net::Ipv4Addr::from(v4).to_string()),
                        (_, Ok(v6)) => asked.addresses.push(std::net::Ipv6Addr::from(v6).to_string()),
                        _ => asked.others += 1,
                    },
                    _ => asked.others += 1,
                }
            }
        }
        Some(asked)
    }

    /// The subject is a node, with nothing that its signer does not allow. The name of the node.
    fn node(&self) -> Option<&str> {
        let only_node = self.organizations == [NODES] && self.others == 0;
        self.common_name.strip_prefix(NODE).filter(|name| only_node && !name.is_empty())
    }

    /// A node's client certificate.
    fn kubelet_client(&self, usages: &[String]) -> bool {
        self.node().is_some() && self.dns_names.is_empty() && self.addresses.is_empty() && uses(usages, "client auth")
    }

    /// A node's serving certificate.
    fn kubelet_serving(&self, usages: &[String]) -> bool {
        self.node().is_some() && !(self.dns_names.is_empty() && self.addresses.is_empty()) && uses(usages, "server auth")
    }
}

/// Just this use, and what goes with it.
fn uses(usages: &[String], needed: &str) -> bool {
    usages.iter().any(|u| u == needed) && usages.iter().all(|u| u == needed || matches!(u.as_str(), "digital signature" | "key encipherment"))
}

fn usages(request: &CertificateSigningRequest) -> &[String] {
    request.spec.usages.as_deref().unwrap_or_default()
}

fn condition<'r>(request: &'r CertificateSigningRequest, kind: &str) -> Option<&'r CertificateSigningRequestCondition> {
    request.status.as_ref()?.conditions.as_ref()?.iter().find(|c| c.type_ == kind)
}

fn is_issued(request: &CertificateSigningRequest) -> bool {
    request.status.as_ref().and_then(|s| s.certificate.as_ref()).is_some_and(|c| !c.0.is_empty())
}

/// The request with one more condition.
fn with_condition(request: &CertificateSigningRequest, kind: &str, reason: &str, message: String, now: Timestamp) -> CertificateSigningRequest {
    let mut new = request.clone();
    let conditions = new.status.get_or_insert_default().conditions.get_or_insert_default();
    conditions.push(CertificateSigningRequestCondition {
        type_: kind.to_owned(),
        status: "True".to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_update_time: Some(Time(now)),
        last_transition_time: Some(Time(now)),
    });
    new
}

#[cfg(test)]
mod tests;
