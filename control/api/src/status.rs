//! Errors of the API ([`ApiError`]) and the `metav1.Status` that tells a client of them, in Kubernetes' words.

use std::collections::HashSet;
use std::fmt;

use serde_json::{Map, Value, json};

use crate::field::{Errors, quoted};

/// An error as a client sees it. `Display` is the message.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiError(Box<Status>);

/// What a `metav1.Status` of a failure holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// HTTP status code.
    pub code: u16,
    /// `reason`, such as `NotFound`; empty where Kubernetes gives none.
    pub reason: &'static str,
    /// `message`.
    pub message: String,
    /// `details`; `None` leaves it out.
    pub details: Option<Details>,
}

/// `details` of a `metav1.Status`. Empty texts are left out.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "the names are Kubernetes' own")]
pub struct Details {
    pub name: String,
    pub group: String,
    pub kind: String,
    pub uid: String,
    pub causes: Vec<Cause>,
    /// Seconds; 0 leaves it out.
    pub retry_after_seconds: i32,
}

/// One of `details.causes`. Empty texts are left out.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "the names are Kubernetes' own")]
pub struct Cause {
    pub reason: String,
    pub message: String,
    pub field: String,
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for ApiError {}

/// So many errors of one object are told at most. A body can hold hundreds of thousands of them, each longer in words than itself.
const MOST_ERRORS: usize = 1000;

impl ApiError {
    /// Any other error.
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>, details: Option<Details>) -> ApiError {
        ApiError(Box::new(Status { code, reason, message: message.into(), details }))
    }

    /// HTTP status code.
    pub fn code(&self) -> u16 {
        self.0.code
    }

