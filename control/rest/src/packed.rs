//! Bytes in terms of others.

use bytes::Bytes;
use lz4_flex::block::{compress_with_dict, decompress_into_with_dict};

/// Bytes, compressed.
#[derive(Debug)]
pub struct Packed {
    length: usize,
    bytes: Box<[u8]>,
    dictionary: Bytes,
}

impl Packed {
    /// Some bytes in terms of others; `None` where that does not make them half as long at least.
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

    /// How many bytes they take.
    #[cfg(test)]
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }
}
