//! The cached objects of one kind, found by key, by owner, by namespace and by the kind's own terms.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Mutex, RwLock};
use wharf_rest::{Dictionary, Kept};

use crate::few::Few;
use crate::resource::{Key, Typed, controller_of, namespace, uid};

/// All objects of a kind. Cheap to read; written by the kind's informer only. Those that nobody reads rest.
pub struct Cache<K> {
    inner: RwLock<Inner<K>>,
    /// The keys of those that do not rest.
    awake: Mutex<Vec<Arc<Key>>>,
    dictionary: Dictionary,
}

struct Inner<K> {
    objects: HashMap<Arc<Key>, Kept<K>>,
    /// What is found under a term: mostly one. Terms are remembered by fingerprints: each object has some of its own.
    index: HashMap<u64, Few<Arc<Key>>>,
    fingerprints: RandomState,
}

/// What happened to one object. At least one side is there.
pub struct Change<K> {
    /// As it was known before.
    pub old: Option<Arc<K>>,
    /// As it is now.
    pub new: Option<Arc<K>>,
}

impl<K: Typed> Change<K> {
    /// The object as it is known last.
    pub fn latest(&self) -> &K {
        self.new.as_deref().or(self.old.as_deref()).expect("a change has at least one side")
    }

    /// The key of the object.
    pub fn key(&self) -> Key {
        Key::of(self.latest().metadata())
    }

    /// Both sides that are there.
    pub fn sides(&self) -> impl Iterator<Item = &K> {
        self.old.as_deref().into_iter().chain(self.new.as_deref())
    }
}

impl<K> Default for Cache<K> {
    fn default() -> Self {
        Cache {
            inner: RwLock::new(Inner { objects: HashMap::new(), index: HashMap::new(), fingerprints: RandomState::new() }),
            awake: Mutex::default(),
            dictionary: Dictionary::default(),
        }
    }
}

impl<K: Typed> Cache<K> {
    /// The object of this name.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.inner.read().objects.get_key_value(&Key::new(namespace, name)).map(|(key, object)| self.wake(key, object))
    }

    /// All objects.
    pub fn all(&self) -> Vec<Arc<K>> {
        let mut all: Vec<_> = self.inner.read().objects.iter().map(|(k, o)| (k.clone(), self.wake(k, o))).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all.into_iter().map(|(_, o)| o).collect()
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.inner.read().objects.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The objects found under a term of [`Typed::index`], in the order of their names.
    pub fn by(&self, term: &str) -> Vec<Arc<K>> {
        let inner = self.inner.read();
        inner.found(term).into_iter().flat_map(|keys| keys.iter()).filter_map(|key| inner.objects.get(key).map(|o| self.wake(key, o))).collect()
    }

    fn wake(&self, key: &Arc<Key>, object: &Kept<K>) -> Arc<K> {
        let (object, rested) = object.rouse();
        if rested {
            self.awake.lock().push(key.clone());
        }
        object
    }

    /// How many objects are found under a term.
    pub fn count(&self, term: &str) -> usize {
        self.inner.read().found(term).map_or(0, Few::len)
    }

    /// The objects in a namespace.
    pub fn in_namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        self.by(&format!("namespace/{namespace}"))
    }

    /// The objects that the owner of this uid controls.
    pub fn controlled_by(&self, owner: &str) -> Vec<Arc<K>> {
        self.by(&format!("controller/{owner}"))
    }

    /// The objects of a namespace that nothing controls.
    pub fn orphans(&self, namespace: &str) -> Vec<Arc<K>> {
        self.by(&format!("orphan/{namespace}"))
    }

    /// Lets those rest that nobody has read since `since`.
    pub(crate) fn rest(&self, since: Instant) {
        let awake = std::mem::take(&mut *self.awake.lock());
        let mut left = Vec::new();
        // A few at a time, so that nobody waits for long.
        for some in awake.chunks(32) {
            let inner = self.inner.read();
            let stays = |key: &&Arc<Key>| inner.objects.get(*key).is_some_and(|object| !object.rest(&self.dictionary, since));
            left.extend(some.iter().filter(stays).cloned());
        }
        self.awake.lock().append(&mut left);
    }

    /// Puts an object in; `None` if the cache holds this version of it already.
    pub(crate) fn apply(&self, object: K) -> Option<Change<K>> {
        let key = Key::of(object.metadata());
        let mut terms = Vec::new();
        terms_of(&object, &mut terms);
        let new = Arc::new(object);
        let mut inner = self.inner.write();
        let (key, old) = match inner.objects.get_key_value(&key) {
            Some((key, old)) => (key.clone(), Some(self.wake(key, old))),
            None => (Arc::new(key), None),
        };
        if old.is_none() {
            self.awake.lock().push(key.clone());
        }
        if let Some(old) = &old {
            let same = |o: &K| (o.metadata().uid.clone(), o.metadata().resource_version.clone());
            if new.metadata().resource_version.is_some() && same(old) == same(&new) {
                return None;
            }
            inner.unindex(&key, old, &terms);
        }
        for term in terms {
            let term = inner.fingerprints.hash_one(term);
            match inner.index.get_mut(&term) {
                Some(keys) => keys.insert(key.clone()),
                None => _ = inner.index.insert(term, Few::One(key.clone())),
            }
        }
        inner.objects.insert(key, Kept::new(new.clone()));
        Some(Change { old, new: Some(new) })
    }

    /// Takes an object out.
    pub(crate) fn remove(&self, key: &Key) -> Option<Change<K>> {
        let mut inner = self.inner.write();
        let (key, old) = inner.objects.remove_entry(key)?;
        let old = old.wake();
        inner.unindex(&key, &old, &[]);
        Some(Change { old: Some(old), new: None })
    }
}

