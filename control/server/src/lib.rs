//! The HTTP surface of the Kubernetes API over the kinds of `wharf-api` and the store of `wharf-store`.
//!
//! A request passes `http::path` (what is asked for) → `authn` (who asks) → `authz` (may they) → one of `verbs`, which decodes,
//! runs `admission`, validates, writes to the store with compare-and-swap, and answers with the very bytes that were stored.
//! Reads and watches are answered from the store's cache, as shared bytes.
//!
//! Architecture invariants: an identity comes from a certificate, a token or the in-process client, never from a header (but that
//! a header may ask to act as another, which RBAC has to allow); no handler holds a lock over I/O; every body, queue and cache is
//! bounded.

mod admission;
mod ask;
mod authn;
mod authz;
mod bootstrap;
mod catalog;
mod config;
mod custom;
mod discovery;
mod expiry;
mod http;
mod identity;
mod linger;
mod managed;
mod metrics;
mod mount;
mod node;
pub mod pki;
mod plugins;
mod selection;
mod serve;
mod server;
mod services;
mod subresources;
mod usage;
mod verbs;

pub use config::{Config, VERSION};
pub use identity::{ANONYMOUS, AUTHENTICATED, Identity, MASTERS, UNAUTHENTICATED};
pub use mount::{Answer, Wish};
pub use node::{DialError, NoNodes, NodeDialer, PodDialer, Routes};
pub use plugins::{NoPlugins, PluginError, PluginPhase, PluginReview, PluginRunner, PluginVerdict};
pub use serve::ServeError;
pub use server::{ApiServer, ApiService, StartError};

/// The body of every request and answer, in process and on the wire.
pub type Body = axum::body::Body;
