//! Image references, as Docker reads them.

use std::fmt;

use oci_distribution::Reference as Oci;

use crate::error::ImageError;

/// A parsed reference: registry, repository, and a tag or a digest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference(Oci);

impl Reference {
    /// Parses as Docker does: `nginx` is `docker.io/library/nginx:latest`.
    pub fn parse(text: &str) -> Result<Reference, ImageError> {
        let invalid = |message: &str| ImageError::InvalidName { reference: text.chars().take(1024).collect(), message: message.into() };
        match parse(text) {
            Ok(parsed) => Ok(Reference(parsed)),
            Err(message) => {
                let uppercase = text.split('@').next().is_some_and(|name| {
                    let (name, _) = name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).unwrap_or((name, ""));
                    name.bytes().any(|b| b.is_ascii_uppercase()) && parse(&name.to_ascii_lowercase()).is_ok()
                });
                Err(invalid(if uppercase { "invalid reference format: repository name must be lowercase" } else { message }))
            }
        }
    }

    /// The registry, `host[:port]`: `docker.io` for short names.
    pub fn registry(&self) -> &str {
        self.0.registry()
    }

    /// The repository, `library/nginx`.
    pub fn repository(&self) -> &str {
        self.0.repository()
    }

    /// The tag; `latest` is filled in unless there is a digest.
    pub fn tag(&self) -> Option<&str> {
        self.0.tag()
    }

    /// The digest, `sha256:…`.
    pub fn digest(&self) -> Option<&str> {
        self.0.digest()
    }

    /// Whether the registry is on this machine's loopback, where plain HTTP is spoken.
    pub fn is_loopback(&self) -> bool {
        let host = self.registry();
        let host = host.strip_prefix('[').and_then(|h| h.split(']').next()).unwrap_or_else(|| host.rsplit_once(':').map_or(host, |(h, _)| h));
        host == "localhost" || host.ends_with(".localhost") || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    /// The same repository and tag or digest in another registry, when the text names no registry itself: `hello:v1`, `team/hello`.
    pub fn bare_in(text: &str, registry: &str) -> Option<Reference> {
        let first = text.split_once('/').map_or("", |(first, _)| first);
        let names_registry = first == "localhost" || first.contains(['.', ':']);
        if names_registry { None } else { Reference::parse(&format!("{registry}/{text}")).ok() }
    }

    pub(crate) fn oci(&self) -> &Oci {
        &self.0
    }

    pub(crate) fn with_digest(&self, digest: &str) -> Reference {
        Reference(self.0.clone_with_digest(digest.to_string()))
    }
}

/// By hand: the library's parser is a regular expression that takes eight megabytes for as long as the process lives.
fn parse(text: &str) -> Result<Oci, &'static str> {
    const FORMAT: &str = "invalid reference format";
    if text.is_empty() {
        return Err("repository name must have at least one component");
    }
    let (rest, digest) = text.split_once('@').map_or((text, None), |(rest, digest)| (rest, Some(digest)));
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (rest, None),
    };
    if !is_name(name) || tag.is_some_and(|tag| !is_tag(tag)) || digest.is_some_and(|digest| !is_digest(digest)) {
        return Err(FORMAT);
    }
    let (registry, repository) = match name.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (if host == "index.docker.io" { DOCKER } else { host }, path),
        _ => (DOCKER, name),
    };
    let official = registry == DOCKER && !repository.contains('/');
    let repository = if official { format!("library/{repository}") } else { repository.to_owned() };
    if repository.len() > 255 {
        return Err("repository name must not be more than 255 characters");
    }
    if let Some((algorithm, hex)) = digest.and_then(|d| d.split_once(':')) {
        match (algorithm, hex.len()) {
            ("sha256", 64) | ("sha384", 96) | ("sha512", 128) => {}
            ("sha256" | "sha384" | "sha512", _) => return Err("invalid checksum digest length"),
            _ => return Err("unsupported digest algorithm"),
        }
    }
    let (registry, tag, digest) = (registry.to_owned(), tag.map(str::to_owned), digest.map(str::to_owned));
    Ok(match (tag, digest) {
        (Some(tag), Some(digest)) => Oci::with_tag_and_digest(registry, repository, tag, digest),
        (None, Some(digest)) => Oci::with_digest(registry, repository, digest),
        (tag, None) => Oci::with_tag(registry, repository, tag.unwrap_or_else(|| "latest".to_owned())),
    })
}

const DOCKER: &str = "docker.io";

/// `[domain[:port]/]component[/component…]`
fn is_name(name: &str) -> bool {
    let mut parts = name.split('/');
    let first = parts.next().unwrap_or_default();
    let more = name.contains('/');
    (is_component(first) || (more && is_domain(first))) && parts.all(is_component)
}

fn is_domain(text: &str) -> bool {
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let label =
        |label: &str| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-') && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    host.split('.').all(label) && port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
}

/// Lowercase letters and digits, with `.`, `_`, `__` or hyphens between them.
fn is_component(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let separators = text.as_bytes().split(|b| word(*b)).filter(|s| !s.is_empty());
    let ends = text.bytes().next().is_some_and(word) && text.bytes().next_back().is_some_and(word);
    ends && separators.into_iter().all(|s| matches!(s, b"." | b"_" | b"__") || s.iter().all(|b| *b == b'-'))
}

fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= 128 && text.bytes().next().is_some_and(word) && text.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

/// `algorithm:hex`, the algorithm of words that begin with a letter.
fn is_digest(text: &str) -> bool {
    let Some((algorithm, hex)) = text.split_once(':') else { return false };
    let word = |word: &str| word.bytes().next().is_some_and(|b| b.is_ascii_alphabetic()) && word.bytes().all(|b| b.is_ascii_alphanumeric());
    algorithm.split(['-', '_', '+', '.']).all(word) && hex.len() >= 32 && hex.bytes().all(|b| b.is_ascii_hexdigit())
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_completes_names() {
        let d = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        for (text, want) in [
            ("nginx", "docker.io/library/nginx:latest".to_string()),
            ("nginx:1.14.2", "docker.io/library/nginx:1.14.2".to_string()),
            ("foo/bar", "docker.io/foo/bar:latest".to_string()),
            ("127.0.0.1:5000/a/b:c", "127.0.0.1:5000/a/b:c".to_string()),
            ("localhost/a", "localhost/a:latest".to_string()),
            ("ghcr.io/x/y", "ghcr.io/x/y:latest".to_string()),
            (&format!("ghcr.io/x/y@{d}"), format!("ghcr.io/x/y@{d}")),
            (&format!("ghcr.io/x/y:1@{d}"), format!("ghcr.io/x/y:1@{d}")),
        ] {
            assert_eq!(Reference::parse(text).unwrap().to_string(), want);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for (text, want) in [
            ("", "couldn't parse image name"),
            ("Nginx", "repository name must be lowercase"),
            ("a b", "invalid reference format"),
            ("nginx:", "invalid reference format"),
            ("nginx@sha256:abc", "invalid reference format"),
            ("http://x/y", "invalid reference format"),
        ] {
            let error = Reference::parse(text).unwrap_err();
            assert_eq!(error.reason(), "InvalidImageName");
            assert!(error.to_string().contains(want), "{text}: {error}");
        }
        assert!(Reference::parse(&"a".repeat(5000)).is_err());
    }

    /// What the library's own parser makes of it.
    fn same(text: &str) {
        let theirs = text.parse::<Oci>();
        let ours = Reference::parse(text);
        assert_eq!(ours.as_ref().ok().map(|r| &r.0), theirs.as_ref().ok(), "{text:?}: {ours:?}, {theirs:?}");
    }

    #[test]
    fn as_the_library_reads_them() {
        let d = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        for text in [
            "a",
            "a/",
            "/a",
            "a//b",
            "a.b",
            "a..b",
            "a_b",
            "a__b",
            "a___b",
            "a--b",
            "a-",
            "-a",
            "a.-b",
            "A/b",
            "A.b/c",
            "a:1",
            "a:1/b",
            "a:x/b",
            "a.:1/b",
            "a:",
            "a:1:2",
            "a:1/b:2",
            "a.b:5000",
            "a.b:5000/c",
            "localhost",
            "localhost/a",
            "localhost:1/a",
            "index.docker.io/a",
            "docker.io/a",
            "docker.io/a/b",
            "a-.b/c",
            "a/B",
            "a:_",
            "a:.",
            "a:-x",
            "a:X.y-z_",
            "a b",
            "ä",
            "a@",
            "a@x",
            "[::1]:5000/a",
            "a/b/c/d",
            "1.2.3.4/a",
            "1.2.3.4:5/a",
            "a@sha256:00",
            "_a",
            "a_",
            "a/_b",
        ] {
            same(text);
        }
        for text in [
            format!("a@{d}"),
            format!("a:1@{d}"),
            format!("a@{d}@{d}"),
            format!("a@{}", d.to_uppercase()),
            format!("a@sha512{}", &d[6..]),
            format!("a@x+y.z{}", &d[6..]),
        ] {
            same(&text);
        }
        // The grammar's word characters are ASCII; the library takes more.
        assert!(Reference::parse("a:ä").is_err());
        same(&format!("a:{}", "t".repeat(128)));
        same(&format!("a:{}", "t".repeat(129)));
        same(&format!("a.b/{}", "t".repeat(255)));
        same(&format!("a.b/{}", "t".repeat(256)));
    }

    proptest::proptest! {
        #[test]
        fn as_the_library_reads_anything(text in "[a-bA0.:/@_ -]{0,12}") {
            same(&text);
        }
    }

    #[test]
    fn bare_names_are_those_without_a_registry() {
        let own = |text: &str| Reference::bare_in(text, "registry.wharf.local").map(|r| r.to_string());
        assert_eq!(own("hello").as_deref(), Some("registry.wharf.local/hello:latest"));
        assert_eq!(own("team/hello:v1").as_deref(), Some("registry.wharf.local/team/hello:v1"));
        for named in ["docker.io/library/hello", "localhost/hello", "localhost:5000/hello", "ghcr.io/a/b", "Hello"] {
            assert_eq!(own(named), None, "{named}");
        }
    }

    #[test]
    fn loopback_is_seen() {
        for (text, want) in [
            ("localhost:5000/a", true),
            ("127.0.0.1:1/a", true),
            ("127.9.9.9/a", true),
            ("registry.localhost:5000/a", true),
            ("10.0.0.1:5000/a", false),
            ("nginx", false),
        ] {
            assert_eq!(Reference::parse(text).unwrap().is_loopback(), want, "{text}");
        }
    }
}
