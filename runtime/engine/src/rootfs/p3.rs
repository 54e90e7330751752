//! wasi:filesystem 0.3 on the mount table. The traits are generic over the store's data `T`, so an `Accessor` of ours
//! becomes one of wasmtime-wasi's with `with_getter` (and an `Access` with `Access::new`): no path, no own code.
use super::mounts::{MountTable, Node};
use super::view::{ContainerFsView, HasContainerFs, View, error_code, identity, os_file, sync};
use std::io;
use std::sync::Arc;
use types::{ErrorCode, HostDescriptorWithStore};
use wasmtime::AsContextMut;
use wasmtime::component::{Access, Accessor, FutureReader, Linker, Resource, StreamReader};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystem, WasiFilesystemCtxView, WasiFilesystemView};
use wasmtime_wasi::p3::bindings::filesystem::{preopens, types};
use wasmtime_wasi::p3::filesystem::{FilesystemError, FilesystemResult};

/// Call after `wasmtime_wasi::p3::add_to_linker`: it replaces the two interfaces.
pub(crate) fn add_to_linker<T: ContainerFsView>(l: &mut Linker<T>) -> wasmtime::Result<()> {
    l.allow_shadowing(true);
    types::add_to_linker::<T, HasContainerFs>(l, T::container_fs)?;
    preopens::add_to_linker::<T, HasContainerFs>(l, T::container_fs)?;
    l.allow_shadowing(false);
    Ok(())
}

const OTHER: types::DescriptorType = types::DescriptorType::Other(None);
fn time(s: i64, ns: u32) -> Option<wasmtime_wasi::p3::bindings::clocks::system_clock::Instant> {
    Some(wasmtime_wasi::p3::bindings::clocks::system_clock::Instant { seconds: s, nanoseconds: ns })
}
error_code!(types);

fn theirs<T: WasiView>(t: &mut T) -> WasiFilesystemCtxView<'_> {
    t.filesystem()
}
type Ours<T> = Accessor<T, HasContainerFs>;
type Fd = Resource<Descriptor>;
type Done = Result<(), ErrorCode>;
type W = WasiFilesystem;

/// A path operation, at the descriptor's place.
fn at<T: ContainerFsView, R>(a: &Ours<T>, fd: &Fd, f: impl FnOnce(&MountTable, &Node) -> io::Result<R>) -> FilesystemResult<R> {
    a.with(|mut s| {
        let v = s.get();
        Ok(v.fs.node(fd.rep()).and_then(|node| f(&v.fs.mounts, node)).map_err(code)?)
    })
}

fn fstat<T: ContainerFsView>(a: &Ours<T>, fd: &Fd) -> FilesystemResult<rustix::fs::Stat> {
    let file = file(a, fd)?;
    Ok(rustix::fs::fstat(&*file).map_err(|e| code(e.into()))?)
}

fn file<T: ContainerFsView>(a: &Ours<T>, fd: &Fd) -> FilesystemResult<Arc<std::fs::File>> {
    Ok(a.with(|mut s| s.get().wasi.table.get(fd).map(os_file))?)
}

fn second<T: ContainerFsView>(a: &Ours<T>, fd: &Fd) -> FilesystemResult<Node> {
    Ok(a.with(|mut s| s.get().fs.node(fd.rep()).cloned()).map_err(code)?)
}

impl preopens::Host for View<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Fd, String)>> {
        Ok(vec![(self.fs.preopen_root(self.wasi.table)?, "/".into())])
    }
}
impl types::Host for View<'_> {
    fn convert_error_code(&mut self, e: FilesystemError) -> wasmtime::Result<ErrorCode> {
        e.downcast()
    }
}
impl types::HostDescriptor for View<'_> {
    fn drop(&mut self, fd: Fd) -> wasmtime::Result<()> {
        self.fs.forget(fd.rep());
        self.wasi.table.delete(fd)?;
        Ok(())
    }
}

