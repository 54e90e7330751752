//! Layers become a folder: whiteouts applied, nothing outside touched, no device nodes, all of it bounded.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use sha2::{Digest, Sha256};
use tar::EntryType;

use crate::options::Limits;
use crate::rootfs;

/// What the archive's own words about one entry may take (long names, extended headers): the reader of archives keeps them in memory.
const MOST_WORDS: u64 = 1 << 20;
/// All names of an image's files together: they are kept in memory while its layers are unpacked.
const MOST_NAMES: u64 = 64 << 20;

/// What may still be written for an image.
pub(crate) struct Budget {
    bytes: u64,
    files: u64,
    names: u64,
}

impl Budget {
    pub(crate) fn new(limits: &Limits) -> Budget {
        Budget { bytes: limits.unpacked, files: limits.files, names: MOST_NAMES }
    }

    fn file(&mut self, bytes: u64) -> Result<(), String> {
        self.files = self.files.checked_sub(1).ok_or("the image has more files than this node allows")?;
        self.bytes = self.bytes.checked_sub(bytes).ok_or("the image is larger than this node allows once unpacked")?;
        Ok(())
    }
}

/// Unpacks one layer over what the layers below left in `root`. `diff_id` is checked when the configuration has one.
/// Nobody else may write in `root` meanwhile. `stop` ends it early.
pub(crate) fn layer(tar: impl Read, root: &Path, diff_id: Option<&str>, budget: &mut Budget, stop: &AtomicBool) -> Result<(), String> {
    let between = Cell::new(Some(MOST_WORDS));
    let mut counted = Hashing { inner: tar, hash: Sha256::new(), left: budget.bytes.saturating_mul(2).saturating_add(64 << 20), between: &between, stop };
    let mut archive = tar::Archive::new(&mut counted);
    let mut written = BTreeSet::new();
    for entry in archive.entries().map_err(words)? {
        let mut entry = entry.map_err(words)?;
        between.set(None);
        if entry.header().entry_type() != EntryType::XGlobalHeader {
            let path = entry.path().map_err(words)?.into_owned();
            let told = || path.display().to_string().chars().take(256).collect::<String>();
            budget.names = budget.names.checked_sub(path.as_os_str().len() as u64).ok_or("the names of the image's files are longer than this node allows")?;
            place(&mut entry, &path, root, budget, &mut written).map_err(|message| format!("{}: {message}", told()))?;
        }
        // What is left of it is not read together with the next one's words.
        io::copy(&mut entry, &mut io::sink()).map_err(words)?;
        between.set(Some(MOST_WORDS));
    }
    between.set(None);
    // What follows the archive's end counts for the digest.
    io::copy(&mut counted, &mut io::sink()).map_err(words)?;
    let actual = format!("sha256:{}", hex::encode(counted.hash.finalize()));
    match diff_id {
        Some(expected) if expected != actual => Err(format!("uncompressed digest is {actual}, the configuration says {expected}")),
        _ => Ok(()),
    }
}

fn words(error: io::Error) -> String {
    error.to_string()
}

