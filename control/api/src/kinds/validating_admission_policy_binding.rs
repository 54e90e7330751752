//! `admissionregistration.k8s.io/v1` ValidatingAdmissionPolicyBinding: where a ValidatingAdmissionPolicy holds.

use crate::k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding;
use crate::kind::{Kind, Merge, Names, Scope};
use crate::kinds::{merge, names};

/// ValidatingAdmissionPolicyBinding of `admissionregistration.k8s.io/v1`.
pub struct ValidatingAdmissionPolicyBindings;

impl Kind for ValidatingAdmissionPolicyBindings {
    type Object = ValidatingAdmissionPolicyBinding;

    const NAMES: Names = names("validatingadmissionpolicybinding", &[], &["api-extensions"]);
    const SCOPE: Scope = Scope::Cluster;
    const MERGES: &[Merge] = MERGES;
    const ALLOW_UNCONDITIONAL_UPDATE: bool = false;
    const HAS_GENERATION: bool = true;

    fn desired_differs(new: &Self::Object, old: &Self::Object) -> bool {
        new.spec != old.spec
    }
}

/// How lists and maps of these types are merged, from the OpenAPI document.
const MERGES: &[Merge] = &[merge("io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyBindingSpec", "validationActions", "", "", "set", &[])];
