//! `set image`

use serde_json::json;

use super::{change, each_container, patch_of};
use crate::error::{Error, Result};
use crate::flags::ChangeFlags;
use crate::session::Session;

/// What it is told.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// TYPE NAME or TYPE/NAME, and CONTAINER=IMAGE …
    words: Vec<String>,
    #[command(flatten)]
    flags: ChangeFlags,
}

pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<()> {
    let at = arguments.words.iter().position(|word| word.contains('=')).unwrap_or(arguments.words.len());
    let (words, images) = arguments.words.split_at(at);
    let images: Vec<(&str, &str)> = images.iter().filter_map(|image| image.split_once('=')).collect();
    if images.is_empty() {
        // Whether the objects are there is told first.
        let (_, errors, _) = arguments.flags.fetch(session, words).await?;
        Error::all(errors)?;
        return Err(Error::message("at least one image update is required"));
    }
    if images.len() > 1 && images.iter().any(|(name, _)| *name == "*") {
        return Err(Error::message("all containers are already specified by *, but saw more than one container_name=container_image pairs"));
    }
    change(session, &arguments.flags, words, "image updated", |spec| {
        let (mut changes, mut wrong) = (Vec::new(), Vec::new());
        for (name, image) in &images {
            let (found, more) =
                each_container(spec, name, |container| (container["image"] != *image).then(|| json!({"name": container["name"], "image": image})));
            if !found {
                wrong.push(format!("error: unable to find container named {name:?}"));
            }
            changes.extend(more);
        }
        if wrong.is_empty() { Ok(patch_of(changes)) } else { Err(wrong) }
    })
    .await
}
