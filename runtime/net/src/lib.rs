//! The cluster's network as one pure index: which kernel address stands for a cluster address, who listens where, which endpoint a Service means.
//!
//! Nothing here opens a socket or waits. Guests' dials, the proxies, the Ingress and DNS all ask the same [`ClusterNet`]:
//!
//! - [`PodNet`] maps the addresses that the API shows (10.244.x.y, 10.96.x.y, 10.88.0.N) to those the kernel binds;
//! - [`Listeners`] is the table of everything that listens inside the cluster, each Pod's private loopback included;
//! - [`Services`] is fed with Services and EndpointSlices and picks endpoints, as kube-proxy would;
//! - [`ClusterNet::decide`] puts the three together for a dial.
//!
//! Architecture Invariant: no I/O and no async in this crate; every decision can be tested with a table.

mod address;
mod cluster;
mod listeners;
mod services;

pub use address::{Mode, PodNet, Proto, to_v4};
pub use cluster::{ClusterNet, Dial};
pub use listeners::{Guard, Listener, ListenerKind, Listeners, Scope, Taken};
pub use services::{Backend, Choice, Endpoint, Front, PortRef, Route, Services};
