//! The watch cache: all objects in memory, in persistent maps that a snapshot shares, with the recent
//! history of each resource. Every read and watch of the API is answered here.

use std::collections::HashMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Instant;

use imbl::OrdMap;
use parking_lot::RwLock;
use tokio::sync::watch;

use crate::history::{Expired, History, Limits};
use crate::item::{Event, EventKind, Item, resource_of};

/// How many events a cursor hands out at once.
const BATCH: usize = 512;

/// The objects and their history. Cheap to clone; all clones are one cache.
#[derive(Clone)]
pub struct WatchCache {
    shared: Arc<Shared>,
}

struct Shared {
    state: RwLock<State>,
    /// The newest revision, for those who wait for it.
    reached: watch::Sender<u64>,
    limits: Limits,
}

struct State {
    revision: u64,
    /// The revision at which the cache was made: nothing is known of events up to it.
    base: u64,
    resources: HashMap<Box<str>, Resource>,
}

struct Resource {
    items: OrdMap<Arc<str>, Arc<Item>>,
    history: History,
    /// The newest revision of this resource; its change wakes the cursors.
    newest: watch::Sender<u64>,
}

impl Resource {
    fn starting_at(revision: u64) -> Resource {
        Resource { items: OrdMap::new(), history: History::starting_at(revision), newest: watch::Sender::new(revision) }
    }
}

impl WatchCache {
    /// A cache of these objects as of `revision`. Watches can begin there and later.
    pub(crate) fn new(items: Vec<Arc<Item>>, revision: u64, limits: Limits) -> WatchCache {
        let mut resources: HashMap<Box<str>, Resource> = HashMap::new();
        for item in items {
            let resource = resource_of(item.key());
            if !resources.contains_key(resource) {
                resources.insert(resource.into(), Resource::starting_at(revision));
            }
            if let Some(resource) = resources.get_mut(resource) {
                resource.items.insert(item.key().clone(), item);
            }
        }
        WatchCache {
            shared: Arc::new(Shared { state: RwLock::new(State { revision, base: revision, resources }), reached: watch::Sender::new(revision), limits }),
        }
    }

    /// The newest revision that readers see.
    pub fn revision(&self) -> u64 {
        self.shared.state.read().revision
    }

    /// The current version of an object.
    pub fn get(&self, key: &str) -> Option<Arc<Item>> {
        self.shared.state.read().resources.get(resource_of(key))?.items.get(key).cloned()
    }

    /// All objects of a resource (`group/plural`) as they are now. Constant time; later writes do not show in it.
    pub fn snapshot(&self, resource: &str) -> Snapshot {
        let state = self.shared.state.read();
        let items = state.resources.get(resource).map(|r| r.items.clone()).unwrap_or_default();
        Snapshot { revision: state.revision, items }
    }

    /// The resources that have, or had, objects: `group/plural`, unordered.
    pub fn resources(&self) -> Vec<String> {
        self.shared.state.read().resources.keys().map(ToString::to_string).collect()
    }

    /// Follows a resource from behind `revision` on.
    pub fn watch(&self, resource: &str, revision: u64) -> Result<Cursor, Expired> {
        loop {
            let state = self.shared.state.read();
            if let Some(found) = state.resources.get(resource) {
                // A revision that is still to come is waited for, as Kubernetes does.
                if revision < found.history.oldest() {
                    return Err(Expired { wanted: revision, oldest: found.history.oldest() });
                }
                return Ok(Cursor { cache: self.clone(), resource: resource.into(), position: revision, newest: found.newest.subscribe() });
            }
            drop(state);
            let mut state = self.shared.state.write();
            let base = state.base;
            state.resources.entry(resource.into()).or_insert_with(|| Resource::starting_at(base));
        }
    }

    /// Waits until readers see `revision`.
    pub async fn reached(&self, revision: u64) {
        let mut reached = self.shared.reached.subscribe();
        // The sender lives as long as `self`.
        let _ = reached.wait_for(|at| *at >= revision).await;
    }

