//! The archives of `cp`: packed from local files, and taken apart into them. Nothing here knows of containers.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use tokio::sync::mpsc;

use super::{CHUNK, Spec};
use crate::error::{Error, Result};
use crate::paths::cleaned;

/// Writes an archive: a file, a link or a folder, under a name.
pub(super) fn pack(local: &Path, name: &Path, to: Sender) -> Result<()> {
    let mut archive = tar::Builder::new(to);
    let failed = |error: std::io::Error| Error::message(error.to_string());
    add(&mut archive, local, name)?;
    archive.into_inner().and_then(|mut to| to.flush()).map_err(failed)
}

fn add(archive: &mut tar::Builder<Sender>, local: &Path, name: &Path) -> Result<()> {
    let failed = |error: std::io::Error| Error::message(format!("{}: {error}", local.display()));
    let metadata = local.symlink_metadata().map_err(failed)?;
    let mut header = tar::Header::new_gnu();
    header.set_metadata(&metadata);
    if metadata.is_dir() {
        let mut entries = std::fs::read_dir(local).and_then(|entries| entries.collect::<std::io::Result<Vec<_>>>()).map_err(failed)?;
        if entries.is_empty() {
            return archive.append_data(&mut header, name, std::io::empty()).map_err(failed);
        }
        // A folder with something in it is made for that: one that is there stays as it is.
        entries.sort_by_key(std::fs::DirEntry::file_name);
        return entries.iter().try_for_each(|entry| add(archive, &entry.path(), &name.join(entry.file_name())));
    }
    if metadata.is_symlink() {
        let target = std::fs::read_link(local).map_err(failed)?;
        header.set_size(0);
        return archive.append_link(&mut header, name, target).map_err(failed);
    }
    if !metadata.is_file() {
        return Err(Error::message(format!("{}: only files, folders and links can be copied", local.display())));
    }
    let file = std::fs::File::open(local).map_err(failed)?;
    // What grows meanwhile is cut off where it ended before.
    archive.append_data(&mut header, name, file.take(metadata.len())).map_err(failed)
}

/// Takes an archive apart; nothing of it is written outside of the destination.
pub(super) struct Unpack {
    prefix: String,
    to: PathBuf,
    from: Spec,
    told: bool,
}

impl Unpack {
    /// Of an archive whose names begin with `prefix`; `from` is where it comes from.
    pub(super) fn new(prefix: String, to: PathBuf, from: Spec) -> Unpack {
        Unpack { prefix, to, from, told: false }
    }

    pub(super) fn run(mut self, from: impl Read) -> Result<()> {
        let corrupted = |error: std::io::Error| Error::message(error.to_string());
        let mut archive = tar::Archive::new(from);
        for entry in archive.entries().map_err(corrupted)? {
            self.one(entry.map_err(corrupted)?)?;
        }
        Ok(())
    }

    fn one(&mut self, mut entry: tar::Entry<'_, impl Read>) -> Result<()> {
        let name = entry.path_bytes().into_owned();
        let Some(rest) = name.strip_prefix(self.prefix.as_bytes()) else { return Err(Error::message("tar contents corrupted")) };
        let Some(path) = below(&self.to, Path::new(OsStr::from_bytes(rest))) else {
            eprintln!(
                "warning: file {:?} is outside target destination, skipping",
                self.to.join(String::from_utf8_lossy(rest).trim_start_matches('/')).display().to_string()
            );
            return Ok(());
        };
        let failed = |error: std::io::Error| {
            let why = match error.kind() {
                std::io::ErrorKind::IsADirectory => "is a directory".to_owned(),
                std::io::ErrorKind::NotADirectory => "not a directory".to_owned(),
                std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
                _ => error.to_string(),
            };
            Error::message(format!("open {}: {why}", path.display()))
        };
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            return std::fs::create_dir_all(&path).map_err(failed);
        }
        if kind.is_symlink() || kind.is_hard_link() {
            let target = entry.link_name_bytes().map(|target| String::from_utf8_lossy(&target).into_owned()).unwrap_or_default();
            let Spec { namespace, pod, file } = &self.from;
            let more = if std::mem::replace(&mut self.told, true) {
                String::new()
            } else {
                format!(" (consider using \"wharf exec -n {namespace:?} {pod:?} -- tar cf - {file:?} | tar xf -\")")
            };
            eprintln!("warning: skipping symlink: {:?} -> {target:?}{more}", path.display().to_string());
            return Ok(());
        }
        if !kind.is_file() && !kind.is_contiguous() && !kind.is_gnu_sparse() {
            return Ok(());
        }
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let mut file = std::fs::File::create(&path).map_err(failed)?;
        std::io::copy(&mut entry, &mut file).map_err(failed)?;
        Ok(())
    }
}

