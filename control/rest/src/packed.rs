//! Bytes in terms of others.

use std::sync::Arc;

use bytes::Bytes;
use lz4_flex::block::{compress_prepend_size_with_dict, decompress_into_with_dict, uncompressed_size};

/// Bytes, compressed.
#[derive(Debug)]
pub struct Packed {
    /// With the length of what they were in front.
    bytes: Box<[u8]>,
    dictionary: Arc<[u8]>,
}

/// Some bytes in terms of others.
pub(crate) fn compressed(whole: &[u8], dictionary: &[u8]) -> Vec<u8> {
    compress_prepend_size_with_dict(whole, dictionary)
}

impl Packed {
    /// What [`compressed`] has made of some bytes; `None` where it is not what they were.
    pub(crate) fn of(bytes: Vec<u8>, whole: &[u8], dictionary: Arc<[u8]>) -> Option<Packed> {
        let packed = Packed { bytes: bytes.into(), dictionary };
        // What is packed is all there is of it in memory.
        (packed.unpack() == whole).then_some(packed)
    }

    /// The bytes as they were.
    pub(crate) fn unpack(&self) -> Bytes {
        let Ok((length, bytes)) = uncompressed_size(&self.bytes) else { return Bytes::new() };
        let mut whole = vec![0; length];
        match decompress_into_with_dict(bytes, &mut whole, &self.dictionary) {
            Ok(length) => whole.truncate(length),
            Err(error) => tracing::error!(%error, "bytes at rest cannot be read"),
        }
        whole.into()
    }

    /// How long the bytes are.
    pub(crate) fn len(&self) -> usize {
        uncompressed_size(&self.bytes).map_or(0, |(length, _)| length)
    }

    /// How many bytes they take.
    #[cfg(test)]
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }
}
