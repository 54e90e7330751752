//! `set env`

use serde_json::{Value, json};

use super::{change, each_container, patch_of, pod_spec};
use crate::error::{Error, Result};
use crate::flags::ChangeFlags;
use crate::out;
use crate::session::Session;

/// What it is told.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// TYPE NAME or TYPE/NAME, and KEY=VALUE to set or KEY- to remove
    words: Vec<String>,
    #[command(flatten)]
    flags: ChangeFlags,
    /// The containers, by name or pattern.
    #[arg(long, short = 'c', default_value = "*", hide_default_value = true)]
    containers: String,
    /// KEY=VALUE; may be repeated.
    #[arg(long, short = 'e')]
    env: Vec<String>,
    /// configmap/NAME or secret/NAME whose keys become variables.
    #[arg(long, default_value = "", hide_default_value = true)]
    from: String,
    /// Only these keys of --from.
    #[arg(long, value_delimiter = ',')]
    keys: Vec<String>,
    /// Put this before each name of --from.
    #[arg(long, default_value = "", hide_default_value = true)]
    prefix: String,
    /// Print the environment.
    #[arg(long)]
    list: bool,
    /// Replace variables that are there.
    #[arg(long, default_value = "true", action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_default_value = true, value_name = "BOOL")]
    overwrite: bool,
}

pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<()> {
    let is_variable = |word: &str| word.contains('=') || word.ends_with('-');
    let at = arguments.words.iter().position(|word| is_variable(word)).unwrap_or(arguments.words.len());
    let (words, given) = arguments.words.split_at(at);
    let (mut set, mut remove): (Vec<Value>, Vec<String>) = (Vec::new(), Vec::new());
    for word in given.iter().chain(&arguments.env) {
        match word.split_once('=') {
            Some((name, value)) => set.push(json!({"name": name, "value": value})),
            None => remove.push(word.trim_end_matches('-').to_owned()),
        }
    }
    if !arguments.from.is_empty() {
        set.extend(from(session, &arguments).await?);
    }
    if arguments.list {
        return list(session, &arguments, words).await;
    }
    if set.is_empty() && remove.is_empty() {
        return Err(Error::message("at least one environment variable must be provided"));
    }
    change(session, &arguments.flags, words, "env updated", |spec| {
        let mut taken = Vec::new();
        let (found, changes) = each_container(spec, &arguments.containers, |container| {
            let current = container["env"].as_array().map(Vec::as_slice).unwrap_or_default();
            let there = |name: &str| current.iter().find(|v| v["name"] == name);
            let mut variables: Vec<Value> = set.iter().filter(|v| there(v["name"].as_str().unwrap_or_default()) != Some(v)).cloned().collect();
            variables.extend(remove.iter().filter(|name| there(name).is_some()).map(|name| json!({"name": name, "$patch": "delete"})));
            (!variables.is_empty()).then(|| json!({"name": container["name"], "env": variables}))
        });
        if !arguments.overwrite {
            for variable in &set {
                each_container(spec, &arguments.containers, |c| c["env"].as_array().into_iter().flatten().find(|v| v["name"] == variable["name"]).cloned())
                    .1
                    .iter()
                    .for_each(|(_, old)| {
                        taken.push(format!(
                            "'{}' already has a value ({}), and --overwrite is false",
                            old["name"].as_str().unwrap_or_default(),
                            old["value"].as_str().unwrap_or_default()
                        ));
                    });
            }
        }
        if !taken.is_empty() {
            return Err(taken);
        }
        if found {
            Ok(patch_of(changes))
        } else {
            Err(vec![format!("warning: deployments/* does not have any containers matching {:?}", arguments.containers)])
        }
    })
    .await
}

/// The variables that a ConfigMap or Secret gives.
async fn from(session: &Session, arguments: &Arguments) -> Result<Vec<Value>> {
    let (kind, name) = arguments.from.split_once('/').ok_or_else(|| Error::message("--from must be configmap/NAME or secret/NAME"))?;
    let resource = session.discovery().await?.find(kind)?;
    let object = session.get(&resource.object(Some(&session.namespace), name)).await?;
    let reference = match resource.kind.as_str() {
        "ConfigMap" => "configMapKeyRef",
        "Secret" => "secretKeyRef",
        kind => return Err(Error::message(format!("unsupported resource specified in --from: {kind}"))),
    };
    let keys = object["data"].as_object().into_iter().flatten().map(|(key, _)| key).filter(|key| arguments.keys.is_empty() || arguments.keys.contains(key));
    Ok(keys
        .map(|key| {
            let variable: String = key.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
            json!({"name": format!("{}{variable}", arguments.prefix), "valueFrom": {reference: {"name": name, "key": key}}})
        })
        .collect())
}

async fn list(session: &Session, arguments: &Arguments, words: &[String]) -> Result<()> {
    let (infos, errors, _) = arguments.flags.fetch(session, words).await?;
    for info in infos {
        let Some(path) = pod_spec(&info.resource.kind) else { continue };
        let spec = path.iter().fold(&info.object, |value, name| &value[name]);
        for container in spec["containers"].as_array().into_iter().flatten() {
            out(&format!("# {} {}, container {}\n", info.resource.plural, info.name, container["name"].as_str().unwrap_or_default()));
            for variable in container["env"].as_array().into_iter().flatten() {
                let name = variable["name"].as_str().unwrap_or_default();
                match variable["value"].as_str() {
                    Some(value) => out(&format!("{name}={value}\n")),
                    None => {
                        let reference = &variable["valueFrom"];
                        let told = |kind: &str, field: &str| {
                            format!(
                                "# {name} from {kind} {}, key {}\n",
                                reference[field]["name"].as_str().unwrap_or_default(),
                                reference[field]["key"].as_str().unwrap_or_default()
                            )
                        };
                        out(&if reference["configMapKeyRef"].is_object() {
                            told("configmap", "configMapKeyRef")
                        } else if reference["secretKeyRef"].is_object() {
                            told("secret", "secretKeyRef")
                        } else {
                            format!("# {name} from field path {}\n", reference["fieldRef"]["fieldPath"].as_str().unwrap_or_default())
                        });
                    }
                }
            }
        }
    }
    Error::all(errors)
}