    /// Makes a batch of events visible, all at once. Their revisions follow on the current one.
    pub(crate) fn apply(&self, events: Vec<Arc<Event>>) {
        let Some(last) = events.last().map(|e| e.revision()) else { return };
        let now = Instant::now();
        {
            let mut state = self.shared.state.write();
            for event in &events {
                let resource = resource_of(event.item.key());
                if !state.resources.contains_key(resource) {
                    let base = state.base;
                    state.resources.insert(resource.into(), Resource::starting_at(base));
                }
                let Some(resource) = state.resources.get_mut(resource) else { continue };
                match event.kind {
                    EventKind::Deleted => resource.items.remove(event.item.key()),
                    EventKind::Added | EventKind::Modified => resource.items.insert(event.item.key().clone(), event.item.clone()),
                };
                resource.history.push(event.clone(), now, &self.shared.limits);
            }
            state.revision = last;
            // Wake under the lock: whoever wakes waits for it, and finds everything in place.
            for event in &events {
                if let Some(resource) = state.resources.get(resource_of(event.item.key())) {
                    resource.newest.send_if_modified(|newest| std::mem::replace(newest, last) != last);
                }
            }
        }
        self.shared.reached.send_replace(last);
    }

    /// Drops history that is too old, of resources that are no longer written to as well.
    pub(crate) fn trim(&self) {
        let now = Instant::now();
        for resource in self.shared.state.write().resources.values_mut() {
            resource.history.trim(now, &self.shared.limits);
        }
    }
}

/// All objects of a resource at one revision.
#[derive(Clone)]
pub struct Snapshot {
    revision: u64,
    items: OrdMap<Arc<str>, Arc<Item>>,
}

impl Snapshot {
    /// The revision it shows: the `resourceVersion` of a list made from it.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The same under an older revision, since which nothing of the resource has changed.
    pub fn as_of(mut self, revision: u64) -> Snapshot {
        self.revision = self.revision.min(revision);
        self
    }

    /// How many objects there are in all.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The objects whose key begins with `prefix`, in the order of keys, those up to and including
    /// the key `after` left out.
    pub fn range<'a>(&'a self, prefix: &'a str, after: Option<&'a str>) -> impl Iterator<Item = &'a Arc<Item>> {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        self.items.range::<_, str>((start, Bound::Unbounded)).map(|(_, item)| item).take_while(move |item| item.key().starts_with(prefix))
    }
}

/// A reader's place in the events of one resource. It holds no queue: events stay in the shared history.
pub struct Cursor {
    cache: WatchCache,
    resource: Box<str>,
    position: u64,
    newest: watch::Receiver<u64>,
}

impl Cursor {
    /// The next events, at least one. Cancel-safe. A reader that is too slow for the history gets
    /// [`Expired`] and has to list again.
    pub async fn next(&mut self) -> Result<Vec<Arc<Event>>, Expired> {
        loop {
            self.newest.borrow_and_update();
            let events = self.poll()?;
            if !events.is_empty() {
                return Ok(events);
            }
            if self.newest.changed().await.is_err() {
                // The cache is gone, and with it the process's reason to be: wait to be dropped.
                std::future::pending::<()>().await;
            }
        }
    }

    /// The next events, none when there are none yet.
    pub fn poll(&mut self) -> Result<Vec<Arc<Event>>, Expired> {
        let events = {
            let state = self.cache.shared.state.read();
            match state.resources.get(&*self.resource) {
                Some(resource) => resource.history.after(self.position, BATCH)?,
                None => Vec::new(),
            }
        };
        if let Some(last) = events.last() {
            self.position = last.revision();
        }
        Ok(events)
    }

    /// The revision up to which this reader has seen everything.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// When nothing waits to be read: moves up to the store's newest revision and returns it, for a bookmark.
    pub fn bookmark(&mut self) -> Option<u64> {
        let state = self.cache.shared.state.read();
        let pending = state.resources.get(&*self.resource).is_some_and(|r| r.history.has_after(self.position));
        if pending {
            return None;
        }
        self.position = self.position.max(state.revision);
        Some(self.position)
    }
}
