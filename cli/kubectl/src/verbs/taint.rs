//! `taint`: which Pods a node refuses.

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::flags::{ChangeFlags, ValidateFlag, tell};
use crate::print::output::FORMS;
use crate::session::{PatchType, Session};

pub(super) const EXAMPLES: &str = "Examples:
  wharf taint nodes worker team=data:NoSchedule
  wharf taint nodes worker team:NoSchedule-
  wharf taint nodes worker team-
  wharf taint nodes -l zone=a team=data:PreferNoSchedule";

/// What `taint` is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The nodes, and then KEY=VALUE:EFFECT to set or KEY[:EFFECT]- to remove
    words: Vec<String>,
    #[command(flatten)]
    change: ChangeFlags,
    #[command(flatten)]
    validate: ValidateFlag,
    /// Replace taints that are there.
    #[arg(long)]
    overwrite: bool,
}

#[derive(Debug, Clone, PartialEq)]
struct Taint {
    key: String,
    value: String,
    effect: String,
}

impl Taint {
    fn told(&self) -> String {
        match (self.value.is_empty(), self.effect.is_empty()) {
            (_, true) => self.key.clone(),
            (true, false) => format!("{}:{}", self.key, self.effect),
            (false, false) => format!("{}={}:{}", self.key, self.value, self.effect),
        }
    }

    fn matches(&self, taint: &Value) -> bool {
        taint["key"] == self.key.as_str() && (self.effect.is_empty() || taint["effect"] == self.effect.as_str())
    }

    fn object(&self) -> Value {
        let mut object = json!({"key": self.key, "effect": self.effect});
        if !self.value.is_empty() {
            object["value"] = self.value.clone().into();
        }
        object
    }
}

fn parse(text: &str, removing: bool) -> Result<Taint, String> {
    let (pair, effect) = text.split_once(':').unwrap_or((text, ""));
    if effect.is_empty() && !removing {
        return Err(format!("invalid taint spec: {text}"));
    }
    if !effect.is_empty() && !matches!(effect, "NoSchedule" | "PreferNoSchedule" | "NoExecute") {
        return Err(format!("invalid taint effect: {effect}, unsupported taint effect"));
    }
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    if key.is_empty() || value.contains('=') {
        return Err(format!("invalid taint spec: {text}"));
    }
    Ok(Taint { key: key.into(), value: value.into(), effect: effect.into() })
}

/// The taints of a node afterwards, and what that is called.
fn change(current: &[Value], add: &[Taint], remove: &[Taint], overwrite: bool) -> Result<(Vec<Value>, &'static str), Vec<String>> {
    let mut taints: Vec<Value> = add.iter().map(Taint::object).collect();
    taints.extend(current.iter().filter(|old| !add.iter().any(|taint| taint.matches(old))).cloned());
    let added = taints.len() != current.len();
    let (mut missing, mut removed) = (Vec::new(), false);
    for taint in remove {
        let before = taints.len();
        taints.retain(|t| !taint.matches(t));
        removed = taints.len() != before;
        if !removed {
            missing.push(format!("taint {:?} not found", taint.told()));
        }
    }
    if !missing.is_empty() {
        return Err(missing);
    }
    Ok((
        taints,
        if (added && removed) || overwrite {
            "modified"
        } else if added {
            "tainted"
        } else {
            "untainted"
        },
    ))
}

/// Does it.
pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<()> {
    let is_taint = |word: &str| word.contains(['=', ':']) || word.ends_with('-');
    let at = arguments.words.iter().position(|word| is_taint(word)).unwrap_or(arguments.words.len());
    let (resources, texts) = arguments.words.split_at(at);
    if let Some(late) = texts.iter().find(|word| !is_taint(word)) {
        return Err(Error::message(format!("all resources must be specified before taint changes: {late}")));
    }
    let flags = &arguments.change;
    if resources.is_empty() {
        return Err(Error::message("one or more resources must be specified as <resource> <name>"));
    }
    if texts.is_empty() {
        return Err(Error::message("at least one taint update is required"));
    }
    let (mut add, mut remove) = (Vec::new(), Vec::new());
    for text in texts {
        match text.strip_suffix('-') {
            Some(text) => remove.push(Taint { value: String::new(), ..parse(text, true).map_err(Error::Usage)? }),
            None => add.push(parse(text, false).map_err(Error::Usage)?),
        }
    }
    let resource = session.discovery().await?.find(&resources[0])?;
    if resource.kind != "Node" {
        return Err(Error::message(format!("invalid resource type {}, only node types are supported", resources[0].to_lowercase())));
    }
    let both: Vec<String> = remove
        .iter()
        .filter(|r| add.iter().any(|a: &Taint| a.key == r.key && (r.effect.is_empty() || a.effect == r.effect)))
        .map(|r| format!("{}={}", r.key, r.effect))
        .collect();
    if !both.is_empty() {
        return Err(Error::message(format!("can not both modify and remove the following taint(s) in the same command: {}", both.join(", "))));
    }
    if !flags.all && flags.selector.is_none() && resources.len() < 2 {
        return Err(Error::message("at least one resource name must be specified since 'all' parameter is not set"));
    }
    let mut printer = flags.output.printer(FORMS)?;
    let dry_run = flags.dry_run.read()?;
    let (infos, mut errors, _) = flags.fetch(session, resources).await?;
    for info in infos {
        let current = info.object["spec"]["taints"].as_array().cloned().unwrap_or_default();
        let there: Vec<&str> = add.iter().filter(|taint| current.iter().any(|old| taint.matches(old))).map(|taint| taint.key.as_str()).collect();
        if !arguments.overwrite && !there.is_empty() {
            errors.push(Error::message(format!("node {} already has {} taint(s) with same effect(s) and --overwrite is false", info.name, there.join(","))));
            continue;
        }
        match change(&current, &add, &remove, arguments.overwrite) {
            Ok((taints, operation)) => {
                let taints = if taints.is_empty() { Value::Null } else { taints.into() };
                // The whole list, for nobody else may have written meanwhile.
                let patch = json!({"metadata": {"resourceVersion": info.object["metadata"]["resourceVersion"]}, "spec": {"taints": taints}});
                match flags.patch(session, &info, PatchType::Merge, &patch, "kubectl-taint").await {
                    Ok(object) => tell(&mut printer, &object, operation, dry_run)?,
                    Err(error) => errors.push(error),
                }
            }
            Err(missing) => errors.extend(missing.into_iter().map(Error::message)),
        }
    }
    Error::all(errors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taints_come_and_go() {
        let parse = |text: &str| super::parse(text, true).unwrap();
        let old = vec![json!({"key": "a", "effect": "NoSchedule"}), json!({"key": "b", "value": "x", "effect": "NoExecute"})];
        let (taints, said) = change(&old, &[parse("c=d:NoSchedule")], &[], false).unwrap();
        assert_eq!((taints.len(), taints[0]["value"].as_str(), said), (3, Some("d"), "tainted"));
        let (taints, said) = change(&old, &[], &[parse("a")], false).unwrap();
        assert_eq!((taints.len(), said), (1, "tainted".replace("tainted", "untainted").as_str()));
        assert_eq!(change(&old, &[], &[parse("z:NoSchedule")], false).unwrap_err(), ["taint \"z:NoSchedule\" not found"]);
        assert_eq!(super::parse("a=b:Nope", false).unwrap_err(), "invalid taint effect: Nope, unsupported taint effect");
        assert_eq!(super::parse("a=b", false).unwrap_err(), "invalid taint spec: a=b");
    }
}
