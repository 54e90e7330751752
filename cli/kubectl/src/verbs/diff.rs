//! `diff`: what `apply` would change. The live object and what the server would make of the manifest are written to
//! two folders, and a program shows how they differ.

use std::path::Path;
use std::process::{Command, ExitStatus};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::apply;
use crate::error::{Error, Result};
use crate::manifest::FileFlags;
use crate::merge::schema::Documents;
use crate::merge::{LAST_APPLIED, annotated};
use crate::print::output::without_managed_fields;
use crate::print::yaml;
use crate::selection::{Info, Selection, fetch};
use crate::session::{PatchType, Session, with_query};

pub(super) const EXAMPLES: &str = "Examples:
  wharf diff -f deployment.yaml
  cat service.yaml | wharf diff -f -
  KUBECTL_EXTERNAL_DIFF='diff -u -N' wharf diff -f manifests/ --server-side
The exit code is 0 where nothing differs, 1 where something does, and above 1 where it failed.";

/// What `diff` is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[arg(hide = true)]
    words: Vec<String>,
    #[command(flatten)]
    files: FileFlags,
    /// Only manifests with these labels.
    #[arg(long, short = 'l')]
    selector: Option<String>,
    /// Let the server merge.
    #[arg(long)]
    server_side: bool,
    /// With --server-side, take over fields that others manage.
    #[arg(long)]
    force_conflicts: bool,
    /// Who is said to manage the fields.
    #[arg(long, default_value = "", hide_default_value = true)]
    field_manager: String,
    /// Show who manages which field.
    #[arg(long)]
    show_managed_fields: bool,
    /// How many objects are asked for at once; taken and not used.
    #[arg(long, default_value = "1", hide = true)]
    concurrency: i64,
}

/// Does it. What fails has an exit code that does not look like a difference.
pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<()> {
    match compare(session, arguments).await {
        Err(error) => match error.told("wharf diff") {
            (text, code) if text.is_empty() => Err(Error::Exit(code)),
            (text, _) => Err(Error::Code(text, 2)),
        },
        done => done,
    }
}

async fn compare(session: &Session, arguments: Arguments) -> Result<()> {
    if !arguments.words.is_empty() {
        return Err(Error::Usage(format!("Unexpected args: [{}]", arguments.words.join(" "))));
    }
    if arguments.files.is_empty() {
        return Err(Error::message("must specify one of -f and -k"));
    }
    if arguments.force_conflicts && !arguments.server_side {
        return Err(Error::message("--force-conflicts only works with --server-side"));
    }
    let selection = Selection { files: arguments.files.clone(), selector: arguments.selector.clone(), ..Selection::default() };
    let (infos, errors, _) = fetch(session, &selection, true).await?;
    Error::all(errors)?;
    let (from, to) = (folder("LIVE")?, folder("MERGED")?);
    let mut documents = Documents::default();
    for info in infos {
        let live = match session.get(&info.path()).await {
            Ok(live) => live,
            Err(error) if error.is_not_found() => Value::Null,
            Err(error) => return Err(error),
        };
        let merged = merged(session, &arguments, &mut documents, &info, &live).await?;
        let (live, merged) = shown(live, merged, arguments.show_managed_fields);
        let name = file_name(&info);
        write(&from, &name, &live)?;
        write(&to, &name, &merged)?;
    }
    let words = program(std::env::var("KUBECTL_EXTERNAL_DIFF").ok().as_deref(), from.path(), to.path());
    match status(&words)?.code() {
        Some(0) => Ok(()),
        Some(code) if code > 1 => Err(Error::Code(format!("exit status {code}"), u8::try_from(code).unwrap_or(2))),
        Some(code) => Err(Error::Exit(u8::try_from(code).unwrap_or(2))),
        None => Err(Error::message(format!("{} was ended by a signal", words[0]))),
    }
}

/// What the server would make of a manifest; it keeps nothing.
async fn merged(session: &Session, arguments: &Arguments, documents: &mut Documents, info: &Info, live: &Value) -> Result<Value> {
    let manager = match arguments.field_manager.as_str() {
        "" if arguments.server_side => "kubectl",
        "" => "kubectl-client-side-apply",
        named => named,
    };
    let parameters = [("dryRun", "All"), ("fieldManager", manager)];
    let path = with_query(&info.path(), &parameters);
    if arguments.server_side {
        let path = with_query(&path, &[("force", if arguments.force_conflicts { "true" } else { "" })]);
        return session.patch(&path, PatchType::Apply, &info.object).await;
    }
    if live.is_null() {
        return session.post(&with_query(&info.resource.path(info.namespace.as_deref()), &parameters), &info.object).await;
    }
    // What was applied last stays what is said of it: only the difference that it makes is of interest.
    let mut modified = annotated(&info.object);
    if let Some(annotations) = modified["metadata"]["annotations"].as_object_mut() {
        annotations.remove(LAST_APPLIED);
    }
    let (patch, kind) = apply::difference(session, documents, info, live, &modified).await?;
    if patch.as_object().is_some_and(serde_json::Map::is_empty) {
        return Ok(live.clone());
    }
    session.patch(&path, kind, &patch).await
}

