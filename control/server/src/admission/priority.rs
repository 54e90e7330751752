//! Priority: the number behind a Pod's PriorityClass.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::scheduling::v1::PriorityClass;
use wharf_api::DynObject;
use wharf_api::status::ApiError;

use super::{Admission, Operation};

pub(super) fn mutate(admission: &Admission<'_>, object: &mut dyn DynObject, old: Option<&dyn DynObject>) -> Result<(), ApiError> {
    if !admission.is("", "pods") {
        return Ok(());
    }
    let Some(spec) = object.as_any_mut().downcast_mut::<Pod>().and_then(|p| p.spec.as_mut()) else { return Ok(()) };
    if admission.operation == Operation::Update {
        // An update that leaves them out keeps them.
        if let Some(before) = old.and_then(|o| o.as_any().downcast_ref::<Pod>()).and_then(|p| p.spec.as_ref()) {
            spec.priority = spec.priority.or(before.priority);
            if spec.preemption_policy.is_none() {
                spec.preemption_policy.clone_from(&before.preemption_policy);
            }
        }
        return Ok(());
    }
    let cache = admission.ask.shared.cache();
    let name = spec.priority_class_name.clone().unwrap_or_default();
    let class = if name.is_empty() {
        let all = cache.snapshot("scheduling.k8s.io/priorityclasses");
        let classes = all.range("", None).filter_map(|i| serde_json::from_slice::<PriorityClass>(&i.json()).ok());
        classes.filter(|c| c.global_default == Some(true)).min_by_key(|c| c.value)
    } else {
        let item = cache.get(&wharf_store::key("scheduling.k8s.io", "priorityclasses", "", &name));
        let class = item.and_then(|i| serde_json::from_slice::<PriorityClass>(&i.json()).ok());
        Some(class.ok_or_else(|| admission.forbidden(format!("no PriorityClass with name {name} was found")))?)
    };
    let priority = class.as_ref().and_then(|c| c.value).unwrap_or(0);
    if let Some(given) = spec.priority.filter(|p| *p != priority) {
        return Err(admission.forbidden(format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller computed {priority} from the given PriorityClass name"
        )));
    }
    let policy = class.as_ref().and_then(|c| c.preemption_policy.clone()).unwrap_or_else(|| "PreemptLowerPriority".into());
    if let Some(given) = spec.preemption_policy.as_ref().filter(|p| **p != policy) {
        return Err(admission.forbidden(format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission controller computed {policy} from the given PriorityClass name"
        )));
    }
    if name.is_empty()
        && let Some(class) = &class
    {
        spec.priority_class_name.clone_from(&class.metadata.name);
    }
    spec.priority = Some(priority);
    spec.preemption_policy = Some(policy);
    Ok(())
}
