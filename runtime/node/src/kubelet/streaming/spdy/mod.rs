//! SPDY/3.1, as far as Kubernetes' clients speak it: streams with headers over one connection.
//!
//! SPDY has windows for each stream; the clients there are (Go's `spdystream`) send no updates of them and heed none, so that waiting for
//! one would be waiting for good. A stream that is read slowly therefore holds up the connection, as with Kubernetes' own server.

mod connection;
mod dictionary;
mod frame;
mod headers;
#[cfg(test)]
mod tests;

pub(super) use connection::{Stream, serve};
pub(super) use headers::Headers;
