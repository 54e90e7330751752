//! ConfigMaps and Secrets from files and literal values.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::{New, one_name, required};
use crate::error::{Error, Result};

/// Where values come from.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Sources {
    name: Vec<String>,
    /// A file, or KEY=FILE, or a folder of files; may be repeated.
    #[arg(long)]
    from_file: Vec<String>,
    /// KEY=VALUE; may be repeated.
    #[arg(long)]
    from_literal: Vec<String>,
    /// A file of KEY=VALUE lines; may be repeated.
    #[arg(long)]
    from_env_file: Vec<String>,
}

impl Sources {
    /// Keys and values, in order.
    fn read(&self, kind: &str, name: &str) -> Result<Vec<(String, Vec<u8>)>> {
        let mut found: Vec<(String, Vec<u8>)> = Vec::new();
        let mut add = |key: String, value: Vec<u8>| {
            if !key.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) || key.is_empty() {
                return Err(Error::message(format!(
                    "{key:?} is not a valid key name for a {kind}: a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
                )));
            }
            if found.iter().any(|(k, _)| *k == key) {
                return Err(Error::message(format!("cannot add key {key:?}, another key by that name already exists in Data for {kind} {name:?}")));
            }
            found.push((key, value));
            Ok(())
        };
        for source in &self.from_file {
            let (key, path) = match source.split_once('=') {
                Some((key, path)) if !key.is_empty() && !path.is_empty() => (Some(key.to_owned()), path),
                Some(("", _)) => return Err(Error::message(format!("key name for file path {} missing", source.trim_start_matches('=')))),
                Some((key, _)) => return Err(Error::message(format!("file path for key name {key} missing"))),
                None => (None, source.as_str()),
            };
            for (own, file) in files(path, key.is_some())? {
                let value = std::fs::read(&file).map_err(|error| Error::message(format!("error reading {path}: {error}")))?;
                add(key.clone().unwrap_or(own), value)?;
            }
        }
        for source in &self.from_literal {
            let (key, value) = source
                .split_once('=')
                .filter(|(key, _)| !key.is_empty())
                .ok_or_else(|| Error::message(format!("invalid literal source {source}, expected key=value")))?;
            let value = value
                .strip_prefix('"')
                .and_then(|v| v.strip_suffix('"'))
                .or_else(|| value.strip_prefix('\'').and_then(|v| v.strip_suffix('\'')))
                .unwrap_or(value);
            add(key.to_owned(), value.as_bytes().to_vec())?;
        }
        for source in &self.from_env_file {
            let text = std::fs::read_to_string(source).map_err(|error| read_error(source, &error))?;
            for line in text.trim_start_matches('\u{feff}').lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#')) {
                match line.split_once('=') {
                    Some((key, value)) => add(key.to_owned(), value.as_bytes().to_vec())?,
                    // A name alone takes its value from the environment.
                    None => add(line.to_owned(), std::env::var(line).unwrap_or_default().into_bytes())?,
                }
            }
        }
        if !self.from_env_file.is_empty() && (!self.from_file.is_empty() || !self.from_literal.is_empty()) {
            return Err(Error::message("from-env-file cannot be combined with from-file or from-literal"));
        }
        Ok(found)
    }

    pub(super) fn config_map(&self) -> Result<New> {
        let name = one_name(&self.name)?;
        let (mut data, mut binary) = (Map::new(), Map::new());
        for (key, value) in self.read("ConfigMap", name)? {
            match String::from_utf8(value) {
                Ok(text) => data.insert(key, text.into()),
                Err(error) => binary.insert(key, STANDARD.encode(error.as_bytes()).into()),
            };
        }
        let mut object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
        for (field, values) in [("data", data), ("binaryData", binary)] {
            if !values.is_empty() {
                object[field] = values.into();
            }
        }
        Ok(New::namespaced("configmaps", object))
    }
}

fn read_error(path: &str, error: &std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::NotFound => Error::message(format!("error reading {path}: no such file or directory")),
        _ => Error::message(format!("error reading {path}: {error}")),
    }
}

/// The files of a path with the keys that are their names.
fn files(path: &str, keyed: bool) -> Result<Vec<(String, std::path::PathBuf)>> {
    let metadata = std::fs::metadata(path).map_err(|error| read_error(path, &error))?;
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if !metadata.is_dir() {
        return Ok(vec![(name(Path::new(path)), path.into())]);
    }
    if keyed {
        return Err(Error::message("cannot give a key name for a directory path"));
    }
    let entries = std::fs::read_dir(path).map_err(|error| Error::message(format!("error listing files in {path}: {error}")))?;
    let mut all: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).map(|path| (name(&path), path)).collect();
    all.sort();
    Ok(all)
}

/// `create secret`
#[derive(Debug, clap::Subcommand)]
pub(super) enum Secret {
    /// Create a secret from files, folders or literal values
    Generic(Generic),
    /// Create a secret of a certificate and its key
    Tls(Tls),
    /// Create a secret for an image registry
    DockerRegistry(DockerRegistry),
}

/// `create secret generic`
#[derive(Debug, clap::Args)]
pub(super) struct Generic {
    #[command(flatten)]
    sources: Sources,
    /// The type of the secret.
    #[arg(long, default_value = "", hide_default_value = true)]
    r#type: String,
}

