//! wharf-node: the node agent, what the kubelet is elsewhere. Pods that are bound to its node become containers of `wharf-engine`.
//!
//! | module | its one job |
//! |---|---|
//! | [`registration`] | the Node object, its status and its Lease |
//! | `pods` | own Pods from the API to one worker each |
//! | [`pod`] | one Pod: record, plan ([`pod::sync`], pure), status ([`pod::status`], pure), the worker that performs |
//! | [`world`] | what a container finds: environment, `/etc` files (pure) |
//! | [`volumes`] | ConfigMap, Secret, projected, downward API and emptyDir volumes |
//! | `mirror` | static Pods, and the Pods of the API that show them |
//! | [`native`] | images that are code of this process: cluster DNS in a Pod's place |
//! | [`http`] | listening for `wasi:http` containers |
//! | [`network`], [`outgoing`] | a guest's sockets and requests, over `wharf-net` |
//! | `keyvalue` | `wasi:keyvalue`: the buckets of namespaces |
//! | [`probes`] | liveness, readiness, startup |
//! | [`logs`] | a container's output: files, rotation, reading |
//! | [`streams`], `exec` | what exec, attach and port-forward ask of a Pod, and how a Pod does it |
//! | `terminal`, `output` | a terminal's line discipline; output on its way to clients |
//! | [`kubelet`] | the kubelet API: logs, Pods, statistics |
//!
//! Architecture Invariant: the node is a client of the API and of nothing else of the control plane; a Pod's failure is that Pod's alone,
//! so every worker is its own task, and nothing a worker waits for is held by another.

mod backoff;
mod config;
mod events;
mod exec;
mod handlers;
pub mod http;
mod images;
mod ipam;
mod keyvalue;
pub mod kubelet;
pub mod logs;
mod mirror;
pub mod native;
pub mod network;
mod node;
pub mod outgoing;
mod output;
pub mod pod;
mod pods;
pub mod probes;
mod quantity;
pub mod registration;
mod services;
pub mod streams;
mod terminal;
pub mod trust;
pub mod volumes;
pub mod world;

pub use config::{LookupError, NodeConfig, NodeError, Resolver};
pub use handlers::{Handler, Handlers, Registered};
pub use keyvalue::KeyValueData;
pub use kubelet::{KubeletTls, serve_kubelet};
pub use native::{NativeContainer, NativeImage, NativeWork};
pub use node::Node;
pub use services::ServiceLinks;
