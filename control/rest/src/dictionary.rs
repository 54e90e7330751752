//! What the objects of a kind are described by: one of them.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::packed::Packed;

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

/// The bytes of the last object of a kind that was not described by the one before.
#[derive(Debug, Default)]
pub struct Dictionary(Mutex<Arc<[u8]>>);

impl Dictionary {
    /// Packs an object; one that the dictionary does not describe stays as it is, and is the dictionary from now on.
    pub fn pack(&self, whole: Bytes) -> Text {
        let dictionary = self.0.lock().clone();
        match Packed::of(&whole, &dictionary) {
            Some(packed) => Text::Packed(packed),
            None => {
                *self.0.lock() = (*whole).into();
                Text::Whole(whole)
            }
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
    fn what_repeats_needs_no_other() {
        let repeats = Bytes::from("x".repeat(100_000));
        let text = Dictionary::default().pack(repeats.clone());
        assert!(text.is_packed());
        assert_eq!(text.bytes(), repeats);
        assert!(!Dictionary::default().pack(Bytes::new()).is_packed());
    }
}
