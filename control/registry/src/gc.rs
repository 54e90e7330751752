//! Collection: what is not needed any more and has not been asked for since the time of grace.
//!
//! Mark and sweep, a repository at a time and within one write transaction of the index, so that a push comes before or after it. A
//! push that was told that a blob is there has the time of grace to make use of it.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use tokio_util::sync::CancellationToken;

use crate::registry::{Inner, Registry, now};

/// What a collection removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Manifests without a tag.
    pub manifests: usize,
    /// Blobs that left their repository.
    pub blobs: usize,
    /// Files that no repository had any more.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Uploads that nobody went on with.
    pub uploads: usize,
}

/// Until the first collection.
const SOON: Duration = Duration::from_secs(60);
/// Files that are looked at within one transaction.
const BATCH: usize = 256;

impl Registry {
    /// Collects from time to time, until the token is cancelled.
    pub async fn keep(self, token: CancellationToken) {
        let every = self.inner.options.every;
        // Not while the cluster starts; soon, because many do not run for as long as it takes.
        let mut turns = tokio::time::interval_at(tokio::time::Instant::now() + every.min(SOON), every);
        turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while token.run_until_cancelled(turns.tick()).await.is_some() {
            match token.run_until_cancelled(self.collect()).await {
                None => return,
                Some(Ok(collected)) if collected == Collected::default() => {}
                Some(Ok(collected)) => tracing::info!(?collected, "registry collected"),
                Some(Err(error)) => tracing::warn!(error, "registry: collection failed; the next one will try again"),
            }
        }
    }

    /// Collects once.
    ///
    /// # Errors
    /// When the index or the disk does not answer, in words.
    pub async fn collect(&self) -> Result<Collected, String> {
        let in_use = match &self.inner.in_use {
            None => Some(HashSet::new()),
            // Nothing could go: nobody is bothered.
            Some(_) if !self.has_old_untagged().await? => None,
            Some(in_use) => match in_use.digests().await {
                Ok(digests) => Some(digests),
                Err(error) => {
                    tracing::debug!(error, "which images are in use is not known: untagged ones stay");
                    None
                }
            },
        };
        let inner = self.inner.clone();
        let work = tokio::task::spawn_blocking(move || collect(&inner, in_use));
        work.await.map_err(|error| error.to_string())?
    }

    /// Whether any manifest has been without a tag for so long that it may go, unless it is in use.
    async fn has_old_untagged(&self) -> Result<bool, String> {
        let inner = self.inner.clone();
        let before = now().saturating_sub(inner.options.untagged.as_secs());
        let found = tokio::task::spawn_blocking(move || inner.index.has_old_untagged(before)).await;
        found.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }
}

fn collect(inner: &Inner, in_use: Option<HashSet<crate::Digest>>) -> Result<Collected, String> {
    let words = |error: crate::index::IndexError| error.to_string();
    let options = &inner.options;
    let mut collected = Collected { uploads: inner.uploads.sweep(SystemTime::now() - options.stale), ..Collected::default() };
    let manifests_before = in_use.is_some().then(|| now().saturating_sub(options.untagged.as_secs()));
    let in_use = in_use.unwrap_or_default();
    for repository in inner.index.all_repositories().map_err(words)? {
        let blobs_before = now().saturating_sub(options.grace.as_secs());
        let (manifests, blobs) = inner.index.sweep(&repository, manifests_before, blobs_before, &in_use).map_err(words)?;
        collected.manifests += manifests;
        collected.blobs += blobs;
    }
    let mut unheld = Vec::new();
    for (digest, path) in inner.files.all_blobs().map_err(|error| error.to_string())? {
        if !inner.index.is_held(&digest).map_err(words)? {
            unheld.push((digest, path));
        }
    }
    for batch in unheld.chunks(BATCH) {
        let (files, bytes) = inner.index.remove_files(batch).map_err(words)?;
        collected.files += files;
        collected.bytes += bytes;
    }
    Ok(collected)
}
