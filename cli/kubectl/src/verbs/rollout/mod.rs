//! `rollout`: how a workload changes from one template to the next.

mod history;
mod status;
mod undo;

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::flags::{DryRun, DryRunFlag, tell};
use crate::manifest::FileFlags;
use crate::print::output::{FORMS, OutputFlags};
use crate::selection::{Info, Selection, fetch};
use crate::session::{PatchType, Session, with_query};

pub(super) const EXAMPLES: &str = "Examples:
  wharf rollout status deploy web
  wharf rollout history deploy web --revision=2
  wharf rollout undo deploy web --to-revision=1
  wharf rollout restart deploy web
  wharf rollout pause deploy web
  wharf rollout resume deploy web";

/// What `rollout` is told.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Wait until the rollout is done, and tell how far it is
    Status(status::Arguments),
    /// Show earlier revisions
    History(history::Arguments),
    /// Go back to an earlier revision
    Undo(undo::Arguments),
    /// Keep changes of the template from taking effect
    Pause(Target),
    /// Let changes take effect again
    Resume(Target),
    /// Replace all Pods by new ones
    Restart(Target),
}

/// The workloads that are meant.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Target {
    /// TYPE NAME, or TYPE/NAME
    words: Vec<String>,
    #[command(flatten)]
    files: FileFlags,
    #[command(flatten)]
    output: OutputFlags,
    #[command(flatten)]
    dry_run: DryRunFlag,
    /// Label selector.
    #[arg(long, short = 'l')]
    selector: Option<String>,
    /// Who is said to manage the fields.
    #[arg(long, default_value = "kubectl-rollout", hide_default_value = true)]
    field_manager: String,
}

impl Target {
    async fn fetch(&self, session: &Session) -> Result<(Vec<Info>, Vec<Error>)> {
        if self.words.is_empty() && self.files.is_empty() {
            return Err(Error::message("required resource not specified"));
        }
        let selection =
            Selection { words: self.words.clone(), files: self.files.clone(), selector: self.selector.clone(), type_alone: true, ..Selection::default() };
        let (infos, errors, _) = fetch(session, &selection, false).await?;
        Ok((infos, errors))
    }
}

/// Does it.
pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<()> {
    match arguments.what {
        What::Status(arguments) => status::run(session, arguments).await,
        What::History(arguments) => history::run(session, arguments).await,
        What::Undo(arguments) => undo::run(session, arguments).await,
        What::Pause(target) => change(session, &target, "paused", |object| paused(object, true)).await,
        What::Resume(target) => change(session, &target, "resumed", |object| paused(object, false)).await,
        What::Restart(target) => change(session, &target, "restarted", restarted).await,
    }
}

/// A patch; None where there is nothing to do; or why it cannot be.
type Patch = std::result::Result<Option<Value>, String>;

fn paused(object: &Value, pause: bool) -> Patch {
    if object["kind"] != "Deployment" {
        return Err(format!("{} is not supported", if pause { "pausing" } else { "resuming" }));
    }
    let now = object["spec"]["paused"] == true;
    if now == pause {
        return Err(if pause { "is already paused".into() } else { "is not paused".into() });
    }
    Ok(Some(json!({"spec": {"paused": if pause { Value::Bool(true) } else { Value::Null }}})))
}

fn restarted(object: &Value) -> Patch {
    if !matches!(object["kind"].as_str(), Some("Deployment" | "DaemonSet" | "StatefulSet")) {
        return Err("restarting is not supported".into());
    }
    if object["spec"]["paused"] == true {
        return Err("can't restart paused deployment (run rollout resume first)".into());
    }
    let now = jiff::Zoned::now().strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
    let now = now.strip_suffix("+00:00").map_or(now.clone(), |utc| format!("{utc}Z"));
    Ok(Some(json!({"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": now}}}}})))
}

async fn change(session: &Session, target: &Target, operation: &str, patch: impl Fn(&Value) -> Patch) -> Result<()> {
    let mut printer = target.output.printer(FORMS)?;
    let (infos, mut errors) = target.fetch(session).await?;
    if infos.is_empty() && errors.is_empty() {
        eprintln!("No resources found in {} namespace.", session.namespace);
        return Ok(());
    }
    for info in infos {
        let change = match patch(&info.object) {
            Ok(Some(change)) => change,
            Ok(None) => {
                tell(&mut printer, &info.object, &format!("already {operation}"), DryRun::None)?;
                continue;
            }
            Err(why) => {
                errors.push(Error::message(format!("error: {} {:?} {why}", info.resource.resource_name(), info.name)));
                continue;
            }
        };
        match session.patch(&with_query(&info.path(), &[("fieldManager", &target.field_manager)]), PatchType::Strategic, &change).await {
            Ok(object) => tell(&mut printer, &object, operation, DryRun::None)?,
            Err(error) => errors.push(Error::message(format!("failed to patch: {}", error.text()))),
        }
    }
    Error::all(errors)
}

/// The revision of a ReplicaSet or Deployment.
fn revision(object: &Value) -> i64 {
    object["metadata"]["annotations"]["deployment.kubernetes.io/revision"].as_str().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// What a workload's history is made of: revision, what is kept of it, and its template.
struct Kept {
    revision: i64,
    object: Value,
    template: Value,
}

async fn kept(session: &Session, info: &Info) -> Result<Vec<Kept>> {
    let object = &info.object;
    let namespace = info.namespace.as_deref().unwrap_or_default();
    let selector = crate::labels::format_selector(&object["spec"]["selector"]);
    let kind = match info.resource.kind.as_str() {
        "Deployment" => "replicasets",
        "DaemonSet" | "StatefulSet" => "controllerrevisions",
        _ => return Err(Error::message(format!("no history viewer has been implemented for {:?}", group_kind(info)))),
    };
    let path = with_query(&format!("/apis/apps/v1/namespaces/{namespace}/{kind}"), &[("labelSelector", &selector)]);
    let list = crate::selection::list(session, &path, "application/json", 500).await?;
    let owned = list["items"].as_array().into_iter().flatten().filter(|item| {
        item["metadata"]["ownerReferences"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|owner| owner["controller"] == true && owner["uid"] == object["metadata"]["uid"])
    });
    let mut all: Vec<Kept> = owned
        .map(|item| {
            if kind == "replicasets" {
                Kept { revision: revision(item), template: item["spec"]["template"].clone(), object: item.clone() }
            } else {
                let mut template = item["data"]["spec"]["template"].clone();
                if let Some(map) = template.as_object_mut() {
                    map.remove("$patch");
                }
                Kept { revision: item["revision"].as_i64().unwrap_or(0), template, object: item.clone() }
            }
        })
        .collect();
    all.sort_by_key(|kept| kept.revision);
    Ok(all)
}

/// `Deployment.apps`
fn group_kind(info: &Info) -> String {
    crate::discovery::with_group(&info.resource.kind, &info.resource.group)
}
