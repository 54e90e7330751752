//! `pods/binding`: the scheduler's word.

use http::{Response, StatusCode};
use k8s_openapi::api::core::v1::{Binding, Pod, PodCondition, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;
use wharf_api::DynObject;
use wharf_api::field::{Error, Path};
use wharf_api::meta::whole_second;
use wharf_api::status::ApiError;

use crate::Body;
use crate::ask::Ask;
use crate::http::respond;
use crate::verbs::update::{Part, change};

/// The Pod that a `Binding` of the legacy path names.
pub(crate) fn name_in(body: &[u8]) -> Result<String, ApiError> {
    let binding: Binding = read(body, "Binding")?;
    Ok(binding.metadata.name.unwrap_or_default())
}

/// Binds a Pod to a node, once.
pub(crate) async fn bind(ask: &Ask<'_>, body: &[u8]) -> Result<Response<Body>, ApiError> {
    let options = ask.write_options("CreateOptions")?;
    let binding: Binding = read(body, "Binding")?;
    let name = &*ask.path.name;
    if binding.metadata.name.as_deref().is_some_and(|n| !n.is_empty() && n != name) {
        return Err(ApiError::bad_request("name in URL does not match name in Binding object"));
    }
    let target = &binding.target;
    let mut errors = Vec::new();
    if !matches!(target.kind.as_deref().unwrap_or_default(), "" | "Node") {
        errors.push(Error::not_supported(&Path::new("target.kind"), target.kind.as_deref().unwrap_or_default(), &["Node", "<empty>"]));
    }
    let node = target.name.clone().unwrap_or_default();
    if node.is_empty() {
        errors.push(Error::required(&Path::new("target.name"), ""));
    }
    if !errors.is_empty() {
        return Err(ApiError::invalid("", "Binding", name, errors));
    }
    let uid = binding.metadata.uid.clone().filter(|u| !u.is_empty());
    change(ask, &options, Part::Whole, |_, old| {
        let mut pod = old.as_any().downcast_ref::<Pod>().cloned().unwrap_or_default();
        let conflict = |why: String| ApiError::conflict("", "pods/binding", name, why);
        if let Some(uid) = &uid
            && pod.metadata.uid.as_ref() != Some(uid)
        {
            let found = pod.metadata.uid.clone().unwrap_or_default();
            return Err(conflict(format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {found}")));
        }
        if pod.metadata.deletion_timestamp.is_some() {
            return Err(conflict(format!("pod {name} is being deleted, cannot be assigned to a host")));
        }
        let spec = pod.spec.get_or_insert_default();
        if let Some(bound) = spec.node_name.as_deref().filter(|n| !n.is_empty()) {
            return Err(conflict(format!("pod {name} is already assigned to node {bound:?}")));
        }
        if spec.scheduling_gates.as_ref().is_some_and(|g| !g.is_empty()) {
            return Err(conflict(format!("pod {name} has non-empty .spec.schedulingGates")));
        }
        spec.node_name = Some(node.clone());
        if let Some(annotations) = &binding.metadata.annotations {
            pod.metadata.annotations.get_or_insert_default().extend(annotations.clone());
        }
        scheduled(pod.status.get_or_insert_default());
        pod.metadata.resource_version = None;
        Ok(Box::new(pod) as Box<dyn DynObject>)
    })
    .await?;
    Ok(success(ask, StatusCode::CREATED))
}

fn scheduled(status: &mut PodStatus) {
    status.nominated_node_name = None;
    let now = Time(whole_second(jiff::Timestamp::now()));
    let conditions = status.conditions.get_or_insert_default();
    let condition = PodCondition { type_: "PodScheduled".into(), status: "True".into(), last_transition_time: Some(now), ..PodCondition::default() };
    match conditions.iter_mut().find(|c| c.type_ == "PodScheduled") {
        Some(there) if there.status == "True" => {}
        Some(there) => *there = condition,
        None => conditions.push(condition),
    }
}

/// The `Status` of what went well.
pub(crate) fn success(ask: &Ask<'_>, status: StatusCode) -> Response<Body> {
    let value = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": status.as_u16()});
    respond::value(status, &value, ask.accepted.format)
}

pub(crate) fn read<T: serde::de::DeserializeOwned>(body: &[u8], kind: &str) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|e| ApiError::bad_request(format!("{kind} in version \"v1\" cannot be handled as a {kind}: json: {e}")))
}
