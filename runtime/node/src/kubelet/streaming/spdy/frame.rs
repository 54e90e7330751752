//! Frames of SPDY draft 3: control frames, and data whose payload is read as it comes.

use super::headers::{Deflater, Headers, Inflater};

/// The longest payload of a control frame.
pub(super) const MAX_CONTROL: usize = 64 << 10;

/// Streams are refused with this status.
pub(super) const REFUSED_STREAM: u32 = 3;
/// Streams that are no longer wanted.
pub(super) const CANCEL: u32 = 5;

const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEADERS: u16 = 8;
const FIN: u8 = 1;

/// What breaks the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("SPDY: {0}")]
pub(super) struct Malformed(pub(super) &'static str);

/// The first eight bytes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// A payload of so many bytes, to be read with [`control`].
    Control { kind: u16, flags: u8, length: usize },
    /// So many bytes of a stream.
    Data { stream: u32, fin: bool, length: usize },
}

impl Head {
    pub(super) fn parse(bytes: [u8; 8]) -> Result<Self, Malformed> {
        let [a, b, c, d, flags, e, f, g] = bytes;
        let length = usize::from(e) << 16 | usize::from(f) << 8 | usize::from(g);
        if a & 0x80 == 0 {
            return Ok(Head::Data { stream: u32::from_be_bytes([a, b, c, d]), fin: flags & FIN != 0, length });
        }
        if u16::from_be_bytes([a & 0x7f, b]) != 3 {
            return Err(Malformed("another version"));
        }
        if length > MAX_CONTROL {
            return Err(Malformed("a control frame is too long"));
        }
        Ok(Head::Control { kind: u16::from_be_bytes([c, d]), flags, length })
    }
}

/// A control frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Control {
    SynStream {
        stream: u32,
        fin: bool,
        headers: Headers,
    },
    SynReply {
        stream: u32,
        fin: bool,
    },
    Reset {
        stream: u32,
    },
    Ping {
        id: u32,
    },
    GoAway,
    /// Of more headers, only that they end the stream matters.
    Headers {
        stream: u32,
        fin: bool,
    },
    /// Settings, windows, credentials: nothing follows of them.
    Other,
}

/// Reads a control frame's payload. Every block of headers has to come by, for the sake of the next.
pub(super) fn control(kind: u16, flags: u8, payload: &[u8], inflater: &mut Inflater) -> Result<Control, Malformed> {
    let fin = flags & FIN != 0;
    let number = |at: usize| payload.get(at..at + 4).and_then(|n| n.try_into().ok()).map(u32::from_be_bytes).ok_or(Malformed("a frame is cut short"));
    let block = |at: usize| payload.get(at..).ok_or(Malformed("a frame is cut short"));
    let stream = |at: usize| Ok(number(at)? & 0x7fff_ffff);
    Ok(match kind {
        SYN_STREAM => Control::SynStream { stream: stream(0)?, fin, headers: inflater.read(block(10)?)? },
        SYN_REPLY => {
            inflater.read(block(4)?)?;
            Control::SynReply { stream: stream(0)?, fin }
        }
        RST_STREAM => Control::Reset { stream: stream(0)? },
        PING => Control::Ping { id: number(0)? },
        GOAWAY => Control::GoAway,
        HEADERS => {
            inflater.read(block(4)?)?;
            Control::Headers { stream: stream(0)?, fin }
        }
        _ => Control::Other,
    })
}

/// A control frame's bytes.
fn write(kind: u16, flags: u8, payload: &[&[u8]]) -> Vec<u8> {
    let length: usize = payload.iter().map(|p| p.len()).sum();
    let [_, high, middle, low] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    let [a, b] = kind.to_be_bytes();
    let mut bytes = vec![0x80, 3, a, b, flags, high, middle, low];
    payload.iter().for_each(|p| bytes.extend_from_slice(p));
    bytes
}

/// Opens a stream, without a priority.
#[cfg(test)]
pub(super) fn syn_stream(stream: u32, headers: &Headers, deflater: &mut Deflater) -> Vec<u8> {
    write(SYN_STREAM, 0, &[&stream.to_be_bytes(), &[0; 6], &deflater.write(headers)])
}

