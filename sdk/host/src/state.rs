//! The world of one call: what a component may import, each thing bounded.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use wasmtime::ResourceLimiter;
use wasmtime::component::{HasSelf, Linker, ResourceTable};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};
use wharf_engine::http::Hooks;

use crate::bindings::admission::wharf::plugin::{config, log};
use crate::outgoing::Granted;
use crate::settings::Settings;

/// Elements of one table.
const MAX_TABLE: usize = 100_000;
/// Streams, requests and the like at one time.
const MAX_RESOURCES: usize = 256;
/// Bytes of random numbers at a time.
const MAX_RANDOM: u64 = 1 << 16;
/// Bytes that a call may say; what comes after is dropped.
const MAX_SAID: usize = 16 << 10;

/// A store's data: one call.
pub(crate) struct State {
    settings: Arc<Settings>,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: Hooks,
    table: ResourceTable,
    pub(crate) memory: Memory,
    said: Said,
}

impl State {
    pub(crate) fn new(settings: &Arc<Settings>) -> State {
        let said = Said::default();
        let mut builder = WasiCtxBuilder::new();
        builder.max_random_size(MAX_RANDOM).allow_blocking_current_thread(true);
        if settings.grants.logging {
            builder.stdout(said.clone()).stderr(said.clone());
        }
        if settings.grants.environment {
            builder.envs(&settings.config);
        }
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_RESOURCES);
        State {
            wasi: builder.build(),
            http: WasiHttpCtx::new(),
            hooks: Hooks { outgoing: Arc::new(Granted(settings.clone())) },
            table,
            memory: Memory { limit: settings.memory, used: 0, refused: false },
            said,
            settings: settings.clone(),
        }
    }

    /// Writes to the log what the call said, where that is granted.
    pub(crate) fn tell(&self) {
        let said = std::mem::take(&mut *self.said.0.lock());
        for line in String::from_utf8_lossy(&said).lines().filter(|line| !line.is_empty()) {
            tracing::info!(target: "wharf_plugin", plugin = %self.settings.name, "{line}");
        }
    }
}

/// What plugins may import.
pub(crate) fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    config::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
    log::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
    Ok(linker)
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.hooks }
    }
}

impl config::Host for State {
    fn get(&mut self, name: String) -> Option<String> {
        self.settings.config.iter().find(|(n, _)| *n == name).map(|(_, value)| value.clone())
    }
    fn all(&mut self) -> Vec<(String, String)> {
        self.settings.config.clone()
    }
}

impl log::Host for State {
    fn write(&mut self, level: log::Level, message: String) {
        if !self.settings.grants.logging {
            return;
        }
        let level = match level {
            log::Level::Debug => "debug",
            log::Level::Info => "info",
            log::Level::Warn => "warn",
            log::Level::Error => "error",
        };
        self.said.put(format!("{level}: {message}\n").as_bytes());
    }
}

/// Bounds what an instance has.
pub(crate) struct Memory {
    limit: usize,
    used: usize,
    /// It wanted more; a trap after that is for lack of memory.
    pub(crate) refused: bool,
}

impl Memory {
    fn take(&mut self, bytes: usize) -> bool {
        let fits = self.used.saturating_add(bytes) <= self.limit;
        if fits {
            self.used += bytes;
        }
        self.refused |= !fits;
        fits
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(maximum.is_none_or(|m| desired <= m) && self.take(desired.saturating_sub(current)))
    }
    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= MAX_TABLE && maximum.is_none_or(|m| desired <= m) && self.take(desired.saturating_sub(current) * size_of::<usize>()))
    }
}

/// What a call says, kept up to a bound.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl Said {
    fn put(&self, bytes: &[u8]) {
        let mut said = self.0.lock();
        let room = MAX_SAID.saturating_sub(said.len());
        said.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

impl IsTerminal for Said {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Said {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        // Only asked for by WASI 0.3, of which there is nothing here.
        Box::new(tokio::io::sink())
    }
}

impl OutputStream for Said {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.put(&bytes);
        Ok(())
    }
    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }
    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(4096)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Said {
    async fn ready(&mut self) {}
}
