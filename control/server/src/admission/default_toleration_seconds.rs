//! DefaultTolerationSeconds: a Pod stays five minutes on a node that is not ready or cannot be reached.

use k8s_openapi::api::core::v1::{Pod, Toleration};
use wharf_api::DynObject;

use super::{Admission, Operation};

const SECONDS: i64 = 300;
const TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

pub(super) fn mutate(admission: &Admission<'_>, object: &mut dyn DynObject) {
    // Also when one is replaced by a manifest that does not name them: they are still the same Pod's.
    if !matches!(admission.operation, Operation::Create | Operation::Update) || !admission.is("", "pods") {
        return;
    }
    let Some(spec) = object.as_any_mut().downcast_mut::<Pod>().and_then(|p| p.spec.as_mut()) else { return };
    let tolerations = spec.tolerations.get_or_insert_default();
    for taint in TAINTS {
        let covered = tolerations.iter().any(|t| {
            let key = t.key.as_deref().unwrap_or_default();
            let effect = t.effect.as_deref().unwrap_or_default();
            (key.is_empty() || key == taint) && (effect.is_empty() || effect == "NoExecute")
        });
        if !covered {
            tolerations.push(Toleration {
                key: Some(taint.into()),
                operator: Some("Exists".into()),
                effect: Some("NoExecute".into()),
                toleration_seconds: Some(SECONDS),
                ..Toleration::default()
            });
        }
    }
}
