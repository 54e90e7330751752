//! `api-resources`: what the server serves.

use crate::discovery::Resource;
use crate::error::{Error, Result};
use crate::out;
use crate::print::tabwriter::TabWriter;
use crate::session::Session;

pub(super) const EXAMPLES: &str = "Examples:
  wharf api-resources
  wharf api-resources -o wide --sort-by=name
  wharf api-resources --namespaced=false --api-group=rbac.authorization.k8s.io";

/// What `api-resources` is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[arg(hide = true)]
    words: Vec<String>,
    /// wide or name.
    #[arg(long, short = 'o', default_value = "", hide_default_value = true)]
    output: String,
    /// Only this group; the empty one is the core group.
    #[arg(long)]
    api_group: Option<String>,
    /// Only those in namespaces, or only those that are not.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    namespaced: Option<bool>,
    /// Only those that know these verbs.
    #[arg(long, value_delimiter = ',')]
    verbs: Vec<String>,
    /// Only those of these categories.
    #[arg(long, value_delimiter = ',')]
    categories: Vec<String>,
    /// name or kind.
    #[arg(long, default_value = "", hide_default_value = true)]
    sort_by: String,
    /// Leave out the header.
    #[arg(long)]
    no_headers: bool,
    /// Taken and not used: nothing is kept between two commands.
    #[arg(long, hide = true)]
    cached: bool,
}

/// Does it.
pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<()> {
    if !arguments.words.is_empty() {
        return Err(Error::Usage(format!("unexpected arguments: [{}]", arguments.words.join(" "))));
    }
    if !matches!(arguments.output.as_str(), "" | "wide" | "name") {
        return Err(Error::message(format!("--output {} is not available in kubectl api-resources", arguments.output)));
    }
    if !matches!(arguments.sort_by.as_str(), "" | "name" | "kind") {
        return Err(Error::message("--sort-by accepts only name or kind"));
    }
    let discovery = session.discovery().await?;
    let wanted = |r: &&Resource| {
        !r.verbs.is_empty()
            && arguments.api_group.as_ref().is_none_or(|group| r.group == *group)
            && arguments.namespaced.is_none_or(|namespaced| r.namespaced == namespaced)
            && arguments.verbs.iter().all(|verb| r.verbs.contains(verb))
            && arguments.categories.iter().all(|category| r.categories.contains(category))
    };
    let mut all: Vec<&Resource> = discovery.preferred().into_iter().filter(wanted).collect();
    match arguments.sort_by.as_str() {
        "name" => all.sort_by(|a, b| a.plural.cmp(&b.plural)),
        "kind" => all.sort_by(|a, b| a.kind.cmp(&b.kind)),
        _ => all.sort_by(|a, b| (&a.group, &a.plural).cmp(&(&b.group, &b.plural))),
    }
    if arguments.output == "name" {
        all.iter().for_each(|r| out(&format!("{}\n", r.resource_name())));
        return Ok(());
    }
    let wide = arguments.output == "wide";
    let mut text = String::new();
    if !arguments.no_headers {
        text.push_str(if wide {
            "NAME\tSHORTNAMES\tAPIVERSION\tNAMESPACED\tKIND\tVERBS\tCATEGORIES\n"
        } else {
            "NAME\tSHORTNAMES\tAPIVERSION\tNAMESPACED\tKIND\n"
        });
    }
    for r in all {
        text.push_str(&format!("{}\t{}\t{}\t{}\t{}", r.plural, r.short.join(","), r.api_version(), r.namespaced, r.kind));
        if wide {
            text.push_str(&format!("\t{}\t{}", r.verbs.join(","), r.categories.join(",")));
        }
        text.push('\n');
    }
    out(&TabWriter::table().format(&text));
    Ok(())
}
