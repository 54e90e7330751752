//! What the registry asks those who run it: who may do what, and which images are in use.

use std::collections::HashSet;

use futures::future::BoxFuture;
use http::request::Parts;

use crate::names::Digest;

/// What somebody wants to do with a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Read manifests, blobs, tags and referrers.
    Pull,
    /// Write blobs, manifests and tags.
    Push,
    /// Delete any of them.
    Delete,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Yes.
    Allowed,
    /// Nobody knows who asks: credentials are missing or no good.
    Unauthenticated,
    /// Not with these credentials; why.
    Denied(String),
}

/// Who may do what.
pub trait Access: Send + Sync + 'static {
    /// Whether the sender of a request may do this with a repository; with `None`, whether it is known at all.
    fn decide(&self, request: &Parts, wanted: Option<(Action, &str)>) -> Decision;
}

/// Which images must stay although no tag leads to them.
pub trait InUse: Send + Sync + 'static {
    /// Their digests. An error keeps everything that has no tag for another round.
    fn digests(&self) -> BoxFuture<'_, Result<HashSet<Digest>, String>>;
}
