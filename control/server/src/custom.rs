//! CustomResourceDefinitions at work: their names are settled, their kinds are served, and when one goes its objects go first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition as Definition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use wharf_api::DynObject;
use wharf_api::apply::{Writer, update_object};
use wharf_api::custom::status::{self, CLEANUP, Said};
use wharf_api::status::ApiError;
use wharf_store::{Expect, Item, Write, WriteError};

use crate::catalog::Custom;
use crate::server::Shared;
use crate::verbs::write;

const GROUP: &str = "apiextensions.k8s.io";
const PLURAL: &str = "customresourcedefinitions";
const DEFINITIONS: &str = "apiextensions.k8s.io/customresourcedefinitions";
/// How often the objects of a kind that goes are looked at, since they may have finalizers of others.
const LOOK: Duration = Duration::from_millis(250);
/// After a failure.
const AGAIN: Duration = Duration::from_secs(1);

/// Serves what there is before the first request comes.
pub(crate) fn begin(shared: &Shared) {
    serve(shared, &all(shared, BTreeMap::new()));
}

/// Follows the definitions for as long as the server runs.
pub(crate) async fn keep(shared: Arc<Shared>) {
    let cache = shared.cache();
    let mut known = BTreeMap::new();
    loop {
        let Ok(mut cursor) = cache.watch(DEFINITIONS, cache.revision()) else { continue };
        loop {
            known = all(&shared, known);
            let ending = match settle(&shared, known.clone()).await {
                Ok(ending) => ending.then_some(LOOK),
                Err(error) => {
                    tracing::warn!(%error, "customresourcedefinitions were not settled");
                    Some(AGAIN)
                }
            };
            let changed = match ending {
                Some(wait) => tokio::time::timeout(wait, cursor.next()).await.unwrap_or(Ok(Vec::new())),
                None => cursor.next().await,
            };
            if changed.is_err() {
                break;
            }
        }
    }
}

/// A definition and the item that it was read from.
#[derive(Clone)]
struct Found {
    item: Arc<Item>,
    definition: Arc<Definition>,
}

/// All definitions by name. They can be large: those that are known already are not read again.
fn all(shared: &Shared, mut known: BTreeMap<String, Found>) -> BTreeMap<String, Found> {
    let snapshot = shared.cache().snapshot(DEFINITIONS);
    let read = snapshot.range("", None).filter_map(|item| {
        let name = item.key().get(DEFINITIONS.len() + 1..)?.to_owned();
        if let Some(same) = known.remove(&name).filter(|f| f.item.revision() == item.revision()) {
            return Some((name, same));
        }
        let definition = Arc::new(serde_json::from_slice(&item.json()).ok()?);
        Some((name, Found { item: item.clone(), definition }))
    });
    read.collect()
}

/// Settles names, serves kinds, ends what ends. Returns whether something is still ending.
async fn settle(shared: &Shared, mut found: BTreeMap<String, Found>) -> Result<bool, ApiError> {
    let names: Vec<String> = found.keys().cloned().collect();
    let mut settled = Vec::new();
    for name in &names {
        let Some(one) = found.get(name) else { continue };
        let group = &one.definition.spec.group;
        let others = found.iter().filter(|(n, f)| *n != name && f.definition.spec.group == *group).map(|(_, f)| &*f.definition);
        let new = status::named(&one.definition, others, Timestamp::now());
        if new.status != one.definition.status {
            settled.push(name.clone());
            if let Some(one) = found.get_mut(name) {
                one.definition = Arc::new(new);
            }
        }
    }
    // Who reads that a kind is established can use it at once.
    serve(shared, &found);
    for name in &settled {
        if let Some(one) = found.get(name) {
            put(shared, one, &one.definition, "status").await?;
        }
    }
    let mut ending = false;
    for one in found.values().filter(|f| f.definition.metadata.deletion_timestamp.is_some()) {
        // What was just written is looked at again when its event comes.
        if settled.iter().any(|n| Some(n) == one.definition.metadata.name.as_ref()) {
            continue;
        }
        ending |= end(shared, one).await?;
    }
    Ok(ending)
}

fn serve(shared: &Shared, found: &BTreeMap<String, Found>) {
    let served = found.iter().filter(|(_, f)| status::holds(&f.definition, "Established") || status::holds(&f.definition, "NamesAccepted"));
    let custom: Vec<Custom<'_>> = served.map(|(name, f)| Custom { name, definition: &f.definition, revision: f.item.revision() }).collect();
    shared.catalog.set_custom(&custom, &shared.config.version);
}

