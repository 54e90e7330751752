//! `metav1.Status` of an error, its fields in the order in which Kubernetes writes them.

use serde::Serialize;
use wharf_api::status::{ApiError, Cause, Details};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status<'a> {
    kind: &'static str,
    api_version: &'static str,
    metadata: Metadata<'a>,
    status: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<DetailsShown<'a>>,
    code: u16,
}

#[derive(Serialize)]
struct Metadata<'a> {
    #[serde(rename = "continue", skip_serializing_if = "str::is_empty")]
    next: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DetailsShown<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    group: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    kind: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    uid: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    causes: Vec<CauseShown<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    retry_after_seconds: i32,
}

#[derive(Serialize)]
struct CauseShown<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    field: &'a str,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(n: &i32) -> bool {
    *n == 0
}

/// The JSON. `next` is a `continue` token to try instead, empty for none.
pub(crate) fn json(error: &ApiError, next: &str) -> String {
    let status = error.status();
    let shown = Status {
        kind: "Status",
        api_version: "v1",
        metadata: Metadata { next },
        status: "Failure",
        message: &status.message,
        reason: status.reason,
        details: status.details.as_ref().map(details),
        code: status.code,
    };
    // Text and numbers always serialise.
    serde_json::to_string(&shown).unwrap_or_default()
}

fn details(details: &Details) -> DetailsShown<'_> {
    DetailsShown {
        name: &details.name,
        group: &details.group,
        kind: &details.kind,
        uid: &details.uid,
        causes: details.causes.iter().map(cause).collect(),
        retry_after_seconds: details.retry_after_seconds,
    }
}

fn cause(cause: &Cause) -> CauseShown<'_> {
    CauseShown { reason: &cause.reason, message: &cause.message, field: &cause.field }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_order() {
        let error = ApiError::not_found("apps", "deployments", "none");
        assert_eq!(
            json(&error, ""),
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"deployments.apps \"none\" not found","reason":"NotFound","details":{"name":"none","group":"apps","kind":"deployments"},"code":404}"#
        );
        let same: serde_json::Value = serde_json::from_str(&json(&error, "")).unwrap();
        assert_eq!(same, error.to_status());
    }
}
