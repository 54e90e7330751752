//! What a write is, and the trait that takes it.

use std::sync::Arc;

use async_trait::async_trait;

use crate::cache::WatchCache;
use crate::item::Item;

/// What must be true of a key for a write to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The key does not exist: a create.
    Absent,
    /// The key exists in this very revision.
    Revision(u64),
    /// The key exists.
    Exists,
}

/// JSON that lacks only its revision.
#[derive(Clone, Debug)]
pub struct NewValue {
    /// The object, with an empty text where the revision goes: `"resourceVersion":""`.
    pub json: Vec<u8>,
    /// The offset between those two quotes, in bytes.
    pub revision_at: usize,
}

/// One compare-and-swap.
#[derive(Clone, Debug)]
pub struct Write {
    /// See [`crate::key`].
    pub key: Arc<str>,
    /// The condition.
    pub expect: Expect,
    /// The new value, or none to delete.
    pub value: Option<NewValue>,
}

/// Why a write did not happen.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WriteError {
    /// [`Expect::Absent`], but here it is.
    #[error("key {0:?} exists already")]
    Exists(Arc<Item>),
    /// The key does not exist.
    #[error("key does not exist")]
    NotFound,
    /// [`Expect::Revision`], but this is the current one.
    #[error("key was changed since: {0:?}")]
    Conflict(Arc<Item>),
    /// The value's `revision_at` is not a place in it.
    #[error("the value has no place for its revision")]
    Malformed,
    /// The database refused; nothing was written. Disk full, for one.
    #[error("write to the store: {0}")]
    Unavailable(String),
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}

/// A place that takes writes and feeds a [`WatchCache`] with them.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Writes, and returns the new version (of a deletion: the last value under the deletion's
    /// revision) once it is durable and the cache shows it.
    async fn write(&self, write: Write) -> Result<Arc<Item>, WriteError>;

    /// The cache that all reads go to.
    fn cache(&self) -> &WatchCache;

    /// Waits until the cache shows everything that any client was acknowledged before this call;
    /// returns its revision. Immediate where this process is the only writer.
    async fn refresh(&self) -> Result<u64, WriteError>;

    /// Finishes the writes under way and closes the database. Later writes get [`WriteError::Closed`].
    async fn close(&self);
}
