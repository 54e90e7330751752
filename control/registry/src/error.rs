//! Refusals, with the codes of the specification.

use axum::body::Body;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use serde_json::json;

/// A refusal: its HTTP status, the specification's code, words, and headers that belong to it.
#[derive(Debug)]
pub(crate) struct Error {
    pub(crate) status: StatusCode,
    code: &'static str,
    message: String,
    detail: serde_json::Value,
    headers: Vec<(HeaderName, HeaderValue)>,
}

pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Error {
        Error { status, code, message: message.into(), detail: serde_json::Value::Null, headers: Vec::new() }
    }

    pub(crate) fn with(mut self, name: HeaderName, value: &str) -> Error {
        self.headers.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
        self
    }

    fn detail(mut self, detail: serde_json::Value) -> Error {
        self.detail = detail;
        self
    }

    pub(crate) fn name_invalid(name: &str) -> Error {
        Error::new(StatusCode::BAD_REQUEST, "NAME_INVALID", "invalid repository name").detail(json!({"name": short(name)}))
    }

    pub(crate) fn name_unknown(name: &str) -> Error {
        Error::new(StatusCode::NOT_FOUND, "NAME_UNKNOWN", "repository name not known to registry").detail(json!({"name": name}))
    }

    pub(crate) fn tag_invalid(tag: &str) -> Error {
        Error::new(StatusCode::BAD_REQUEST, "TAG_INVALID", "invalid tag or digest").detail(json!({"tag": short(tag)}))
    }

    pub(crate) fn digest_invalid(message: impl Into<String>) -> Error {
        Error::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", message)
    }

    pub(crate) fn blob_unknown(digest: &str) -> Error {
        Error::new(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", "blob unknown to registry").detail(json!({"digest": digest}))
    }

    pub(crate) fn manifest_unknown(name: &str, reference: &str) -> Error {
        Error::new(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", "manifest unknown").detail(json!({"name": name, "reference": reference}))
    }

    pub(crate) fn manifest_blob_unknown(digests: &[String]) -> Error {
        let words = "manifest references a manifest or blob unknown to registry";
        Error::new(StatusCode::NOT_FOUND, "MANIFEST_BLOB_UNKNOWN", words).detail(json!({"digests": digests}))
    }

    pub(crate) fn manifest_invalid(message: impl Into<String>) -> Error {
        Error::new(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", message)
    }

    pub(crate) fn upload_unknown() -> Error {
        Error::new(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
    }

    pub(crate) fn upload_invalid(message: impl Into<String>) -> Error {
        Error::new(StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID", message)
    }

    /// A chunk that does not go on where the last one ended.
    pub(crate) fn out_of_order(message: impl Into<String>) -> Error {
        Error::new(StatusCode::RANGE_NOT_SATISFIABLE, "BLOB_UPLOAD_INVALID", message)
    }

    /// Somebody else writes to the same upload.
    pub(crate) fn upload_busy() -> Error {
        Error::new(StatusCode::CONFLICT, "BLOB_UPLOAD_INVALID", "another request writes to this upload")
    }

    pub(crate) fn size_invalid(message: impl Into<String>) -> Error {
        Error::new(StatusCode::BAD_REQUEST, "SIZE_INVALID", message)
    }

    pub(crate) fn too_large(what: &str, limit: u64) -> Error {
        Error::new(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", format!("{what} is larger than {limit} bytes"))
    }

    pub(crate) fn range_not_satisfiable(size: u64) -> Error {
        Error::new(StatusCode::RANGE_NOT_SATISFIABLE, "SIZE_INVALID", "no such bytes").with(http::header::CONTENT_RANGE, &format!("bytes */{size}"))
    }

    pub(crate) fn unauthorized() -> Error {
        Error::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "authentication required").with(WWW_AUTHENTICATE, "Basic realm=\"wharf\", charset=\"UTF-8\"")
    }

    pub(crate) fn denied(message: impl Into<String>) -> Error {
        Error::new(StatusCode::FORBIDDEN, "DENIED", message)
    }

    pub(crate) fn unsupported(message: impl Into<String>) -> Error {
        Error::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", message)
    }

    pub(crate) fn not_found() -> Error {
        Error::new(StatusCode::NOT_FOUND, "UNSUPPORTED", "no such path")
    }

    pub(crate) fn pagination(message: impl Into<String>) -> Error {
        Error::new(StatusCode::BAD_REQUEST, "PAGINATION_NUMBER_INVALID", message)
    }

    pub(crate) fn too_many(message: impl Into<String>) -> Error {
        Error::new(StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS", message).with(RETRY_AFTER, "5")
    }

    /// The client did not go on sending.
    pub(crate) fn interrupted(message: impl Into<String>) -> Error {
        Error::new(StatusCode::REQUEST_TIMEOUT, "BLOB_UPLOAD_INVALID", message)
    }

    /// The disk, or the index. The words are for the log, not for the client.
    pub(crate) fn internal(operation: &str, error: impl std::fmt::Display) -> Error {
        tracing::warn!(operation, %error, "registry");
        Error::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", format!("{operation} failed"))
    }

    pub(crate) fn io(operation: &str, error: &std::io::Error) -> Error {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                tracing::warn!(operation, %error, "registry");
                Error::new(StatusCode::INSUFFICIENT_STORAGE, "UNKNOWN", "the registry's disk is full")
            }
            _ => Error::internal(operation, error),
        }
    }

    pub(crate) fn response(self) -> Response<Body> {
        let mut error = json!({"code": self.code, "message": self.message});
        if !self.detail.is_null() {
            error["detail"] = self.detail;
        }
        let mut response = Response::new(Body::from(json!({"errors": [error]}).to_string()));
        *response.status_mut() = self.status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.headers_mut().extend(self.headers);
        response
    }
}

fn short(text: &str) -> String {
    text.chars().take(300).collect()
}
