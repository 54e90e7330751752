//! `config`: kubeconfig files, shown and changed. Flags of the connection (`--cluster`, `--server`, `--token`, …) are
//! here what is written.

mod entries;
mod property;
mod view;

use std::path::Path;

use serde_json::Value;

use crate::client::Connection;
use crate::error::{Error, Result};
use crate::kubeconfig::{CLUSTERS, CONTEXTS, Files, Section, USERS, change, find, items, name, put, remove};
use crate::out;
use crate::print::tabwriter::TabWriter;

pub(super) const EXAMPLES: &str = "Examples:
  wharf config get-contexts
  wharf config use-context wharf
  wharf config set-context --current --namespace=shop
  wharf config view --minify
  wharf config set-cluster far --server=https://10.0.0.1:6443 --certificate-authority=ca.crt --embed-certs
  wharf config set-credentials robot --token=secret";

/// What `config` is told.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Print what the kubeconfig files say together
    View(view::Arguments),
    /// List contexts
    GetContexts(GetContexts),
    /// Print the name of the current context
    CurrentContext(Words),
    /// Make a context the current one
    #[command(visible_alias = "use")]
    UseContext(Words),
    /// Give a context another name
    RenameContext(Words),
    /// Make or change a context, of --cluster, --user and --namespace
    SetContext(entries::SetContext),
    /// Delete a context
    DeleteContext(Words),
    /// List clusters
    GetClusters(Words),
    /// Make or change a cluster, of --server, --certificate-authority, --insecure-skip-tls-verify and --tls-server-name
    SetCluster(entries::SetCluster),
    /// Delete a cluster
    DeleteCluster(Words),
    /// List users
    GetUsers(Words),
    /// Make or change a user, of --token, --client-certificate, --client-key, --username and --password
    SetCredentials(entries::SetCredentials),
    /// Delete a user
    DeleteUser(Words),
    /// Set one property: clusters.NAME.server, contexts.NAME.namespace, current-context
    Set(property::Set),
    /// Remove one property, or an entry
    Unset(Words),
}

