//! Uploads that are under way: bytes go to disk as they come, the hash is computed on the way, and what arrived before an interruption
//! stays, over a restart of the server too.
//!
//! What one upload holds of memory is one buffer, however large the blob.

use std::collections::HashMap;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use futures::StreamExt;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedMutexGuard;

use crate::error::{Error, Result};
use crate::files::{Files, Hash};
use crate::names::{Algorithm, Digest};

/// Bytes that are gathered before they are written.
const BUFFER: usize = 512 << 10;
/// What a frame of a request usually has at most.
const FRAME: usize = 64 << 10;
/// How long a request waits for another one that writes to the same upload: one whose client is gone may not know it yet.
const BUSY: Duration = Duration::from_secs(10);

/// An upload that is under way.
pub(crate) struct Upload {
    pub(crate) id: String,
    pub(crate) repository: String,
    path: PathBuf,
    state: Arc<tokio::sync::Mutex<State>>,
    /// When the last byte came.
    last: Mutex<SystemTime>,
}

/// How far it is.
pub(crate) struct State {
    pub(crate) offset: u64,
    algorithm: Algorithm,
    /// `None` after a restart: what is there has to be read once.
    hash: Option<Hash>,
    /// Finished or given up.
    over: bool,
}

/// What stands beside an upload's bytes.
#[derive(Serialize, Deserialize)]
struct Note {
    repository: String,
    algorithm: Algorithm,
}

/// What a request sends.
pub(crate) struct Chunk {
    /// First byte and length, where the client says so.
    pub(crate) range: Option<(u64, u64)>,
    /// `Content-Length`.
    pub(crate) length: Option<u64>,
    pub(crate) body: Body,
}

/// All of them.
pub(crate) struct Uploads {
    files: Files,
    all: Mutex<HashMap<String, Arc<Upload>>>,
    most: usize,
    max_blob: u64,
    idle: Duration,
}

impl Uploads {
    /// Takes up those that were under way when the server ended.
    pub(crate) fn open(files: &Files, most: usize, max_blob: u64, idle: Duration) -> std::io::Result<Uploads> {
        let mut all = HashMap::new();
        for entry in std::fs::read_dir(files.uploads())? {
            let path = entry?.path();
            let id = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            if uuid::Uuid::parse_str(&id).is_err() {
                continue;
            }
            let note = std::fs::read(note_of(&path)).ok().and_then(|bytes| serde_json::from_slice::<Note>(&bytes).ok());
            let metadata = std::fs::metadata(&path)?;
            if let Some(Note { repository, algorithm }) = note {
                let state = State { offset: metadata.len(), algorithm, hash: None, over: false };
                let last = Mutex::new(metadata.modified().unwrap_or_else(|_| SystemTime::now()));
                all.insert(id.clone(), Arc::new(Upload { id, repository, path, state: Arc::new(tokio::sync::Mutex::new(state)), last }));
            }
        }
        Ok(Uploads { files: files.clone(), all: Mutex::new(all), most, max_blob, idle })
    }

    /// Begins one.
    pub(crate) fn begin(&self, repository: &str, algorithm: Algorithm) -> Result<Arc<Upload>> {
        let failed = |error: std::io::Error| Error::io("begin an upload", &error);
        if self.all.lock().len() >= self.most {
            return Err(Error::too_many(format!("{} uploads are under way already", self.most)));
        }
        let id = uuid::Uuid::new_v4().to_string();
        let path = self.files.uploads().join(&id);
        let note = serde_json::to_vec(&Note { repository: repository.to_owned(), algorithm }).map_err(|error| Error::internal("begin an upload", error))?;
        std::fs::write(note_of(&path), note).map_err(failed)?;
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
        let state = State { offset: 0, algorithm, hash: Some(Hash::new(algorithm)), over: false };
        let upload = Upload {
            id: id.clone(),
            repository: repository.to_owned(),
            path,
            state: Arc::new(tokio::sync::Mutex::new(state)),
            last: Mutex::new(SystemTime::now()),
        };
        let upload = Arc::new(upload);
        self.all.lock().insert(id, upload.clone());
        Ok(upload)
    }

    /// One of a repository.
    pub(crate) fn get(&self, repository: &str, id: &str) -> Result<Arc<Upload>> {
        self.all.lock().get(id).filter(|upload| upload.repository == repository).cloned().ok_or_else(Error::upload_unknown)
    }

