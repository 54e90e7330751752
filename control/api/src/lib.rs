//! The Kubernetes API as data: kinds, patches, selectors, field validation, tables and OpenAPI.
//!
//! This crate is pure: it has no I/O, no clock and no async. Adding a kind is one file under
//! [`kinds`] and one line in [`kinds::all`].

pub mod apply;
pub mod cron;
pub mod custom;
pub mod decode;
pub mod encode;
pub mod field;
pub mod json;
pub mod kind;
pub mod kinds;
pub mod meta;
pub mod openapi;
pub mod patch;
pub mod placement;
pub mod quantity;
pub mod quota;
pub mod registry;
pub mod selector;
pub mod status;
pub mod table;
pub mod tables;
pub mod types;

pub use decode::FieldValidation;
pub use encode::encode;
pub use k8s_openapi;
pub use kind::{DynKind, DynObject, Kind, KindInfo, Names, Scope, Subresource};
pub use registry::{Registry, Resource};
pub use status::ApiError;
