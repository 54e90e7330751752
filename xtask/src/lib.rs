//! Developers' chores: `cargo xtask guests` rebuilds the WebAssembly files that are committed beside their sources.

pub mod guests;
mod toolchain;