    /// Gives one up.
    pub(crate) async fn cancel(&self, upload: &Arc<Upload>) -> Result<()> {
        let mut state = upload.lock().await?;
        self.end(upload, &mut state);
        Ok(())
    }

    /// Takes more bytes: they are appended, as far as they come. The offset then.
    ///
    /// This goes on when the client's request is dropped, so that what has arrived is accounted for.
    pub(crate) async fn append(self: &Arc<Self>, upload: &Arc<Upload>, chunk: Chunk) -> Result<u64> {
        let (this, upload) = (self.clone(), upload.clone());
        let work = tokio::spawn(async move {
            let mut state = upload.lock().await?;
            let received = this.receive(&upload, &mut state, chunk).await;
            *upload.last.lock() = SystemTime::now();
            received
        });
        work.await.map_err(|error| Error::internal("receive a blob", error))?
    }

    /// Takes the last bytes, and checks that all of them are what the digest says. The file, on disk.
    pub(crate) async fn finish(self: &Arc<Self>, upload: &Arc<Upload>, chunk: Chunk, digest: Digest) -> Result<Finished> {
        let (this, upload) = (self.clone(), upload.clone());
        let work = tokio::spawn(async move {
            let mut state = upload.lock().await?;
            this.receive(&upload, &mut state, chunk).await?;
            let (path, offset, hash) = (upload.path.clone(), state.offset, state.hash.take());
            let wanted = digest.clone();
            let actual = tokio::task::spawn_blocking(move || -> std::io::Result<Digest> {
                let hash = match hash.filter(|hash| hash.algorithm() == wanted.algorithm()) {
                    Some(hash) => hash,
                    None => Hash::of_file(&path, wanted.algorithm(), offset)?,
                };
                std::fs::File::open(&path)?.sync_all()?;
                Ok(hash.digest())
            });
            let actual = actual.await.map_err(|error| Error::internal("finish an upload", error))?.map_err(|error| Error::io("finish an upload", &error))?;
            if actual != digest {
                this.end(&upload, &mut state);
                return Err(Error::digest_invalid(format!("the blob's digest is {actual}, not {digest}")));
            }
            Ok(Finished { path: upload.path.clone(), upload: upload.clone(), state, uploads: this.clone() })
        });
        work.await.map_err(|error| Error::internal("finish an upload", error))?
    }

    async fn receive(&self, upload: &Upload, state: &mut State, chunk: Chunk) -> Result<u64> {
        let place = |error: Error, offset: u64| {
            let range = format!("0-{}", offset.saturating_sub(1));
            error.with(http::header::RANGE, &range).with(http::header::LOCATION, &location(upload))
        };
        if let Some((first, length)) = chunk.range {
            if first != state.offset {
                return Err(place(Error::out_of_order(format!("the next byte is {}, not {first}", state.offset)), state.offset));
            }
            if chunk.length.is_some_and(|sent| sent != length) {
                return Err(Error::size_invalid("Content-Length and Content-Range disagree"));
            }
        }
        if chunk.length.is_some_and(|more| state.offset.saturating_add(more) > self.max_blob) {
            return Err(Error::too_large("the blob", self.max_blob));
        }
        let before = (state.offset, self.hash(upload, state).await?);
        state.hash = Some(before.1.clone());
        let received = self.write(upload, state, chunk.body).await;
        let sent = state.offset - before.0;
        match received {
            Ok(()) => match chunk.range {
                Some((_, length)) if sent != length => {
                    // It is not what was announced: as if it had not come.
                    (state.offset, state.hash) = (before.0, Some(before.1));
                    Err(Error::size_invalid(format!("{sent} bytes came, Content-Range says {length}")))
                }
                _ => Ok(state.offset),
            },
            Err(error) => Err(error),
        }
    }

    async fn hash(&self, upload: &Upload, state: &mut State) -> Result<Hash> {
        if let Some(hash) = &state.hash {
            return Ok(hash.clone());
        }
        let (path, algorithm, offset) = (upload.path.clone(), state.algorithm, state.offset);
        let hash = tokio::task::spawn_blocking(move || Hash::of_file(&path, algorithm, offset)).await;
        hash.map_err(|error| Error::internal("read an upload", error))?.map_err(|error| Error::io("read an upload", &error))
    }