/// `create secret tls`
#[derive(Debug, clap::Args)]
pub(super) struct Tls {
    name: Vec<String>,
    /// The file of the certificate, in PEM.
    #[arg(long, default_value = "", hide_default_value = true)]
    cert: String,
    /// The file of its key, in PEM.
    #[arg(long, default_value = "", hide_default_value = true)]
    key: String,
}

/// `create secret docker-registry`
#[derive(Debug, clap::Args)]
pub(super) struct DockerRegistry {
    name: Vec<String>,
    /// Where the registry is.
    #[arg(long, default_value = "https://index.docker.io/v1/")]
    docker_server: String,
    /// As whom.
    #[arg(long, default_value = "", hide_default_value = true)]
    docker_username: String,
    /// With which password.
    #[arg(long, default_value = "", hide_default_value = true)]
    docker_password: String,
    /// With which address.
    #[arg(long, default_value = "", hide_default_value = true)]
    docker_email: String,
}

impl Secret {
    pub(super) fn object(&self) -> Result<New> {
        let (name, kind, data) = match self {
            Secret::Generic(generic) => {
                let name = one_name(&generic.sources.name)?;
                (name, generic.r#type.clone(), generic.sources.read("Secret", name)?)
            }
            Secret::Tls(tls) => {
                let name = one_name(&tls.name)?;
                if tls.cert.is_empty() || tls.key.is_empty() {
                    return Err(Error::message("key and cert must be specified"));
                }
                let read = |path: &str| {
                    std::fs::read(path).map_err(|error| {
                        Error::message(format!(
                            "open {path}: {}",
                            if error.kind() == std::io::ErrorKind::NotFound { "no such file or directory".into() } else { error.to_string() }
                        ))
                    })
                };
                let (cert, key) = (read(&tls.cert)?, read(&tls.key)?);
                for (pem, what) in [(&cert, "certificate"), (&key, "key")] {
                    if !String::from_utf8_lossy(pem).contains("-----BEGIN ") {
                        return Err(Error::message(format!("tls: failed to find any PEM data in {what} input")));
                    }
                }
                (name, "kubernetes.io/tls".into(), vec![("tls.crt".into(), cert), ("tls.key".into(), key)])
            }
            Secret::DockerRegistry(registry) => {
                let name = one_name(&registry.name)?;
                required(&[("docker-username", !registry.docker_username.is_empty()), ("docker-password", !registry.docker_password.is_empty())])?;
                (name, "kubernetes.io/dockerconfigjson".into(), vec![(".dockerconfigjson".into(), registry.config().into_bytes())])
            }
        };
        let mut object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}});
        if !kind.is_empty() {
            object["type"] = kind.into();
        }
        let data: Map<String, Value> = data.into_iter().map(|(key, value)| (key, STANDARD.encode(value).into())).collect();
        if !data.is_empty() {
            object["data"] = data.into();
        }
        Ok(New::namespaced("secrets", object))
    }
}

impl DockerRegistry {
    /// The fields stand in the order in which Docker writes them.
    fn config(&self) -> String {
        let quote = |text: &str| Value::from(text).to_string();
        let auth = STANDARD.encode(format!("{}:{}", self.docker_username, self.docker_password));
        let mut fields = vec![format!("\"username\":{}", quote(&self.docker_username)), format!("\"password\":{}", quote(&self.docker_password))];
        if !self.docker_email.is_empty() {
            fields.push(format!("\"email\":{}", quote(&self.docker_email)));
        }
        fields.push(format!("\"auth\":{}", quote(&auth)));
        format!("{{\"auths\":{{{}:{{{}}}}}}}", quote(&self.docker_server), fields.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(literals: &[&str]) -> Sources {
        Sources { name: vec!["x".into()], from_file: vec![], from_literal: literals.iter().map(|s| (*s).to_owned()).collect(), from_env_file: vec![] }
    }

    #[test]
    fn values_come_from_literals_and_files() {
        let map = sources(&["a=1", "b=\"two\""]).config_map().unwrap().object;
        assert_eq!(map["data"], json!({"a": "1", "b": "two"}));
        let text = |sources: Sources| sources.config_map().map(|_| String::new()).unwrap_or_else(|error| error.text());
        assert_eq!(text(sources(&["a"])), "invalid literal source a, expected key=value");
        assert!(text(sources(&["a=1", "a=2"])).starts_with("cannot add key \"a\", another key by that name already exists"));
        let folder = tempfile::TempDir::new().unwrap();
        std::fs::write(folder.path().join("f.bin"), [0xff, 0]).unwrap();
        std::fs::write(folder.path().join("g.env"), "# c\nX=y=z\n").unwrap();
        let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
        let map = Sources { from_file: vec![path("f.bin"), format!("k={}", path("g.env"))], ..sources(&[]) }.config_map().unwrap().object;
        assert_eq!((map["binaryData"]["f.bin"].as_str(), map["data"]["k"].as_str()), (Some("/wA="), Some("# c\nX=y=z\n")));
        let map = Sources { from_env_file: vec![path("g.env")], ..sources(&[]) }.config_map().unwrap().object;
        assert_eq!(map["data"], json!({"X": "y=z"}));
    }
}
