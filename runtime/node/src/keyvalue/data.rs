//! The file: reading, and handing writes to the writer.

use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use tokio::sync::{Semaphore, mpsc, oneshot};
use wharf_engine::{KeyValueError, Versioned, Write, Written};

use super::PAGE;
use super::writer::{Request, What, Writer};

/// (uid of the namespace, bucket, key) → version, value.
pub(super) const VALUES: TableDefinition<(&str, &str, &str), (u64, &[u8])> = TableDefinition::new("values");
/// uid of the namespace → its name, the bytes of its keys and values, its keys.
pub(super) const NAMESPACES: TableDefinition<&str, (&str, u64, u64)> = TableDefinition::new("namespaces");
/// `version` → the newest version.
pub(super) const META: TableDefinition<&str, u64> = TableDefinition::new("meta");

/// redb's cache of pages, in bytes.
const CACHE: usize = 8 << 20;
/// Kibibytes of writes that wait; more wait outside.
const WAITING: u32 = 32 << 10;

/// The open file.
pub(super) struct Data {
    database: Arc<Database>,
    queue: mpsc::UnboundedSender<Request>,
    room: Semaphore,
}

impl Data {
    pub(super) fn open(path: &Path) -> Result<Self, redb::Error> {
        let database = Arc::new(Database::builder().set_cache_size(CACHE).create(path)?);
        let begin = database.begin_write()?;
        begin.open_table(VALUES)?;
        begin.open_table(NAMESPACES)?;
        begin.open_table(META)?;
        begin.commit()?;
        let (queue, requests) = mpsc::unbounded_channel();
        let writer = Writer::new(database.clone())?;
        std::thread::Builder::new().name("keyvalue-writer".into()).spawn(move || writer.run(requests)).map_err(redb::Error::Io)?;
        Ok(Self { database, queue, room: Semaphore::new(WAITING as usize) })
    }

    pub(super) fn get(&self, namespace: &str, bucket: &str, key: &str) -> Result<Option<Versioned>, redb::Error> {
        let values = self.database.begin_read()?.open_table(VALUES)?;
        let found = values.get((namespace, bucket, key))?;
        Ok(found.map(|v| {
            let (version, value) = v.value();
            Versioned { value: value.to_vec(), version }
        }))
    }

    pub(super) fn keys(&self, namespace: &str, bucket: &str, after: Option<&str>) -> Result<(Vec<String>, bool), redb::Error> {
        let values = self.database.begin_read()?.open_table(VALUES)?;
        let start = after.map_or(Bound::Included((namespace, bucket, "")), |after| Bound::Excluded((namespace, bucket, after)));
        let mut keys = vec![];
        for entry in values.range((start, Bound::Unbounded))? {
            let (at, _) = entry?;
            let (n, b, key) = at.value();
            if (n, b) != (namespace, bucket) {
                break;
            }
            if keys.len() == PAGE {
                return Ok((keys, true));
            }
            keys.push(key.to_owned());
        }
        Ok((keys, false))
    }

    /// The namespaces that have, or had, buckets: uid and name.
    pub(super) fn namespaces(&self) -> Result<Vec<(String, String)>, redb::Error> {
        let table = self.database.begin_read()?.open_table(NAMESPACES)?;
        let mut all = vec![];
        for entry in table.iter()? {
            let (uid, of) = entry?;
            all.push((uid.value().to_owned(), of.value().0.to_owned()));
        }
        Ok(all)
    }

    pub(super) async fn write(&self, namespace: &str, bucket: &str, write: Write) -> Result<Written, KeyValueError> {
        let bytes = match &write {
            Write::Set(all) => all.iter().map(|(k, v)| k.len() + v.len()).sum(),
            Write::Delete(keys) => keys.iter().map(String::len).sum(),
            Write::Add { key, .. } => key.len(),
            Write::Swap { key, value, .. } => key.len() + value.len(),
        };
        self.ask(bytes, What::Write { namespace: namespace.to_owned(), bucket: bucket.to_owned(), write }).await
    }

    /// A namespace is there, by this name; what is left of others that had the name goes.
    pub(super) async fn adopt(&self, uid: &str, name: &str) -> Result<(), KeyValueError> {
        self.ask(0, What::Adopt { uid: uid.to_owned(), name: name.to_owned() }).await.map(|_| ())
    }

    /// A namespace is gone.
    pub(super) async fn forget(&self, uid: &str) -> Result<(), KeyValueError> {
        self.ask(0, What::Forget { uid: uid.to_owned() }).await.map(|_| ())
    }

    async fn ask(&self, bytes: usize, what: What) -> Result<Written, KeyValueError> {
        let gone = || KeyValueError::Other("the node is shutting down".into());
        let size = u32::try_from(bytes >> 10).unwrap_or(WAITING).saturating_add(1).min(WAITING);
        let _room = self.room.acquire_many(size).await.map_err(|_| gone())?;
        let (reply, answer) = oneshot::channel();
        self.queue.send(Request { what, reply }).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}
