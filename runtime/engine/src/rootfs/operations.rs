//! What is done to a path: each operation is one resolution and one call on one name.

use super::mounts::{MountTable, Node};
use super::resolve::{FENCE, Place, detour};
use rustix::fs::{self as rfs, AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;

/// How often a path is resolved again because somebody put a link there meanwhile.
const MAX_SWAPS: u32 = 16;

/// How to open a path.
#[derive(Clone, Copy, Default)]
pub(crate) struct How {
    pub read: bool,
    pub write: bool,
    pub create: bool,
    pub exclusive: bool,
    pub truncate: bool,
    pub directory: bool,
    pub follow: bool,
    pub sync: bool,
    pub dsync: bool,
}

/// An open file or folder; `dir` says where it is if it is a folder (see [`Node::new`]).
pub(crate) struct Opened {
    pub file: File,
    pub dir: Option<(usize, String)>,
    pub read_only: bool,
    pub how: How,
}

impl MountTable {
    pub(crate) fn open(&self, at: &Node, path: &str, how: How) -> io::Result<Opened> {
        if let Some((base, rest)) = self.shortcut(at, path) {
            match self.open_place(Place::Entry(base, rest.into()), how) {
                Err(e) if detour(&e) => {}
                r => return r,
            }
        }
        for _ in 0..MAX_SWAPS {
            let follow = how.follow && !(how.create && how.exclusive);
            let place = self.resolve(at, path, follow)?;
            match self.open_place(place, how) {
                Err(e) if follow && Errno::from_io_error(&e) == Some(Errno::LOOP) => continue, // became a link meanwhile
                r => return r,
            }
        }
        Err(Errno::LOOP.into())
    }

    fn open_place(&self, place: Place, mut how: How) -> io::Result<Opened> {
        how.write |= how.truncate;
        let mut flags = OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::NOFOLLOW; // NONBLOCK: a FIFO must not hang the host
        flags |= match (how.read, how.write) {
            (_, false) => OFlags::RDONLY,
            (false, true) => OFlags::WRONLY,
            (true, true) => OFlags::RDWR,
        };
        for (on, f) in [(how.truncate, OFlags::TRUNC), (how.directory, OFlags::DIRECTORY), (how.sync, OFlags::SYNC), (how.dsync, OFlags::DSYNC)] {
            if on {
                flags |= f
            }
        }
        let done = |fd: rustix::fd::OwnedFd, mount: usize, path: String| -> io::Result<Opened> {
            let file = File::from(fd);
            let read_only = self.mounts[mount].read_only;
            let dir = match FileType::from_raw_mode(rfs::fstat(&file)?.st_mode) {
                FileType::Directory => Some((mount, path)),
                FileType::RegularFile => None,
                _ => return Err(Errno::ACCESS.into()), // no devices, FIFOs, sockets
            };
            Ok(Opened { file, dir, read_only, how })
        };
        match place {
            Place::Dir(_) | Place::FileMount(_) if how.create && how.exclusive => Err(Errno::EXIST.into()),
            Place::Dir(_) if how.write || how.create => Err(Errno::ISDIR.into()),
            Place::Dir(n) => done(rfs::openat(&*n.dir, ".", flags, Mode::empty())?, n.mount, n.path),
            Place::FileMount(_) if how.directory => Err(Errno::NOTDIR.into()),
            Place::FileMount(m) => {
                if self.mounts[m].read_only && how.write {
                    return Err(Errno::ROFS.into());
                }
                // The mounted inode itself, as a bind mount: a new open of our O_PATH descriptor.
                let fd = rfs::open(format!("/proc/self/fd/{}", self.file(m).as_raw_fd()), flags - OFlags::NOFOLLOW, Mode::empty())?;
                done(fd, m, String::new())
            }
            Place::Entry(p, name) => {
                let ro = self.read_only(&p);
                if ro && how.write {
                    return Err(Errno::ROFS.into());
                }
                if how.create && !ro {
                    flags |= OFlags::CREATE
                }
                if how.create && !ro && how.exclusive {
                    flags |= OFlags::EXCL
                }
                let mode = if flags.contains(OFlags::CREATE) { Mode::from(0o666) } else { Mode::empty() };
                // `name` is one component, or from `shortcut` a plain path: then only openat2 with FENCE may see it.
                let fd = if name.contains('/') { rfs::openat2(&*p.dir, &name, flags, mode, FENCE) } else { rfs::openat(&*p.dir, &name, flags, mode) };
                let fd = fd.map_err(|e| if ro && how.create && e == Errno::NOENT { Errno::ROFS } else { e })?;
                done(fd, p.mount, format!("{}/{name}", p.path))
            }
        }
    }

    /// The bytes of a file (a path from `/`); `None` when it has more than `most`.
    pub(crate) fn read(&self, path: &str, most: u64) -> io::Result<Option<Vec<u8>>> {
        let opened = self.open(&self.root(), path, How { read: true, follow: true, ..How::default() })?;
        if opened.dir.is_some() {
            return Err(Errno::ISDIR.into());
        }
        let mut bytes = Vec::new();
        opened.file.take(most + 1).read_to_end(&mut bytes)?;
        Ok(Some(bytes).filter(|b| b.len() as u64 <= most))
    }

    /// The names in a folder (a path from `/`) but those that begin with a dot, `most` of them at most; none where there is no folder.
    pub(crate) fn names(&self, path: &str, most: usize) -> io::Result<Vec<String>> {
        let how = How { read: true, directory: true, follow: true, ..How::default() };
        let folder = match self.open(&self.root(), path, how) {
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(vec![]),
            opened => opened?.file,
        };
        let mut names = vec![];
        for entry in rfs::Dir::read_from(folder)?.take(most) {
            if let Ok(name) = entry?.file_name().to_str()
                && !name.starts_with('.')
            {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    pub(crate) fn stat(&self, at: &Node, path: &str, follow: bool) -> io::Result<rfs::Stat> {
        if let Some((base, rest)) = self.shortcut(at, path) {
            let flags = OFlags::PATH | OFlags::CLOEXEC | if follow { OFlags::empty() } else { OFlags::NOFOLLOW };
            match rfs::openat2(&*base.dir, rest, flags, Mode::empty(), FENCE) {
                Ok(fd) => return Ok(rfs::fstat(&fd)?),
                Err(e) if detour(&e.into()) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(match self.resolve(at, path, follow)? {
            Place::Dir(n) => rfs::fstat(&*n.dir)?,
            Place::FileMount(m) => rfs::fstat(self.file(m))?,
            Place::Entry(p, name) => rfs::statat(&*p.dir, &name, AtFlags::SYMLINK_NOFOLLOW)?,
        })
    }

    pub(crate) fn readlink(&self, at: &Node, path: &str) -> io::Result<String> {
        match self.resolve(at, path, false)? {
            Place::Entry(p, name) => rfs::readlinkat(&*p.dir, &name, Vec::new())?.into_string().map_err(|_| Errno::ILSEQ.into()),
            _ => Err(Errno::INVAL.into()),
        }
    }

    pub(crate) fn set_times(&self, at: &Node, path: &str, follow: bool, times: &rfs::Timestamps) -> io::Result<()> {
        match self.resolve(at, path, follow)? {
            Place::Dir(n) => {
                self.writable(&n)?;
                rfs::utimensat(&*n.dir, ".", times, AtFlags::empty())?
            }
            Place::Entry(p, name) => {
                self.writable(&p)?;
                rfs::utimensat(&*p.dir, &name, times, AtFlags::SYMLINK_NOFOLLOW)?
            }
            Place::FileMount(m) => {
                if self.mounts[m].read_only {
                    return Err(Errno::ROFS.into());
                }
                rfs::utimensat(rfs::CWD, format!("/proc/self/fd/{}", self.file(m).as_raw_fd()), times, AtFlags::empty())?
            }
        }
        Ok(())
    }

    fn writable(&self, n: &Node) -> io::Result<()> {
        if self.read_only(n) { Err(Errno::ROFS.into()) } else { Ok(()) }
    }

    /// An entry that may be created: anything that a mount or a directory already is, is in the way.
    fn new_entry(&self, at: &Node, path: &str) -> io::Result<(Node, String)> {
        match self.resolve(at, path, false)? {
            Place::Entry(p, n) => {
                self.writable(&p)?;
                Ok((p, n))
            }
            _ => Err(Errno::EXIST.into()),
        }
    }

    /// An entry that may be moved or removed: mount points and the way to them are busy.
    fn old_entry(&self, at: &Node, path: &str) -> io::Result<(Node, String)> {
        match self.resolve(at, path, false)? {
            Place::Entry(p, n) => {
                self.writable(&p)?;
                if self.pinned(&format!("{}/{n}", p.path)) {
                    return Err(Errno::BUSY.into());
                }
                Ok((p, n))
            }
            _ => Err(Errno::BUSY.into()),
        }
    }

    pub(crate) fn mkdir(&self, at: &Node, path: &str) -> io::Result<()> {
        let (p, n) = self.new_entry(at, path)?;
        Ok(rfs::mkdirat(&*p.dir, &n, Mode::from(0o777))?)
    }
    pub(crate) fn symlink(&self, target: &str, at: &Node, path: &str) -> io::Result<()> {
        let (p, n) = self.new_entry(at, path)?;
        Ok(rfs::symlinkat(target, &*p.dir, &n)?)
    }
    pub(crate) fn unlink(&self, at: &Node, path: &str) -> io::Result<()> {
        let (p, n) = self.old_entry(at, path)?;
        Ok(rfs::unlinkat(&*p.dir, &n, AtFlags::empty())?)
    }
    pub(crate) fn rmdir(&self, at: &Node, path: &str) -> io::Result<()> {
        let (p, n) = self.old_entry(at, path)?;
        Ok(rfs::unlinkat(&*p.dir, &n, AtFlags::REMOVEDIR)?)
    }

    pub(crate) fn rename(&self, at: &Node, from: &str, to_at: &Node, to: &str) -> io::Result<()> {
        let ((a, x), (b, y)) = (self.old_entry(at, from)?, self.old_entry(to_at, to)?);
        if a.mount != b.mount {
            return Err(Errno::XDEV.into());
        }
        Ok(rfs::renameat(&*a.dir, &x, &*b.dir, &y)?)
    }

    pub(crate) fn hard_link(&self, at: &Node, from: &str, follow: bool, to_at: &Node, to: &str) -> io::Result<()> {
        let (b, y) = self.new_entry(to_at, to)?;
        match self.resolve(at, from, follow)? {
            Place::Entry(a, x) if a.mount == b.mount => Ok(rfs::linkat(&*a.dir, &x, &*b.dir, &y, AtFlags::empty())?),
            Place::Dir(_) => Err(Errno::PERM.into()),
            _ => Err(Errno::XDEV.into()),
        }
    }
}