fn place(entry: &mut tar::Entry<impl Read>, path: &Path, root: &Path, budget: &mut Budget, written: &mut BTreeSet<PathBuf>) -> Result<(), String> {
    let Some((parent, name)) = split(path)? else {
        return Ok(());
    };
    let parent = make_parent(root, &parent, budget)?;
    if let Some(hidden) = name.as_bytes().strip_prefix(b".wh.") {
        budget.file(0)?;
        return whiteout(root, &parent, hidden, written);
    }
    let inside = parent.join(&name);
    let target = root.join(&inside);
    let mode = entry.header().mode().unwrap_or(0o644) & 0o777;
    match entry.header().entry_type() {
        EntryType::Directory => {
            budget.file(0)?;
            if !fs::symlink_metadata(&target).is_ok_and(|m| m.is_dir()) {
                clear(&target)?;
                fs::create_dir(&target).map_err(words)?;
            }
            fs::set_permissions(&target, fs::Permissions::from_mode(mode | 0o700)).map_err(words)?;
        }
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            budget.file(entry.size())?;
            clear(&target)?;
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode | 0o600).open(&target).map_err(words)?;
            // A sparse entry may hold more than its header's size says.
            let limit = entry.size();
            let copied = io::copy(&mut entry.take(limit.saturating_add(1)), &mut file).map_err(words)?;
            if copied > limit {
                return Err("longer than its header says".into());
            }
            file.set_permissions(fs::Permissions::from_mode(mode | 0o600)).map_err(words)?;
        }
        EntryType::Symlink => {
            budget.file(0)?;
            let link = entry.link_name().map_err(words)?.ok_or("a link without target")?;
            clear(&target)?;
            // The target may be anything: whoever reads it resolves it against the container's root.
            std::os::unix::fs::symlink(&*link, &target).map_err(words)?;
        }
        EntryType::Link => {
            budget.file(0)?;
            let link = entry.link_name().map_err(words)?.ok_or("a link without target")?;
            let (from_parent, from_name) = split(&link)?.ok_or("a link to the root")?;
            let from_parent = rootfs::resolve(root, &from_parent, false).ok_or("a link to what is not there")?;
            let from = root.join(from_parent).join(from_name);
            let meta = fs::symlink_metadata(&from).map_err(words)?;
            if from != target {
                clear(&target)?;
                if meta.is_symlink() {
                    let to = fs::read_link(&from).map_err(words)?;
                    std::os::unix::fs::symlink(to, &target).map_err(words)?;
                } else if meta.is_file() {
                    fs::hard_link(&from, &target).map_err(words)?;
                } else {
                    return Err("a hard link to a folder".into());
                }
            }
        }
        // Device nodes, pipes and what else there may be mean nothing to a component.
        _ => return Ok(()),
    }
    written.insert(inside);
    Ok(())
}

/// Parent and name inside the root; `None` for the root itself. Names that climb are refused.
fn split(path: &Path) -> Result<Option<(PathBuf, std::ffi::OsString)>, String> {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => return Err("the path leaves the image".into()),
        }
    }
    if clean.as_os_str().len() > 4096 {
        return Err("the path is too long".into());
    }
    let name = clean.file_name().map(OsStr::to_os_string);
    clean.pop();
    Ok(name.map(|name| (clean, name)))
}

/// The folder that `parent` means, with links of lower layers followed inside the root; made where missing.
fn make_parent(root: &Path, parent: &Path, budget: &mut Budget) -> Result<PathBuf, String> {
    let resolved = rootfs::resolve(root, parent, true).ok_or("too many links")?;
    let mut at = PathBuf::new();
    for part in resolved.components() {
        at.push(part);
        let here = root.join(&at);
        match fs::symlink_metadata(&here) {
            Ok(meta) if meta.is_dir() => {}
            // The resolution above followed every link, so what is here is a file.
            Ok(_) => return Err(format!("{} is not a folder", at.display())),
            Err(_) => {
                budget.file(0)?;
                fs::create_dir(&here).map_err(words)?;
                fs::set_permissions(&here, fs::Permissions::from_mode(0o755)).map_err(words)?;
            }
        }
    }
    Ok(resolved)
}

/// `.wh.NAME` hides NAME of the layers below; `.wh..wh..opq` all of them in its folder.
fn whiteout(root: &Path, parent: &Path, hidden: &[u8], written: &mut BTreeSet<PathBuf>) -> Result<(), String> {
    if hidden == b".wh..opq" {
        // Once a layer and folder: what is there the second time, this layer wrote.
        let first = written.insert(parent.join(".wh..wh..opq"));
        return if first { opaque(root, parent, written) } else { Ok(()) };
    }
    if hidden.is_empty() || hidden == b"." || hidden == b".." {
        return Err("a whiteout of nothing".into());
    }
    let inside = parent.join(OsStr::from_bytes(hidden));
    if written.contains(&inside) { Ok(()) } else { clear(&root.join(inside)) }
}

fn opaque(root: &Path, folder: &Path, written: &BTreeSet<PathBuf>) -> Result<(), String> {
    for entry in fs::read_dir(root.join(folder)).map_err(words)? {
        let entry = entry.map_err(words)?;
        let inside = folder.join(entry.file_name());
        // Paths are ordered by components: what is below comes right after.
        if !written.range(inside.clone()..).next().is_some_and(|w| w.starts_with(&inside)) {
            clear(&entry.path())?;
        } else if entry.file_type().map_err(words)?.is_dir() && !written.contains(&inside) {
            opaque(root, &inside, written)?;
        }
    }
    Ok(())
}

