//! `wait`: until objects are as they should be.

use std::time::Duration;

use serde_json::Value;

use crate::client::duration;
use crate::error::{Error, Result};
use crate::flags::DryRun;
use crate::flags::tell;
use crate::manifest::FileFlags;
use crate::print::jsonpath::{Template, relax};
use crate::print::output::{FORMS, OutputFlags};
use crate::selection::{Info, Selection, fetch};
use crate::session::{Session, with_query};

pub(super) const EXAMPLES: &str = "Examples:
  wharf wait pod/web --for=condition=Ready
  wharf wait pod -l app=web --for=condition=Ready --timeout=60s
  wharf wait pod/web --for=delete
  wharf wait pod/web --for=jsonpath='{.status.phase}'=Running
  wharf wait --for=create pod/web";

/// What `wait` is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// TYPE NAME, TYPE/NAME …, or TYPE with -l or --all
    words: Vec<String>,
    #[command(flatten)]
    files: FileFlags,
    #[command(flatten)]
    output: OutputFlags,
    /// condition=NAME[=VALUE], jsonpath='{PATH}'[=VALUE], create or delete
    #[arg(long = "for", default_value = "", hide_default_value = true)]
    condition: String,
    /// How long to wait; 0 looks once, a negative time is a week.
    #[arg(long, default_value = "30s", allow_hyphen_values = true)]
    timeout: String,
    /// All objects of the types.
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
}

enum Condition {
    Create,
    Delete,
    Named { name: String, value: String },
    Path { text: String, template: Template, value: Option<String> },
}

fn parse(text: &str) -> Result<Condition> {
    if text.is_empty() {
        return Err(Error::message("unrecognized condition: \"\""));
    }
    if text.eq_ignore_ascii_case("delete") {
        return Ok(Condition::Delete);
    }
    if text.eq_ignore_ascii_case("create") {
        return Ok(Condition::Create);
    }
    if let Some(rest) = text.strip_prefix("condition=") {
        let (name, value) = rest.split_once('=').unwrap_or((rest, "true"));
        return Ok(Condition::Named { name: name.to_owned(), value: value.to_owned() });
    }
    if let Some(rest) = text.strip_prefix("jsonpath=") {
        // The value stands behind the path's last brace, for a path may hold `==`.
        let (path, value) = match rest.rfind('}') {
            Some(at) => (&rest[..=at], rest[at + 1..].trim_start_matches(['\'', '"']).strip_prefix('=')),
            None => rest.split_once('=').map_or((rest, None), |(path, value)| (path, Some(value))),
        };
        if value == Some("") {
            return Err(Error::message("jsonpath wait has to have a value after equal sign"));
        }
        let path = relax(path.trim_matches(['\'', '"'])).map_err(Error::message)?;
        let template = Template::parse(&path).map_err(Error::message)?;
        return Ok(Condition::Path { text: path, template, value: value.map(|value| value.trim_matches(['\'', '"']).to_owned()) });
    }
    Err(Error::message(format!("unrecognized condition: {text:?}")))
}

impl Condition {
    fn holds(&self, object: &Value) -> Result<bool> {
        match self {
            Condition::Create => Ok(true),
            Condition::Delete => Ok(false),
            Condition::Named { name, value } => {
                let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
                let found = conditions.filter(|c| c["type"].as_str().is_some_and(|kind| kind.eq_ignore_ascii_case(name))).find(|c| c["status"].is_string());
                // A condition that was seen before the last change says nothing.
                let fresh = |c: &Value| {
                    c["observedGeneration"]
                        .as_i64()
                        .or(object["status"]["observedGeneration"].as_i64())
                        .is_none_or(|seen| seen >= object["metadata"]["generation"].as_i64().unwrap_or(0))
                };
                Ok(found.is_some_and(|c| fresh(c) && c["status"].as_str().is_some_and(|status| status.eq_ignore_ascii_case(value))))
            }
            Condition::Path { text, template, value } => {
                let found = template.find(object).map_err(Error::message)?;
                match found.first().map(Vec::as_slice).unwrap_or_default() {
                    [] => Ok(false),
                    [one] => match (one, value) {
                        (_, None) => Ok(true),
                        (Value::Object(_) | Value::Array(_), _) => {
                            Err(Error::message(format!("jsonpath leads to a nested object or list which is not supported: {text}")))
                        }
                        (one, Some(value)) => Ok(crate::print::go(one).trim() == value.trim()),
                    },
                    _ => Err(Error::message(format!("given jsonpath expression matches more than one value: {text}"))),
                }
            }
        }
    }
}

