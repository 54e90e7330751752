//! The query of a request.

use std::borrow::Cow;

/// Decoded pairs, in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    pub(crate) fn parse(text: Option<&'a str>) -> Query<'a> {
        let pairs = text.unwrap_or_default().split('&').filter(|p| !p.is_empty());
        Query(pairs.map(|p| p.split_once('=').unwrap_or((p, ""))).map(|(k, v)| (percent_decode(k, true), percent_decode(v, true))).collect())
    }

    /// The first value of a key; empty when it is absent.
    pub(crate) fn get(&self, key: &str) -> &str {
        self.0.iter().find(|(k, _)| k == key).map_or("", |(_, v)| v)
    }

    /// All values of a key.
    pub(crate) fn all(&self, key: &str) -> Vec<&str> {
        self.0.iter().filter(|(k, _)| k == key).map(|(_, v)| &**v).collect()
    }

    /// Whether the key is there at all.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.iter().any(|(k, _)| k == key)
    }

    /// A truth value as Kubernetes' conversion reads it: anything but absence, `false`, `0` (and `False`) is true.
    pub(crate) fn flag(&self, key: &str) -> bool {
        self.has(key) && !matches!(self.get(key), "false" | "0" | "False" | "FALSE" | "f" | "F")
    }

    /// A number; `None` when absent, empty or no number.
    pub(crate) fn number(&self, key: &str) -> Option<i64> {
        self.get(key).parse().ok()
    }
}

/// Undoes percent-encoding, in queries (`plus`) also `+` for a space. Bytes that make no UTF-8 are replaced.
pub(crate) fn percent_decode(text: &str, plus: bool) -> Cow<'_, str> {
    if !text.bytes().any(|b| b == b'%' || (plus && b == b'+')) {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let decoded = (bytes[at] == b'%').then(|| bytes.get(at + 1..at + 3)).flatten().and_then(|h| std::str::from_utf8(h).ok()).and_then(hex);
        match decoded {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(if plus && bytes[at] == b'+' { b' ' } else { bytes[at] });
                at += 1;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

fn hex(two: &str) -> Option<u8> {
    two.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u8::from_str_radix(two, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_flags_and_escapes() {
        let query = Query::parse(Some("watch=1&labelSelector=x%20in+(1%2C2)&force&dryRun=All&bad=%zz"));
        assert!(query.flag("watch") && query.flag("force") && !query.flag("none"));
        assert_eq!(query.get("labelSelector"), "x in (1,2)");
        assert_eq!(query.get("bad"), "%zz");
        assert_eq!(query.all("dryRun"), ["All"]);
        assert!(!Query::parse(Some("watch=false")).flag("watch"));
    }
}
