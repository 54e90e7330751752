//! `api-versions`: the groups and versions that the server serves.

use crate::error::Result;
use crate::out;
use crate::session::Session;

/// What `api-versions` is told: nothing.
#[derive(Debug, clap::Args)]
pub struct Arguments {}

/// Does it.
pub(super) async fn run(session: &Session, _: Arguments) -> Result<()> {
    let discovery = session.discovery().await?;
    let versions =
        discovery.groups.iter().flat_map(|(group, versions)| versions.iter().map(move |v| if group.is_empty() { v.clone() } else { format!("{group}/{v}") }));
    let mut versions: Vec<String> = versions.collect();
    versions.sort();
    versions.iter().for_each(|version| out(&format!("{version}\n")));
    Ok(())
}
