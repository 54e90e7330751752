//! Guests: packages outside of the workspace that are built for WebAssembly, and committed as `NAME/NAME.wasm` with a
//! record of what they were built from (`NAME/NAME.wasm.record`). So a machine with only `cargo` can run and test everything,
//! and a source that was changed without its component is found anywhere.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::toolchain::Toolchain;

/// Folders whose sub-folders are guests.
const FOLDERS: &[&str] = &["runtime/builtin", "examples", "examples/plugins", "tests/guests", "benches/guests"];

/// What a committed component was built from.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    /// SHA-256 over Cargo.toml, Cargo.lock and everything below `src`.
    sources: String,
    /// SHA-256 of the component.
    wasm: String,
    /// `rustc -V`, the target, and where its standard library came from. Bytes can only be compared within one.
    toolchain: String,
}

struct Guest {
    folder: PathBuf,
    name: String,
}

/// Whether every committed component is that of its sources; a line for each, or what is stale.
pub fn check(root: &Path) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    let mut stale = Vec::new();
    for guest in guests(root)? {
        match guest.check() {
            Ok(()) => lines.push(format!("{} is up to date", guest.name)),
            Err(error) => stale.push(format!("{}: {error:#}", guest.folder.strip_prefix(root).unwrap_or(&guest.folder).display())),
        }
    }
    ensure!(stale.is_empty(), "run `cargo xtask guests` and commit what it writes:\n  {}", stale.join("\n  "));
    Ok(lines)
}

/// Rebuilds those that are stale (or all of them, or those that are named); a line for each.
pub fn build(root: &Path, force: bool, names: &[String]) -> Result<Vec<String>> {
    let all = guests(root)?;
    for name in names {
        ensure!(all.iter().any(|g| g.name == *name), "there is no guest {name:?}");
    }
    let mut lines = Vec::new();
    for guest in all.iter().filter(|g| names.is_empty() || names.contains(&g.name)) {
        if !force && names.is_empty() && guest.check().is_ok() {
            lines.push(format!("{} is up to date", guest.name));
            continue;
        }
        let size = guest.build(root).with_context(|| format!("build {}", guest.folder.display()))?;
        lines.push(format!("{} built: {} KiB", guest.name, size >> 10));
    }
    Ok(lines)
}

fn guests(root: &Path) -> Result<Vec<Guest>> {
    let mut guests = Vec::new();
    for folder in FOLDERS {
        let Ok(entries) = fs::read_dir(root.join(folder)) else { continue };
        for entry in entries {
            let folder = entry?.path();
            if let (true, Some(name)) = (folder.join("Cargo.toml").exists(), folder.file_name().and_then(|n| n.to_str())) {
                guests.push(Guest { name: name.to_string(), folder: folder.clone() });
            }
        }
    }
    ensure!(!guests.is_empty(), "no guests below {}", root.display());
    guests.sort_by(|a, b| a.folder.cmp(&b.folder));
    Ok(guests)
}

impl Guest {
    fn wasm(&self) -> PathBuf {
        self.folder.join(format!("{}.wasm", self.name))
    }

    fn record(&self) -> PathBuf {
        self.folder.join(format!("{}.wasm.record", self.name))
    }

    fn check(&self) -> Result<()> {
        let json = fs::read(self.record()).context("it has no record")?;
        let record: Record = serde_json::from_slice(&json).context("its record cannot be read")?;
        ensure!(record.sources == self.sources()?, "its sources have changed since the component was built");
        let wasm = fs::read(self.wasm()).context("its component is missing")?;
        ensure!(record.wasm == hex::encode(Sha256::digest(wasm)), "its component is not the one that its record names");
        Ok(())
    }

    /// A hash of everything that the build reads. Line by line `path hash`, so that moving text between files shows.
    fn sources(&self) -> Result<String> {
        let mut files = Vec::new();
        list(&self.folder.join("src"), &mut files)?;
        files.extend(["Cargo.toml", "Cargo.lock"].map(|name| self.folder.join(name)));
        for input in self.inputs() {
            list(&self.folder.join(input), &mut files)?;
        }
        files.sort();
        let mut all = Sha256::new();
        for file in files {
            let name = file.strip_prefix(&self.folder)?.to_string_lossy().replace('\\', "/");
            let bytes = fs::read(&file).with_context(|| format!("read {}", file.display()))?;
            all.update(format!("{name} {}\n", hex::encode(Sha256::digest(bytes))));
        }
        Ok(hex::encode(all.finalize()))
    }

