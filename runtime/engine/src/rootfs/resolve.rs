//! From a path to a place, as the container sees it.
//!
//! What keeps it safe:
//! * The kernel never follows a symlink or a `..` for the guest. Each step is `O_NOFOLLOW`, or one `openat2` with
//!   `RESOLVE_NO_SYMLINKS` for a run of plain components; links are read and followed here, against the container's `/`.
//! * `..` is the parent of the directory's *guest* path, walked again from `/`: a directory that somebody moves out of a
//!   volume meanwhile never leads outside.
//! * The last component goes to the kernel as one name with `O_NOFOLLOW`, so that a swap between check and use fails.

use super::mounts::{MAX_LINKS, MountTable, Node, Source};
use rustix::fs::{self as rfs, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::sync::Arc;

/// Bytes of a path; bounds the work of `a/../a/../…`.
const MAX_PATH: usize = 4096;

/// What a path names.
pub(super) enum Place {
    /// A directory that is no entry to us: `/`, `.`, `..`, a mount's root.
    Dir(Node),
    /// An entry of a directory, there or not; never a mount point.
    Entry(Node, String),
    /// A single file that is mounted.
    FileMount(usize),
}

impl MountTable {
    /// The deepest mount on the way from `start` along `rel` (plain components only), and what of `rel` lies behind it.
    pub(super) fn cross<'p>(&self, start: &Node, rel: &'p str) -> (Option<usize>, &'p str) {
        let full = format!("{}/{rel}", start.path);
        let mut end = full.len();
        while end > start.path.len() {
            if let Some(m) = self.at(&full[..end]) {
                return (Some(m), rel[end - start.path.len() - 1..].trim_start_matches('/'));
            }
            end = full[..end].rfind('/').unwrap_or(0);
        }
        (None, rel)
    }

    /// Opens the directory `rel` (plain components, no symlink on the way; else ELOOP or ENOTDIR).
    pub(super) fn walk(&self, start: &Node, rel: &str) -> io::Result<Node> {
        let (m, rest) = self.cross(start, rel);
        let base = match m {
            Some(m) => self.mount_root(m)?,
            None => start.clone(),
        };
        if rest.is_empty() {
            return Ok(base);
        }
        Ok(Node { mount: base.mount, path: format!("{}/{rest}", base.path), dir: Arc::new(open_beneath(&base.dir, rest)?) })
    }

    /// For one system call instead of a resolution: the deepest mount's root (or `at`) and the plain path below it.
    /// The caller opens that with [`FENCE`]; ELOOP says that there is a link on the way: resolve.
    pub(super) fn shortcut<'p>(&self, at: &Node, path: &'p str) -> Option<(Node, &'p str)> {
        if path.split('/').any(|c| matches!(c, "" | "." | "..")) {
            return None;
        }
        match self.cross(at, path) {
            (Some(m), rest) if !rest.is_empty() => Some((self.mount_root(m).ok()?, rest)),
            (Some(_), _) => None,
            (None, rest) => Some((at.clone(), rest)),
        }
    }

    pub(super) fn parent(&self, n: &Node) -> io::Result<Node> {
        match n.path.rsplit_once('/') {
            None | Some(("", _)) => Ok(self.root()),
            Some((p, _)) => self.walk(&self.root(), &p[1..]),
        }
    }

    pub(super) fn resolve(&self, start: &Node, path: &str, follow: bool) -> io::Result<Place> {
        if path.is_empty() {
            return Err(Errno::NOENT.into());
        }
        if path.starts_with('/') {
            return Err(Errno::PERM.into());
        } // WASI: paths are relative to a descriptor
        if path.len() > MAX_PATH {
            return Err(Errno::NAMETOOLONG.into());
        } // bounds the work of `a/../a/../..`
        let mut cur = start.clone();
        let mut todo: Vec<String> = Vec::new(); // a stack, next component last
        push(&mut todo, path);
        if follow && path.ends_with('/') {
            todo.insert(0, ".".into())
        }
        let mut links = 0;
        // The common case in one step: everything before the last component is plain and has no symlink.
        if todo.len() > 1 && todo.iter().all(|c| c != "." && c != "..") {
            let dirs = todo[1..].iter().rev().map(String::as_str).collect::<Vec<_>>().join("/"); // not `path`: it may hold `//`
            match self.walk(&cur, &dirs) {
                Ok(n) => {
                    cur = n;
                    todo.truncate(1)
                }
                Err(e) if detour(&e) => {}
                Err(e) => return Err(e),
            }
        }
        while let Some(name) = todo.pop() {
            let last = todo.is_empty();
            if name == "." {
                continue;
            }
            if name == ".." {
                cur = self.parent(&cur)?;
                continue;
            }
            let path = format!("{}/{name}", cur.path);
            if let Some(m) = self.at(&path) {
                if last && matches!(self.mounts[m].source, Source::File(_)) {
                    return Ok(Place::FileMount(m));
                }
                cur = self.mount_root(m)?;
                continue;
            }
            if last && !follow {
                return Ok(Place::Entry(cur, name));
            }
            if last {
                // only a link needs more steps
                match rfs::readlinkat(&*cur.dir, &name, Vec::new()) {
                    Ok(t) => self.link(&mut cur, &mut todo, t, &mut links)?,
                    Err(Errno::INVAL | Errno::NOENT) => return Ok(Place::Entry(cur, name)),
                    Err(e) => return Err(e.into()),
                }
                continue;
            }
            let fd = rfs::openat(&*cur.dir, &name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
            match FileType::from_raw_mode(rfs::fstat(&fd)?.st_mode) {
                FileType::Symlink => {
                    let t = rfs::readlinkat(&fd, "", Vec::new())?;
                    self.link(&mut cur, &mut todo, t, &mut links)?
                }
                FileType::Directory => cur = Node { mount: cur.mount, path, dir: Arc::new(File::from(fd)) },
                _ => return Err(Errno::NOTDIR.into()),
            }
        }
        Ok(Place::Dir(cur))
    }

    pub(super) fn link(&self, cur: &mut Node, todo: &mut Vec<String>, target: std::ffi::CString, links: &mut u32) -> io::Result<()> {
        *links += 1;
        if *links > MAX_LINKS {
            return Err(Errno::LOOP.into());
        }
        let t = target.into_string().map_err(|_| Errno::ILSEQ)?;
        if t.starts_with('/') {
            *cur = self.root()
        }
        if t.ends_with('/') {
            todo.push(".".into())
        }
        push(todo, &t);
        Ok(())
    }
}

