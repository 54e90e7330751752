//! A container's `/`: one preopen over a table of mounts, for WASI 0.2 and 0.3.
//!
//! [`MountTable`] knows nothing of WebAssembly: it resolves paths (symlinks and `..` against the container's root,
//! never the host's) and performs what is done to a path. The WASI descriptors are wasmtime-wasi's own; only what takes
//! a path goes through the table.

mod inline;
mod mounts;
mod operations;
pub(crate) mod p2;
pub(crate) mod p3;
mod resolve;
#[cfg(test)]
mod tests;
mod view;

pub use mounts::MountTable;
pub(crate) use view::{ContainerFs, ContainerFsView, View};