/// Removes what is there, never following a link.
fn clear(path: &Path) -> Result<(), String> {
    match fs::symlink_metadata(path) {
        Err(_) => Ok(()),
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path).map_err(words),
        Ok(_) => fs::remove_file(path).map_err(words),
    }
}

/// Hashes what passes, ends at a bound (an archive of nothing but headers is not free), stops on demand.
struct Hashing<'a, R> {
    inner: R,
    hash: Sha256,
    left: u64,
    /// Between two entries: what may still be read until the next one's content.
    between: &'a Cell<Option<u64>>,
    stop: &'a AtomicBool,
}

impl<R: Read> Read for Hashing<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("cancelled"));
        }
        let read = self.inner.read(buffer)?;
        if let Some(left) = self.between.get() {
            let left = left.checked_sub(read as u64).ok_or_else(|| io::Error::other("an entry's name or extended header is too long"))?;
            self.between.set(Some(left));
        }
        self.hash.update(&buffer[..read]);
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| io::Error::other("the layer is larger than this node allows once unpacked"))?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(kind: EntryType, size: u64) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(0o4755);
        header
    }

    /// `path` (a folder when it ends in `/`), `path=content`, `path->target`, `path=>hard`, `!path` (a device).
    fn tar(entries: &[&str]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for entry in entries {
            let (mut head, path, content) = if let Some((path, target)) = entry.split_once("->") {
                let mut head = header(EntryType::Symlink, 0);
                head.set_link_name_literal(target).unwrap();
                (head, path, "")
            } else if let Some((path, target)) = entry.split_once("=>") {
                let mut head = header(EntryType::Link, 0);
                head.set_link_name_literal(target).unwrap();
                (head, path, "")
            } else if let Some(path) = entry.strip_prefix('!') {
                (header(EntryType::Char, 0), path, "")
            } else if let Some((path, content)) = entry.split_once('=') {
                (header(EntryType::Regular, content.len() as u64), path, content)
            } else {
                (header(EntryType::Directory, 0), *entry, "")
            };
            // Written literally: the builder would refuse the paths that this must refuse.
            head.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            head.set_cksum();
            builder.append(&head, content.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn unpack(layers: &[&[&str]]) -> Result<String, String> {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir(&root).unwrap();
        fs::write(dir.path().join("outside"), "safe").unwrap();
        let mut budget = Budget::new(&Limits { unpacked: 1000, files: 20, ..Limits::default() });
        let result = layers.iter().try_for_each(|l| layer(&tar(l)[..], &root, None, &mut budget, &AtomicBool::new(false)));
        assert_eq!(fs::read_to_string(dir.path().join("outside")).unwrap(), "safe");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        result.map(|()| {
            let mut lines = Vec::new();
            list(&root, &root, &mut lines);
            lines.sort();
            lines.join(" ")
        })
    }

    fn list(root: &Path, folder: &Path, lines: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().display().to_string();
            let meta = fs::symlink_metadata(&path).unwrap();
            assert_eq!(meta.permissions().mode() & 0o7000, 0, "setuid is dropped");
            if meta.is_dir() {
                lines.push(format!("{name}/"));
                list(root, &path, lines);
            } else if meta.is_symlink() {
                lines.push(format!("{name}->{}", fs::read_link(&path).unwrap().display()));
            } else {
                lines.push(format!("{name}={}", fs::read_to_string(&path).unwrap()));
            }
        }
    }

    #[test]
    fn layers_merge() {
        for (layers, want) in [
            (&[&["a/", "a/x=1", "b=2"][..], &["a/x=3"]][..], "a/ a/x=3 b=2"),
            (&[&["a/", "a/x=1", "a/y=2"], &["a/.wh.x="]], "a/ a/y=2"),
            (&[&["a/", "a/x=1", "a/s/", "a/s/t=2"], &["a/n=3", "a/.wh..wh..opq="]], "a/ a/n=3"),
            (&[&["lib->usr/lib", "usr/", "usr/lib/"], &["lib/x=1"]], "lib->usr/lib usr/ usr/lib/ usr/lib/x=1"),
            (&[&["x=1", "y=>x"]], "x=1 y=1"),
            (&[&["x=1"], &["x/", "x/y=2"]], "x/ x/y=2"),
            (&[&["x/", "x/y=2"], &["x=1"]], "x=1"),
            (&[&["!dev/null", "deep/er/f=1"]], "deep/ deep/er/ deep/er/f=1 dev/"),
        ] {
            assert_eq!(unpack(layers).unwrap(), want, "{layers:?}");
        }
    }

    #[test]
    fn nothing_escapes() {
        for layers in [&[&["../outside=evil"][..]][..], &[&["a/../../outside=evil"]], &[&["x=>../outside"]], &[&["d/", "d/.wh..="]], &[&["d/.wh...="]]] {
            assert!(unpack(layers).is_err(), "{layers:?}");
        }
        // Links that point out are kept, and writing through them stays inside.
        assert_eq!(unpack(&[&["up->../..", "up/outside=in"]]).unwrap(), "outside=in up->../..");
        assert_eq!(unpack(&[&["abs->/", "abs/outside=in"]]).unwrap(), "abs->/ outside=in");
        assert_eq!(unpack(&[&["f->../outside", "f=in"]]).unwrap(), "f=in");
        assert_eq!(unpack(&[&["/etc/passwd=in"]]).unwrap(), "etc/ etc/passwd=in");
        assert!(unpack(&[&["l->l", "l/x=1"]]).is_err());
    }

    #[test]
    fn words_about_an_entry_are_bounded() {
        // Long names and extended headers are kept in memory by whoever reads an archive.
        for kind in [EntryType::GNULongName, EntryType::GNULongLink, EntryType::XHeader] {
            for (size, refused) in [(64 << 10, false), (8 << 20, true)] {
                let mut builder = tar::Builder::new(Vec::new());
                let mut head = header(kind, size);
                head.set_path("x").unwrap();
                head.set_cksum();
                let content: Box<dyn Read> = match kind {
                    EntryType::XHeader => {
                        Box::new(format!("{size} comment={}\n", "x".repeat(size as usize - 10 - size.to_string().len())).into_bytes().leak() as &[u8])
                    }
                    _ => Box::new(io::repeat(b'x').take(size)),
                };
                builder.append(&head, content).unwrap();
                let mut head = header(EntryType::Regular, 0);
                head.set_path("a").unwrap();
                head.set_cksum();
                builder.append(&head, io::empty()).unwrap();
                let bytes = builder.into_inner().unwrap();
                let dir = tempfile::tempdir().unwrap();
                let result = layer(&bytes[..], dir.path(), None, &mut Budget::new(&Limits::default()), &AtomicBool::new(false));
                let said = result.as_ref().err().is_some_and(|words| words.contains("is too long"));
                assert!(said == refused || (!refused && kind == EntryType::GNULongName), "{kind:?} {size}: {result:?}");
            }
        }
    }

    #[test]
    fn it_is_bounded() {
        let big = format!("a={}", "x".repeat(1001));
        assert!(unpack(&[&[&big]]).unwrap_err().contains("larger than this node allows"));
        let names: Vec<String> = (0..30).map(|n| format!("f{n}=")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert!(unpack(&[&names]).unwrap_err().contains("more files"));
        let stop = AtomicBool::new(true);
        let dir = tempfile::tempdir().unwrap();
        assert!(layer(&tar(&["a=1"])[..], dir.path(), None, &mut Budget::new(&Limits::default()), &stop).unwrap_err().contains("cancelled"));
    }

    #[test]
    fn the_uncompressed_digest_is_checked() {
        let dir = tempfile::tempdir().unwrap();
        let bytes = tar(&["a=1"]);
        let right = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
        let mut budget = Budget::new(&Limits::default());
        let never = AtomicBool::new(false);
        layer(&bytes[..], dir.path(), Some(&right), &mut budget, &never).unwrap();
        assert!(layer(&bytes[..], dir.path(), Some("sha256:00"), &mut budget, &never).is_err());
        assert!(layer(&bytes[..bytes.len() / 3], dir.path(), Some(&right), &mut budget, &never).is_err());
    }
}
