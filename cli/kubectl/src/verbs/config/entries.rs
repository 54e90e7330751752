//! `config set-context`, `set-cluster` and `set-credentials`: whole entries, of flags.

use std::path::Path;

use serde_json::{Value, json};

use super::view::contents;
use super::{change_entry, current, unexpected};
use crate::client::Connection;
use crate::error::{Error, Result};
use crate::kubeconfig::{CLUSTERS, CONTEXTS, Files, USERS};
use crate::out;
use crate::paths::cleaned;

/// What `config set-context` is told; the rest are flags of the connection.
#[derive(Debug, clap::Args)]
pub(super) struct SetContext {
    /// The name of the context
    words: Vec<String>,
    /// The current context is meant.
    #[arg(long)]
    current: bool,
}

/// What `config set-cluster` is told; the rest are flags of the connection.
#[derive(Debug, clap::Args)]
pub(super) struct SetCluster {
    /// The name of the cluster
    words: Vec<String>,
    /// Put the certificate itself into the file, not its path.
    #[arg(long)]
    embed_certs: bool,
    /// The proxy on the way to the server.
    #[arg(long)]
    proxy_url: Option<String>,
}

/// What `config set-credentials` is told; the rest are flags of the connection.
#[derive(Debug, clap::Args)]
pub(super) struct SetCredentials {
    /// The name of the user
    words: Vec<String>,
    /// Put certificate and key themselves into the file, not their paths.
    #[arg(long)]
    embed_certs: bool,
    /// Name for basic authentication.
    #[arg(long)]
    username: Option<String>,
    /// Password for basic authentication.
    #[arg(long)]
    password: Option<String>,
}

/// Sets fields; an empty value removes one.
fn assign(entry: &mut Value, fields: &[(&str, Option<&String>)]) {
    for (field, value) in fields {
        match value {
            Some(value) if value.is_empty() => remove(entry, field),
            Some(value) => entry[*field] = json!(value),
            None => {}
        }
    }
}

fn remove(entry: &mut Value, field: &str) {
    if let Some(entry) = entry.as_object_mut() {
        entry.remove(field);
    }
}

/// Makes or changes a context.
pub(super) fn set_context(files: &Files, connection: &Connection, arguments: &SetContext) -> Result<()> {
    let merged = files.merged();
    let context = match (arguments.words.as_slice(), arguments.current) {
        ([], true) => match current(&merged) {
            "" => return Err(Error::message("no current context is set")),
            name => name.to_owned(),
        },
        (_, true) => return Err(Error::message("you cannot specify both a context name and --current")),
        ([name], false) if !name.is_empty() => name.clone(),
        ([] | [_], false) => return Err(Error::message("you must specify a non-empty context name or --current")),
        (words, false) => return Err(unexpected(words)),
    };
    let done = if files.origin(CONTEXTS, &context).is_some() { "modified" } else { "created" };
    let path = files.place(CONTEXTS, &context)?;
    change_entry(files, CONTEXTS, &context, &path, |entry| {
        assign(entry, &[("cluster", connection.cluster.as_ref()), ("user", connection.user.as_ref()), ("namespace", connection.namespace.as_ref())]);
    })?;
    out(&format!("Context {context:?} {done}.\n"));
    Ok(())
}

/// Makes or changes a cluster.
pub(super) fn set_cluster(files: &Files, connection: &Connection, arguments: &SetCluster) -> Result<()> {
    let [cluster] = arguments.words.as_slice() else { return Err(unexpected(&arguments.words)) };
    let insecure = connection.insecure_skip_tls_verify;
    let authority = connection.certificate_authority.as_deref().filter(|file| !file.is_empty());
    if insecure == Some(true) && authority.is_some() {
        return Err(Error::message("you cannot specify a certificate authority and insecure mode at the same time"));
    }
    if arguments.embed_certs && authority.is_none() {
        return Err(Error::message("you must specify a --certificate-authority to embed"));
    }
    let path = files.place(CLUSTERS, cluster)?;
    let authority = match (&connection.certificate_authority, authority) {
        (None, _) => None,
        (Some(_), None) => Some(Certificate::None),
        (Some(_), Some(file)) => Some(Certificate::read("certificate-authority", file, arguments.embed_certs, &path)?),
    };
    change_entry(files, CLUSTERS, cluster, &path, |entry| {
        let proxy = arguments.proxy_url.as_ref();
        assign(entry, &[("server", connection.server.as_ref()), ("tls-server-name", connection.tls_server_name.as_ref()), ("proxy-url", proxy)]);
        if let Some(insecure) = insecure {
            entry["insecure-skip-tls-verify"] = insecure.into();
            if insecure {
                remove(entry, "certificate-authority");
                remove(entry, "certificate-authority-data");
            }
        }
        if let Some(authority) = authority {
            if !matches!(authority, Certificate::None) {
                remove(entry, "insecure-skip-tls-verify");
            }
            authority.put(entry, "certificate-authority");
        }
    })?;
    out(&format!("Cluster {cluster:?} set.\n"));
    Ok(())
}

