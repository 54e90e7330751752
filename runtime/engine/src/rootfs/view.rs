//! What both WASI versions share: the view that the generated traits are implemented on, and conversions.
//!
//! Files are local, so that a call is made on the spot: handing it to another thread costs many times as much. Only
//! what waits for the disk goes elsewhere.

use super::mounts::{MountTable, Node};
use super::operations::{How, Opened};
use rustix::io::Errno;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::Arc;
use wasmtime::component::{HasData, Resource, ResourceTable};
use wasmtime_wasi::filesystem::{Descriptor, Dir, File, WasiFilesystemCtxView};
use wasmtime_wasi::{FsPerms, OpenMode, WasiView};

/// A container's file system, one per store. `nodes` says where an open directory is: a `Descriptor` of wasmtime-wasi
/// has no room for it, so it is kept beside, by the resource's number; `forget` must be called on drop.
pub(crate) struct ContainerFs {
    pub(crate) mounts: Arc<MountTable>,
    nodes: HashMap<u32, Node>,
}

/// `D` of `add_to_linker::<T, D>`.
pub(crate) struct HasContainerFs;
impl HasData for HasContainerFs {
    type Data<'a> = View<'a>;
}

/// The own state and, for everything that needs no path, the view that wasmtime-wasi implements its traits on.
pub(crate) struct View<'a> {
    pub(crate) fs: &'a mut ContainerFs,
    pub(crate) wasi: WasiFilesystemCtxView<'a>,
}

/// What a store's data must offer.
pub(crate) trait ContainerFsView: WasiView + 'static {
    fn container_fs(&mut self) -> View<'_>;
}

impl ContainerFs {
    pub(crate) fn new(mounts: Arc<MountTable>) -> Self {
        Self { mounts, nodes: HashMap::new() }
    }
    pub(crate) fn forget(&mut self, fd: u32) {
        self.nodes.remove(&fd);
    }
    pub(crate) fn node(&self, fd: u32) -> io::Result<&Node> {
        self.nodes.get(&fd).ok_or_else(|| Errno::NOTDIR.into())
    }

    pub(crate) fn preopen_root(&mut self, table: &mut ResourceTable) -> wasmtime::Result<Resource<Descriptor>> {
        let how = How { read: true, directory: true, ..Default::default() };
        let root = self.mounts.open(&self.mounts.root(), ".", how)?;
        self.push(table, root)
    }

    /// Makes a descriptor of wasmtime-wasi from what was opened: reads, writes and streams are then wasmtime-wasi's own.
    pub(crate) fn push(&mut self, table: &mut ResourceTable, o: Opened) -> wasmtime::Result<Resource<Descriptor>> {
        let perms = if o.read_only { FsPerms::ReadOnly } else { FsPerms::ReadWrite };
        let mut mode = OpenMode::empty();
        mode.set(OpenMode::READ, o.how.read || !o.how.write);
        mode.set(OpenMode::WRITE, if o.dir.is_some() { !o.read_only } else { o.how.write });
        let Some(place) = o.dir else {
            return Ok(table.push(Descriptor::File(File::new(o.file, perms, mode, true)))?);
        };
        let dir = Dir::new(o.file, perms, mode, true);
        let node = Node::new(place, dir.dir.clone());
        let fd = table.push(Descriptor::Dir(dir))?;
        self.nodes.insert(fd.rep(), node);
        Ok(fd)
    }
}

/// Waits for the disk, off this thread.
pub(super) async fn sync(file: Arc<std::fs::File>, data_only: bool) -> io::Result<()> {
    let wait = move || if data_only { file.sync_data() } else { file.sync_all() };
    tokio::task::spawn_blocking(wait).await.map_err(io::Error::other)?
}

pub(crate) fn os_file(d: &Descriptor) -> Arc<std::fs::File> {
    match d {
        Descriptor::File(f) => f.file.clone(),
        Descriptor::Dir(d) => d.dir.clone(),
    }
}

