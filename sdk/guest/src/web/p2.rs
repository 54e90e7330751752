//! `wasi:http` 0.2, on `wstd`.

use http_body_util::BodyExt as _;
pub use wstd;

use super::{Body, Request, Response};
use crate::Error;

fn from_wasi(body: wstd::http::Body) -> Body {
    Body::new(body.into_boxed_body())
}

fn into_wasi(body: Body) -> wstd::http::Body {
    wstd::http::Body::from_http_body(body.map_err(Error::from))
}

pub(crate) async fn fetch(request: Request) -> Result<Response, Error> {
    Ok(wstd::http::Client::new().send(request.map(into_wasi)).await?.map(from_wasi))
}

/// What the export does: one request.
#[doc(hidden)]
pub fn handle<F: Future<Output = Response>>(
    request: wstd::__internal::wasip2::http::types::IncomingRequest,
    out: wstd::__internal::wasip2::http::types::ResponseOutparam,
    handler: impl FnOnce(Request) -> F,
) {
    let responder = wstd::http::server::Responder::new(out);
    wstd::runtime::block_on(async move {
        match wstd::http::request::try_from_incoming(request) {
            // Who asked may have gone: there is nobody to tell.
            Ok(request) => drop(responder.respond(handler(request.map(from_wasi)).await.map(into_wasi)).await),
            Err(e) => responder.fail(e),
        }
    });
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_http {
    ($handler:ident) => {
        const _: () = {
            struct Exported;

            impl $crate::__private::wasi::wstd::__internal::wasip2::exports::http::incoming_handler::Guest for Exported {
                fn handle(
                    request: $crate::__private::wasi::wstd::__internal::wasip2::http::types::IncomingRequest,
                    out: $crate::__private::wasi::wstd::__internal::wasip2::http::types::ResponseOutparam,
                ) {
                    $crate::__private::wasi::handle(request, out, |request| $crate::__private::call($handler, request));
                }
            }

    $crate::__private::wasi::wstd::__internal::wasip2::http::proxy::export!(Exported with_types_in $crate::__private::wasi::wstd::__internal::wasip2);
        };
    };
}
