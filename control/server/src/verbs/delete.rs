//! `delete` and `deletecollection`: at once, or by a timestamp that finalizers, a node or the namespace controller wait behind.

use bytes::Bytes;
use futures::StreamExt;
use http::{Response, StatusCode};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{DeleteOptions, Time};
use serde_json::json;
use wharf_api::DynObject;
use wharf_api::field::{Error, Errors, Path};
use wharf_api::meta::whole_second;
use wharf_api::status::ApiError;
use wharf_store::{Expect, Item, Write, WriteError};

use super::{create, list, refused, view, write};
use crate::Body;
use crate::admission::{self, Admission, Operation};
use crate::ask::{Ask, dry_run};
use crate::catalog::Served;
use crate::http::path::ResourcePath;
use crate::http::respond;
use crate::selection::{Selection, split_key};

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";
const TRIES: usize = 8;
/// Deletes of a collection that run at the same time.
const AT_ONCE: usize = 64;

/// Resources whose deletion answers with the object and not with a `Status`.
const ANSWER_WITH_OBJECT: [&str; 7] = ["persistentvolumeclaims", "persistentvolumes", "pods", "podtemplates", "resourcequotas", "serviceaccounts", "services"];

pub(crate) async fn delete(ask: &Ask<'_>, body: &[u8]) -> Result<Response<Body>, ApiError> {
    let (options, dry) = options(ask, body)?;
    let (json, removed) = delete_one(ask, &options, dry).await?;
    let info = ask.served.info();
    if removed && !(info.group.is_empty() && ANSWER_WITH_OBJECT.contains(&&*info.plural)) {
        let uid = ask.served.kind().decode(&json).ok().and_then(|o| o.meta().uid.clone()).unwrap_or_default();
        let mut details = json!({"name": ask.path.name, "kind": info.plural, "uid": uid});
        if !info.group.is_empty() {
            details["group"] = info.group.clone().into();
        }
        let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details});
        return Ok(respond::value(StatusCode::OK, &status, ask.accepted.format));
    }
    view::json(ask, StatusCode::OK, json)
}

/// Deletes what selectors select, and answers with the list of it.
pub(crate) async fn delete_collection(ask: &Ask<'_>, body: &[u8]) -> Result<Response<Body>, ApiError> {
    let (options, dry) = options(ask, body)?;
    let selection = Selection::of(ask.query, ask.served, "")?;
    let page = list::page(ask, &selection).await?;
    let mut results = futures::stream::iter(page.items.iter().cloned().map(|item| {
        let options = &options;
        async move {
            let (namespace, name) = split_key(ask.served, &item);
            let path = ResourcePath { namespace: namespace.to_owned().into(), name: name.to_owned().into(), ..ask.path.clone() };
            let one = Ask { path: &path, ..*ask };
            match delete_one(&one, options, dry).await {
                Ok(_) => Ok(()),
                Err(error) if error.code() == 404 => Ok(()),
                Err(error) => Err(error),
            }
        }
    }))
    .buffer_unordered(AT_ONCE);
    while let Some(result) = results.next().await {
        result?;
    }
    drop(results);
    list::respond_whole(ask, &page)
}

/// Deletes, or begins to. Returns the object and whether it is gone.
pub(crate) async fn delete_one(ask: &Ask<'_>, options: &DeleteOptions, dry: bool) -> Result<(Bytes, bool), ApiError> {
    let (served, info) = (ask.served, ask.served.info());
    let name = &*ask.path.name;
    let key = ask.key();
    for attempt in 1.. {
        let item = ask.shared.cache().get(&key).ok_or_else(|| ask.not_found())?;
        let old = served.decode_stored(&item.json())?;
        preconditions(ask, options, &*old, &item)?;
        let admission = Admission { dry_run: dry, ..Admission::of(ask, Operation::Delete, name) };
        admission::validate(&admission, None, Some(&*old)).await?;
        let mut new = old.clone_box();
        crate::custom::begin_deletion(&mut *new);
        let step = plan(served, options, &*old, &mut *new);
        if dry {
            return Ok((create::dry(&*new, &item.revision().to_string())?, matches!(step, Step::Remove)));
        }
        let (value, removed) = match step {
            Step::Nothing => return Ok((served.present(&item)?, false)),
            Step::Mark => (Some(served.encode(&*new)?), false),
            Step::Remove => (None, true),
        };
        match write(ask.shared, served, Write { key: key.clone(), expect: Expect::Revision(item.revision()), value }).await {
            Ok(written) => return Ok((served.present(&written)?, removed)),
            Err(WriteError::Conflict(_)) if attempt < TRIES && !has_version(options) => {}
            Err(error) => return Err(refused(error, served, name)),
        }
    }
    Err(ApiError::modified(&info.group, &info.plural, name))
}

