//! Credentials of registries: what `imagePullSecrets` and Docker's configuration file carry.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;

use crate::reference::Reference;

/// A user name and password (or token) for a registry.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Credential {
    /// The user.
    pub user: String,
    /// The password or personal token.
    pub password: String,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Credentials by registry, and by path below it: those of all of a Pod's pull secrets together.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    /// (`host[:port][/path]`, credential).
    entries: Vec<(String, Credential)>,
}

impl Keyring {
    /// No credentials.
    pub fn new() -> Keyring {
        Keyring::default()
    }

    /// Adds one; `registry` may have a scheme and a path, as in Docker's file.
    pub fn add(&mut self, registry: &str, credential: Credential) {
        self.entries.push((normalise(registry), credential));
    }

    /// Adds those of a Secret of type `kubernetes.io/dockerconfigjson` (its key `.dockerconfigjson`), which is the
    /// content of `~/.docker/config.json`.
    pub fn add_docker_config_json(&mut self, json: &[u8]) -> Result<(), String> {
        let config: DockerConfig = serde_json::from_slice(json).map_err(|e| format!("dockerconfigjson: {e}"))?;
        self.add_auths(config.auths)
    }

    /// Adds those of a Secret of type `kubernetes.io/dockercfg` (its key `.dockercfg`): the `auths` map alone.
    pub fn add_docker_cfg(&mut self, json: &[u8]) -> Result<(), String> {
        let auths = serde_json::from_slice(json).map_err(|e| format!("dockercfg: {e}"))?;
        self.add_auths(auths)
    }

    /// Adds those of another keyring; this one's come first.
    pub fn extend(&mut self, other: Keyring) {
        self.entries.extend(other.entries);
    }

    /// Those that apply to an image, the longest path first, to be tried in that order.
    pub fn lookup(&self, image: &Reference) -> Vec<&Credential> {
        let name = format!("{}/{}", image.registry(), image.repository());
        let mut found: Vec<(usize, usize, &Credential)> = Vec::new();
        for (order, (key, credential)) in self.entries.iter().enumerate() {
            if matches(key, &name) {
                found.push((usize::MAX - key.len(), order, credential));
            }
        }
        found.sort_by_key(|(length, order, _)| (*length, *order));
        let mut seen: Vec<&Credential> = Vec::new();
        for (_, _, credential) in found {
            if !seen.contains(&credential) {
                seen.push(credential);
            }
        }
        seen
    }

    fn add_auths(&mut self, auths: serde_json::Map<String, Value>) -> Result<(), String> {
        for (registry, auth) in auths {
            let auth: Auth = serde_json::from_value(auth).map_err(|e| format!("auths of {registry}: {e}"))?;
            let credential = match auth {
                Auth { auth: Some(encoded), .. } if !encoded.is_empty() => {
                    // The decoder's words would quote the secret's bytes.
                    let text = STANDARD.decode(encoded.trim()).ok().and_then(|b| String::from_utf8(b).ok());
                    let text = text.ok_or_else(|| format!("auths of {registry}: auth is not base64 text"))?;
                    let (user, password) = text.split_once(':').ok_or_else(|| format!("auths of {registry}: auth is not user:password"))?;
                    Credential { user: user.into(), password: password.trim_end_matches('\0').into() }
                }
                Auth { username: Some(user), password, .. } => Credential { user, password: password.unwrap_or_default() },
                _ => continue,
            };
            self.add(&registry, credential);
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct DockerConfig {
    #[serde(default)]
    auths: serde_json::Map<String, Value>,
}

#[derive(Deserialize)]
struct Auth {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

/// `https://index.docker.io/v1/` → `docker.io`; a scheme, a version path and trailing slashes go.
fn normalise(registry: &str) -> String {
    let rest = registry.strip_prefix("https://").or_else(|| registry.strip_prefix("http://")).unwrap_or(registry);
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let path = path.trim_matches('/');
    let path = if path == "v1" || path == "v2" { "" } else { path.strip_prefix("v1/").or_else(|| path.strip_prefix("v2/")).unwrap_or(path) };
    let host = if host == "index.docker.io" || host == "registry-1.docker.io" { "docker.io" } else { host };
    if path.is_empty() { host.to_string() } else { format!("{host}/{path}") }
}

/// Whether a key (`*.example.com/team`) covers `registry/repository`: labels of the host match one for one (`*` within a
/// label), ports must be equal, and the path is a prefix.
fn matches(key: &str, image: &str) -> bool {
    let (key_host, key_path) = key.split_once('/').unwrap_or((key, ""));
    let (host, path) = image.split_once('/').unwrap_or((image, ""));
    let (key_name, key_port) = key_host.split_once(':').unwrap_or((key_host, ""));
    let (name, port) = host.split_once(':').unwrap_or((host, ""));
    let labels = key_name.split('.').count() == name.split('.').count();
    let hosts = labels && key_name.split('.').zip(name.split('.')).all(|(pattern, label)| glob(pattern.as_bytes(), label.as_bytes()));
    hosts && key_port == port && path.starts_with(key_path)
}

/// `*` matches any run of bytes. Linear: the last star is where matching resumes.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        if p < pattern.len() && pattern[p] == b'*' {
            star = Some((p, t));
            p += 1;
        } else if p < pattern.len() && pattern[p] == text[t] {
            p += 1;
            t += 1;
        } else if let Some((sp, st)) = star {
            p = sp + 1;
            t = st + 1;
            star = Some((sp, st + 1));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users(json: &str, image: &str) -> Vec<String> {
        let mut keys = Keyring::new();
        keys.add_docker_config_json(json.as_bytes()).unwrap();
        keys.lookup(&Reference::parse(image).unwrap()).iter().map(|c| format!("{}:{}", c.user, c.password)).collect()
    }

    #[test]
    fn docker_config_is_read() {
        let json = r#"{"auths": {
            "https://index.docker.io/v1/": {"auth": "aHViOnB3OjE="},
            "127.0.0.1:5000": {"username": "u", "password": "p", "email": "x"},
            "ghcr.io/team": {"username": "team", "password": "t"},
            "ghcr.io": {"username": "all", "password": "a"},
            "*.example.com": {"username": "star", "password": "s"}}, "credsStore": "x"}"#;
        assert_eq!(users(json, "nginx"), ["hub:pw:1"]);
        assert_eq!(users(json, "127.0.0.1:5000/a"), ["u:p"]);
        assert_eq!(users(json, "127.0.0.1:5001/a"), Vec::<String>::new());
        assert_eq!(users(json, "ghcr.io/team/app"), ["team:t", "all:a"]);
        assert_eq!(users(json, "ghcr.io/other/app"), ["all:a"]);
        assert_eq!(users(json, "r.example.com/app"), ["star:s"]);
        assert_eq!(users(json, "a.b.example.com/app"), Vec::<String>::new());
    }

    #[test]
    fn errors_do_not_quote_secrets() {
        let mut keys = Keyring::new();
        let error = keys.add_docker_config_json(br#"{"auths":{"r.io":{"auth":"!!hunter2"}}}"#).unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
        assert_eq!(format!("{:?}", Credential { user: "u".into(), password: "hunter2".into() }), "Credential { user: \"u\", .. }");
    }

    #[test]
    fn globs() {
        for (pattern, text, want) in [("*", "abc", true), ("a*c", "abbc", true), ("a*c", "abb", false), ("abc", "abc", true), ("", "", true), ("a", "", false)]
        {
            assert_eq!(glob(pattern.as_bytes(), text.as_bytes()), want, "{pattern} {text}");
        }
    }
}
