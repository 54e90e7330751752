//! For hosts with worlds of their own (plugins): components of the engine for WASI 0.2, and stores that cannot run away.

use crate::engine::{Engine, EngineError};
use crate::inspect::Flavor;
use std::path::Path;
use std::pin::Pin;
use std::task::Poll;
use wasmtime::component::Component;
use wasmtime::{Store, UpdateDeadline};

impl Engine {
    /// wasmtime's engine for WASI 0.2, for linkers.
    pub fn wasmtime(&self) -> &wasmtime::Engine {
        self.inner.wasmtime(Flavor::P2)
    }

    /// What [`crate::compile`] wrote, for a linker of one's own. As with [`Engine::load`], the file must be this very program's.
    pub fn component(&self, path: &Path) -> Result<Component, EngineError> {
        // SAFETY: documented above; the caller vouches for the file, wasmtime checks that its own build wrote it.
        unsafe { Component::deserialize_file(self.wasmtime(), path) }.map_err(|e| EngineError::Load(format!("{e:#}")))
    }

    /// Compiles in this process, without bounds on time or memory: for one's own components and tests.
    pub fn component_of_source(&self, wasm: &[u8]) -> Result<Component, EngineError> {
        Component::new(self.wasmtime(), wasm).map_err(|e| EngineError::Compile(format!("{e:#}")))
    }

    /// A store on that engine. Its guest gives way at every tick, so that who waits for it can give it up; its calls have to be made
    /// through [`Engine::watched`].
    pub fn store<T: 'static>(&self, data: T) -> Store<T> {
        let mut store = Store::new(self.wasmtime(), data);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|_| Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now()))));
        store
    }

    /// A guest's work, with the ticks going while it runs.
    pub async fn watched<F: Future>(&self, work: F) -> F::Output {
        let mut work = std::pin::pin!(work);
        std::future::poll_fn(|cx| -> Poll<F::Output> {
            self.inner.ticker.wake();
            Pin::as_mut(&mut work).poll(cx)
        })
        .await
    }
}
