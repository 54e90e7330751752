//! `cordon`

use crate::error::Result;
use crate::session::Session;

pub(super) const EXAMPLES: &str = "Examples:
  wharf cordon worker
  wharf cordon -l zone=a";

/// What `cordon` is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    nodes: super::drain::Cordon,
}

/// Does it.
pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<()> {
    super::drain::cordon(session, arguments.nodes, true).await
}