/// Makes or changes a user.
pub(super) fn set_credentials(files: &Files, connection: &Connection, arguments: &SetCredentials) -> Result<()> {
    let [user] = arguments.words.as_slice() else {
        return Err(Error::message(format!("unexpected args: [{}]", arguments.words.join(" "))));
    };
    let given = |flag: &Option<String>| flag.as_ref().is_some_and(|value| !value.is_empty());
    let basic = given(&arguments.username) || given(&arguments.password);
    if given(&connection.token) && basic {
        return Err(Error::message("you cannot specify more than one authentication method at the same time: --token, --username/--password"));
    }
    if arguments.embed_certs && !given(&connection.client_certificate) && !given(&connection.client_key) {
        return Err(Error::message("you must specify a --client-certificate or --client-key to embed"));
    }
    let path = files.place(USERS, user)?;
    let mut pairs = Vec::new();
    for (field, file) in [("client-certificate", &connection.client_certificate), ("client-key", &connection.client_key)] {
        match file.as_deref() {
            None => {}
            Some("") => pairs.push((field, Certificate::None)),
            Some(file) => pairs.push((field, Certificate::read(field, file, arguments.embed_certs, &path)?)),
        }
    }
    change_entry(files, USERS, user, &path, |entry| {
        // A user has a token or a password, and the last that was said counts.
        if given(&connection.token) {
            remove(entry, "username");
            remove(entry, "password");
        }
        if basic {
            remove(entry, "token");
        }
        assign(entry, &[("token", connection.token.as_ref()), ("username", arguments.username.as_ref()), ("password", arguments.password.as_ref())]);
        for (field, certificate) in pairs {
            certificate.put(entry, field);
        }
    })?;
    out(&format!("User {user:?} set.\n"));
    Ok(())
}

/// What is written for a certificate or key.
enum Certificate {
    None,
    Path(String),
    Data(Value),
}

impl Certificate {
    fn read(flag: &str, file: &str, embed: bool, kubeconfig: &Path) -> Result<Certificate> {
        if embed {
            if !Path::new(file).exists() {
                return Err(Error::message(format!("could not stat {flag} file {file}: stat {file}: no such file or directory")));
            }
            return Ok(Certificate::Data(contents(Path::new(file))?));
        }
        let here = std::env::current_dir().map_err(|error| Error::message(format!("getwd: {error}")))?;
        Ok(Certificate::Path(relative(&here.join(file), &here.join(kubeconfig))))
    }

    fn put(self, entry: &mut Value, field: &str) {
        let data = format!("{field}-data");
        remove(entry, field);
        remove(entry, &data);
        match self {
            Certificate::None => {}
            Certificate::Path(path) => entry[field] = path.into(),
            Certificate::Data(bytes) => entry[data] = bytes,
        }
    }
}

/// A path as a kubeconfig has it: below its folder, without that; elsewhere whole.
fn relative(file: &Path, kubeconfig: &Path) -> String {
    let file = cleaned(file);
    let folder = kubeconfig.parent().map(cleaned).unwrap_or_default();
    file.strip_prefix(&folder).unwrap_or(&file).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_below_the_kubeconfig_are_relative_to_it() {
        for (file, kubeconfig, written) in [
            ("/home/me/.kube/ca.crt", "/home/me/.kube/config", "ca.crt"),
            ("/home/me/./x/../.kube/a/ca.crt", "/home/me/.kube/config", "a/ca.crt"),
            ("/home/me/ca.crt", "/home/me/.kube/config", "/home/me/ca.crt"),
        ] {
            assert_eq!(relative(Path::new(file), Path::new(kubeconfig)), written);
        }
    }
}
