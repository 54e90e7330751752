//! One Pod on the node: what is remembered, what to do next, what its status says, and the worker that does it.

pub(crate) mod context;
pub(crate) mod create;
pub(crate) mod door;
mod hooks;
pub(crate) mod inbox;
mod prepare;
pub mod record;
mod report;
pub mod status;
mod stop;
pub mod sync;
pub(crate) mod worker;
