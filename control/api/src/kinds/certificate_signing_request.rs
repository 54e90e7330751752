//! `certificates.k8s.io/v1` CertificateSigningRequest: a request for a certificate, and the certificate.

use serde_json::Value;

use crate::field::{Error, Errors, Path};
use crate::k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use crate::kind::{Kind, Merge, Names, Scope, Subresource};
use crate::kinds::columns::{age, age_cell, human_duration, name, name_cell, text as text_column};
use crate::kinds::normal::text;
use crate::kinds::{merge, names, other};
use crate::table::{Column, Columns};

/// CertificateSigningRequest of `certificates.k8s.io/v1`.
pub struct CertificateSigningRequests;

impl Kind for CertificateSigningRequests {
    type Object = CertificateSigningRequest;

    const NAMES: Names = names("certificatesigningrequest", &["csr"], &[]);
    const SCOPE: Scope = Scope::Cluster;
    const SUBRESOURCES: &[Subresource] = &[other("approval", "", "CertificateSigningRequest", &["get", "patch", "update"]), Subresource::Status];
    const MERGES: &[Merge] = MERGES;

    fn copy_status(to: &mut Self::Object, from: &Self::Object) {
        to.status.clone_from(&from.status);
    }

    fn selectable_fields(object: &Self::Object) -> Vec<(&'static str, String)> {
        vec![("spec.signerName", object.spec.signer_name.clone())]
    }

    fn validate(request: &CertificateSigningRequest) -> Errors {
        let (spec, at) = (&request.spec, Path::new("spec"));
        let mut errors = Errors::new();
        if !spec.request.0.starts_with(b"-----BEGIN CERTIFICATE REQUEST-----") {
            errors.push(Error::invalid(&at.child("request"), "", "PEM block type must be CERTIFICATE REQUEST"));
        }
        if spec.usages.as_ref().is_none_or(Vec::is_empty) {
            errors.push(Error::required(&at.child("usages"), "usages must be provided"));
        }
        if !spec.signer_name.contains('/') {
            let words = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
            errors.push(Error::invalid(&at.child("signerName"), &spec.signer_name, words));
        }
        if let Some(seconds) = spec.expiration_seconds.filter(|s| *s < 600) {
            errors.push(Error::invalid(&at.child("expirationSeconds"), seconds, "may not specify a duration less than 600 seconds (10 minutes)"));
        }
        errors
    }

    fn validate_update(new: &CertificateSigningRequest, old: &CertificateSigningRequest) -> Errors {
        let changed = new.spec != old.spec;
        let words = crate::kinds::checks::IMMUTABLE;
        changed.then(|| Error::invalid(&Path::new("spec"), crate::field::printed_json(&new.spec), words)).into_iter().collect()
    }

    fn columns() -> Columns<CertificateSigningRequest> {
        Columns {
            columns: vec![
                name(),
                age(),
                text_column(
                    "SignerName",
                    "signerName indicates the requested signer, and is a qualified name.\n\nList/watch requests for CertificateSigningRequests can filter on this field using a \"spec.signerName=NAME\" fieldSelector.\n\nWell-known Kubernetes signers are:\n 1. \"kubernetes.io/kube-apiserver-client\": issues client certificates that can be used to authenticate to kube-apiserver.\n  Requests for this signer are never auto-approved by kube-controller-manager, can be issued by the \"csrsigning\" controller in kube-controller-manager.\n 2. \"kubernetes.io/kube-apiserver-client-kubelet\": issues client certificates that kubelets use to authenticate to kube-apiserver.\n  Requests for this signer can be auto-approved by the \"csrapproving\" controller in kube-controller-manager, and can be issued by the \"csrsigning\" controller in kube-controller-manager.\n 3. \"kubernetes.io/kubelet-serving\" issues serving certificates that kubelets use to serve TLS endpoints, which kube-apiserver can connect to securely.\n  Requests for this signer are never auto-approved by kube-controller-manager, and can be issued by the \"csrsigning\" controller in kube-controller-manager.\n\nMore details are available at https://k8s.io/docs/reference/access-authn-authz/certificate-signing-requests/#kubernetes-signers\n\nCustom signerNames can also be specified. The signer defines:\n 1. Trust distribution: how trust (CA bundles) are distributed.\n 2. Permitted subjects: and behavior when a disallowed subject is requested.\n 3. Required, permitted, or forbidden x509 extensions in the request (including whether subjectAltNames are allowed, which types, restrictions on allowed values) and behavior when a disallowed extension is requested.\n 4. Required, permitted, or forbidden key usages / extended key usages.\n 5. Expiration/certificate lifetime: whether it is fixed by the signer, configurable by the admin.\n 6. Whether or not requests for CA certificates are allowed.",
                ),
                text_column(
                    "Requestor",
                    "username contains the name of the user that created the CertificateSigningRequest. Populated by the API server on creation and immutable.",
                ),
                Column::new(
                    "RequestedDuration",
                    "string",
                    "expirationSeconds is the requested duration of validity of the issued certificate. The certificate signer may issue a certificate with a different validity duration so a client must check the delta between the notBefore and and notAfter fields in the issued certificate to determine the actual duration.\n\nThe v1.22+ in-tree implementations of the well-known Kubernetes signers will honor this field as long as the requested duration is not greater than the maximum duration they will honor per the --cluster-signing-duration CLI flag to the Kubernetes controller manager.\n\nCertificate signers may not honor this field for various reasons:\n\n  1. Old signer that is unaware of the field (such as the in-tree\n     implementations prior to v1.22)\n  2. Signer whose configured maximum is shorter than the requested duration\n  3. Signer whose configured minimum is longer than the requested duration\n\nThe minimum valid value for expirationSeconds is 600, i.e. 10 minutes.",
                ),
                text_column("Condition", "conditions applied to the request. Known conditions are \"Approved\", \"Denied\", and \"Failed\"."),
            ],
            row: |request, now| {
                let duration = request.spec.expiration_seconds.map(|s| human_duration(s.into()));
                vec![
                    name_cell(&request.metadata),
                    age_cell(&request.metadata, now),
                    Value::from(request.spec.signer_name.clone()),
                    Value::from(text(&request.spec.username)),
                    Value::from(duration.unwrap_or_else(|| "<none>".to_owned())),
                    Value::from(condition(request)),
                ]
            },
        }
    }
}

fn condition(request: &CertificateSigningRequest) -> String {
    let Some(status) = &request.status else { return "Pending".to_owned() };
    let has = |kind: &str| status.conditions.iter().flatten().any(|c| c.type_ == kind);
    let mut words = Vec::new();
    words.push(match (has("Denied"), has("Approved")) {
        (true, _) => "Denied",
        (_, true) => "Approved",
        _ => "Pending",
    });
    if has("Failed") {
        words.push("Failed");
    }
    if status.certificate.as_ref().is_some_and(|c| !c.0.is_empty()) {
        words.push("Issued");
    }
    words.join(",")
}

/// How lists and maps of these types are merged, from the OpenAPI document.
const MERGES: &[Merge] = &[
    merge("io.k8s.api.certificates.v1.CertificateSigningRequestSpec", "groups", "", "", "atomic", &[]),
    merge("io.k8s.api.certificates.v1.CertificateSigningRequestSpec", "usages", "", "", "atomic", &[]),
    merge("io.k8s.api.certificates.v1.CertificateSigningRequestStatus", "conditions", "", "", "map", &["type"]),
];
