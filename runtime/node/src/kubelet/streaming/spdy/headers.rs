//! Blocks of headers: pairs of names and values, compressed with what went before in the same direction.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

use super::dictionary::DICTIONARY;
use super::frame::Malformed;

/// The longest block, once it is inflated.
const MAX_BLOCK: usize = 64 << 10;

/// Headers of a stream. Names are lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Headers(Vec<(String, String)>);

impl Headers {
    /// The value of a header, empty where there is none.
    pub(in super::super) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value.as_str())
    }

    fn parse(block: &[u8]) -> Result<Self, Malformed> {
        let mut rest = block;
        let count = number(&mut rest)?;
        let mut pairs = Vec::new();
        for _ in 0..count {
            pairs.push((text(&mut rest)?, text(&mut rest)?));
        }
        if rest.is_empty() { Ok(Headers(pairs)) } else { Err(Malformed("bytes after the headers")) }
    }

    fn block(&self) -> Vec<u8> {
        let mut block = length(self.0.len()).to_vec();
        for part in self.0.iter().flat_map(|(name, value)| [name, value]) {
            block.extend_from_slice(&length(part.len()));
            block.extend_from_slice(part.as_bytes());
        }
        block
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Headers {
    fn from(pairs: [(&str, &str); N]) -> Self {
        Headers(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }
}

fn length(of: usize) -> [u8; 4] {
    u32::try_from(of).unwrap_or(u32::MAX).to_be_bytes()
}

fn number(rest: &mut &[u8]) -> Result<usize, Malformed> {
    let (number, after) = rest.split_first_chunk().ok_or(Malformed("headers are cut short"))?;
    *rest = after;
    usize::try_from(u32::from_be_bytes(*number)).map_err(|_| Malformed("headers are too long"))
}

fn text(rest: &mut &[u8]) -> Result<String, Malformed> {
    let length = number(rest)?;
    let (text, after) = rest.split_at_checked(length).ok_or(Malformed("headers are cut short"))?;
    *rest = after;
    String::from_utf8(text.to_vec()).map_err(|_| Malformed("headers are not text"))
}

/// Reads the blocks of one direction, in their order.
pub(super) struct Inflater(Decompress);

impl Inflater {
    pub(super) fn new() -> Self {
        Inflater(Decompress::new(true))
    }

    pub(super) fn read(&mut self, mut block: &[u8]) -> Result<Headers, Malformed> {
        let mut out = vec![0; MAX_BLOCK];
        let mut written = 0;
        while !block.is_empty() {
            let (before_in, before_out) = (self.0.total_in(), self.0.total_out());
            let result = self.0.decompress(block, &mut out[written..], FlushDecompress::Sync);
            let (read, wrote) = (moved(before_in, self.0.total_in()), moved(before_out, self.0.total_out()));
            block = &block[read..];
            written += wrote;
            match result {
                Ok(_) if read + wrote > 0 => {}
                Ok(_) => return Err(Malformed("headers are too long")),
                Err(error) if error.needs_dictionary().is_some() => {
                    self.0.set_dictionary(DICTIONARY).map_err(|_| Malformed("headers have another dictionary"))?;
                }
                Err(_) => return Err(Malformed("headers do not inflate")),
            }
        }
        Headers::parse(&out[..written])
    }
}

fn moved(before: u64, after: u64) -> usize {
    usize::try_from(after - before).unwrap_or_default()
}

/// Writes the blocks of one direction, in their order.
pub(super) struct Deflater(Compress);

impl Deflater {
    pub(super) fn new() -> Self {
        let mut compress = Compress::new(Compression::default(), true);
        // Fails only in the middle of a stream.
        let _ = compress.set_dictionary(DICTIONARY);
        Deflater(compress)
    }

    pub(super) fn write(&mut self, headers: &Headers) -> Vec<u8> {
        let block = headers.block();
        let mut out = Vec::new();
        let mut read = 0;
        loop {
            out.reserve(256 + block.len());
            let before = self.0.total_in();
            let result = self.0.compress_vec(&block[read..], &mut out, FlushCompress::Sync);
            read += moved(before, self.0.total_in());
            // Room that is left means that all is flushed.
            if result.is_err() || (read == block.len() && out.len() < out.capacity()) {
                return out;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn blocks_of_zlib_are_read() {
        // The headers of a forwarded connection, compressed by zlib 1.2.13 with the draft's dictionary.
        let blocks = ["78f9e3c6a7c202253a703a2b294a4dcc851625aca9a0808614cb45a024cc64610024398b209198094adc8c0600000000ffff", "c2aa15540a2512d209000000ffff"];
        let mut inflater = Inflater::new();
        for (block, kind) in blocks.into_iter().zip(["error", "data"]) {
            let headers = inflater.read(&hex::decode(block).unwrap()).unwrap();
            assert_eq!(headers, Headers::from([("streamtype", kind), ("port", "80"), ("requestid", "0")]));
            assert_eq!((headers.get("requestID"), headers.get("none")), ("0", ""));
        }
    }

    #[test]
    fn what_is_malformed_is_refused() {
        assert!(Inflater::new().read(b"nonsense").is_err());
        let parse = |block: &[u8]| Headers::parse(block).map_err(|e| e.0);
        assert_eq!(parse(&[0, 0, 0, 1]), Err("headers are cut short"));
        assert_eq!(parse(&[0, 0, 0, 1, 0, 0, 0, 9, b'a']), Err("headers are cut short"));
        assert_eq!(parse(&[0, 0, 0, 0, 1]), Err("bytes after the headers"));
        let long = "x".repeat(MAX_BLOCK);
        let block = Deflater::new().write(&Headers::from([("a", long.as_str())]));
        assert!(block.len() < 1000, "it inflates to far more");
        assert_eq!(Inflater::new().read(&block), Err(Malformed("headers are too long")));
    }

    proptest! {
        #[test]
        fn blocks_are_read_as_they_were_written(blocks in prop::collection::vec(prop::collection::vec(("[a-z-]{1,20}", "[ -~]{0,200}"), 0..6), 1..6)) {
            let (mut deflater, mut inflater) = (Deflater::new(), Inflater::new());
            for pairs in blocks {
                let headers = Headers(pairs);
                prop_assert_eq!(inflater.read(&deflater.write(&headers)).unwrap(), headers);
            }
        }

        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Inflater::new().read(&bytes);
            let _ = Headers::parse(&bytes);
        }
    }
}