    /// `reason`, such as `NotFound`.
    pub fn reason(&self) -> &'static str {
        self.0.reason
    }

    /// `message`.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// All of it.
    pub fn status(&self) -> &Status {
        &self.0
    }

    /// The `metav1.Status`.
    pub fn to_status(&self) -> Value {
        let status = &self.0;
        let mut out = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"});
        let map = out.as_object_mut().expect("just made as an object");
        put(map, "message", &status.message);
        put(map, "reason", status.reason);
        if let Some(details) = &status.details {
            map.insert("details".to_owned(), details.to_value());
        }
        map.insert("code".to_owned(), Value::from(status.code));
        out
    }

    /// 404 `pods "x" not found`. `plural` is the resource's name.
    pub fn not_found(group: &str, plural: &str, name: &str) -> ApiError {
        ApiError::of_resource(404, "NotFound", format!("{} {} not found", resource(group, plural), quoted(name)), group, plural, name)
    }

    /// 404 `the server could not find the requested resource`: no such group, version or resource.
    pub fn no_such_resource() -> ApiError {
        ApiError::new(404, "NotFound", "the server could not find the requested resource", Some(Details::default()))
    }

    /// 409 `pods "x" already exists`.
    pub fn already_exists(group: &str, plural: &str, name: &str) -> ApiError {
        ApiError::of_resource(409, "AlreadyExists", format!("{} {} already exists", resource(group, plural), quoted(name)), group, plural, name)
    }

    /// 409 `object is being deleted: pods "x" already exists`.
    pub fn being_deleted(group: &str, plural: &str, name: &str) -> ApiError {
        let message = format!("object is being deleted: {} {} already exists", resource(group, plural), quoted(name));
        ApiError::of_resource(409, "AlreadyExists", message, group, plural, name)
    }

    /// 409 `Operation cannot be fulfilled on pods "x": why`.
    pub fn conflict(group: &str, plural: &str, name: &str, why: impl fmt::Display) -> ApiError {
        let message = format!("Operation cannot be fulfilled on {} {}: {why}", resource(group, plural), quoted(name));
        ApiError::of_resource(409, "Conflict", message, group, plural, name)
    }

    /// 409 of an update with an old `resourceVersion`.
    pub fn modified(group: &str, plural: &str, name: &str) -> ApiError {
        ApiError::conflict(group, plural, name, "the object has been modified; please apply your changes to the latest version and try again")
    }

    /// 422 `Pod "x" is invalid: …`, with one cause for each error.
    pub fn invalid(group: &str, kind: &str, name: &str, mut errors: Errors) -> ApiError {
        errors.truncate(MOST_ERRORS);
        let mut messages: Vec<String> = Vec::new();
        let mut said = HashSet::new();
        let mut causes = Vec::with_capacity(errors.len());
        for error in &errors {
            let message = error.to_string();
            if said.insert(message.clone()) {
                messages.push(message);
            }
            causes.push(Cause { reason: error.kind.reason().to_owned(), message: error.body(), field: error.path.to_string() });
        }
        let all = match messages.as_slice() {
            [] => String::new(),
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let message = format!("{} {} is invalid: {all}", resource(group, kind), quoted(name));
        let details = Details { name: name.to_owned(), group: group.to_owned(), kind: kind.to_owned(), causes, ..Details::default() };
        ApiError::new(422, "Invalid", message, Some(details))
    }

    /// 422 without a resource: what a JSON patch that does not apply is answered with.
    pub fn unprocessable() -> ApiError {
        ApiError::new(422, "Invalid", "the server rejected our request due to an error in our request", Some(Details::default()))
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> ApiError {
        ApiError::new(400, "BadRequest", message, None)
    }

    /// 401 `Unauthorized`.
    pub fn unauthorized() -> ApiError {
        ApiError::new(401, "Unauthorized", "Unauthorized", None)
    }

    /// 403 `pods "x" is forbidden: why`. Without a name: `pods is forbidden: why`; without a resource: `forbidden: why`.
    pub fn forbidden(group: &str, plural: &str, name: &str, why: impl fmt::Display) -> ApiError {
        let message = match (plural, name) {
            ("", _) => format!("forbidden: {why}"),
            (_, "") => format!("{} is forbidden: {why}", resource(group, plural)),
            _ => format!("{} {} is forbidden: {why}", resource(group, plural), quoted(name)),
        };
        ApiError::of_resource(403, "Forbidden", message, group, plural, name)
    }

    /// 405 `patch is not supported on resources of kind "componentstatuses"`.
    pub fn method_not_supported(group: &str, plural: &str, verb: &str) -> ApiError {
        let message = format!("{verb} is not supported on resources of kind {}", quoted(&resource(group, plural)));
        ApiError::of_resource(405, "MethodNotAllowed", message, group, plural, "")
    }

    /// 405 of a path that knows no such method.
    pub fn method_not_allowed() -> ApiError {
        ApiError::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", Some(Details::default()))
    }

    /// 406. `accepted` are the media types that could be had.
    pub fn not_acceptable(accepted: &[&str]) -> ApiError {
        let message = format!("only the following media types are accepted: {}", accepted.join(", "));
        ApiError::new(406, "NotAcceptable", message, None)
    }

    /// 415. `accepted` are the media types that a body may have.
    pub fn unsupported_media_type(accepted: &[&str]) -> ApiError {
        let message = format!("the body of the request was in an unknown format - accepted media types include: {}", accepted.join(", "));
        ApiError::new(415, "UnsupportedMediaType", message, None)
    }

    /// 410 `Expired`: a `resourceVersion` or `continue` token that is too old.
    pub fn gone(message: impl Into<String>) -> ApiError {
        ApiError::new(410, "Expired", message, None)
    }

    /// 410 of a watch or list whose `resourceVersion` is too old.
    pub fn too_old(requested: u64, oldest: u64) -> ApiError {
        ApiError::gone(format!("too old resource version: {requested} ({oldest})"))
    }

    /// 413.
    pub fn too_large(message: impl fmt::Display) -> ApiError {
        ApiError::new(413, "RequestEntityTooLarge", format!("Request entity is too large: {message}"), None)
    }

    /// 429 with `Retry-After`.
    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: i32) -> ApiError {
        ApiError::new(429, "TooManyRequests", message, Some(Details { retry_after_seconds, ..Details::default() }))
    }

    /// 500 `Internal error occurred: …`.
    pub fn internal(message: impl fmt::Display) -> ApiError {
        let text = message.to_string();
        let causes = vec![Cause { message: text.clone(), ..Cause::default() }];
        ApiError::new(500, "InternalError", format!("Internal error occurred: {text}"), Some(Details { causes, ..Details::default() }))
    }

    /// 500 without a reason: how Kubernetes shows an error that it did not expect.
    pub fn unknown(message: impl Into<String>) -> ApiError {
        ApiError::new(500, "", message, None)
    }

    /// 503.
    pub fn unavailable(message: impl Into<String>) -> ApiError {
        ApiError::new(503, "ServiceUnavailable", message, None)
    }

    /// 504: the request could not be completed in time.
    pub fn timeout(message: impl fmt::Display) -> ApiError {
        ApiError::new(504, "Timeout", format!("Timeout: {message}"), Some(Details::default()))
    }

    /// 504 `Too large resource version`, after which a client tries again in a second.
    pub fn resource_version_too_large(requested: u64, current: u64) -> ApiError {
        let message = format!("Too large resource version: {requested}, current: {current}");
        let cause = Cause { reason: "ResourceVersionTooLarge".to_owned(), message: "Too large resource version".to_owned(), field: String::new() };
        let details = Details { causes: vec![cause], retry_after_seconds: 1, ..Details::default() };
        ApiError::new(504, "Timeout", format!("Timeout: {message}"), Some(details))
    }

    fn of_resource(code: u16, reason: &'static str, message: String, group: &str, kind: &str, name: &str) -> ApiError {
        let details = Details { name: name.to_owned(), group: group.to_owned(), kind: kind.to_owned(), ..Details::default() };
        ApiError::new(code, reason, message, Some(details))
    }
}