impl<K: Typed> Inner<K> {
    fn found(&self, term: &str) -> Option<&Few<Arc<Key>>> {
        self.index.get(&self.fingerprints.hash_one(term))
    }

    fn unindex(&mut self, key: &Arc<Key>, old: &K, keep: &[String]) {
        let mut terms = Vec::new();
        terms_of(old, &mut terms);
        for term in terms.into_iter().filter(|t| !keep.contains(t)) {
            let term = self.fingerprints.hash_one(term);
            if self.index.get_mut(&term).is_some_and(|keys| !keys.remove(key)) {
                self.index.remove(&term);
            }
        }
    }
}

fn terms_of<K: Typed>(object: &K, terms: &mut Vec<String>) {
    let meta = object.metadata();
    terms.push(format!("namespace/{}", namespace(meta)));
    match controller_of(meta) {
        Some(owner) => terms.push(format!("controller/{}", owner.uid)),
        None => terms.push(format!("orphan/{}", namespace(meta))),
    }
    if !uid(meta).is_empty() {
        terms.push(format!("uid/{}", uid(meta)));
    }
    object.index(terms);
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    #[test]
    fn what_nobody_reads_rests_until_it_is_read() {
        let cache = Cache::<ConfigMap>::default();
        let object = |name: &str| ConfigMap {
            metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
                name: Some(name.to_owned()),
                namespace: Some("a".to_owned()),
                uid: Some(format!("uid-of-{name}")),
                ..Default::default()
            },
            data: Some([("key".to_owned(), "value ".repeat(100))].into()),
            ..Default::default()
        };
        for name in ["x", "y", "x"] {
            cache.apply(object(name));
        }
        let awake = || cache.awake.lock().iter().map(|key| key.name.clone()).collect::<Vec<_>>();
        assert_eq!(awake(), ["x", "y"], "each is noted once");
        cache.rest(Instant::now());
        assert!(awake().is_empty() && cache.inner.read().objects.values().all(Kept::rests));
        let read = Instant::now();
        assert_eq!(cache.get("a", "y").as_deref(), Some(&object("y")));
        assert_eq!(cache.by("uid/uid-of-y").len(), 1);
        cache.rest(read - std::time::Duration::from_secs(1));
        assert_eq!(awake(), ["y"], "it was read since");
        cache.remove(&Key::new("a", "y"));
        cache.rest(read);
        assert!(awake().is_empty());
        assert_eq!(cache.all(), [Arc::new(object("x"))]);
    }
}
