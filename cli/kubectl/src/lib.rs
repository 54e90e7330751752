//! The kubectl-style verbs of `wharf`: clients of the public API of any Kubernetes cluster, one file per verb.
//! What they print, where they print it and how they exit equals kubectl.
//!
//! [`Verb`] is a `clap` subcommand for the binary to mount at its top level; [`client::Connection`] is what every
//! command needs that speaks to a cluster.

pub mod client;
pub mod command;
pub mod completion;
pub mod describe;
pub mod discovery;
pub mod error;
pub mod flags;
pub mod kubeconfig;
pub mod labels;
pub mod manifest;
pub mod merge;
pub mod paths;
pub mod pods;
pub mod print;
pub mod selection;
pub mod session;
pub mod streams;
mod verbs;

pub use client::Connection;
pub use error::{Error, Result};
pub use session::Session;
pub use verbs::Verb;

/// Writes to standard output. A reader that has gone away ends the program, as it ends kubectl.
pub fn out(text: &str) {
    out_bytes(text.as_bytes());
}

/// The same of bytes.
#[allow(clippy::disallowed_methods, reason = "a client that nobody reads has nothing to bring to an end")]
pub fn out_bytes(bytes: &[u8]) {
    use std::io::Write;
    let mut stdout = std::io::stdout().lock();
    if stdout.write_all(bytes).and_then(|()| stdout.flush()).is_err() {
        // What a shell reports for SIGPIPE.
        std::process::exit(141);
    }
}
