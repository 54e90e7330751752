//! `wharf push`: a component or module becomes an OCI artifact in a registry.

use std::path::PathBuf;

use anyhow::{Context, Result};
use wharf_image::Credential;

/// What `wharf push` is told.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  wharf push hello.wasm localhost:5000/hello:v1
  WHARF_REGISTRY_PASSWORD=… wharf push --username ci hello.wasm registry.example.com/team/hello:v1

What is pushed is the CNCF Wasm OCI artifact: any registry takes it, and any node of any cluster that
runs such artifacts can pull it. A registry on this machine (localhost, 127.…) is spoken to in plain HTTP.")]
pub(crate) struct Arguments {
    /// The component (or WASI 0.1 module) to push.
    file: PathBuf,
    /// Where to: REGISTRY/REPOSITORY[:TAG].
    name: String,
    /// User name for the registry.
    #[arg(long)]
    username: Option<String>,
    /// Password or token; better given by the environment than on the command line.
    #[arg(long, env = "WHARF_REGISTRY_PASSWORD", hide_env_values = true)]
    password: Option<String>,
}

/// Pushes, and prints the reference with the digest that names exactly these bytes.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let credential = match (&arguments.username, &arguments.password) {
        (None, None) => None,
        (username, password) => Some(Credential {
            user: username.clone().unwrap_or_default(),
            password: password.clone().context("--username needs a password: set WHARF_REGISTRY_PASSWORD")?,
        }),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
    let pushed = runtime.block_on(wharf_image::push(&arguments.file, &arguments.name, credential.as_ref(), wharf_image::Transport::default()));
    let digest = pushed.with_context(|| format!("push {} to {}", arguments.file.display(), arguments.name))?;
    crate::say::Progress::new().line(&digest);
    Ok(())
}
