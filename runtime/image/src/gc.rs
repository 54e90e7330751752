//! Garbage collection of images, as the kubelet's: when the disk is full beyond a threshold, images that nobody uses go, the least recently
//! used first, until enough is free; and those that were unused for too long, if that is wished.
//!
//! What a pull works with is pinned before it looks whether it is there, and nothing that is pinned is removed: pulls and collections may
//! run at the same time.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::error::ImageError;
use crate::image::Image;
use crate::images::{Images, Inner, Known, blocking};
use crate::pull::Record;

/// A component that nobody's image has stays at least so long.
const SETTLED: Duration = Duration::from_secs(60);
/// What was fetched of a blob stays so long, for whoever goes on.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// When images are removed, and which: the kubelet's settings, with its defaults.
#[derive(Clone, Debug)]
pub struct GcPolicy {
    /// `imageGCHighThresholdPercent`: use of the disk from which on images are removed.
    pub high_percent: u64,
    /// `imageGCLowThresholdPercent`: use of the disk that is aimed at.
    pub low_percent: u64,
    /// `imageMinimumGCAge`: what was used so recently stays.
    pub min_age: Duration,
    /// `imageMaximumGCAge`: what was not used for so long goes, however much room there is.
    pub max_age: Option<Duration>,
}

impl Default for GcPolicy {
    fn default() -> GcPolicy {
        GcPolicy { high_percent: 85, low_percent: 80, min_age: Duration::from_secs(120), max_age: None }
    }
}

/// What a collection did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Digests of the images that are gone.
    pub removed: Vec<String>,
    /// Their sizes together.
    pub freed: u64,
    /// Bytes that were to be freed; 0: there is room enough.
    pub wanted: u64,
}

/// A disk's room, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Disk {
    pub(crate) capacity: u64,
    pub(crate) available: u64,
}

/// What is being worked with, and what was.
pub(crate) struct Uses {
    opened: Instant,
    inner: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    /// Digests (of images, their files and their blobs), and how many work with each.
    pins: HashMap<String, usize>,
    /// By image: who holds it.
    held: HashMap<String, Vec<Weak<Image>>>,
    /// By image or component: the last time.
    used: HashMap<String, Instant>,
}

/// As long as it lives, nothing of what it names is removed.
pub(crate) struct Pins {
    inner: Arc<Inner>,
    digests: Vec<String>,
}

impl Pins {
    pub(crate) fn new(inner: &Arc<Inner>) -> Pins {
        Pins { inner: inner.clone(), digests: Vec::new() }
    }

    pub(crate) fn add(&mut self, digest: &str) {
        *self.inner.uses.inner.lock().pins.entry(digest.to_owned()).or_insert(0) += 1;
        self.digests.push(digest.to_owned());
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        let mut table = self.inner.uses.inner.lock();
        for digest in &self.digests {
            if let Some(count) = table.pins.get_mut(digest) {
                *count -= 1;
                if *count == 0 {
                    table.pins.remove(digest);
                }
            }
        }
    }
}

impl Uses {
    pub(crate) fn new() -> Uses {
        Uses { opened: Instant::now(), inner: Mutex::default() }
    }

    /// Notes that an image, or a component, is used now.
    pub(crate) fn note(&self, digest: &str) {
        self.inner.lock().used.insert(digest.to_owned(), Instant::now());
    }

    /// Hands an image out: it stays as long as somebody holds it.
    pub(crate) fn hold(&self, image: Image) -> Arc<Image> {
        let mut table = self.inner.lock();
        table.used.insert(image.digest.clone(), Instant::now());
        let holders = table.held.entry(image.digest.clone()).or_default();
        holders.retain(|holder| holder.strong_count() > 0);
        // Whoever has the same holds the same.
        if let Some(held) = holders.iter().filter_map(Weak::upgrade).find(|held| **held == image) {
            return held;
        }
        let image = Arc::new(image);
        holders.push(Arc::downgrade(&image));
        image
    }

    /// Keeps an image for good.
    pub(crate) fn keep(&self, digest: &str) {
        self.inner.lock().pins.entry(digest.to_owned()).or_insert(1);
    }

    fn last(&self, table: &Table, digest: &str) -> Instant {
        table.used.get(digest).copied().unwrap_or(self.opened)
    }
}

impl Images {
    /// Removes images that nobody holds (see [`Images::ensure`]), if the disk is full or they are old.
    pub async fn collect(&self, policy: GcPolicy) -> Result<Collected, ImageError> {
        let inner = self.inner.clone();
        blocking("collect images", move || {
            let stat = rustix::fs::statvfs(inner.store.dir()).map_err(|error| ImageError::store("look at the disk", error))?;
            let disk = Disk { capacity: stat.f_blocks.saturating_mul(stat.f_frsize), available: stat.f_bavail.saturating_mul(stat.f_frsize) };
            Ok(inner.collect(&policy, disk))
        })
        .await?
    }
}

impl Inner {
    pub(crate) fn collect(&self, policy: &GcPolicy, disk: Disk) -> Collected {
        let mut collected = Collected { wanted: wanted(policy, disk), ..Collected::default() };
        let gone = {
            let mut known = self.known.lock();
            let mut victims = self.unused(&known, policy);
            victims.sort_by_key(|(last, record)| (*last, record.digest.clone()));
            let mut gone = Vec::new();
            for (last, record) in victims {
                let old = policy.max_age.is_some_and(|age| last.elapsed() >= age);
                if old || collected.freed < collected.wanted {
                    self.forget(&mut known, &record);
                    collected.freed += record.size;
                    collected.removed.push(record.digest.clone());
                    gone.push(record);
                }
            }
            gone
        };
        for record in &gone {
            tracing::info!(digest = record.digest, size = record.size, "image removed: nobody uses it");
            self.remove_files(record);
        }
        if !gone.is_empty() || collected.wanted > 0 {
            self.sweep(policy);
        }
        collected
    }

