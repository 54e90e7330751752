//! What the tests share: one engine, each guest compiled once, containers with everything at its simplest.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex};
use std::task::{Context, Poll};
use tempfile::TempDir;
use wharf_engine::*;

pub static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::new(EngineConfig { max_instances: Some(400), ..EngineConfig::default() }).unwrap());

pub fn guest_bytes(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../../tests/guests/{name}/{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

pub fn program(name: &str) -> Program {
    static LOADED: LazyLock<Mutex<HashMap<String, Program>>> = LazyLock::new(Mutex::default);
    let mut loaded = LOADED.lock().unwrap();
    loaded.entry(name.to_string()).or_insert_with(|| ENGINE.load_source(&guest_bytes(name)).unwrap()).clone()
}

/// Collects what is written.
#[derive(Default)]
pub struct Log(pub Mutex<Vec<u8>>);

impl Log {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
    pub async fn wait_for(&self, what: &str) {
        for _ in 0..1000 {
            if self.text().contains(what) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        panic!("{what:?} never came: {:?}", self.text());
    }
}

impl LogSink for Log {
    fn poll_write(&self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }
}

/// No request goes out.
pub struct NoOutgoing;

impl Outgoing for NoOutgoing {
    fn send(&self, _: ::http::Request<Body>, _: OutgoingOptions) -> BoxFuture<'static, Result<::http::Response<Body>, OutgoingError>> {
        Box::pin(std::future::ready(Err(OutgoingError::Denied)))
    }
}

/// A container in the making, and what the test looks at.
pub struct Setup {
    pub spec: ContainerSpec,
    pub log: Arc<Log>,
    pub usage: Arc<Usage>,
    pub root: TempDir,
}

pub fn setup(entry: Entry, args: &[&str]) -> Setup {
    let root = tempfile::tempdir().unwrap();
    let mounts = MountTable::new(root.path(), false).unwrap();
    setup_in(entry, args, root, mounts)
}

pub fn setup_in(entry: Entry, args: &[&str], root: TempDir, mounts: MountTable) -> Setup {
    let (log, usage) = (Arc::new(Log::default()), Arc::new(Usage::new()));
    let spec = ContainerSpec {
        entry,
        args: args.iter().map(|s| s.to_string()).collect(),
        env: [("GREETING".into(), "hello".into())].into(),
        working_dir: None,
        mounts: Arc::new(mounts),
        network: Arc::new(NoNetwork),
        outgoing: Arc::new(NoOutgoing),
        key_value: Arc::new(NoKeyValue),
        stdin: None,
        terminal: None,
        stdout: log.clone(),
        stderr: log.clone(),
        memory_limit: None,
        cpu: Arc::new(CpuQuota::unlimited()),
        usage: usage.clone(),
        http: HttpOptions::default(),
    };
    Setup { spec, log, usage, root }
}

pub fn start(program: &Program, spec: ContainerSpec) -> Command {
    match program.start(spec).unwrap() {
        Container::Command(c) => c,
        Container::Http(_) => panic!("not a command"),
    }
}

pub fn serve(program: &Program, spec: ContainerSpec) -> HttpContainer {
    match program.start(spec).unwrap() {
        Container::Http(h) => h,
        Container::Command(_) => panic!("not a handler"),
    }
}
