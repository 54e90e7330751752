//! The cached objects of one kind, found by key, by owner, by namespace and by the kind's own terms.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::RwLock;
use wharf_rest::{Dictionary, Kept};

use crate::resource::{Key, Typed, controller_of, namespace, uid};

/// All objects of a kind. Cheap to read; written by the kind's informer only. Those that nobody reads rest.
pub struct Cache<K> {
    inner: RwLock<Inner<K>>,
    dictionary: Dictionary,
}

struct Inner<K> {
    objects: HashMap<Arc<Key>, Kept<K>>,
    index: HashMap<Box<str>, Keys>,
}

/// What is found under a term. Most terms are of one object.
enum Keys {
    One(Arc<Key>),
    Several(BTreeSet<Arc<Key>>),
}

impl Keys {
    fn insert(&mut self, key: Arc<Key>) {
        match self {
            Keys::One(one) if *one == key => {}
            Keys::One(one) => *self = Keys::Several(BTreeSet::from([one.clone(), key])),
            Keys::Several(keys) => _ = keys.insert(key),
        }
    }

    /// Whether any is left.
    fn remove(&mut self, key: &Arc<Key>) -> bool {
        match self {
            Keys::One(one) => one != key,
            Keys::Several(keys) => {
                keys.remove(key);
                !keys.is_empty()
            }
        }
    }

    fn len(&self) -> usize {
        match self {
            Keys::One(_) => 1,
            Keys::Several(keys) => keys.len(),
        }
    }

    /// In the order of their names.
    fn iter(&self) -> impl Iterator<Item = &Arc<Key>> {
        let (one, several) = match self {
            Keys::One(one) => (Some(one), None),
            Keys::Several(keys) => (None, Some(keys)),
        };
        one.into_iter().chain(several.into_iter().flatten())
    }
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
        Cache { inner: RwLock::new(Inner { objects: HashMap::new(), index: HashMap::new() }), dictionary: Dictionary::default() }
    }
}

impl<K: Typed> Cache<K> {
    /// The object of this name.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.inner.read().objects.get(&Key::new(namespace, name)).map(Kept::wake)
    }

    /// All objects.
    pub fn all(&self) -> Vec<Arc<K>> {
        let mut all: Vec<_> = self.inner.read().objects.iter().map(|(k, o)| (k.clone(), o.wake())).collect();
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
        inner.index.get(term).iter().flat_map(|keys| keys.iter()).filter_map(|key| inner.objects.get(key).map(Kept::wake)).collect()
    }

    /// How many objects are found under a term.
    pub fn count(&self, term: &str) -> usize {
        self.inner.read().index.get(term).map_or(0, Keys::len)
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
        self.inner.read().objects.values().for_each(|object| object.rest(&self.dictionary, since));
    }

    /// The keys of all objects.
    pub(crate) fn keys(&self) -> Vec<Arc<Key>> {
        self.inner.read().objects.keys().cloned().collect()
    }

    /// Puts an object in; `None` if the cache holds this version of it already.
    pub(crate) fn apply(&self, object: K) -> Option<Change<K>> {
        let key = Key::of(object.metadata());
        let mut terms = Vec::new();
        terms_of(&object, &mut terms);
        let new = Arc::new(object);
        let mut inner = self.inner.write();
        let (key, old) = match inner.objects.get_key_value(&key) {
            Some((key, old)) => (key.clone(), Some(old.wake())),
            None => (Arc::new(key), None),
        };
        if let Some(old) = &old {
            let same = |o: &K| (o.metadata().uid.clone(), o.metadata().resource_version.clone());
            if new.metadata().resource_version.is_some() && same(old) == same(&new) {
                return None;
            }
            inner.unindex(&key, old, &terms);
        }
        for term in terms {
            match inner.index.get_mut(&*term) {
                Some(keys) => keys.insert(key.clone()),
                None => _ = inner.index.insert(term.into(), Keys::One(key.clone())),
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
    fn unindex(&mut self, key: &Arc<Key>, old: &K, keep: &[String]) {
        let mut terms = Vec::new();
        terms_of(old, &mut terms);
        for term in terms.into_iter().filter(|t| !keep.contains(t)) {
            if self.index.get_mut(&*term).is_some_and(|keys| !keys.remove(key)) {
                self.index.remove(&*term);
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