/// Accepts a stream.
pub(super) fn syn_reply(stream: u32, deflater: &mut Deflater) -> Vec<u8> {
    write(SYN_REPLY, 0, &[&stream.to_be_bytes(), &deflater.write(&Headers::default())])
}

/// Ends a stream at once.
pub(super) fn reset(stream: u32, status: u32) -> Vec<u8> {
    write(RST_STREAM, 0, &[&stream.to_be_bytes(), &status.to_be_bytes()])
}

/// Asks, or answers with the number that was asked with.
pub(super) fn ping(id: u32) -> Vec<u8> {
    write(PING, 0, &[&id.to_be_bytes()])
}

/// Says that no stream after this one will be served.
pub(super) fn go_away(last: u32) -> Vec<u8> {
    write(GOAWAY, 0, &[&last.to_be_bytes(), &[0; 4]])
}

/// A piece of a stream.
pub(super) fn data(stream: u32, fin: bool, bytes: &[u8]) -> Vec<u8> {
    let [_, high, middle, low] = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut frame = Vec::with_capacity(8 + bytes.len());
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(&[u8::from(fin), high, middle, low]);
    frame.extend_from_slice(bytes);
    frame
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(bytes: &[u8], inflater: &mut Inflater) -> Result<Control, Malformed> {
        let (head, payload) = bytes.split_first_chunk().expect("eight bytes");
        match Head::parse(*head)? {
            Head::Control { kind, flags, length } => {
                assert_eq!(length, payload.len());
                control(kind, flags, payload, inflater)
            }
            Head::Data { .. } => panic!("data"),
        }
    }

    #[test]
    fn frames_are_read_as_they_were_written() {
        let (mut deflater, mut inflater) = (Deflater::new(), Inflater::new());
        let headers = Headers::from([("streamtype", "stdin")]);
        for stream in [1, 3] {
            let read = parse(&syn_stream(stream, &headers, &mut deflater), &mut inflater);
            assert_eq!(read, Ok(Control::SynStream { stream, fin: false, headers: headers.clone() }));
        }
        assert_eq!(parse(&syn_reply(3, &mut deflater), &mut inflater), Ok(Control::SynReply { stream: 3, fin: false }));
        assert_eq!(parse(&reset(5, CANCEL), &mut inflater), Ok(Control::Reset { stream: 5 }));
        assert_eq!(parse(&ping(2), &mut inflater), Ok(Control::Ping { id: 2 }));
        assert_eq!(parse(&go_away(7), &mut inflater), Ok(Control::GoAway));
        let bytes = data(9, true, b"hi");
        let (head, payload) = bytes.split_first_chunk().unwrap();
        assert_eq!((Head::parse(*head), payload), (Ok(Head::Data { stream: 9, fin: true, length: 2 }), b"hi".as_slice()));
    }

    #[test]
    fn the_drafts_bytes() {
        #[rustfmt::skip]
        let table: [(&[u8], Result<Control, Malformed>); 6] = [
            (&[0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1], Ok(Control::Ping { id: 1 })),
            (&[0x80, 3, 0, 3, 0, 0, 0, 8, 0, 0, 0, 5, 0, 0, 0, 1], Ok(Control::Reset { stream: 5 })),
            (&[0x80, 3, 0, 4, 0, 0, 0, 4, 0, 0, 0, 0], Ok(Control::Other)),
            (&[0x80, 3, 0, 9, 0, 0, 0, 8, 0, 0, 0, 1, 0, 1, 0, 0], Ok(Control::Other)),
            (&[0x80, 3, 0, 6, 0, 0, 0, 2, 0, 0], Err(Malformed("a frame is cut short"))),
            (&[0x80, 2, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1], Err(Malformed("another version"))),
        ];
        for (bytes, wanted) in table {
            assert_eq!(parse(bytes, &mut Inflater::new()), wanted, "{bytes:?}");
        }
        assert_eq!(Head::parse([0x80, 3, 0, 1, 0, 1, 0, 1]), Err(Malformed("a control frame is too long")));
    }

    proptest! {
        #[test]
        fn nothing_panics(head: [u8; 8], payload in prop::collection::vec(any::<u8>(), 0..64), kind in 0_u16..12, flags: u8) {
            let _ = Head::parse(head);
            let _ = control(kind, flags, &payload, &mut Inflater::new());
        }
    }
}