impl<T: ContainerFsView> HostDescriptorWithStore<T> for HasContainerFs {
    fn read_via_stream(mut s: Access<T, Self>, fd: Fd, o: u64) -> wasmtime::Result<(StreamReader<u8>, FutureReader<Done>)> {
        W::read_via_stream(Access::<T, W>::new(s.as_context_mut(), theirs::<T>), fd, o)
    }
    fn write_via_stream(mut s: Access<'_, T, Self>, fd: Fd, d: StreamReader<u8>, o: u64) -> wasmtime::Result<FutureReader<Done>> {
        W::write_via_stream(Access::<T, W>::new(s.as_context_mut(), theirs::<T>), fd, d, o)
    }
    fn append_via_stream(mut s: Access<'_, T, Self>, fd: Fd, d: StreamReader<u8>) -> wasmtime::Result<FutureReader<Done>> {
        W::append_via_stream(Access::<T, W>::new(s.as_context_mut(), theirs::<T>), fd, d)
    }
    fn read_directory(mut s: Access<'_, T, Self>, fd: Fd) -> wasmtime::Result<(StreamReader<types::DirectoryEntry>, FutureReader<Done>)> {
        W::read_directory(Access::<T, W>::new(s.as_context_mut(), theirs::<T>), fd)
    }
    async fn advise(a: &Ours<T>, fd: Fd, o: u64, l: u64, x: types::Advice) -> FilesystemResult<()> {
        W::advise(&a.with_getter::<W>(theirs::<T>), fd, o, l, x).await
    }
    async fn sync_data(a: &Ours<T>, fd: Fd) -> FilesystemResult<()> {
        Ok(sync(file(a, &fd)?, true).await.map_err(code)?)
    }
    async fn sync(a: &Ours<T>, fd: Fd) -> FilesystemResult<()> {
        Ok(sync(file(a, &fd)?, false).await.map_err(code)?)
    }
    async fn get_flags(a: &Ours<T>, fd: Fd) -> FilesystemResult<types::DescriptorFlags> {
        W::get_flags(&a.with_getter::<W>(theirs::<T>), fd).await
    }
    async fn get_type(a: &Ours<T>, fd: Fd) -> FilesystemResult<types::DescriptorType> {
        W::get_type(&a.with_getter::<W>(theirs::<T>), fd).await
    }
    async fn set_size(a: &Ours<T>, fd: Fd, n: u64) -> FilesystemResult<()> {
        W::set_size(&a.with_getter::<W>(theirs::<T>), fd, n).await
    }
    async fn set_times(a: &Ours<T>, fd: Fd, x: types::NewTimestamp, y: types::NewTimestamp) -> FilesystemResult<()> {
        W::set_times(&a.with_getter::<W>(theirs::<T>), fd, x, y).await
    }
    async fn is_same_object(a: &Ours<T>, x: Fd, y: Fd) -> wasmtime::Result<bool> {
        W::is_same_object(&a.with_getter::<W>(theirs::<T>), x, y).await
    }
    async fn stat(a: &Ours<T>, fd: Fd) -> FilesystemResult<types::DescriptorStat> {
        Ok(stat(&fstat(a, &fd)?))
    }
    async fn metadata_hash(a: &Ours<T>, fd: Fd) -> FilesystemResult<types::MetadataHashValue> {
        Ok(hash(identity(&fstat(a, &fd)?)))
    }
    async fn stat_at(a: &Ours<T>, fd: Fd, f: types::PathFlags, path: String) -> FilesystemResult<types::DescriptorStat> {
        Ok(stat(&at(a, &fd, |m, n| m.stat(n, &path, follow(f)))?))
    }
    async fn metadata_hash_at(a: &Ours<T>, fd: Fd, f: types::PathFlags, path: String) -> FilesystemResult<types::MetadataHashValue> {
        Ok(hash(identity(&at(a, &fd, |m, n| m.stat(n, &path, follow(f)))?)))
    }
    async fn set_times_at(a: &Ours<T>, fd: Fd, f: types::PathFlags, path: String, x: types::NewTimestamp, y: types::NewTimestamp) -> FilesystemResult<()> {
        at(a, &fd, |m, n| m.set_times(n, &path, follow(f), &times(x, y)))
    }
    async fn create_directory_at(a: &Ours<T>, fd: Fd, path: String) -> FilesystemResult<()> {
        at(a, &fd, |m, n| m.mkdir(n, &path))
    }
    async fn remove_directory_at(a: &Ours<T>, fd: Fd, path: String) -> FilesystemResult<()> {
        at(a, &fd, |m, n| m.rmdir(n, &path))
    }
    async fn unlink_file_at(a: &Ours<T>, fd: Fd, path: String) -> FilesystemResult<()> {
        at(a, &fd, |m, n| m.unlink(n, &path))
    }
    async fn readlink_at(a: &Ours<T>, fd: Fd, path: String) -> FilesystemResult<String> {
        at(a, &fd, |m, n| m.readlink(n, &path))
    }
    async fn symlink_at(a: &Ours<T>, fd: Fd, target: String, path: String) -> FilesystemResult<()> {
        at(a, &fd, |m, n| m.symlink(&target, n, &path))
    }
    async fn rename_at(a: &Ours<T>, fd: Fd, from: String, to_fd: Fd, to: String) -> FilesystemResult<()> {
        let b = second(a, &to_fd)?;
        at(a, &fd, |m, n| m.rename(n, &from, &b, &to))
    }
    async fn link_at(a: &Ours<T>, fd: Fd, f: types::PathFlags, from: String, to_fd: Fd, to: String) -> FilesystemResult<()> {
        let b = second(a, &to_fd)?;
        at(a, &fd, |m, n| m.hard_link(n, &from, follow(f), &b, &to))
    }
    async fn open_at(a: &Ours<T>, fd: Fd, p: types::PathFlags, path: String, o: types::OpenFlags, d: types::DescriptorFlags) -> FilesystemResult<Fd> {
        let opened = at(a, &fd, |m, n| m.open(n, &path, how(p, o, d)))?;
        a.with(|mut s| {
            let v = s.get();
            v.fs.push(v.wasi.table, opened)
        })
        .map_err(FilesystemError::trap)
    }
}
