//! Byte ranges: those that a client wants of a blob, and those that it sends of one.

/// What a `Range` header wants of so many bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All: there is no header, or one that is not understood, which may be passed over.
    All,
    /// From the first to the last byte, both included.
    Part(u64, u64),
    /// Nothing that there is.
    Nothing,
}

/// Reads `bytes=0-99`, `bytes=100-`, `bytes=-100`.
pub(crate) fn wanted(header: Option<&str>, size: u64) -> Wanted {
    let Some(range) = header.and_then(|header| header.trim().strip_prefix("bytes=")) else { return Wanted::All };
    let Some((first, last)) = range.trim().split_once('-') else { return Wanted::All };
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
    match (first.is_empty(), last.is_empty()) {
        (true, true) => Wanted::All,
        (true, false) => match number(last) {
            None => Wanted::All,
            Some(0) => Wanted::Nothing,
            Some(_) if size == 0 => Wanted::Nothing,
            Some(count) => Wanted::Part(size.saturating_sub(count), size - 1),
        },
        (false, _) => match (number(first), if last.is_empty() { Some(u64::MAX) } else { number(last) }) {
            (Some(first), Some(last)) if first <= last => {
                if first < size {
                    Wanted::Part(first, last.min(size - 1))
                } else {
                    Wanted::Nothing
                }
            }
            _ => Wanted::All,
        },
    }
}

/// Reads a chunk's `Content-Range`, `0-99`; also the form that HTTP has, `bytes 0-99/*`. First byte and length.
pub(crate) fn sent(header: &str) -> Option<(u64, u64)> {
    let range = header.trim();
    let range = range.strip_prefix("bytes").map_or(range, |rest| rest.trim_start_matches(['=', ' ']));
    let range = range.split('/').next().unwrap_or_default();
    let (first, last) = range.split_once('-')?;
    let digits = |text: &str| (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse::<u64>().ok()).flatten();
    let (first, last) = (digits(first)?, digits(last)?);
    Some((first, last.checked_sub(first)?.checked_add(1)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_blob() {
        for (header, size, want) in [
            (None, 10, Wanted::All),
            (Some("bytes=0-3"), 10, Wanted::Part(0, 3)),
            (Some("bytes=4-"), 10, Wanted::Part(4, 9)),
            (Some("bytes=4-99"), 10, Wanted::Part(4, 9)),
            (Some("bytes=-3"), 10, Wanted::Part(7, 9)),
            (Some("bytes=-30"), 10, Wanted::Part(0, 9)),
            (Some("bytes=10-"), 10, Wanted::Nothing),
            (Some("bytes=-0"), 10, Wanted::Nothing),
            (Some("bytes=0-"), 0, Wanted::Nothing),
            (Some("bytes=5-4"), 10, Wanted::All),
            (Some("bytes=0-1,3-4"), 10, Wanted::All),
            (Some("lines=0-1"), 10, Wanted::All),
            (Some("bytes=-"), 10, Wanted::All),
            (Some("bytes=+1-2"), 10, Wanted::All),
            (Some("bytes=99999999999999999999-"), 10, Wanted::All),
        ] {
            assert_eq!(wanted(header, size), want, "{header:?} of {size}");
        }
    }

    #[test]
    fn of_a_chunk() {
        for (header, want) in [
            ("0-99", Some((0, 100))),
            ("100-100", Some((100, 1))),
            ("bytes 0-9/*", Some((0, 10))),
            ("bytes=0-9", Some((0, 10))),
            ("9-0", None),
            ("0-", None),
            ("-9", None),
            ("x", None),
            ("0-18446744073709551615", None),
        ] {
            assert_eq!(sent(header), want, "{header}");
        }
    }
}
