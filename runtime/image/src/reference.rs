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
        let invalid = |message: String| ImageError::InvalidName { reference: text.to_string(), message };
        // The parser takes anything up to its regular expression's size; a reference longer than this is nobody's.
        if text.len() > 1024 {
            return Err(ImageError::InvalidName { reference: text.chars().take(64).collect(), message: "invalid reference format".into() });
        }
        let parsed: Oci = text.parse().map_err(|e: oci_distribution::ParseError| {
            let uppercase = text.split('@').next().is_some_and(|name| {
                let (name, _) = name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).unwrap_or((name, ""));
                name.bytes().any(|b| b.is_ascii_uppercase()) && name.to_ascii_lowercase().parse::<Oci>().is_ok()
            });
            invalid(if uppercase { "invalid reference format: repository name must be lowercase".into() } else { e.to_string() })
        })?;
        Ok(Reference(parsed))
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
