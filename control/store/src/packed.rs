//! What an item's bytes are when it has been let rest: compressed, as what differs from another object of its kind.

use bytes::Bytes;
use lz4_flex::block::{compress_with_dict, decompress_into_with_dict};

/// Bytes, compressed.
pub(crate) struct Packed {
    length: usize,
    bytes: Box<[u8]>,
    /// The bytes of another object of the kind.
    dictionary: Bytes,
}

impl Packed {
    /// Some bytes in the terms of others; `None` where that does not make them half as long at least.
    pub(crate) fn of(whole: &[u8], dictionary: &Bytes) -> Option<Packed> {
        let bytes = compress_with_dict(whole, dictionary);
        if bytes.len() * 2 > whole.len() {
            return None;
        }
        let packed = Packed { length: whole.len(), bytes: bytes.into(), dictionary: dictionary.clone() };
        // What is packed is all there is of it in memory.
        (packed.unpack() == whole).then_some(packed)
    }

    /// The bytes as they were.
    pub(crate) fn unpack(&self) -> Bytes {
        let mut whole = vec![0; self.length];
        match decompress_into_with_dict(&self.bytes, &mut whole, &self.dictionary) {
            Ok(length) => whole.truncate(length),
            Err(error) => tracing::error!(%error, "bytes at rest cannot be read"),
        }
        whole.into()
    }

    /// How long the bytes are.
    pub(crate) fn len(&self) -> usize {
        self.length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(n: u64) -> Bytes {
        // Not alike within itself.
        let words: Vec<String> = (0..200).map(|n: u64| (n * n * 7919 % 65_521).to_string()).collect();
        format!(r#"{{"resourceVersion":"{n}","x":"{}"}}"#, words.concat()).into()
    }

    #[test]
    fn alike_objects_take_little_and_read_as_they_were() {
        let (one, other) = (object(1), object(2));
        let packed = Packed::of(&other, &one).expect("it is nearly the same");
        assert!(packed.bytes.len() * 10 < other.len(), "{} of {}", packed.bytes.len(), other.len());
        assert_eq!((packed.unpack(), packed.len()), (other.clone(), other.len()));
    }

    #[test]
    fn what_does_not_become_much_smaller_stays() {
        for dictionary in [Bytes::new(), Bytes::from_static(b"{\"kind\":\"Pod\"}")] {
            assert!(Packed::of(&object(1), &dictionary).is_none());
            assert!(Packed::of(b"", &dictionary).is_none());
        }
        let repeats = "x".repeat(100_000);
        assert_eq!(Packed::of(repeats.as_bytes(), &Bytes::new()).expect("it repeats").unpack(), repeats.as_bytes());
    }
}
