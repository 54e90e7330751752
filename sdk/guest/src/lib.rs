//! Functions for Wharf, or for any other host of `wasi:http`: a handler of requests, its configuration, its log, requests
//! of its own, and values that it keeps.
//!
//! ```
//! use wharf_sdk::{Error, Request, Response, config, log};
//!
//! #[derive(serde::Deserialize)]
//! struct Settings {
//!     #[serde(default = "hello")]
//!     greeting: String,
//! }
//!
//! fn hello() -> String {
//!     "Hello".into()
//! }
//!
//! #[wharf_sdk::http]
//! async fn handle(request: Request) -> Result<Response, Error> {
//!     let settings: Settings = config::load()?;
//!     log::info!("asked for {}", request.uri().path());
//!     Ok(Response::new(format!("{}, world!\n", settings.greeting).into()))
//! }
//! # wharf_sdk::block_on(async {
//! #     let answer = handle(wharf_sdk::http::Request::new(().into())).await.unwrap();
//! #     assert_eq!(answer.into_body().text().await.unwrap(), "Hello, world!\n");
//! # });
//! ```
//!
//! A crate of type `cdylib` with this in it, built for `wasm32-wasip2`, is a component that `wharf deploy` takes.
//!
//! | module | what it does |
//! |---|---|
//! | [`http`](macro@http), [`Request`], [`Response`], [`IntoResponse`], [`Json`] | answering requests; the types are those of the `http` crate |
//! | [`fetch`] | sending requests |
//! | [`config`] | configuration, as values or as a struct |
//! | [`log`] | the macros of the `log` crate; the http attribute sends what they log to the host |
//! | [`keyvalue`] | values that outlive a request |
//!
//! **WASI 0.2 or 0.3.** The feature `p2` (the default) makes a component for WASI 0.2, the feature `p3` (with
//! `default-features = false`) one for 0.3. The handler's text is the same.
//!
//! **Tests.** Built for the machine itself, the crate works too, so that handlers can be tested with `cargo test`:
//! configuration comes from the environment, the log goes to standard error, and buckets are in memory. Only [`fetch`] fails.

pub mod config;
pub mod keyvalue;
mod logging;
mod web;

#[cfg(target_arch = "wasm32")]
mod bindings {
    #![allow(missing_docs, reason = "generated")]
    wit_bindgen::generate!({ path: "wit", world: "guest", generate_all });
}
#[cfg(not(target_arch = "wasm32"))]
mod native;

/// The `log` crate: `log::info!("…")` and the like.
///
/// What is logged goes to `wasi:logging`, with the module's path as its context; on Wharf it is in `kubectl logs`. The key
/// `log-level` of the configuration (`off`, `error`, `warn`, `info`, `debug`, `trace`) says how much; without it, `info`.
pub use ::log;

/// An error of any kind; [`anyhow`]'s. A handler's becomes the answer 500, and an entry in the log.
pub use anyhow::Error;

pub use self::web::{Body, IntoResponse, Json, Request, Response, fetch};
/// The `http` crate, whose types requests and responses are.
pub use ::http;
pub use ::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};

/// Makes an `async fn` the handler of the component's requests: from a [`Request`] to whatever is an [`IntoResponse`].
///
/// ```
/// use wharf_sdk::{Json, Request, StatusCode};
///
/// #[derive(serde::Serialize)]
/// struct Answer {
///     path: String,
/// }
///
/// #[wharf_sdk::http]
/// async fn handle(request: Request) -> (StatusCode, Json<Answer>) {
///     (StatusCode::CREATED, Json(Answer { path: request.uri().path().into() }))
/// }
/// ```
///
/// There is one in a component. It does not go on a function that is not async:
///
/// ```compile_fail
/// #[wharf_sdk::http]
/// fn handle(_: wharf_sdk::Request) -> &'static str {
///     "hello"
/// }
/// ```
pub use wharf_sdk_macros::http;

/// Runs a future to its end: for tests on the machine itself.
#[cfg(not(target_arch = "wasm32"))]
pub use native::block_on;

#[doc(hidden)]
pub mod __private {
    #[cfg(not(target_arch = "wasm32"))]
    pub use crate::web::call;
    #[cfg(target_arch = "wasm32")]
    pub use crate::web::{call, wasi};
}
