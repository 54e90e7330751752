//! Writing a log: lines straight into the file, one `write` per write of the guest.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{MAX_FILE, MAX_FILES, rotated};
use crate::output::{Fan, Outlet, Tap};

/// The longest piece of a guest's line that is written as one line.
const MAX_LINE: usize = 16 << 10;

/// Which of a container's outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The log of one run of a container. The file is made with the first line: a silent container costs none.
pub struct Log {
    path: Arc<Path>,
    inner: Mutex<Inner>,
    pub(super) grown: Notify,
    /// Who watches besides.
    fan: Arc<Fan>,
}

#[derive(Default)]
struct Inner {
    file: Option<File>,
    size: u64,
    /// The beginnings of unfinished lines.
    pending: [Vec<u8>; 2],
    closed: bool,
    rotations: u64,
    /// Nothing more is written: the disk refused.
    broken: bool,
}

impl Log {
    pub(super) fn new(path: Arc<Path>) -> Arc<Self> {
        Arc::new(Self { path, inner: Mutex::default(), grown: Notify::new(), fan: Arc::default() })
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How often something was written.
    pub(crate) fn writes(&self) -> u64 {
        self.fan.count()
    }

    /// What is written from now on, for somebody who watches.
    pub(crate) fn tap(&self) -> Tap {
        self.fan.tap()
    }

    /// Whether nothing more will come, and how often the file was rotated.
    pub(super) fn progress(&self) -> (bool, u64) {
        let inner = self.inner.lock();
        (inner.closed, inner.rotations)
    }

    pub(super) fn close(&self) {
        let mut inner = self.inner.lock();
        for stream in [Stream::Stdout, Stream::Stderr] {
            let rest = std::mem::take(&mut inner.pending[stream as usize]);
            if !rest.is_empty() {
                let mut out = vec![];
                push_line(&mut out, &now(), stream, false, &rest);
                inner.write(&self.path, &out);
            }
        }
        inner.closed = true;
        inner.file = None;
        drop(inner);
        self.fan.close();
        self.grown.notify_waiters();
    }

    /// Writes bytes of a guest.
    pub fn write(&self, stream: Stream, mut bytes: &[u8]) {
        let time = now();
        let mut out = Vec::with_capacity(bytes.len() + 64);
        let mut inner = self.inner.lock();
        if inner.closed {
            return;
        }
        self.fan.send(stream, bytes);
        let mut pending = std::mem::take(&mut inner.pending[stream as usize]);
        while !bytes.is_empty() {
            let room = MAX_LINE - pending.len();
            let end = memchr(&bytes[..bytes.len().min(room)]);
            let (piece, rest, full) = match end {
                Some(at) => (&bytes[..at], &bytes[at + 1..], true),
                None if bytes.len() >= room => (&bytes[..room], &bytes[room..], false),
                None => {
                    pending.extend_from_slice(bytes);
                    break;
                }
            };
            if pending.is_empty() {
                push_line(&mut out, &time, stream, full, piece);
            } else {
                pending.extend_from_slice(piece);
                push_line(&mut out, &time, stream, full, &pending);
                pending = Vec::new();
            }
            bytes = rest;
        }
        inner.pending[stream as usize] = pending;
        if !out.is_empty() {
            inner.write(&self.path, &out);
            drop(inner);
            self.grown.notify_waiters();
        }
    }
}

impl Inner {
    fn write(&mut self, path: &Path, bytes: &[u8]) {
        if self.broken {
            return;
        }
        if self.size > 0 && self.size + bytes.len() as u64 > MAX_FILE {
            self.rotate(path);
        }
        let result = match &mut self.file {
            Some(file) => file.write_all(bytes),
            None => open(path).and_then(|(mut file, size)| {
                self.size = size;
                file.write_all(bytes)?;
                self.file = Some(file);
                Ok(())
            }),
        };
        match result {
            Ok(()) => self.size += bytes.len() as u64,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "container log cannot be written, its output is dropped");
                self.broken = true;
            }
        }
    }

    fn rotate(&mut self, path: &Path) {
        self.file = None;
        for n in (1..MAX_FILES - 1).rev() {
            let _ = std::fs::rename(rotated(path, n), rotated(path, n + 1));
        }
        let _ = std::fs::rename(path, rotated(path, 1));
        self.size = 0;
        self.rotations += 1;
    }
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    use std::os::unix::fs::OpenOptionsExt;
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    let file = File::options().append(true).create(true).mode(0o600).open(path)?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

fn now() -> String {
    format!("{:.9}", jiff::Timestamp::now())
}

fn push_line(out: &mut Vec<u8>, time: &str, stream: Stream, full: bool, text: &[u8]) {
    out.extend_from_slice(time.as_bytes());
    out.extend_from_slice(match stream {
        Stream::Stdout => b" stdout ",
        Stream::Stderr => b" stderr ",
    });
    out.extend_from_slice(if full { b"F " } else { b"P " });
    out.extend_from_slice(text);
    out.push(b'\n');
}

fn memchr(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|b| *b == b'\n')
}

impl Outlet for Log {
    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.fan.poll_ready(cx).map(Ok)
    }

    fn put(&self, stream: Stream, bytes: &[u8]) {
        self.write(stream, bytes);
    }
}
