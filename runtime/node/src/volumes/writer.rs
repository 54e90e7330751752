//! Puts files into a volume so that a reader sees all of the old ones or all of the new ones: `name -> ..data/name`, `..data -> ..<time>`,
//! and an update swaps `..data` alone.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Component, Path};

/// What a volume holds: relative path → content and mode.
pub type Payload = BTreeMap<String, PayloadFile>;

/// One file of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayloadFile {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
}

pub(super) const DATA: &str = "..data";
const NEW_DATA: &str = "..data_tmp";

/// Makes `dir` hold `payload`. Says whether anything changed.
pub fn write(dir: &Path, payload: &Payload) -> io::Result<bool> {
    for path in payload.keys() {
        check(path)?;
    }
    fs::DirBuilder::new().recursive(true).mode(0o755).create(dir)?;
    let current = fs::read_link(dir.join(DATA)).ok();
    if let Some(current) = &current
        && same(&dir.join(current), payload)
    {
        return Ok(false);
    }
    let name = format!("..{}", jiff::Timestamp::now().strftime("%Y_%m_%d_%H_%M_%S.%9f"));
    let fresh = dir.join(&name);
    // It is tried again and again: what could not be written whole must not pile up.
    fill(&fresh, payload).inspect_err(|_| drop(fs::remove_dir_all(&fresh)))?;
    let _ = fs::remove_file(dir.join(NEW_DATA));
    symlink(&name, dir.join(NEW_DATA))?;
    fs::rename(dir.join(NEW_DATA), dir.join(DATA))?;

    let wanted: std::collections::BTreeSet<&str> = payload.keys().filter_map(|p| p.split('/').next()).collect();
    for top in &wanted {
        match symlink(Path::new(DATA).join(top), dir.join(top)) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let file_name = entry.file_name();
        let stale = match file_name.to_str() {
            Some(DATA) => false,
            Some(n) if n == name => false,
            Some(n) if n.starts_with("..") => true,
            Some(n) => !wanted.contains(n) && entry.file_type()?.is_symlink(),
            None => false,
        };
        if stale {
            let path = entry.path();
            let _ = if entry.file_type()?.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        }
    }
    Ok(true)
}

/// Writes the files into a folder of their own.
fn fill(fresh: &Path, payload: &Payload) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o755).create(fresh)?;
    for (path, file) in payload {
        let target = fresh.join(path);
        if let Some(parent) = target.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o755).create(parent)?;
        }
        let mut f = fs::File::options().write(true).create_new(true).mode(0o600).open(&target)?;
        io::Write::write_all(&mut f, &file.bytes)?;
        f.set_permissions(fs::Permissions::from_mode(file.mode & 0o777))?;
    }
    Ok(())
}

/// Only plain relative paths, and none that looks like the writer's own.
fn check(path: &str) -> io::Result<()> {
    let plain = !path.is_empty() && path.len() <= 4096 && Path::new(path).components().all(|c| matches!(c, Component::Normal(_)));
    if plain && !path.starts_with("..") && !path.ends_with('/') {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("invalid path {path:?} in a volume")))
}

fn same(dir: &Path, payload: &Payload) -> bool {
    fn count(dir: &Path) -> usize {
        fs::read_dir(dir).into_iter().flatten().flatten().map(|e| if e.file_type().is_ok_and(|t| t.is_dir()) { count(&e.path()) } else { 1 }).sum()
    }
    let equal = |(path, file): (&String, &PayloadFile)| {
        let path = dir.join(path);
        fs::metadata(&path).is_ok_and(|m| m.permissions().mode() & 0o777 == file.mode & 0o777 && m.len() == file.bytes.len() as u64)
            && fs::read(&path).is_ok_and(|b| b == file.bytes)
    };
    count(dir) == payload.len() && payload.iter().all(equal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(files: &[(&str, &str)]) -> Payload {
        files.iter().map(|(p, b)| ((*p).to_owned(), PayloadFile { bytes: b.as_bytes().to_vec(), mode: 0o640 })).collect()
    }

    fn listing(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).filter(|n| !n.starts_with("..2")).collect();
        names.sort();
        names
    }

    #[test]
    fn swaps_as_a_whole() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().join("v");
        assert!(write(&dir, &payload(&[("a", "1"), ("d/b", "2")])).unwrap());
        assert_eq!(listing(&dir), ["..data", "a", "d"]);
        assert_eq!(fs::read_to_string(dir.join("d/b")).unwrap(), "2");
        assert_eq!(fs::metadata(dir.join("a")).unwrap().permissions().mode() & 0o777, 0o640);
        let first = fs::read_link(dir.join(DATA)).unwrap();

        assert!(!write(&dir, &payload(&[("a", "1"), ("d/b", "2")])).unwrap(), "nothing changed");
        assert_eq!(fs::read_link(dir.join(DATA)).unwrap(), first);

        assert!(write(&dir, &payload(&[("a", "3"), ("c", "4")])).unwrap());
        assert_eq!(listing(&dir), ["..data", "a", "c"]);
        assert_eq!(fs::read_to_string(dir.join("a")).unwrap(), "3");
        assert!(!dir.join(first).exists(), "the old files are gone");
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 4);

        assert!(write(&dir, &payload(&[])).unwrap());
        assert_eq!(listing(&dir), ["..data"]);
    }

    #[test]
    fn what_fails_leaves_nothing() {
        let tmp = tempfile::tempdir().unwrap();
        write(tmp.path(), &payload(&[("a", "1")])).unwrap();
        for _ in 0..3 {
            assert!(write(tmp.path(), &payload(&[("a", "1"), ("a/b", "2")])).is_err(), "a file and a folder of one name");
        }
        assert_eq!(fs::read_dir(tmp.path()).unwrap().count(), 3, "a, ..data and what it points to");
        assert_eq!(fs::read_to_string(tmp.path().join("a")).unwrap(), "1");
    }

    #[test]
    fn stays_inside() {
        let tmp = tempfile::tempdir().unwrap();
        for bad in ["", "/etc/x", "../x", "a/../../x", "..data", "..x/y", "a/"] {
            assert!(write(&tmp.path().join("v"), &payload(&[(bad, "1")])).is_err(), "{bad}");
        }
        assert!(!tmp.path().join("x").exists());
    }
}
