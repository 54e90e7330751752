//! `wasi:keyvalue`: buckets of a namespace, in one file of this machine.
//!
//! What is promised, and to whom:
//! - A bucket belongs to a namespace: all Pods of the namespace on this machine have the same one under the same name, and
//!   nobody else has it. `""` is the bucket `default`; other names are DNS labels. A bucket is there once it is opened.
//! - It lives on this machine, beside the node's other data. It outlives Pods, and the process; it is not copied to other machines.
//! - What a write has returned is on the disk. Reads that begin afterwards see it, from any Pod. `set-many` and `delete-many`
//!   are done as a whole; `increment` and compare-and-swap are atomic.
//! - It goes with its namespace: a namespace of the same name made later begins empty.
//! - Bounds: see [`MAX_KEY`], [`MAX_VALUE`], [`MAX_NAMESPACE`], [`MAX_KEYS`], [`MAX_TOTAL`]. A write past one fails, and changes nothing.
//!
//! Architecture Invariant: the file is made when the first guest asks for a bucket.

mod data;
mod pod;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;

pub(crate) use pod::PodKeyValue;

/// Bytes of a key.
pub const MAX_KEY: usize = 512;
/// Bytes of a value.
pub const MAX_VALUE: usize = 1 << 20;
/// Bytes of a namespace's keys and values.
pub const MAX_NAMESPACE: u64 = 64 << 20;
/// Keys of a namespace.
pub const MAX_KEYS: u64 = 100_000;
/// Bytes of all keys and values.
pub const MAX_TOTAL: u64 = 1 << 30;
/// Keys in a page of a listing.
const PAGE: usize = 500;

/// The buckets of this machine; shared by all nodes of the process.
pub struct KeyValueData {
    path: PathBuf,
    open: parking_lot::Mutex<Option<Arc<data::Data>>>,
}

impl KeyValueData {
    /// In the file `path`, which is made when it is needed.
    pub fn at(path: impl Into<PathBuf>) -> Arc<Self> {
        Arc::new(Self { path: path.into(), open: parking_lot::Mutex::default() })
    }

    fn open(&self) -> Result<Arc<data::Data>, String> {
        let mut open = self.open.lock();
        if let Some(data) = &*open {
            return Ok(data.clone());
        }
        let data = data::Data::open(&self.path).map_err(|e| format!("open {}: {e}", self.path.display()))?;
        Ok(open.insert(Arc::new(data)).clone())
    }
}
