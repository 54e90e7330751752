//! The shape of requests and answers: paths, query options, content negotiation, bodies.

pub(crate) mod body;
pub(crate) mod negotiate;
pub(crate) mod path;
pub(crate) mod protobuf;
pub(crate) mod query;
pub(crate) mod respond;
pub(crate) mod status;
