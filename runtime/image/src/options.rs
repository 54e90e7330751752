//! What may be set: policies, limits, and what the store needs of the engine.

use std::time::Duration;

use crate::builtin::{Aliases, Builtin};
use crate::compile::CompileCommand;
use crate::credentials::Keyring;
use crate::image::Flavor;
use crate::offers::Offers;
use crate::registry::Transport;

/// A container's `imagePullPolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullPolicy {
    /// Ask the registry each time; what is here already is not fetched again.
    Always,
    /// Ask only when the name is unknown here.
    IfNotPresent,
    /// Never ask.
    Never,
}

impl std::str::FromStr for PullPolicy {
    type Err = String;
    fn from_str(text: &str) -> Result<PullPolicy, String> {
        match text {
            "Always" => Ok(PullPolicy::Always),
            "IfNotPresent" => Ok(PullPolicy::IfNotPresent),
            "Never" => Ok(PullPolicy::Never),
            other => Err(format!("unknown imagePullPolicy {other:?}")),
        }
    }
}

/// The engine's compatibility hash of each flavor (`Engine::compatibility`): part of a compiled file's key.
#[derive(Clone, Debug, Default)]
pub struct Compatibility {
    /// Of the engine for WASI 0.2.
    pub p2: String,
    /// Of the engine for WASI 0.3.
    pub p3: String,
}

impl Compatibility {
    /// That of a flavor.
    pub fn of(&self, flavor: Flavor) -> &str {
        match flavor {
            Flavor::P2 => &self.p2,
            Flavor::P3 => &self.p3,
        }
    }
}

/// Bounds on what comes from outside. All sizes in bytes.
#[derive(Clone, Debug)]
pub struct Limits {
    /// A manifest or an image configuration.
    pub manifest: u64,
    /// One blob as it is transferred.
    pub blob: u64,
    /// All blobs of an image.
    pub image: u64,
    /// All files of an image, unpacked.
    pub unpacked: u64,
    /// Files and folders of an image.
    pub files: u64,
    /// Layers of an image.
    pub layers: usize,
    /// One Wasm module or component.
    pub module: u64,
    /// Functions of a module, all nested ones together.
    pub functions: u64,
    /// One function's body.
    pub function: u64,
    /// Pulls at a time.
    pub pulls: usize,
    /// Compiler children at a time.
    pub compilations: usize,
    /// A compilation, by the clock: long, for machines that are busy; what it may cost is bounded by the next.
    pub compile_wall: Duration,
    /// A compilation's processor time.
    pub compile_cpu: Duration,
    /// A compiler child's address space.
    pub compile_memory: u64,
    /// Silence of a registry.
    pub read_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            manifest: 4 << 20,
            blob: 1 << 30,
            image: 2 << 30,
            unpacked: 4 << 30,
            files: 200_000,
            layers: 128,
            module: 256 << 20,
            functions: 500_000,
            function: 4 << 20,
            pulls: 4,
            compilations: std::thread::available_parallelism().map_or(1, |n| n.get().div_ceil(2)),
            compile_wall: Duration::from_secs(600),
            compile_cpu: Duration::from_secs(180),
            compile_memory: 4 << 30,
            read_timeout: Duration::from_secs(30),
        }
    }
}

/// What [`Images::open`] needs.
#[derive(Clone, Debug)]
pub struct Options {
    /// How the compiler child is started.
    pub compile: CompileCommand,
    /// The engine's compatibility hashes.
    pub compatibility: Compatibility,
    /// Interfaces that the engine offers to components.
    pub offers: Offers,
    /// Names that lead to built-in images.
    pub aliases: Aliases,
    /// Built-in images: [`crate::builtin::all`], or a test's own.
    pub builtin: Vec<Builtin>,
    /// Bounds.
    pub limits: Limits,
    /// How registries are reached: trusted certificates (the cluster's CA), and which speak plain HTTP.
    pub transport: Transport,
    /// Credentials for every pull, after those of the Pod.
    pub keyring: Keyring,
}

impl Options {
    /// Defaults for everything that is not the engine's to say.
    pub fn new(compile: CompileCommand, compatibility: Compatibility, offers: Offers) -> Options {
        Options {
            compile,
            compatibility,
            offers,
            aliases: Aliases::none(),
            builtin: crate::builtin::all(),
            limits: Limits::default(),
            transport: Transport::default(),
            keyring: Keyring::new(),
        }
    }
}
