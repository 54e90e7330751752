//! `wasi:keyvalue`: buckets that outlive an instance. Who keeps them is the embedder's: see [`KeyValue`].

pub(crate) mod link;

pub(crate) use link::KeyValueView;

use crate::BoxFuture;
use std::sync::Arc;

/// The buckets that a container may open.
pub trait KeyValue: Send + Sync + 'static {
    /// Opens a bucket.
    fn open(&self, identifier: String) -> BoxFuture<'static, Result<Arc<dyn Bucket>, KeyValueError>>;
}

/// One bucket.
///
/// What a write has returned is kept; reads that begin afterwards see it, whoever reads. Each write is done as a whole or
/// not at all.
pub trait Bucket: Send + Sync + 'static {
    /// The value of a key.
    fn get(&self, key: String) -> BoxFuture<'static, Result<Option<Versioned>, KeyValueError>>;

    /// The keys behind `after`, in order: a page of them, and whether there are more.
    fn keys(&self, after: Option<String>) -> BoxFuture<'static, Result<(Vec<String>, bool), KeyValueError>>;

    /// Changes values.
    fn write(&self, write: Write) -> BoxFuture<'static, Result<Written, KeyValueError>>;
}

/// A value, and which of the values that its key ever had it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned {
    /// The value.
    pub value: Vec<u8>,
    /// Different for each write.
    pub version: u64,
}

/// What can be done to a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Sets values.
    Set(Vec<(String, Vec<u8>)>),
    /// Removes keys; those that are not there are none the worse for it.
    Delete(Vec<String>),
    /// Adds to a value that is a decimal number (0 where the key is not there); the result has to be one of `least..=most`.
    Add {
        /// The key.
        key: String,
        /// What is added.
        delta: i128,
        /// The least result.
        least: i128,
        /// The greatest result.
        most: i128,
    },
    /// Sets a value if the key still has that version (`None`: it is not there).
    Swap {
        /// The key.
        key: String,
        /// The version it must have.
        version: Option<u64>,
        /// Its new value.
        value: Vec<u8>,
    },
}

/// What came of a [`Write`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It is done.
    Done,
    /// The result of [`Write::Add`].
    Sum(i128),
    /// [`Write::Swap`] met another version, and changed nothing.
    Changed,
}

/// Why a bucket cannot be opened, read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyValueError {
    /// There is no such bucket.
    #[error("no such store")]
    NoSuchStore,
    /// The container may not use it.
    #[error("access denied")]
    AccessDenied,
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// A container without buckets: none can be opened.
#[derive(Debug, Default, Clone, Copy)]
pub struct NoKeyValue;

impl KeyValue for NoKeyValue {
    fn open(&self, _: String) -> BoxFuture<'static, Result<Arc<dyn Bucket>, KeyValueError>> {
        Box::pin(std::future::ready(Err(KeyValueError::AccessDenied)))
    }
}