impl Details {
    fn to_value(&self) -> Value {
        let mut map = Map::new();
        put(&mut map, "name", &self.name);
        put(&mut map, "group", &self.group);
        put(&mut map, "kind", &self.kind);
        put(&mut map, "uid", &self.uid);
        if !self.causes.is_empty() {
            map.insert("causes".to_owned(), self.causes.iter().map(Cause::to_value).collect());
        }
        if self.retry_after_seconds != 0 {
            map.insert("retryAfterSeconds".to_owned(), Value::from(self.retry_after_seconds));
        }
        Value::Object(map)
    }
}

impl Cause {
    fn to_value(&self) -> Value {
        let mut map = Map::new();
        put(&mut map, "reason", &self.reason);
        put(&mut map, "message", &self.message);
        put(&mut map, "field", &self.field);
        Value::Object(map)
    }
}

fn put(map: &mut Map<String, Value>, key: &str, text: &str) {
    if !text.is_empty() {
        map.insert(key.to_owned(), Value::from(text));
    }
}

/// `deployments.apps`, or `pods` of the core group.
fn resource(group: &str, plural: &str) -> String {
    if group.is_empty() { plural.to_owned() } else { format!("{plural}.{group}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::{Error, Path};

    #[test]
    fn statuses() {
        let table = [
            (
                ApiError::not_found("apps", "deployments", "none"),
                json!({"code": 404, "details": {"group": "apps", "kind": "deployments", "name": "none"}, "message": "deployments.apps \"none\" not found", "reason": "NotFound"}),
            ),
            (
                ApiError::modified("", "configmaps", "m"),
                json!({"code": 409, "details": {"kind": "configmaps", "name": "m"}, "reason": "Conflict",
                    "message": "Operation cannot be fulfilled on configmaps \"m\": the object has been modified; please apply your changes to the latest version and try again"}),
            ),
            (
                ApiError::no_such_resource(),
                json!({"code": 404, "details": {}, "message": "the server could not find the requested resource", "reason": "NotFound"}),
            ),
            (
                ApiError::internal("no luck"),
                json!({"code": 500, "details": {"causes": [{"message": "no luck"}]}, "message": "Internal error occurred: no luck", "reason": "InternalError"}),
            ),
            (ApiError::unknown("what"), json!({"code": 500, "message": "what"})),
        ];
        for (error, mut expected) in table {
            for (key, value) in [("kind", json!("Status")), ("apiVersion", json!("v1")), ("metadata", json!({})), ("status", json!("Failure"))] {
                expected[key] = value;
            }
            assert_eq!(error.to_status(), expected);
        }
    }

    #[test]
    fn invalid_says_each_error_once_but_keeps_all_causes() {
        let spec = Path::new("spec");
        let twice = Error::required(&spec.child("a"), "");
        let one = ApiError::invalid("", "Pod", "p", vec![twice.clone(), twice.clone()]);
        assert_eq!(one.message(), r#"Pod "p" is invalid: spec.a: Required value"#);
        assert_eq!(one.status().details.as_ref().map(|d| d.causes.len()), Some(2));
        let two = ApiError::invalid("apps", "Deployment", "d", vec![twice, Error::invalid(&spec.child("b"), "x\n", "no")]);
        assert_eq!(two.message(), r#"Deployment.apps "d" is invalid: [spec.a: Required value, spec.b: Invalid value: "x\n": no]"#);
    }

    #[test]
    fn forbidden_with_and_without_a_name() {
        assert_eq!(ApiError::forbidden("", "pods", "p", "no").message(), r#"pods "p" is forbidden: no"#);
        assert_eq!(ApiError::forbidden("", "pods", "", "no").message(), "pods is forbidden: no");
    }
}
