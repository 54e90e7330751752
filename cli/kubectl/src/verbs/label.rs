//! `label` and what it shares with `annotate`: pairs that are set, and keys that are removed.

use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::flags::{ChangeFlags, tell};
use crate::out;
use crate::print::output::FORMS;
use crate::session::{PatchType, Session};

pub(super) const EXAMPLES: &str = "Examples:
  wharf label pods web tier=front
  wharf label --overwrite pods web tier=back
  wharf label pods --all tier=front
  wharf label node worker disktype-
  wharf label pods web --list";

/// What `label` is told.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Arguments {
    /// The objects, and then KEY=VALUE to set or KEY- to remove
    words: Vec<String>,
    #[command(flatten)]
    change: ChangeFlags,
    /// Replace values that are there.
    #[arg(long)]
    overwrite: bool,
    /// Print the labels that are there.
    #[arg(long)]
    list: bool,
    /// Only if the object is at this version.
    #[arg(long, default_value = "", hide_default_value = true)]
    resource_version: String,
}

impl Arguments {
    pub(super) fn parts(&self) -> (&[String], &ChangeFlags, bool, bool, &str) {
        (&self.words, &self.change, self.overwrite, self.list, &self.resource_version)
    }
}

/// Words about objects, pairs to set, keys to remove.
type Split = (Vec<String>, Vec<(String, String)>, Vec<String>);

/// Splits words: `pods web a=b c-`.
pub(super) fn split(words: &[String], what: &str) -> Result<Split> {
    let is_pair = |word: &str| (word.contains('=') && !word.starts_with('=')) || (word.ends_with('-') && word != "-");
    let at = words.iter().position(|word| is_pair(word)).unwrap_or(words.len());
    let (resources, pairs) = words.split_at(at);
    if let Some(late) = pairs.iter().find(|word| !is_pair(word)) {
        return Err(Error::message(format!("all resources must be specified before {what} changes: {late}")));
    }
    let (mut set, mut remove) = (Vec::new(), Vec::new());
    for pair in pairs {
        match pair.split_once('=') {
            Some((_, value)) if what == "label" && value.contains('=') => return Err(Error::message(format!("invalid label spec: {pair}"))),
            Some((_, value)) if what == "label" && !valid_value(value) => {
                return Err(Error::message(format!(
                    "invalid label value: {pair:?}: a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
                )));
            }
            Some((key, value)) => set.push((key.to_owned(), value.to_owned())),
            None => remove.push(pair.trim_end_matches('-').to_owned()),
        }
    }
    let both: Vec<&str> = remove.iter().filter(|key| set.iter().any(|(k, _)| k == *key)).map(String::as_str).collect();
    if !both.is_empty() {
        return Err(Error::message(match what {
            "label" => "can not both modify and remove a label in the same command".to_owned(),
            _ => format!("can not both modify and remove the following {what}(s) in the same command: {}", both.join(", ")),
        }));
    }
    Ok((resources.to_vec(), set, remove))
}

fn valid_value(value: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    value.is_empty()
        || (value.len() <= 63
            && edge(value.chars().next())
            && edge(value.chars().last())
            && value.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)))
}

/// What changes: the new map, and what was added and removed.
struct Change {
    patch: Map<String, Value>,
    added: bool,
    removed: bool,
}

fn change(current: &Value, set: &[(String, String)], remove: &[String]) -> Change {
    let mut change = Change { patch: Map::new(), added: false, removed: false };
    for (key, value) in set {
        if current[key.as_str()].as_str() != Some(value) {
            change.patch.insert(key.clone(), value.clone().into());
            change.added = true;
        }
    }
    for key in remove {
        if current.get(key).is_some() {
            change.patch.insert(key.clone(), Value::Null);
            change.removed = true;
        }
    }
    change
}

/// Does it.
pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<()> {
    run_on(session, arguments.parts(), "label", "labels").await
}

