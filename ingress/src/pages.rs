//! The answers that the Ingress gives itself.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Full};

use crate::Body;

/// A short page that names the status, in the manner of nginx.
pub(crate) fn page(status: StatusCode) -> Response<Body> {
    let reason = format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or_default());
    let text = format!(
        "<html>\n<head><title>{reason}</title></head>\n<body>\n<center><h1>{reason}</h1></center>\n<hr><center>wharf ingress</center>\n</body>\n</html>\n"
    );
    let mut response = Response::new(full(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
    response
}

/// A redirection for good that keeps the method.
pub(crate) fn redirect(location: HeaderValue) -> Response<Body> {
    let mut response = page(StatusCode::PERMANENT_REDIRECT);
    response.headers_mut().insert(http::header::LOCATION, location);
    response
}

/// A body of known content.
pub(crate) fn full(content: impl Into<Bytes>) -> Body {
    Full::new(content.into()).map_err(|never| match never {}).boxed_unsync()
}

/// No body.
pub(crate) fn empty() -> Body {
    http_body_util::Empty::new().map_err(|never| match never {}).boxed_unsync()
}