/// Writes a definition back.
async fn put(shared: &Shared, found: &Found, new: &Definition, subresource: &str) -> Result<(), ApiError> {
    let Some(served) = shared.catalog.get(GROUP, "v1", PLURAL) else { return Ok(()) };
    let mut new = new.clone();
    let old = served.decode_stored(&found.item.json())?;
    let writer = Writer { manager: "kube-apiserver", api_version: "apiextensions.k8s.io/v1", subresource, now: Timestamp::now() };
    update_object(served.resource(), Some(&*old), &mut new, &writer)?;
    let over = crate::verbs::update::over(&new);
    let value = if over { None } else { Some(served.encode(&new)?) };
    let wanted = Write { key: found.item.key().clone(), expect: Expect::Revision(found.item.revision()), value };
    match write(shared, &served, wanted).await {
        // Whoever changed it in between wakes this again.
        Ok(_) | Err(WriteError::Conflict(_) | WriteError::NotFound) => Ok(()),
        Err(error) => Err(ApiError::internal(error)),
    }
}

/// What the beginning of a definition's deletion adds to it.
pub(crate) fn begin_deletion(object: &mut dyn DynObject) {
    let Some(definition) = object.as_any_mut().downcast_mut::<Definition>() else { return };
    if definition.metadata.deletion_timestamp.is_some() {
        return;
    }
    let finalizers = definition.metadata.finalizers.get_or_insert_default();
    if !finalizers.iter().any(|f| f == CLEANUP) {
        finalizers.push(CLEANUP.to_owned());
    }
    let message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
    status::set(definition, &Said { kind: "Terminating", holds: true, reason: "InstanceDeletionPending", message }, Timestamp::now());
}

/// Deletes the objects of a definition that goes, and lets go of it when there are none. Returns whether there still are.
async fn end(shared: &Shared, found: &Found) -> Result<bool, ApiError> {
    let definition = &*found.definition;
    if !definition.metadata.finalizers.iter().flatten().any(|f| f == CLEANUP) {
        return Ok(false);
    }
    for served in shared.catalog.now().all().iter().filter(|s| s.defined_by(definition)) {
        served.terminating.store(true, Ordering::Relaxed);
    }
    let mut new = definition.clone();
    let now = Timestamp::now();
    if status::holds(definition, "Established") {
        let left = empty(shared, definition).await?;
        if left > 0 {
            let message = "CustomResource deletion is in progress";
            status::set(&mut new, &Said { kind: "Terminating", holds: true, reason: "InstanceDeletionInProgress", message }, now);
            if new.status != definition.status {
                put(shared, found, &new, "status").await?;
            }
            return Ok(true);
        }
        status::set(&mut new, &Said { kind: "Terminating", holds: false, reason: "InstanceDeletionCompleted", message: "removed all instances" }, now);
    } else {
        status::set(&mut new, &Said { kind: "Terminating", holds: false, reason: "NeverEstablished", message: "resource was never established" }, now);
    }
    if let Some(finalizers) = &mut new.metadata.finalizers {
        finalizers.retain(|f| f != CLEANUP);
    }
    new.metadata.finalizers = new.metadata.finalizers.take().filter(|f| !f.is_empty());
    put(shared, found, &new, "status").await?;
    Ok(false)
}

/// Deletes every object of the definition's kind. Returns how many still wait for finalizers.
async fn empty(shared: &Shared, definition: &Definition) -> Result<usize, ApiError> {
    let kinds = shared.catalog.now();
    let Some(served) = kinds.all().iter().find(|s| s.defined_by(definition)) else { return Ok(0) };
    let snapshot = shared.cache().snapshot(&served.storage);
    for item in snapshot.range("", None) {
        let mut object = served.decode_stored(&item.json())?;
        let waits = object.meta().finalizers.as_ref().is_some_and(|f| !f.is_empty());
        let value = if waits {
            if object.meta().deletion_timestamp.is_some() {
                continue;
            }
            object.meta_mut().deletion_timestamp = Some(Time(wharf_api::meta::whole_second(Timestamp::now())));
            object.meta_mut().deletion_grace_period_seconds = Some(0);
            Some(served.encode(&*object)?)
        } else {
            None
        };
        match write(shared, served, Write { key: item.key().clone(), expect: Expect::Revision(item.revision()), value }).await {
            Ok(_) | Err(WriteError::Conflict(_) | WriteError::NotFound) => {}
            Err(error) => return Err(ApiError::internal(error)),
        }
    }
    Ok(shared.cache().snapshot(&served.storage).len())
}
