//! Signing: what is approved gets its certificate, what its signer does not sign is said to have failed.

use std::sync::Arc;

use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;

use super::{Asked, CLIENT, KUBELET_CLIENT, KUBELET_SERVING, condition, is_issued, usages, with_condition};
use crate::action::Action;
use crate::controllers::Controller;
use crate::queue::Queue;
use crate::world::{Turn, World};

/// The controller `certificatesigningrequest-signing-controller`.
pub struct Signing;

impl Controller for Signing {
    fn name(&self) -> &'static str {
        "certificatesigningrequest-signing-controller"
    }

    fn account(&self) -> &'static str {
        "certificate-controller"
    }

    fn triggers(&self, world: &World, queue: &Arc<Queue>) {
        world.certificate_signing_requests.own_key(queue);
    }

    fn plan(&self, turn: &Turn<'_>) -> Vec<Action> {
        let Some(signer) = &turn.world.options.signer else { return Vec::new() };
        let Some(request) = turn.world.certificate_signing_requests.get("", &turn.key.name) else { return Vec::new() };
        let over = is_issued(&request) || condition(&request, "Denied").is_some() || condition(&request, "Failed").is_some();
        if over || condition(&request, "Approved").is_none() || request.metadata.deletion_timestamp.is_some() {
            return Vec::new();
        }
        let Some((client, server)) = signs(&request) else { return Vec::new() };
        let pem = String::from_utf8_lossy(&request.spec.request.0);
        let signed = match allowed(&request) {
            Ok(()) => signer.sign(&pem, client, server, request.spec.expiration_seconds),
            Err(words) => Err(words),
        };
        let new = match signed {
            Ok(certificate) => {
                let mut new = (*request).clone();
                new.status.get_or_insert_default().certificate = Some(ByteString(certificate.into_bytes()));
                new
            }
            Err(words) => with_condition(&request, "Failed", "SignerValidationFailure", words, turn.now),
        };
        vec![Action::set_status(&new)]
    }
}

/// Whether the signer is one of this controller's: for client use, for server use.
fn signs(request: &CertificateSigningRequest) -> Option<(bool, bool)> {
    match request.spec.signer_name.as_str() {
        CLIENT | KUBELET_CLIENT => Some((true, false)),
        KUBELET_SERVING => Some((false, true)),
        _ => None,
    }
}

/// Whether the signer signs such a request.
fn allowed(request: &CertificateSigningRequest) -> Result<(), String> {
    let asked = Asked::of(request).ok_or("unable to parse csr: no subject with a common name")?;
    let usages = usages(request);
    let good = match request.spec.signer_name.as_str() {
        KUBELET_CLIENT => asked.kubelet_client(usages),
        KUBELET_SERVING => asked.kubelet_serving(usages),
        _ => super::uses(usages, "client auth"),
    };
    if good { Ok(()) } else { Err(format!("the request does not keep to the rules of the signer {}", request.spec.signer_name)) }
}