/// The same for a path and for a descriptor: guests compare them.
pub(crate) fn identity(s: &rustix::fs::Stat) -> (u64, u64) {
    let mut h = DefaultHasher::new();
    (s.st_dev, s.st_ino).hash(&mut h);
    (h.finish(), h.finish() ^ 0x5bd1_e995_5bd1_e995)
}

/// wasmtime-wasi maps neither EXDEV nor EROFS (nor EDQUOT) from an `io::Error`.
macro_rules! error_code {
    ($types:ident) => {
        fn code(e: std::io::Error) -> $types::ErrorCode {
            use rustix::io::Errno;
            match Errno::from_io_error(&e) {
                Some(Errno::XDEV) => $types::ErrorCode::CrossDevice,
                Some(Errno::ROFS) => $types::ErrorCode::ReadOnly,
                Some(Errno::DQUOT) => $types::ErrorCode::Quota,
                _ => e.into(),
            }
        }
        fn how(path: $types::PathFlags, o: $types::OpenFlags, d: $types::DescriptorFlags) -> super::operations::How {
            use $types::{DescriptorFlags as D, OpenFlags as O, PathFlags as P};
            super::operations::How {
                read: d.contains(D::READ),
                write: d.contains(D::WRITE),
                create: o.contains(O::CREATE),
                exclusive: o.contains(O::EXCLUSIVE),
                truncate: o.contains(O::TRUNCATE),
                directory: o.contains(O::DIRECTORY),
                follow: path.contains(P::SYMLINK_FOLLOW),
                sync: d.contains(D::FILE_INTEGRITY_SYNC),
                dsync: d.contains(D::DATA_INTEGRITY_SYNC),
            }
        }
        fn follow(p: $types::PathFlags) -> bool {
            p.contains($types::PathFlags::SYMLINK_FOLLOW)
        }
        fn stat(s: &rustix::fs::Stat) -> $types::DescriptorStat {
            let kind = match rustix::fs::FileType::from_raw_mode(s.st_mode) {
                rustix::fs::FileType::Directory => $types::DescriptorType::Directory,
                rustix::fs::FileType::Symlink => $types::DescriptorType::SymbolicLink,
                rustix::fs::FileType::RegularFile => $types::DescriptorType::RegularFile,
                rustix::fs::FileType::CharacterDevice => $types::DescriptorType::CharacterDevice,
                rustix::fs::FileType::BlockDevice => $types::DescriptorType::BlockDevice,
                _ => OTHER,
            };
            $types::DescriptorStat {
                type_: kind,
                link_count: s.st_nlink as u64,
                size: s.st_size as u64,
                data_access_timestamp: time(s.st_atime as i64, s.st_atime_nsec as u32),
                data_modification_timestamp: time(s.st_mtime as i64, s.st_mtime_nsec as u32),
                status_change_timestamp: time(s.st_ctime as i64, s.st_ctime_nsec as u32),
            }
        }
        fn hash((lower, upper): (u64, u64)) -> $types::MetadataHashValue {
            $types::MetadataHashValue { lower, upper }
        }
        fn times(atime: $types::NewTimestamp, mtime: $types::NewTimestamp) -> rustix::fs::Timestamps {
            use rustix::fs::{Timespec, UTIME_NOW, UTIME_OMIT};
            let t = |t| match t {
                $types::NewTimestamp::NoChange => Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT as _ },
                $types::NewTimestamp::Now => Timespec { tv_sec: 0, tv_nsec: UTIME_NOW as _ },
                $types::NewTimestamp::Timestamp(d) => Timespec { tv_sec: d.seconds as _, tv_nsec: (d.nanoseconds % 1_000_000_000) as _ },
            };
            rustix::fs::Timestamps { last_access: t(atime), last_modification: t(mtime) }
        }
    };
}
pub(crate) use error_code;
