//! wasi:filesystem 0.2 on the mount table.
use super::inline;
use super::mounts::{MountTable, Node};
use super::view::{ContainerFsView, HasContainerFs, View, error_code, identity, os_file, sync};
use std::io;
use std::sync::Arc;
use types::{HostDescriptor, HostDirectoryEntryStream};
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemCtxView};
use wasmtime_wasi::p2::bindings::filesystem::{preopens, types};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult, ReaddirIterator};

/// Call after `wasmtime_wasi::p2::add_to_linker_async`: it replaces the two interfaces.
pub(crate) fn add_to_linker<T: ContainerFsView>(l: &mut Linker<T>) -> wasmtime::Result<()> {
    l.allow_shadowing(true);
    types::add_to_linker::<T, HasContainerFs>(l, T::container_fs)?;
    preopens::add_to_linker::<T, HasContainerFs>(l, T::container_fs)?;
    l.allow_shadowing(false);
    Ok(())
}

const OTHER: types::DescriptorType = types::DescriptorType::Unknown;
fn time(s: i64, ns: u32) -> Option<wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime> {
    Some(wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime { seconds: s.try_into().ok()?, nanoseconds: ns })
}
error_code!(types);

impl View<'_> {
    /// A path operation, at the descriptor's place.
    fn at<R>(&self, fd: &Resource<Descriptor>, f: impl FnOnce(&MountTable, &Node) -> io::Result<R>) -> FsResult<R> {
        let node = self.fs.node(fd.rep()).map_err(code)?;
        Ok(f(&self.fs.mounts, node).map_err(code)?)
    }

    fn fstat(&self, fd: &Resource<Descriptor>) -> FsResult<rustix::fs::Stat> {
        Ok(rustix::fs::fstat(&*os_file(self.wasi.table.get(fd)?)).map_err(|e| code(e.into()))?)
    }

    /// A file whose streams are ours; what is no file, or must not be written, wasmtime-wasi's own answer for.
    fn inline(&self, fd: &Resource<Descriptor>, write: bool) -> FsResult<Option<Arc<std::fs::File>>> {
        Ok(match self.wasi.table.get(fd)? {
            Descriptor::File(f) if !write || !f.perms.write_not_permitted() => Some(f.file.clone()),
            _ => None,
        })
    }
}

impl preopens::Host for View<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        Ok(vec![(self.fs.preopen_root(self.wasi.table)?, "/".into())])
    }
}

impl types::Host for View<'_> {
    fn convert_error_code(&mut self, e: FsError) -> wasmtime::Result<types::ErrorCode> {
        e.downcast()
    }
    fn filesystem_error_code(&mut self, e: Resource<wasmtime::Error>) -> wasmtime::Result<Option<types::ErrorCode>> {
        self.wasi.filesystem_error_code(e)
    }
}

impl HostDirectoryEntryStream for View<'_> {
    async fn read_directory_entry(&mut self, s: Resource<ReaddirIterator>) -> FsResult<Option<types::DirectoryEntry>> {
        self.wasi.read_directory_entry(s).await
    }
    fn drop(&mut self, s: Resource<ReaddirIterator>) -> wasmtime::Result<()> {
        HostDirectoryEntryStream::drop(&mut self.wasi, s)
    }
}

type Fd = Resource<Descriptor>;
type W<'a> = WasiFilesystemCtxView<'a>;

