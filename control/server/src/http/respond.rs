//! Answers.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WARNING};
use http::{Response, StatusCode};
use serde_json::Value;
use wharf_api::status::ApiError;

use super::negotiate::Format;
use crate::Body;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const YAML: HeaderValue = HeaderValue::from_static("application/yaml");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// JSON bytes, converted where YAML was asked for.
pub(crate) fn bytes(status: StatusCode, json: Bytes, format: Format) -> Response<Body> {
    match format {
        Format::Json => with(status, JSON, Body::from(json)),
        Format::Yaml => with(status, YAML, Body::from(to_yaml(&json))),
    }
}

/// A JSON tree.
pub(crate) fn value(status: StatusCode, value: &Value, format: Format) -> Response<Body> {
    bytes(status, value.to_string().into(), format)
}

/// A stream of JSON.
pub(crate) fn stream(body: Body) -> Response<Body> {
    with(StatusCode::OK, JSON, body)
}

/// 304: the client has it already. Says nothing of its type, or a cache would take that for the document's.
pub(crate) fn not_modified(etag: HeaderValue) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response.headers_mut().insert(http::header::ETAG, etag);
    response
}

/// Plain text.
pub(crate) fn text(status: StatusCode, text: impl Into<Body>) -> Response<Body> {
    with(status, TEXT, text.into())
}

/// The `Status` of an error.
pub(crate) fn error(error: &ApiError, format: Format) -> Response<Body> {
    let status = StatusCode::from_u16(error.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = bytes(status, super::status::json(error, "").into(), format);
    if let Some(seconds) = error.status().details.as_ref().map(|d| d.retry_after_seconds).filter(|s| *s > 0) {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Characters of all warnings together, beyond which each is cut short and the rest are left out.
const WARNINGS: usize = 4096;
/// Characters of a warning that is cut short.
const WARNING_SHORT: usize = 256;

/// Adds `Warning` headers: as Kubernetes does, no more of them than a client can be expected to read.
pub(crate) fn warn(response: &mut Response<Body>, warnings: &[String]) {
    let long = warnings.iter().map(|w| w.chars().count()).sum::<usize>() > WARNINGS;
    let mut written = 0;
    for warning in warnings {
        if written >= WARNINGS {
            break;
        }
        let most = if long { WARNING_SHORT } else { usize::MAX };
        let text: String = warning.chars().take(most).map(|c| if c.is_control() { ' ' } else { c }).collect();
        written += text.chars().count();
        let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(header) = HeaderValue::from_bytes(format!("299 - \"{quoted}\"").as_bytes()) {
            response.headers_mut().append(WARNING, header);
        }
    }
}

fn with(status: StatusCode, content_type: HeaderValue, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

fn to_yaml(json: &[u8]) -> Vec<u8> {
    // What is written here was JSON of our own making; should it not be, JSON is YAML too.
    serde_json::from_slice::<Value>(json).ok().and_then(|v| serde_yaml::to_string(&v).ok()).map_or_else(|| json.to_vec(), String::into_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warned(warnings: &[String]) -> Vec<String> {
        let mut response = Response::new(Body::empty());
        warn(&mut response, warnings);
        response.headers().get_all(WARNING).iter().map(|w| String::from_utf8_lossy(w.as_bytes()).into_owned()).collect()
    }

    #[test]
    fn warnings_are_told_whole_unless_they_are_too_much() {
        assert_eq!(warned(&["unknown field \"spec.é\"\n".to_owned()]), [r#"299 - "unknown field \"spec.é\" ""#]);
        let many: Vec<String> = (0..100).map(|i| format!("{i} {}", "x".repeat(100_000))).collect();
        let told = warned(&many);
        assert_eq!((told.len(), told[0].len()), (WARNINGS / WARNING_SHORT, WARNING_SHORT + 8));
    }
}
