//! The two wasmtime engines, the pool of instance slots they share, compiling and loading.
//!
//! WASI 0.2 components run on an engine without component-model concurrency, which is a fifth faster; components that
//! name WASI 0.3 run on the other. A compiled artifact belongs to one of them.

use crate::container::{Container, ContainerSpec, StartError};
use crate::inspect::{Entry, Flavor, InspectError, Inspection};
use crate::limits::Ticker;
use crate::state::{Pre, State};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

/// Memory maps of a process that are left to everything but guests.
const RESERVED_MAPS: u32 = 8_000;
/// Maps that one live instance needs at most: two for its slot, four for its memory, tables and stack.
const MAPS_PER_INSTANCE: u32 = 6;
/// Of four slots, how many the WASI 0.2 engine gets.
const P2_OF_FOUR: u32 = 3;

/// How the engines are set up.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Instances alive at one time, over both engines; `None`: as many as `vm.max_map_count` allows.
    pub max_instances: Option<u32>,
    /// How long a guest runs before it is looked at (quota, neighbours). 1 ms costs a tenth of the throughput.
    pub tick: Duration,
    /// Bytes of an instance's memory that are zeroed in place rather than given back to the kernel.
    pub keep_resident: usize,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self { max_instances: None, tick: Duration::from_millis(10), keep_resident: 256 << 10 }
    }
}

/// Why an engine operation failed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The engines could not be made.
    #[error(
        "cannot set up the WebAssembly engine ({instances} instances): {words}; if memory maps ran out, raise the sysctl vm.max_map_count (now {max_map_count})"
    )]
    Setup {
        /// Slots asked for.
        instances: u32,
        /// The sysctl's value.
        max_map_count: u32,
        /// wasmtime's words.
        words: String,
    },
    /// More instances asked for than the kernel lets us map.
    #[error("{wanted} instances need {needed} memory maps, but the sysctl vm.max_map_count is {max_map_count}: raise it, or ask for at most {possible}")]
    TooManyInstances {
        /// Slots asked for.
        wanted: u32,
        /// Maps they need.
        needed: u64,
        /// The sysctl's value.
        max_map_count: u32,
        /// What it allows.
        possible: u32,
    },
    /// The component does not compile.
    #[error("cannot compile: {0}")]
    Compile(String),
    /// A compiled artifact cannot be loaded (damaged, or made by another engine).
    #[error("cannot load the compiled component: {0}")]
    Load(String),
    /// The component imports something that is not offered.
    #[error("{0}")]
    Imports(String),
}

/// Both engines. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    p2: Half,
    p3: Half,
    slots: u32,
    pub(crate) tick: Duration,
    /// Resources (open files, sockets, streams, requests) that one instance may have at one time.
    pub(crate) max_resources: usize,
    pub(crate) ticker: Arc<Ticker>,
    pub(crate) batch: crate::limits::Batch,
}

struct Half {
    engine: wasmtime::Engine,
    linker: Linker<State>,
}

impl Engine {
    /// Makes both engines and starts the epoch ticker.
    pub fn new(config: EngineConfig) -> Result<Self, EngineError> {
        let max_map_count = max_map_count();
        let possible = max_map_count.saturating_sub(RESERVED_MAPS) / MAPS_PER_INSTANCE;
        let slots = config.max_instances.unwrap_or(possible.max(64));
        if slots > possible.max(64) {
            let needed = u64::from(slots) * u64::from(MAPS_PER_INSTANCE) + u64::from(RESERVED_MAPS);
            return Err(EngineError::TooManyInstances { wanted: slots, needed, max_map_count, possible });
        }
        let failed = |e: wasmtime::Error| EngineError::Setup { instances: slots, max_map_count, words: format!("{e:#}") };
        let of_p2 = (slots * P2_OF_FOUR / 4).max(1);
        let half = |flavor, slots| -> wasmtime::Result<Half> {
            let mut c = base(flavor);
            c.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(slots, &config)));
            let engine = wasmtime::Engine::new(&c)?;
            let linker = crate::state::linker(&engine, flavor)?;
            Ok(Half { engine, linker })
        };
        let p2 = half(Flavor::P2, of_p2).map_err(failed)?;
        let p3 = half(Flavor::P3, (slots - of_p2).max(1)).map_err(failed)?;
        let ticker = Ticker::start([p2.engine.weak(), p3.engine.weak()], config.tick);
        Ok(Self { inner: Arc::new(Inner { p2, p3, slots, tick: config.tick, max_resources: max_resources(), ticker, batch: Default::default() }) })
    }

    /// Instances that can be alive at one time, over both engines.
    pub fn slots(&self) -> u32 {
        self.inner.slots
    }

    /// Which compiled artifacts this engine accepts: hex, for a cache's key.
    pub fn compatibility(&self, flavor: Flavor) -> String {
        compatibility_of(&self.inner.half(flavor).engine)
    }

    /// Compares what a component imports with what is offered. Names interface, wanted and offered version.
    pub fn check(&self, inspection: &Inspection) -> Result<(), InspectError> {
        crate::state::check_imports(inspection)
    }

    /// Loads what [`compile`] wrote: maps the file, shares its code pages with every other user.
    ///
    /// The file must have been written by this very program into a folder that nobody else can write to: what it holds
    /// is run as native code.
    pub fn load(&self, path: &Path, flavor: Flavor) -> Result<Program, EngineError> {
        let half = self.inner.half(flavor);
        // SAFETY: documented above; the caller vouches for the file, wasmtime checks that its own build wrote it.
        let component = unsafe { Component::deserialize_file(&half.engine, path) }.map_err(|e| EngineError::Load(format!("{e:#}")))?;
        self.program(component, flavor)
    }

    /// Compiles and loads in this process, without bounds on time or memory: for trusted components and tests.
    pub fn load_source(&self, wasm: &[u8]) -> Result<Program, EngineError> {
        let flavor = crate::inspect(wasm).map_err(|e| EngineError::Compile(e.to_string()))?.flavor;
        let component = Component::new(&self.inner.half(flavor).engine, wasm).map_err(|e| EngineError::Compile(format!("{e:#}")))?;
        self.program(component, flavor)
    }

    fn program(&self, component: Component, flavor: Flavor) -> Result<Program, EngineError> {
        let pre = self.inner.half(flavor).linker.instantiate_pre(&component).map_err(|e| EngineError::Imports(format!("{e:#}")))?;
        let takes_signals = component.component_type().imports(&self.inner.half(flavor).engine).any(|(name, _)| name == crate::lifecycle::INTERFACE);
        Ok(Program { inner: Arc::new(Loaded { engine: self.clone(), flavor, pre: Pre::new(pre), takes_signals }) })
    }
}