impl HostDescriptor for View<'_> {
    // No path: wasmtime-wasi's own.
    async fn advise(&mut self, fd: Fd, o: u64, l: u64, a: types::Advice) -> FsResult<()> {
        W::advise(&mut self.wasi, fd, o, l, a).await
    }
    async fn sync_data(&mut self, fd: Fd) -> FsResult<()> {
        let file = os_file(self.wasi.table.get(&fd)?);
        Ok(sync(file, true).await.map_err(code)?)
    }
    async fn sync(&mut self, fd: Fd) -> FsResult<()> {
        let file = os_file(self.wasi.table.get(&fd)?);
        Ok(sync(file, false).await.map_err(code)?)
    }
    async fn get_flags(&mut self, fd: Fd) -> FsResult<types::DescriptorFlags> {
        W::get_flags(&mut self.wasi, fd).await
    }
    async fn get_type(&mut self, fd: Fd) -> FsResult<types::DescriptorType> {
        W::get_type(&mut self.wasi, fd).await
    }
    async fn set_size(&mut self, fd: Fd, n: u64) -> FsResult<()> {
        W::set_size(&mut self.wasi, fd, n).await
    }
    async fn set_times(&mut self, fd: Fd, a: types::NewTimestamp, m: types::NewTimestamp) -> FsResult<()> {
        W::set_times(&mut self.wasi, fd, a, m).await
    }
    async fn read(&mut self, fd: Fd, n: u64, o: u64) -> FsResult<(Vec<u8>, bool)> {
        W::read(&mut self.wasi, fd, n, o).await
    }
    async fn write(&mut self, fd: Fd, b: Vec<u8>, o: u64) -> FsResult<u64> {
        W::write(&mut self.wasi, fd, b, o).await
    }
    async fn read_directory(&mut self, fd: Fd) -> FsResult<Resource<ReaddirIterator>> {
        W::read_directory(&mut self.wasi, fd).await
    }
    fn read_via_stream(&mut self, fd: Fd, o: u64) -> FsResult<Resource<DynInputStream>> {
        match self.inline(&fd, false)? {
            Some(file) => Ok(self.wasi.table.push(Box::new(inline::In { file, at: o }) as DynInputStream)?),
            None => W::read_via_stream(&mut self.wasi, fd, o),
        }
    }
    fn write_via_stream(&mut self, fd: Fd, o: u64) -> FsResult<Resource<DynOutputStream>> {
        match self.inline(&fd, true)? {
            Some(file) => Ok(self.wasi.table.push(Box::new(inline::Out { file, at: Some(o) }) as DynOutputStream)?),
            None => W::write_via_stream(&mut self.wasi, fd, o),
        }
    }
    fn append_via_stream(&mut self, fd: Fd) -> FsResult<Resource<DynOutputStream>> {
        match self.inline(&fd, true)? {
            Some(file) => Ok(self.wasi.table.push(Box::new(inline::Out { file, at: None }) as DynOutputStream)?),
            None => W::append_via_stream(&mut self.wasi, fd),
        }
    }
    async fn is_same_object(&mut self, a: Fd, b: Fd) -> wasmtime::Result<bool> {
        W::is_same_object(&mut self.wasi, a, b).await
    }
    fn drop(&mut self, fd: Fd) -> wasmtime::Result<()> {
        self.fs.forget(fd.rep());
        HostDescriptor::drop(&mut self.wasi, fd)
    }
    // Like their `-at` sisters, so that both say the same.
    async fn stat(&mut self, fd: Fd) -> FsResult<types::DescriptorStat> {
        Ok(stat(&self.fstat(&fd)?))
    }
    async fn metadata_hash(&mut self, fd: Fd) -> FsResult<types::MetadataHashValue> {
        Ok(hash(identity(&self.fstat(&fd)?)))
    }
    // Paths: the mount table's.
    async fn stat_at(&mut self, fd: Fd, f: types::PathFlags, path: String) -> FsResult<types::DescriptorStat> {
        Ok(stat(&self.at(&fd, |m, n| m.stat(n, &path, follow(f)))?))
    }
    async fn metadata_hash_at(&mut self, fd: Fd, f: types::PathFlags, path: String) -> FsResult<types::MetadataHashValue> {
        Ok(hash(identity(&self.at(&fd, |m, n| m.stat(n, &path, follow(f)))?)))
    }
    async fn set_times_at(&mut self, fd: Fd, f: types::PathFlags, path: String, a: types::NewTimestamp, t: types::NewTimestamp) -> FsResult<()> {
        self.at(&fd, |m, n| m.set_times(n, &path, follow(f), &times(a, t)))
    }
    async fn create_directory_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        self.at(&fd, |m, n| m.mkdir(n, &path))
    }
    async fn remove_directory_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        self.at(&fd, |m, n| m.rmdir(n, &path))
    }
    async fn unlink_file_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        self.at(&fd, |m, n| m.unlink(n, &path))
    }
    async fn readlink_at(&mut self, fd: Fd, path: String) -> FsResult<String> {
        self.at(&fd, |m, n| m.readlink(n, &path))
    }
    async fn symlink_at(&mut self, fd: Fd, target: String, path: String) -> FsResult<()> {
        self.at(&fd, |m, n| m.symlink(&target, n, &path))
    }
    async fn rename_at(&mut self, fd: Fd, from: String, to_fd: Fd, to: String) -> FsResult<()> {
        let b = self.fs.node(to_fd.rep()).map_err(code)?.clone();
        self.at(&fd, |m, a| m.rename(a, &from, &b, &to))
    }
    async fn link_at(&mut self, fd: Fd, f: types::PathFlags, from: String, to_fd: Fd, to: String) -> FsResult<()> {
        let b = self.fs.node(to_fd.rep()).map_err(code)?.clone();
        self.at(&fd, |m, a| m.hard_link(a, &from, follow(f), &b, &to))
    }
    async fn open_at(&mut self, fd: Fd, p: types::PathFlags, path: String, o: types::OpenFlags, d: types::DescriptorFlags) -> FsResult<Fd> {
        let opened = self.at(&fd, |m, n| m.open(n, &path, how(p, o, d)))?;
        self.fs.push(self.wasi.table, opened).map_err(FsError::trap)
    }
}
