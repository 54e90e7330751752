//! The host side of plugins: components of the worlds of `wharf:plugin` (`sdk/wit/plugin`), called within bounds.
//!
//! | module | what it decides |
//! |---|---|
//! | [`settings`] | what a plugin is told and granted: nothing but computing by default |
//! | `state` | the world of one call: clocks, random numbers, configuration, log; a memory limit |
//! | [`plugin`] | a component that is loaded: a fresh instance for each call, ended when its time is up |
//! | [`admission`], [`ingress`] | the two worlds, and what of their answers is nonsense |
//! | [`host`] | all plugins by name: fetched, replaced without a gap, waited for |
//! | [`metrics`] | calls, failures, denials and durations of each |
//! | [`harness`] | a plugin and a request in a file, without a cluster |
//!
//! Architecture Invariant: this crate knows no Kubernetes type. Objects are JSON text, images are what [`host::Source`] makes of a name.

pub mod admission;
mod bindings;
pub mod harness;
pub mod host;
pub mod ingress;
pub mod metrics;
mod outgoing;
pub mod plugin;
pub mod settings;
mod state;

pub use host::{Fetched, PluginHost, Report, Source, Wanted};
pub use plugin::{CallError, LoadError, Plugin};
pub use settings::{Grants, Settings, World};
