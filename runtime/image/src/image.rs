//! What an image is once it is here, and what of it runs.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::ImageError;
use crate::reference::Reference;
use crate::rootfs;

/// Which of the engine's two configurations runs a component.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Flavor {
    /// WASI 0.2: no component-model concurrency.
    #[default]
    P2,
    /// WASI 0.3: component-model async.
    P3,
}

impl Flavor {
    /// `p2` or `p3`: the name on the command line of the compiler child and in file names.
    pub fn as_str(self) -> &'static str {
        match self {
            Flavor::P2 => "p2",
            Flavor::P3 => "p3",
        }
    }
}

impl std::str::FromStr for Flavor {
    type Err = String;
    fn from_str(text: &str) -> Result<Flavor, String> {
        match text {
            "p2" => Ok(Flavor::P2),
            "p3" => Ok(Flavor::P3),
            other => Err(format!("unknown flavor {other:?}: p2 or p3")),
        }
    }
}

/// The export that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Entry {
    /// `wasi:http/incoming-handler@0.2`
    HttpP2,
    /// `wasi:http/handler@0.3`
    HttpP3,
    /// `wasi:cli/run@0.2`
    CliP2,
    /// `wasi:cli/run@0.3`
    CliP3,
}

impl Entry {
    /// Whether it serves HTTP requests rather than running from start to exit.
    pub fn is_http(self) -> bool {
        matches!(self, Entry::HttpP2 | Entry::HttpP3)
    }
}

/// The part of an image's configuration that Kubernetes uses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageConfig {
    /// ENTRYPOINT.
    pub entrypoint: Vec<String>,
    /// CMD.
    pub cmd: Vec<String>,
    /// ENV, each `NAME=value`.
    pub env: Vec<String>,
    /// WORKDIR, empty for `/`.
    pub working_dir: String,
    /// EXPOSE, TCP only, ascending.
    pub exposed_ports: Vec<u16>,
    /// USER, as written.
    pub user: String,
    /// What the node writes to the log when a `wasi:http` container of it starts, which has no start of its own; in each line `{time}` is
    /// the time. Only built-in images have it.
    pub start_message: Vec<String>,
}

/// One runnable module of an image. Core modules are wrapped already: this is always a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Module {
    /// Its name: the path in the image, or the artifact's title.
    pub name: String,
    /// `sha256:…` of the component (after wrapping): the compiled file's key.
    pub digest: String,
    /// The component's bytes on this machine.
    pub wasm: PathBuf,
    /// Which engine runs it.
    pub flavor: Flavor,
    /// What it exports that runs, in the order of preference without `command`: HTTP first.
    pub entries: Vec<Entry>,
}

/// An image that is on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The reference, as Docker would complete it: `docker.io/library/nginx:latest`. The status' `image`.
    pub reference: String,
    /// The manifest's digest, `sha256:…` (of the index when there is one).
    pub digest: String,
    /// The status' `imageID`: `docker.io/library/nginx@sha256:…`; a built-in image's begins `wharf.local/builtin/`.
    pub id: String,
    /// Bytes on disk (blobs, without what is unpacked or compiled from them).
    pub size: u64,
    /// Entrypoint, environment and the like.
    pub config: ImageConfig,
    /// The image's files, read-only, layers merged; `None` when it brings none (a Wasm artifact).
    pub rootfs: Option<PathBuf>,
    /// The image's own module: the artifact's layer, or what ENTRYPOINT (else CMD, else the only module) names.
    pub main: Option<Module>,
    /// For a built-in image taken through the alias table: its name, such as `nginx`.
    pub alias_of: Option<String>,
}

/// What of an image runs, compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// The arguments, `argv[0]` first.
    pub argv: Vec<String>,
    /// The export that runs.
    pub entry: Entry,
    /// Which engine loads it.
    pub flavor: Flavor,
    /// The module.
    pub module: Module,
    /// The compiled file, for `Engine::load`.
    pub compiled: PathBuf,
}

/// Which module runs, found by name and not yet looked into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The image's own.
    Main,
    /// A file of the image: (name as given, real path).
    File(String, PathBuf),
}

impl Image {
    /// What to tell the user when an alias was taken: the message of an Event.
    pub fn alias_message(&self) -> Option<String> {
        let name = self.alias_of.as_ref()?;
        Some(format!("Image \"{}\" is served by the built-in image \"{name}\" ({})", self.reference, self.id))
    }

    /// argv, by Kubernetes' rule: (`command` | ENTRYPOINT) + (`args` | CMD), where CMD is dropped when `command` is given.
    pub fn argv(&self, command: &[String], args: &[String]) -> Vec<String> {
        let mut argv = if command.is_empty() { self.config.entrypoint.clone() } else { command.to_vec() };
        if !args.is_empty() {
            argv.extend_from_slice(args);
        } else if command.is_empty() {
            argv.extend_from_slice(&self.config.cmd);
        }
        argv
    }