fn has_version(options: &DeleteOptions) -> bool {
    options.preconditions.as_ref().is_some_and(|p| p.resource_version.is_some())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// It is being deleted already, and nothing changes that.
    Nothing,
    /// It gets its timestamp (and finalizers), and stays.
    Mark,
    /// It goes.
    Remove,
}

/// What a deletion does now. `new` becomes what is written when it stays.
fn plan(served: &Served, options: &DeleteOptions, old: &dyn DynObject, new: &mut dyn DynObject) -> Step {
    let now = whole_second(Timestamp::now());
    // Of the new one: what a kind adds to its deletion is there already.
    let finalizers = finalizers(served, options, new);
    let changed = finalizers.as_slice() != old.meta().finalizers.as_deref().unwrap_or_default();
    new.meta_mut().finalizers = (!finalizers.is_empty()).then(|| finalizers.clone());
    let waits_inside = match new.as_any_mut().downcast_mut::<Namespace>() {
        Some(namespace) => {
            namespace.status.get_or_insert_default().phase = Some("Terminating".into());
            namespace.spec.as_ref().and_then(|s| s.finalizers.as_ref()).is_some_and(|f| !f.is_empty())
        }
        None => false,
    };
    let period = grace(options, old);
    let meta = new.meta_mut();
    if let Some(begun) = &old.meta().deletion_timestamp {
        let running = old.meta().deletion_grace_period_seconds.unwrap_or(0);
        // A deletion under way can be made shorter, never longer.
        let shorter = options.grace_period_seconds.is_some_and(|wanted| wanted < running);
        if shorter {
            let cut = SignedDuration::from_secs(running - period.max(0));
            meta.deletion_timestamp = Some(Time(begun.0.checked_sub(cut).unwrap_or(begun.0)));
            meta.deletion_grace_period_seconds = Some(period.max(0));
        }
        let left = if shorter { period } else { running };
        if left == 0 && finalizers.is_empty() && !waits_inside {
            return Step::Remove;
        }
        return if shorter || changed { Step::Mark } else { Step::Nothing };
    }
    if period == 0 && finalizers.is_empty() && !waits_inside {
        return Step::Remove;
    }
    meta.deletion_timestamp = Some(Time(now.checked_add(SignedDuration::from_secs(period)).unwrap_or(now)));
    meta.deletion_grace_period_seconds = if waits_inside && finalizers.is_empty() { None } else { Some(period) };
    if meta.generation.is_some_and(|g| g > 0) {
        meta.generation = meta.generation.map(|g| g + 1);
    }
    Step::Mark
}

/// Seconds that are left to the object; only Pods that run somewhere get any.
fn grace(options: &DeleteOptions, object: &dyn DynObject) -> i64 {
    let Some(pod) = object.as_any().downcast_ref::<Pod>() else { return 0 };
    let spec = pod.spec.as_ref();
    let scheduled = spec.and_then(|s| s.node_name.as_deref()).is_some_and(|n| !n.is_empty());
    let over = pod.status.as_ref().and_then(|s| s.phase.as_deref()).is_some_and(|p| matches!(p, "Succeeded" | "Failed"));
    if !scheduled || over {
        return 0;
    }
    let period = options.grace_period_seconds.or_else(|| spec.and_then(|s| s.termination_grace_period_seconds)).unwrap_or(30);
    if period < 0 { 1 } else { period }
}

/// The finalizers that the propagation policy leaves.
fn finalizers(served: &Served, options: &DeleteOptions, object: &dyn DynObject) -> Vec<String> {
    let mut finalizers = object.meta().finalizers.clone().unwrap_or_default();
    let policy = match (options.propagation_policy.as_deref(), options.orphan_dependents) {
        (Some(policy), _) => policy,
        (None, Some(true)) => "Orphan",
        (None, Some(false)) => "Background",
        (None, None) => return finalizers,
    };
    // Events are nobody's owner.
    if served.info().plural == "events" {
        return finalizers;
    }
    finalizers.retain(|f| f != ORPHAN && f != FOREGROUND);
    match policy {
        "Orphan" => finalizers.push(ORPHAN.into()),
        "Foreground" => finalizers.push(FOREGROUND.into()),
        _ => {}
    }
    finalizers
}

