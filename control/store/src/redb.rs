//! The embedded store: redb under one writer thread with group commit.
//!
//! All writes that wait when the writer comes round go into one transaction and one fsync; each is
//! checked against those before it in the batch, and acknowledged after the fsync. Nothing but this
//! thread touches the database after it was opened.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition};
use tokio::sync::{Semaphore, oneshot};

use crate::cache::WatchCache;
use crate::history::Limits;
use crate::item::{Event, EventKind, Item};
use crate::rest::{self, Rest};
use crate::write::{Expect, Store, Write, WriteError};

/// key → revision (8 bytes, little endian), offset of the revision in the JSON (4), JSON.
const OBJECTS: TableDefinition<&str, &[u8]> = TableDefinition::new("objects");
/// `revision` → the newest revision, for when the newest write was a deletion; `format` → [`FORMAT`].
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
const FORMAT: u64 = 1;
const HEADER: usize = 12;

/// Writes that may wait at once; more wait outside.
const QUEUE: usize = 4096;
/// Writes in one transaction.
const BATCH: usize = 512;
/// How often history is trimmed while nobody writes.
const IDLE: Duration = Duration::from_secs(30);
/// How long the writer sleeps when there is nothing to write or to pack.
const NAP: Duration = Duration::from_secs(1);

/// How a store is opened.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How much history watches can go back to.
    pub history: Limits,
    /// redb's page cache, in bytes. Reads do not go to it, so it stays small.
    pub page_cache: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options { history: Limits::default(), page_cache: 3 << 20 }
    }
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("{0} is in use by another process")]
    InUse(PathBuf),
    /// Written by a version that this one does not know.
    #[error("{path} has format {found}, this version reads {FORMAT}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What it says of itself.
        found: u64,
    },
    /// A record is shorter than its header.
    #[error("{path}: the record of {key} is damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Whose record.
        key: String,
    },
    /// redb's own error.
    #[error("open {path}: {error}")]
    Database {
        /// The file.
        path: PathBuf,
        /// What redb says.
        error: Box<redb::Error>,
    },
    /// The folder or the thread could not be made.
    #[error("open {path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
}

/// A commit that takes longer is worth a line in the log; etcd's bound.
const SLOW: Duration = Duration::from_millis(100);

type Reply = oneshot::Sender<Result<Arc<Item>, WriteError>>;

struct Request {
    write: Write,
    reply: Reply,
}

/// The embedded store.
pub struct RedbStore {
    cache: WatchCache,
    /// None once closed.
    queue: Mutex<Option<Sender<Request>>>,
    room: Semaphore,
    writer: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl RedbStore {
    /// Opens, or makes, the store in the file `path`. Reads everything into memory.
    pub fn open(path: &Path, options: Options) -> Result<RedbStore, OpenError> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| OpenError::Io { path: path.into(), error })?;
        }
        let database = open_database(path, options.page_cache)?;
        let (items, revision) = load(&database, path)?;
        tracing::info!(path = %path.display(), objects = items.len(), revision, "store opened");
        let mut rest = Rest::default();
        let now = Instant::now();
        items.iter().for_each(|item| rest.add(item, now));
        let cache = WatchCache::new(items, revision, options.history);
        let (queue, requests) = channel();
        let writer = Writer { database, cache: cache.clone(), revision, rest };
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || writer.run(&requests))
            .map_err(|error| OpenError::Io { path: path.into(), error })?;
        Ok(RedbStore { cache, queue: Mutex::new(Some(queue)), room: Semaphore::new(QUEUE), writer: Mutex::new(Some(thread)) })
    }
}

#[async_trait]
impl Store for RedbStore {
    async fn write(&self, write: Write) -> Result<Arc<Item>, WriteError> {
        if write.value.as_ref().is_some_and(|value| value.revision_at > value.json.len()) {
            return Err(WriteError::Malformed);
        }
        let _room = self.room.acquire().await.map_err(|_| WriteError::Closed)?;
        let (reply, answer) = oneshot::channel();
        {
            let queue = self.queue.lock();
            let sender = queue.as_ref().ok_or(WriteError::Closed)?;
            sender.send(Request { write, reply }).map_err(|_| WriteError::Closed)?;
        }
        answer.await.unwrap_or(Err(WriteError::Closed))
    }

    fn cache(&self) -> &WatchCache {
        &self.cache
    }

