//! `scale`: how many there are to be.

use std::time::Duration;

use serde_json::json;

use crate::client::duration;
use crate::error::{Error, Result};
use crate::flags::{ChangeFlags, DryRun, tell};
use crate::print::output::FORMS;
use crate::session::{PatchType, Session, with_query};

pub(super) const EXAMPLES: &str = "Examples:
  wharf scale deploy web --replicas=3
  wharf scale --replicas=3 -f deployment.yaml
  wharf scale --current-replicas=2 --replicas=3 deploy/web
  wharf scale --replicas=0 deploy/web deploy/db";

/// What `scale` is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// TYPE NAME …, or TYPE/NAME …
    words: Vec<String>,
    #[command(flatten)]
    change: ChangeFlags,
    /// How many.
    #[arg(long, allow_hyphen_values = true)]
    replicas: Option<i64>,
    /// Only if there are so many now.
    #[arg(long, default_value_t = -1, allow_hyphen_values = true, hide_default_value = true)]
    current_replicas: i64,
    /// Only if the object is at this version.
    #[arg(long, default_value = "", hide_default_value = true)]
    resource_version: String,
    /// How long to wait until there are so many; 0 is not at all.
    #[arg(long, default_value = "0s", hide_default_value = true)]
    timeout: String,
}

/// Does it.
pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<()> {
    let Some(replicas) = arguments.replicas else { return Err(Error::message("required flag(s) \"replicas\" not set")) };
    if replicas < 0 {
        return Err(Error::message("The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0"));
    }
    let flags = &arguments.change;
    let mut printer = flags.output.printer(FORMS)?;
    let dry_run = flags.dry_run.read()?;
    let timeout = duration(&arguments.timeout).unwrap_or_default();
    let (infos, errors, _) = flags.fetch(session, &arguments.words).await?;
    if infos.is_empty() {
        Error::all(errors)?;
        return Err(Error::message("no objects passed to scale"));
    }
    if !arguments.resource_version.is_empty() && infos.len() > 1 {
        return Err(Error::message("cannot use --resource-version with multiple resources"));
    }
    for info in infos {
        let mut object = info.object.clone();
        if dry_run != DryRun::Client {
            let path = format!("{}/scale", info.path());
            let now = session.get(&path).await?;
            let current = now["spec"]["replicas"].as_i64().unwrap_or(0);
            if arguments.current_replicas != -1 && current != arguments.current_replicas {
                return Err(Error::message(format!("Expected replicas to be {}, was {current}", arguments.current_replicas)));
            }
            let version = &now["metadata"]["resourceVersion"];
            if !arguments.resource_version.is_empty() && version.as_str() != Some(&arguments.resource_version) {
                return Err(Error::message(format!(
                    "Expected resource version to be {}, was {}",
                    arguments.resource_version,
                    version.as_str().unwrap_or_default()
                )));
            }
            session.patch(&with_query(&path, &[("dryRun", dry_run.parameter())]), PatchType::Merge, &json!({"spec": {"replicas": replicas}})).await?;
            if !timeout.is_zero() && dry_run == DryRun::None {
                wait(session, &path, replicas, timeout).await?;
            }
        }
        if info.resource.group == "apps" || info.resource.group.is_empty() {
            object["spec"]["replicas"] = replicas.into();
        }
        tell(&mut printer, &object, "scaled", dry_run)?;
    }
    Error::all(errors)
}

async fn wait(session: &Session, path: &str, replicas: i64, timeout: Duration) -> Result<()> {
    let end = tokio::time::Instant::now() + timeout;
    loop {
        let now = session.get(path).await?;
        if now["status"]["replicas"].as_i64().unwrap_or(0) == replicas {
            return Ok(());
        }
        if tokio::time::Instant::now() > end {
            return Err(Error::message("timed out waiting for the condition"));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
