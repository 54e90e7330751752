//! `patch`: a change that the user wrote.

use serde_json::Value;

use crate::error::{Error, Result};
use crate::flags::{ChangeFlags, tell};
use crate::print::output::FORMS;
use crate::session::{PatchType, Session, with_query};

pub(super) const EXAMPLES: &str = "Examples:
  wharf patch node worker -p '{\"spec\":{\"unschedulable\":true}}'
  wharf patch deploy web --patch-file patch.yaml
  wharf patch pod web --type=json -p='[{\"op\":\"replace\",\"path\":\"/spec/containers/0/image\",\"value\":\"nginx\"}]'
  wharf patch deploy web --subresource=scale --type=merge -p '{\"spec\":{\"replicas\":2}}'";

/// What `patch` is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// TYPE NAME, or TYPE/NAME
    words: Vec<String>,
    #[command(flatten)]
    change: ChangeFlags,
    /// The patch, in JSON or YAML.
    #[arg(long, short = 'p', default_value = "", hide_default_value = true)]
    patch: String,
    /// A file with the patch.
    #[arg(long, default_value = "", hide_default_value = true)]
    patch_file: String,
    /// json, merge or strategic.
    #[arg(long, default_value = "strategic")]
    r#type: String,
    /// The subresource to patch, such as status or scale.
    #[arg(long, default_value = "", hide_default_value = true)]
    subresource: String,
}

/// Does it.
pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<()> {
    let flags = &arguments.change;
    match (arguments.patch.is_empty(), arguments.patch_file.is_empty()) {
        (false, false) => return Err(Error::message("cannot specify --patch and --patch-file together")),
        (true, true) => return Err(Error::message("must specify --patch or --patch-file containing the contents of the patch")),
        _ => {}
    }
    let kind = match arguments.r#type.to_lowercase().as_str() {
        "json" => PatchType::Json,
        "merge" => PatchType::Merge,
        "strategic" => PatchType::Strategic,
        _ => return Err(Error::message(format!("--type must be one of [json merge strategic], not {:?}", arguments.r#type))),
    };
    let text = if arguments.patch.is_empty() {
        std::fs::read_to_string(&arguments.patch_file)
            .map_err(|error| Error::message(format!("unable to read patch file: open {}: {error}", arguments.patch_file)))?
    } else {
        arguments.patch.clone()
    };
    let patch = crate::manifest::parse(&text).map_err(|error| Error::message(format!("unable to parse {text:?}: yaml: {error}")))?;
    let mut printer = flags.output.printer(FORMS)?;
    let dry_run = flags.dry_run.read()?;
    let mut selection = flags.selection(&arguments.words);
    selection.subresource.clone_from(&arguments.subresource);
    let (infos, mut errors, _) = crate::selection::fetch(session, &selection, flags.local).await?;
    let count = infos.len();
    for info in infos {
        let patched = if flags.stays_here()? {
            here(&info.object, kind, &patch)
        } else {
            let manager = if flags.field_manager.is_empty() { "kubectl-patch" } else { &flags.field_manager };
            let mut path = info.path();
            if !arguments.subresource.is_empty() {
                path = format!("{path}/{}", arguments.subresource);
            }
            session.patch(&with_query(&path, &[("dryRun", dry_run.parameter()), ("fieldManager", manager)]), kind, &patch).await
        };
        match patched {
            Ok(object) => tell(&mut printer, &object, if object == info.object { "patched (no change)" } else { "patched" }, dry_run)?,
            Err(error) => errors.push(error),
        }
    }
    if count == 0 && errors.is_empty() {
        return Err(Error::message("no objects passed to patch"));
    }
    Error::all(errors)
}

/// Applies the patch without the server, which alone knows how lists are merged.
fn here(object: &Value, kind: PatchType, patch: &Value) -> Result<Value> {
    let mut object = object.clone();
    match kind {
        PatchType::Json => {
            let patch: json_patch::Patch = serde_json::from_value(patch.clone()).map_err(|error| Error::message(error.to_string()))?;
            json_patch::patch(&mut object, &patch).map_err(|error| Error::message(error.to_string()))?;
        }
        _ => crate::merge::json::apply(&mut object, patch),
    }
    Ok(object)
}
