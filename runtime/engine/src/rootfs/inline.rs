//! wasi:io streams on a file without a thread hop: for local files when the container may block its thread.
//! wasmtime-wasi's own `FileInputStream::read` spawns a task per read whatever `allow_blocking_current_thread` says.
use bytes::{Bytes, BytesMut};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

const CHUNK: usize = 64 * 1024;

pub(super) struct In {
    pub(super) file: Arc<File>,
    pub(super) at: u64,
}
/// `at` is None for append.
pub(super) struct Out {
    pub(super) file: Arc<File>,
    pub(super) at: Option<u64>,
}

fn failed(e: std::io::Error) -> StreamError {
    StreamError::LastOperationFailed(e.into())
}

#[async_trait::async_trait]
impl Pollable for In {
    async fn ready(&mut self) {}
}
#[async_trait::async_trait]
impl InputStream for In {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if size == 0 {
            return Ok(Bytes::new());
        }
        let mut b = BytesMut::zeroed(size.min(CHUNK));
        let n = self.file.read_at(&mut b, self.at).map_err(failed)?;
        if n == 0 {
            return Err(StreamError::Closed);
        }
        self.at += n as u64;
        b.truncate(n);
        Ok(b.freeze())
    }
}

#[async_trait::async_trait]
impl Pollable for Out {
    async fn ready(&mut self) {}
}
#[async_trait::async_trait]
impl OutputStream for Out {
    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(1024 * 1024)
    }
    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }
    fn write(&mut self, mut b: Bytes) -> StreamResult<()> {
        while !b.is_empty() {
            let n = match self.at {
                Some(at) => self.file.write_at(&b, at).map_err(failed)?,
                None => rustix::io::pwritev2(&*self.file, &[std::io::IoSlice::new(&b)], 0, rustix::io::ReadWriteFlags::APPEND).map_err(|e| failed(e.into()))?,
            };
            if let Some(at) = &mut self.at {
                *at += n as u64
            }
            let _ = b.split_to(n);
        }
        Ok(())
    }
}