    /// Images that nobody uses or works with, and when they were used the last time.
    fn unused(&self, known: &Known, policy: &GcPolicy) -> Vec<(Instant, Arc<Record>)> {
        let table = self.uses.inner.lock();
        // What was imported cannot be pulled again.
        let local: HashSet<&String> =
            known.names.iter().filter(|(name, _)| name.starts_with(crate::builtin::LOCAL_REGISTRY)).map(|(_, digest)| digest).collect();
        let free = known.images.values().filter(|record| {
            let held = table.held.get(&record.digest).is_some_and(|holders| holders.iter().any(|holder| holder.strong_count() > 0));
            !(held || local.contains(&record.digest) || table.pins.contains_key(&record.digest))
        });
        let aged = free.map(|record| (self.uses.last(&table, &record.digest), record.clone()));
        aged.filter(|(last, _)| last.elapsed() >= policy.min_age).collect()
    }

    /// Takes an image out of what is known. Its records go first: whatever is cut off here, what is left is whole, or nobody's.
    fn forget(&self, known: &mut Known, record: &Record) {
        let names: Vec<String> = known.names.iter().filter(|(_, digest)| **digest == record.digest).map(|(name, _)| name.clone()).collect();
        for name in names {
            remove(&self.store.record("refs", &crate::push::digest(name.as_bytes())));
            known.names.remove(&name);
        }
        remove(&self.store.record("images", &record.digest));
        known.images.remove(&record.digest);
        let mut table = self.uses.inner.lock();
        table.used.remove(&record.digest);
        table.held.remove(&record.digest);
    }

    /// Removes an image's files, but for what others have as well or work with.
    fn remove_files(&self, record: &Record) {
        let others: Vec<Arc<Record>> = self.known.lock().images.values().cloned().collect();
        let blobs = record.blobs.iter().filter(|blob| !others.iter().any(|other| other.blobs.contains(blob)));
        for blob in blobs {
            self.unless_pinned(blob, || remove(&self.store.blob(blob)));
        }
        if let Some(rootfs) = record.rootfs.as_ref().filter(|rootfs| !others.iter().any(|other| other.rootfs.as_ref() == Some(rootfs))) {
            let aside = self.store.temporary();
            self.unless_pinned(rootfs, || {
                if let Err(error) = std::fs::rename(self.store.rootfs(rootfs), &aside) {
                    tracing::debug!(rootfs, %error, "the files of an image were not removed");
                }
            });
            let _ = std::fs::remove_dir_all(&aside);
        }
    }

    /// Removes components that no image has for its own, with what was compiled from them (all of it can be made again), and blobs that
    /// nobody has gone on fetching.
    fn sweep(&self, policy: &GcPolicy) {
        let own: HashSet<String> =
            self.known.lock().images.values().filter_map(|record| record.main.as_ref()).map(|(_, main)| main.component.clone()).collect();
        for (name, path) in self.store.files("components") {
            let component = format!("sha256:{}", name.trim_end_matches(".wasm"));
            let table = self.uses.inner.lock();
            // Between its making and its image's record there is a moment, and a compilation reads it.
            if own.contains(&component) || self.uses.last(&table, &component).elapsed() < policy.min_age.max(SETTLED) {
                continue;
            }
            remove(&path);
            self.store.remove_compiled(&component);
        }
        for (name, path) in self.store.files("partial") {
            let old = path.metadata().and_then(|meta| meta.modified()).is_ok_and(|at| at.elapsed().is_ok_and(|age| age > ABANDONED));
            if old {
                self.unless_pinned(&format!("sha256:{name}"), || remove(&path));
            }
        }
    }

    /// Does it while nobody can pin.
    fn unless_pinned(&self, digest: &str, act: impl FnOnce()) {
        let table = self.uses.inner.lock();
        if !table.pins.contains_key(digest) {
            act();
        }
    }
}

/// How many bytes are to be freed.
fn wanted(policy: &GcPolicy, disk: Disk) -> u64 {
    let (capacity, available) = (u128::from(disk.capacity), u128::from(disk.available.min(disk.capacity)));
    if capacity == 0 || 100 - available * 100 / capacity < u128::from(policy.high_percent) {
        return 0;
    }
    let aim = capacity * u128::from(100_u64.saturating_sub(policy.low_percent)) / 100;
    u64::try_from(aim.saturating_sub(available)).unwrap_or(u64::MAX)
}

fn remove(path: &Path) {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::debug!(path = %path.display(), %error, "a file of the image store was not removed")
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_much_is_wanted() {
        let policy = GcPolicy::default();
        for (capacity, available, expected) in
            [(1000, 500, 0), (1000, 151, 50 - 1), (1000, 150, 50), (1000, 160, 0), (1000, 0, 200), (0, 0, 0), (u64::MAX, u64::MAX, 0), (10, 20, 0)]
        {
            // As the kubelet counts: 84.9 % is 85 for it, since what is available is rounded down.
            assert_eq!(wanted(&policy, Disk { capacity, available }), expected, "{capacity} {available}");
        }
    }
}
