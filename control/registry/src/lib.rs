//! The cluster's own OCI registry: `/v2/` of the distribution specification 1.1, over a folder.
//!
//! [`Registry`] is a service from requests to answers; whoever has a listener hands it what begins with `/v2/`. Bytes are files under
//! their digest (`blobs/sha256/…`), streamed to disk and hashed on the way; what is where (repositories, tags, referrers) is one redb
//! file. [`Registry::keep`] collects what nobody needs.
//!
//! Architecture Invariant: there is no Kubernetes in here. Who may do what is asked of [`Access`], which images are in use of
//! [`InUse`]; both are somebody else's to answer.
//!
//! Architecture Invariant: a file under a digest's name is whole and on disk, and what a push was told is there stays there for the time
//! of grace. A crash at any moment leaves at most an upload that can go on, or a file that the next collection removes.

mod access;
mod error;
mod files;
mod gc;
mod index;
mod manifest;
mod names;
mod range;
mod registry;
mod route;
mod serve;
mod uploads;

pub use access::{Access, Action, Decision, InUse};
pub use gc::Collected;
pub use names::Digest;
pub use registry::{OpenError, Options, Registry};

/// The host by which images of this registry are named: `registry.wharf.local/NAME:TAG`.
pub const HOST: &str = "registry.wharf.local";