    async fn refresh(&self) -> Result<u64, WriteError> {
        // This process is the only writer, and the cache is ahead of every acknowledgement.
        Ok(self.cache.revision())
    }

    async fn close(&self) {
        drop(self.queue.lock().take());
        let writer = self.writer.lock().take();
        if let Some(writer) = writer {
            let joined = tokio::task::spawn_blocking(move || writer.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                tracing::error!("the store's writer ended badly");
            }
        }
    }
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        drop(self.queue.lock().take());
        if let Some(writer) = self.writer.lock().take() {
            let _ = writer.join();
        }
    }
}

struct Writer {
    database: Database,
    cache: WatchCache,
    revision: u64,
    rest: Rest,
}

impl Writer {
    fn run(mut self, requests: &Receiver<Request>) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut trimmed = Instant::now();
        loop {
            batch.extend(requests.try_recv());
            // What is old is packed while nobody waits.
            let old = Instant::now().checked_sub(rest::AGE);
            while batch.is_empty() && old.is_some_and(|old| self.rest.pack(old)) {
                batch.extend(requests.try_recv());
            }
            if batch.is_empty() {
                match requests.recv_timeout(NAP) {
                    Ok(request) => batch.push(request),
                    Err(RecvTimeoutError::Timeout) => {
                        if trimmed.elapsed() > IDLE {
                            self.cache.trim();
                            trimmed = Instant::now();
                        }
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
            while batch.len() < BATCH
                && let Ok(request) = requests.try_recv()
            {
                batch.push(request);
            }
            self.commit(&mut batch);
        }
    }

    /// Decides, writes, shows and acknowledges one batch, in this order.
    fn commit(&mut self, batch: &mut Vec<Request>) {
        let mut events: Vec<Arc<Event>> = Vec::with_capacity(batch.len());
        let mut replies: Vec<Reply> = Vec::with_capacity(batch.len());
        let mut pending: HashMap<Arc<str>, Option<Arc<Item>>> = HashMap::new();
        let mut revision = self.revision;
        for Request { write, reply } in batch.drain(..) {
            let current = match pending.get(&write.key) {
                Some(current) => current.clone(),
                None => self.cache.get(&write.key),
            };
            match decide(&write, current, revision + 1) {
                Ok(event) => {
                    revision += 1;
                    let left = (event.kind != EventKind::Deleted).then(|| event.item.clone());
                    pending.insert(write.key, left);
                    events.push(Arc::new(event));
                    replies.push(reply);
                }
                Err(error) => {
                    // Whoever asked may have gone.
                    let _ = reply.send(Err(error));
                }
            }
        }
        if events.is_empty() {
            return;
        }
        let began = Instant::now();
        let persisted = self.persist(&pending, revision);
        if began.elapsed() > SLOW {
            tracing::info!(took = ?began.elapsed(), expected = ?SLOW, writes = events.len(), revision, "apply request took too long");
        }
        if let Err(error) = persisted {
            tracing::error!(%error, writes = events.len(), "commit failed, nothing of the batch was written");
            let error = WriteError::Unavailable(error.to_string());
            for reply in replies {
                let _ = reply.send(Err(error.clone()));
            }
            return;
        }
        self.revision = revision;
        let items: Vec<Arc<Item>> = events.iter().map(|event| event.item.clone()).collect();
        let now = Instant::now();
        items.iter().for_each(|item| self.rest.add(item, now));
        self.cache.apply(events);
        for (reply, item) in replies.into_iter().zip(items) {
            let _ = reply.send(Ok(item));
        }
    }

    /// One transaction, one fsync. Only the last state of each key in the batch is written.
    fn persist(&self, pending: &HashMap<Arc<str>, Option<Arc<Item>>>, revision: u64) -> Result<(), redb::Error> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_quick_repair(false);
        {
            let mut objects = transaction.open_table(OBJECTS)?;
            let mut record = Vec::with_capacity(1024);
            for (key, item) in pending {
                match item {
                    Some(item) => {
                        record.clear();
                        record.extend_from_slice(&item.revision().to_le_bytes());
                        record.extend_from_slice(&item.revision_at().to_le_bytes());
                        record.extend_from_slice(&item.json());
                        objects.insert(&**key, &record[..])?;
                    }
                    None => {
                        objects.remove(&**key)?;
                    }
                }
            }
            // The newest revision is that of some object, unless the newest write was a deletion.
            if pending.values().any(Option::is_none) {
                transaction.open_table(META)?.insert("revision", revision)?;
            }
        }
        transaction.commit()?;
        Ok(())
    }
}

/// What a write does to the current version, or why it may not.
fn decide(write: &Write, current: Option<Arc<Item>>, revision: u64) -> Result<Event, WriteError> {
    let current = match (write.expect, current) {
        (Expect::Absent, Some(current)) => return Err(WriteError::Exists(current)),
        (Expect::Absent, None) => None,
        (_, None) => return Err(WriteError::NotFound),
        (Expect::Revision(wanted), Some(current)) if current.revision() != wanted => return Err(WriteError::Conflict(current)),
        (_, current) => current,
    };
    match (&write.value, current) {
        (Some(value), previous) => {
            let kind = if previous.is_some() { EventKind::Modified } else { EventKind::Added };
            Ok(Event { kind, item: Arc::new(Item::new(write.key.clone(), revision, kind, value)), previous })
        }
        (None, Some(previous)) => Ok(Event { kind: EventKind::Deleted, item: Arc::new(previous.deleted(revision)), previous: Some(previous) }),
        (None, None) => Err(WriteError::NotFound),
    }
}

fn open_database(path: &Path, page_cache: usize) -> Result<Database, OpenError> {
    let failed = |error: redb::Error| OpenError::Database { path: path.into(), error: Box::new(error) };
    let patience = Instant::now() + Duration::from_secs(2);
    let database = loop {
        match Database::builder().set_cache_size(page_cache).create(path) {
            Ok(database) => break database,
            // The lock of a process that was just killed can outlive it for a moment.
            Err(DatabaseError::DatabaseAlreadyOpen) if Instant::now() < patience => std::thread::sleep(Duration::from_millis(50)),
            Err(DatabaseError::DatabaseAlreadyOpen) => return Err(OpenError::InUse(path.into())),
            Err(error) => return Err(failed(error.into())),
        }
    };
    private(path)?;
    let prepare = || -> Result<Option<u64>, redb::Error> {
        let transaction = database.begin_write()?;
        let found = {
            transaction.open_table(OBJECTS)?;
            let mut meta = transaction.open_table(META)?;
            let found = meta.get("format")?.map(|format| format.value());
            if found.is_none() {
                meta.insert("format", FORMAT)?;
            }
            found
        };
        transaction.commit()?;
        Ok(found)
    };
    match prepare().map_err(failed)? {
        Some(found) if found != FORMAT => Err(OpenError::Format { path: path.into(), found }),
        _ => Ok(database),
    }
}

/// The file holds Secrets.
fn private(path: &Path) -> Result<(), OpenError> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(|error| OpenError::Io { path: path.into(), error })
}

