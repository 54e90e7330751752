//! `admissionregistration.k8s.io/v1` ValidatingAdmissionPolicy: checks of requests, written in CEL.

use crate::k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use crate::kind::{Kind, Merge, Names, Scope, Subresource};
use crate::kinds::{merge, names};

/// ValidatingAdmissionPolicy of `admissionregistration.k8s.io/v1`.
pub struct ValidatingAdmissionPolicies;

impl Kind for ValidatingAdmissionPolicies {
    type Object = ValidatingAdmissionPolicy;

    const NAMES: Names = names("validatingadmissionpolicy", &[], &["api-extensions"]);
    const SCOPE: Scope = Scope::Cluster;
    const SUBRESOURCES: &[Subresource] = &[Subresource::Status];
    const MERGES: &[Merge] = MERGES;
    const ALLOW_UNCONDITIONAL_UPDATE: bool = false;
    const HAS_GENERATION: bool = true;

    fn copy_status(to: &mut Self::Object, from: &Self::Object) {
        to.status.clone_from(&from.status);
    }

    fn desired_differs(new: &Self::Object, old: &Self::Object) -> bool {
        new.spec != old.spec
    }
}

/// How lists and maps of these types are merged, from the OpenAPI document.
const MERGES: &[Merge] = &[
    merge("io.k8s.api.admissionregistration.v1.TypeChecking", "expressionWarnings", "", "", "atomic", &[]),
    merge("io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicySpec", "auditAnnotations", "", "", "atomic", &[]),
    merge("io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicySpec", "matchConditions", "merge", "name", "map", &["name"]),
    merge("io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicySpec", "validations", "", "", "atomic", &[]),
    merge("io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicySpec", "variables", "merge", "name", "map", &["name"]),
    merge("io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyStatus", "conditions", "", "", "map", &["type"]),
];
