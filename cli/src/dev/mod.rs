//! `wharf dev`: deploys what a folder builds, again at every change, and shows what it logs.

mod changes;
mod logs;

use std::path::PathBuf;

use anyhow::Result;

use crate::client::Cluster;
use crate::deploy::source::Source;
use crate::deploy::{Settings, deploy};
use crate::process::Signals;
use crate::say::Progress;
use changes::Changes;

/// What `wharf dev` is told.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  wharf dev .                                   the Cargo project or wharf.toml of this folder
  wharf dev hello --host hello.example.com

Ctrl-C ends it; what was deployed stays until `wharf undeploy NAME`.")]
pub(crate) struct Arguments {
    /// The folder of a Cargo project or of a wharf.toml, or a component that something else builds.
    #[arg(value_name = "DIR", default_value = ".")]
    source: PathBuf,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    cluster: Cluster,
}

/// Runs until Ctrl-C.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    crate::process::block_on(serve(arguments))
}

async fn serve(arguments: &Arguments) -> Result<()> {
    let mut signals = Signals::new()?;
    let source = Source::find(&arguments.source)?;
    let connection = arguments.cluster.connect().await?;
    // Changes are heard from before the first build on.
    let changes = Changes::watch(&source)?;
    let (mut last, mut following) = (None, None);
    loop {
        let progress = Progress::new();
        match deploy(&source, &arguments.settings, &arguments.cluster, last.as_ref(), &progress).await {
            Ok(None) => {}
            Ok(Some(deployed)) => {
                progress.line(&format!("  {}", progress.strong(&deployed.url)));
                let name = deployed.function.name.clone();
                following.get_or_insert_with(|| tokio::spawn(logs::follow(connection.client.clone(), connection.namespace.clone(), name)));
                last = Some(deployed.function);
            }
            // The next change may be what it needs.
            Err(error) => crate::say::error(&error),
        }
        tokio::select! {
            () = changes.next() => progress.line("changed; once more"),
            name = signals.next() => {
                if let Some(following) = following {
                    following.abort();
                }
                progress.line(&format!("\n{name}: what was deployed stays; wharf undeploy removes it"));
                return Ok(());
            }
        }
    }
}
