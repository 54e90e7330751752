//! `pods/eviction`: the deletion of a Pod that its PodDisruptionBudget has a say in, as `kubectl drain` asks for it.

use std::collections::BTreeMap;

use http::{Response, StatusCode};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use k8s_openapi::api::policy::v1::{Eviction, PodDisruptionBudget};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{DeleteOptions, Time};
use wharf_api::DynObject;
use wharf_api::kinds::pod_disruption_budget::set_disruption_allowed;
use wharf_api::meta::whole_second;
use wharf_api::selector::LabelSelector;
use wharf_api::status::{ApiError, Cause, Details};

use super::binding::{read, success};
use super::pod;
use crate::Body;
use crate::admission::{self, Admission, Operation};
use crate::ask::{Ask, WriteOptions, dry_run};
use crate::http::path::ResourcePath;
use crate::verbs::delete::delete_one;
use crate::verbs::update::{Part, change};

/// How often a Pod that no budget guards is tried again when it changes meanwhile.
const TRIES: usize = 8;
/// More evictions than this may not wait for the disruption controller.
const MOST_DISRUPTED: usize = 2000;
const GROUP: &str = "policy";
const BUDGETS: &str = "poddisruptionbudgets";

/// Evicts a Pod, or says which budget forbids it.
pub(crate) async fn evict(ask: &Ask<'_>, body: &[u8]) -> Result<Response<Body>, ApiError> {
    let eviction: Eviction = read(body, "Eviction")?;
    if eviction.metadata.name.as_deref().is_some_and(|n| n != ask.path.name) {
        return Err(ApiError::bad_request("name in URL does not match name in Eviction object"));
    }
    let options = eviction.delete_options.unwrap_or_default();
    let mut errors = Vec::new();
    let mut dry_runs = ask.query.all("dryRun");
    dry_runs.extend(options.dry_run.iter().flatten().map(String::as_str));
    let dry = dry_run(&dry_runs, &mut errors);
    if !errors.is_empty() {
        return Err(ApiError::invalid("policy", "Eviction", &ask.path.name, errors));
    }
    admission::validate(&Admission::of(ask, Operation::Delete, &ask.path.name), None, Some(&pod(ask)?)).await?;
    let versioned = options.preconditions.as_ref().is_some_and(|p| p.resource_version.is_some());
    for attempt in 1.. {
        let pod = pod(ask)?;
        if guarded(&pod) {
            return within_budget(ask, &pod, options, versioned, dry).await;
        }
        // One that is pending may get ready meanwhile, and be guarded then.
        let options = if versioned || over(&pod) { options.clone() } else { of_version(&options, &pod) };
        match delete_one(ask, &options, dry).await {
            Err(error) if error.code() == 409 && !versioned && attempt < TRIES => {}
            Err(error) => return Err(error),
            Ok(_) => return Ok(success(ask, StatusCode::CREATED)),
        }
    }
    Err(ApiError::modified("", "pods", &ask.path.name))
}

async fn within_budget(ask: &Ask<'_>, pod: &Pod, options: DeleteOptions, versioned: bool, dry: bool) -> Result<Response<Body>, ApiError> {
    let budget = match budgets(ask, pod).as_slice() {
        [] => None,
        [only] => Some(only.clone()),
        _ => return Err(ApiError::unknown("This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.")),
    };
    let mut options = options;
    // An unready Pod is no part of what the budget counts, as long as it stays unready.
    let uncounted = budget.as_ref().is_some_and(|budget| !is_ready(pod) && unready_may_go(budget));
    if uncounted && !versioned {
        options = of_version(&options, pod);
    }
    if let Some(budget) = budget.as_ref().filter(|_| !uncounted) {
        decrement(ask, budget, dry).await?;
    }
    match mark_and_delete(ask, options, dry).await {
        Err(error) if error.code() == 409 && uncounted && !versioned => {
            let name = budget.and_then(|b| b.metadata.name).unwrap_or_default();
            Err(in_process(&name))
        }
        Err(error) => Err(error),
        Ok(()) => Ok(success(ask, StatusCode::CREATED)),
    }
}

/// Whether the Pod is one that budgets are about.
fn guarded(pod: &Pod) -> bool {
    !over(pod) && pod.status.as_ref().and_then(|s| s.phase.as_deref()) != Some("Pending")
}

/// Whether the Pod has ended, or is ending.
fn over(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some() || matches!(pod.status.as_ref().and_then(|s| s.phase.as_deref()), Some("Succeeded" | "Failed"))
}

fn is_ready(pod: &Pod) -> bool {
    pod.status.iter().flat_map(|s| s.conditions.iter().flatten()).any(|c| c.type_ == "Ready" && c.status == "True")
}

/// Whether the budget lets Pods go that are not ready.
fn unready_may_go(budget: &PodDisruptionBudget) -> bool {
    let always = budget.spec.as_ref().and_then(|s| s.unhealthy_pod_eviction_policy.as_deref()) == Some("AlwaysAllow");
    let status = budget.status.clone().unwrap_or_default();
    let desired = status.desired_healthy.unwrap_or(0);
    always || desired > 0 && status.current_healthy.unwrap_or(0) >= desired
}

fn of_version(options: &DeleteOptions, pod: &Pod) -> DeleteOptions {
    let mut options = options.clone();
    options.preconditions.get_or_insert_default().resource_version.clone_from(&pod.metadata.resource_version);
    options
}

