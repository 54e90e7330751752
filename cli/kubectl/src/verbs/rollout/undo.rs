//! `rollout undo`

use serde_json::{Map, Value, json};

use super::{Kept, Target, group_kind, kept};
use crate::error::{Error, Result};
use crate::flags::{DryRun, tell};
use crate::print::output::FORMS;
use crate::selection::Info;
use crate::session::{PatchType, Session, with_query};

/// What it is told.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    target: Target,
    /// The revision to go back to; 0 is the last one.
    #[arg(long, default_value_t = 0, allow_hyphen_values = true, hide_default_value = true)]
    to_revision: i64,
}

/// Annotations that stay the workload's own.
const OWN: &[&str] = &[
    crate::merge::LAST_APPLIED,
    "deployment.kubernetes.io/revision",
    "deployment.kubernetes.io/revision-history",
    "deployment.kubernetes.io/desired-replicas",
    "deployment.kubernetes.io/max-replicas",
    "deprecated.deployment.rollback.to",
];

pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<()> {
    let mut printer = arguments.target.output.printer(FORMS)?;
    let dry_run = arguments.target.dry_run.read()?;
    let (infos, mut errors) = arguments.target.fetch(session).await?;
    for info in infos {
        match undo(session, &info, arguments.to_revision, dry_run).await {
            Ok(said) => tell(&mut printer, &info.object, &said, dry_run)?,
            Err(error) => errors.push(error),
        }
    }
    Error::all(errors)
}

async fn undo(session: &Session, info: &Info, to: i64, dry_run: DryRun) -> Result<String> {
    if !matches!(info.resource.kind.as_str(), "Deployment" | "DaemonSet" | "StatefulSet") {
        return Err(Error::message(format!("no rollbacker has been implemented for {:?}", group_kind(info))));
    }
    let deployment = info.resource.kind == "Deployment";
    let all = kept(session, info).await?;
    if to == 0 && all.len() <= 1 {
        return Err(Error::message(if deployment {
            format!("no rollout history found for deployment {:?}", info.name)
        } else {
            "no last revision to roll back to".into()
        }));
    }
    let chosen = if to == 0 { all.get(all.len() - 2) } else { all.iter().find(|kept| kept.revision == to) };
    let chosen = chosen.ok_or_else(|| Error::message(format!("unable to find specified revision {to} in history")))?;
    if dry_run == DryRun::Client {
        return Ok(format!("will roll back to {}", crate::describe::template(&chosen.template, jiff::Timestamp::now())));
    }
    if deployment && info.object["spec"]["paused"] == true {
        return Err(Error::message("you cannot rollback a paused deployment; resume it first with 'kubectl rollout resume' and try again"));
    }
    if bare(&chosen.template) == bare(&info.object["spec"]["template"]) {
        return Ok(format!("skipped rollback (current template already matches revision {to})"));
    }
    let path = with_query(&info.path(), &[("dryRun", dry_run.parameter())]);
    let outcome = if deployment {
        session.patch(&path, PatchType::Json, &patch(&info.object, chosen)).await
    } else {
        session.patch(&path, PatchType::Strategic, &chosen.object["data"]).await
    };
    outcome.map_err(|error| Error::message(format!("failed restoring revision {to}: {}", error.text())))?;
    Ok("rolled back".into())
}

/// A template without the label that tells ReplicaSets apart.
fn bare(template: &Value) -> Value {
    let mut template = template.clone();
    if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
        labels.remove("pod-template-hash");
    }
    crate::merge::without_nulls(&mut template);
    template
}

fn patch(deployment: &Value, chosen: &Kept) -> Value {
    let mut annotations = Map::new();
    for (key, value) in deployment["metadata"]["annotations"].as_object().into_iter().flatten().filter(|(key, _)| OWN.contains(&key.as_str())) {
        annotations.insert(key.clone(), value.clone());
    }
    for (key, value) in chosen.object["metadata"]["annotations"].as_object().into_iter().flatten().filter(|(key, _)| !OWN.contains(&key.as_str())) {
        annotations.insert(key.clone(), value.clone());
    }
    json!([
        {"op": "replace", "path": "/spec/template", "value": bare(&chosen.template)},
        {"op": "replace", "path": "/metadata/annotations", "value": annotations},
    ])
}
