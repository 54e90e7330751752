//! What is where: repositories, their blobs, manifests, tags and referrers, in one redb file.
//!
//! redb has one writer at a time. Whoever puts a blob's file in its place or takes one away does so within a write transaction, so that
//! a collection and a push never see each other half done. A commit is on disk when it returns.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Bound;
use std::path::{Path, PathBuf};

use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use serde::de::DeserializeOwned;

use crate::manifest::{Blobs, Record, Relations};
use crate::names::{Digest, Reference};

/// repository → when it was first seen
const REPOSITORIES: TableDefinition<&str, u64> = TableDefinition::new("repositories");
/// (repository, blob) → when it was pushed, mounted or last asked for
const LINKS: TableDefinition<(&str, &str), u64> = TableDefinition::new("links");
/// (digest, repository): whose file it is, blobs and manifests alike
const HOLDERS: TableDefinition<(&str, &str), ()> = TableDefinition::new("holders");
/// (repository, manifest) → [`Record`]
const MANIFESTS: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("manifests");
/// (repository, tag) → manifest
const TAGS: TableDefinition<(&str, &str), &str> = TableDefinition::new("tags");
/// (repository, manifest, tag)
const TAGS_OF: TableDefinition<(&str, &str, &str), ()> = TableDefinition::new("tags-of");
/// (repository, subject, manifest)
const REFERRERS: TableDefinition<(&str, &str, &str), ()> = TableDefinition::new("referrers");

/// Reads go through a page cache of this size.
const PAGE_CACHE: usize = 4 << 20;

/// Why the index could not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IndexError {
    #[error(transparent)]
    Database(#[from] Box<redb::Error>),
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("the record of {0} is damaged")]
    Damaged(String),
}

/// `?` of redb's many error types.
macro_rules! from_redb {
    ($($error:ty),*) => {$(
        impl From<$error> for IndexError {
            fn from(error: $error) -> IndexError {
                IndexError::Database(Box::new(error.into()))
            }
        }
    )*};
}
from_redb!(redb::DatabaseError, redb::TransactionError, redb::TableError, redb::StorageError, redb::CommitError);

pub(crate) type Result<T> = std::result::Result<T, IndexError>;

/// What a push of a manifest needs of the index.
pub(crate) struct NewManifest<'a> {
    pub(crate) repository: &'a str,
    pub(crate) digest: &'a Digest,
    pub(crate) record: &'a Record,
    pub(crate) tags: &'a [String],
}

/// What became of a deletion.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Deleted {
    Done,
    Unknown,
    /// A manifest refers to it.
    Referenced(Digest),
}

pub(crate) struct Index {
    database: Database,
}

impl Index {
    pub(crate) fn open(file: &Path) -> Result<Index> {
        let database = Database::builder().set_cache_size(PAGE_CACHE).create(file)?;
        let transaction = database.begin_write()?;
        transaction.open_table(REPOSITORIES)?;
        transaction.open_table(LINKS)?;
        transaction.open_table(HOLDERS)?;
        transaction.open_table(MANIFESTS)?;
        transaction.open_table(TAGS)?;
        transaction.open_table(TAGS_OF)?;
        transaction.open_table(REFERRERS)?;
        transaction.commit()?;
        Ok(Index { database })
    }

    fn read(&self) -> Result<ReadTransaction> {
        Ok(self.database.begin_read()?)
    }

    /// When a blob of a repository was last asked for by a pusher; `None`: it is not there.
    pub(crate) fn blob(&self, repository: &str, digest: &Digest) -> Result<Option<u64>> {
        Ok(self.read()?.open_table(LINKS)?.get((repository, digest.as_str()))?.map(|at| at.value()))
    }

    /// Makes a blob one of the repository's; `place` puts its file where it belongs.
    pub(crate) fn link(&self, repository: &str, digest: &Digest, now: u64, place: impl FnOnce() -> std::io::Result<()>) -> Result<()> {
        let transaction = self.database.begin_write()?;
        place()?;
        link(&transaction, repository, digest, now)?;
        Ok(transaction.commit()?)
    }

