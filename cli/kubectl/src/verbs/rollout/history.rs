//! `rollout history`

use super::{Target, kept};
use crate::error::{Error, Result};
use crate::out;
use crate::print::output::{FORMS, Format, name};
use crate::print::tabwriter::TabWriter;
use crate::session::Session;

/// What it is told.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    target: Target,
    /// Show the template of this revision.
    #[arg(long, default_value_t = 0, allow_hyphen_values = true, hide_default_value = true)]
    revision: i64,
}

const CAUSE: &str = "kubernetes.io/change-cause";

pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<()> {
    if arguments.revision < 0 {
        return Err(Error::message(format!("revision must be a positive integer: {}", arguments.revision)));
    }
    let mut printer = arguments.target.output.printer(FORMS)?;
    let (infos, mut errors) = arguments.target.fetch(session).await?;
    for info in infos {
        let all = match kept(session, &info).await {
            Ok(all) => all,
            Err(error) => {
                errors.push(error);
                continue;
            }
        };
        let chosen = all.iter().find(|kept| kept.revision == arguments.revision);
        if arguments.revision > 0 && chosen.is_none() {
            errors.push(Error::message("unable to find the specified revision"));
            continue;
        }
        if !matches!(printer.format, Format::Human) {
            for kept in all.iter().filter(|kept| arguments.revision == 0 || kept.revision == arguments.revision) {
                out(&printer.print(&kept.object)?);
            }
            continue;
        }
        let text = match chosen {
            Some(kept) => {
                let mut template = kept.template.clone();
                if let Some(cause) = kept.object["metadata"]["annotations"][CAUSE].as_str() {
                    template["metadata"]["annotations"][CAUSE] = cause.into();
                }
                format!("with revision #{}\n{}", arguments.revision, crate::describe::template(&template, jiff::Timestamp::now()))
            }
            None if all.is_empty() => "\nNo rollout history found.".to_owned(),
            None => {
                let mut table = "REVISION\tCHANGE-CAUSE\n".to_owned();
                for kept in &all {
                    table.push_str(&format!("{}\t{}\n", kept.revision, kept.object["metadata"]["annotations"][CAUSE].as_str().unwrap_or("<none>")));
                }
                format!("\n{}", TabWriter::describe().format(&table))
            }
        };
        out(&format!("{} {text}\n", name(&info.object)));
    }
    Error::all(errors)
}
