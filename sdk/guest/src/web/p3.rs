//! `wasi:http` 0.3, on `wasip3`.

pub use wasip3;

use wasip3::http::types::ErrorCode;
use wasip3::http_compat::{http_from_wasi_request, http_from_wasi_response, http_into_wasi_request, http_into_wasi_response};

use super::{Body, Request, Response};
use crate::Error;

pub(crate) async fn fetch(request: Request) -> Result<Response, Error> {
    let response = wasip3::http::client::send(http_into_wasi_request(request)?).await?;
    Ok(http_from_wasi_response(response)?.map(Body::new))
}

/// What the export does: one request.
#[doc(hidden)]
pub async fn handle<F: Future<Output = Response>>(
    request: wasip3::http::types::Request,
    handler: impl FnOnce(Request) -> F,
) -> Result<wasip3::http::types::Response, ErrorCode> {
    http_into_wasi_response(handler(http_from_wasi_request(request)?.map(Body::new)).await)
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_http {
    ($handler:ident) => {
        const _: () = {
            struct Exported;

            impl $crate::__private::wasi::wasip3::exports::http::handler::Guest for Exported {
                async fn handle(
                    request: $crate::__private::wasi::wasip3::http::types::Request,
                ) -> Result<$crate::__private::wasi::wasip3::http::types::Response, $crate::__private::wasi::wasip3::http::types::ErrorCode> {
                    $crate::__private::wasi::handle(request, |request| $crate::__private::call($handler, request)).await
                }
            }

    $crate::__private::wasi::wasip3::http::service::export!(Exported with_types_in $crate::__private::wasi::wasip3);
        };
    };
}
