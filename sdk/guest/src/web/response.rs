//! What a handler may return.

use anyhow::Error;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::{Body, Response};

/// What can be the answer to a request: a text, bytes, [`Json`], a status, a status or headers with one of these, a whole
/// [`Response`], or a `Result` of such.
pub trait IntoResponse {
    /// Makes it one.
    fn into_response(self) -> Response;
}

impl<B: Into<Body>> IntoResponse for http::Response<B> {
    fn into_response(self) -> Response {
        self.map(Into::into)
    }
}

fn typed(body: impl Into<Body>, kind: &'static str) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

macro_rules! of {
    ($kind:literal: $($of:ty),*) => {
        $(impl IntoResponse for $of {
            fn into_response(self) -> Response {
                typed(self, $kind)
            }
        })*
    };
}
of!("text/plain; charset=utf-8": String, &'static str);
of!("application/octet-stream": Bytes, Vec<u8>, &'static [u8]);

impl IntoResponse for () {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

impl IntoResponse for StatusCode {
    fn into_response(self) -> Response {
        let mut response = Response::default();
        *response.status_mut() = self;
        response
    }
}

impl<T: IntoResponse> IntoResponse for (StatusCode, T) {
    fn into_response(self) -> Response {
        let mut response = self.1.into_response();
        *response.status_mut() = self.0;
        response
    }
}

impl<T: IntoResponse> IntoResponse for (HeaderMap, T) {
    fn into_response(self) -> Response {
        let mut response = self.1.into_response();
        response.headers_mut().extend(self.0);
        response
    }
}

impl<T: IntoResponse, E: IntoResponse> IntoResponse for Result<T, E> {
    fn into_response(self) -> Response {
        match self {
            Ok(answer) => answer.into_response(),
            Err(answer) => answer.into_response(),
        }
    }
}

/// What went wrong is for the log; who asked is told only that something did.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        log::error!("{self:#}");
        (StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error\n").into_response()
    }
}

/// An answer in JSON.
#[derive(Debug, Clone, Copy)]
pub struct Json<T>(pub T);

impl<T: serde::Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(text) => typed(text, "application/json"),
            Err(e) => Error::from(e).context("write the answer as JSON").into_response(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(answer: impl IntoResponse, expected: &str) {
        let response = answer.into_response();
        let kind = response.headers().get(CONTENT_TYPE).map_or("-", |v| v.to_str().unwrap()).to_owned();
        let status = response.status().as_u16();
        let text = crate::block_on(response.into_body().text()).unwrap();
        assert_eq!(format!("{status} {kind} {text}"), expected);
    }

    #[test]
    fn answers() {
        check("hello", "200 text/plain; charset=utf-8 hello");
        check((StatusCode::NOT_FOUND, String::from("none")), "404 text/plain; charset=utf-8 none");
        check((), "204 - ");
        check(Json([1, 2]), "200 application/json [1,2]");
        check(Ok::<_, Error>(vec![b'x']), "200 application/octet-stream x");
        check(Err::<Response, _>(anyhow::anyhow!("secret")), "500 text/plain; charset=utf-8 Internal Server Error\n");
        check(http::Response::builder().status(418).body("tea").unwrap(), "418 - tea");
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
        check((headers, "<p>"), "200 text/html <p>");
    }
}
