//! The one thread that writes: all that waits goes into one transaction and one fsync, and is answered after it.

use std::collections::HashMap;
use std::sync::Arc;

use redb::{Database, ReadableDatabase, ReadableTable, Table};
use tokio::sync::{mpsc, oneshot};
use wharf_engine::{KeyValueError, Write, Written};

use super::data::{META, NAMESPACES, VALUES};
use super::{MAX_KEY, MAX_KEYS, MAX_NAMESPACE, MAX_TOTAL, MAX_VALUE};

/// Requests in one transaction.
const BATCH: usize = 256;

pub(super) struct Request {
    pub(super) what: What,
    pub(super) reply: oneshot::Sender<Result<Written, KeyValueError>>,
}

pub(super) enum What {
    Write { namespace: String, bucket: String, write: Write },
    Adopt { uid: String, name: String },
    Forget { uid: String },
}

#[derive(Clone)]
struct Namespace {
    name: String,
    bytes: u64,
    keys: u64,
}

pub(super) struct Writer {
    database: Arc<Database>,
    namespaces: HashMap<String, Namespace>,
    version: u64,
}

type Values<'t> = Table<'t, (&'static str, &'static str, &'static str), (u64, &'static [u8])>;

impl Writer {
    pub(super) fn new(database: Arc<Database>) -> Result<Self, redb::Error> {
        let read = database.begin_read()?;
        let version = read.open_table(META)?.get("version")?.map_or(0, |v| v.value());
        let mut namespaces = HashMap::new();
        for entry in read.open_table(NAMESPACES)?.iter()? {
            let (uid, of) = entry?;
            let (name, bytes, keys) = of.value();
            namespaces.insert(uid.value().to_owned(), Namespace { name: name.to_owned(), bytes, keys });
        }
        Ok(Self { database, namespaces, version })
    }

    pub(super) fn run(mut self, mut requests: mpsc::UnboundedReceiver<Request>) {
        while let Some(first) = requests.blocking_recv() {
            let mut batch = vec![first];
            while batch.len() < BATCH
                && let Ok(next) = requests.try_recv()
            {
                batch.push(next);
            }
            let (whats, replies): (Vec<_>, Vec<_>) = batch.into_iter().map(|r| (r.what, r.reply)).unzip();
            let before = (self.namespaces.clone(), self.version);
            let answers = self.commit(whats).unwrap_or_else(|e| {
                tracing::error!(error = %e, "key-value data");
                (self.namespaces, self.version) = before;
                vec![Err(other(e.to_string())); replies.len()]
            });
            for (reply, answer) in replies.into_iter().zip(answers) {
                let _ = reply.send(answer);
            }
        }
    }

    /// A refused write has changed nothing; an error of the file undoes them all.
    fn commit(&mut self, whats: Vec<What>) -> Result<Vec<Result<Written, KeyValueError>>, redb::Error> {
        let transaction = self.database.begin_write()?;
        let mut answers = vec![];
        {
            let mut values = transaction.open_table(VALUES)?;
            for what in whats {
                answers.push(match what {
                    What::Write { namespace, bucket, write } => self.write(&mut values, &namespace, &bucket, write)?,
                    What::Adopt { uid, name } => {
                        let old: Vec<String> = self.namespaces.iter().filter(|(u, n)| **u != uid && n.name == name).map(|(u, _)| u.clone()).collect();
                        for old in old {
                            self.forget(&mut values, &old)?;
                        }
                        self.namespaces.entry(uid).or_insert(Namespace { name, bytes: 0, keys: 0 });
                        Ok(Written::Done)
                    }
                    What::Forget { uid } => {
                        self.forget(&mut values, &uid)?;
                        Ok(Written::Done)
                    }
                });
            }
            let mut namespaces = transaction.open_table(NAMESPACES)?;
            namespaces.retain(|uid, _| self.namespaces.contains_key(uid))?;
            for (uid, n) in &self.namespaces {
                namespaces.insert(uid.as_str(), (n.name.as_str(), n.bytes, n.keys))?;
            }
            transaction.open_table(META)?.insert("version", self.version)?;
        }
        transaction.commit()?;
        Ok(answers)
    }

    fn forget(&mut self, values: &mut Values<'_>, uid: &str) -> Result<(), redb::Error> {
        self.namespaces.remove(uid);
        // No uid has the next character in it.
        let end = format!("{uid}\u{1}");
        values.retain_in((uid, "", "")..(end.as_str(), "", ""), |_, _| false)?;
        Ok(())
    }