impl Inner {
    fn half(&self, flavor: Flavor) -> &Half {
        match flavor {
            Flavor::P2 => &self.p2,
            Flavor::P3 => &self.p3,
        }
    }

    pub(crate) fn wasmtime(&self, flavor: Flavor) -> &wasmtime::Engine {
        &self.half(flavor).engine
    }
}

/// Compiles a component for [`Engine::load`]. Meant for a child process with limits on CPU, memory and time, since a
/// compilation cannot be cancelled.
pub fn compile(flavor: Flavor, wasm: &[u8]) -> Result<Vec<u8>, EngineError> {
    let failed = |e: wasmtime::Error| EngineError::Compile(format!("{e:#}"));
    wasmtime::Engine::new(&base(flavor)).and_then(|e| e.precompile_component(wasm)).map_err(failed)
}

/// [`Engine::compatibility`] without making the engines (for the compiling child).
pub fn compatibility(flavor: Flavor) -> Result<String, EngineError> {
    wasmtime::Engine::new(&base(flavor)).map(|e| compatibility_of(&e)).map_err(|e| EngineError::Compile(format!("{e:#}")))
}

fn compatibility_of(engine: &wasmtime::Engine) -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut h = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut h);
    format!("{:016x}", h.finish())
}

/// A loaded component, shared by all containers that run it. Cheap to clone.
#[derive(Clone)]
pub struct Program {
    pub(crate) inner: Arc<Loaded>,
}

pub(crate) struct Loaded {
    pub(crate) engine: Engine,
    pub(crate) flavor: Flavor,
    pub(crate) pre: Pre,
    /// It imports `wharf:container/lifecycle`: signals are for it to take.
    pub(crate) takes_signals: bool,
}

impl Program {
    /// What it can run as.
    pub fn entries(&self) -> Vec<Entry> {
        self.inner.pre.entries()
    }

    /// The engine that it runs on.
    pub fn flavor(&self) -> Flavor {
        self.inner.flavor
    }

    /// Starts a container. A command begins to run at once, on the current tokio runtime (there has to be one); an HTTP
    /// container waits for requests.
    pub fn start(&self, spec: ContainerSpec) -> Result<Container, StartError> {
        if spec.entry.is_http() { crate::http::start(self, spec).map(Container::Http) } else { crate::command::start(self, spec).map(Container::Command) }
    }
}

/// What decides about the compiled code: the same in the compiling child and here.
///
/// Stacks are not zeroed between guests (`async_stack_zeroing` would cost 7 to 25 % of the requests): WebAssembly cannot
/// read a stack slot that it has not written, so what another guest left there stays out of its reach.
fn base(flavor: Flavor) -> Config {
    let mut c = Config::new();
    match flavor {
        Flavor::P2 => {
            c.wasm_component_model_async(false);
            c.concurrency_support(false);
        }
        Flavor::P3 => {
            c.wasm_component_model_async(true);
            c.wasm_component_model_more_async_builtins(true);
            c.wasm_component_model_async_stackful(true);
            c.wasm_component_model_error_context(true);
        }
    }
    c.memory_init_cow(true);
    c.epoch_interruption(true);
    c
}

fn pool(slots: u32, config: &EngineConfig) -> PoolingAllocationConfig {
    let mut p = PoolingAllocationConfig::new();
    p.total_component_instances(slots)
        .total_core_instances(slots.saturating_mul(4))
        .total_memories(slots + slots / 4)
        .total_tables(slots.saturating_mul(3))
        .total_stacks(slots)
        .table_elements(100_000)
        .max_core_instance_size(8 << 20)
        .max_component_instance_size(8 << 20);
    // Zeroing in place pays only where the kernel can tell which pages were touched (6.7 and later).
    if PoolingAllocationConfig::is_pagemap_scan_available() {
        p.linear_memory_keep_resident(config.keep_resident).table_keep_resident(64 << 10).pagemap_scan(Enabled::Yes);
    }
    p
}

/// One instance must not take all descriptors of the process.
fn max_resources() -> usize {
    let open_files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(open_files / 4).unwrap_or(usize::MAX).clamp(200, 16 << 10)
}

fn max_map_count() -> u32 {
    std::fs::read_to_string("/proc/sys/vm/max_map_count").ok().and_then(|s| s.trim().parse().ok()).unwrap_or(65_530)
}
