//! Plugins of the world `admission`: asked as webhooks are, the mutating question behind all that the server fills in, the validating one
//! before a quota is used.
//!
//! Objects of `plugins.wharf.dev` itself are never asked about: a plugin that refuses everything can be changed and removed.

mod matching;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use serde_json::{Value, json};
use wharf_api::DynObject;
use wharf_api::decode::{FieldValidation, decode_value};
use wharf_api::kinds::plugin::{ADMISSION, GROUP, Plugin};
use wharf_api::patch;
use wharf_api::status::ApiError;
use wharf_store::WatchCache;

use super::{Admission, Operation};
use crate::plugins::{PluginPhase, PluginReview, PluginVerdict};
use matching::Matcher;

/// The plugins, as they are kept.
const RESOURCE: &str = "plugins.wharf.dev/plugins";

/// The admission plugins that there are now, in their order.
pub(crate) struct Plugins {
    cache: WatchCache,
    ordered: ArcSwap<Vec<Arc<Asked>>>,
    /// How often a plugin has changed, and how much of that `ordered` has seen.
    changes: AtomicU64,
    seen: AtomicU64,
    rebuilding: parking_lot::Mutex<()>,
}

/// A plugin that may be asked.
pub(crate) struct Asked {
    name: String,
    order: i32,
    ignores_failures: bool,
    matcher: Matcher,
}

impl Plugins {
    pub(crate) fn new(cache: WatchCache) -> Plugins {
        Plugins { cache, ordered: ArcSwap::default(), changes: AtomicU64::new(1), seen: AtomicU64::new(0), rebuilding: parking_lot::Mutex::new(()) }
    }

    /// To be called behind every write of a plugin, before it is acknowledged.
    pub(crate) fn changed(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    /// Follows the cache for writes that other servers made on the same store.
    pub(crate) async fn follow(&self) {
        loop {
            let Ok(mut cursor) = self.cache.watch(RESOURCE, self.cache.revision()) else { continue };
            while cursor.next().await.is_ok() {
                self.changed();
            }
            self.changed();
        }
    }

    fn now(&self) -> arc_swap::Guard<Arc<Vec<Arc<Asked>>>> {
        if self.seen.load(Ordering::Acquire) < self.changes.load(Ordering::Acquire) {
            let _one = self.rebuilding.lock();
            // Read first: what changes meanwhile is for the next time.
            let changes = self.changes.load(Ordering::Acquire);
            if self.seen.load(Ordering::Acquire) < changes {
                self.rebuild();
                self.seen.store(changes, Ordering::Release);
            }
        }
        self.ordered.load()
    }

    fn rebuild(&self) {
        let snapshot = self.cache.snapshot(RESOURCE);
        let prefix = format!("{RESOURCE}/");
        let read = snapshot.range(&prefix, None).filter_map(|item| serde_json::from_slice::<Plugin>(&item.json()).ok());
        let mut all: Vec<Arc<Asked>> = read.filter(|plugin| plugin.spec.world == ADMISSION).map(|plugin| Arc::new(Asked::new(&plugin))).collect();
        all.sort_by(|a, b| (a.order, &a.name).cmp(&(b.order, &b.name)));
        self.ordered.store(Arc::new(all));
    }
}

impl Asked {
    fn new(plugin: &Plugin) -> Asked {
        Asked {
            name: plugin.metadata.name.clone().unwrap_or_default(),
            order: plugin.spec.order.unwrap_or_default(),
            ignores_failures: plugin.spec.failure_policy.as_deref() == Some("Ignore"),
            matcher: Matcher::new(plugin.spec.r#match.as_ref()),
        }
    }
}

/// The plugins that are to be asked about a request.
fn asked(admission: &Admission<'_>, object: Option<&dyn DynObject>, old: Option<&dyn DynObject>) -> Vec<Arc<Asked>> {
    let now = admission.ask.shared.plugins.now();
    if now.is_empty() || admission.ask.served.info().group == GROUP {
        return Vec::new();
    }
    now.iter().filter(|plugin| plugin.matcher.matches(admission, object, old)).cloned().collect()
}

/// Asks what to change.
pub(crate) async fn mutate(admission: &Admission<'_>, object: &mut Box<dyn DynObject>, old: Option<&dyn DynObject>) -> Result<(), ApiError> {
    let plugins = asked(admission, Some(&**object), old);
    if plugins.is_empty() {
        return Ok(());
    }
    let old_text = old.map(text).transpose()?;
    for plugin in plugins {
        let review = review(admission, Some(text(&**object)?), old_text.clone());
        let verdict = match admission.ask.shared.config.plugins.review(&plugin.name, PluginPhase::Mutate, review).await {
            Ok(verdict) => verdict,
            Err(error) => {
                plugin.failed(&error.0)?;
                continue;
            }
        };
        plugin.settle(admission, &verdict)?;
        let Some(wanted) = &verdict.patch else { continue };
        match patched(admission, &**object, wanted) {
            Ok(new) => *object = new,
            Err(error) => plugin.failed(&format!("its patch cannot be used: {error}"))?,
        }
    }
    Ok(())
}

/// Asks whether it may be so. `object` is absent for deletes, `old` for creates.
pub(crate) async fn validate(admission: &Admission<'_>, object: Option<&dyn DynObject>, old: Option<&dyn DynObject>) -> Result<(), ApiError> {
    let plugins = asked(admission, object, old);
    if plugins.is_empty() {
        return Ok(());
    }
    let review = review(admission, object.map(text).transpose()?, old.map(text).transpose()?);
    for plugin in plugins {
        match admission.ask.shared.config.plugins.review(&plugin.name, PluginPhase::Validate, review.clone()).await {
            Ok(verdict) => plugin.settle(admission, &verdict)?,
            Err(error) => plugin.failed(&error.0)?,
        }
    }
    Ok(())
}

impl Asked {
    /// A call without an answer: an error, or nothing, as the failure policy says.
    fn failed(&self, why: &str) -> Result<(), ApiError> {
        if self.ignores_failures {
            tracing::warn!(plugin = self.name, "failed calling plugin, failing open: {why}");
            return Ok(());
        }
        Err(ApiError::internal(format!("failed calling plugin {:?}: {why}", self.name)))
    }

