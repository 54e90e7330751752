//! CertificateSigningRequests: who asks is who sent the request; approving and signing are two things, and each takes a right on the
//! signer. (The first is in Kubernetes part of the storage, the second the plugins CertificateApproval, CertificateSigning and
//! CertificateSubjectRestriction.)

use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestCondition};
use wharf_api::DynObject;
use wharf_api::status::ApiError;

use super::{Admission, Operation};
use crate::authz::Attributes;

const GROUP: &str = "certificates.k8s.io";

fn request(object: Option<&dyn DynObject>) -> Option<&CertificateSigningRequest> {
    object?.as_any().downcast_ref()
}

pub(super) fn mutate(admission: &Admission<'_>, object: &mut dyn DynObject, old: Option<&dyn DynObject>) {
    let Some(new) = object.as_any_mut().downcast_mut::<CertificateSigningRequest>() else { return };
    if admission.operation == Operation::Create {
        let identity = admission.ask.identity;
        new.spec.username = Some(identity.user.clone());
        new.spec.uid = Some(identity.uid.clone()).filter(|u| !u.is_empty());
        new.spec.groups = Some(identity.groups.clone()).filter(|g| !g.is_empty());
        new.spec.extra = Some(identity.extra.clone()).filter(|e| !e.is_empty());
        return;
    }
    let Some(old) = request(old) else { return };
    let before = old.status.clone().unwrap_or_default();
    let decision = |c: &CertificateSigningRequestCondition| matches!(c.type_.as_str(), "Approved" | "Denied");
    match admission.ask.path.subresource {
        "approval" => new.status.get_or_insert_default().certificate = before.certificate,
        "status" => {
            let status = new.status.get_or_insert_default();
            let mut conditions: Vec<_> = before.conditions.into_iter().flatten().filter(|c| decision(c)).collect();
            conditions.extend(status.conditions.take().into_iter().flatten().filter(|c| !decision(c)));
            status.conditions = Some(conditions).filter(|c| !c.is_empty());
        }
        _ => {}
    }
}

pub(super) fn validate(admission: &Admission<'_>, object: Option<&dyn DynObject>, old: Option<&dyn DynObject>) -> Result<(), ApiError> {
    let Some(new) = request(object) else { return Ok(()) };
    if admission.operation == Operation::Create {
        return subject(admission, new);
    }
    let Some(old) = request(old) else { return Ok(()) };
    let signer = &old.spec.signer_name;
    match admission.ask.path.subresource {
        "approval" if new.status != old.status => may(admission, "approve", signer),
        "status" if new.status != old.status => may(admission, "sign", signer),
        _ => Ok(()),
    }
}

/// A right on the signer, by its name or its domain's.
fn may(admission: &Admission<'_>, verb: &str, signer: &str) -> Result<(), ApiError> {
    let all = format!("{}/*", signer.split('/').next().unwrap_or_default());
    let allowed = [signer, &all].into_iter().any(|name| {
        let attributes = Attributes { verb, group: GROUP, plural: "signers", name, ..Attributes::default() };
        admission.ask.shared.authorizer.check(admission.ask.identity, &attributes).is_ok()
    });
    if allowed { Ok(()) } else { Err(admission.forbidden(format!("user not permitted to {verb} requests with signerName {signer:?}"))) }
}

/// Nobody asks for a certificate of those who may do everything.
fn subject(admission: &Admission<'_>, request: &CertificateSigningRequest) -> Result<(), ApiError> {
    if request.spec.signer_name != "kubernetes.io/kube-apiserver-client" {
        return Ok(());
    }
    let masters = pem(&request.spec.request.0).is_some_and(|der| {
        use x509_parser::prelude::FromDer;
        x509_parser::certification_request::X509CertificationRequest::from_der(&der)
            .is_ok_and(|(_, r)| r.certification_request_info.subject.iter_organization().any(|o| o.as_str().is_ok_and(|o| o == crate::MASTERS)))
    });
    let words = format!("use of {} signer with {} group is not allowed", request.spec.signer_name, crate::MASTERS);
    if masters { Err(admission.forbidden(words)) } else { Ok(()) }
}

/// What is in a PEM block.
fn pem(text: &[u8]) -> Option<Vec<u8>> {
    use base64::Engine as _;
    let text = std::str::from_utf8(text).ok()?;
    let inside = text.split("-----").nth(2)?;
    base64::engine::general_purpose::STANDARD.decode(inside.split_ascii_whitespace().collect::<String>()).ok()
}
