//! `admissionregistration.k8s.io/v1` MutatingAdmissionPolicy: changes to requests, written in CEL.

use crate::k8s_openapi::api::admissionregistration::v1::MutatingAdmissionPolicy;
use crate::kind::{Kind, Merge, Names, Scope};
use crate::kinds::{merge, names};

/// MutatingAdmissionPolicy of `admissionregistration.k8s.io/v1`.
pub struct MutatingAdmissionPolicies;

impl Kind for MutatingAdmissionPolicies {
    type Object = MutatingAdmissionPolicy;

    const NAMES: Names = names("mutatingadmissionpolicy", &[], &["api-extensions"]);
    const SCOPE: Scope = Scope::Cluster;
    const MERGES: &[Merge] = MERGES;
    const ALLOW_UNCONDITIONAL_UPDATE: bool = false;
    const HAS_GENERATION: bool = true;

    fn desired_differs(new: &Self::Object, old: &Self::Object) -> bool {
        new.spec != old.spec
    }
}

/// How lists and maps of these types are merged, from the OpenAPI document.
const MERGES: &[Merge] = &[
    merge("io.k8s.api.admissionregistration.v1.MatchResources", "", "", "", "atomic", &[]),
    merge("io.k8s.api.admissionregistration.v1.MatchResources", "excludeResourceRules", "", "", "atomic", &[]),
    merge("io.k8s.api.admissionregistration.v1.MatchResources", "resourceRules", "", "", "atomic", &[]),
    merge("io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicySpec", "matchConditions", "merge", "name", "map", &["name"]),
    merge("io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicySpec", "mutations", "", "", "atomic", &[]),
    merge("io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicySpec", "variables", "", "", "atomic", &[]),
    merge("io.k8s.api.admissionregistration.v1.NamedRuleWithOperations", "", "", "", "atomic", &[]),
    merge("io.k8s.api.admissionregistration.v1.NamedRuleWithOperations", "apiGroups", "", "", "atomic", &[]),
    merge("io.k8s.api.admissionregistration.v1.NamedRuleWithOperations", "apiVersions", "", "", "atomic", &[]),
    merge("io.k8s.api.admissionregistration.v1.NamedRuleWithOperations", "operations", "", "", "atomic", &[]),
    merge("io.k8s.api.admissionregistration.v1.NamedRuleWithOperations", "resourceNames", "", "", "atomic", &[]),
    merge("io.k8s.api.admissionregistration.v1.NamedRuleWithOperations", "resources", "", "", "atomic", &[]),
    merge("io.k8s.api.admissionregistration.v1.ParamKind", "", "", "", "atomic", &[]),
    merge("io.k8s.api.admissionregistration.v1.Variable", "", "", "", "atomic", &[]),
];
