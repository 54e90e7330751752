//! What the host offers to components, and whether a component asks for more.

use std::collections::BTreeMap;

/// Interfaces that the host provides, with their versions.
#[derive(Clone, Debug)]
pub struct Offers {
    /// `wasi:http/types` → versions.
    interfaces: BTreeMap<String, Vec<Version>>,
}

/// `major.minor.patch`, and what follows a `-`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Version {
    numbers: [u64; 3],
    pre: String,
}

impl Offers {
    /// A table from names such as `wasi:cli/environment@0.2.6`; a name without a version is offered without one.
    pub fn new<I: IntoIterator<Item = S>, S: AsRef<str>>(names: I) -> Offers {
        let mut interfaces: BTreeMap<String, Vec<Version>> = BTreeMap::new();
        for name in names {
            let (interface, version) = split(name.as_ref());
            let versions = interfaces.entry(interface.to_string()).or_default();
            versions.extend(version.and_then(Version::parse));
        }
        Offers { interfaces }
    }

    /// What the engine offers, for this crate's own tests.
    #[cfg(test)]
    pub(crate) fn of_the_engine() -> Offers {
        Offers::new(wharf_engine::offers())
    }

    /// Adds names to the table.
    pub fn with<I: IntoIterator<Item = S>, S: AsRef<str>>(mut self, names: I) -> Offers {
        for (interface, versions) in Offers::new(names).interfaces {
            self.interfaces.entry(interface).or_default().extend(versions);
        }
        self
    }

    /// The imports that are not offered, in words: interface, wanted and offered version. Empty when all are.
    pub fn missing<'a>(&self, imports: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        imports.into_iter().filter_map(|import| self.refusal(import)).collect()
    }

    fn refusal(&self, import: &str) -> Option<String> {
        let (interface, version) = split(import);
        let Some(offered) = self.interfaces.get(interface) else {
            let near = match interface.split_once('/') {
                Some((package, _)) if self.interfaces.keys().any(|i| i.starts_with(package) && i[package.len()..].starts_with('/')) => {
                    format!(" (of {package} it offers other interfaces)")
                }
                _ => String::new(),
            };
            return Some(format!("it imports {import}, which this node does not offer{near}"));
        };
        let Some(wanted) = version else {
            return (!offered.is_empty()).then(|| format!("it imports {interface} without a version; this node offers {}", list(interface, offered)));
        };
        let ok = Version::parse(wanted).is_some_and(|wanted| offered.iter().any(|o| o.serves(&wanted)));
        (!ok).then(|| format!("it imports {import}; this node offers {}", list(interface, offered)))
    }
}

fn list(interface: &str, offered: &[Version]) -> String {
    if offered.is_empty() {
        return format!("{interface} without a version");
    }
    let names: Vec<String> = offered.iter().map(|v| format!("{interface}@{v}")).collect();
    names.join(" and ")
}

fn split(name: &str) -> (&str, Option<&str>) {
    name.split_once('@').map_or((name, None), |(i, v)| (i, Some(v)))
}

impl Version {
    fn parse(text: &str) -> Option<Version> {
        let text = text.split('+').next().unwrap_or(text);
        let (numbers, pre) = text.split_once('-').unwrap_or((text, ""));
        let mut parts = numbers.split('.').map(|p| p.parse::<u64>());
        let mut next = || parts.next().unwrap_or(Ok(0)).ok();
        let numbers = [next()?, next()?, next()?];
        Some(Version { numbers, pre: pre.to_string() })
    }

    /// Semantic versions: equal in the first number that is not zero, as the component model's linking has it.
    /// A pre-release serves only itself.
    fn serves(&self, wanted: &Version) -> bool {
        if !self.pre.is_empty() || !wanted.pre.is_empty() {
            return self == wanted;
        }
        let [major, minor, _] = self.numbers;
        let [wanted_major, wanted_minor, _] = wanted.numbers;
        match (major, minor) {
            (0, 0) => self == wanted,
            (0, _) => wanted_major == 0 && wanted_minor == minor,
            _ => wanted_major == major,
        }
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [major, minor, patch] = self.numbers;
        write!(f, "{major}.{minor}.{patch}")?;
        if self.pre.is_empty() { Ok(()) } else { write!(f, "-{}", self.pre) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_name_interface_wanted_and_offered() {
        let offers = Offers::of_the_engine();
        for (import, want) in [
            ("wasi:cli/environment@0.2.0", None),
            ("wasi:cli/environment@0.2.99", None),
            ("wasi:http/types@0.3.0", None),
            ("wasi:http/types@0.4.0", Some("it imports wasi:http/types@0.4.0; this node offers wasi:http/types@0.2.12 and wasi:http/types@0.3.0")),
            (
                "wasi:http/types@0.2.0-rc-2023-12-05",
                Some("it imports wasi:http/types@0.2.0-rc-2023-12-05; this node offers wasi:http/types@0.2.12 and wasi:http/types@0.3.0"),
            ),
            ("wasi:blobstore/container@0.2.0", Some("it imports wasi:blobstore/container@0.2.0, which this node does not offer")),
            ("wasi:http/proxy@0.2.0", Some("it imports wasi:http/proxy@0.2.0, which this node does not offer (of wasi:http it offers other interfaces)")),
            ("acme:thing/x", Some("it imports acme:thing/x, which this node does not offer")),
        ] {
            assert_eq!(offers.missing([import]), want.map(String::from).into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn more_can_be_offered() {
        let offers = Offers::of_the_engine().with(["acme:thing/x", "acme:big/y@1.4.0"]);
        assert!(offers.missing(["acme:thing/x", "acme:big/y@1.0.0", "acme:big/y@1.9.0"]).is_empty());
        assert_eq!(offers.missing(["acme:big/y@2.0.0"]), ["it imports acme:big/y@2.0.0; this node offers acme:big/y@1.4.0"]);
    }
}
