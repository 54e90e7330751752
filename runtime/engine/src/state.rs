//! What a store holds, and the linkers that give a guest its world.

use crate::Outgoing;
use crate::environment::{Environment, EnvironmentView};
use crate::http::Hooks;
use crate::incoming::IncomingView;
use crate::inspect::{Entry, Flavor, InspectError, Inspection};
use crate::interfaces::{config, keyvalue, logging};
use crate::io::Output;
use crate::lifecycle::{Lifecycle, LifecycleView};
use crate::limits::{Memory, Meter};
use crate::rootfs::{ContainerFs, ContainerFsView, MountTable, View};
use crate::sockets::{PodSockets, SocketsView};
use crate::tls::TlsView;
use std::net::SocketAddr;
use std::sync::Arc;
use wasmtime::component::{InstancePre, Linker, ResourceTable};
use wasmtime_wasi::filesystem::WasiFilesystemCtxView;
use wasmtime_wasi::sockets::WasiSocketsCtxView;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::handler::ProxyPre;
use wasmtime_wasi_http::p2::bindings as http_p2;
use wasmtime_wasi_http::{WasiHttp, WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

/// A store's data: one instance of a container.
pub(crate) struct State {
    pub(crate) wasi: WasiCtx,
    pub(crate) environment: Arc<Environment>,
    pub(crate) lifecycle: Arc<Lifecycle>,
    pub(crate) http: WasiHttpCtx,
    /// Who sent the request that is being answered.
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) hooks: Hooks,
    pub(crate) table: ResourceTable,
    pub(crate) fs: ContainerFs,
    pub(crate) sockets: PodSockets,
    pub(crate) log: Output,
    pub(crate) key_value: Arc<dyn keyvalue::KeyValue>,
    pub(crate) memory: Memory,
    pub(crate) meter: Arc<Meter>,
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

impl ContainerFsView for State {
    fn container_fs(&mut self) -> View<'_> {
        View { fs: &mut self.fs, wasi: WasiFilesystemCtxView { ctx: self.wasi.filesystem(), table: &mut self.table } }
    }
}

impl EnvironmentView for State {
    fn environment(&mut self) -> &Arc<Environment> {
        &self.environment
    }
}

impl LifecycleView for State {
    fn lifecycle(&mut self) -> (&Arc<Lifecycle>, &mut ResourceTable) {
        (&self.lifecycle, &mut self.table)
    }
}

impl IncomingView for State {
    fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }
}

impl TlsView for State {
    fn tls(&mut self) -> (&Arc<dyn Outgoing>, &mut ResourceTable) {
        (&self.hooks.outgoing, &mut self.table)
    }
}

impl SocketsView for State {
    fn pod_sockets(&mut self) -> crate::sockets::View<'_> {
        crate::sockets::View::new(&mut self.sockets, WasiSocketsCtxView { ctx: self.wasi.sockets(), table: &mut self.table })
    }
}

impl config::ConfigView for State {
    fn config(&self) -> (&Environment, &MountTable) {
        (&self.environment, &self.fs.mounts)
    }
}

impl logging::LoggingView for State {
    fn log(&self) -> &Output {
        &self.log
    }
}

impl keyvalue::KeyValueView for State {
    fn key_value(&mut self) -> (&Arc<dyn keyvalue::KeyValue>, &mut ResourceTable) {
        (&self.key_value, &mut self.table)
    }
}

/// All that is offered to guests on an engine.
pub(crate) fn linker(engine: &wasmtime::Engine, flavor: Flavor) -> wasmtime::Result<Linker<State>> {
    let mut l = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut l)?;
    add_http_p2(&mut l)?;
    crate::environment::add_p2_to_linker(&mut l)?;
    crate::lifecycle::add_to_linker(&mut l)?;
    crate::tls::add_to_linker(&mut l)?;
    crate::incoming::add_to_linker(&mut l)?;
    crate::interfaces::add_to_linker(&mut l)?;
    crate::rootfs::p2::add_to_linker(&mut l)?;
    crate::sockets::add_p2_to_linker(&mut l)?;
    if flavor == Flavor::P3 {
        wasmtime_wasi::p3::add_to_linker(&mut l)?;
        wasmtime_wasi_http::p3::add_to_linker(&mut l)?;
        crate::environment::add_p3_to_linker(&mut l)?;
        crate::rootfs::p3::add_to_linker(&mut l)?;
        crate::sockets::add_p3_to_linker(&mut l)?;
    }
    Ok(l)
}