/// The budgets whose selectors match the Pod.
fn budgets(ask: &Ask<'_>, pod: &Pod) -> Vec<PodDisruptionBudget> {
    let resource = format!("{GROUP}/{BUDGETS}");
    let all = ask.shared.cache().snapshot(&resource);
    let prefix = format!("{resource}/{}/", ask.namespace());
    let matches = |budget: &PodDisruptionBudget| {
        let selector = budget.spec.as_ref().and_then(|s| s.selector.as_ref());
        LabelSelector::from_object(selector).is_ok_and(|s| s.matches(pod.metadata.labels.as_ref()))
    };
    let read = all.range(&prefix, None).filter_map(|i| serde_json::from_slice(&i.json()).ok());
    read.filter(matches).collect()
}

/// Takes one disruption from what the budget allows, and tells the disruption controller whose it is.
async fn decrement(ask: &Ask<'_>, budget: &PodDisruptionBudget, dry: bool) -> Result<(), ApiError> {
    let name = budget.metadata.name.clone().unwrap_or_default();
    let served = ask.shared.catalog.get(GROUP, "v1", BUDGETS).ok_or_else(ApiError::no_such_resource)?;
    let path = ResourcePath { group: GROUP, version: "v1", plural: BUDGETS, name: name.clone().into(), subresource: "status", ..ask.path.clone() };
    let status = Ask { served: &served, path: &path, ..*ask };
    let options = WriteOptions { dry_run: dry, manager: "kube-apiserver".to_owned(), ..WriteOptions::default() };
    let changed = change(&status, &options, Part::Status, |_, old| {
        let mut budget = old.as_any().downcast_ref::<PodDisruptionBudget>().cloned().unwrap_or_default();
        spend(&mut budget, &ask.path.name, Timestamp::now())?;
        budget.metadata.resource_version = None;
        Ok(Box::new(budget) as Box<dyn DynObject>)
    });
    match changed.await {
        Err(error) if error.code() == 409 => Err(ApiError::timeout(format!("couldn't update PodDisruptionBudget {name:?} due to conflicts"))),
        other => other.map(|_| ()),
    }
}

fn spend(budget: &mut PodDisruptionBudget, pod: &str, now: Timestamp) -> Result<(), ApiError> {
    let (name, generation) = (budget.metadata.name.clone().unwrap_or_default(), budget.metadata.generation);
    let status = budget.status.get_or_insert_default();
    let forbidden = |why: &str| Err(ApiError::forbidden("policy", "poddisruptionbudget", &name, why));
    if status.observed_generation.unwrap_or(0) < generation.unwrap_or(0) {
        return Err(in_process(&name));
    }
    let allowed = status.disruptions_allowed.unwrap_or(0);
    if allowed < 0 {
        return forbidden("pdb disruptions allowed is negative");
    }
    if status.disrupted_pods.as_ref().map_or(0, BTreeMap::len) > MOST_DISRUPTED {
        return forbidden("DisruptedPods map too big - too many evictions not confirmed by PDB controller");
    }
    if allowed == 0 {
        let (desired, current) = (status.desired_healthy.unwrap_or(0), status.current_healthy.unwrap_or(0));
        return Err(refused(format!("The disruption budget {name} needs {desired} healthy pods and has {current} currently"), 0));
    }
    status.disruptions_allowed = Some(allowed - 1);
    if allowed == 1 {
        set_disruption_allowed(status, now);
    }
    status.disrupted_pods.get_or_insert_default().insert(pod.to_owned(), Time(whole_second(now)));
    Ok(())
}

fn in_process(budget: &str) -> ApiError {
    refused(format!("The disruption budget {budget} is still being processed by the server."), 10)
}

fn refused(message: String, retry_after_seconds: i32) -> ApiError {
    let cause = Cause { reason: "DisruptionBudget".to_owned(), message, field: String::new() };
    let details = Details { causes: vec![cause], retry_after_seconds, ..Details::default() };
    ApiError::new(429, "TooManyRequests", "Cannot evict pod as it would violate the pod's disruption budget.", Some(details))
}

/// Says in the Pod's conditions why it goes, and deletes it.
async fn mark_and_delete(ask: &Ask<'_>, mut options: DeleteOptions, dry: bool) -> Result<(), ApiError> {
    if !dry {
        let wanted = options.preconditions.clone().unwrap_or_default();
        let write = WriteOptions { manager: "kube-apiserver".to_owned(), ..WriteOptions::default() };
        let marked = change(ask, &write, Part::Whole, |_, old| {
            let mut pod = old.as_any().downcast_ref::<Pod>().cloned().unwrap_or_default();
            mark(&mut pod, Timestamp::now());
            pod.metadata.resource_version = wanted.resource_version.clone();
            if wanted.uid.is_some() {
                pod.metadata.uid.clone_from(&wanted.uid);
            }
            Ok(Box::new(pod) as Box<dyn DynObject>)
        });
        let marked: Pod = serde_json::from_slice(&marked.await?.json).map_err(|e| ApiError::internal(e.to_string()))?;
        // The mark itself is no change that a precondition is about.
        if let Some(version) = options.preconditions.as_mut().and_then(|p| p.resource_version.as_mut()) {
            *version = marked.metadata.resource_version.unwrap_or_default();
        }
    }
    delete_one(ask, &options, dry).await.map(|_| ())
}

fn mark(pod: &mut Pod, now: Timestamp) {
    let conditions = pod.status.get_or_insert_default().conditions.get_or_insert_default();
    let same = conditions.iter().find(|c| c.type_ == "DisruptionTarget" && c.status == "True");
    let condition = PodCondition {
        type_: "DisruptionTarget".to_owned(),
        status: "True".to_owned(),
        reason: Some("EvictionByEvictionAPI".to_owned()),
        message: Some("Eviction API: evicting".to_owned()),
        last_transition_time: same.map_or_else(|| Some(Time(whole_second(now))), |c| c.last_transition_time.clone()),
        ..PodCondition::default()
    };
    conditions.retain(|c| c.type_ != "DisruptionTarget");
    conditions.push(condition);
}
