//! wharf-engine: runs WebAssembly components in wasmtime, as a container's process.
//!
//! The engine knows no Kubernetes type. It is handed a compiled component and a [`ContainerSpec`] (arguments,
//! environment, files, network, limits) and gives back a [`Container`]: a command that runs to its end, or a
//! handler of HTTP requests that costs nothing while idle.
//!
//! | module | what it decides |
//! |---|---|
//! | [`engine`] | the two wasmtime engines (WASI 0.2, WASI 0.3), the instance pool, compiling and loading |
//! | [`inspect`] | what a component can run as, and whether we offer all that it imports |
//! | [`container`] | what a container is made of, and what starting one returns |
//! | [`rootfs`] | the container's `/`: one preopen over a table of mounts |
//! | [`network`], [`sockets`] | a Pod's sockets: its own addresses, its own localhost, Services balanced at `connect` |
//! | [`http`] | `wasi:http` in and out |
//! | `embed` | a compiled component for hosts with worlds of their own: plugins |
//! | `interfaces` | `wasi:config`, `wasi:logging`, `wasi:keyvalue` |
//! | [`command`] | `wasi:cli` commands: streams, exit codes, signals |
//! | `lifecycle` | `wharf:container/lifecycle`: signals that a guest takes itself, its terminal |
//! | `incoming` | `wharf:container/incoming`: who sent a request |
//! | `tls` | `wharf:container/tls`: TLS over a guest's connection |
//! | [`limits`] | memory, CPU time and quota |
//!
//! Architecture invariant: nothing here reads the host's environment, files or network except through what the
//! [`ContainerSpec`] names.

pub mod command;
pub mod container;
mod embed;
pub mod engine;
mod environment;
pub mod http;
mod incoming;
pub mod inspect;
mod interfaces;
pub mod io;
mod lifecycle;
pub mod limits;
pub mod network;
pub mod rootfs;
pub mod sockets;
mod state;
mod template;
mod tls;

pub use command::{Command, Exit, ExitReason, Signal};
pub use container::{Container, ContainerSpec, HttpOptions, StartError};
pub use engine::{Engine, EngineConfig, EngineError, Program, compile};
pub use http::{HandlerError, HttpContainer, HttpHandler, HttpStats, Outgoing, OutgoingError, OutgoingOptions};
pub use inspect::{Entry, Flavor, InspectError, Inspection, inspect};
pub use interfaces::keyvalue::{Bucket, KeyValue, KeyValueError, NoKeyValue, Versioned, Write, Written};
pub use io::{Discard, LogSink};
pub use lifecycle::TerminalSize;
pub use limits::{CpuQuota, Usage};
pub use network::{BindError, Binding, Dial, DialError, Network, NoNetwork, Protocol, ResolveError};
pub use rootfs::MountTable;
pub use state::offers;
pub use tls::TlsOptions;

/// A boxed error that crosses threads.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request's or response's body, streaming.
pub type Body = http_body_util::combinators::UnsyncBoxBody<bytes::Bytes, BoxError>;

/// A boxed future.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
