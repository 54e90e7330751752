//! The way in: Ingress at layer 7 with TLS, and Services at layer 4 for programs outside the cluster's own sockets.
//!
//! - [`Routes`] is the pure route table: Ingresses in, a location for a host and path out; swapped as a whole, so that a change drops no request.
//! - [`Ingress`] serves HTTP and HTTPS by that table, calls Pods of this process without a socket through [`LocalHandlers`], and is the
//!   controller that watches Ingresses, writes their status and records their Events.
//! - [`ServiceProxy`] is this process' kube-proxy: it feeds [`wharf_net::ClusterNet`] with Services and EndpointSlices, and listens on ClusterIPs
//!   and node ports for native programs.
//!
//! Architecture Invariant: this crate knows no engine and no node; a Pod's handler is reached through a trait that the binary implements.

mod annotations;
mod canary;
mod controller;
mod cors;
mod forward;
mod http2;
mod ingress;
mod kept;
mod local;
mod pages;
mod patience;
mod plugins;
mod routes;
mod server;
mod service_proxy;
mod tls;
mod upstream;

pub use annotations::{Annotations, BodyLimit, Protocol};
pub use canary::CanaryRules;
pub use cors::Cors;
pub use ingress::{Ingress, Options, Published};
pub use kept::Kept;
pub use local::{Body, BoxError, LocalError, LocalFailure, LocalFuture, LocalHandlers, NoLocalHandlers};
pub use plugins::{ANNOTATION, IngressPlugins, NoIngressPlugins, PluginChanges, PluginDecision, PluginFailure, PluginRequest};
pub use routes::{Location, Routes};
pub use service_proxy::{ServiceProxy, ServiceProxyOptions};
pub use tls::{Certificates, TlsError, certificate_of};
pub use wharf_rest::Pairs;
