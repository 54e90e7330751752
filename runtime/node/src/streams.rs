//! What `exec`, `attach` and `port-forward` ask of a Pod, apart from how a client's streams travel.
//!
//! Two sides meet here: the kubelet API, which speaks the wire protocols, and the Pod's world, in which processes run.

use std::pin::Pin;

use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use wharf_engine::{Exit, TerminalSize};

/// What a client sends.
pub type Input = Pin<Box<dyn AsyncRead + Send>>;
/// What a client receives.
pub type Output = Pin<Box<dyn AsyncWrite + Send>>;
/// A connection into a Pod.
pub type Connection = Pin<Box<dyn Duplex>>;

/// Both ways.
pub trait Duplex: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Duplex for T {}

/// The streams of a process that a client holds. Streams that were not asked for are `None`; with `tty`, `stderr` is.
pub struct Stdio {
    /// Its end is the end of the process's input.
    pub stdin: Option<Input>,
    /// Shut down when the process has written all.
    pub stdout: Option<Output>,
    /// As `stdout`.
    pub stderr: Option<Output>,
    /// Whether the process has a terminal.
    pub tty: bool,
    /// The terminal's sizes, as they come.
    pub sizes: mpsc::Receiver<TerminalSize>,
}

/// A container of a Pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The Pod's namespace.
    pub namespace: String,
    /// The Pod's name.
    pub pod: String,
    /// The container's name.
    pub container: String,
}

/// Why nothing was started. The words are the ones a client shows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// No such Pod, or no such container in it.
    #[error("{0}")]
    NotFound(String),
    /// It is there, and cannot be done now: the container does not run, nobody listens on the port.
    #[error("{0}")]
    Failed(String),
}

/// What a node can do with a Pod's streams.
pub trait Streams: Send + Sync {
    /// Whether something can be done with a Pod, or with a container of it: what is asked before a client's streams are set up.
    fn find(&self, namespace: &str, pod: &str, container: Option<&str>) -> Result<(), StreamError>;

    /// Runs a command in a container's world until it ends. Dropping the future kills it.
    fn exec(&self, target: Target, command: Vec<String>, stdio: Stdio) -> BoxFuture<'static, Result<Exit, StreamError>>;

    /// Joins the streams of a container's own process until it ends or the client leaves. Dropping the future detaches.
    fn attach(&self, target: Target, stdio: Stdio) -> BoxFuture<'static, Result<(), StreamError>>;

    /// Connects to a port of a Pod's localhost, as somebody within would.
    fn connect(&self, namespace: &str, pod: &str, port: u16) -> BoxFuture<'static, Result<Connection, StreamError>>;
}
