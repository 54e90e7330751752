use std::sync::OnceLock;
use tokio::runtime::{Builder, Handle, Runtime};

/// Threads of lower priority for guests that compute for long: whoever only answers quickly is preferred by the
/// kernel, and nobody's time is wasted while there is nobody else.
#[derive(Default)]
pub(crate) struct Batch(OnceLock<Option<Runtime>>);

/// What such a thread gives way to everyone else, in steps of `nice`.
const NICE: i32 = 10;

impl Batch {
    /// `None`: the threads could not be made; guests then stay where they are.
    pub(crate) fn handle(&self) -> Option<&Handle> {
        self.0.get_or_init(|| make().inspect_err(|e| tracing::warn!("no threads for long computations: {e}")).ok()).as_ref().map(Runtime::handle)
    }
}

fn make() -> std::io::Result<Runtime> {
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("wharf-batch")
        .enable_all()
        .on_thread_start(|| {
            super::meter::on_batch_thread();
            let me = rustix::thread::gettid();
            if let Err(e) = rustix::process::setpriority_process(Some(me), NICE) {
                tracing::debug!("priority of a batch thread: {e}");
            }
        })
        .build()
}

impl Drop for Batch {
    fn drop(&mut self) {
        if let Some(Some(r)) = self.0.take() {
            r.shutdown_background();
        }
    }
}
