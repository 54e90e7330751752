//! From a [`ContainerSpec`](crate::ContainerSpec) to stores: what all instances of a container have in common.

use crate::container::ContainerSpec;
use crate::engine::Program;
use crate::environment::Environment;
use crate::http::Hooks;
use crate::io::{Input, Output};
use crate::lifecycle::Lifecycle;
use crate::limits::{AtEpoch, CpuQuota, Memory, Meter, Usage};
use crate::rootfs::{ContainerFs, MountTable};
use crate::sockets::PodSockets;
use crate::state::State;
use crate::{KeyValue, Network, Outgoing};
use std::sync::Arc;
use std::time::Duration;
use wasmtime::component::ResourceTable;
use wasmtime::{Store, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder};
use wasmtime_wasi_http::WasiHttpCtx;

/// Bytes of an error's words.
const MAX_WORDS: usize = 4096;
/// Bytes of random numbers per call.
const MAX_RANDOM: u64 = 1 << 20;

pub(crate) struct Template {
    pub(crate) program: Program,
    environment: Arc<Environment>,
    pub(crate) lifecycle: Arc<Lifecycle>,
    mounts: Arc<MountTable>,
    network: Arc<dyn Network>,
    outgoing: Arc<dyn Outgoing>,
    key_value: Arc<dyn KeyValue>,
    pub(crate) stdout: Output,
    pub(crate) stderr: Output,
    memory_limit: Option<u64>,
    cpu: Arc<CpuQuota>,
    usage: Arc<Usage>,
}

impl Template {
    /// Splits stdin off: it can be read once.
    pub(crate) fn new(program: &Program, spec: ContainerSpec) -> (Self, Option<Input>) {
        let terminal = spec.terminal.is_some();
        let stdin = spec.stdin.map(|s| Input::new(s, terminal));
        let me = Self {
            program: program.clone(),
            environment: Arc::new(Environment { arguments: spec.args, variables: spec.env, working_dir: spec.working_dir }),
            lifecycle: Lifecycle::new(spec.terminal),
            mounts: spec.mounts,
            network: spec.network,
            outgoing: spec.outgoing,
            key_value: spec.key_value,
            stdout: Output::new(spec.stdout),
            stderr: Output::new(spec.stderr),
            memory_limit: spec.memory_limit,
            cpu: spec.cpu,
            usage: spec.usage,
        };
        (me, stdin)
    }

    pub(crate) fn meter(&self) -> Arc<Meter> {
        Meter::new(self.usage.clone(), self.cpu.clone(), self.program.inner.engine.inner.ticker.clone())
    }

    /// A store with everything but an instance. Its epoch deadline is set: guest code cannot run for longer than a tick
    /// without the host being asked.
    pub(crate) fn store(&self, meter: Arc<Meter>, stdin: Option<Input>) -> Store<State> {
        let engine = &self.program.inner.engine.inner;
        let state = State {
            wasi: self.wasi(stdin),
            environment: self.environment.clone(),
            lifecycle: self.lifecycle.clone(),
            http: WasiHttpCtx::new(),
            peer: None,
            hooks: Hooks { outgoing: self.outgoing.clone() },
            table: table(engine.max_resources),
            fs: ContainerFs::new(self.mounts.clone()),
            sockets: PodSockets::new(self.network.clone()),
            log: self.stderr.clone(),
            key_value: self.key_value.clone(),
            memory: Memory::new(self.usage.clone(), self.memory_limit, meter.clone()),
            meter,
        };
        let mut store = Store::new(engine.wasmtime(self.program.inner.flavor), state);
        store.limiter(|s| &mut s.memory);
        store.set_epoch_deadline(1);
        let tick = engine.tick;
        store.epoch_deadline_callback(move |s| Ok(at_epoch(s.data(), tick)));
        store
    }

    fn wasi(&self, stdin: Option<Input>) -> WasiCtx {
        let mut b = WasiCtxBuilder::new();
        b.stdout(self.stdout.clone()).stderr(self.stderr.clone()).max_random_size(MAX_RANDOM);
        // Files are local: a call is quicker than handing it to another thread.
        b.allow_blocking_current_thread(true);
        if let Some(stdin) = stdin {
            b.stdin(stdin);
        }
        b.build()
    }
}

fn table(max: usize) -> ResourceTable {
    let mut t = ResourceTable::new();
    t.set_max_capacity(max);
    t
}

fn at_epoch(state: &State, tick: Duration) -> UpdateDeadline {
    match state.meter.at_epoch(tick) {
        AtEpoch::GoOn => UpdateDeadline::Continue(1),
        AtEpoch::Yield => UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())),
        AtEpoch::Sleep(time) => UpdateDeadline::YieldCustom(1, Box::pin(tokio::time::sleep(time))),
    }
}

/// Words for people: the root cause first, then the rest (a Wasm backtrace, if any).
pub(crate) fn words(e: &wasmtime::Error) -> String {
    let mut causes: Vec<String> = e.chain().map(|c| c.to_string()).collect();
    causes.reverse();
    causes.dedup();
    if e.downcast_ref::<wasmtime::PoolConcurrencyLimitError>().is_some() {
        causes.push("every instance slot of the node is in use; the sysctl vm.max_map_count bounds their number".into());
    }
    let mut text = causes.join("; ");
    if text.len() > MAX_WORDS {
        let end = (0..=MAX_WORDS).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}
