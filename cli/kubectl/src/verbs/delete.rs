//! `delete`, and waiting until what is deleted is gone.

use std::time::Duration;

use serde_json::{Value, json};

use crate::client::duration;
use crate::error::{Error, Result};
use crate::flags::{DryRun, DryRunFlag};
use crate::manifest::FileFlags;
use crate::out;
use crate::selection::{Info, Selection, Target, fetch};
use crate::session::{Session, with_query};

pub(super) const EXAMPLES: &str = "Examples:
  wharf delete -f pod.yaml
  wharf delete pod,service web
  wharf delete pods,services -l app=web
  wharf delete pod web --now
  wharf delete pods --all";

/// What `delete` is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// TYPE NAME …, TYPE/NAME …, or TYPE with -l or --all
    words: Vec<String>,
    #[command(flatten)]
    files: FileFlags,
    #[command(flatten)]
    dry_run: DryRunFlag,
    /// All objects of the types, in the namespace.
    #[arg(long)]
    all: bool,
    /// In all namespaces.
    #[arg(long, short = 'A')]
    all_namespaces: bool,
    /// Label selector.
    #[arg(long, short = 'l')]
    selector: Option<String>,
    /// Field selector.
    #[arg(long)]
    field_selector: Option<String>,
    /// background, orphan or foreground: what becomes of what the object owns.
    #[arg(long, default_value = "background", num_args = 0..=1, require_equals = true, default_missing_value = "background", hide_default_value = true)]
    cascade: String,
    /// Seconds for a graceful end; -1 leaves it to the object.
    #[arg(long, default_value_t = -1, allow_hyphen_values = true, hide_default_value = true)]
    grace_period: i64,
    /// The same as --grace-period=1.
    #[arg(long)]
    now: bool,
    /// With --grace-period=0, do not wait for the end at all.
    #[arg(long)]
    force: bool,
    /// It is no error that an object is not there.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    ignore_not_found: Option<bool>,
    /// How long to wait; 0 is as long as it takes.
    #[arg(long, default_value = "0s", hide_default_value = true)]
    timeout: String,
    /// Wait until the objects are gone.
    #[arg(long, default_value = "true", action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_default_value = true, value_name = "BOOL")]
    wait: bool,
    /// name prints only kind/name.
    #[arg(long, short = 'o', default_value = "", hide_default_value = true)]
    output: String,
    /// Ask before deleting.
    #[arg(long, short = 'i')]
    interactive: bool,
    /// A path to DELETE at the server.
    #[arg(long, default_value = "", hide_default_value = true)]
    raw: String,
}

/// How things are deleted.
#[derive(Debug, Clone)]
pub(super) struct Deletion {
    pub(super) grace: i64,
    pub(super) propagation: &'static str,
    pub(super) dry_run: DryRun,
}

impl Deletion {
    fn options(&self) -> Value {
        let mut options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": self.propagation});
        if self.grace >= 0 {
            options["gracePeriodSeconds"] = self.grace.into();
        }
        options
    }

    fn said(&self, info: &Info) -> String {
        let mut operation = if self.grace == 0 { "force deleted".to_owned() } else { "deleted".to_owned() };
        if let Some(namespace) = &info.namespace {
            operation = format!("{operation} from {namespace} namespace");
        }
        format!("{} {:?} {}\n", info.resource.kind_name(), info.name, self.dry_run.said(&operation))
    }
}

pub(super) fn propagation(cascade: &str) -> Result<&'static str> {
    match cascade {
        "background" | "true" => Ok("Background"),
        "orphan" | "false" => Ok("Orphan"),
        "foreground" => Ok("Foreground"),
        other => Err(Error::message(format!("invalid cascade value ({other}). Must be \"background\", \"foreground\", or \"orphan\""))),
    }
}

