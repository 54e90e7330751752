//! Images: OCI pull and push, the node's content store, what an image is, and bounded compilation with its cache.
//!
//! [`Images`] is the door: [`Images::ensure`] brings an image to this machine, [`Images::prepare`] answers what of it
//! runs for a container's `command` and `args` and hands out the compiled file.
//!
//! Architecture Invariant: this crate knows neither wasmtime nor Kubernetes. Compilation is a command line
//! ([`CompileCommand`]) whose other end is [`compile::child_main`], and what the host offers is a table ([`Offers`]).
//! Everything that arrives from a registry is untrusted: it is bounded, verified against its digest and validated
//! before anything is compiled, and compiled code is never accepted from outside.

pub mod builtin;
pub mod compile;
mod credentials;
mod distribution;
mod error;
mod flight;
mod gc;
mod image;
mod images;
mod inspect;
mod manifest;
mod module;
mod offers;
mod options;
mod pull;
mod push;
mod reference;
mod registry;
mod rootfs;
mod store;
mod unpack;
mod wrap;

pub use builtin::{Aliases, Builtin};
pub use compile::CompileCommand;
pub use credentials::{Credential, Keyring};
pub use error::ImageError;
pub use gc::{Collected, GcPolicy};
pub use image::{Entry, Flavor, Image, ImageConfig, Module, Prepared};
pub use images::{Images, Stored};
pub use inspect::{Inspection, inspect};
pub use offers::Offers;
pub use options::{Compatibility, Limits, Options, PullPolicy};
pub use push::{Artifact, MANIFEST_TYPE, pack_file, push};
pub use reference::Reference;
pub use registry::{OwnRegistry, Transport};
