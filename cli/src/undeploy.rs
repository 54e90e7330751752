//! `wharf undeploy`: removes what `wharf deploy` made for a function, and nothing else.

use anyhow::Result;

use crate::client::Cluster;
use crate::deploy;
use crate::say::Progress;

/// What `wharf undeploy` is told.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  wharf undeploy hello
  wharf undeploy hello -n team")]
pub(crate) struct Arguments {
    /// The function's name.
    name: String,
    #[command(flatten)]
    cluster: Cluster,
}

/// Removes it, and returns when it is gone.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    crate::process::block_on(async {
        let connection = arguments.cluster.connect().await?;
        deploy::undeploy(&connection, &arguments.name, &Progress::new()).await
    })
}