/// Down only, through no link. Not NO_XDEV: what the host mounted below a volume's folder belongs to it, as with a bind mount.
pub(super) const FENCE: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// A link on the way (or no openat2 here): resolve step by step.
pub(super) fn detour(e: &io::Error) -> bool {
    matches!(Errno::from_io_error(e), Some(Errno::LOOP | Errno::NOTDIR | Errno::NOSYS))
}

pub(super) fn push(todo: &mut Vec<String>, path: &str) {
    todo.extend(path.split('/').rev().filter(|c| !c.is_empty()).map(String::from))
}

/// Opens the directory `rel` (plain components) below `dir`, following no symlink.
pub(super) fn open_beneath(dir: &File, rel: &str) -> io::Result<File> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match rfs::openat2(dir, rel, flags, Mode::empty(), FENCE) {
        Ok(fd) => Ok(File::from(fd)),
        Err(Errno::NOSYS) => {
            // an old kernel or a sandbox: step by step
            let mut cur: Option<File> = None;
            for c in rel.split('/').filter(|c| !c.is_empty()) {
                cur = Some(File::from(rfs::openat(cur.as_ref().unwrap_or(dir), c, flags | OFlags::NOFOLLOW, Mode::empty())?))
            }
            cur.ok_or_else(|| Errno::INVAL.into())
        }
        Err(e) => Err(e.into()),
    }
}
