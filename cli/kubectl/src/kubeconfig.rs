//! Kubeconfig files as documents: what they say together, which of them says it, and how one of them is changed. Fields
//! that are not known here stay as they are.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::client::{Connection, kubeconfig_files};
use crate::error::{Error, Result};

/// The largest kubeconfig that is read.
const LARGEST: u64 = 16 << 20;

/// A list of named entries, and what an entry is called in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Section {
    /// `clusters`
    pub list: &'static str,
    /// `cluster`
    pub entry: &'static str,
}

/// Servers and how they are known.
pub const CLUSTERS: Section = Section { list: "clusters", entry: "cluster" };
/// Who asks.
pub const USERS: Section = Section { list: "users", entry: "user" };
/// A cluster, a user and a namespace.
pub const CONTEXTS: Section = Section { list: "contexts", entry: "context" };

/// All of them.
pub const SECTIONS: [Section; 3] = [CLUSTERS, CONTEXTS, USERS];

/// The files, most important first, and what each says; None for one that is not there.
#[derive(Debug)]
pub struct Files {
    files: Vec<(PathBuf, Option<Value>)>,
}

impl Files {
    /// Reads those that the connection's flags and the environment name.
    pub fn read(connection: &Connection) -> Result<Files> {
        let paths = kubeconfig_files(connection.kubeconfig.as_deref());
        let files = paths.into_iter().map(|path| Ok((path.clone(), read(&path)?))).collect::<Result<Vec<_>>>()?;
        Ok(Files { files })
    }

    /// What they say together; the first that says something wins.
    pub fn merged(&self) -> Value {
        let mut merged = json!({});
        for (_, document) in self.files.iter().rev() {
            for (key, value) in document.iter().filter_map(Value::as_object).flatten() {
                if !is_empty(value) && !SECTIONS.iter().any(|section| section.list == key) {
                    merged[key.as_str()] = value.clone();
                }
            }
        }
        for section in SECTIONS {
            let mut entries = BTreeMap::new();
            for item in self.files.iter().flat_map(|(_, document)| document.iter().flat_map(|document| items(document, section))) {
                entries.entry(name(item)).or_insert_with(|| item.clone());
            }
            merged[section.list] = entries.into_values().collect::<Vec<_>>().into();
        }
        canonical(&mut merged);
        merged
    }

    /// The file in which an entry stands.
    pub fn origin(&self, section: Section, entry: &str) -> Option<&Path> {
        self.files
            .iter()
            .find(|(_, document)| document.as_ref().is_some_and(|document| find(document, section, entry).is_some()))
            .map(|(path, _)| path.as_path())
    }

    /// The file that takes what is new: the first that is there, otherwise the last.
    pub fn first(&self) -> Result<&Path> {
        let there = self.files.iter().find(|(_, document)| document.is_some()).or(self.files.last());
        there.map(|(path, _)| path.as_path()).ok_or_else(|| Error::message("no kubeconfig file is named, and there is no home folder"))
    }

    /// The first file that names a current context.
    pub fn says_current(&self) -> Option<&Path> {
        let says = |document: &Value| document["current-context"].as_str().is_some_and(|name| !name.is_empty());
        self.files.iter().find(|(_, document)| document.as_ref().is_some_and(says)).map(|(path, _)| path.as_path())
    }

    /// The file for an entry, be it there or new.
    pub fn place(&self, section: Section, entry: &str) -> Result<PathBuf> {
        match self.origin(section, entry) {
            Some(path) => Ok(path.to_owned()),
            None => self.first().map(Path::to_owned),
        }
    }
}

fn read(path: &Path) -> Result<Option<Value>> {
    let wrong = |why: String| Error::message(format!("error loading config file \"{}\": {why}", path.display()));
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(error.to_string())),
    };
    if metadata.len() > LARGEST {
        return Err(wrong("the file is too large".into()));
    }
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    match serde_yaml::from_str::<Value>(&text) {
        Ok(Value::Null) => Ok(Some(json!({}))),
        Ok(document @ Value::Object(_)) => Ok(Some(document)),
        Ok(_) => Err(wrong("it is not a kubeconfig".into())),
        Err(error) => Err(wrong(format!("yaml: {error}"))),
    }
}

/// Changes a file, whole or not at all: kubectl and this program keep out of each other's way by the name of the new
/// one, `config.lock`.
pub fn change(path: &Path, change: impl FnOnce(&mut Value)) -> Result<()> {
    // A link stays a link.
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let failed = |what: &Path, error: &std::io::Error| {
        let why = match error.kind() {
            std::io::ErrorKind::AlreadyExists => "file exists".to_owned(),
            std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            _ => error.to_string(),
        };
        Error::message(format!("open {}: {why}", what.display()))
    };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    }
    let mut beside = path.clone().into_os_string();
    beside.push(".lock");
    let beside = PathBuf::from(beside);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside).map_err(|error| failed(&beside, &error))?;
    let written = || -> Result<bool> {
        let before = read(&path)?;
        let mut document = before.clone().unwrap_or_else(|| json!({}));
        change(&mut document);
        if before.as_ref() == Some(&document) {
            return Ok(false);
        }
        canonical(&mut document);
        let text = crate::print::yaml::to_string(&document);
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(|error| failed(&beside, &error))?;
        std::fs::rename(&beside, &path).map_err(|error| failed(&path, &error))?;
        Ok(true)
    };
    let outcome = written();
    if !matches!(outcome, Ok(true)) {
        let _ = std::fs::remove_file(&beside);
    }
    outcome.map(|_| ())
}

/// The named entries of a document.
pub fn items(document: &Value, section: Section) -> impl Iterator<Item = &Value> {
    document[section.list].as_array().into_iter().flatten()
}

