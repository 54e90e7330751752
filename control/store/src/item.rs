//! A stored object and an event about one, each serialised once and shared by all who read it.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parking_lot::RwLock;
use wharf_rest::{Dictionary, Text};

use crate::write::NewValue;

/// The key of an object: `group/plural/namespace/name`, or `group/plural/name` where `namespace` is
/// empty. The core group is written `core`.
pub fn key(group: &str, plural: &str, namespace: &str, name: &str) -> Arc<str> {
    let group = if group.is_empty() { "core" } else { group };
    if namespace.is_empty() { format!("{group}/{plural}/{name}").into() } else { format!("{group}/{plural}/{namespace}/{name}").into() }
}

/// The resource of a key: its first two segments, `group/plural`.
pub fn resource_of(key: &str) -> &str {
    let mut slashes = key.match_indices('/').map(|(at, _)| at);
    slashes.next();
    slashes.next().map_or(key, |at| &key[..at])
}

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of watch events")]
pub enum EventKind {
    Added,
    Modified,
    Deleted,
}

impl EventKind {
    /// As in the `type` of a watch event.
    pub fn as_str(self) -> &'static str {
        match self {
            EventKind::Added => "ADDED",
            EventKind::Modified => "MODIFIED",
            EventKind::Deleted => "DELETED",
        }
    }

    fn opening(self) -> &'static [u8] {
        match self {
            EventKind::Added => br#"{"type":"ADDED","object":"#,
            EventKind::Modified => br#"{"type":"MODIFIED","object":"#,
            EventKind::Deleted => br#"{"type":"DELETED","object":"#,
        }
    }
}

const CLOSING: &[u8] = b"}\n";

/// A version of an object. Its JSON is one allocation, shared with the watch event that announced it; some time after it was written it is packed.
pub struct Item {
    key: Arc<str>,
    revision: u64,
    /// The watch event's line: opening, JSON, closing.
    frame: RwLock<Text>,
    /// How the frame begins.
    kind: EventKind,
    /// Where in the JSON the revision's digits begin.
    revision_at: u32,
    attributes: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl Item {
    /// The version of `key` that `revision` makes of `value`.
    pub(crate) fn new(key: Arc<str>, revision: u64, kind: EventKind, value: &NewValue) -> Item {
        Item::spliced(key, revision, kind, &value.json, value.revision_at, value.revision_at)
    }

    /// The same value under the revision of its deletion.
    pub(crate) fn deleted(&self, revision: u64) -> Item {
        let at = self.revision_at as usize;
        let digits = digits(self.revision);
        Item::spliced(self.key.clone(), revision, EventKind::Deleted, &self.json(), at, at + digits)
    }

    /// A value read back from disk, whose revision is already in place.
    pub(crate) fn loaded(key: Arc<str>, revision: u64, json: &[u8], revision_at: u32) -> Item {
        let at = revision_at as usize;
        Item::spliced(key, revision, EventKind::Added, json, at, at + digits(revision))
    }

    fn spliced(key: Arc<str>, revision: u64, kind: EventKind, json: &[u8], from: usize, to: usize) -> Item {
        let text = revision.to_string();
        let opening = kind.opening();
        let mut frame = Vec::with_capacity(opening.len() + json.len() - (to - from) + text.len() + CLOSING.len());
        frame.extend_from_slice(opening);
        frame.extend_from_slice(&json[..from]);
        frame.extend_from_slice(text.as_bytes());
        frame.extend_from_slice(&json[to..]);
        frame.extend_from_slice(CLOSING);
        let revision_at = u32::try_from(from).unwrap_or(u32::MAX);
        Item { key, revision, frame: RwLock::new(Text::Whole(frame.into())), kind, revision_at, attributes: OnceLock::new() }
    }

    /// Lets it rest.
    pub(crate) fn pack(&self, dictionary: &Dictionary) {
        let packed = dictionary.pack(self.frame());
        *self.frame.write() = packed;
    }

    #[cfg(test)]
    pub(crate) fn is_packed(&self) -> bool {
        self.frame.read().is_packed()
    }

    /// The key.
    pub fn key(&self) -> &Arc<str> {
        &self.key
    }

    /// The revision that wrote this version: its `resourceVersion`.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The object as JSON, `metadata.resourceVersion` included. Shared; made anew at each call once the item is packed.
    pub fn json(&self) -> Bytes {
        let frame = self.frame();
        frame.slice(self.kind.opening().len()..frame.len() - CLOSING.len())
    }

    /// How long the JSON is.
    pub fn json_len(&self) -> usize {
        self.frame_len() - self.kind.opening().len() - CLOSING.len()
    }

    /// The object as JSON under another revision, for whoever tells of it as of a later write.
    pub fn json_at(&self, revision: u64) -> Vec<u8> {
        let (json, at) = (self.json(), self.revision_at as usize);
        [&json[..at], revision.to_string().as_bytes(), &json[at + digits(self.revision)..]].concat()
    }

    /// What selectors need of the object, computed by `parse` at first use and kept. Every caller
    /// must ask for the same type; another gets a fresh default of its own through `parse` each time.
    pub fn attributes<T: Any + Send + Sync>(&self, parse: impl FnOnce(&[u8]) -> T) -> Option<&T> {
        self.attributes.get_or_init(|| Box::new(parse(&self.json()))).downcast_ref()
    }

    pub(crate) fn revision_at(&self) -> u32 {
        self.revision_at
    }

    pub(crate) fn frame(&self) -> Bytes {
        self.frame.read().bytes()
    }

    /// How long the frame is when it is whole.
    pub(crate) fn frame_len(&self) -> usize {
        self.frame.read().len()
    }
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.key, self.revision)
    }
}

