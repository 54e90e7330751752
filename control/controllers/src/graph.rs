//! Who owns whom: the metadata of all objects of all kinds, as the garbage collector and the namespace controller see them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use parking_lot::RwLock;
use serde::Serialize;

use crate::few::Few;
use crate::resource::{Key, Resource, Target, namespace, uid};

/// At most so many words of references are shared; people may write any.
const MOST_WORDS: usize = 1024;

/// One object.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "metadata's own names")]
pub struct Node {
    pub resource: Arc<Resource>,
    pub namespace: Arc<str>,
    pub name: Box<str>,
    pub uid: Arc<str>,
    pub resource_version: Box<str>,
    pub owners: Box<[Owner]>,
    pub finalizers: Box<[String]>,
    /// It has a deletionTimestamp.
    pub deleting: bool,
}

/// A reference to an owner, which shares what the graph has already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "an OwnerReference's own names")]
pub struct Owner {
    pub api_version: Arc<str>,
    pub kind: Arc<str>,
    pub name: Box<str>,
    pub uid: Arc<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_owner_deletion: Option<bool>,
}

impl Node {
    /// Whether this finalizer holds it.
    pub fn held_by(&self, finalizer: &str) -> bool {
        self.finalizers.iter().any(|f| f == finalizer)
    }

    /// The object as the target of a step, in just this version.
    pub fn target(&self) -> Target {
        Target {
            resource: (*self.resource).clone(),
            namespace: self.namespace.to_string(),
            name: self.name.to_string(),
            uid: Some(self.uid.to_string()),
            resource_version: Some(self.resource_version.to_string()),
        }
    }
}

/// The graph of all objects.
#[derive(Default)]
pub struct Graph {
    inner: RwLock<Inner>,
}

#[derive(Default)]
struct Inner {
    nodes: HashMap<Arc<str>, Arc<Node>>,
    dependents: HashMap<Arc<str>, Few<Arc<str>>>,
    namespaces: HashMap<Arc<str>, BTreeSet<Arc<str>>>,
    /// `apiVersion`s and kinds of owners.
    words: BTreeSet<Arc<str>>,
    /// Kinds that are watched, by (group, kind).
    resources: BTreeMap<(String, String), Arc<Resource>>,
}

/// What is left in a namespace of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remaining {
    /// The kind.
    pub resource: Arc<Resource>,
    /// How many objects.
    pub count: usize,
    /// How many of them are being deleted.
    pub deleting: usize,
    /// Finalizers that hold them, with how many objects each.
    pub finalizers: BTreeMap<String, usize>,
}

impl Graph {
    /// The object of this uid.
    pub fn get(&self, uid: &str) -> Option<Arc<Node>> {
        self.inner.read().nodes.get(uid).cloned()
    }

    /// The objects that name this uid as an owner, in the order of their names.
    pub fn dependents(&self, uid: &str) -> Vec<Arc<Node>> {
        let inner = self.inner.read();
        let mut all: Vec<_> = inner.dependents.get(uid).iter().flat_map(|d| d.iter()).filter_map(|d| inner.nodes.get(d).cloned()).collect();
        all.sort_by(|a, b| (&a.resource, &a.name).cmp(&(&b.resource, &b.name)));
        all
    }

    /// The watched kind that an owner reference names.
    pub fn resource(&self, api_version: &str, kind: &str) -> Option<Arc<Resource>> {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        self.inner.read().resources.get(&(group.to_owned(), kind.to_owned())).cloned()
    }

    /// The objects of a kind: their uids by their names.
    pub(crate) fn of(&self, resource: &Resource) -> HashMap<Key, Arc<str>> {
        let inner = self.inner.read();
        let ours = inner.nodes.values().filter(|node| *node.resource == *resource);
        ours.map(|node| (Key::new(&*node.namespace, &*node.name), node.uid.clone())).collect()
    }

    /// All watched kinds that live in namespaces.
    pub fn namespaced_resources(&self) -> Vec<Arc<Resource>> {
        self.inner.read().resources.values().filter(|r| r.namespaced).cloned().collect()
    }

    /// What is in a namespace, by kind.
    pub fn remaining(&self, namespace: &str) -> Vec<Remaining> {
        let inner = self.inner.read();
        let mut kinds: BTreeMap<Arc<Resource>, Remaining> = BTreeMap::new();
        for node in inner.namespaces.get(namespace).into_iter().flatten().filter_map(|uid| inner.nodes.get(uid)) {
            let kind = kinds.entry(node.resource.clone()).or_insert_with(|| Remaining {
                resource: node.resource.clone(),
                count: 0,
                deleting: 0,
                finalizers: BTreeMap::new(),
            });
            kind.count += 1;
            kind.deleting += usize::from(node.deleting);
            for finalizer in &node.finalizers {
                *kind.finalizers.entry(finalizer.clone()).or_default() += 1;
            }
        }
        kinds.into_values().collect()
    }

