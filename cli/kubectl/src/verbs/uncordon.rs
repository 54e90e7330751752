//! `uncordon`

use crate::error::Result;
use crate::session::Session;

pub(super) const EXAMPLES: &str = "Examples:
  wharf uncordon worker
  wharf uncordon -l zone=a";

/// What `uncordon` is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    nodes: super::drain::Cordon,
}

/// Does it.
pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<()> {
    super::drain::cordon(session, arguments.nodes, false).await
}
