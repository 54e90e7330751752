//! `edit`: an object in an editor, and back.

use std::process::Command;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::flags::{ChangeFlags, DryRun, tell};
use crate::print::output::{FORMS, without_managed_fields};
use crate::print::yaml;
use crate::selection::Info;
use crate::session::{PatchType, Session, with_query};

pub(super) const EXAMPLES: &str = "Examples:
  wharf edit deploy/web
  EDITOR=nano wharf edit configmap settings";

/// What `edit` is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// TYPE NAME, or TYPE/NAME
    words: Vec<String>,
    #[command(flatten)]
    change: ChangeFlags,
}

const HEAD: &str = "# Please edit the object below. Lines beginning with a '#' will be ignored,
# and an empty file will abort the edit. If an error occurs while saving this file will be
# reopened with the relevant failures.
#
";

/// How often a text that is refused is shown again.
const TRIES: usize = 10;

/// Does it.
pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<()> {
    let flags = &arguments.change;
    let mut printer = flags.output.printer(FORMS)?;
    let (infos, errors, _) = flags.fetch(session, &arguments.words).await?;
    Error::all(errors)?;
    for info in infos {
        match edit(session, &info).await? {
            Some(object) => tell(&mut printer, &object, "edited", DryRun::None)?,
            None => eprintln!("Edit cancelled, no changes made."),
        }
    }
    Ok(())
}

async fn edit(session: &Session, info: &Info) -> Result<Option<Value>> {
    let mut shown = info.object.clone();
    without_managed_fields(&mut shown);
    let original = yaml::to_string(&shown);
    let (mut text, mut why) = (original.clone(), String::new());
    for _ in 0..TRIES {
        let edited = in_editor(&format!("{HEAD}{why}{text}"))?;
        text = edited.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
        if text.trim().is_empty() || text == original {
            return Ok(None);
        }
        let outcome = match crate::manifest::parse(&text) {
            Ok(changed) => {
                let patch = crate::merge::json::difference(&shown, &changed);
                session
                    .patch(&with_query(&info.path(), &[("fieldManager", "kubectl-edit"), ("fieldValidation", "Strict")]), PatchType::Merge, &patch)
                    .await
                    .map_err(|error| error.told("").0)
            }
            Err(error) => Err(format!("error parsing edited-file: {error}")),
        };
        match outcome {
            Ok(object) => return Ok(Some(object)),
            Err(error) => why = error.lines().map(|line| format!("# {line}\n")).collect::<String>() + "#\n",
        }
    }
    Err(Error::message("the edited file was refused too often"))
}

/// What a person makes of a text.
fn in_editor(text: &str) -> Result<String> {
    let folder = std::env::temp_dir();
    let path = folder.join(format!("kubectl-edit-{}-{:x}.yaml", std::process::id(), jiff::Timestamp::now().as_nanosecond()));
    {
        use std::io::Write;
        use std::os::unix::fs::OpenOptionsExt;
        // It may be a Secret: nobody else reads it, and nobody has put a link there.
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(text.as_bytes())?;
    }
    let editor = ["KUBE_EDITOR", "EDITOR"].iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty())).unwrap_or_else(|| "vi".into());
    let status = Command::new("sh").arg("-c").arg(format!("{editor} \"$0\"")).arg(&path).status();
    let edited = std::fs::read_to_string(&path);
    let _ = std::fs::remove_file(&path);
    match status {
        Ok(status) if status.success() => Ok(edited?),
        Ok(_) => Err(Error::message(format!("there was a problem with the editor {editor:?}"))),
        Err(error) => Err(Error::message(format!("unable to launch the editor {editor:?}: {error}"))),
    }
}
