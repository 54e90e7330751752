//! `scale`: `autoscaling/v1 Scale` in front of whatever has replicas.

use http::{Response, StatusCode};
use k8s_openapi::api::autoscaling::v1::{Scale, ScaleSpec, ScaleStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector as Selector, ObjectMeta};
use serde_json::Value;
use wharf_api::DynObject;
use wharf_api::field::{Error, Path};
use wharf_api::selector::LabelSelector;
use wharf_api::status::ApiError;
use wharf_api::types::Type;

use crate::Body;
use crate::ask::Ask;
use crate::http::{body, respond};
use crate::verbs::patch::Patch;
use crate::verbs::update::{Part, change};

/// Where in an object the parts of its scale are, such as `.spec.replicas`.
#[derive(Clone, Copy)]
pub(crate) struct Paths<'a> {
    pub(crate) spec_replicas: &'a str,
    pub(crate) status_replicas: &'a str,
    pub(crate) selector: &'a str,
}

pub(crate) async fn scale(ask: &Ask<'_>, verb: &str, paths: Paths<'_>, request: Body) -> Result<Response<Body>, ApiError> {
    let item = ask.shared.cache().get(&ask.key()).ok_or_else(|| ask.not_found())?;
    let failed = |e: serde_json::Error| ApiError::internal(e.to_string());
    let tree = |object: &dyn DynObject| object.to_value().map_err(failed);
    if verb == "get" {
        let object = tree(&*ask.served.decode_stored(&item.json())?)?;
        if ask.served.info().custom && get(&object, paths.spec_replicas).is_none() {
            return Err(ApiError::internal(format!("the spec replicas field \"{}\" does not exist", paths.spec_replicas)));
        }
        return respond_with(ask, &of(&object, paths));
    }
    let options = ask.write_options(if verb == "patch" { "PatchOptions" } else { "UpdateOptions" })?;
    let bytes = body::read(request).await?;
    let patch = match verb {
        "update" => None,
        "patch" => Some(Patch::read(ask, &bytes)?),
        _ => return Err(ApiError::method_not_allowed()),
    };
    let given: Option<Scale> = match &patch {
        None => Some(super::binding::read(&bytes, "Scale")?),
        Some(_) => None,
    };
    if let Some(name) = given.as_ref().and_then(|g| g.metadata.name.as_deref()).filter(|n| *n != ask.path.name) {
        return Err(ApiError::bad_request(format!("the name of the object ({name}) does not match the name on the URL ({})", ask.path.name)));
    }
    let kinds = ask.shared.catalog.now();
    let types = kinds.registry.types();
    let scale_type = types.named("io.k8s.api.autoscaling.v1.Scale").unwrap_or(&Type::Any);
    let changed = change(ask, &options, Part::Main, |_, old| {
        let mut object = tree(old)?;
        let wanted = match (&patch, &given) {
            (Some(patch), _) => {
                let current = serde_json::to_value(of(&object, paths)).map_err(failed)?;
                let mut after = patch.apply(types, scale_type, &current)?;
                if after["metadata"]["resourceVersion"] == current["metadata"]["resourceVersion"]
                    && let Some(meta) = after.get_mut("metadata").and_then(Value::as_object_mut)
                {
                    meta.remove("resourceVersion");
                }
                serde_json::from_value(after).map_err(|e| ApiError::bad_request(e.to_string()))?
            }
            (None, Some(given)) => given.clone(),
            (None, None) => Scale::default(),
        };
        let replicas = wanted.spec.as_ref().and_then(|s| s.replicas).unwrap_or(0);
        if replicas < 0 {
            let error = Error::invalid(&Path::new("spec.replicas"), i64::from(replicas), "must be greater than or equal to 0");
            return Err(ApiError::invalid("autoscaling", "Scale", &ask.path.name, vec![error]));
        }
        set(&mut object, paths.spec_replicas, Value::from(replicas));
        object["metadata"]["resourceVersion"] = wanted.metadata.resource_version.map_or(Value::Null, Value::from);
        if let Some(uid) = wanted.metadata.uid.filter(|u| !u.is_empty()) {
            object["metadata"]["uid"] = Value::from(uid);
        }
        ask.served.kind().from_value(object).map_err(failed)
    })
    .await?;
    let object: Value = serde_json::from_slice(&changed.json).map_err(failed)?;
    respond_with(ask, &of(&object, paths))
}

fn respond_with(ask: &Ask<'_>, scale: &Scale) -> Result<Response<Body>, ApiError> {
    let value = serde_json::to_value(scale).map_err(|e| ApiError::internal(e.to_string()))?;
    Ok(respond::value(StatusCode::OK, &value, ask.accepted.format))
}

/// The scale of an object.
fn of(object: &Value, paths: Paths<'_>) -> Scale {
    let meta: ObjectMeta = serde_json::from_value(object["metadata"].clone()).unwrap_or_default();
    let number = |path: &str| get(object, path).and_then(Value::as_i64).and_then(|n| i32::try_from(n).ok());
    Scale {
        metadata: ObjectMeta {
            name: meta.name,
            namespace: meta.namespace,
            uid: meta.uid,
            resource_version: meta.resource_version,
            creation_timestamp: meta.creation_timestamp,
            ..ObjectMeta::default()
        },
        spec: Some(ScaleSpec { replicas: number(paths.spec_replicas).filter(|n| *n != 0) }),
        status: Some(ScaleStatus { replicas: number(paths.status_replicas).unwrap_or(0), selector: get(object, paths.selector).and_then(selector_text) }),
    }
}

/// The text form of a selector: text already, a `LabelSelector`, or a plain map.
fn selector_text(value: &Value) -> Option<String> {
    if let Some(text) = value.as_str() {
        return Some(text.to_owned());
    }
    let typed = value.get("matchLabels").is_some() || value.get("matchExpressions").is_some();
    let selector: Selector = if typed {
        serde_json::from_value(value.clone()).ok()?
    } else {
        Selector { match_labels: serde_json::from_value(value.clone()).ok(), ..Selector::default() }
    };
    LabelSelector::from_object(Some(&selector)).ok().map(|s| s.to_string())
}

fn get<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    if path.is_empty() { None } else { object.pointer(&path.replace('.', "/")) }
}

fn set(object: &mut Value, path: &str, to: Value) {
    let mut at = object;
    for part in path.split('.').filter(|p| !p.is_empty()) {
        // What is no object is refused by the schema in better words.
        if !at.is_object() && !at.is_null() {
            return;
        }
        at = &mut at[part];
    }
    *at = to;
}