    /// Remembers that a pusher asked for a blob, which therefore stays for a while.
    pub(crate) fn touch(&self, repository: &str, digest: &Digest, now: u64) -> Result<()> {
        let transaction = self.database.begin_write()?;
        {
            let mut links = transaction.open_table(LINKS)?;
            let known = links.get((repository, digest.as_str()))?.is_some();
            if known {
                links.insert((repository, digest.as_str()), now)?;
            }
        }
        Ok(transaction.commit()?)
    }

    /// A repository that has the blob, of those that `may` be read.
    pub(crate) fn holder(&self, digest: &Digest, may: impl Fn(&str) -> bool) -> Result<Option<String>> {
        let transaction = self.read()?;
        let (holders, links) = (transaction.open_table(HOLDERS)?, transaction.open_table(LINKS)?);
        for entry in holders.range((digest.as_str(), "")..)? {
            let (key, _) = entry?;
            let (found, repository) = key.value();
            if found != digest.as_str() {
                break;
            }
            if links.get((repository, digest.as_str()))?.is_some() && may(repository) {
                return Ok(Some(repository.to_owned()));
            }
        }
        Ok(None)
    }

    /// Makes a blob of one repository one of another's as well; `false`: the first does not have it.
    pub(crate) fn mount(&self, from: &str, to: &str, digest: &Digest, now: u64) -> Result<bool> {
        let transaction = self.database.begin_write()?;
        let known = transaction.open_table(LINKS)?.get((from, digest.as_str()))?.is_some();
        if known {
            link(&transaction, to, digest, now)?;
        }
        transaction.commit()?;
        Ok(known)
    }

    /// What a tag or digest leads to.
    pub(crate) fn manifest(&self, repository: &str, reference: &Reference) -> Result<Option<(Digest, Record)>> {
        let transaction = self.read()?;
        let digest = match reference {
            Reference::Digest(digest) => digest.clone(),
            Reference::Tag(tag) => match transaction.open_table(TAGS)?.get((repository, tag.as_str()))? {
                Some(digest) => stored_digest(digest.value())?,
                None => return Ok(None),
            },
        };
        let record = match transaction.open_table(MANIFESTS)?.get((repository, digest.as_str()))? {
            Some(record) => read_record(record.value(), digest.as_str())?,
            None => return Ok(None),
        };
        Ok(Some((digest, record)))
    }

    /// Puts a manifest and its tags into a repository; `Err` inside: what it refers to and is not there.
    pub(crate) fn put_manifest(
        &self,
        new: &NewManifest<'_>,
        now: u64,
        place: impl FnOnce() -> std::io::Result<()>,
    ) -> Result<std::result::Result<(), Vec<String>>> {
        let NewManifest { repository, digest, record, tags } = *new;
        let transaction = self.database.begin_write()?;
        {
            let (links, mut manifests) = (transaction.open_table(LINKS)?, transaction.open_table(MANIFESTS)?);
            let mut missing = Vec::new();
            for blob in &record.blobs {
                if links.get((repository, blob.as_str()))?.is_none() {
                    missing.push(blob.to_string());
                }
            }
            for manifest in &record.manifests {
                if manifests.get((repository, manifest.as_str()))?.is_none() {
                    missing.push(manifest.to_string());
                }
            }
            if !missing.is_empty() {
                return Ok(Err(missing));
            }
            place()?;
            let bytes = serde_json::to_vec(record).map_err(|error| IndexError::Damaged(error.to_string()))?;
            manifests.insert((repository, digest.as_str()), bytes.as_slice())?;
        }
        hold(&transaction, repository, digest, now)?;
        if let Some(subject) = &record.subject {
            transaction.open_table(REFERRERS)?.insert((repository, subject.as_str(), digest.as_str()), ())?;
        }
        for tag in tags {
            set_tag(&transaction, repository, tag, digest, now)?;
        }
        transaction.commit()?;
        Ok(Ok(()))
    }

