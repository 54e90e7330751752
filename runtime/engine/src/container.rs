//! What a container is made of, and what starting one returns.

use crate::{Command, CpuQuota, Entry, HttpContainer, KeyValue, LogSink, MountTable, Network, Outgoing, TerminalSize, Usage};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncRead;

/// All that a container's guest can see or use.
pub struct ContainerSpec {
    /// Which export runs.
    pub entry: Entry,
    /// `argv`, with `argv[0]`.
    pub args: Vec<String>,
    /// Environment, in order.
    pub env: Arc<[(String, String)]>,
    /// What `wasi:cli/environment` gives as initial working directory. (The libc of most guests begins at `/` all the same.)
    pub working_dir: Option<String>,
    /// The container's `/`.
    pub mounts: Arc<MountTable>,
    /// The Pod's network.
    pub network: Arc<dyn Network>,
    /// Outgoing `wasi:http`.
    pub outgoing: Arc<dyn Outgoing>,
    /// `wasi:keyvalue`.
    pub key_value: Arc<dyn KeyValue>,
    /// A command's stdin; at its end already when `None`. Reading goes on after an end, so that a terminal's Ctrl-D can be one.
    pub stdin: Option<Box<dyn AsyncRead + Send + Sync + Unpin>>,
    /// The terminal that a command's stdin and stdout are; `None` where they are none. (What a sink says of itself is for
    /// the sink's stream alone.)
    pub terminal: Option<TerminalSize>,
    /// Where stdout goes.
    pub stdout: Arc<dyn LogSink>,
    /// Where stderr goes.
    pub stderr: Arc<dyn LogSink>,
    /// Bytes of memory of the container, over all its instances; unlimited (but for the pool's slot size) when `None`.
    pub memory_limit: Option<u64>,
    /// CPU quota: one per Pod or per container, shared by the instances of whoever holds it.
    pub cpu: Arc<CpuQuota>,
    /// Where CPU time and memory are counted; one per container.
    pub usage: Arc<Usage>,
    /// For `wasi:http` entries.
    pub http: HttpOptions,
}

/// How a `wasi:http` container serves.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// How many requests one instance serves, one after the other. 1: a fresh instance per request, the safe default.
    pub requests_per_instance: u32,
    /// Requests that may be in work at one time; more get [`crate::HandlerError::Overloaded`].
    pub max_concurrent: u32,
    /// Time until the response's head; then [`crate::HandlerError::Timeout`].
    pub timeout: Duration,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self { requests_per_instance: 1, max_concurrent: 1024, timeout: Duration::from_secs(60) }
    }
}

/// A started container.
pub enum Container {
    /// A process: runs from start to exit.
    Command(Command),
    /// Handles requests until it is drained.
    Http(HttpContainer),
}

/// Why a container could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The component does not have the entry that the spec names.
    #[error("the component does not export {0}")]
    NoEntry(&'static str),
}
