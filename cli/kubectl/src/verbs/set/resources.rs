//! `set resources`

use serde_json::{Map, Value, json};

use super::{change, each_container, patch_of};
use crate::error::{Error, Result};
use crate::flags::ChangeFlags;
use crate::session::Session;

/// What it is told.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// TYPE NAME or TYPE/NAME
    words: Vec<String>,
    #[command(flatten)]
    flags: ChangeFlags,
    /// The containers, by name or pattern.
    #[arg(long, short = 'c', default_value = "*", hide_default_value = true)]
    containers: String,
    /// What they may have at most: cpu=200m,memory=64Mi
    #[arg(long, default_value = "", hide_default_value = true)]
    limits: String,
    /// What they request: cpu=100m,memory=32Mi
    #[arg(long, default_value = "", hide_default_value = true)]
    requests: String,
}

fn quantities(text: &str) -> Result<Map<String, Value>> {
    let mut map = Map::new();
    for pair in text.split(',').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or_else(|| Error::message(format!("invalid argument syntax {pair:?}, expected <resource>=<value>")))?;
        map.insert(name.to_owned(), value.into());
    }
    Ok(map)
}

pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<()> {
    let (limits, requests) = (quantities(&arguments.limits)?, quantities(&arguments.requests)?);
    if limits.is_empty() && requests.is_empty() {
        return Err(Error::message("you must specify an update to requests or limits (in the form of --requests/--limits)"));
    }
    change(session, &arguments.flags, &arguments.words, "resource requirements updated", |spec| {
        let (found, changes) = each_container(spec, &arguments.containers, |container| {
            let mut resources = container["resources"].clone();
            for (field, map) in [("limits", &limits), ("requests", &requests)] {
                for (name, value) in map {
                    resources[field][name] = value.clone();
                }
            }
            (resources != container["resources"]).then(|| json!({"name": container["name"], "resources": resources}))
        });
        if found { Ok(patch_of(changes)) } else { Err(vec![format!("error: unable to find container named {}", arguments.containers)]) }
    })
    .await
}
