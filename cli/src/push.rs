//! `wharf push`: a component or module becomes an OCI artifact in a registry.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use wharf_image::{Credential, Reference};

use crate::client::Cluster;
use crate::registry::Registry;

/// What `wharf push` is told.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  wharf push hello.wasm hello:v1                         to the cluster's own registry; Pods name it hello:v1
  wharf push hello.wasm localhost:5000/hello:v1
  WHARF_REGISTRY_PASSWORD=… wharf push --username ci hello.wasm registry.example.com/team/hello:v1

What is pushed is the CNCF Wasm OCI artifact: any registry takes it, and any node of any cluster that
runs such artifacts can pull it. A registry on this machine (localhost, 127.…) is spoken to in plain HTTP.")]
pub(crate) struct Arguments {
    /// The component (or WASI 0.1 module) to push.
    file: PathBuf,
    /// Where to: [REGISTRY/]REPOSITORY[:TAG]. Without a registry it is the cluster's own, with the kubeconfig's credentials.
    name: String,
    /// User name for the registry.
    #[arg(long)]
    username: Option<String>,
    /// Password or token; better given by the environment than on the command line.
    #[arg(long, env = "WHARF_REGISTRY_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    #[command(flatten)]
    cluster: Cluster,
}

/// Pushes, and prints the reference with the digest that names exactly these bytes.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if let Some(own) = own(&arguments.name)? {
        if arguments.username.is_some() {
            bail!("--username is not for the cluster's own registry, which takes the kubeconfig's credentials");
        }
        return crate::process::block_on(push_to_cluster(arguments, &own));
    }
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

/// What a name is in the cluster's own registry, when it is there.
fn own(name: &str) -> Result<Option<Reference>> {
    let host = wharf_registry::HOST;
    let reference = match Reference::bare_in(name, host) {
        Some(reference) => Some(reference),
        None => Some(Reference::parse(name)?).filter(|reference| reference.registry() == host),
    };
    if reference.as_ref().is_some_and(|reference| reference.digest().is_some()) {
        bail!("push {name}: push to a tag, not to a digest");
    }
    Ok(reference)
}

async fn push_to_cluster(arguments: &Arguments, own: &Reference) -> Result<()> {
    let what = || format!("push {} to {own}", arguments.file.display());
    let (artifact, _) = wharf_image::pack_file(&arguments.file).with_context(what)?;
    let connection = arguments.cluster.connect().await?;
    let registry = Registry::new(&connection.client, &connection.server);
    registry.push(own.repository(), own.tag().unwrap_or("latest"), &artifact).await.with_context(what)?;
    crate::say::Progress::new().line(&artifact.manifest_digest);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_names_are_the_clusters() {
        let own = |name: &str| own(name).map(|own| own.map(|own| own.to_string())).map_err(|error| error.to_string());
        assert_eq!(own("hello"), Ok(Some("registry.wharf.local/hello:latest".into())));
        assert_eq!(own("team/hello:v1"), Ok(Some("registry.wharf.local/team/hello:v1".into())));
        assert_eq!(own("registry.wharf.local/a:b"), Ok(Some("registry.wharf.local/a:b".into())));
        assert_eq!(own("localhost:5000/hello:v1"), Ok(None));
        assert!(own("Hello").is_err());
        assert!(own(&format!("hello@sha256:{}", "0".repeat(64))).unwrap_err().contains("not to a digest"));
    }
}