    async fn write(&self, upload: &Upload, state: &mut State, body: Body) -> Result<()> {
        let mut frames = body.into_data_stream();
        // One for all of the request, with room for the frame that fills it.
        let mut buffer: Vec<u8> = Vec::with_capacity(BUFFER + FRAME);
        let mut file = None;
        loop {
            let frame = tokio::time::timeout(self.idle, frames.next()).await;
            let ended = match frame {
                Ok(Some(Ok(bytes))) => {
                    if state.offset + (buffer.len() + bytes.len()) as u64 > self.max_blob {
                        return Err(Error::too_large("the blob", self.max_blob));
                    }
                    buffer.extend_from_slice(&bytes);
                    None
                }
                Ok(None) => Some(Ok(())),
                Ok(Some(Err(error))) => Some(Err(Error::interrupted(format!("the request broke off: {error}")))),
                Err(_) => Some(Err(Error::interrupted("the client did not go on sending"))),
            };
            if buffer.len() >= BUFFER || (ended.is_some() && !buffer.is_empty()) {
                let (path, offset, open) = (upload.path.clone(), state.offset, file.take());
                let hash = state.hash.take().ok_or_else(|| Error::internal("write an upload", "it has no hash"))?;
                let full = std::mem::take(&mut buffer);
                let written = tokio::task::spawn_blocking(move || write(&path, offset, open, hash, full)).await;
                let (open, hash, mut empty) =
                    written.map_err(|error| Error::internal("write an upload", error))?.map_err(|error| Error::io("write an upload", &error))?;
                state.offset += empty.len() as u64;
                state.hash = Some(hash);
                file = Some(open);
                empty.clear();
                buffer = empty;
                *upload.last.lock() = SystemTime::now();
            }
            if let Some(ended) = ended {
                return ended;
            }
        }
    }

    fn end(&self, upload: &Upload, state: &mut State) {
        state.over = true;
        self.all.lock().remove(&upload.id);
        remove(&upload.path);
        remove(&note_of(&upload.path));
    }

    /// Removes those that nobody went on with since a time, and what is left of others; how many.
    pub(crate) fn sweep(&self, before: SystemTime) -> usize {
        let stale: Vec<Arc<Upload>> = self.all.lock().values().filter(|upload| *upload.last.lock() < before).cloned().collect();
        let mut swept = 0;
        for upload in stale {
            // One that is written to is not stale.
            if let Ok(mut state) = upload.state.clone().try_lock_owned() {
                self.end(&upload, &mut state);
                swept += 1;
            }
        }
        for entry in std::fs::read_dir(self.files.uploads()).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            let known = self.all.lock().contains_key(name.trim_end_matches(".json"));
            let old = entry.metadata().and_then(|m| m.modified()).is_ok_and(|at| at < before);
            if !known && old {
                remove(&path);
            }
        }
        swept
    }
}

impl Upload {
    async fn lock(&self) -> Result<OwnedMutexGuard<State>> {
        let state = tokio::time::timeout(BUSY, self.state.clone().lock_owned()).await.map_err(|_| Error::upload_busy())?;
        if state.over { Err(Error::upload_unknown()) } else { Ok(state) }
    }

    /// How many bytes are there.
    pub(crate) async fn offset(&self) -> Result<u64> {
        Ok(self.lock().await?.offset)
    }
}

/// A whole and checked upload, which nobody else touches until this is dropped.
pub(crate) struct Finished {
    pub(crate) path: PathBuf,
    upload: Arc<Upload>,
    state: OwnedMutexGuard<State>,
    uploads: Arc<Uploads>,
}

impl Drop for Finished {
    fn drop(&mut self) {
        self.uploads.end(&self.upload, &mut self.state);
    }
}

/// Where an upload is continued.
pub(crate) fn location(upload: &Upload) -> String {
    format!("/v2/{}/blobs/uploads/{}", upload.repository, upload.id)
}

type Written = (std::fs::File, Hash, Vec<u8>);

fn write(path: &Path, offset: u64, open: Option<std::fs::File>, mut hash: Hash, bytes: Vec<u8>) -> std::io::Result<Written> {
    let mut file = match open {
        Some(file) => file,
        None => {
            let mut file = std::fs::OpenOptions::new().write(true).open(path)?;
            // What stands behind was written by an attempt that does not count.
            file.set_len(offset)?;
            file.seek(SeekFrom::Start(offset))?;
            file
        }
    };
    file.write_all(&bytes)?;
    hash.update(&bytes);
    Ok((file, hash, bytes))
}

fn note_of(path: &Path) -> PathBuf {
    path.with_extension("json")
}

fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::debug!(path = %path.display(), %error, "not removed");
    }
}