    /// Declares a kind as watched.
    pub(crate) fn declare(&self, resource: Arc<Resource>) {
        self.inner.write().resources.insert((resource.group.to_string(), resource.kind.to_string()), resource);
    }

    /// Forgets a kind and its objects; gives the uids that went.
    pub(crate) fn forget(&self, resource: &Resource) -> Vec<Arc<Node>> {
        self.inner.write().resources.retain(|_, r| **r != *resource);
        let gone: Vec<_> = self.inner.read().nodes.values().filter(|n| *n.resource == *resource).cloned().collect();
        for node in &gone {
            self.remove(&node.uid);
        }
        gone
    }

    /// Puts an object in, and gives what it was before.
    pub(crate) fn apply(&self, resource: &Arc<Resource>, meta: &ObjectMeta) -> Option<Arc<Node>> {
        if uid(meta).is_empty() {
            return None;
        }
        let mut inner = self.inner.write();
        let old = inner.nodes.get(uid(meta)).cloned();
        let node = Arc::new(inner.node(resource, meta, old.as_deref()));
        for owner in old.iter().flat_map(|o| &o.owners).filter(|o| !node.owners.iter().any(|n| n.uid == o.uid)) {
            inner.unlink(&owner.uid, &node.uid);
        }
        for owner in &node.owners {
            match inner.dependents.get_mut(&*owner.uid) {
                Some(of) => of.insert(node.uid.clone()),
                None => _ = inner.dependents.insert(owner.uid.clone(), Few::One(node.uid.clone())),
            }
        }
        if !node.namespace.is_empty() && old.is_none() {
            inner.namespaces.entry(node.namespace.clone()).or_default().insert(node.uid.clone());
        }
        inner.nodes.insert(node.uid.clone(), node);
        old
    }

    /// Takes an object out, and gives what it was.
    pub(crate) fn remove(&self, uid: &str) -> Option<Arc<Node>> {
        let mut inner = self.inner.write();
        let old = inner.nodes.remove(uid)?;
        for owner in &old.owners {
            inner.unlink(&owner.uid, &old.uid);
        }
        if let Some(of) = inner.namespaces.get_mut(&old.namespace) {
            of.remove(uid);
            if of.is_empty() {
                inner.namespaces.remove(&old.namespace);
            }
        }
        Some(old)
    }
}

impl Inner {
    fn unlink(&mut self, owner: &str, dependent: &Arc<str>) {
        if self.dependents.get_mut(owner).is_some_and(|of| !of.remove(dependent)) {
            self.dependents.remove(owner);
        }
    }

    fn word(&mut self, word: &str) -> Arc<str> {
        if let Some(known) = self.words.get(word) {
            return known.clone();
        }
        if self.words.len() >= MOST_WORDS {
            self.words.clear();
        }
        let word: Arc<str> = word.into();
        self.words.insert(word.clone());
        word
    }

    fn owner(&mut self, reference: &OwnerReference) -> Owner {
        let known =
            self.nodes.get_key_value(&*reference.uid).map(|(uid, _)| uid).or_else(|| self.dependents.get_key_value(&*reference.uid).map(|(uid, _)| uid));
        Owner {
            uid: known.map_or_else(|| reference.uid.as_str().into(), Arc::clone),
            api_version: self.word(&reference.api_version),
            kind: self.word(&reference.kind),
            name: reference.name.as_str().into(),
            controller: reference.controller,
            block_owner_deletion: reference.block_owner_deletion,
        }
    }

    /// An object, which shares what is known already.
    fn node(&mut self, resource: &Arc<Resource>, meta: &ObjectMeta, old: Option<&Node>) -> Node {
        let namespace = namespace(meta);
        Node {
            resource: resource.clone(),
            namespace: self.namespaces.get_key_value(namespace).map_or_else(|| namespace.into(), |(known, _)| known.clone()),
            name: meta.name.as_deref().unwrap_or_default().into(),
            uid: old.map_or_else(|| uid(meta).into(), |old| old.uid.clone()),
            resource_version: meta.resource_version.as_deref().unwrap_or_default().into(),
            owners: meta.owner_references.iter().flatten().map(|owner| self.owner(owner)).collect(),
            finalizers: meta.finalizers.clone().unwrap_or_default().into(),
            deleting: meta.deletion_timestamp.is_some(),
        }
    }
}

/// What happened to one node.
pub struct GraphChange {
    /// As it was known before.
    pub old: Option<Arc<Node>>,
    /// As it is now.
    pub new: Option<Arc<Node>>,
}

impl GraphChange {
    /// The node as it is known last.
    pub fn latest(&self) -> &Node {
        self.new.as_deref().or(self.old.as_deref()).expect("a change has at least one side")
    }

    /// The key of the garbage collector: the uid.
    pub fn key(&self) -> Key {
        Key::new("", &*self.latest().uid)
    }
}