fn status(words: &[String]) -> Result<ExitStatus> {
    let [program, arguments @ ..] = words else { return Err(Error::message("no program is named to show differences")) };
    Command::new(program).args(arguments).status().map_err(|error| {
        let why = if error.kind() == std::io::ErrorKind::NotFound { "executable file not found in $PATH".to_owned() } else { error.to_string() };
        Error::message(format!("failed to run {program:?}: {why}"))
    })
}

/// The program and its arguments. Of KUBECTL_EXTERNAL_DIFF only plain words are passed on.
fn program(external: Option<&str>, from: &Path, to: &Path) -> Vec<String> {
    let mut words = external.unwrap_or_default().split(' ').map(str::to_owned);
    let folders = [from.display().to_string(), to.display().to_string()];
    match words.next().filter(|program| !program.is_empty()) {
        Some(program) => {
            let plain = |word: &String| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '=');
            std::iter::once(program).chain(folders).chain(words.filter(plain)).collect()
        }
        None => ["diff", "-u", "-N"].map(str::to_owned).into_iter().chain(folders).collect(),
    }
}

/// `apps.v1.Deployment.default.shop`
fn file_name(info: &Info) -> String {
    let resource = &info.resource;
    let group = if resource.group.is_empty() { String::new() } else { format!("{}.", resource.group) };
    // A name may hold what a path must not.
    format!("{group}{}.{}.{}.{}", resource.version, resource.kind, info.namespace.as_deref().unwrap_or_default(), info.name).replace('/', "_")
}

/// Both as they are shown: without managers, and without what a Secret keeps.
fn shown(mut live: Value, mut merged: Value, managed_fields: bool) -> (Value, Value) {
    if !managed_fields {
        without_managed_fields(&mut live);
        without_managed_fields(&mut merged);
    }
    if merged["kind"] == "Secret" && merged["apiVersion"] == "v1" {
        mask(&mut live, &mut merged);
    }
    (live, merged)
}

/// Values are only the same, or not.
fn mask(live: &mut Value, merged: &mut Value) {
    for field in ["data", "stringData"] {
        let (before, after) = (live[field].clone(), merged[field].clone());
        let keys = before.as_object().into_iter().chain(after.as_object()).flat_map(serde_json::Map::keys);
        for key in keys {
            let differ = matches!((before.get(key), after.get(key)), (Some(before), Some(after)) if before != after);
            for (object, has, said) in [(&mut *live, before.get(key), "before"), (&mut *merged, after.get(key), "after")] {
                if has.is_some() {
                    object[field][key.as_str()] = json!(if differ { format!("*** ({said})") } else { "***".to_owned() });
                }
            }
        }
    }
}

/// A folder that is this user's alone, and gone when it ends.
fn folder(what: &str) -> Result<TempDir> {
    let made = tempfile::Builder::new().prefix(&format!("{what}-")).tempdir();
    made.map_err(|error| Error::message(format!("make a folder in {}: {error}", std::env::temp_dir().display())))
}

fn write(folder: &TempDir, name: &str, object: &Value) -> Result<()> {
    let path = folder.path().join(name);
    // What is not there is an empty file; of a Secret it is what was masked, as kubectl has it.
    let text = if object.is_null() && !name.starts_with("v1.Secret.") { String::new() } else { yaml::to_string(object) };
    std::fs::write(&path, text).map_err(|error| Error::message(format!("write {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_given_plain_words() {
        let words = |external| program(external, Path::new("/L"), Path::new("/M")).join(" ");
        assert_eq!(words(None), "diff -u -N /L /M");
        assert_eq!(words(Some("")), "diff -u -N /L /M");
        assert_eq!(words(Some("colordiff -N -u a=b ; $HOME")), "colordiff /L /M -N -u a=b");
    }

    #[test]
    fn secrets_are_hidden() {
        let secret = |data: Value| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"managedFields": []}, "data": data});
        let (live, merged) = shown(secret(json!({"a": "1", "b": "1", "c": "1"})), secret(json!({"a": "1", "b": "2", "d": "1"})), false);
        assert_eq!(live["data"], json!({"a": "***", "b": "*** (before)", "c": "***"}));
        assert_eq!(merged["data"], json!({"a": "***", "b": "*** (after)", "d": "***"}));
        assert_eq!(merged["metadata"], json!({}));
        assert_eq!(shown(Value::Null, secret(json!({"a": "1"})), false).1["data"], json!({"a": "***"}));
    }
}
