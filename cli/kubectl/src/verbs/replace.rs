//! `replace`: whole objects, from a manifest.

use serde_json::json;

use crate::error::{Error, Result};
use crate::flags::{DryRun, MakeFlags, tell};
use crate::manifest::FileFlags;
use crate::print::output::FORMS;
use crate::selection::{Info, Selection, fetch};
use crate::session::{Session, with_query};

pub(super) const EXAMPLES: &str = "Examples:
  wharf replace -f pod.yaml
  cat pod.json | wharf replace -f -
  wharf replace --force -f pod.yaml";

/// What `replace` is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    files: FileFlags,
    #[command(flatten)]
    make: MakeFlags,
    /// Delete and create anew.
    #[arg(long)]
    force: bool,
}

/// Does it.
pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<()> {
    if arguments.files.is_empty() {
        return Err(Error::message("must specify one of -f and -k"));
    }
    let make = &arguments.make;
    let dry_run = make.dry_run.read()?;
    let mut printer = make.output.printer(FORMS)?;
    let (infos, mut errors, _) = fetch(session, &Selection { files: arguments.files.clone(), ..Selection::default() }, true).await?;
    for info in infos {
        match one(session, &arguments, &info, dry_run).await {
            Ok((object, said)) => tell(&mut printer, &object, said, dry_run)?,
            Err(error) => errors.push(error),
        }
    }
    Error::all(errors)
}

async fn one(session: &Session, arguments: &Arguments, info: &Info, dry_run: DryRun) -> Result<(serde_json::Value, &'static str)> {
    let make = &arguments.make;
    // An object that was applied says so also after it was replaced.
    let object = if make.save_config || info.object["metadata"]["annotations"].get(crate::merge::LAST_APPLIED).is_some() {
        crate::merge::annotated(&info.object)
    } else {
        info.object.clone()
    };
    if dry_run == DryRun::Client {
        return Ok((object, "replaced"));
    }
    let parameters = [("dryRun", dry_run.parameter()), ("fieldManager", "kubectl-replace"), ("fieldValidation", make.validate.parameter()?)];
    if arguments.force {
        let path = info.path();
        match session.delete(&path, &json!({"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0, "propagationPolicy": "Background"})).await {
            Ok(_) => super::delete::until_gone(session, &path, None, std::time::Duration::from_secs(300)).await?,
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
        let object = session.post(&with_query(&info.resource.path(info.namespace.as_deref()), &parameters), &object).await?;
        return Ok((object, "replaced"));
    }
    let object = session.put(&with_query(&info.path(), &parameters), &object).await.map_err(|error| error.while_("replacing", &info.source))?;
    Ok((object, "replaced"))
}