/// Does it.
pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<()> {
    let dry_run = arguments.dry_run.read()?;
    if !arguments.raw.is_empty() {
        let answer = session.bytes(crate::session::request("DELETE", &arguments.raw, "application/json", None)?).await?;
        out(&String::from_utf8_lossy(&answer));
        return Ok(());
    }
    let mut grace = arguments.grace_period;
    if arguments.now {
        if grace != -1 {
            return Err(Error::message("--now and --grace-period cannot be specified together"));
        }
        grace = 1;
    }
    if grace == 0 && !arguments.force {
        grace = 1;
    }
    if arguments.force && grace < 0 {
        grace = 0;
    }
    let selecting = arguments.all || arguments.selector.is_some() || arguments.field_selector.is_some();
    let deletion = Deletion { grace, propagation: propagation(&arguments.cascade)?, dry_run };
    let selection = Selection {
        words: arguments.words.clone(),
        files: arguments.files.clone(),
        selector: arguments.selector.clone(),
        field_selector: arguments.field_selector.clone(),
        all: arguments.all,
        all_namespaces: arguments.all_namespaces,
        ..Selection::default()
    };
    let targets = selection.targets(session).await?;
    if !matches!(arguments.output.as_str(), "" | "name") {
        return Err(Error::message(format!("unexpected -o output mode: {}. We only support '-o name'", arguments.output)));
    }
    if grace == 0 && arguments.force {
        eprintln!(
            "Warning: Immediate deletion does not wait for confirmation that the running resource has been terminated. The resource may continue to run on the cluster indefinitely."
        );
    } else if grace > 0 && arguments.force {
        return Err(Error::message("--force and --grace-period greater than 0 cannot be specified together"));
    }
    let timeout = duration(&arguments.timeout).ok_or_else(|| Error::message(format!("invalid argument {:?} for \"--timeout\" flag", arguments.timeout)))?;
    let ignore = arguments.ignore_not_found.unwrap_or(selecting);
    let mut errors = targets.errors;
    let mut infos = Vec::new();
    for target in targets.targets {
        match target {
            // An object is deleted by its name; it need not be asked for.
            Target::Object { resource, namespace, name, source, local } => {
                infos.push(Info { resource, namespace, name, object: local.unwrap_or_default(), source })
            }
            Target::List { ref resource, .. } => {
                let one = Selection { words: vec![resource.resource_name()], files: FileFlags::default(), type_alone: true, ..selection.clone() };
                let (found, wrong, _) = fetch(session, &one, false).await?;
                infos.extend(found);
                errors.extend(wrong);
            }
        }
    }
    if arguments.interactive && !confirmed(&infos) {
        out("deletion is cancelled\n");
        return Ok(());
    }
    if session.explicit_namespace && infos.iter().any(|info| !info.resource.namespaced) && !arguments.all_namespaces {
        eprintln!("Warning: deleting cluster-scoped resources, not scoped to the provided namespace");
    }
    let mut gone = Vec::new();
    let found = infos.len();
    for info in infos {
        match delete(session, &info, &deletion, arguments.output == "name").await {
            Ok(uid) => gone.push((info, uid)),
            Err(error) if ignore && error.is_not_found() => {}
            Err(error) => errors.push(error),
        }
    }
    Error::all(errors)?;
    if found == 0 {
        out("No resources found\n");
        return Ok(());
    }
    if !arguments.wait || dry_run != DryRun::None {
        return Ok(());
    }
    let week = Duration::from_secs(168 * 3600);
    for (info, uid) in &gone {
        until_gone(session, &info.path(), uid.as_deref(), if timeout.is_zero() { week } else { timeout }).await.map_err(|error| match error {
            Error::Exit(_) => Error::message(format!("timed out waiting for the condition on {}/{}", info.resource.plural, info.name)),
            other => other,
        })?;
    }
    Ok(())
}

/// Deletes one object and says so; the answer is its uid.
pub(super) async fn delete(session: &Session, info: &Info, deletion: &Deletion, name_only: bool) -> Result<Option<String>> {
    let mut uid = None;
    if deletion.dry_run != DryRun::Client {
        let path = with_query(&info.path(), &[("dryRun", deletion.dry_run.parameter())]);
        let answer = session.delete(&path, &deletion.options()).await.map_err(|error| error.while_("deleting", &info.source))?;
        let found = if answer["kind"] == "Status" { &answer["details"]["uid"] } else { &answer["metadata"]["uid"] };
        uid = found.as_str().map(str::to_owned);
    }
    if name_only {
        out(&format!("{}/{}\n", info.resource.kind_name(), info.name));
    } else {
        out(&deletion.said(info));
    }
    Ok(uid)
}

/// Waits until an object is gone, or is another one. [`Error::Exit`] when it takes too long.
pub(super) async fn until_gone(session: &Session, path: &str, uid: Option<&str>, patience: Duration) -> Result<()> {
    let end = tokio::time::Instant::now() + patience;
    let mut pause = Duration::from_millis(20);
    loop {
        match session.get(path).await {
            Err(error) if error.is_not_found() => return Ok(()),
            // Who may not look does not wait.
            Err(Error::Status(status)) if status.code == 403 || status.code == 405 => return Ok(()),
            Err(error) => return Err(error),
            Ok(object) if uid.is_some() && object["metadata"]["uid"].as_str() != uid => return Ok(()),
            Ok(_) if tokio::time::Instant::now() >= end => return Err(Error::Exit(1)),
            Ok(_) => {
                tokio::time::sleep(pause.min(end.saturating_duration_since(tokio::time::Instant::now()))).await;
                pause = (pause * 3 / 2).min(Duration::from_millis(500));
            }
        }
    }
}

fn confirmed(infos: &[Info]) -> bool {
    out(&format!("You are about to delete the following {} resource(s):\n", infos.len()));
    for info in infos {
        out(&format!("{}/{}\n", info.resource.kind_name(), info.name));
    }
    out("Do you want to continue? (y/N): ");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).is_ok() && line.trim().eq_ignore_ascii_case("y")
}
