//! Requests and responses.

#[cfg(all(target_arch = "wasm32", feature = "p2", not(feature = "p3")))]
#[path = "p2.rs"]
pub mod wasi;
#[cfg(all(target_arch = "wasm32", feature = "p3"))]
#[path = "p3.rs"]
pub mod wasi;

mod body;
mod response;

pub use body::Body;
pub use response::{IntoResponse, Json};

use anyhow::Error;

/// A request, as the `http` crate has it: `request.method()`, `request.uri().path()`, `request.headers()`, and
/// `request.into_body()`.
pub type Request = ::http::Request<Body>;

/// A response, as the `http` crate has it: `Response::new("text".into())`, or [`Response::builder`](::http::Response::builder).
pub type Response = ::http::Response<Body>;

/// Sends a request and gives the response; its body streams.
///
/// ```no_run
/// # async fn example() -> Result<(), wharf_sdk::Error> {
/// let request = wharf_sdk::http::Request::post("http://orders.default/new").header("content-type", "application/json").body(r#"{"item": 7}"#)?;
/// let response = wharf_sdk::fetch(request).await?;
/// println!("{} {}", response.status(), response.into_body().text().await?);
/// let response = wharf_sdk::fetch(wharf_sdk::http::Request::get("http://prices.default/").body(())?).await?;
/// # Ok(())
/// # }
/// ```
pub async fn fetch(request: ::http::Request<impl Into<Body>>) -> Result<Response, Error> {
    let request = request.map(Into::into);
    #[cfg(target_arch = "wasm32")]
    return wasi::fetch(request).await;
    #[cfg(not(target_arch = "wasm32"))]
    Err(anyhow::anyhow!("no request goes out in a test: {} {}", request.method(), request.uri()))
}

/// What the attribute calls.
#[doc(hidden)]
pub async fn call<F, A>(handler: impl FnOnce(Request) -> F, request: Request) -> Response
where
    F: Future<Output = A>,
    A: IntoResponse,
{
    crate::logging::begin();
    handler(request).await.into_response()
}

#[doc(hidden)]
#[macro_export]
#[cfg(not(target_arch = "wasm32"))]
macro_rules! __export_http {
    ($handler:ident) => {
        // So that it is checked, and no dead code.
        const _: () = {
            #[allow(dead_code)]
            async fn check(request: $crate::Request) -> $crate::Response {
                $crate::__private::call($handler, request).await
            }
        };
    };
}