    /// Passes the plugin's warnings on, and its refusal.
    fn settle(&self, admission: &Admission<'_>, verdict: &PluginVerdict) -> Result<(), ApiError> {
        admission.ask.warnings.lock().extend_from_slice(&verdict.warnings);
        if verdict.allowed { Ok(()) } else { Err(refusal(&self.name, verdict)) }
    }
}

/// A refusal in the words and with the codes of a webhook's.
fn refusal(plugin: &str, verdict: &PluginVerdict) -> ApiError {
    const REASONS: [&str; 15] = [
        "AlreadyExists",
        "BadRequest",
        "Conflict",
        "Expired",
        "Forbidden",
        "Gone",
        "InternalError",
        "Invalid",
        "MethodNotAllowed",
        "NotAcceptable",
        "NotFound",
        "ServiceUnavailable",
        "Timeout",
        "TooManyRequests",
        "Unauthorized",
    ];
    let denied = format!("admission plugin {plugin:?} denied the request");
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let message = match given(&verdict.message).or_else(|| given(&verdict.reason)) {
        Some(why) => format!("{denied}: {why}"),
        None => format!("{denied} without explanation"),
    };
    let reason = verdict.reason.as_deref().and_then(|given| REASONS.into_iter().find(|reason| *reason == given));
    ApiError::new(verdict.code.filter(|code| *code >= 400).unwrap_or(400), reason.unwrap_or_default(), message, None)
}

fn text(object: &dyn DynObject) -> Result<String, ApiError> {
    let mut json = Vec::with_capacity(1024);
    object.encode(&mut json).map_err(|e| ApiError::internal(e.to_string()))?;
    String::from_utf8(json).map_err(|e| ApiError::internal(e.to_string()))
}

fn review(admission: &Admission<'_>, object: Option<String>, old_object: Option<String>) -> PluginReview {
    let (ask, info) = (&admission.ask, admission.ask.served.info());
    let strings = |a: &str, b: &str, c: &str| [a.to_owned(), b.to_owned(), c.to_owned()];
    PluginReview {
        uid: uuid::Uuid::new_v4().to_string(),
        kind: strings(&info.group, &info.version, &info.kind),
        resource: strings(&info.group, &info.version, &info.plural),
        subresource: ask.path.subresource.to_owned(),
        name: admission.name.clone().into_owned(),
        namespace: ask.namespace().to_owned(),
        operation: operation(admission.operation),
        user: (**ask.identity).clone(),
        object,
        old_object,
        options: options(admission).to_string(),
        dry_run: admission.dry_run,
    }
}

fn operation(operation: Operation) -> &'static str {
    match operation {
        Operation::Create => "CREATE",
        Operation::Update => "UPDATE",
        Operation::Delete => "DELETE",
    }
}

/// `CreateOptions` and the like, from the query.
fn options(admission: &Admission<'_>) -> Value {
    let query = admission.ask.query;
    let kind = match (admission.operation, &admission.ask.parts.method) {
        (Operation::Delete, _) => "DeleteOptions",
        (Operation::Create, _) => "CreateOptions",
        (Operation::Update, method) if method == http::Method::PATCH => "PatchOptions",
        (Operation::Update, _) => "UpdateOptions",
    };
    let mut options = json!({"kind": kind, "apiVersion": "meta.k8s.io/v1"});
    for field in ["fieldManager", "fieldValidation", "propagationPolicy"] {
        if query.has(field) {
            options[field] = query.get(field).into();
        }
    }
    if admission.dry_run {
        options["dryRun"] = json!(["All"]);
    }
    options
}

/// The object as a plugin's patch makes it. What it is and what it is called stays.
fn patched(admission: &Admission<'_>, object: &dyn DynObject, wanted: &str) -> Result<Box<dyn DynObject>, String> {
    let before = object.to_value().map_err(|e| e.to_string())?;
    let operations = patch::parse(wanted.as_bytes()).map_err(|e| e.message().to_owned())?;
    let after = patch::json_patch(&before, &operations).map_err(|e| e.message().to_owned())?;
    for field in ["/apiVersion", "/kind", "/metadata/name", "/metadata/namespace", "/metadata/uid", "/metadata/resourceVersion"] {
        if before.pointer(field) != after.pointer(field) {
            return Err(format!("it changes {}", field[1..].replace('/', ".")));
        }
    }
    let decoded = decode_value(admission.ask.served.resource(), &after, FieldValidation::Strict).map_err(|e| e.message().to_owned())?;
    let mut object = decoded.object;
    admission.ask.served.kind().default(&mut *object);
    Ok(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_read_like_those_of_webhooks() {
        let verdict = |code, reason: &str, message: &str| {
            let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            refusal("p", &PluginVerdict { code, reason: text(reason), message: text(message), ..PluginVerdict::default() })
        };
        for (error, code, reason, message) in [
            (verdict(None, "", ""), 400, "", r#"admission plugin "p" denied the request without explanation"#),
            (verdict(Some(403), "Forbidden", "no"), 403, "Forbidden", r#"admission plugin "p" denied the request: no"#),
            (verdict(Some(200), "Weather", ""), 400, "", r#"admission plugin "p" denied the request: Weather"#),
        ] {
            assert_eq!((error.code(), error.reason(), error.message()), (code, reason, message));
        }
    }
}
