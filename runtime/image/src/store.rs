//! The content store's files: names, modes, atomic writes.
//!
//! | folder | what |
//! |---|---|
//! | `blobs/` | manifests, configurations and layers by digest, verified |
//! | `partial/` | blobs on their way in |
//! | `components/` | runnable components by digest (hard links to blobs and files, or wrapped core modules) |
//! | `modules/` | what inspection found, by the module's digest |
//! | `rootfs/` | unpacked images by manifest digest |
//! | `images/`, `refs/` | what an image is, by manifest digest; which names lead to it |
//! | `compiled/` | machine code by engine compatibility, flavor and component |

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::ImageError;

/// The store's root.
pub(crate) struct Store {
    dir: PathBuf,
}

const FOLDERS: &[&str] = &["blobs", "partial", "components", "modules", "rootfs", "images", "refs", "compiled", "tmp"];

impl Store {
    /// Makes what is missing, and removes what an earlier process left half done.
    pub(crate) fn open(dir: PathBuf) -> Result<Store, ImageError> {
        let failed = |path: &Path| {
            let path = path.display().to_string();
            move |e: std::io::Error| ImageError::store(format!("open {path}"), e)
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(failed(&dir))?;
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).map_err(failed(&dir))?;
        let dir = dir.canonicalize().map_err(failed(&dir))?;
        let tmp = dir.join("tmp");
        if tmp.exists() {
            fs::remove_dir_all(&tmp).map_err(failed(&tmp))?;
        }
        for folder in FOLDERS {
            let folder = dir.join(folder);
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed(&folder))?;
        }
        Ok(Store { dir })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn blob(&self, digest: &str) -> PathBuf {
        self.dir.join("blobs").join(hex_of(digest))
    }

    pub(crate) fn partial(&self, digest: &str) -> PathBuf {
        self.dir.join("partial").join(hex_of(digest))
    }

    pub(crate) fn component(&self, digest: &str) -> PathBuf {
        self.dir.join("components").join(format!("{}.wasm", hex_of(digest)))
    }

    pub(crate) fn rootfs(&self, digest: &str) -> PathBuf {
        self.dir.join("rootfs").join(hex_of(digest))
    }

    pub(crate) fn record(&self, folder: &str, key: &str) -> PathBuf {
        self.dir.join(folder).join(format!("{}.json", hex_of(key)))
    }

    /// The folder of compiled files for one compatibility hash, made if missing; others' are removed by [`Store::keep_compiled`].
    pub(crate) fn compiled(&self, compatibility: &str) -> Result<PathBuf, ImageError> {
        let folder = self.dir.join("compiled").join(compatibility_name(compatibility));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(|e| ImageError::store(format!("make {}", folder.display()), e))?;
        Ok(folder)
    }

    /// Removes what was compiled for engines that are no more, and what a killed compiler left.
    pub(crate) fn keep_compiled(&self, compatibilities: &[&str]) {
        let keep: Vec<String> = compatibilities.iter().map(|c| compatibility_name(c)).collect();
        for entry in fs::read_dir(self.dir.join("compiled")).into_iter().flatten().flatten() {
            if !keep.iter().any(|k| entry.file_name().to_str() == Some(k)) {
                let _ = fs::remove_dir_all(entry.path());
                continue;
            }
            for file in fs::read_dir(entry.path()).into_iter().flatten().flatten() {
                if file.file_name().to_str().is_some_and(|name| name.starts_with(".tmp-")) {
                    let _ = fs::remove_file(file.path());
                }
            }
        }
    }

    /// Names and paths of a folder's files.
    pub(crate) fn files(&self, folder: &str) -> Vec<(String, PathBuf)> {
        let entries = fs::read_dir(self.dir.join(folder)).into_iter().flatten().flatten();
        entries.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path()))).collect()
    }

    /// Removes what was compiled from a component.
    pub(crate) fn remove_compiled(&self, component: &str) {
        let of = format!("-{}.cwasm", hex_of(component));
        for folder in fs::read_dir(self.dir.join("compiled")).into_iter().flatten().flatten() {
            for file in fs::read_dir(folder.path()).into_iter().flatten().flatten() {
                if file.file_name().to_str().is_some_and(|name| name.ends_with(&of)) {
                    let _ = fs::remove_file(file.path());
                }
            }
        }
    }

    /// An empty folder or file name in the store, for what is renamed once it is complete.
    pub(crate) fn temporary(&self) -> PathBuf {
        temporary_name(&self.dir.join("tmp"))
    }

    /// Writes a file so that it is there wholly or not at all.
    pub(crate) fn write(&self, to: &Path, bytes: &[u8]) -> Result<(), ImageError> {
        let temporary = self.temporary();
        let write = || {
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
            file.write_all(bytes)?;
            file.sync_data()?;
            fs::rename(&temporary, to)
        };
        write().map_err(|e| {
            let _ = fs::remove_file(&temporary);
            ImageError::store(format!("write {}", to.display()), e)
        })
    }

    pub(crate) fn write_json(&self, to: &Path, value: &impl Serialize) -> Result<(), ImageError> {
        let json = serde_json::to_vec(value).map_err(|e| ImageError::store(format!("write {}", to.display()), e))?;
        self.write(to, &json)
    }

    /// The record in a file; one that is missing or damaged is as if it were not there.
    pub(crate) fn read_json<T: DeserializeOwned>(&self, from: &Path) -> Option<T> {
        let bytes = fs::read(from).ok()?;
        match serde_json::from_slice(&bytes) {
            Ok(value) => Some(value),
            Err(error) => {
                tracing::warn!(path = %from.display(), %error, "damaged record ignored");
                None
            }
        }
    }

    /// Every record of a folder.
    pub(crate) fn all_json<T: DeserializeOwned>(&self, folder: &str) -> Vec<T> {
        let entries = fs::read_dir(self.dir.join(folder)).into_iter().flatten().flatten();
        entries.filter_map(|entry| self.read_json(&entry.path())).collect()
    }

    /// Puts `file` at `to` without copying where the file system can.
    pub(crate) fn link(&self, file: &Path, to: &Path) -> Result<(), ImageError> {
        if to.exists() {
            return Ok(());
        }
        let temporary = self.temporary();
        fs::hard_link(file, &temporary)
            .or_else(|_| fs::copy(file, &temporary).map(|_| ()))
            .and_then(|()| fs::rename(&temporary, to))
            .map_err(|e| ImageError::store(format!("link {}", to.display()), e))
    }
}

/// The part of a digest that names files; digests are checked before they get here.
fn hex_of(digest: &str) -> &str {
    digest.rsplit(':').next().unwrap_or(digest)
}

fn compatibility_name(compatibility: &str) -> String {
    hex_of(&crate::push::digest(compatibility.as_bytes())).chars().take(32).collect()
}

/// A name in `directory` that nobody else uses.
pub(crate) fn temporary_name(directory: &Path) -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    directory.join(format!(".tmp-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)))
}
