//! Where the cluster's objects are kept: a [`Store`] that takes writes, and a [`WatchCache`] that
//! answers every read and every watch from memory.
//!
//! The store knows nothing of Kubernetes. A key is `group/plural/namespace/name`
//! (`group/plural/name` for cluster-scoped kinds, with `core` for the core group); its first two
//! segments are the *resource*. A value is JSON. There is one revision for the whole store; it goes
//! up by one with every write and is what the API calls `resourceVersion`.
//!
//! Invariants:
//! - A write is acknowledged only after it is on disk, and only then seen by readers.
//! - A read that begins after an acknowledgement sees that write.
//! - No transaction of the database is held for reading: reads never touch the disk.
//! - A watch sees every event of its resource in order, or [`Expired`].

mod cache;
mod history;
mod item;
mod redb;
mod rest;
mod write;

pub use cache::{Cursor, Snapshot, WatchCache};
pub use history::{Expired, Limits};
pub use item::{Event, EventKind, Item, key, resource_of};
pub use redb::{OpenError, Options, RedbStore};
pub use write::{Expect, NewValue, Store, Write, WriteError};