/// Every object, and the newest revision. The only read transaction there ever is, ended before the first write.
fn load(database: &Database, path: &Path) -> Result<(Vec<Arc<Item>>, u64), OpenError> {
    // The inner error is the key of a damaged record.
    type Loaded = Result<(Vec<Arc<Item>>, u64), String>;
    let read = || -> Result<Loaded, redb::Error> {
        let transaction = database.begin_read()?;
        let mut newest = transaction.open_table(META)?.get("revision")?.map_or(1, |revision| revision.value());
        let mut items = Vec::new();
        for entry in transaction.open_table(OBJECTS)?.iter()? {
            let (key, record) = entry?;
            let (key, record) = (key.value(), record.value());
            let Some(item) = parse(key, record) else { return Ok(Err(key.to_owned())) };
            newest = newest.max(item.revision());
            items.push(Arc::new(item));
        }
        Ok(Ok((items, newest)))
    };
    match read() {
        Ok(Ok(loaded)) => Ok(loaded),
        Ok(Err(key)) => Err(OpenError::Damaged { path: path.into(), key }),
        Err(error) => Err(OpenError::Database { path: path.into(), error: Box::new(error) }),
    }
}

fn parse(key: &str, record: &[u8]) -> Option<Item> {
    let revision = u64::from_le_bytes(record.get(..8)?.try_into().ok()?);
    let revision_at = u32::from_le_bytes(record.get(8..HEADER)?.try_into().ok()?);
    let json = &record[HEADER..];
    let digits = revision.to_string();
    let found = json.get(revision_at as usize..)?.starts_with(digits.as_bytes());
    found.then(|| Item::loaded(key.into(), revision, json, revision_at))
}
