//! StorageObjectInUseProtection: a claim or volume stays until its controller has seen that nobody uses it.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use wharf_api::DynObject;

use super::{Admission, Operation};

const CLAIM: &str = "kubernetes.io/pvc-protection";
const VOLUME: &str = "kubernetes.io/pv-protection";

pub(super) fn mutate(admission: &Admission<'_>, object: &mut dyn DynObject) {
    if admission.operation != Operation::Create {
        return;
    }
    if admission.is("", "persistentvolumeclaims") {
        object.as_any_mut().downcast_mut::<PersistentVolumeClaim>().iter_mut().for_each(|claim| protect(&mut claim.metadata, CLAIM));
    } else if admission.is("", "persistentvolumes") {
        object.as_any_mut().downcast_mut::<PersistentVolume>().iter_mut().for_each(|volume| protect(&mut volume.metadata, VOLUME));
    }
}

fn protect(meta: &mut ObjectMeta, by: &str) {
    let finalizers = meta.finalizers.get_or_insert_default();
    if !finalizers.iter().any(|there| there == by) {
        finalizers.push(by.to_owned());
    }
}
