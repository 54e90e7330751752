//! What a plugin is told and granted.

use std::time::Duration;

/// Which world a plugin is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum World {
    /// Changes and refuses what is written to the API.
    Admission,
    /// Stands between clients and the backends of Ingresses.
    Ingress,
}

impl World {
    /// The world's name in WIT.
    pub fn as_str(self) -> &'static str {
        match self {
            World::Admission => "admission",
            World::Ingress => "ingress",
        }
    }

    /// The interface that a component of this world exports.
    pub fn export(self) -> &'static str {
        match self {
            World::Admission => "wharf:plugin/admission-review@0.1.0",
            World::Ingress => "wharf:plugin/middleware@0.1.0",
        }
    }
}

impl std::str::FromStr for World {
    type Err = String;
    fn from_str(text: &str) -> Result<World, String> {
        match text {
            "admission" => Ok(World::Admission),
            "ingress" => Ok(World::Ingress),
            other => Err(format!("unknown world {other:?}: admission or ingress")),
        }
    }
}

/// What a plugin may do beside computing. Nothing by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// Hosts that it may send requests to: `example.com`, `*.example.com`, each with or without `:port`.
    pub http: Vec<String>,
    /// What it says goes to the log.
    pub logging: bool,
    /// It sees its configuration as environment variables.
    pub environment: bool,
}

impl Grants {
    /// Whether a request may go to a host and port.
    pub fn allow_http(&self, host: &str, port: u16) -> bool {
        self.http.iter().any(|granted| {
            let (name, only) = match granted.rsplit_once(':') {
                Some((name, port)) => (name, port.parse().ok()),
                None => (granted.as_str(), Some(port)),
            };
            let fits = match name.strip_prefix("*.") {
                Some(domain) => host.len() > domain.len() + 1 && ends_with(host, domain) && host.as_bytes()[host.len() - domain.len() - 1] == b'.',
                None => host.eq_ignore_ascii_case(name),
            };
            fits && only == Some(port)
        })
    }
}

fn ends_with(host: &str, domain: &str) -> bool {
    host.get(host.len() - domain.len()..).is_some_and(|end| end.eq_ignore_ascii_case(domain))
}

/// A plugin's settings; a change of any is a new version of the plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The object's name, for metrics and the log.
    pub name: String,
    /// Which world it must be of.
    pub world: World,
    /// What it reads through `wharf:plugin/config`, in order.
    pub config: Vec<(String, String)>,
    /// What it may do.
    pub grants: Grants,
    /// How long a call may take, waiting included.
    pub timeout: Duration,
    /// Bytes that the instance of a call may have.
    pub memory: usize,
}

impl Settings {
    /// The defaults of a Plugin object.
    pub fn new(name: impl Into<String>, world: World) -> Settings {
        Settings { name: name.into(), world, config: Vec::new(), grants: Grants::default(), timeout: Duration::from_secs(10), memory: 64 << 20 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_granted_by_default() {
        assert!(!Grants::default().allow_http("example.com", 80));
    }

    #[test]
    fn hosts_are_granted_by_name_and_port() {
        let grants = Grants { http: ["example.com", "*.example.org:443", "10.0.0.1:8080"].map(str::to_owned).into(), ..Grants::default() };
        for (host, port, allowed) in [
            ("example.com", 80, true),
            ("EXAMPLE.com", 8443, true),
            ("a.example.com", 80, false),
            ("example.com.evil.test", 80, false),
            ("a.example.org", 443, true),
            ("a.b.Example.org", 443, true),
            ("a.example.org", 80, false),
            ("example.org", 443, false),
            (".example.org", 443, false),
            ("evilexample.org", 443, false),
            ("10.0.0.1", 8080, true),
            ("10.0.0.1", 80, false),
            ("", 80, false),
            ("é", 80, false),
        ] {
            assert_eq!(grants.allow_http(host, port), allowed, "{host}:{port}");
        }
    }
}