fn digits(n: u64) -> usize {
    n.checked_ilog10().unwrap_or(0) as usize + 1
}

/// One write, as watchers see it.
#[derive(Debug)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The new version; for a deletion the last value, under the deletion's revision.
    pub item: Arc<Item>,
    /// The version before, absent for [`EventKind::Added`].
    pub previous: Option<Arc<Item>>,
}

impl Event {
    /// The revision of the write.
    pub fn revision(&self) -> u64 {
        self.item.revision
    }

    /// The line that a watch sends: `{"type":"ADDED","object":{…}}` and a newline. Shared while the item is not packed.
    pub fn frame(&self) -> Bytes {
        self.item.frame()
    }

    /// The line with another type, for a watch whose selector begins or ceases to match.
    pub fn frame_as(&self, kind: EventKind) -> Bytes {
        if kind == self.kind { self.frame() } else { frame(kind, &self.item.json()) }
    }
}

/// A watch line around any JSON.
pub(crate) fn frame(kind: EventKind, json: &[u8]) -> Bytes {
    [kind.opening(), json, CLOSING].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(json: &str) -> NewValue {
        let at = json.find(r#""resourceVersion":"""#).expect("a place for the revision") + r#""resourceVersion":""#.len();
        NewValue { json: json.as_bytes().to_vec(), revision_at: at }
    }

    #[test]
    fn the_revision_is_spliced_in_and_replaced_at_deletion() {
        let item = Item::new(key("apps", "deployments", "ns", "web"), 99, EventKind::Added, &value(r#"{"metadata":{"resourceVersion":"","uid":"u"}}"#));
        assert_eq!(&item.json()[..], br#"{"metadata":{"resourceVersion":"99","uid":"u"}}"#);
        assert_eq!(item.json_at(100), br#"{"metadata":{"resourceVersion":"100","uid":"u"}}"#);
        let tricky = value(r#"{"metadata":{"resourceVersion":"","x":{"resourceVersion":"7"}}}"#);
        assert_eq!(
            Item::new(key("", "x", "", "y"), 7, EventKind::Added, &tricky).json_at(8),
            br#"{"metadata":{"resourceVersion":"8","x":{"resourceVersion":"7"}}}"#
        );
        let gone = item.deleted(100);
        assert_eq!(&gone.json()[..], br#"{"metadata":{"resourceVersion":"100","uid":"u"}}"#);
        assert_eq!(&gone.frame()[..], b"{\"type\":\"DELETED\",\"object\":{\"metadata\":{\"resourceVersion\":\"100\",\"uid\":\"u\"}}}\n");
        assert_eq!(
            Item::loaded(item.key().clone(), 99, &item.json(), item.revision_at()).deleted(7).json(),
            &br#"{"metadata":{"resourceVersion":"7","uid":"u"}}"#[..]
        );
    }

    #[test]
    fn the_resource_is_two_segments() {
        for (key, resource) in [("core/pods/a/b", "core/pods"), ("core/nodes/n", "core/nodes"), ("core/nodes", "core/nodes"), ("odd", "odd")] {
            assert_eq!(resource_of(key), resource);
        }
        assert_eq!(&*key("", "nodes", "", "n"), "core/nodes/n");
    }
}