/// A path of an archive below a folder; None for one that leads out of it.
fn below(to: &Path, rest: &Path) -> Option<PathBuf> {
    let mut inside = PathBuf::new();
    for part in rest.components() {
        match part {
            Component::Normal(name) => inside.push(name),
            Component::ParentDir if inside.pop() => {}
            Component::ParentDir => return None,
            _ => {}
        }
    }
    Some(if inside.as_os_str().is_empty() { cleaned(to) } else { cleaned(to).join(inside) })
}

/// What the names in an archive of a path begin with: tar leaves out the slash at the beginning.
pub(super) fn prefix(path: &str) -> String {
    let whole = cleaned(Path::new(path)).display().to_string();
    let mut rest = whole.trim_start_matches('/');
    while let Some(shorter) = rest.strip_prefix("../") {
        rest = shorter;
    }
    if matches!(rest, "." | "..") { String::new() } else { rest.to_owned() }
}

/// Passes bytes from a thread on.
pub(super) struct Sender {
    send: mpsc::Sender<Vec<u8>>,
    buffer: Vec<u8>,
}

impl Sender {
    pub(super) fn new(send: mpsc::Sender<Vec<u8>>) -> Sender {
        Sender { send, buffer: Vec::new() }
    }
}

impl Write for Sender {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let bytes = std::mem::take(&mut self.buffer);
        if bytes.is_empty() {
            return Ok(());
        }
        self.send.blocking_send(bytes).map_err(|_| std::io::ErrorKind::BrokenPipe.into())
    }
}

/// Takes bytes into a thread.
pub(super) struct Receiver {
    receive: mpsc::Receiver<Vec<u8>>,
    chunk: Vec<u8>,
    at: usize,
}

impl Receiver {
    pub(super) fn new(receive: mpsc::Receiver<Vec<u8>>) -> Receiver {
        Receiver { receive, chunk: Vec::new(), at: 0 }
    }
}

impl Read for Receiver {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.at == self.chunk.len() {
            match self.receive.blocking_recv() {
                Some(chunk) => (self.chunk, self.at) = (chunk, 0),
                None => return Ok(0),
            }
        }
        let n = buffer.len().min(self.chunk.len() - self.at);
        buffer[..n].copy_from_slice(&self.chunk[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_do_not_lead_out() {
        for (path, begins) in [("/tmp/d/.", "tmp/d"), ("../../x", "x"), ("/", ""), ("./a", "a"), (".", "")] {
            assert_eq!(prefix(path), begins, "{path}");
        }
        for (rest, path) in [("", Some("to")), ("/a/b", Some("to/a/b")), ("/a/../b", Some("to/b")), ("/../b", None), ("/a/../../b", None)] {
            assert_eq!(below(Path::new("to/"), Path::new(rest)).as_deref(), path.map(Path::new), "{rest}");
        }
    }

    #[test]
    fn what_is_packed_is_unpacked_and_nothing_more() {
        let folder = tempfile::TempDir::new().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        std::fs::create_dir_all(from.join("empty")).unwrap();
        std::fs::create_dir_all(from.join("sub")).unwrap();
        std::fs::write(from.join("sub/big"), vec![7; 3 * CHUNK + 1]).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", from.join("link")).unwrap();
        let (send, receive) = mpsc::channel(4);
        let packing = std::thread::spawn(move || pack(&from, Path::new("tmp/d"), Sender::new(send)));
        let unpack = |prefix: &str| Unpack::new(prefix.into(), to.clone(), Spec { namespace: String::new(), pod: "p".into(), file: "/tmp/d".into() });
        unpack("tmp/d").run(Receiver::new(receive)).unwrap();
        packing.join().unwrap().unwrap();
        assert_eq!(std::fs::read(to.join("sub/big")).unwrap(), vec![7; 3 * CHUNK + 1]);
        assert!(to.join("empty").is_dir());
        assert!(to.join("link").symlink_metadata().is_err());

        // An archive from a container may say anything.
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        let name = b"tmp/d/../../out";
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name);
        header.set_size(1);
        header.set_cksum();
        archive.append(&header, &b"x"[..]).unwrap();
        let bytes = archive.into_inner().unwrap();
        unpack("tmp/d").run(&bytes[..]).unwrap();
        assert!(!folder.path().join("out").exists());
        assert_eq!(unpack("other").run(&bytes[..]).unwrap_err().text(), "tar contents corrupted");
    }
}
