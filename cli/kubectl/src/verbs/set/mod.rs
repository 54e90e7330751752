//! `set`: one thing about the containers of a workload.

mod env;
mod image;
mod resources;

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::flags::{ChangeFlags, tell};
use crate::print::output::FORMS;
use crate::session::{PatchType, Session};

pub(super) const EXAMPLES: &str = "Examples:
  wharf set image deploy/web nginx=nginx:1.29
  wharf set image deploy web '*=nginx:1.29'
  wharf set env deploy/web COLOUR=blue OLD-
  wharf set env deploy/web --from=configmap/settings
  wharf set resources deploy/web -c nginx --limits=cpu=200m,memory=64Mi";

/// What `set` is told.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Set the image of containers
    Image(image::Arguments),
    /// Set the environment of containers
    Env(env::Arguments),
    /// Set what containers request and may have
    Resources(resources::Arguments),
    /// Set the service account of a template
    #[command(alias = "sa")]
    Serviceaccount(Account),
}

/// `set serviceaccount`
#[derive(Debug, clap::Args)]
struct Account {
    /// TYPE NAME or TYPE/NAME, and the service account
    words: Vec<String>,
    #[command(flatten)]
    change: ChangeFlags,
}

/// Does it.
pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<()> {
    match arguments.what {
        What::Image(arguments) => image::run(session, arguments).await,
        What::Env(arguments) => env::run(session, arguments).await,
        What::Resources(arguments) => resources::run(session, arguments).await,
        What::Serviceaccount(account) => {
            let Some((name, words)) = account.words.split_last() else { return Err(Error::message("serviceaccount is required")) };
            let edit = |spec: &Value| Ok((spec["serviceAccountName"] != name.as_str()).then(|| json!({"serviceAccountName": name})));
            change(session, &account.change, words, "serviceaccount updated", edit).await
        }
    }
}

/// The way to the Pod spec of a kind; none where there is none.
fn pod_spec(kind: &str) -> Option<&'static [&'static str]> {
    match kind {
        "Pod" => Some(&["spec"]),
        "CronJob" => Some(&["spec", "jobTemplate", "spec", "template", "spec"]),
        "Deployment" | "ReplicaSet" | "ReplicationController" | "DaemonSet" | "StatefulSet" | "Job" => Some(&["spec", "template", "spec"]),
        _ => None,
    }
}

/// Changes Pod specs: `edit` makes of one a strategic patch of it, or none where nothing changes.
async fn change(
    session: &Session,
    flags: &ChangeFlags,
    words: &[String],
    said: &str,
    edit: impl Fn(&Value) -> std::result::Result<Option<Value>, Vec<String>>,
) -> Result<()> {
    if words.is_empty() && flags.files.is_empty() {
        return Err(Error::message("one or more resources must be specified as <resource> <name> or <resource>/<name>"));
    }
    let mut printer = flags.output.printer(FORMS)?;
    let dry_run = flags.dry_run.read()?;
    let (infos, mut errors, _) = flags.fetch(session, words).await?;
    if !errors.is_empty() {
        return Error::all(errors);
    }
    for info in infos {
        let Some(path) = pod_spec(&info.resource.kind) else {
            errors.push(Error::message(format!(
                "error: {}/{} the object is not a pod or does not have a pod template: {}",
                info.resource.plural, info.name, info.resource.kind
            )));
            continue;
        };
        let spec = path.iter().fold(&info.object, |value, name| &value[name]);
        let patch = match edit(spec) {
            Ok(Some(patch)) => patch,
            Ok(None) => continue,
            Err(wrong) => {
                errors.extend(wrong.into_iter().map(Error::message));
                continue;
            }
        };
        let object = if flags.stays_here()? {
            let mut object = info.object.clone();
            let spec = path.iter().fold(&mut object, |value, name| &mut value[name]);
            merge_containers(spec, &patch);
            object
        } else {
            let patch = path.iter().rev().fold(patch, |inner, name| json!({*name: inner}));
            match flags.patch(session, &info, PatchType::Strategic, &patch, "kubectl-set").await {
                Ok(object) => object,
                Err(error) => {
                    errors.push(error);
                    continue;
                }
            }
        };
        tell(&mut printer, &object, said, dry_run)?;
    }
    Error::all(errors)
}

/// A strategic patch of containers, applied here.
fn merge_containers(spec: &mut Value, patch: &Value) {
    for (field, change) in patch.as_object().into_iter().flatten() {
        let Some(changes) = change.as_array() else {
            spec[field.as_str()] = change.clone();
            continue;
        };
        for container in spec[field.as_str()].as_array_mut().into_iter().flatten() {
            let Some(change) = changes.iter().find(|change| change["name"] == container["name"]) else { continue };
            for (key, value) in change.as_object().into_iter().flatten() {
                match (key.as_str(), value.as_array()) {
                    ("env", Some(variables)) => merge_variables(container, variables),
                    _ => crate::merge::json::apply(&mut container[key.as_str()], value),
                }
            }
        }
    }
}

fn merge_variables(container: &mut Value, variables: &[Value]) {
    let mut all = container["env"].as_array().cloned().unwrap_or_default();
    for variable in variables {
        let at = all.iter().position(|v| v["name"] == variable["name"]);
        match (at, variable["$patch"] == "delete") {
            (Some(at), true) => drop(all.remove(at)),
            (Some(at), false) => all[at] = variable.clone(),
            (None, true) => {}
            (None, false) => all.push(variable.clone()),
        }
    }
    container["env"] = all.into();
}

/// For each container that a name means (`*`, or a pattern with one) its change.
fn each_container(spec: &Value, pattern: &str, change: impl Fn(&Value) -> Option<Value>) -> (bool, Vec<(&'static str, Value)>) {
    let (mut found, mut changes) = (false, Vec::new());
    for field in ["initContainers", "containers"] {
        for container in spec[field].as_array().into_iter().flatten() {
            let name = container["name"].as_str().unwrap_or_default();
            if !matches(pattern, name) {
                continue;
            }
            found = true;
            changes.extend(change(container).map(|change| (field, change)));
        }
    }
    (found, changes)
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((before, after)) => name.len() >= before.len() + after.len() && name.starts_with(before) && name.ends_with(after),
    }
}

/// A patch of these containers.
fn patch_of(changes: Vec<(&'static str, Value)>) -> Option<Value> {
    let mut patch = json!({});
    for (field, change) in changes {
        if patch[field].is_null() {
            patch[field] = json!([]);
        }
        if let Some(list) = patch[field].as_array_mut() {
            match list.iter_mut().find(|c| c["name"] == change["name"]) {
                Some(existing) => crate::merge::json::apply(existing, &change),
                None => list.push(change),
            }
        }
    }
    patch.as_object().is_some_and(|map| !map.is_empty()).then_some(patch)
}
