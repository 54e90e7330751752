//! Outgoing `wasi:http` of both versions, handed to [`Outgoing`].

use super::{Outgoing, OutgoingError, OutgoingOptions};
use crate::{Body, BoxError};
use http::{Request, Response};
use http_body_util::BodyExt;
use std::sync::Arc;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

/// What a store needs to send requests.
pub struct Hooks {
    /// Who sends them.
    pub outgoing: Arc<dyn Outgoing>,
}

type Io = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _response_read: Io,
    ) -> Box<dyn Future<Output = Result<(Response<WasiBody>, Io), Error>> + Send> {
        let options = options.unwrap_or_default();
        let options = OutgoingOptions {
            connect_timeout: options.connect_timeout,
            first_byte_timeout: options.first_byte_timeout,
            between_bytes_timeout: options.between_bytes_timeout,
        };
        let sent = self.outgoing.send(request.map(from_wasi), options);
        Box::new(async move {
            let response = sent.await.map_err(error)?;
            // Whoever sends keeps the connection going by itself: nothing is left to drive.
            Ok((response.map(into_wasi), Box::new(std::future::ready(Ok(()))) as Io))
        })
    }
}

/// A body for wasmtime's side.
pub(crate) fn into_wasi(body: Body) -> WasiBody {
    body.map_err(|e| match e.downcast::<Error>() {
        Ok(e) => *e,
        Err(e) => match e.downcast::<OutgoingError>() {
            Ok(e) => error(*e),
            Err(e) => Error::InternalError(Some(e.to_string())),
        },
    })
    .boxed_unsync()
}

/// A body for everybody else.
pub(crate) fn from_wasi(body: WasiBody) -> Body {
    body.map_err(|e| Box::new(e) as BoxError).boxed_unsync()
}

fn error(e: OutgoingError) -> Error {
    match e {
        OutgoingError::Denied => Error::HttpRequestDenied,
        OutgoingError::InvalidUri => Error::HttpRequestUriInvalid,
        OutgoingError::Dns(words) => Error::DnsError { rcode: Some(words), info_code: None },
        OutgoingError::Refused => Error::ConnectionRefused,
        OutgoingError::Unreachable => Error::DestinationIpUnroutable,
        OutgoingError::ConnectTimeout => Error::ConnectionTimeout,
        OutgoingError::ResponseTimeout => Error::HttpResponseTimeout,
        OutgoingError::Tls(_) => Error::TlsProtocolError,
        OutgoingError::Terminated => Error::ConnectionTerminated,
        OutgoingError::Protocol(_) => Error::HttpProtocolError,
        OutgoingError::Loop => Error::LoopDetected,
        OutgoingError::Internal(words) => Error::InternalError(Some(words)),
    }
}
