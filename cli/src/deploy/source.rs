//! What is deployed: a component, or a folder in which one is built.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::deploy::build;

/// The file that says how a folder is built and deployed.
pub(crate) const FILE: &str = "wharf.toml";

/// A component, or a folder in which one is built.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// A component.
    File(PathBuf),
    /// A folder with a `wharf.toml`.
    Project(PathBuf),
    /// A folder with a `Cargo.toml`.
    Cargo(PathBuf),
}

/// `wharf.toml`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Project {
    /// The function's name.
    pub(crate) name: Option<String>,
    /// The host of its URL.
    pub(crate) host: Option<String>,
    /// Variables of its environment.
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
    /// How it is built; a Cargo project needs none.
    pub(crate) build: Option<Build>,
}

/// How a component comes to be.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Build {
    /// What to run in the folder, by `sh -c`.
    pub(crate) command: String,
    /// What that makes, below the folder.
    pub(crate) component: PathBuf,
    /// What `wharf dev` watches, below the folder [default: all but what is built].
    #[serde(default)]
    pub(crate) watch: Vec<PathBuf>,
}

impl Source {
    /// What a path on the command line means.
    pub(crate) fn find(path: &Path) -> Result<Source> {
        let metadata = std::fs::metadata(path).with_context(|| format!("find {}", path.display()))?;
        if !metadata.is_dir() {
            return Ok(Source::File(path.to_owned()));
        }
        let folder = path.canonicalize().with_context(|| format!("find {}", path.display()))?;
        if folder.join(FILE).is_file() {
            return Ok(Source::Project(folder));
        }
        if folder.join("Cargo.toml").is_file() {
            return Ok(Source::Cargo(folder));
        }
        bail!(
            "{} has neither a {FILE} nor a Cargo.toml; a {FILE} says how it is built:\n  [build]\n  command = \"…\"\n  component = \"….wasm\"",
            path.display()
        )
    }

    /// What the folder says.
    pub(crate) fn project(&self) -> Result<Project> {
        let Source::Project(folder) = self else { return Ok(Project::default()) };
        let file = folder.join(FILE);
        let text = std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        // One line: where, and what is wrong with it.
        let project: Project = toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(0, |span| text.bytes().take(span.start).filter(|b| *b == b'\n').count() + 1);
            anyhow::anyhow!("{} line {line}: {}", file.display(), error.message())
        })?;
        if project.build.is_none() && !folder.join("Cargo.toml").is_file() {
            bail!("{} says nothing of [build], and there is no Cargo.toml", file.display());
        }
        Ok(project)
    }

    /// What it is called, where nobody says.
    pub(crate) fn default_name(&self) -> Result<String> {
        match self {
            Source::File(file) => Ok(file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()),
            Source::Project(folder) | Source::Cargo(folder) => {
                let package = build::package_name(&folder.join("Cargo.toml"));
                Ok(package.or_else(|| folder.file_name().map(|name| name.to_string_lossy().into_owned())).unwrap_or_default())
            }
        }
    }

    /// The component, built if need be.
    pub(crate) fn component(&self, project: &Project) -> Result<PathBuf> {
        match (self, &project.build) {
            (Source::File(file), _) => Ok(file.clone()),
            (Source::Project(folder), Some(by)) => build::by_command(folder, by),
            (Source::Project(folder), None) | (Source::Cargo(folder), _) => build::by_cargo(folder),
        }
    }

    /// The folder, where it is one.
    pub(crate) fn folder(&self) -> Option<&Path> {
        match self {
            Source::File(_) => None,
            Source::Project(folder) | Source::Cargo(folder) => Some(folder),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(text: &str) -> String {
        let folder = tempfile::TempDir::new().unwrap();
        std::fs::write(folder.path().join(FILE), text).unwrap();
        let found = Source::find(folder.path()).unwrap().project();
        let path = folder.path().canonicalize().unwrap().display().to_string();
        match found {
            Ok(project) => format!("{project:?}"),
            Err(error) => format!("{error:#}").replace(&path, "DIR"),
        }
    }

    #[test]
    fn projects_are_read() {
        let good = project("name = \"a\"\nhost = \"a.b\"\n[env]\nX = \"1\"\n[build]\ncommand = \"make\"\ncomponent = \"a.wasm\"\n");
        assert_eq!(
            good,
            r#"Project { name: Some("a"), host: Some("a.b"), env: {"X": "1"}, build: Some(Build { command: "make", component: "a.wasm", watch: [] }) }"#
        );
        assert_eq!(project("name = 1\n"), "DIR/wharf.toml line 1: invalid type: integer `1`, expected a string");
        assert!(project("\nnmae = \"a\"\n").starts_with("DIR/wharf.toml line 2: unknown field `nmae`"));
        assert_eq!(project("name = \"a\"\n"), "DIR/wharf.toml says nothing of [build], and there is no Cargo.toml");
    }

    #[test]
    fn what_a_path_means() {
        let folder = tempfile::TempDir::new().unwrap();
        assert!(Source::find(&folder.path().join("none")).unwrap_err().to_string().starts_with("find "));
        assert!(Source::find(folder.path()).unwrap_err().to_string().contains("neither a wharf.toml nor a Cargo.toml"));
        std::fs::write(folder.path().join("Cargo.toml"), "[package]\nname = \"my_app\"\n").unwrap();
        let found = Source::find(folder.path()).unwrap();
        assert!(matches!(found, Source::Cargo(_)));
        assert_eq!(found.default_name().unwrap(), "my_app");
        let file = folder.path().join("x_y.wasm");
        std::fs::write(&file, "").unwrap();
        assert_eq!(Source::find(&file).unwrap().default_name().unwrap(), "x_y");
    }
}
