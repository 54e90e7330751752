//! Names of repositories, tags and digests, as the distribution and image specifications spell them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What many clients take for host and name together is 255; the name alone is kept below that.
const MAX_NAME: usize = 255;
const MAX_TAG: usize = 128;

/// Whether this names a repository: components of `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`, parted by `/`.
pub(crate) fn is_repository(name: &str) -> bool {
    name.len() <= MAX_NAME && name.split('/').all(is_component)
}

fn is_component(component: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if !component.starts_with(alphanumeric) || !component.ends_with(alphanumeric) {
        return false;
    }
    // What stands between the runs of letters and digits.
    component.split(alphanumeric).filter(|between| !between.is_empty()).all(|between| matches!(between, "." | "_" | "__") || between.bytes().all(|b| b == b'-'))
}

/// Whether this is a tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
pub(crate) fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= MAX_TAG && tag.bytes().next().is_some_and(word) && tag.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'))
}

/// How a digest is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Algorithm {
    Sha256,
    Sha512,
}

impl Algorithm {
    pub(crate) fn parse(name: &str) -> Option<Algorithm> {
        match name {
            "sha256" => Some(Algorithm::Sha256),
            "sha512" => Some(Algorithm::Sha512),
            _ => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha512 => "sha512",
        }
    }

    fn digits(self) -> usize {
        match self {
            Algorithm::Sha256 => 64,
            Algorithm::Sha512 => 128,
        }
    }
}

/// A digest, `sha256:…` or `sha512:…`, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl Digest {
    /// Reads one; `None` when it is none, or of an algorithm that is not known here.
    pub fn parse(text: &str) -> Option<Digest> {
        let (algorithm, hex) = text.split_once(':')?;
        let digits = Algorithm::parse(algorithm)?.digits();
        let good = hex.len() == digits && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        good.then(|| Digest(text.to_owned()))
    }

    pub(crate) fn new(algorithm: Algorithm, hash: &[u8]) -> Digest {
        Digest(format!("{}:{}", algorithm.name(), hex::encode(hash)))
    }

    /// `sha256:…`
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        if self.0.starts_with("sha512:") { Algorithm::Sha512 } else { Algorithm::Sha256 }
    }

    pub(crate) fn hex(&self) -> &str {
        &self.0[self.algorithm().name().len() + 1..]
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Digest {
    type Error = String;
    fn try_from(text: String) -> Result<Digest, String> {
        Digest::parse(&text).ok_or_else(|| format!("{:?} is not a digest", text.chars().take(80).collect::<String>()))
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.0
    }
}

/// What stands behind `manifests/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reference {
    Tag(String),
    Digest(Digest),
}

impl Reference {
    pub(crate) fn parse(text: &str) -> Option<Reference> {
        if text.contains(':') { Digest::parse(text).map(Reference::Digest) } else { is_tag(text).then(|| Reference::Tag(text.to_owned())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn repositories() {
        let long = "a".repeat(256);
        for (name, want) in [
            ("hello", true),
            ("team/hello", true),
            ("a/b/c/d", true),
            ("a.b", true),
            ("a_b", true),
            ("a__b", true),
            ("a---b", true),
            ("1", true),
            ("blobs/uploads", true),
            ("", false),
            ("/a", false),
            ("a/", false),
            ("a//b", false),
            ("A", false),
            ("a..b", false),
            ("a___b", false),
            ("a._b", false),
            ("-a", false),
            ("a-", false),
            ("a b", false),
            ("..", false),
            ("a/../b", false),
            ("a:b", false),
            ("ä", false),
            (&long, false),
        ] {
            assert_eq!(is_repository(name), want, "{name}");
        }
    }

    #[test]
    fn tags() {
        let (longest, longer) = ("x".repeat(128), "x".repeat(129));
        for (tag, want) in [
            ("v1", true),
            ("_", true),
            ("1.2.3-rc_1", true),
            (&longest, true),
            ("", false),
            (".a", false),
            ("-a", false),
            ("a/b", false),
            ("a:b", false),
            ("ä", false),
            (&longer, false),
        ] {
            assert_eq!(is_tag(tag), want, "{tag}");
        }
    }

    #[test]
    fn digests() {
        let (short, long) = ("0".repeat(64), "f".repeat(128));
        for (text, want) in [
            (format!("sha256:{short}"), true),
            (format!("sha512:{long}"), true),
            (format!("sha512:{short}"), false),
            (format!("sha256:{}", &short[1..]), false),
            (format!("sha256:{}", "A".repeat(64)), false),
            (format!("md5:{short}"), false),
            (short.clone(), false),
            ("sha256:../../../../etc/passwd".to_owned(), false),
        ] {
            assert_eq!(Digest::parse(&text).is_some(), want, "{text}");
        }
        assert_eq!(Digest::parse(&format!("sha512:{long}")).unwrap().hex(), long);
    }

    proptest! {
        #[test]
        fn nothing_that_is_accepted_can_leave_a_folder(text in "\\PC{0,40}") {
            for part in [is_repository(&text), is_tag(&text), Digest::parse(&text).is_some()] {
                prop_assert!(!part || (!text.contains("..") || !text.contains('/')) && !text.starts_with('/') && !text.contains('\0'));
            }
        }
    }
}
