//! What the objects of a kind are described by: some of them.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::packed::{self, Packed};

/// An object's bytes: as they are, or in terms of another's.
#[derive(Debug)]
pub enum Text {
    /// As they are.
    Whole(Bytes),
    /// In terms of another's.
    Packed(Packed),
}

impl Text {
    /// The bytes: shared, or made anew where they are packed.
    pub fn bytes(&self) -> Bytes {
        match self {
            Text::Whole(bytes) => bytes.clone(),
            Text::Packed(packed) => packed.unpack(),
        }
    }

    /// How long the bytes are.
    pub fn len(&self) -> usize {
        match self {
            Text::Whole(bytes) => bytes.len(),
            Text::Packed(packed) => packed.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether they are packed.
    pub fn is_packed(&self) -> bool {
        matches!(self, Text::Packed(_))
    }
}

/// What the objects of a kind are described by: some of them. One is enough where all are alike; the Pods of a Deployment are alike, and not
/// like another's.
#[derive(Debug, Default)]
pub struct Dictionary(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// The last used first.
    objects: Vec<Arc<[u8]>>,
    /// The last objects that none of them described well: each may be the first of its sort.
    strange: VecDeque<Bytes>,
    /// How many were packed since a description was added.
    since: usize,
}

/// So many objects describe a kind.
const MOST: usize = 6;
/// Once there are so many, another takes the place of one after so many objects at the earliest: each costs its length.
const PATIENCE: usize = 64;
/// How many strange objects are remembered.
const STRANGE: usize = 3;
/// A larger object describes none (LZ4 does not look further back), and is packed by itself: to try the others would take long.
const LARGEST: usize = 64 << 10;
/// To a fifth of its length an object is packed well: no better description is looked for.
const WELL: usize = 5;

impl Dictionary {
    /// Packs an object; one that nothing describes stays as it is.
    pub fn pack(&self, whole: Bytes) -> Text {
        let small = whole.len() <= LARGEST;
        let (objects, strange) = if small {
            let mut known = self.0.lock();
            known.since += 1;
            (known.objects.clone(), known.strange.clone())
        } else {
            Default::default()
        };
        // By itself, or by the first that describes it well.
        let mut best = (packed::compressed(&whole, &[]), Arc::default());
        for object in objects {
            if best.0.len() * WELL <= whole.len() {
                break;
            }
            let packed = packed::compressed(&whole, &object);
            if packed.len() < best.0.len() {
                best = (packed, object);
            }
        }
        if small && best.0.len() * WELL > whole.len() {
            // What rests again as it did is not a sort.
            let others = strange.iter().filter(|object| **object != whole).map(|object| (packed::compressed(&whole, object), object));
            match others.min_by_key(|(packed, _)| packed.len()) {
                // A third less is worth a description of its own.
                Some((packed, object)) if packed.len() * 3 <= best.0.len() * 2 => {
                    let object: Arc<[u8]> = (**object).into();
                    if self.0.lock().add(&object) {
                        best = (packed, object);
                    }
                }
                _ => self.0.lock().wonder_at(&whole),
            }
        }
        let (packed, object) = best;
        if packed.len() * 2 > whole.len() {
            return Text::Whole(whole);
        }
        self.0.lock().use_again(&object);
        Packed::of(packed, &whole, object).map_or(Text::Whole(whole), Text::Packed)
    }
}

impl Known {
    /// Adds a description, if there is room.
    fn add(&mut self, object: &Arc<[u8]>) -> bool {
        if self.objects.len() >= MOST {
            if self.since < PATIENCE {
                return false;
            }
            self.objects.truncate(MOST - 1);
        }
        self.objects.insert(0, object.clone());
        self.strange.retain(|strange| **strange != **object);
        self.since = 0;
        true
    }

    fn wonder_at(&mut self, object: &Bytes) {
        if self.strange.contains(object) {
            return;
        }
        if self.strange.len() >= STRANGE {
            self.strange.pop_front();
        }
        self.strange.push_back(object.clone());
    }

    fn use_again(&mut self, object: &Arc<[u8]>) {
        if let Some(at) = self.objects.iter().position(|known| Arc::ptr_eq(known, object)) {
            self.objects[..=at].rotate_right(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str, noise: u64) -> Bytes {
        // Not alike within itself.
        let words: Vec<String> = (0..200).map(|n: u64| (n * n * noise % 65_521).to_string()).collect();
        format!(r#"{{"name":"{name}","x":"{}"}}"#, words.concat()).into()
    }

    #[test]
    fn objects_are_packed_by_the_last_that_was_another() {
        let objects = [object("a", 7919), object("b", 7919), object("c", 7919), object("d", 104_729), object("e", 104_729)];
        let dictionary = Dictionary::default();
        let texts = objects.each_ref().map(|whole| dictionary.pack(whole.clone()));
        assert_eq!(texts.each_ref().map(Text::is_packed), [false, true, true, false, true]);
        for (text, whole) in texts.iter().zip(&objects) {
            assert_eq!((text.bytes(), text.len()), (whole.clone(), whole.len()));
            if let Text::Packed(packed) = text {
                assert!(packed.size() * 10 < whole.len(), "{} of {}", packed.size(), whole.len());
            }
        }
    }

    #[test]
    fn each_sort_is_described_by_one_of_its_own() {
        let dictionary = Dictionary::default();
        let sorts = [7919, 104_729, 611_953];
        for round in 0..20 {
            for (number, sort) in sorts.iter().enumerate() {
                let whole = object(&format!("{round}-{number}"), *sort);
                let text = dictionary.pack(whole.clone());
                assert_eq!(text.bytes(), whole);
                // The first is as it is; it describes the second.
                assert_eq!(text.is_packed(), round > 0, "{round} {number}");
            }
        }
        assert_eq!(dictionary.0.lock().objects.len(), sorts.len());
    }

    #[test]
    fn descriptions_are_bounded() {
        let dictionary = Dictionary::default();
        for sort in 0..100 {
            for name in ["a", "b"] {
                dictionary.pack(object(name, 7919 + 2 * sort));
            }
        }
        assert_eq!(dictionary.0.lock().objects.len(), MOST);
    }

    #[test]
    fn what_rests_again_does_not_describe_itself() {
        let dictionary = Dictionary::default();
        for _ in 0..3 {
            dictionary.pack(object("a", 7919));
        }
        let known = dictionary.0.lock();
        assert_eq!((known.objects.len(), known.strange.len()), (0, 1));
    }

    #[test]
    fn what_repeats_needs_no_other() {
        let repeats = Bytes::from("x".repeat(100_000));
        let text = Dictionary::default().pack(repeats.clone());
        assert!(text.is_packed());
        assert_eq!(text.bytes(), repeats);
        assert!(!Dictionary::default().pack(Bytes::new()).is_packed());
    }
}