/// Does it.
pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<()> {
    let condition = parse(&arguments.condition)?;
    let timeout = match arguments.timeout.strip_prefix('-') {
        Some(_) => Duration::from_secs(168 * 3600),
        None => duration(&arguments.timeout).ok_or_else(|| Error::message(format!("invalid argument {:?} for \"--timeout\" flag", arguments.timeout)))?,
    };
    let end = tokio::time::Instant::now() + timeout;
    let mut printer = arguments.output.printer(FORMS)?;
    let selection = Selection {
        words: arguments.words.clone(),
        files: arguments.files.clone(),
        selector: arguments.selector.clone(),
        field_selector: arguments.field_selector.clone(),
        all: arguments.all,
        all_namespaces: arguments.all_namespaces,
        ..Selection::default()
    };
    let infos = loop {
        let (infos, errors, _) = fetch(session, &selection, false).await?;
        let missing = errors.iter().all(Error::is_not_found);
        match condition {
            Condition::Create if (!errors.is_empty() || infos.is_empty()) && missing && tokio::time::Instant::now() < end => {
                tokio::time::sleep(Duration::from_millis(500)).await
            }
            Condition::Delete if missing => break infos,
            _ => {
                Error::all(errors)?;
                break infos;
            }
        }
    };
    if infos.is_empty() {
        return match condition {
            Condition::Delete => Ok(()),
            _ => Err(Error::message("no matching resources found")),
        };
    }
    let mut errors = Vec::new();
    for info in infos {
        match until(session, &info, &condition, end).await {
            Ok(object) => {
                let said = if matches!(condition, Condition::Delete) { "deleted" } else { "condition met" };
                tell(&mut printer, &object, said, DryRun::None)?;
            }
            Err(Error::Exit(_)) => errors.push(Error::message(format!("timed out waiting for the condition on {}/{}", info.resource.plural, info.name))),
            Err(error) => errors.push(error),
        }
    }
    Error::all(errors)
}

async fn until(session: &Session, info: &Info, condition: &Condition, end: tokio::time::Instant) -> Result<Value> {
    let left = || end.saturating_duration_since(tokio::time::Instant::now());
    if matches!(condition, Condition::Delete) {
        super::delete::until_gone(session, &info.path(), info.object["metadata"]["uid"].as_str(), left()).await?;
        return Ok(info.object.clone());
    }
    let mut object = info.object.clone();
    let collection = with_query(&info.resource.path(info.namespace.as_deref()), &[("fieldSelector", &format!("metadata.name={}", info.name))]);
    loop {
        if condition.holds(&object)? {
            return Ok(object);
        }
        if left().is_zero() {
            return Err(Error::Exit(1));
        }
        let version = object["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
        let watch = async {
            let mut stream = session.watch(&with_query(&collection, &[("resourceVersion", &version)]), "application/json").await?;
            while let Ok(Some((kind, next))) = stream.event().await {
                // It may come again under the same name.
                if kind != "DELETED" && condition.holds(&next)? {
                    return Ok(Some(next));
                }
            }
            Ok::<_, Error>(None)
        };
        match tokio::time::timeout(left(), watch).await {
            Err(_) => return Err(Error::Exit(1)),
            Ok(Ok(Some(object))) => return Ok(object),
            Ok(Ok(None)) => object = session.get(&info.path()).await?,
            Ok(Err(error)) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn conditions_hold_or_not() {
        let pod = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
        for (text, holds) in [
            ("condition=Ready", true),
            ("condition=ready=True", true),
            ("condition=Ready=False", false),
            ("condition=Other", false),
            ("jsonpath={.status.phase}=Running", true),
            ("jsonpath='{.status.phase}'=Pending", false),
            ("jsonpath={.status.podIP}", false),
            ("jsonpath={.status.conditions[?(@.type==\"Ready\")].status}=True", true),
        ] {
            assert_eq!(parse(text).unwrap().holds(&pod).unwrap(), holds, "{text}");
        }
        assert_eq!(parse("nonsense").err().unwrap().text(), "unrecognized condition: \"nonsense\"");
    }
}
