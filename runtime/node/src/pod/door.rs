//! The way into a running container: its world, for another process in it, and the streams of its own.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use k8s_openapi::api::core::v1::Container;
use parking_lot::Mutex;
use tokio::io::AsyncRead;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::io::StreamReader;
use tokio_util::sync::CancellationToken;
use wharf_engine::{Command, ContainerSpec, CpuQuota, Entry, HttpOptions, KeyValue, LogSink, MountTable, Network, Outgoing, TerminalSize, Usage};
use wharf_image::Image;

use crate::logs::Log;
use crate::output::Collected;
use crate::terminal::Terminal;

/// Pieces of input that a container has not read.
const PIECES: usize = 16;

/// The way into a container that runs.
pub(crate) struct Door {
    /// What it uses.
    pub(crate) usage: Arc<Usage>,
    pub(crate) log: Arc<Log>,
    /// Its process; a `wasi:http` container has none.
    pub(crate) command: Option<Command>,
    pub(crate) stdin: Option<Stdin>,
    /// Where other processes can run; code of the node itself has no such place.
    pub(crate) world: Option<World>,
    /// The container has ended.
    pub(crate) ended: CancellationToken,
}

/// What every process of a container has in common.
pub(crate) struct World {
    pub(crate) image: Arc<Image>,
    pub(crate) env: Arc<[(String, String)]>,
    pub(crate) working_dir: Option<String>,
    pub(crate) mounts: Arc<MountTable>,
    pub(crate) network: Arc<dyn Network>,
    pub(crate) outgoing: Arc<dyn Outgoing>,
    pub(crate) key_value: Arc<dyn KeyValue>,
    pub(crate) memory_limit: Option<u64>,
    pub(crate) cpu: Arc<CpuQuota>,
    pub(crate) usage: Arc<Usage>,
}

/// The streams of a process to be started.
pub(crate) struct Streams {
    pub(crate) stdin: Option<Reader>,
    pub(crate) terminal: Option<TerminalSize>,
    pub(crate) stdout: Arc<dyn LogSink>,
    pub(crate) stderr: Arc<dyn LogSink>,
}

impl Streams {
    /// No input, and all output into one place.
    pub(crate) fn into(written: &Arc<Collected>) -> Self {
        Self { stdin: None, terminal: None, stdout: written.clone(), stderr: written.clone() }
    }
}

/// What a guest reads its input from.
pub(crate) type Reader = Box<dyn AsyncRead + Send + Sync + Unpin>;

impl World {
    /// A process in this world.
    pub(crate) fn process(&self, entry: Entry, args: Vec<String>, streams: Streams) -> ContainerSpec {
        let mut env = self.env.clone();
        // As other runtimes do it: the weakest of all sources.
        if streams.terminal.is_some() && !env.iter().any(|(name, _)| name == "TERM") {
            env = env.iter().cloned().chain([("TERM".to_owned(), "xterm".to_owned())]).collect();
        }
        ContainerSpec {
            entry,
            args,
            env,
            working_dir: self.working_dir.clone(),
            mounts: self.mounts.clone(),
            network: self.network.clone(),
            outgoing: self.outgoing.clone(),
            key_value: self.key_value.clone(),
            stdin: streams.stdin,
            terminal: streams.terminal,
            stdout: streams.stdout,
            stderr: streams.stderr,
            memory_limit: self.memory_limit,
            cpu: self.cpu.clone(),
            usage: self.usage.clone(),
            http: HttpOptions::default(),
        }
    }
}

/// A container's standard input, as those who attach to it have it.
pub(crate) struct Stdin {
    pub(crate) kind: StdinKind,
    /// It ends with the first client that had it.
    pub(crate) once: bool,
}

pub(crate) enum StdinKind {
    Terminal(Arc<Terminal>),
    /// `None` once it was closed.
    Pipe(Mutex<Option<mpsc::Sender<Bytes>>>),
}

impl Stdin {
    /// The input that a container asks for, and the guest's end of it.
    pub(crate) fn of(container: &Container, log: &Arc<Log>) -> Option<(Self, Reader)> {
        let once = container.stdin_once == Some(true);
        if container.tty == Some(true) {
            let terminal = Terminal::new(log.clone());
            let keyboard = terminal.keyboard();
            return Some((Self { kind: StdinKind::Terminal(terminal), once }, Box::new(keyboard)));
        }
        if container.stdin != Some(true) {
            return None;
        }
        let (sender, pieces) = mpsc::channel(PIECES);
        let reader = StreamReader::new(ReceiverStream::new(pieces).map(Ok::<_, std::io::Error>));
        Some((Self { kind: StdinKind::Pipe(Mutex::new(Some(sender))), once }, Box::new(reader)))
    }

    /// Its terminal, where it is one.
    pub(crate) fn terminal(&self) -> Option<&Arc<Terminal>> {
        match &self.kind {
            StdinKind::Terminal(terminal) => Some(terminal),
            StdinKind::Pipe(_) => None,
        }
    }

    /// Ends it.
    pub(crate) fn close(&self) {
        match &self.kind {
            StdinKind::Terminal(terminal) => terminal.hang_up(),
            StdinKind::Pipe(pipe) => drop(pipe.lock().take()),
        }
    }
}
