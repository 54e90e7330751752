//! TaintNodesByCondition: a new node takes no Pods before the node controller has seen it ready.

use k8s_openapi::api::core::v1::{Node, Taint};
use wharf_api::DynObject;

use super::{Admission, Operation};

const NOT_READY: &str = "node.kubernetes.io/not-ready";

pub(super) fn mutate(admission: &Admission<'_>, object: &mut dyn DynObject) {
    if admission.operation != Operation::Create || !admission.is("", "nodes") {
        return;
    }
    let Some(node) = object.as_any_mut().downcast_mut::<Node>() else { return };
    let taints = node.spec.get_or_insert_default().taints.get_or_insert_default();
    if !taints.iter().any(|t| t.key == NOT_READY && t.effect == "NoSchedule") {
        taints.push(Taint { key: NOT_READY.into(), effect: "NoSchedule".into(), ..Taint::default() });
    }
}
