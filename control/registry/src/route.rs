//! What a path of `/v2/` asks for. Names may contain anything that the paths themselves do (`a/blobs/uploads`), so they are read from behind.

use std::borrow::Cow;

/// What is asked for; names are not checked yet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    /// `/v2/`
    Base,
    /// `/v2/_catalog`
    Catalog,
    /// `/v2/NAME/tags/list`
    Tags { name: &'a str },
    /// `/v2/NAME/manifests/REFERENCE`
    Manifest { name: &'a str, reference: &'a str },
    /// `/v2/NAME/blobs/DIGEST`
    Blob { name: &'a str, digest: &'a str },
    /// `/v2/NAME/blobs/uploads/`
    Uploads { name: &'a str },
    /// `/v2/NAME/blobs/uploads/ID`
    Upload { name: &'a str, id: &'a str },
    /// `/v2/NAME/referrers/DIGEST`
    Referrers { name: &'a str, digest: &'a str },
}

impl<'a> Route<'a> {
    /// Reads a path that is decoded already.
    pub(crate) fn parse(path: &'a str) -> Option<Route<'a>> {
        let rest = path.strip_prefix("/v2")?;
        if rest.is_empty() || rest == "/" {
            return Some(Route::Base);
        }
        let rest = rest.strip_prefix('/')?;
        if rest == "_catalog" {
            return Some(Route::Catalog);
        }
        if let Some(name) = rest.strip_suffix("/tags/list") {
            return Some(Route::Tags { name });
        }
        if let Some(name) = rest.strip_suffix("/blobs/uploads/").or_else(|| rest.strip_suffix("/blobs/uploads")) {
            return Some(Route::Uploads { name });
        }
        let (before, last) = rest.rsplit_once('/')?;
        if let Some(name) = before.strip_suffix("/blobs/uploads") {
            return Some(Route::Upload { name, id: last });
        }
        let (name, kind) = before.rsplit_once('/')?;
        match kind {
            "manifests" => Some(Route::Manifest { name, reference: last }),
            "blobs" => Some(Route::Blob { name, digest: last }),
            "referrers" => Some(Route::Referrers { name, digest: last }),
            _ => None,
        }
    }
}

/// Decodes `%41`. What is not encoded right stays as it is, and will be refused as a name.
pub(crate) fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let decoded = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten().and_then(|hex| u8::from_str_radix(hex, 16).ok());
        out.push(decoded.unwrap_or(bytes[at]));
        at += if decoded.is_some() { 3 } else { 1 };
    }
    String::from_utf8(out).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// A query's parameters.
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(query: Option<&str>) -> Query {
        let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let decoded = |text: &str| decode(&text.replace('+', " ")).into_owned();
        Query(pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(|(key, value)| (decoded(key), decoded(value))).collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    pub(crate) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// A value for a query: everything but letters, digits and `-._~` is encoded.
pub(crate) fn encode(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        #[rustfmt::skip]
        let table = [
            ("/v2/", Some(Route::Base)),
            ("/v2", Some(Route::Base)),
            ("/v2/_catalog", Some(Route::Catalog)),
            ("/v2/a/tags/list", Some(Route::Tags { name: "a" })),
            ("/v2/a/b/manifests/v1", Some(Route::Manifest { name: "a/b", reference: "v1" })),
            ("/v2/a/manifests/sha256:00", Some(Route::Manifest { name: "a", reference: "sha256:00" })),
            ("/v2/a/blobs/sha256:00", Some(Route::Blob { name: "a", digest: "sha256:00" })),
            ("/v2/a/blobs/uploads/", Some(Route::Uploads { name: "a" })),
            ("/v2/a/blobs/uploads", Some(Route::Uploads { name: "a" })),
            ("/v2/a/blobs/uploads/id", Some(Route::Upload { name: "a", id: "id" })),
            ("/v2/a/blobs/uploads/manifests/v1", Some(Route::Manifest { name: "a/blobs/uploads", reference: "v1" })),
            ("/v2/a/referrers/sha256:00", Some(Route::Referrers { name: "a", digest: "sha256:00" })),
            ("/v2/a", None),
            ("/v2/a/other/b", None),
            ("/v1/a/manifests/b", None),
            ("/v2x/a/manifests/b", None),
        ];
        for (path, wanted) in table {
            assert_eq!(Route::parse(path), wanted, "{path}");
        }
    }

    #[test]
    fn queries() {
        let query = Query::parse(Some("digest=sha256%3Aab&from=a%2Fb&empty&x=%zz&tag=1&tag=2"));
        assert_eq!(query.get("digest"), Some("sha256:ab"));
        assert_eq!(query.get("from"), Some("a/b"));
        assert_eq!(query.get("empty"), Some(""));
        assert_eq!(query.get("x"), Some("%zz"));
        assert_eq!(query.get("none"), None);
        assert_eq!(query.all("tag").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(encode("a/b:c d"), "a%2Fb%3Ac%20d");
    }
}
