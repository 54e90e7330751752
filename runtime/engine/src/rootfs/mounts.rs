//! The mounts of a container: which folder or file of the host stands at which guest path. Knows nothing of WebAssembly.

use super::resolve::{Place, open_beneath};
use rustix::fs::{self as rfs, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Links that a path may lead through.
pub(super) const MAX_LINKS: u32 = 40;

#[derive(Clone)]
pub(super) enum Source {
    Dir(Arc<File>),
    File(Arc<File>),
}

pub(super) struct Mount {
    pub(super) target: Box<str>,
    pub(super) source: Source,
    pub(super) read_only: bool,
}

/// An open directory and the guest path that led to it, without symlinks ("" is the root, "/etc", ...).
#[derive(Clone)]
pub(crate) struct Node {
    pub(super) mount: usize,
    pub(super) path: String,
    pub(super) dir: Arc<File>,
}

impl Node {
    pub fn new((mount, path): (usize, String), dir: Arc<File>) -> Self {
        Node { mount, path, dir }
    }
}

/// Mounts are few, and looked through; of two at one path the later one counts.
pub struct MountTable {
    pub(super) mounts: Vec<Mount>,
}

impl MountTable {
    /// A table with `root` (a folder of the host) at `/`. With `read_only`, mount points must exist in it already.
    pub fn new(root: &Path, read_only: bool) -> io::Result<Self> {
        let dir = Arc::new(File::open(root)?);
        Ok(Self { mounts: vec![Mount { target: Box::default(), source: Source::Dir(dir), read_only }] })
    }

    /// Mounts a host file or folder. As a container runtime does, it creates the mount point (a stub) in what lies
    /// under it: so the parent's listing shows it, and nothing has to be merged into readdir.
    pub fn mount(&mut self, host: &Path, target: &str, read_only: bool) -> io::Result<()> {
        self.mount_at(host, target, read_only, MAX_LINKS)
    }

    /// Whether `path`, as seen from `/`, leads to a file.
    pub fn is_file(&self, path: &str) -> bool {
        let found = self.stat(&self.root(), path.trim_start_matches('/'), true);
        found.is_ok_and(|s| rfs::FileType::from_raw_mode(s.st_mode) == rfs::FileType::RegularFile)
    }

    fn mount_at(&mut self, host: &Path, target: &str, read_only: bool, links: u32) -> io::Result<()> {
        let is_dir = std::fs::metadata(host)?.is_dir();
        let source = Arc::new(File::from(rfs::open(host, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?));
        let parts: Vec<&str> = target.split('/').filter(|s| !s.is_empty()).collect();
        let mut cur = self.root();
        for (i, name) in parts.iter().enumerate() {
            let last = i + 1 == parts.len();
            let place = match self.resolve(&cur, name, true) {
                // A link into folders that are not there (/etc/resolv.conf -> ../run/systemd/resolve/..): make them, as runc does.
                Err(e) if e.kind() == io::ErrorKind::NotFound && links > 0 => {
                    let to = self.readlink(&cur, name)?;
                    let from = if to.starts_with('/') { "" } else { &cur.path };
                    return self.mount_at(host, &format!("{from}/{to}/{}", parts[i + 1..].join("/")), read_only, links - 1);
                }
                p => p?,
            };
            cur = match place {
                Place::Dir(n) => n,
                Place::FileMount(m) if last => {
                    let t = self.mounts[m].target.to_string();
                    return self.insert(t, source, is_dir, read_only);
                }
                Place::FileMount(_) => return Err(Errno::NOTDIR.into()),
                Place::Entry(p, n) => {
                    if last && !is_dir {
                        rfs::openat(&*p.dir, &n, OFlags::CREATE | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::from(0o644))?;
                        return self.insert(format!("{}/{n}", p.path), source, is_dir, read_only);
                    }
                    match rfs::mkdirat(&*p.dir, &n, Mode::from(0o755)) {
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(e) => return Err(e.into()),
                    }
                    Node { mount: p.mount, path: format!("{}/{n}", p.path), dir: Arc::new(open_beneath(&p.dir, &n)?) }
                }
            };
        }
        if !is_dir {
            return Err(Errno::ISDIR.into());
        }
        self.insert(cur.path, source, is_dir, read_only)
    }

    fn insert(&mut self, target: String, source: Arc<File>, is_dir: bool, read_only: bool) -> io::Result<()> {
        self.mounts.push(Mount { target: target.into(), source: if is_dir { Source::Dir(source) } else { Source::File(source) }, read_only });
        Ok(())
    }

    pub(crate) fn root(&self) -> Node {
        self.mount_root(self.at("").unwrap_or_default()).unwrap()
    }

    /// What is mounted at just this path.
    pub(super) fn at(&self, path: &str) -> Option<usize> {
        self.mounts.iter().rposition(|mount| *mount.target == *path)
    }

    pub(super) fn mount_root(&self, m: usize) -> io::Result<Node> {
        match &self.mounts[m].source {
            Source::Dir(d) => Ok(Node { mount: m, path: self.mounts[m].target.to_string(), dir: d.clone() }),
            Source::File(_) => Err(Errno::NOTDIR.into()),
        }
    }

    pub(super) fn file(&self, m: usize) -> &File {
        match &self.mounts[m].source {
            Source::Dir(f) | Source::File(f) => f,
        }
    }

    pub(crate) fn read_only(&self, n: &Node) -> bool {
        self.mounts[n.mount].read_only
    }

    /// Is `path` a mount point, or does it lead to one? Such an entry must stay where it is.
    pub(super) fn pinned(&self, path: &str) -> bool {
        self.mounts.iter().any(|m| m.target.strip_prefix(path).is_some_and(|r| r.is_empty() || r.starts_with('/')))
    }
}
