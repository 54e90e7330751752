//! Events as the history holds them: whole while they are new, then packed. A watch that is that far behind is rare; the versions of objects
//! that have been overwritten are most of what there is.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::item::{Event, EventKind, Item};

/// What an event costs beside its versions.
const FIXED: usize = 200;
/// From so many events on, one that is kept as it is pays as what the others are described by.
const ALIKE: usize = 8;

/// An event in the history.
pub(crate) enum Held {
    Whole(Arc<Event>),
    Packed(Box<Packed>),
}

/// An event whose old versions are packed.
pub(crate) struct Packed {
    kind: EventKind,
    item: Version,
    previous: Option<Version>,
}

/// A version of an object: one that is in use elsewhere as it is, another packed.
pub(crate) enum Version {
    Whole(Arc<Item>),
    Packed(Arc<PackedItem>),
}

/// The bytes of an [`Item`], compressed.
pub(crate) struct PackedItem {
    key: Arc<str>,
    revision: u64,
    kind: EventKind,
    revision_at: u32,
    length: usize,
    frame: Box<[u8]>,
    /// The frame of another object of the kind.
    dictionary: Option<Bytes>,
}

impl Held {
    /// Packs the versions of some events, those aside that are `current`.
    pub(crate) fn pack(events: &[Arc<Event>], current: impl Fn(&Arc<Item>) -> bool) -> Vec<Held> {
        let mut compress = Compress::new(Compression::fast(), true);
        let dictionary = events.iter().find(|e| events.len() >= ALIKE && !current(&e.item)).map(|event| event.item.frame().clone());
        // What one event wrote is what another finds.
        let mut done: HashMap<u64, Arc<PackedItem>> = HashMap::new();
        let mut pack = |item: &Arc<Item>| {
            if let Some(packed) = done.get(&item.revision()) {
                return Version::Packed(packed.clone());
            }
            let Some(packed) = Some(item).filter(|item| !current(item)).and_then(|item| PackedItem::of(item, dictionary.as_ref(), &mut compress)) else {
                return Version::Whole(item.clone());
            };
            Version::Packed(done.entry(item.revision()).or_insert(Arc::new(packed)).clone())
        };
        let held = events.iter().map(|event| {
            let previous = event.previous.as_ref().map(&mut pack);
            Held::Packed(Box::new(Packed { kind: event.kind, item: pack(&event.item), previous }))
        });
        held.collect()
    }

    pub(crate) fn revision(&self) -> u64 {
        match self {
            Held::Whole(event) => event.revision(),
            Held::Packed(packed) => packed.item.revision(),
        }
    }

    /// The event, if it is not packed.
    pub(crate) fn whole(&self) -> Option<&Arc<Event>> {
        match self {
            Held::Whole(event) => Some(event),
            Held::Packed(_) => None,
        }
    }

    /// The version before, if the event is packed.
    pub(crate) fn previous(&self) -> Option<&Version> {
        match self {
            Held::Whole(_) => None,
            Held::Packed(packed) => packed.previous.as_ref(),
        }
    }

    /// Has the version that the event wrote in common with the event after it.
    pub(crate) fn share(&mut self, item: Arc<PackedItem>) {
        if let Held::Packed(packed) = self {
            packed.item = Version::Packed(item);
        }
    }

    /// The event as it was.
    pub(crate) fn event(&self) -> Arc<Event> {
        match self {
            Held::Whole(event) => event.clone(),
            Held::Packed(packed) => Arc::new(Event { kind: packed.kind, item: packed.item.item(), previous: packed.previous.as_ref().map(Version::item) }),
        }
    }

    /// The bytes that an event keeps from being freed: its own, and those of the version before.
    pub(crate) fn cost(&self) -> usize {
        match self {
            Held::Whole(event) => FIXED + event.item.frame().len() + event.previous.as_ref().map_or(0, |item| item.frame().len()),
            Held::Packed(packed) => FIXED + packed.item.cost() + packed.previous.as_ref().map_or(0, Version::cost),
        }
    }
}

impl Version {
    fn revision(&self) -> u64 {
        match self {
            Version::Whole(item) => item.revision(),
            Version::Packed(packed) => packed.revision,
        }
    }

    fn item(&self) -> Arc<Item> {
        match self {
            Version::Whole(item) => item.clone(),
            Version::Packed(packed) => Arc::new(packed.item()),
        }
    }

    fn cost(&self) -> usize {
        match self {
            Version::Whole(item) => item.frame().len(),
            Version::Packed(packed) => packed.frame.len(),
        }
    }
}

impl PackedItem {
    fn of(item: &Item, dictionary: Option<&Bytes>, compress: &mut Compress) -> Option<PackedItem> {
        let whole = item.frame();
        compress.reset();
        if let Some(dictionary) = dictionary {
            compress.set_dictionary(dictionary).ok()?;
        }
        let mut frame = Vec::with_capacity(whole.len());
        // What does not become smaller stays as it is.
        if compress.compress_vec(whole, &mut frame, FlushCompress::Finish).ok()? != Status::StreamEnd {
            return None;
        }
        let (key, revision, kind) = (item.key().clone(), item.revision(), item.kind());
        Some(PackedItem { key, revision, kind, revision_at: item.revision_at(), length: whole.len(), frame: frame.into(), dictionary: dictionary.cloned() })
    }

    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    fn item(&self) -> Item {
        let mut decompress = Decompress::new(true);
        let mut frame = Vec::with_capacity(self.length);
        let mut done = decompress.decompress_vec(&self.frame, &mut frame, FlushDecompress::Sync);
        if let (Err(error), Some(dictionary)) = (&done, &self.dictionary)
            && error.needs_dictionary().is_some()
            && decompress.set_dictionary(dictionary).is_ok()
        {
            let read = usize::try_from(decompress.total_in()).unwrap_or_default();
            done = decompress.decompress_vec(&self.frame[read..], &mut frame, FlushDecompress::Sync);
        }
        if frame.len() != self.length {
            tracing::error!(?done, key = &*self.key, revision = self.revision, "a version cannot be unpacked");
        }
        Item::unpacked(self.key.clone(), self.revision, self.kind, self.revision_at, frame)
    }
}