    /// Folders of this repository that it is built from, too: `inputs = ["../…"]` below `[package.metadata.guest]`, in one line.
    fn inputs(&self) -> Vec<String> {
        let manifest = fs::read_to_string(self.folder.join("Cargo.toml")).unwrap_or_default();
        let line = manifest.lines().find_map(|line| line.strip_prefix("inputs = "));
        line.and_then(|list| serde_json::from_str(list).ok()).unwrap_or_default()
    }

    fn build(&self, root: &Path) -> Result<u64> {
        let manifest = self.manifest()?;
        let target = manifest.pointer("/metadata/guest/target").and_then(|t| t.as_str()).unwrap_or("wasm32-wasip2");
        let toolchain = Toolchain::find(target)?;
        let out = root.join("target/guests");
        let mut command = toolchain.cargo();
        command.args(["build", "--release", "--quiet", "--target", target]).current_dir(&self.folder).env("CARGO_TARGET_DIR", &out);
        // A component does not tell where it was built.
        let home = std::env::var("CARGO_HOME").unwrap_or_else(|_| format!("{}/.cargo", std::env::var("HOME").unwrap_or_default()));
        command.env("RUSTFLAGS", format!("--remap-path-prefix={home}=/cargo --remap-path-prefix={}=/wharf", root.display()));
        if self.folder.join("Cargo.lock").exists() {
            command.arg("--locked");
        }
        ensure!(command.status().context("start cargo")?.success(), "cargo failed");
        let built = self.built(&manifest, &out.join(target).join("release"))?;
        let wasm = fs::read(&built).with_context(|| format!("read {}", built.display()))?;
        fs::write(self.wasm(), &wasm)?;
        let record = Record { sources: self.sources()?, wasm: hex::encode(Sha256::digest(&wasm)), toolchain: toolchain.describe(target)? };
        fs::write(self.record(), serde_json::to_string_pretty(&record)? + "\n")?;
        Ok(wasm.len() as u64)
    }

    fn manifest(&self) -> Result<serde_json::Value> {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        let output = command.args(["read-manifest", "--manifest-path"]).arg(self.folder.join("Cargo.toml")).output().context("start cargo")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// A library is named with underscores, a binary is not.
    fn built(&self, manifest: &serde_json::Value, folder: &Path) -> Result<PathBuf> {
        for target in manifest["targets"].as_array().into_iter().flatten() {
            let name = target["name"].as_str().unwrap_or_default();
            let file = folder.join(format!("{name}.wasm"));
            let kinds = target["kind"].as_array().cloned().unwrap_or_default();
            if file.exists() && kinds.iter().any(|k| k == "bin" || k == "cdylib") {
                return Ok(file);
            }
        }
        bail!("it built no component in {}", folder.display())
    }
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() { list(&path, files)? } else { files.push(path) }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn committed_components_are_those_of_their_sources() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        check(root).unwrap();
    }

    #[test]
    fn a_changed_source_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("examples/hello");
        fs::create_dir_all(folder.join("src")).unwrap();
        for (file, text) in [("Cargo.toml", "[package]"), ("Cargo.lock", ""), ("src/lib.rs", "// one"), ("hello.wasm", "wasm")] {
            fs::write(folder.join(file), text).unwrap();
        }
        let guest = Guest { folder: folder.clone(), name: "hello".into() };
        let record = Record { sources: guest.sources().unwrap(), wasm: hex::encode(Sha256::digest("wasm")), toolchain: "any".into() };
        fs::write(guest.record(), serde_json::to_vec(&record).unwrap()).unwrap();
        check(dir.path()).unwrap();
        let refused = |why: &str| {
            let error = format!("{:#}", check(dir.path()).unwrap_err());
            assert!(error.contains(why) && error.contains("examples/hello"), "{error}");
        };
        fs::write(folder.join("src/lib.rs"), "// two").unwrap();
        refused("its sources have changed");
        fs::write(folder.join("src/lib.rs"), "// one").unwrap();
        fs::write(folder.join("hello.wasm"), "other").unwrap();
        refused("not the one that its record names");
        fs::remove_file(guest.record()).unwrap();
        refused("it has no record");
    }
}