pub(super) async fn run_on(session: &Session, parts: (&[String], &ChangeFlags, bool, bool, &str), what: &str, field: &str) -> Result<()> {
    let (words, flags, overwrite, listing, version) = parts;
    let (resources, set, remove) = split(words, what)?;
    if listing && !flags.output.output.is_empty() {
        return Err(Error::message("--list and --output may not be specified together"));
    }
    if resources.is_empty() && flags.files.is_empty() {
        return Err(Error::message("one or more resources must be specified as <resource> <name> or <resource>/<name>"));
    }
    if set.is_empty() && remove.is_empty() && !listing {
        return Err(Error::message(format!("at least one {what} update is required")));
    }
    let mut printer = flags.output.printer(FORMS)?;
    let dry_run = flags.dry_run.read()?;
    let (infos, mut errors, single) = flags.fetch(session, &resources).await?;
    for info in infos {
        let current = &info.object["metadata"][field];
        if listing {
            let mut indent = "";
            if !single {
                out(&format!("Listing {field} for {}.{}/{}:\n", info.resource.kind, info.resource.group, info.name));
                indent = " ";
            }
            for (key, value) in current.as_object().into_iter().flatten() {
                out(&format!("{indent}{key}={}\n", value.as_str().unwrap_or_default()));
            }
            continue;
        }
        let taken: Vec<String> = set
            .iter()
            .filter(|(key, value)| !overwrite && key != "kubernetes.io/change-cause" && current[key.as_str()].as_str().is_some_and(|old| old != value))
            .map(|(key, _)| format!("'{key}' already has a value ({})", current[key.as_str()].as_str().unwrap_or_default()))
            .collect();
        if what == "label" && !flags.stays_here()? {
            for key in remove.iter().filter(|key| current.get(key.as_str()).is_none()) {
                out(&format!("label {key:?} not found.\n"));
            }
        }
        if !taken.is_empty() {
            errors.push(Error::message(match what {
                "label" => taken.iter().map(|text| format!("{text}, and --overwrite is false")).collect::<Vec<_>>().join("\n"),
                _ => format!("--overwrite is false but found the following declared {what}(s): {}", taken.join("; ")),
            }));
            continue;
        }
        let change = change(current, &set, &remove);
        let operation = match (what, change.added, change.removed) {
            ("annotation", ..) => "annotated",
            (_, true, true) => "modified",
            (_, true, false) => "labeled",
            (_, false, true) => "unlabeled",
            _ => "not labeled",
        };
        let mut object = info.object.clone();
        if change.added || change.removed {
            let mut patch = json!({"metadata": {field: change.patch}});
            if !version.is_empty() {
                patch["metadata"]["resourceVersion"] = version.into();
            }
            let manager = if what == "label" { "kubectl-label" } else { "kubectl-annotate" };
            match flags.patch(session, &info, PatchType::Merge, &patch, manager).await {
                Ok(patched) => object = patched,
                Err(error) => {
                    errors.push(error);
                    continue;
                }
            }
        }
        tell(&mut printer, &object, operation, dry_run)?;
    }
    Error::all(errors)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn words_are_objects_and_then_pairs() {
        let (resources, set, remove) = split(&words("pods web a=b c-"), "label").unwrap();
        assert_eq!((resources, set, remove), (words("pods web"), vec![("a".into(), "b".into())], vec!["c".into()]));
        let wrong = |text: &str, what: &str| split(&words(text), what).unwrap_err().text();
        assert_eq!(wrong("pods a=b web", "label"), "all resources must be specified before label changes: web");
        assert_eq!(wrong("pods web a=b a-", "label"), "can not both modify and remove a label in the same command");
        assert_eq!(wrong("pods web a=b=c", "label"), "invalid label spec: a=b=c");
        assert!(wrong("pods web a=-x", "label").starts_with("invalid label value: \"a=-x\": a valid label must be"));
        assert!(split(&words("pods web a=b=c"), "annotation").is_ok());
    }
}
