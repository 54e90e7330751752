//! ResourceQuota: what is made must fit into what the namespace may use. What it takes is entered in the quota's status at
//! once, so that two that are made together do not both take the last of it; the controller corrects it afterwards.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, ResourceQuota, Service};
use wharf_api::DynObject;
use wharf_api::quota::{self, Amounts};
use wharf_api::status::ApiError;

use super::{Admission, Operation};
use crate::ask::{Ask, WriteOptions};
use crate::http::path::ResourcePath;
use crate::verbs::update::{Part, change};

const QUOTAS: &str = "resourcequotas";

pub(super) async fn validate(admission: &Admission<'_>, object: Option<&dyn DynObject>, old: Option<&dyn DynObject>) -> Result<(), ApiError> {
    let ask = &admission.ask;
    let Some(object) = object.filter(|_| admission.operation != Operation::Delete && ask.path.subresource.is_empty() && !ask.namespace().is_empty()) else {
        return Ok(());
    };
    let quotas = quotas(ask);
    if quotas.is_empty() {
        return Ok(());
    }
    let info = ask.served.info();
    let mut taken = used(object);
    match old {
        None => quota::add(&mut taken, &quota::of_object(&info.group, &info.plural)),
        // Of what is there already only growth is judged.
        Some(old) => {
            let before = used(old);
            taken.iter_mut().for_each(|(name, amount)| *amount -= before.get(name).copied().unwrap_or_default());
        }
    }
    taken.retain(|_, amount| *amount > 0);
    let pod = object.as_any().downcast_ref::<Pod>();
    for quota in quotas.iter().filter(|q| quota::is_about(q, pod)) {
        enter(admission, quota, pod.filter(|_| old.is_none()), &taken).await?;
    }
    Ok(())
}

fn quotas(ask: &Ask<'_>) -> Vec<ResourceQuota> {
    let all = ask.shared.cache().snapshot("core/resourcequotas");
    let prefix = format!("core/resourcequotas/{}/", ask.namespace());
    all.range(&prefix, None).filter_map(|i| serde_json::from_slice(&i.json()).ok()).collect()
}

/// What an object uses beyond its number.
fn used(object: &dyn DynObject) -> Amounts {
    let any = object.as_any();
    let pod = any.downcast_ref::<Pod>().map(quota::of_pod);
    let service = || any.downcast_ref::<Service>().map(quota::of_service);
    let claim = || any.downcast_ref::<PersistentVolumeClaim>().map(quota::of_claim);
    pod.or_else(service).or_else(claim).unwrap_or_default()
}

async fn enter(admission: &Admission<'_>, quota: &ResourceQuota, pod: Option<&Pod>, taken: &Amounts) -> Result<(), ApiError> {
    let name = quota.metadata.name.clone().unwrap_or_default();
    let bounded = quota::parse(quota.spec.as_ref().and_then(|s| s.hard.as_ref()));
    if let Some(unsaid) = pod.and_then(|pod| quota::unsaid(&bounded, pod)) {
        return Err(admission.forbidden(format!("failed quota: {name}: {unsaid}")));
    }
    let taken: Amounts = taken.iter().filter(|(name, _)| bounded.contains_key(*name)).map(|(name, amount)| (name.clone(), *amount)).collect();
    if taken.is_empty() {
        return Ok(());
    }
    let ask = &admission.ask;
    let served = ask.shared.catalog.get("", "v1", QUOTAS).ok_or_else(ApiError::no_such_resource)?;
    let path = ResourcePath { group: "", version: "v1", plural: QUOTAS, name: name.clone().into(), subresource: "status", ..ask.path.clone() };
    let status = Ask { served: &served, path: &path, ..*ask };
    let dry_run = ask.query.all("dryRun").iter().any(|v| !v.is_empty());
    let options = WriteOptions { dry_run, manager: "kube-apiserver".to_owned(), ..WriteOptions::default() };
    let _turn = ask.shared.quotas.lock().await;
    // The quota's own admission has nothing to do with quotas: this goes one level deep.
    let changed = Box::pin(change(&status, &options, Part::Status, |_, old| {
        let mut quota = old.as_any().downcast_ref::<ResourceQuota>().cloned().unwrap_or_default();
        take(&mut quota, &taken).map_err(|why| admission.forbidden(why))?;
        quota.metadata.resource_version = None;
        Ok(Box::new(quota) as Box<dyn DynObject>)
    }));
    match changed.await {
        // A quota that went away bounds nothing.
        Err(error) if error.code() == 404 => Ok(()),
        other => other.map(|_| ()),
    }
}

fn take(quota: &mut ResourceQuota, taken: &Amounts) -> Result<(), String> {
    let name = quota.metadata.name.clone().unwrap_or_default();
    let status = quota.status.get_or_insert_default();
    let (hard, used) = (quota::parse(status.hard.as_ref()), quota::parse(status.used.as_ref()));
    let unknown: Vec<&str> = taken.keys().filter(|n| !hard.contains_key(*n) || !used.contains_key(*n)).map(String::as_str).collect();
    if !unknown.is_empty() {
        return Err(format!("status unknown for quota: {name}, resources: {}", unknown.join(",")));
    }
    let exceeded: Vec<&String> = taken.iter().filter(|(n, amount)| used[*n] + **amount > hard[*n]).map(|(n, _)| n).collect();
    if !exceeded.is_empty() {
        let list = |amounts: &Amounts| exceeded.iter().map(|n| format!("{n}={}", quota::text(n, amounts[*n]).0)).collect::<Vec<_>>().join(",");
        return Err(format!("exceeded quota: {name}, requested: {}, used: {}, limited: {}", list(taken), list(&used), list(&hard)));
    }
    for (n, amount) in taken {
        status.used.get_or_insert_default().insert(n.clone(), quota::text(n, used[n] + amount));
    }
    Ok(())
}
