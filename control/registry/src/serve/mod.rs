//! The answers, one file for each kind of thing that is asked for.

pub(crate) mod blobs;
pub(crate) mod lists;
pub(crate) mod manifests;
pub(crate) mod uploads;

use axum::body::Body;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LOCATION};
use http::{Response, StatusCode};

use crate::names::Digest;

pub(crate) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
const UPLOAD_ID: HeaderName = HeaderName::from_static("docker-upload-uuid");

/// `/v2/`: this is a registry, and you are known to it.
pub(crate) fn base() -> Response<Body> {
    json(&serde_json::json!({}), "application/json")
}

fn json(value: &serde_json::Value, media_type: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(value.to_string()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

/// An answer without a body.
fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    if status != StatusCode::NO_CONTENT {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    response
}

fn set(response: &mut Response<Body>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// Something new is there.
fn created(location: &str, digest: &Digest) -> Response<Body> {
    let mut response = empty(StatusCode::CREATED);
    set(&mut response, LOCATION, location);
    set(&mut response, CONTENT_DIGEST, digest.as_str());
    response
}

/// What is known by its digest never changes.
fn tell_digest(response: &mut Response<Body>, digest: &Digest) {
    set(response, CONTENT_DIGEST, digest.as_str());
    set(response, ETAG, &format!("\"{digest}\""));
}
