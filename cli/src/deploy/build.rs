//! Building a component: by Cargo, or by a command of the project's own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

use crate::deploy::source::{Build, FILE};

/// What functions are built for.
const TARGET: &str = "wasm32-wasip2";

/// Runs the project's own command; the component that it makes.
pub(super) fn by_command(folder: &Path, build: &Build) -> Result<PathBuf> {
    let status = Command::new("sh").arg("-c").arg(&build.command).current_dir(folder).stdin(Stdio::null()).status().context("run sh")?;
    if !status.success() {
        bail!("the build failed ({status}): {}", build.command);
    }
    let component = folder.join(&build.component);
    if !component.is_file() {
        bail!("the build made no {}, which {FILE} names", component.display());
    }
    Ok(component)
}

/// Builds the Cargo project of a folder; its one component.
pub(super) fn by_cargo(folder: &Path) -> Result<PathBuf> {
    check_target(folder)?;
    let manifest = folder.join("Cargo.toml");
    let messages = cargo(folder, &["build"], &[])?;
    let mut found = components(&messages, &manifest);
    if found.is_empty() && messages.lines().any(|line| is_library(line, &manifest)) {
        // `cargo init --lib` makes no cdylib; what the library exports is the same.
        found = components(&cargo(folder, &["rustc", "--lib"], &["--crate-type", "cdylib"])?, &manifest);
    }
    match &*found {
        [] => bail!("{} builds no component: it needs a binary, or a library with crate-type = [\"cdylib\"]", manifest.display()),
        [component] => Ok(component.clone()),
        several => {
            let names: Vec<String> = several.iter().map(|path| path.display().to_string()).collect();
            bail!("{} builds several components; deploy one of them by its file: {}", manifest.display(), names.join(", "))
        }
    }
}

/// Runs cargo for the target; its messages.
fn cargo(folder: &Path, what: &[&str], more: &[&str]) -> Result<String> {
    let mut command = Command::new("cargo");
    command.args(what).args(["--release", "--target", TARGET, "--message-format", "json-render-diagnostics"]).args(more);
    let output =
        command.current_dir(folder).stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("run cargo; is Rust installed? https://rustup.rs")?;
    if !output.status.success() {
        bail!("the build failed: cargo {} --release --target {TARGET} in {}", what.join(" "), folder.display());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether a message is about the package's library.
fn is_library(message: &str, manifest: &Path) -> bool {
    let message: Value = serde_json::from_str(message).unwrap_or_default();
    let kinds = message["target"]["kind"].as_array().cloned().unwrap_or_default();
    message["reason"] == "compiler-artifact" && message["manifest_path"].as_str() == manifest.to_str() && kinds.iter().any(|kind| kind == "lib")
}

/// The `.wasm` files that a build's messages name, of the package with this manifest.
fn components(messages: &str, manifest: &Path) -> Vec<PathBuf> {
    #[derive(Deserialize)]
    struct Message {
        reason: String,
        #[serde(default)]
        manifest_path: PathBuf,
        #[serde(default)]
        target: Value,
        #[serde(default)]
        filenames: Vec<PathBuf>,
    }
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok());
    let artifacts = messages.filter(|message| message.reason == "compiler-artifact" && message.manifest_path == manifest);
    let made = artifacts.filter(|message| {
        let kinds = message.target["kind"].as_array().cloned().unwrap_or_default();
        kinds.iter().any(|kind| kind == "bin" || kind == "cdylib")
    });
    made.flat_map(|message| message.filenames).filter(|file| file.extension().is_some_and(|ending| ending == "wasm")).collect()
}

/// Whether the target is installed; what to type where it is not.
fn check_target(folder: &Path) -> Result<()> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(&rustc).args(["--print", "target-libdir", "--target", TARGET]).current_dir(folder).output();
    let output = output.with_context(|| format!("run {}; is Rust installed? https://rustup.rs", rustc.display()))?;
    let library = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    if output.status.success() && library.is_dir() { Ok(()) } else { bail!("the Rust target {TARGET} is not installed; type: rustup target add {TARGET}") }
}

/// The name in a Cargo manifest.
pub(super) fn package_name(manifest: &Path) -> Option<String> {
    let text = std::fs::read_to_string(manifest).ok()?;
    let manifest: toml::Table = toml::from_str(&text).ok()?;
    manifest.get("package")?.get("name")?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_among_the_messages_of_a_build() {
        let messages = [
            r#"{"reason":"compiler-artifact","manifest_path":"/dep/Cargo.toml","target":{"kind":["lib"]},"filenames":["/t/libdep.rlib"]}"#,
            r#"{"reason":"compiler-artifact","manifest_path":"/dep/Cargo.toml","target":{"kind":["cdylib"]},"filenames":["/t/dep.wasm"]}"#,
            r#"{"reason":"compiler-artifact","manifest_path":"/a/Cargo.toml","target":{"kind":["cdylib","rlib"]},"filenames":["/t/a.wasm","/t/liba.rlib"]}"#,
            r#"{"reason":"build-finished","success":true}"#,
            "not JSON",
        ];
        assert_eq!(components(&messages.join("\n"), Path::new("/a/Cargo.toml")), [PathBuf::from("/t/a.wasm")]);
        assert!(is_library(messages[0], Path::new("/dep/Cargo.toml")) && !is_library(messages[0], Path::new("/a/Cargo.toml")));
    }

    #[test]
    fn a_build_that_fails_says_so() {
        let folder = tempfile::TempDir::new().unwrap();
        let build = |command: &str| by_command(folder.path(), &Build { command: command.into(), component: "a.wasm".into(), watch: vec![] });
        assert!(build("exit 3").unwrap_err().to_string().starts_with("the build failed (exit status: 3)"));
        assert!(build("true").unwrap_err().to_string().contains("made no"));
        assert!(build("touch a.wasm").unwrap().ends_with("a.wasm"));
    }
}
