//! NamespaceLifecycle: nothing is made in a namespace that is not there or is going, and some namespaces stay.

use jiff::Timestamp;
use serde::Deserialize;
use wharf_api::status::{ApiError, Cause};

use super::{Admission, Operation};

/// Namespaces that cannot be deleted.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

#[derive(Deserialize)]
struct Life {
    metadata: Meta,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    #[serde(default)]
    deletion_timestamp: Option<Timestamp>,
}

pub(super) fn admit(admission: &Admission<'_>) -> Result<(), ApiError> {
    let (ask, info) = (&admission.ask, admission.ask.served.info());
    if !info.namespaced() || admission.operation == Operation::Delete {
        return Ok(());
    }
    let namespace = ask.namespace();
    let cache = ask.shared.cache();
    let Some(item) = cache.get(&wharf_store::key("", "namespaces", "", namespace)) else {
        return Err(ApiError::not_found("", "namespaces", namespace));
    };
    // The timestamp is rare: look for it before parsing.
    if admission.operation != Operation::Create || memchr_find(&item.json(), b"\"deletionTimestamp\"").is_none() {
        return Ok(());
    }
    let going = serde_json::from_slice::<Life>(&item.json()).is_ok_and(|l| l.metadata.deletion_timestamp.is_some());
    // Access can still be asked about.
    if !going || info.group == "authorization.k8s.io" {
        return Ok(());
    }
    let refusal = admission.forbidden(format!("unable to create new content in namespace {namespace} because it is being terminated"));
    let mut details = refusal.status().details.clone().unwrap_or_default();
    details.causes.push(Cause {
        reason: "NamespaceTerminating".into(),
        message: format!("namespace {namespace} is being terminated"),
        field: "metadata.namespace".into(),
    });
    Err(ApiError::new(403, "Forbidden", refusal.message(), Some(details)))
}

pub(super) fn protect(admission: &Admission<'_>) -> Result<(), ApiError> {
    if admission.operation == Operation::Delete && admission.ask.served.is("", "namespaces") && IMMORTAL.contains(&&*admission.name) {
        return Err(admission.forbidden("this namespace may not be deleted"));
    }
    Ok(())
}

fn memchr_find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|w| w == needle)
}