    /// The module that argv names, and argv completed: `argv[0]` that names a module of the image runs it, anything else
    /// runs the image's own. An image without ENTRYPOINT whose argv names nothing gets its module's name in front, except
    /// when `command` chose `argv[0]` (so that one multi-call module serves `sh`, `sleep`, …).
    pub(crate) fn choose(&self, command: &[String], args: &[String]) -> Result<(Choice, Vec<String>), ImageError> {
        let mut argv = self.argv(command, args);
        if let (Some(first), Some(root)) = (argv.first(), &self.rootfs)
            && let Some(path) = rootfs::find_executable(root, &self.config, first)
        {
            if self.main.as_ref().is_some_and(|main| main.name == path.inside) {
                return Ok((Choice::Main, argv));
            }
            let first = first.clone();
            return Ok((Choice::File(first, path.outside), argv));
        }
        let Some(main) = &self.main else {
            return Err(ImageError::NoSuchCommand { reference: self.reference.clone(), command: argv.first().cloned().unwrap_or_default() });
        };
        if command.is_empty() && self.config.entrypoint.is_empty() && !self.multi_call() {
            argv.insert(0, main.name.rsplit('/').next().unwrap_or(&main.name).to_string());
        }
        Ok((Choice::Main, argv))
    }

    /// The module that a command names in so many words: a file of the image, or the image's own module by its name or ENTRYPOINT.
    pub(crate) fn named(&self, command: &str) -> Option<Choice> {
        let main = self.main.as_ref();
        if let Some(path) = self.rootfs.as_ref().and_then(|root| rootfs::find_executable(root, &self.config, command)) {
            let own = main.is_some_and(|main| main.name == path.inside);
            return Some(if own { Choice::Main } else { Choice::File(command.to_string(), path.outside) });
        }
        let file = main?.name.rsplit('/').next().unwrap_or_default();
        let own = self.config.entrypoint.first().is_some_and(|first| first == command) || command == file || file.strip_suffix(".wasm") == Some(command);
        own.then_some(Choice::Main)
    }

    /// CMD without ENTRYPOINT that names an applet of the one module, as in busybox.
    fn multi_call(&self) -> bool {
        !self.config.cmd.is_empty()
    }

    pub(crate) fn name_of(reference: &Reference, digest: &str) -> String {
        format!("{}/{}@{digest}", reference.registry(), reference.repository())
    }
}

/// Of the runnable exports, the one that runs: a given `command` or `args` chooses cli, else HTTP comes first.
pub(crate) fn choose_entry(entries: &[Entry], command_given: bool) -> Option<Entry> {
    let first = |http: bool| entries.iter().copied().find(|e| e.is_http() == http);
    if command_given { first(false).or_else(|| first(true)) } else { first(true).or_else(|| first(false)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(entrypoint: &[&str], cmd: &[&str]) -> Image {
        let strings = |s: &[&str]| s.iter().map(|s| s.to_string()).collect::<Vec<_>>();
        Image {
            reference: "example.com/app:1".into(),
            digest: "sha256:0".into(),
            id: "example.com/app@sha256:0".into(),
            size: 0,
            config: ImageConfig { entrypoint: strings(entrypoint), cmd: strings(cmd), ..ImageConfig::default() },
            rootfs: None,
            main: Some(Module { name: "app.wasm".into(), digest: "sha256:1".into(), wasm: "/x".into(), flavor: Flavor::P2, entries: vec![Entry::CliP2] }),
            alias_of: None,
        }
    }

    #[test]
    fn argv_follows_kubernetes() {
        type Row = (&'static [&'static str], &'static [&'static str], &'static [&'static str], &'static [&'static str], &'static str);
        // ENTRYPOINT, CMD, command, args, argv (the table of Kubernetes' documentation, then images without ENTRYPOINT)
        let rows: &[Row] = &[
            (&["/ep-1"], &["foo", "bar"], &[], &[], "/ep-1 foo bar"),
            (&["/ep-1"], &["foo", "bar"], &["/ep-2"], &[], "/ep-2"),
            (&["/ep-1"], &["foo", "bar"], &[], &["zoo", "boo"], "/ep-1 zoo boo"),
            (&["/ep-1"], &["foo", "bar"], &["/ep-2"], &["zoo", "boo"], "/ep-2 zoo boo"),
            (&[], &["sh"], &[], &[], "sh"),
            (&[], &["sh"], &["sleep", "3600"], &[], "sleep 3600"),
            (&[], &["sh"], &["sh", "-c"], &["echo hi"], "sh -c echo hi"),
            (&[], &["sh"], &[], &["sleep", "1"], "sleep 1"),
            (&[], &[], &[], &["-v", "x"], "app.wasm -v x"),
            (&[], &[], &[], &[], "app.wasm"),
        ];
        for (entrypoint, cmd, command, args, want) in rows {
            let strings = |s: &[&str]| s.iter().map(|s| s.to_string()).collect::<Vec<_>>();
            let (choice, argv) = image(entrypoint, cmd).choose(&strings(command), &strings(args)).unwrap();
            assert_eq!((choice, argv.join(" ").as_str()), (Choice::Main, *want), "{entrypoint:?} {cmd:?} {command:?} {args:?}");
        }
    }

    #[test]
    fn a_command_names_a_module_or_does_not() {
        let image = image(&["/ep-1"], &["sh"]);
        for (command, want) in [("/ep-1", true), ("app.wasm", true), ("app", true), ("sh", false), ("ep-1", false), ("", false)] {
            assert_eq!(image.named(command), want.then_some(Choice::Main), "{command}");
        }
        assert_eq!(Image { main: None, ..image }.named("app"), None);
    }

    #[test]
    fn a_command_chooses_cli() {
        let both = [Entry::HttpP2, Entry::CliP2];
        assert_eq!(choose_entry(&both, false), Some(Entry::HttpP2));
        assert_eq!(choose_entry(&both, true), Some(Entry::CliP2));
        assert_eq!(choose_entry(&[Entry::HttpP3], true), Some(Entry::HttpP3));
        assert_eq!(choose_entry(&[], true), None);
    }
}
