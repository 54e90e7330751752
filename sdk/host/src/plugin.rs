//! A component that is loaded: a fresh instance for each call, ended when its time or memory is used up.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use wasmtime::Store;
use wasmtime::component::Component;
use wharf_engine::{BoxFuture, Engine};

use crate::bindings::{admission, ingress};
use crate::settings::{Settings, World};
use crate::state::{State, linker};

/// Calls of one plugin at one time; more wait, within their time.
const AT_ONCE: usize = 64;
/// Bytes of an error's words.
const MAX_WORDS: usize = 1024;

/// A loaded plugin. Cheap to clone; calls under way keep it.
#[derive(Clone)]
pub struct Plugin {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    settings: Arc<Settings>,
    pre: Pre,
    calls: Semaphore,
}

pub(crate) enum Pre {
    Admission(admission::AdmissionPre<State>),
    Ingress(ingress::IngressPre<State>),
}

/// Why a component is no plugin.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It is of another world.
    #[error("the component does not export {wanted}, which makes a plugin of the world {world}; it exports {exports}")]
    World {
        /// The world that was asked for.
        world: &'static str,
        /// The export that is missing.
        wanted: &'static str,
        /// What it exports.
        exports: String,
    },
    /// It imports what plugins are not offered.
    #[error("{0}")]
    Imports(String),
    /// It does not compile, or not load.
    #[error(transparent)]
    Engine(#[from] wharf_engine::EngineError),
}

impl LoadError {
    /// One word, for conditions.
    pub fn reason(&self) -> &'static str {
        match self {
            LoadError::World { .. } => "WrongWorld",
            LoadError::Imports(_) => "UnsupportedImports",
            LoadError::Engine(_) => "LoadFailed",
        }
    }
}

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// It trapped.
    #[error("the plugin trapped: {0}")]
    Trap(String),
    /// It was refused memory, and trapped.
    #[error("the plugin needs more than the {} MiB of its memory limit", .0 >> 20)]
    Memory(usize),
    /// Its time was up.
    #[error("the plugin did not answer within {} s", .0.as_secs_f64())]
    Timeout(Duration),
    /// Its answer is not one.
    #[error("the plugin's answer makes no sense: {0}")]
    Nonsense(String),
    /// There is no component (yet).
    #[error("the plugin is not ready: {0}")]
    NotReady(String),
    /// No instance could be made.
    #[error("no instance of the plugin: {0}")]
    Instantiate(String),
}

impl CallError {
    /// One word, for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            CallError::Trap(_) => "trap",
            CallError::Memory(_) => "memory",
            CallError::Timeout(_) => "timeout",
            CallError::Nonsense(_) => "nonsense",
            CallError::NotReady(_) => "not_ready",
            CallError::Instantiate(_) => "instantiate",
        }
    }
}

impl Plugin {
    /// Loads what the compiling child has written ([`Engine::component`] says what that asks of the file).
    pub fn load(engine: &Engine, compiled: &Path, settings: Settings) -> Result<Plugin, LoadError> {
        Plugin::of(engine, engine.component(compiled)?, settings)
    }

    /// Compiles and loads in this process, without bounds on the compilation: for one's own components and tests.
    pub fn from_source(engine: &Engine, wasm: &[u8], settings: Settings) -> Result<Plugin, LoadError> {
        Plugin::of(engine, engine.component_of_source(wasm)?, settings)
    }

    fn of(engine: &Engine, component: Component, settings: Settings) -> Result<Plugin, LoadError> {
        let ty = component.component_type();
        let exports: Vec<String> = ty.exports(engine.wasmtime()).map(|(name, _)| name.to_owned()).collect();
        let (world, wanted) = (settings.world.as_str(), settings.world.export());
        if !exports.iter().any(|e| e == wanted) {
            let exports = if exports.is_empty() { "nothing".to_owned() } else { exports.join(", ") };
            return Err(LoadError::World { world, wanted, exports });
        }
        let failed = |e: wasmtime::Error| LoadError::Imports(words(&e));
        let pre = linker(engine.wasmtime()).and_then(|linker| linker.instantiate_pre(&component)).map_err(failed)?;
        let pre = match settings.world {
            World::Admission => admission::AdmissionPre::new(pre).map(Pre::Admission),
            World::Ingress => ingress::IngressPre::new(pre).map(Pre::Ingress),
        };
        let inner = Inner { engine: engine.clone(), pre: pre.map_err(failed)?, calls: Semaphore::new(AT_ONCE), settings: Arc::new(settings) };
        Ok(Plugin { inner: Arc::new(inner) })
    }

    /// What it was loaded with.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    pub(crate) fn pre(&self) -> &Pre {
        &self.inner.pre
    }

    /// Runs one call, instance and all, within the plugin's time.
    pub(crate) async fn call<T>(&self, call: impl for<'a> FnOnce(&'a Pre, &'a mut Store<State>) -> BoxFuture<'a, wasmtime::Result<T>>) -> Result<T, CallError> {
        let inner = &*self.inner;
        let within = inner.settings.timeout;
        let work = async {
            // Never closed.
            let _turn = inner.calls.acquire().await;
            let mut store = inner.engine.store(State::new(&inner.settings));
            store.limiter(|state| &mut state.memory);
            let result = call(&inner.pre, &mut store).await;
            store.data().tell();
            let refused = store.data().memory.refused;
            result.map_err(|e| match () {
                () if refused => CallError::Memory(inner.settings.memory),
                () if e.downcast_ref::<wasmtime::PoolConcurrencyLimitError>().is_some() => CallError::Instantiate(words(&e)),
                () => CallError::Trap(words(&e)),
            })
        };
        let watched = inner.engine.watched(work);
        tokio::time::timeout(within, watched).await.unwrap_or(Err(CallError::Timeout(within)))
    }
}

/// Words for people: the root cause, without the backtrace.
fn words(error: &wasmtime::Error) -> String {
    let mut causes: Vec<String> = error.chain().map(|cause| cause.to_string()).filter(|cause| !cause.starts_with("error while executing")).collect();
    causes.reverse();
    causes.dedup();
    let mut text = causes.join("; ");
    if text.len() > MAX_WORDS {
        let end = (0..=MAX_WORDS).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}