#[derive(Debug, clap::Args)]
struct Words {
    /// Names
    words: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct GetContexts {
    /// Only these
    words: Vec<String>,
    /// Without the titles of the columns.
    #[arg(long)]
    no_headers: bool,
    /// name, or nothing for a table.
    #[arg(long, short = 'o', default_value = "", hide_default_value = true)]
    output: String,
}

/// Does it.
pub(super) fn run(connection: &Connection, arguments: Arguments) -> Result<()> {
    let files = Files::read(connection)?;
    match arguments.what {
        What::View(arguments) => {
            if let Some(path) = connection.kubeconfig.as_deref().filter(|path| !path.exists()) {
                return Err(Error::message(format!("stat {}: no such file or directory", path.display())));
            }
            view::run(&files, connection, &arguments)
        }
        What::GetContexts(arguments) => get_contexts(&files.merged(), arguments),
        What::CurrentContext(_) => match current(&files.merged()) {
            "" => Err(Error::message("current-context is not set")),
            name => {
                out(&format!("{name}\n"));
                Ok(())
            }
        },
        What::UseContext(words) => use_context(&files, &words.words),
        What::RenameContext(words) => rename_context(&files, &words.words),
        What::SetContext(arguments) => entries::set_context(&files, connection, &arguments),
        What::DeleteContext(words) => delete(&files, CONTEXTS, &words.words),
        What::GetClusters(_) => names(&files, CLUSTERS),
        What::SetCluster(arguments) => entries::set_cluster(&files, connection, &arguments),
        What::DeleteCluster(words) => delete(&files, CLUSTERS, &words.words),
        What::GetUsers(_) => names(&files, USERS),
        What::SetCredentials(arguments) => entries::set_credentials(&files, connection, &arguments),
        What::DeleteUser(words) => delete(&files, USERS, &words.words),
        What::Set(arguments) => property::set(&files, &arguments),
        What::Unset(words) => property::unset(&files, &words.words),
    }
}

fn current(document: &Value) -> &str {
    document["current-context"].as_str().unwrap_or_default()
}

fn unexpected(words: &[String]) -> Error {
    Error::message(format!("Unexpected args: [{}]", words.join(" ")))
}

fn names(files: &Files, section: Section) -> Result<()> {
    let merged = files.merged();
    out(&format!("NAME\n{}", items(&merged, section).map(|item| format!("{}\n", name(item))).collect::<String>()));
    Ok(())
}

fn get_contexts(merged: &Value, arguments: GetContexts) -> Result<()> {
    let GetContexts { words, no_headers, output } = arguments;
    if !matches!(output.as_str(), "" | "name" | "wide") {
        return Err(Error::message(format!("--output {output} is not available in kubectl config get-contexts; resetting to default output format")));
    }
    let wanted = |item: &&Value| words.is_empty() || words.iter().any(|word| item["name"] == word.as_str());
    let mut text = String::new();
    if output != "name" && !no_headers {
        text.push_str("CURRENT\tNAME\tCLUSTER\tAUTHINFO\tNAMESPACE\n");
    }
    for item in items(merged, CONTEXTS).filter(wanted) {
        let (name, context) = (name(item), &item["context"]);
        let field = |field: &str| context[field].as_str().unwrap_or_default();
        text.push_str(&if output == "name" {
            format!("{name}\n")
        } else {
            let mark = if name == current(merged) { "*" } else { "" };
            format!("{mark}\t{name}\t{}\t{}\t{}\n", field("cluster"), field("user"), field("namespace"))
        });
    }
    out(&TabWriter::table().format(&text));
    let missing = words.iter().filter(|word| find(merged, CONTEXTS, word).is_none());
    Error::all(missing.map(|word| Error::message(format!("context {word} not found"))).collect())
}

fn use_context(files: &Files, words: &[String]) -> Result<()> {
    let [context] = words else { return Err(unexpected(words)) };
    if context.is_empty() {
        return Err(Error::message("empty context names are not allowed"));
    }
    if files.origin(CONTEXTS, context).is_none() {
        return Err(Error::message(format!("no context exists with the name: {context:?}")));
    }
    set_current(files, context)?;
    out(&format!("Switched to context {context:?}.\n"));
    Ok(())
}

fn set_current(files: &Files, context: &str) -> Result<()> {
    change(files.first()?, |document| document["current-context"] = context.into())
}

fn rename_context(files: &Files, words: &[String]) -> Result<()> {
    let [from, to] = words else { return Err(unexpected(words)) };
    let first = files.first()?.display().to_string();
    let Some(path) = files.origin(CONTEXTS, from) else {
        return Err(Error::message(format!("cannot rename the context {from:?}, it's not in {first}")));
    };
    if files.origin(CONTEXTS, to).is_some() {
        return Err(Error::message(format!("cannot rename the context {from:?}, the context {to:?} already exists in {first}")));
    }
    change(path, |document| {
        for item in document["contexts"].as_array_mut().into_iter().flatten().filter(|item| item["name"] == from.as_str()) {
            item["name"] = to.as_str().into();
        }
    })?;
    if current(&files.merged()) == from {
        set_current(files, to)?;
    }
    out(&format!("Context {from:?} renamed to {to:?}.\n"));
    Ok(())
}

fn delete(files: &Files, section: Section, words: &[String]) -> Result<()> {
    let entry = match words {
        [entry] => entry,
        _ if section == USERS => return Err(Error::Usage("user to delete is required".into())),
        _ => return Err(unexpected(words)),
    };
    let first = files.first()?.display().to_string();
    let Some(path) = files.origin(section, entry) else {
        return Err(Error::message(format!("cannot delete {} {entry}, not in {first}", section.entry)));
    };
    if section == CONTEXTS && current(&files.merged()) == entry {
        eprintln!("warning: this removed your active context, use \"kubectl config use-context\" to select a different one");
    }
    change(path, |document| remove(document, section, entry))?;
    out(&format!("deleted {} {entry} from {first}\n", section.entry));
    Ok(())
}

/// Changes the entry of a name where it stands, or makes it.
fn change_entry(files: &Files, section: Section, entry: &str, path: &Path, edit: impl FnOnce(&mut Value)) -> Result<()> {
    // What is new in one file may be known from another.
    let known = find(&files.merged(), section, entry).cloned();
    change(path, |document| {
        let mut value = find(document, section, entry).cloned().or(known).filter(Value::is_object).unwrap_or_else(|| serde_json::json!({}));
        edit(&mut value);
        put(document, section, entry, value);
    })
}
