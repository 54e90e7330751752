//! DefaultIngressClass: an Ingress that names no class is of the default one.

use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use wharf_api::DynObject;
use wharf_api::status::ApiError;

use super::{Admission, Operation};

const DEFAULT: &str = "ingressclass.kubernetes.io/is-default-class";
const LEGACY: &str = "kubernetes.io/ingress.class";

pub(super) fn mutate(admission: &Admission<'_>, object: &mut dyn DynObject) -> Result<(), ApiError> {
    if admission.operation != Operation::Create || !admission.is("networking.k8s.io", "ingresses") {
        return Ok(());
    }
    let Some(ingress) = object.as_any_mut().downcast_mut::<Ingress>() else { return Ok(()) };
    let named = ingress.spec.as_ref().is_some_and(|s| s.ingress_class_name.is_some());
    if named || ingress.metadata.annotations.as_ref().is_some_and(|a| a.contains_key(LEGACY)) {
        return Ok(());
    }
    let all = admission.ask.shared.cache().snapshot("networking.k8s.io/ingressclasses");
    let classes = all.range("", None).filter_map(|i| serde_json::from_slice::<IngressClass>(&i.json()).ok());
    let mut defaults: Vec<IngressClass> =
        classes.filter(|c| c.metadata.annotations.as_ref().and_then(|a| a.get(DEFAULT)).is_some_and(|v| v == "true")).collect();
    // The newest, and of several of one second the first by name.
    defaults.sort_by(|a, b| b.metadata.creation_timestamp.cmp(&a.metadata.creation_timestamp).then(a.metadata.name.cmp(&b.metadata.name)));
    if let Some(class) = defaults.first() {
        ingress.spec.get_or_insert_default().ingress_class_name.clone_from(&class.metadata.name);
    }
    Ok(())
}