/// The name of an entry.
pub fn name(item: &Value) -> String {
    item["name"].as_str().unwrap_or_default().to_owned()
}

/// What stands under a name.
pub fn find<'a>(document: &'a Value, section: Section, entry: &str) -> Option<&'a Value> {
    items(document, section).find(|item| item["name"] == entry).map(|item| &item[section.entry])
}

/// Puts something under a name.
pub fn put(document: &mut Value, section: Section, entry: &str, value: Value) {
    if !document[section.list].is_array() {
        document[section.list] = json!([]);
    }
    let Some(list) = document[section.list].as_array_mut() else { return };
    match list.iter_mut().find(|item| item["name"] == entry) {
        Some(item) => item[section.entry] = value,
        None => list.push(json!({"name": entry, section.entry: value})),
    }
}

/// Removes a name.
pub fn remove(document: &mut Value, section: Section, entry: &str) {
    if let Some(list) = document[section.list].as_array_mut() {
        list.retain(|item| item["name"] != entry);
    }
}

/// The form in which kubectl writes them: by name, without what says nothing, with what must be there.
pub fn canonical(document: &mut Value) {
    let Some(map) = document.as_object_mut() else { return };
    map.insert("apiVersion".into(), "v1".into());
    map.insert("kind".into(), "Config".into());
    map.entry("current-context").or_insert_with(|| "".into());
    if let Some(preferences) = map.get_mut("preferences").and_then(Value::as_object_mut) {
        preferences.retain(|_, value| !is_empty(value));
    }
    map.retain(|key, value| key != "preferences" || !is_empty(value));
    for section in SECTIONS {
        let list = map.entry(section.list).or_insert(Value::Null);
        let Some(items) = list.as_array_mut().filter(|items| !items.is_empty()) else {
            *list = Value::Null;
            continue;
        };
        items.sort_by_key(name);
        for item in items {
            if let Value::Object(entry) = &mut item[section.entry] {
                tidy(entry, section);
            } else {
                let mut entry = Map::new();
                tidy(&mut entry, section);
                item[section.entry] = entry.into();
            }
        }
    }
}

fn tidy(entry: &mut Map<String, Value>, section: Section) {
    entry.retain(|_, value| !is_empty(value));
    let needed: &[&str] = match section.entry {
        "cluster" => &["server"],
        "context" => &["cluster", "user"],
        _ => &[],
    };
    for field in needed {
        entry.entry(*field).or_insert_with(|| "".into());
    }
    if let Some(exec) = entry.get_mut("exec").and_then(Value::as_object_mut) {
        for field in ["args", "env"] {
            exec.entry(field).or_insert(Value::Null);
        }
        exec.entry("provideClusterInfo").or_insert_with(|| false.into());
    }
}

/// Whether a value says no more than its absence.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(texts: &[&str]) -> (tempfile::TempDir, Files) {
        let folder = tempfile::TempDir::new().unwrap();
        let paths: Vec<PathBuf> = (0..texts.len()).map(|at| folder.path().join(at.to_string())).collect();
        for (path, text) in paths.iter().zip(texts).filter(|(_, text)| !text.is_empty()) {
            std::fs::write(path, text).unwrap();
        }
        let files = paths.into_iter().map(|path| (path.clone(), read(&path).unwrap())).collect();
        (folder, Files { files })
    }

    #[test]
    fn the_first_that_says_something_wins() {
        let (folder, files) = files(&[
            "",
            "clusters: [{name: b, cluster: {server: one}}]\n",
            "current-context: c\nclusters: [{name: b, cluster: {server: two}}, {name: a, cluster: {new: 1}}]\n",
        ]);
        expect_test::expect![[r#"
            apiVersion: v1
            clusters:
            - cluster:
                new: 1
                server: ""
              name: a
            - cluster:
                server: one
              name: b
            contexts: null
            current-context: c
            kind: Config
            users: null
        "#]]
        .assert_eq(&crate::print::yaml::to_string(&files.merged()));
        let place = |name: &str| files.place(CLUSTERS, name).unwrap().strip_prefix(folder.path()).unwrap().to_owned();
        assert_eq!((place("b"), place("a"), place("new")), ("1".into(), "2".into(), "1".into()));
        assert_eq!(files.says_current().unwrap(), folder.path().join("2"));
    }

    #[test]
    fn a_change_keeps_what_it_does_not_know_and_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::TempDir::new().unwrap();
        let (path, link) = (folder.path().join("sub/config"), folder.path().join("link"));
        std::os::unix::fs::symlink(&path, &link).unwrap();
        change(&path, |document| put(document, CLUSTERS, "a", json!({"server": "x", "future": {"deep": [1]}}))).unwrap();
        change(&link, |document| put(document, CONTEXTS, "c", json!({"cluster": "a", "namespace": ""}))).unwrap();
        assert!(link.is_symlink());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        expect_test::expect![[r#"
            apiVersion: v1
            clusters:
            - cluster:
                future:
                  deep:
                  - 1
                server: x
              name: a
            contexts:
            - context:
                cluster: a
                user: ""
              name: c
            current-context: ""
            kind: Config
            users: null
        "#]]
        .assert_eq(&std::fs::read_to_string(&path).unwrap());
        std::fs::write(folder.path().join("sub/config.lock"), "").unwrap();
        let refused = change(&path, |document| remove(document, CLUSTERS, "a")).unwrap_err().text();
        assert!(refused.ends_with("config.lock: file exists"), "{refused}");
        assert_eq!(std::fs::read_dir(folder.path().join("sub")).unwrap().count(), 2);
    }
}
