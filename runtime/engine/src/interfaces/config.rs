//! `wasi:config/store`: a container's configuration, from its environment and from the files mounted at `/etc/config`.
//!
//! A key is looked for in this order: the variable of that very name; the variable of that name in capitals, with `_` for
//! every other character (`listen.port` → `LISTEN_PORT`); the file of that name in `/etc/config`, without the newline at
//! its end. Files are read when asked for, so that a guest sees a ConfigMap's change as soon as its volume does.

use crate::environment::Environment;
use crate::rootfs::MountTable;
use std::io;
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, Lower};

/// The interface, as guests import it.
pub(crate) const INTERFACE: &str = "wasi:config/store";
/// Its version.
pub(crate) const VERSION: &str = "0.2.0-rc.1";

/// Where files of configuration are.
const FOLDER: &str = "etc/config";
/// Bytes of a value: the most that a ConfigMap holds.
const MAX_VALUE: u64 = 1 << 20;
/// Bytes of all that `get-all` gives.
const MAX_ALL: usize = 8 << 20;
/// Files that `get-all` looks at.
const MAX_FILES: usize = 10_000;

/// Why a value cannot be given.
#[derive(Debug, Clone, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(variant)]
pub(crate) enum Error {
    #[component(name = "upstream")]
    Upstream(String),
    #[component(name = "io")]
    Io(String),
}

/// What a store's data must offer.
pub(crate) trait ConfigView: 'static {
    fn config(&self) -> (&Environment, &MountTable);
}

pub(crate) fn add_to_linker<T: ConfigView>(l: &mut Linker<T>) -> wasmtime::Result<()> {
    let mut i = l.instance(&format!("{INTERFACE}@{VERSION}"))?;
    i.func_wrap("get", |s: StoreContextMut<'_, T>, (key,): (String,)| {
        let (environment, files) = s.data().config();
        Ok((get(&environment.variables, files, &key),))
    })?;
    i.func_wrap("get-all", |s: StoreContextMut<'_, T>, (): ()| {
        let (environment, files) = s.data().config();
        Ok((all(&environment.variables, files),))
    })
}

type Variables = [(String, String)];

fn get(variables: &Variables, files: &MountTable, key: &str) -> Result<Option<String>, Error> {
    let variable = |name: &str| variables.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
    match variable(key).or_else(|| variable(&capitals(key))) {
        Some(value) => Ok(Some(value)),
        None => file(files, key),
    }
}

/// The variables, and the files that none of them hides.
fn all(variables: &Variables, files: &MountTable) -> Result<Vec<(String, String)>, Error> {
    let mut all = variables.to_vec();
    let mut size = 0;
    for name in files.names(FOLDER, MAX_FILES).map_err(|e| failed(FOLDER, &e))? {
        let hidden = variables.iter().any(|(n, _)| *n == name || *n == capitals(&name));
        let Some(value) = file(files, &name)?.filter(|_| !hidden) else { continue };
        size += value.len();
        if size > MAX_ALL {
            return Err(Error::Io(format!("/{FOLDER} holds more than {MAX_ALL} bytes")));
        }
        all.push((name, value));
    }
    Ok(all)
}

fn file(files: &MountTable, key: &str) -> Result<Option<String>, Error> {
    // Names of the volume's own begin with two dots; no key leads out of the folder.
    if key.is_empty() || key.starts_with("..") || key.contains(['/', '\0']) {
        return Ok(None);
    }
    let path = format!("{FOLDER}/{key}");
    let bytes = match files.read(&path, MAX_VALUE) {
        Ok(bytes) => bytes,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory) => return Ok(None),
        Err(e) => return Err(failed(&path, &e)),
    };
    let Some(mut text) = bytes.and_then(|b| String::from_utf8(b).ok()) else {
        return Err(Error::Io(format!("/{path} is no text, or larger than {MAX_VALUE} bytes")));
    };
    if text.ends_with('\n') {
        text.pop();
    }
    Ok(Some(text))
}

fn failed(path: &str, e: &io::Error) -> Error {
    Error::Io(format!("read /{path}: {e}"))
}

/// The name of a variable, from a key.
fn capitals(key: &str) -> String {
    key.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_come_before_files_and_files_are_read_anew() {
        let (root, volume) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        // As volumes of ConfigMaps are: links through `..data`.
        std::fs::create_dir(volume.path().join("..1")).unwrap();
        std::os::unix::fs::symlink("..1", volume.path().join("..data")).unwrap();
        for (name, text) in [("greeting", "from a file\n"), ("page", "<p>\n</p>\n\n"), ("listen.port", "1")] {
            std::fs::write(volume.path().join("..1").join(name), text).unwrap();
            std::os::unix::fs::symlink(format!("..data/{name}"), volume.path().join(name)).unwrap();
        }
        std::fs::write(volume.path().join("raw"), b"\xff").unwrap();
        let mut files = MountTable::new(root.path(), false).unwrap();
        files.mount(volume.path(), "/etc/config", true).unwrap();
        let variables = [("GREETING", "hello"), ("LISTEN_PORT", "8080")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let get = |key: &str| get(&variables, &files, key);
        assert_eq!(get("GREETING"), Ok(Some("hello".into())));
        assert_eq!(get("greeting"), Ok(Some("hello".into())));
        assert_eq!(get("listen.port"), Ok(Some("8080".into())));
        assert_eq!(get("page"), Ok(Some("<p>\n</p>\n".into())));
        for none in ["", ".", "..", "..data", "nothing", "a/b", "../../etc/passwd", "page\0"] {
            assert_eq!(get(none), Ok(None), "{none:?}");
        }
        assert_eq!(get("raw"), Err(Error::Io("/etc/config/raw is no text, or larger than 1048576 bytes".into())));
        std::fs::remove_file(volume.path().join("raw")).unwrap();
        let mut all = all(&variables, &files).unwrap();
        all.sort();
        assert_eq!(all.iter().map(|(k, _)| k.as_str()).collect::<Vec<_>>(), ["GREETING", "LISTEN_PORT", "page"]);
        std::fs::write(volume.path().join("..1/page"), "new").unwrap();
        assert_eq!(get("page"), Ok(Some("new".into())));
    }

    #[test]
    fn without_a_folder_there_are_the_variables() {
        let root = tempfile::tempdir().unwrap();
        let files = MountTable::new(root.path(), false).unwrap();
        let variables = [("A".to_owned(), "1".to_owned())];
        assert_eq!((get(&variables, &files, "a"), get(&variables, &files, "b")), (Ok(Some("1".into())), Ok(None)));
        assert_eq!(all(&variables, &files), Ok(variables.to_vec()));
    }
}
