//! Interfaces beyond WASI's own that a guest may import, one file each: configuration, logging, key-value.
//!
//! Bound by hand, so that one text serves the versions that are around.

pub(crate) mod config;
pub(crate) mod keyvalue;
pub(crate) mod logging;

use wasmtime::component::Linker;

/// What a store's data must offer.
pub(crate) trait Views: config::ConfigView + logging::LoggingView + keyvalue::KeyValueView {}
impl<T: config::ConfigView + logging::LoggingView + keyvalue::KeyValueView> Views for T {}

pub(crate) fn add_to_linker<T: Views + Send>(l: &mut Linker<T>) -> wasmtime::Result<()> {
    config::add_to_linker(l)?;
    logging::add_to_linker(l)?;
    keyvalue::link::add_to_linker(l)
}