    /// Up to `n` tags after `last`, and whether there are more; `None`: no such repository.
    pub(crate) fn tags(&self, repository: &str, last: Option<&str>, n: usize) -> Result<Option<(Vec<String>, bool)>> {
        let transaction = self.read()?;
        if transaction.open_table(REPOSITORIES)?.get(repository)?.is_none() {
            return Ok(None);
        }
        let table = transaction.open_table(TAGS)?;
        let from = last.map_or(Bound::Included((repository, "")), |last| Bound::Excluded((repository, last)));
        let mut tags = Vec::new();
        for entry in table.range::<(&str, &str)>((from, Bound::Unbounded))? {
            let (key, _) = entry?;
            let (name, tag) = key.value();
            if name != repository {
                break;
            }
            if tags.len() == n {
                return Ok(Some((tags, true)));
            }
            tags.push(tag.to_owned());
        }
        Ok(Some((tags, false)))
    }

    /// Up to `n` repositories after `last` that `may` be seen, and whether there are more.
    pub(crate) fn repositories(&self, last: Option<&str>, n: usize, may: impl Fn(&str) -> bool) -> Result<(Vec<String>, bool)> {
        let transaction = self.read()?;
        let table = transaction.open_table(REPOSITORIES)?;
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        let mut found = Vec::new();
        for entry in table.range::<&str>((from, Bound::Unbounded))? {
            let (name, _) = entry?;
            if !may(name.value()) {
                continue;
            }
            if found.len() == n {
                return Ok((found, true));
            }
            found.push(name.value().to_owned());
        }
        Ok((found, false))
    }