    fn write(&mut self, values: &mut Values<'_>, namespace: &str, bucket: &str, write: Write) -> Result<Result<Written, KeyValueError>, redb::Error> {
        match write {
            Write::Set(all) => Ok(self.set(values, namespace, bucket, &all)?.map(|()| Written::Done)),
            Write::Delete(keys) => {
                for key in keys {
                    let Some(old) = values.remove((namespace, bucket, key.as_str()))?.map(|v| v.value().1.len()) else { continue };
                    if let Some(n) = self.namespaces.get_mut(namespace) {
                        n.bytes = n.bytes.saturating_sub((key.len() + old) as u64);
                        n.keys = n.keys.saturating_sub(1);
                    }
                }
                Ok(Ok(Written::Done))
            }
            Write::Add { key, delta, least, most } => {
                let found = values.get((namespace, bucket, key.as_str()))?;
                let now = found.map_or(Some(0), |v| std::str::from_utf8(v.value().1).ok()?.trim().parse::<i128>().ok());
                let Some(now) = now else { return Ok(Err(other(format!("the value of {key:?} is no decimal number")))) };
                let sum = now.saturating_add(delta);
                if !(least..=most).contains(&sum) {
                    return Ok(Err(other(format!("{now} + {delta} is not within {least} and {most}"))));
                }
                Ok(self.set(values, namespace, bucket, &[(key, sum.to_string().into_bytes())])?.map(|()| Written::Sum(sum)))
            }
            Write::Swap { key, version, value } => {
                let now = values.get((namespace, bucket, key.as_str()))?.map(|v| v.value().0);
                if now != version {
                    return Ok(Ok(Written::Changed));
                }
                Ok(self.set(values, namespace, bucket, &[(key, value)])?.map(|()| Written::Done))
            }
        }
    }

    fn set(&mut self, values: &mut Values<'_>, namespace: &str, bucket: &str, all: &[(String, Vec<u8>)]) -> Result<Result<(), KeyValueError>, redb::Error> {
        let Some(mut n) = self.namespaces.get(namespace).cloned() else { return Ok(Err(KeyValueError::NoSuchStore)) };
        // The last of several values of one key is the one that counts.
        let last: HashMap<&str, &[u8]> = all.iter().map(|(k, v)| (k.as_str(), v.as_slice())).collect();
        let before = n.bytes;
        for (key, value) in &last {
            if let Err(refused) = bounded(key, value) {
                return Ok(Err(refused));
            }
            match values.get((namespace, bucket, *key))?.map(|v| v.value().1.len()) {
                Some(old) => n.bytes = n.bytes.saturating_sub(old as u64),
                None => (n.bytes, n.keys) = (n.bytes + key.len() as u64, n.keys + 1),
            }
            n.bytes += value.len() as u64;
        }
        if n.bytes > before {
            if n.bytes > MAX_NAMESPACE {
                return Ok(Err(other(format!("the namespace's data would be larger than {MAX_NAMESPACE} bytes"))));
            }
            if self.namespaces.values().map(|n| n.bytes).sum::<u64>() - before + n.bytes > MAX_TOTAL {
                return Ok(Err(other(format!("all data of this machine would be larger than {MAX_TOTAL} bytes"))));
            }
        }
        if n.keys > MAX_KEYS {
            return Ok(Err(other(format!("the namespace would have more than {MAX_KEYS} keys"))));
        }
        for (key, value) in last {
            self.version += 1;
            values.insert((namespace, bucket, key), (self.version, value))?;
        }
        self.namespaces.insert(namespace.to_owned(), n);
        Ok(Ok(()))
    }
}

fn bounded(key: &str, value: &[u8]) -> Result<(), KeyValueError> {
    match () {
        () if key.is_empty() => Err(other("a key cannot be empty".into())),
        () if key.len() > MAX_KEY => Err(other(format!("a key of {} bytes: at most {MAX_KEY} are allowed", key.len()))),
        () if value.len() > MAX_VALUE => Err(other(format!("a value of {} bytes: at most {MAX_VALUE} are allowed", value.len()))),
        () => Ok(()),
    }
}

fn other(words: String) -> KeyValueError {
    KeyValueError::Other(words)
}
