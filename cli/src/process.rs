//! What every long-running command of the program sets up: its log, its runtime, its signals.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::say::Progress;
use crate::up::control_plane::Logs;

/// How long containers, requests and the store may take to end.
const DRAIN: Duration = Duration::from_secs(15);

/// Runs to the end.
pub(crate) fn block_on(work: impl Future<Output = Result<()>>) -> Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")?;
    runtime.spawn(crate::idle::keep());
    let result = runtime.block_on(work);
    // What still blocks (a guest in a host call) must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(2));
    result
}

/// A Pod that listens holds descriptors: takes as many as the system lets this process have.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        tracing::warn!(%error, "the limit of open files could not be raised: few Pods will fit");
    }
}

/// Ctrl-C and the polite kill.
pub(crate) struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    /// Listens from now on.
    pub(crate) fn new() -> Result<Signals> {
        let listen = |kind| signal(kind).context("listen for signals");
        Ok(Signals { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    /// The next one's name.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "Ctrl-C",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

/// Waits until it is told to stop or something that should run for ever has failed; then has `end` end everything, for a bounded time and
/// unless it is told to stop once more.
pub(crate) async fn until_told(
    signals: &mut Signals,
    progress: &Progress,
    failed: impl Future<Output = anyhow::Error>,
    end: impl Future<Output = ()>,
) -> Result<()> {
    let failed = tokio::select! {
        name = signals.next() => {
            progress.line(&format!("\n{name}: stopping; once more to stop at once"));
            None
        }
        error = failed => Some(error),
    };
    let ended = tokio::select! {
        ended = tokio::time::timeout(DRAIN, end) => ended.is_ok(),
        _ = signals.next() => false,
    };
    if !ended {
        tracing::warn!("not everything ended in time");
    }
    failed.map_or(Ok(()), Err)
}

/// The first failure of the tasks that tell of theirs here.
pub(crate) async fn first(failures: &mut mpsc::Receiver<anyhow::Error>) -> anyhow::Error {
    match failures.recv().await {
        Some(error) => error,
        None => std::future::pending().await,
    }
}

/// Logs to stderr, and to the control plane's parts where their Pods show it.
pub(crate) fn log(verbose: u8, logs: Option<&Logs>) {
    use std::io::IsTerminal;
    use tracing_subscriber::layer::{Layer, SubscriberExt};
    use tracing_subscriber::util::SubscriberInitExt;
    use tracing_subscriber::{EnvFilter, fmt};
    let level = match verbose {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| {
        // Each watch of a client tells of its own errors; the client's own words on each try are for who looks for them.
        let client = if verbose == 0 { "off" } else { "warn" };
        let quiet = "hyper=warn,hyper_util=warn,rustls=warn,h2=warn,tower=warn,wasmtime=warn,cranelift=warn,hickory=warn,hickory_server=warn";
        EnvFilter::new(format!("{level},{quiet},kube_client={client}"))
    });
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let stderr = fmt::layer().with_writer(std::io::stderr).with_ansi(colour).with_filter(filter);
    tracing_subscriber::registry().with(stderr).with(logs.map(Logs::layer)).init();
}