    /// Manifests that have this subject, after `last`, until `take` has enough; whether there are more.
    pub(crate) fn referrers(&self, repository: &str, subject: &Digest, last: Option<&str>, mut take: impl FnMut(Digest, Record) -> bool) -> Result<bool> {
        let transaction = self.read()?;
        let (referrers, manifests) = (transaction.open_table(REFERRERS)?, transaction.open_table(MANIFESTS)?);
        let from = Bound::Excluded((repository, subject.as_str(), last.unwrap_or("")));
        for entry in referrers.range::<(&str, &str, &str)>((from, Bound::Unbounded))? {
            let (key, ()) = (entry?.0, ());
            let (name, of, digest) = key.value();
            if name != repository || of != subject.as_str() {
                break;
            }
            let Some(record) = manifests.get((repository, digest))? else { continue };
            if !take(stored_digest(digest)?, read_record(record.value(), digest)?) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes a tag away; the manifest stays.
    pub(crate) fn delete_tag(&self, repository: &str, tag: &str, now: u64) -> Result<Deleted> {
        let transaction = self.database.begin_write()?;
        let known = remove_tag(&transaction, repository, tag, now)?;
        transaction.commit()?;
        Ok(if known { Deleted::Done } else { Deleted::Unknown })
    }

    /// Takes a manifest and all its tags away.
    pub(crate) fn delete_manifest(&self, repository: &str, digest: &Digest) -> Result<Deleted> {
        let transaction = self.database.begin_write()?;
        let known = remove_manifest(&transaction, repository, digest)?;
        transaction.commit()?;
        Ok(if known { Deleted::Done } else { Deleted::Unknown })
    }

    /// Takes a blob out of a repository, unless a manifest needs it.
    pub(crate) fn delete_blob(&self, repository: &str, digest: &Digest) -> Result<Deleted> {
        let transaction = self.database.begin_write()?;
        if transaction.open_table(LINKS)?.get((repository, digest.as_str()))?.is_none() {
            return Ok(Deleted::Unknown);
        }
        let mut needs = None;
        each_manifest(&transaction, repository, |manifest, bytes| {
            if needs.is_none() && read::<Blobs>(bytes, manifest.as_str())?.blobs.contains(digest) {
                needs = Some(manifest);
            }
            Ok(())
        })?;
        if let Some(manifest) = needs {
            return Ok(Deleted::Referenced(manifest));
        }
        unlink(&transaction, repository, digest)?;
        transaction.commit()?;
        Ok(Deleted::Done)
    }

    /// The repositories' names.
    pub(crate) fn all_repositories(&self) -> Result<Vec<String>> {
        Ok(self.repositories(None, usize::MAX, |_| true)?.0)
    }

    /// Whether any manifest without a tag is older than that.
    pub(crate) fn has_old_untagged(&self, before: u64) -> Result<bool> {
        let transaction = self.read()?;
        let tags = transaction.open_table(TAGS)?;
        let mut tags_of: Option<(String, BTreeSet<Digest>)> = None;
        for entry in transaction.open_table(MANIFESTS)?.iter()? {
            let (key, record) = entry?;
            let (repository, digest) = key.value();
            if read::<Relations>(record.value(), digest)?.since >= before {
                continue;
            }
            if tags_of.as_ref().is_none_or(|(name, _)| name != repository) {
                tags_of = Some((repository.to_owned(), tagged(&tags, repository)?));
            }
            let digest = stored_digest(digest)?;
            if tags_of.as_ref().is_some_and(|(_, tagged)| !tagged.contains(&digest)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Sweeps one repository: untagged manifests that nobody needs and that are older than `manifests_before`, blobs that no manifest
    /// needs and that nobody asked for since `blobs_before`, and the repository itself when nothing is left. How many of each.
    pub(crate) fn sweep(&self, repository: &str, manifests_before: Option<u64>, blobs_before: u64, in_use: &HashSet<Digest>) -> Result<(usize, usize)> {
        let transaction = self.database.begin_write()?;
        let mut manifests = BTreeMap::new();
        each_manifest(&transaction, repository, |digest, bytes| {
            let relations: Relations = read(bytes, digest.as_str())?;
            manifests.insert(digest, relations);
            Ok(())
        })?;
        let tagged: BTreeSet<Digest> = tagged(&transaction.open_table(TAGS)?, repository)?;
        let kept = kept(&manifests, |digest, record| {
            tagged.contains(digest) || in_use.contains(digest) || manifests_before.is_none_or(|before| record.since >= before)
        });
        let mut swept = (0, 0);
        for digest in manifests.keys().filter(|digest| !kept.contains(*digest)) {
            remove_manifest(&transaction, repository, digest)?;
            swept.0 += 1;
        }
        let mut old = BTreeSet::new();
        for entry in transaction.open_table(LINKS)?.range((repository, "")..)? {
            let (key, at) = entry?;
            let (name, digest) = key.value();
            if name != repository {
                break;
            }
            if at.value() < blobs_before {
                old.insert(stored_digest(digest)?);
            }
        }
        each_manifest(&transaction, repository, |digest, bytes| {
            read::<Blobs>(bytes, digest.as_str())?.blobs.iter().for_each(|needed| {
                old.remove(needed);
            });
            Ok(())
        })?;
        for digest in &old {
            unlink(&transaction, repository, digest)?;
            swept.1 += 1;
        }
        forget_if_empty(&transaction, repository)?;
        transaction.commit()?;
        Ok(swept)
    }

    /// Whether any repository has this file.
    pub(crate) fn is_held(&self, digest: &Digest) -> Result<bool> {
        is_held(&self.read()?.open_table(HOLDERS)?, digest)
    }

    /// Removes the files of those that no repository has; how many, and their bytes.
    pub(crate) fn remove_files(&self, files: &[(Digest, PathBuf)]) -> Result<(usize, u64)> {
        let transaction = self.database.begin_write()?;
        let mut removed = (0, 0);
        {
            let holders = transaction.open_table(HOLDERS)?;
            for (digest, path) in files {
                if is_held(&holders, digest)? {
                    continue;
                }
                let size = std::fs::metadata(path).map(|m| m.len()).unwrap_or(0);
                std::fs::remove_file(path)?;
                removed = (removed.0 + 1, removed.1 + size);
            }
        }
        // Nothing was written; while the transaction was open, nobody else wrote.
        transaction.abort()?;
        Ok(removed)
    }
}

fn is_held(holders: &impl ReadableTable<(&'static str, &'static str), ()>, digest: &Digest) -> Result<bool> {
    match holders.range((digest.as_str(), "")..)?.next() {
        None => Ok(false),
        Some(entry) => Ok(entry?.0.value().0 == digest.as_str()),
    }
}

/// Those that are roots, the manifests in kept indexes, and what refers to one that is kept.
fn kept(manifests: &BTreeMap<Digest, Relations>, root: impl Fn(&Digest, &Relations) -> bool) -> BTreeSet<Digest> {
    let mut kept: BTreeSet<Digest> = manifests.iter().filter(|(digest, record)| root(digest, record)).map(|(digest, _)| digest.clone()).collect();
    loop {
        let children = kept.iter().filter_map(|digest| manifests.get(digest)).flat_map(|record| &record.manifests);
        let referrers = manifests.iter().filter(|(_, record)| record.subject.as_ref().is_some_and(|subject| kept.contains(subject))).map(|(digest, _)| digest);
        let more: Vec<Digest> = children.chain(referrers).filter(|digest| !kept.contains(*digest) && manifests.contains_key(*digest)).cloned().collect();
        if more.is_empty() {
            return kept;
        }
        kept.extend(more);
    }
}

fn stored_digest(text: &str) -> Result<Digest> {
    Digest::parse(text).ok_or_else(|| IndexError::Damaged(text.to_owned()))
}

fn read<T: DeserializeOwned>(bytes: &[u8], digest: &str) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|_| IndexError::Damaged(digest.to_owned()))
}

fn read_record(bytes: &[u8], digest: &str) -> Result<Record> {
    read(bytes, digest)
}

fn hold(transaction: &WriteTransaction, repository: &str, digest: &Digest, now: u64) -> Result<()> {
    transaction.open_table(HOLDERS)?.insert((digest.as_str(), repository), ())?;
    let mut repositories = transaction.open_table(REPOSITORIES)?;
    let known = repositories.get(repository)?.is_some();
    if !known {
        repositories.insert(repository, now)?;
    }
    Ok(())
}

fn link(transaction: &WriteTransaction, repository: &str, digest: &Digest, now: u64) -> Result<()> {
    transaction.open_table(LINKS)?.insert((repository, digest.as_str()), now)?;
    hold(transaction, repository, digest, now)
}

/// The file is no longer this repository's, unless it still is in the other way.
fn let_go(transaction: &WriteTransaction, repository: &str, digest: &Digest) -> Result<()> {
    let key = (repository, digest.as_str());
    if transaction.open_table(LINKS)?.get(key)?.is_none() && transaction.open_table(MANIFESTS)?.get(key)?.is_none() {
        transaction.open_table(HOLDERS)?.remove((digest.as_str(), repository))?;
    }
    Ok(())
}

fn unlink(transaction: &WriteTransaction, repository: &str, digest: &Digest) -> Result<()> {
    transaction.open_table(LINKS)?.remove((repository, digest.as_str()))?;
    let_go(transaction, repository, digest)
}

/// Looks at the manifests of a repository one after the other.
fn each_manifest(transaction: &WriteTransaction, repository: &str, mut look: impl FnMut(Digest, &[u8]) -> Result<()>) -> Result<()> {
    for entry in transaction.open_table(MANIFESTS)?.range((repository, "")..)? {
        let (key, record) = entry?;
        let (name, digest) = key.value();
        if name != repository {
            break;
        }
        look(stored_digest(digest)?, record.value())?;
    }
    Ok(())
}

fn tagged(tags: &impl ReadableTable<(&'static str, &'static str), &'static str>, repository: &str) -> Result<BTreeSet<Digest>> {
    let mut found = BTreeSet::new();
    for entry in tags.range((repository, "")..)? {
        let (key, digest) = entry?;
        if key.value().0 != repository {
            break;
        }
        found.insert(stored_digest(digest.value())?);
    }
    Ok(found)
}

fn set_tag(transaction: &WriteTransaction, repository: &str, tag: &str, digest: &Digest, now: u64) -> Result<()> {
    let before = transaction.open_table(TAGS)?.insert((repository, tag), digest.as_str())?.map(|before| before.value().to_owned());
    if let Some(before) = before.filter(|before| before != digest.as_str()) {
        untag(transaction, repository, tag, &before, now)?;
    }
    transaction.open_table(TAGS_OF)?.insert((repository, digest.as_str(), tag), ())?;
    Ok(())
}

fn remove_tag(transaction: &WriteTransaction, repository: &str, tag: &str, now: u64) -> Result<bool> {
    let before = transaction.open_table(TAGS)?.remove((repository, tag))?.map(|before| before.value().to_owned());
    match before {
        None => Ok(false),
        Some(before) => untag(transaction, repository, tag, &before, now).map(|()| true),
    }
}

/// A manifest has lost a tag: its time without one begins, if it was the last.
fn untag(transaction: &WriteTransaction, repository: &str, tag: &str, digest: &str, now: u64) -> Result<()> {
    transaction.open_table(TAGS_OF)?.remove((repository, digest, tag))?;
    let mut manifests = transaction.open_table(MANIFESTS)?;
    let record = manifests.get((repository, digest))?.map(|record| read_record(record.value(), digest)).transpose()?;
    if let Some(mut record) = record {
        record.since = now;
        let bytes = serde_json::to_vec(&record).map_err(|error| IndexError::Damaged(error.to_string()))?;
        manifests.insert((repository, digest), bytes.as_slice())?;
    }
    Ok(())
}

fn remove_manifest(transaction: &WriteTransaction, repository: &str, digest: &Digest) -> Result<bool> {
    let record = transaction.open_table(MANIFESTS)?.remove((repository, digest.as_str()))?.map(|record| read_record(record.value(), digest.as_str()));
    let Some(record) = record.transpose()? else { return Ok(false) };
    if let Some(subject) = &record.subject {
        transaction.open_table(REFERRERS)?.remove((repository, subject.as_str(), digest.as_str()))?;
    }
    let mut tags = Vec::new();
    for entry in transaction.open_table(TAGS_OF)?.range((repository, digest.as_str(), "")..)? {
        let (key, _) = entry?;
        let (name, of, tag) = key.value();
        if name != repository || of != digest.as_str() {
            break;
        }
        tags.push(tag.to_owned());
    }
    for tag in tags {
        transaction.open_table(TAGS)?.remove((repository, tag.as_str()))?;
        transaction.open_table(TAGS_OF)?.remove((repository, digest.as_str(), tag.as_str()))?;
    }
    let_go(transaction, repository, digest)?;
    Ok(true)
}

fn forget_if_empty(transaction: &WriteTransaction, repository: &str) -> Result<()> {
    let of_it = |key: Option<String>| key.as_deref() == Some(repository);
    let first = |table: TableDefinition<(&str, &str), u64>| -> Result<Option<String>> {
        let table = transaction.open_table(table)?;
        let mut range = table.range((repository, "")..)?;
        Ok(range.next().transpose()?.map(|(key, _)| key.value().0.to_owned()))
    };
    let manifests = {
        let table = transaction.open_table(MANIFESTS)?;
        let mut range = table.range((repository, "")..)?;
        range.next().transpose()?.map(|(key, _)| key.value().0.to_owned())
    };
    if !of_it(first(LINKS)?) && !of_it(manifests) {
        transaction.open_table(REPOSITORIES)?.remove(repository)?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
