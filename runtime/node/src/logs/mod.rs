//! A container's output: one file per run, in the lines of the CRI (`time stream tag text`), rotated and bounded.

mod line;
mod reader;
mod writer;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;

pub use reader::{LogOptions, read};
pub use writer::{Log, Stream};

/// Bytes of one file before it is rotated.
pub const MAX_FILE: u64 = 10 << 20;
/// Files of one run, the current one among them.
pub const MAX_FILES: usize = 5;

/// The logs of a node's containers.
pub struct Logs {
    dir: PathBuf,
    open: RwLock<HashMap<Arc<Path>, Arc<Log>>>,
}

impl Logs {
    /// Logs under `dir`.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, open: RwLock::default() }
    }

    /// The folder of a Pod.
    pub fn pod_dir(&self, namespace: &str, name: &str, uid: &str) -> PathBuf {
        self.dir.join(format!("{namespace}_{name}_{uid}"))
    }

    /// Begins the log of a container's run number `run` (its restart count). Logs before the last two runs go.
    pub fn begin(&self, pod_dir: &Path, container: &str, run: i32) -> Arc<Log> {
        let path: Arc<Path> = run_path(pod_dir, container, run).into();
        let log = Log::new(path.clone());
        self.open.write().insert(path, log.clone());
        if run >= 2 {
            remove_run(&run_path(pod_dir, container, run - 2));
        }
        log
    }

    /// Ends a log: what is incomplete is written, followers come to the end.
    pub fn end(&self, log: &Log) {
        log.close();
        self.open.write().remove(log.path());
    }

    /// The log of a run that still goes on.
    pub fn current(&self, path: &Path) -> Option<Arc<Log>> {
        self.open.read().get(path).cloned()
    }

    /// Forgets a Pod's logs.
    pub fn remove_pod(&self, pod_dir: &Path) {
        let _ = std::fs::remove_dir_all(pod_dir);
    }
}

/// The file of a container's run.
pub fn run_path(pod_dir: &Path, container: &str, run: i32) -> PathBuf {
    pod_dir.join(container).join(format!("{run}.log"))
}

/// The files of a run, oldest first, the current one last.
fn files(path: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = (1..MAX_FILES).rev().map(|n| rotated(path, n)).filter(|p| p.exists()).collect();
    all.push(path.to_owned());
    all
}

fn rotated(path: &Path, n: usize) -> PathBuf {
    path.with_extension(format!("log.{n}"))
}

fn remove_run(path: &Path) {
    for file in files(path) {
        let _ = std::fs::remove_file(file);
    }
}
