//! `auth`: who this is, and what they may do.

use serde_json::json;

use crate::error::{Error, Result};
use crate::out;
use crate::print::output::{FORMS, Format, OutputFlags};
use crate::print::tabwriter::TabWriter;
use crate::session::Session;

pub(super) const EXAMPLES: &str = "Examples:
  wharf auth whoami
  wharf auth can-i create deployments -n shop
  wharf auth can-i '*' '*'
  wharf auth can-i get pods --as=system:serviceaccount:default:robot";

/// What `auth` is told.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Whether something is allowed
    CanI(CanI),
    /// Who this is
    Whoami(WhoAmI),
}

#[derive(Debug, clap::Args)]
struct CanI {
    /// VERB and TYPE, TYPE/NAME or a path
    words: Vec<String>,
    /// In all namespaces.
    #[arg(long, short = 'A')]
    all_namespaces: bool,
    /// Say nothing; only the exit code tells.
    #[arg(long, short = 'q')]
    quiet: bool,
    /// The subresource.
    #[arg(long, default_value = "", hide_default_value = true)]
    subresource: String,
}

#[derive(Debug, clap::Args)]
struct WhoAmI {
    #[command(flatten)]
    output: OutputFlags,
}

/// Does it.
pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<()> {
    match arguments.what {
        What::CanI(arguments) => can_i(session, arguments).await,
        What::Whoami(arguments) => who_am_i(session, arguments).await,
    }
}

async fn can_i(session: &Session, arguments: CanI) -> Result<()> {
    let (verb, what) = match arguments.words.as_slice() {
        [verb, what] => (verb, what),
        [verb, what, _] => (verb, what),
        _ => {
            return Err(Error::message(
                "you must specify two arguments: verb resource or verb resource/resourceName.\nSee 'kubectl auth can-i -h' for help and examples.",
            ));
        }
    };
    let spec = if what.starts_with('/') {
        json!({"nonResourceAttributes": {"path": what, "verb": verb}})
    } else {
        let (kind, name) = what.split_once('/').map_or((what.as_str(), arguments.words.get(2).map_or("", String::as_str)), |(kind, name)| (kind, name));
        let mut attributes = json!({"verb": verb, "name": name, "subresource": arguments.subresource});
        let mut namespaced = true;
        if kind == "*" {
            attributes["group"] = "*".into();
            attributes["resource"] = "*".into();
        } else {
            match session.discovery().await?.find(kind) {
                Ok(resource) => {
                    namespaced = resource.namespaced;
                    attributes["group"] = resource.group.clone().into();
                    attributes["resource"] = resource.plural.clone().into();
                    if !namespaced && !arguments.all_namespaces {
                        let group = if resource.group.is_empty() { String::new() } else { format!(" in group '{}'", resource.group) };
                        eprintln!("Warning: resource '{}' is not namespace scoped{group}\n", resource.plural);
                    }
                }
                Err(_) => {
                    attributes["resource"] = kind.into();
                    eprintln!("Warning: the server doesn't have a resource type '{kind}'\n");
                }
            }
        }
        if namespaced && !arguments.all_namespaces {
            attributes["namespace"] = session.namespace.clone().into();
        }
        json!({"resourceAttributes": attributes})
    };
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec});
    let answer = session.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &review).await?;
    let status = &answer["status"];
    let allowed = status["allowed"] == true;
    if !arguments.quiet {
        let mut said = if allowed { "yes".to_owned() } else { "no".to_owned() };
        if !allowed {
            for (field, before) in [("reason", " - "), ("evaluationError", " - ")] {
                if let Some(why) = status[field].as_str().filter(|why| !why.is_empty()) {
                    said.push_str(&format!("{before}{why}"));
                }
            }
        }
        out(&format!("{said}\n"));
    }
    if allowed { Ok(()) } else { Err(Error::Exit(1)) }
}

async fn who_am_i(session: &Session, arguments: WhoAmI) -> Result<()> {
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let answer = session.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", &review).await?;
    let mut printer = arguments.output.printer(FORMS)?;
    if !matches!(printer.format, Format::Human) {
        out(&printer.print(&answer)?);
        return Ok(());
    }
    let user = &answer["status"]["userInfo"];
    let mut text = "ATTRIBUTE\tVALUE\n".to_owned();
    for (title, field) in [("Username", "username"), ("UID", "uid"), ("Groups", "groups")] {
        if !user[field].is_null() {
            text.push_str(&format!("{title}\t{}\n", crate::print::go(&user[field])));
        }
    }
    for (key, value) in user["extra"].as_object().into_iter().flatten() {
        text.push_str(&format!("Extra: {key}\t{}\n", crate::print::go(value)));
    }
    out(&TabWriter::table().format(&text));
    Ok(())
}