fn preconditions(ask: &Ask<'_>, options: &DeleteOptions, object: &dyn DynObject, item: &Item) -> Result<(), ApiError> {
    let Some(wanted) = &options.preconditions else { return Ok(()) };
    let info = ask.served.info();
    let conflict = |why: String| Err(ApiError::conflict(&info.group, &info.plural, &ask.path.name, why));
    let uid = object.meta().uid.as_deref().unwrap_or_default();
    if let Some(expected) = wanted.uid.as_deref().filter(|u| *u != uid) {
        return conflict(format!("Precondition failed: UID in precondition: {expected}, UID in object meta: {uid}"));
    }
    let revision = item.revision().to_string();
    if let Some(expected) = wanted.resource_version.as_deref().filter(|v| *v != revision) {
        return conflict(format!(
            "the ResourceVersion in the precondition ({expected}) does not match the ResourceVersion in record ({revision}). The object might have been modified"
        ));
    }
    Ok(())
}

/// `DeleteOptions` from the body, else from the query.
fn options(ask: &Ask<'_>, body: &[u8]) -> Result<(DeleteOptions, bool), ApiError> {
    let query = ask.query;
    let mut options = if body.is_empty() {
        let given = |key: &str| query.has(key).then(|| query.get(key).to_owned());
        DeleteOptions {
            grace_period_seconds: query.number("gracePeriodSeconds"),
            propagation_policy: given("propagationPolicy").filter(|p| !p.is_empty()),
            orphan_dependents: query.has("orphanDependents").then(|| query.flag("orphanDependents")),
            ..DeleteOptions::default()
        }
    } else {
        let (json, _) = wharf_api::decode::to_json(body, ask.content_type(), "DeleteOptions")?;
        serde_json::from_slice(&json)
            .map_err(|e| ApiError::bad_request(format!("DeleteOptions in version \"v1\" cannot be handled as a DeleteOptions: json: {e}")))?
    };
    if options.grace_period_seconds.is_some_and(|s| s < 0) {
        options.grace_period_seconds = Some(1);
    }
    let mut errors = Errors::new();
    let policy = options.propagation_policy.as_deref();
    if policy.is_some() && options.orphan_dependents.is_some() {
        errors.push(Error::invalid(&Path::new("propagationPolicy"), policy.unwrap_or_default(), "orphanDependents and deletionPropagation cannot be both set"));
    }
    if let Some(other) = policy.filter(|p| !matches!(*p, "Orphan" | "Foreground" | "Background" | "")) {
        errors.push(Error::not_supported(&Path::new("propagationPolicy"), other, &["Foreground", "Background", "Orphan", "nil"]));
    }
    let mut dry_runs = query.all("dryRun");
    dry_runs.extend(options.dry_run.iter().flatten().map(String::as_str));
    let dry = dry_run(&dry_runs, &mut errors);
    if !errors.is_empty() {
        return Err(ApiError::invalid("meta.k8s.io", "DeleteOptions", "", errors));
    }
    Ok((options, dry))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;

    fn pod(node: &str, deleting: Option<i64>) -> Pod {
        let mut pod: Pod =
            serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": {"containers": [], "nodeName": node, "terminationGracePeriodSeconds": 30}}))
                .unwrap();
        if let Some(grace) = deleting {
            pod.metadata.deletion_timestamp = Some(Time(Timestamp::now()));
            pod.metadata.deletion_grace_period_seconds = Some(grace);
        }
        pod
    }

    #[test]
    fn pods_go_when_their_node_says_so() {
        let catalog = Catalog::new("v1.37.0");
        let served = &catalog.get("", "v1", "pods").unwrap();
        let options = |grace| DeleteOptions { grace_period_seconds: grace, ..DeleteOptions::default() };
        let table = [
            (pod("", None), None, Step::Remove),
            (pod("n", None), None, Step::Mark),
            (pod("n", None), Some(0), Step::Remove),
            (pod("n", Some(30)), None, Step::Nothing),
            (pod("n", Some(30)), Some(5), Step::Mark),
            (pod("n", Some(30)), Some(60), Step::Nothing),
            (pod("n", Some(30)), Some(0), Step::Remove),
        ];
        for (old, grace, wanted) in table {
            let mut new = old.clone();
            assert_eq!(plan(served, &options(grace), &old, &mut new), wanted, "{old:?} {grace:?}");
        }
    }

    #[test]
    fn policies_are_finalizers() {
        let catalog = Catalog::new("v1.37.0");
        let served = &catalog.get("", "v1", "pods").unwrap();
        let mut old = pod("", None);
        old.metadata.finalizers = Some(vec!["x.io/y".into(), ORPHAN.into()]);
        let with = |policy: Option<&str>| {
            let options = DeleteOptions { propagation_policy: policy.map(Into::into), ..DeleteOptions::default() };
            finalizers(served, &options, &old).join(" ")
        };
        assert_eq!(with(None), "x.io/y orphan");
        assert_eq!(with(Some("Background")), "x.io/y");
        assert_eq!(with(Some("Foreground")), "x.io/y foregroundDeletion");
    }
}