/// `wasi:http` 0.2, with what is unstable in it: guests whose tools import all that there is start, and only who calls it fails.
fn add_http_p2(l: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut options = http_p2::LinkOptions::default();
    options.informational_outbound_responses(true);
    http_p2::http::outgoing_handler::add_to_linker::<_, WasiHttp>(l, State::http)?;
    http_p2::http::types::add_to_linker::<_, WasiHttp>(l, &options.into(), State::http)
}

/// The entries of a component, each ready to be instantiated.
pub(crate) struct Pre {
    pub(crate) http_p2: Option<ProxyPre<State>>,
    pub(crate) http_p3: Option<ProxyPre<State>>,
    pub(crate) cli_p2: Option<wasmtime_wasi::p2::bindings::CommandPre<State>>,
    pub(crate) cli_p3: Option<wasmtime_wasi::p3::bindings::CommandPre<State>>,
}

impl Pre {
    pub(crate) fn new(pre: InstancePre<State>) -> Self {
        Self {
            http_p2: http_p2::ProxyPre::new(pre.clone()).ok().map(ProxyPre::P2),
            http_p3: wasmtime_wasi_http::p3::bindings::ServicePre::new(pre.clone()).ok().map(ProxyPre::P3),
            cli_p2: wasmtime_wasi::p2::bindings::CommandPre::new(pre.clone()).ok(),
            cli_p3: wasmtime_wasi::p3::bindings::CommandPre::new(pre).ok(),
        }
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        let all = [
            (Entry::HttpP3, self.http_p3.is_some()),
            (Entry::HttpP2, self.http_p2.is_some()),
            (Entry::CliP3, self.cli_p3.is_some()),
            (Entry::CliP2, self.cli_p2.is_some()),
        ];
        all.into_iter().filter(|(_, there)| *there).map(|(e, _)| e).collect()
    }
}

/// The interfaces that a container's world offers, with their versions: `wasi:cli/environment@0.2.12`.
pub fn offers() -> impl Iterator<Item = String> {
    OFFERED.iter().flat_map(|(version, names)| names.iter().map(move |name| format!("{name}@{version}")))
}

/// The interfaces of [`linker`], by version.
const OFFERED: &[(&str, &[&str])] = &[
    ("0.2.12", OFFERED_P2),
    ("0.3.0", OFFERED_P3),
    ("0.1.0", &["wharf:container/incoming", "wharf:container/lifecycle", "wharf:container/tls"]),
    (config::VERSION, &[config::INTERFACE]),
    (logging::VERSION, &[logging::INTERFACE]),
    (keyvalue::link::DRAFT, &keyvalue::link::INTERFACES),
    (keyvalue::link::DRAFT2, &keyvalue::link::INTERFACES),
];
const OFFERED_P2: &[&str] = &[
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:http/outgoing-handler",
    "wasi:http/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];
const OFFERED_P3: &[&str] = &[
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:cli/types",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/system-clock",
    "wasi:clocks/types",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:http/client",
    "wasi:http/types",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/types",
];

/// Compares a component's imports with what [`linker`] offers: by interface and by `major.minor`, as wasmtime links.
pub(crate) fn check_imports(inspection: &Inspection) -> Result<(), InspectError> {
    let mut missing = Vec::new();
    for import in &inspection.imports {
        let (name, wanted) = import.split_once('@').unwrap_or((import, ""));
        let offered: Vec<&str> = OFFERED.iter().filter(|(_, names)| names.contains(&name)).map(|(v, _)| *v).collect();
        // A pre-release fits nothing but itself.
        let fits = |v: &str| v == wanted || (!wanted.contains('-') && v.rsplit_once('.').map(|(m, _)| m) == wanted.rsplit_once('.').map(|(m, _)| m));
        if offered.iter().any(|v| fits(v)) {
            continue;
        }
        missing.push(match (wanted, offered.is_empty()) {
            ("", _) => format!("{name} (not offered)"),
            (_, true) => format!("{name}: wanted {wanted}, not offered in any version"),
            (_, false) => format!("{name}: wanted {wanted}, offered {}", offered.join(", ")),
        });
    }
    if missing.is_empty() { Ok(()) } else { Err(InspectError::Imports(missing)) }
}
