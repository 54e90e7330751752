//! Pods and their containers, by the words that verbs take for them: `web`, `deploy/web`, `svc/web`.

use serde_json::Value;

use crate::error::{Error, Result};
use crate::selection::{Selection, must_fetch};
use crate::session::{Session, with_query};

/// The Pods that a word means: one by its name, or those behind a workload, the ones that serve first.
pub async fn behind(session: &Session, word: &str) -> Result<(Value, Vec<Value>)> {
    let words = if word.contains('/') { vec![word.to_owned()] } else { vec!["pods".to_owned(), word.to_owned()] };
    let info = must_fetch(session, &Selection { words, ..Selection::default() }, false).await?.into_iter().next();
    let object = info.ok_or_else(|| Error::message("expected a resource"))?.object;
    let pods = of(session, &object).await?;
    Ok((object, pods))
}

/// The Pods behind an object.
pub async fn of(session: &Session, object: &Value) -> Result<Vec<Value>> {
    let kind = object["kind"].as_str().unwrap_or_default();
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
    let selector = match kind {
        "Pod" => return Ok(vec![object.clone()]),
        "Service" | "ReplicationController" => {
            let map = object["spec"]["selector"].as_object().filter(|map| !map.is_empty()).ok_or_else(|| {
                Error::message(format!("invalid service '{}': Service is defined without a selector", object["metadata"]["name"].as_str().unwrap_or_default()))
            })?;
            map.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect::<Vec<_>>().join(",")
        }
        "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" | "Job" => crate::labels::format_selector(&object["spec"]["selector"]),
        _ => return Err(Error::message(format!("cannot attach to {kind}: selector not found"))),
    };
    let path = with_query(&format!("/api/v1/namespaces/{namespace}/pods"), &[("labelSelector", &selector)]);
    let mut list = crate::selection::list(session, &path, "application/json", 500).await?;
    let mut pods = list.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default();
    pods.sort_by_key(rank);
    Ok(pods)
}

/// Those that serve come first: they run, are ready, have been so for longer, and are older.
fn rank(pod: &Value) -> (bool, u8, bool, String, String) {
    let phase = match pod["status"]["phase"].as_str() {
        Some("Unknown") => 1,
        Some("Pending") => 2,
        _ => 0,
    };
    let ready = pod["status"]["conditions"].as_array().into_iter().flatten().find(|c| c["type"] == "Ready" && c["status"] == "True");
    let since = ready.map_or_else(String::new, |c| c["lastTransitionTime"].as_str().unwrap_or_default().to_owned());
    let created = pod["metadata"]["creationTimestamp"].as_str().unwrap_or_default().to_owned();
    (pod["spec"]["nodeName"].is_null(), phase, ready.is_none(), since, created)
}

/// The containers of a Pod: those that run, those before them, those beside them.
pub fn containers(pod: &Value) -> Vec<(String, &'static str)> {
    let mut all = Vec::new();
    for (field, kind) in [("containers", ""), ("ephemeralContainers", " (ephem)"), ("initContainers", " (init)")] {
        all.extend(pod["spec"][field].as_array().into_iter().flatten().filter_map(|c| Some((c["name"].as_str()?.to_owned(), kind))));
    }
    all
}

/// The container that is meant: the named one, the one an annotation names, or the first.
pub fn container(pod: &Value, named: Option<&str>, quiet: bool) -> Result<String> {
    let all = containers(pod);
    let pod_name = pod["metadata"]["name"].as_str().unwrap_or_default();
    if let Some(name) = named.filter(|name| !name.is_empty()) {
        return match all.iter().find(|(n, _)| n == name) {
            Some(_) => Ok(name.to_owned()),
            None => Err(Error::message(format!("container {name} not found in pod {pod_name}"))),
        };
    }
    let annotated = pod["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"].as_str();
    if let Some(name) = annotated {
        if all.iter().any(|(n, _)| n == name) {
            return Ok(name.to_owned());
        }
        eprintln!("Default container name {name:?} not found in pod {pod_name}");
    }
    let (first, _) = all.first().ok_or_else(|| Error::message(format!("pod {pod_name} does not have any containers")))?;
    if all.len() > 1 && !quiet {
        let names: Vec<String> = all.iter().map(|(name, kind)| format!("{name}{kind}")).collect();
        eprintln!("Defaulted container {first:?} out of: {}", names.join(", "));
    }
    Ok(first.clone())
}

/// `namespace`, `name`
pub fn place(pod: &Value) -> (&str, &str) {
    (pod["metadata"]["namespace"].as_str().unwrap_or("default"), pod["metadata"]["name"].as_str().unwrap_or_default())
}
