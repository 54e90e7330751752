//! Which changes of a folder matter.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

use crate::deploy::source::Source;

/// One save is many events: they are one change when they come within this time.
const QUIET: Duration = Duration::from_millis(150);
/// Folders in which builds put what they make.
const BUILT: [&str; 7] = ["target", "node_modules", "dist", "build", "out", "__pycache__", "vendor"];

/// The changes of a source.
pub(super) struct Changes {
    heard: Arc<Notify>,
    _watcher: RecommendedWatcher,
}

/// What is looked at.
struct Filter {
    root: PathBuf,
    /// The only files that matter, where it is said.
    only: Vec<PathBuf>,
    /// What the build makes.
    component: Option<PathBuf>,
}

impl Changes {
    /// Begins to watch.
    pub(super) fn watch(source: &Source) -> Result<Changes> {
        let filter = Filter::of(source)?;
        let heard = Arc::new(Notify::new());
        let (root, tell) = (filter.root.clone(), heard.clone());
        let hear = move |event: notify::Result<notify::Event>| match event {
            Ok(event) if event.kind.is_access() => {}
            Ok(event) if event.paths.iter().any(|path| filter.matters(path)) => tell.notify_one(),
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "watching for changes"),
        };
        let mut watcher = notify::recommended_watcher(hear).context("watch for changes")?;
        watcher.watch(&root, RecursiveMode::Recursive).with_context(|| format!("watch {}", root.display()))?;
        Ok(Changes { heard, _watcher: watcher })
    }

    /// Resolves after the next change, once it is quiet again.
    pub(super) async fn next(&self) {
        self.heard.notified().await;
        while tokio::time::timeout(QUIET, self.heard.notified()).await.is_ok() {}
    }
}

impl Filter {
    fn of(source: &Source) -> Result<Filter> {
        let Some(folder) = source.folder() else {
            let Source::File(file) = source else { anyhow::bail!("there is nothing to watch") };
            let file = file.canonicalize().with_context(|| format!("find {}", file.display()))?;
            let root = file.parent().unwrap_or(Path::new("/")).to_owned();
            return Ok(Filter { root, only: vec![file], component: None });
        };
        let build = source.project()?.build;
        let only = build.iter().flat_map(|build| &build.watch).map(|path| folder.join(path)).collect();
        Ok(Filter { root: folder.to_owned(), only, component: build.map(|build| folder.join(build.component)) })
    }

    fn matters(&self, path: &Path) -> bool {
        if !self.only.is_empty() {
            return self.only.iter().any(|only| path.starts_with(only));
        }
        let Ok(inside) = path.strip_prefix(&self.root) else { return false };
        if inside.as_os_str().is_empty() || self.component.as_deref() == Some(path) {
            return false;
        }
        let passed_over = |name: &OsStr| {
            let name = name.to_string_lossy();
            // Editors' own files, and what a build writes itself.
            name.starts_with('.') || name.ends_with('~') || name.ends_with(".swp") || name == "4913" || name == "Cargo.lock" || BUILT.contains(&&*name)
        };
        !inside.iter().any(passed_over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_paths_matter() {
        let filter = Filter { root: "/p".into(), only: vec![], component: Some("/p/app.wasm".into()) };
        for (path, want) in [
            ("/p/src/main.rs", true),
            ("/p/wharf.toml", true),
            ("/p/app.wasm", false),
            ("/p/target/release/x", false),
            ("/p/node_modules/a/b.js", false),
            ("/p/.git/index", false),
            ("/p/src/.main.rs.swp", false),
            ("/p/src/main.rs~", false),
            ("/p/Cargo.lock", false),
            ("/p", false),
            ("/q/src/main.rs", false),
        ] {
            assert_eq!(filter.matters(Path::new(path)), want, "{path}");
        }
        let only = Filter { only: vec!["/p/dist".into()], ..filter };
        assert!(only.matters(Path::new("/p/dist/x")) && !only.matters(Path::new("/p/src/main.rs")));
    }

    #[tokio::test]
    async fn a_change_is_heard() {
        let folder = tempfile::TempDir::new().unwrap();
        std::fs::write(folder.path().join("Cargo.toml"), "[package]\nname = \"a\"\n").unwrap();
        let changes = Changes::watch(&Source::find(folder.path()).unwrap()).unwrap();
        std::fs::write(folder.path().join("lib.rs"), "x").unwrap();
        tokio::time::timeout(Duration::from_secs(30), changes.next()).await.unwrap();
    }
}
