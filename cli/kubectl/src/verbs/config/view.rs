//! `config view`: what the files say together, with or without what is secret.

use std::path::Path;

use base64::Engine;
use serde_json::{Value, json};

use super::current;
use crate::client::Connection;
use crate::error::{Error, Result};
use crate::kubeconfig::{CLUSTERS, CONTEXTS, Files, Section, USERS, find, name};
use crate::out;
use crate::print::json::pretty_in_order;
use crate::print::output::{FORMS, Format, OutputFlags};

/// What `config view` is told.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[arg(hide = true)]
    words: Vec<String>,
    #[command(flatten)]
    output: OutputFlags,
    /// Show secrets and certificates too.
    #[arg(long)]
    raw: bool,
    /// Only what the current context needs.
    #[arg(long)]
    minify: bool,
    /// Put the contents of the files that are named in place of their names; the outcome can be carried elsewhere.
    #[arg(long)]
    flatten: bool,
    /// Take all kubeconfig files together.
    #[arg(long, default_value = "true", action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_default_value = true, value_name = "BOOL")]
    merge: bool,
}

/// Does it.
pub(super) fn run(files: &Files, connection: &Connection, arguments: &Arguments) -> Result<()> {
    if !arguments.words.is_empty() {
        return Err(Error::Usage(format!("unexpected arguments: [{}]", arguments.words.join(" "))));
    }
    if !arguments.merge && connection.kubeconfig.is_none() {
        return Err(Error::message("if merge==false a precise file must be specified"));
    }
    let mut printer = arguments.output.printer(FORMS)?;
    let mut document = files.merged();
    if arguments.minify {
        if let Some(context) = &connection.context {
            document["current-context"] = context.as_str().into();
        }
        minify(&mut document)?;
    }
    if arguments.flatten {
        flatten(&mut document, files)?;
    } else if !arguments.raw {
        redact(&mut document);
    }
    out(&match printer.format {
        Format::Human => crate::print::yaml::to_string(&document),
        Format::Json => format!("{}\n", pretty_in_order(&document, &|_| ORDER)),
        _ => printer.print(&document)?,
    });
    Ok(())
}

/// Leaves only the current context and what it names.
fn minify(document: &mut Value) -> Result<()> {
    let context = current(document).to_owned();
    if context.is_empty() {
        return Err(Error::message("current-context must exist in order to minify"));
    }
    let Some(chosen) = find(document, CONTEXTS, &context).cloned() else {
        return Err(Error::message(format!("cannot locate context {context}")));
    };
    let keeps: [(Section, &str); 3] =
        [(CONTEXTS, &context), (CLUSTERS, chosen["cluster"].as_str().unwrap_or_default()), (USERS, chosen["user"].as_str().unwrap_or_default())];
    for (section, keep) in keeps {
        if section != CONTEXTS && !keep.is_empty() && find(document, section, keep).is_none() {
            return Err(Error::message(format!("cannot locate {} {keep}", section.entry)));
        }
        if let Some(list) = document[section.list].as_array_mut() {
            list.retain(|item| item["name"] == keep);
            if list.is_empty() {
                document[section.list] = Value::Null;
            }
        }
    }
    Ok(())
}

/// Hides what is secret, and certificates, which nobody reads.
fn redact(document: &mut Value) {
    for section in [CLUSTERS, USERS] {
        for item in document[section.list].as_array_mut().into_iter().flatten() {
            for field in ["certificate-authority-data", "client-certificate-data", "client-key-data"] {
                hide(&mut item[section.entry], field, "DATA+OMITTED");
            }
            for field in ["token", "password"] {
                hide(&mut item[section.entry], field, "REDACTED");
            }
        }
    }
}

fn hide(entry: &mut Value, field: &str, with: &str) {
    if let Some(value) = entry.get_mut(field) {
        *value = with.into();
    }
}

/// Files of certificates and keys become their contents.
fn flatten(document: &mut Value, files: &Files) -> Result<()> {
    for (section, fields) in [(CLUSTERS, &["certificate-authority"][..]), (USERS, &["client-certificate", "client-key"])] {
        for item in document[section.list].as_array_mut().into_iter().flatten() {
            let folder = files.origin(section, &name(item)).and_then(Path::parent).map(Path::to_owned).unwrap_or_default();
            for field in fields {
                let Some(entry) = item[section.entry].as_object_mut() else { continue };
                let Some(path) = entry.remove(*field).and_then(|path| Some(folder.join(path.as_str()?))) else { continue };
                if entry.contains_key(&format!("{field}-data")) {
                    continue;
                }
                let contents = contents(&path)?;
                if contents != "" {
                    entry.insert(format!("{field}-data"), contents);
                }
            }
        }
    }
    Ok(())
}

/// A file as base64.
pub(super) fn contents(path: &Path) -> Result<Value> {
    let bytes = std::fs::read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::message(format!("open {}: no such file or directory", path.display())),
        _ => Error::message(format!("open {}: {error}", path.display())),
    })?;
    Ok(json!(base64::engine::general_purpose::STANDARD.encode(bytes)))
}

/// The order in which kubectl writes fields as JSON; others follow by name.
const ORDER: &[&str] = &[
    "kind",
    "name",
    "command",
    "args",
    "env",
    "apiVersion",
    "preferences",
    "colors",
    "clusters",
    "users",
    "contexts",
    "current-context",
    "server",
    "tls-server-name",
    "insecure-skip-tls-verify",
    "certificate-authority",
    "certificate-authority-data",
    "proxy-url",
    "disable-compression",
    "client-certificate",
    "client-certificate-data",
    "client-key",
    "client-key-data",
    "token",
    "tokenFile",
    "as",
    "as-uid",
    "as-groups",
    "as-user-extra",
    "username",
    "password",
    "auth-provider",
    "exec",
    "cluster",
    "user",
    "namespace",
    "context",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_secret_is_hidden_and_what_is_not_needed_left_out() {
        let mut document = json!({
            "kind": "Config", "current-context": "one",
            "clusters": [{"name": "b", "cluster": {"server": "x", "certificate-authority-data": "Zm9v"}}, {"name": "c", "cluster": {}}],
            "users": [{"name": "u", "user": {"token": "t", "client-key-data": "a"}}, {"name": "p", "user": {"password": "p", "username": "n"}}],
            "contexts": [{"name": "one", "context": {"cluster": "b", "user": "u"}}, {"name": "two", "context": {}}],
        });
        let mut none = json!({"current-context": "no"});
        assert_eq!(minify(&mut none).unwrap_err().text(), "cannot locate context no");
        redact(&mut document);
        assert_eq!(document["users"][1]["user"], json!({"password": "REDACTED", "username": "n"}));
        minify(&mut document).unwrap();
        let text = pretty_in_order(&document, &|_| ORDER);
        expect_test::expect![[r#"
            {
                "kind": "Config",
                "clusters": [
                    {
                        "name": "b",
                        "cluster": {
                            "server": "x",
                            "certificate-authority-data": "DATA+OMITTED"
                        }
                    }
                ],
                "users": [
                    {
                        "name": "u",
                        "user": {
                            "client-key-data": "DATA+OMITTED",
                            "token": "REDACTED"
                        }
                    }
                ],
                "contexts": [
                    {
                        "name": "one",
                        "context": {
                            "cluster": "b",
                            "user": "u"
                        }
                    }
                ],
                "current-context": "one"
            }"#]]
        .assert_eq(&text);
    }
}
