//! Images that are part of the program, and the names that lead to them.

use std::collections::BTreeMap;

use crate::image::ImageConfig;
use crate::reference::Reference;

/// An image whose bytes the caller embeds.
#[derive(Clone, Debug)]
pub struct Builtin {
    /// Its name, such as `nginx`; the image is `wharf.local/builtin/NAME`.
    pub name: String,
    /// The component.
    pub wasm: &'static [u8],
    /// Entrypoint, environment, ports.
    pub config: ImageConfig,
    /// Files: path in the image without the leading `/`, and content. A path that ends with `/` is an empty folder.
    pub files: Vec<(&'static str, &'static [u8])>,
}

/// Which image names are answered by a built-in image.
///
/// An entry is a repository as Docker completes it, without tag or digest (`docker.io/library/nginx`), or a short name
/// (`nginx`). Every tag is taken; a reference with a digest never is, because it says which bytes it wants.
#[derive(Clone, Debug, Default)]
pub struct Aliases {
    names: BTreeMap<String, String>,
}

/// The registry name under which built-in and imported images live. Nothing is ever fetched from it.
pub(crate) const LOCAL_REGISTRY: &str = "wharf.local";

impl Aliases {
    /// No aliases: what `wharf server` and `wharf agent` use.
    pub fn none() -> Aliases {
        Aliases::default()
    }

    /// The images that tutorials name: `nginx`, `busybox`, `pause` and their usual other addresses. What `wharf up` uses.
    pub fn tutorials() -> Aliases {
        let mut aliases = Aliases::none();
        for name in ["nginx", "library/nginx", "registry.k8s.io/nginx", "registry.k8s.io/nginx-slim", "registry.k8s.io/e2e-test-images/nginx"] {
            aliases.add(name, "nginx");
        }
        for name in ["busybox", "library/busybox", "registry.k8s.io/busybox", "gcr.io/google-containers/busybox", "registry.k8s.io/e2e-test-images/busybox"] {
            aliases.add(name, "busybox");
        }
        for name in ["registry.k8s.io/pause", "registry.k8s.io/pause-amd64", "gcr.io/google-containers/pause", "k8s.gcr.io/pause"] {
            aliases.add(name, "pause");
        }
        aliases
    }

    /// Adds one; a name that does not parse is ignored and `false` returned.
    pub fn add(&mut self, name: &str, builtin: &str) -> bool {
        match Reference::parse(name) {
            Ok(reference) => {
                self.names.insert(format!("{}/{}", reference.registry(), reference.repository()), builtin.to_string());
                true
            }
            Err(_) => false,
        }
    }

    /// Takes one out.
    pub fn remove(&mut self, name: &str) {
        if let Ok(reference) = Reference::parse(name) {
            self.names.remove(&format!("{}/{}", reference.registry(), reference.repository()));
        }
    }

    /// The built-in image that a reference leads to.
    pub fn lookup(&self, reference: &Reference) -> Option<&str> {
        if reference.digest().is_some() {
            return None;
        }
        self.names.get(&format!("{}/{}", reference.registry(), reference.repository())).map(String::as_str)
    }
}

/// The built-in images of this build.
pub fn all() -> Vec<Builtin> {
    vec![busybox(), nginx(), pause()]
}

/// A shell and everyday commands.
fn busybox() -> Builtin {
    Builtin {
        name: "busybox".into(),
        wasm: include_bytes!("../../builtin/busybox/busybox.wasm"),
        config: ImageConfig {
            cmd: vec!["sh".into()],
            env: vec!["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into()],
            ..ImageConfig::default()
        },
        files: vec![
            ("bin/", b""),
            ("etc/group", include_bytes!("../../builtin/busybox/files/etc/group")),
            ("etc/passwd", include_bytes!("../../builtin/busybox/files/etc/passwd")),
            ("home/", b""),
            ("root/", b""),
            ("tmp/", b""),
            ("usr/", b""),
            ("var/", b""),
        ],
    }
}

/// A container that does nothing until it is told to end: a command of busybox's component.
fn pause() -> Builtin {
    Builtin {
        name: "pause".into(),
        wasm: include_bytes!("../../builtin/busybox/busybox.wasm"),
        config: ImageConfig { entrypoint: vec!["/bin/pause".into()], ..ImageConfig::default() },
        files: vec![],
    }
}

/// A static web server for `/usr/share/nginx/html` on port 80.
fn nginx() -> Builtin {
    Builtin {
        name: "nginx".into(),
        wasm: include_bytes!("../../builtin/nginx/nginx.wasm"),
        config: ImageConfig { exposed_ports: vec![80], start_message: nginx_start(), ..ImageConfig::default() },
        files: vec![
            ("tmp/", b""),
            ("var/cache/nginx/", b""),
            ("usr/share/nginx/html/index.html", include_bytes!("../../builtin/nginx/files/usr/share/nginx/html/index.html")),
            ("usr/share/nginx/html/50x.html", include_bytes!("../../builtin/nginx/files/usr/share/nginx/html/50x.html")),
            ("etc/nginx/nginx.conf", include_bytes!("../../builtin/nginx/files/etc/nginx/nginx.conf")),
            ("etc/nginx/conf.d/default.conf", include_bytes!("../../builtin/nginx/files/etc/nginx/conf.d/default.conf")),
        ],
    }
}

/// What people wait for in the log of a web server.
fn nginx_start() -> Vec<String> {
    let lines = [
        "/docker-entrypoint.sh: Configuration complete; ready for start up",
        concat!("{time} [notice] 1#1: wharf's built-in nginx/", env!("CARGO_PKG_VERSION"), ", a wasi:http component"),
        "{time} [notice] 1#1: start worker processes",
        "{time} [notice] 1#1: an instance is started for each request",
    ];
    lines.map(str::to_owned).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tag_is_an_alias_and_no_digest() {
        let aliases = Aliases::tutorials();
        let lookup = |text: &str| aliases.lookup(&Reference::parse(text).unwrap()).map(str::to_string);
        for text in ["nginx", "nginx:1.14.2", "docker.io/library/nginx:alpine", "docker.io/nginx"] {
            assert_eq!(lookup(text).as_deref(), Some("nginx"), "{text}");
        }
        assert_eq!(lookup("busybox:1.28").as_deref(), Some("busybox"));
        assert_eq!(lookup("registry.k8s.io/pause:3.10").as_deref(), Some("pause"));
        assert_eq!(lookup("ghcr.io/x/nginx"), None);
        assert_eq!(lookup("nginxinc/nginx"), None);
        assert_eq!(lookup("nginx@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"), None);
    }
}
