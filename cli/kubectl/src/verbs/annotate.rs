//! `annotate`

use crate::error::Result;
use crate::session::Session;

pub(super) const EXAMPLES: &str = "Examples:
  wharf annotate deploy web kubernetes.io/change-cause='nginx 1.29'
  wharf annotate --overwrite pods web note='a text'
  wharf annotate pods web note-";

/// What `annotate` is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    pairs: super::label::Arguments,
}

/// Does it.
pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<()> {
    super::label::run_on(session, arguments.pairs.parts(), "annotation", "annotations").await
}
