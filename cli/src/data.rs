//! The data folder: where it is, that it is private, and that one process holds it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};

/// `$XDG_DATA_HOME/NAME`, or `~/.local/share/NAME`.
fn default_folder(name: &str) -> Result<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if let Some(data) = absolute("XDG_DATA_HOME") {
        return Ok(data.join(name));
    }
    let home = absolute("HOME").context("neither XDG_DATA_HOME nor HOME is set; say where the data goes with --data-dir")?;
    Ok(home.join(".local/share").join(name))
}

/// A data folder that this process holds until it ends.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    lock: File,
    /// `wharf up`
    command: &'static str,
}

impl Folder {
    /// Takes the folder that was asked for, or the one of this name in the data folder of the user ([`default_folder`]).
    pub(crate) fn take_or_default(asked: Option<&Path>, name: &str, command: &'static str) -> Result<Folder> {
        match asked {
            Some(path) => Folder::take(path, command),
            None => Folder::take(&default_folder(name)?, command),
        }
    }

    /// Makes the folder if need be, and takes it for this command (`wharf up`).
    pub(crate) fn take(path: &Path, command: &'static str) -> Result<Folder> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).with_context(|| format!("make the data folder {}", path.display()))?;
        // Keys and Secrets are inside.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).with_context(|| format!("make {} private", path.display()))?;
        let path = path.canonicalize().with_context(|| format!("find the data folder {}", path.display()))?;
        let file = path.join("lock");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&file)
            .with_context(|| format!("open {}", file.display()))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut holder = String::new();
            lock.read_to_string(&mut holder).ok();
            let holder = if holder.trim().is_empty() { "another process".to_owned() } else { holder.trim().to_owned() };
            bail!("the data folder {} is held by {holder}; stop it, or choose another with --data-dir", path.display());
        }
        let folder = Folder { path, lock, command };
        folder.describe("")?;
        Ok(folder)
    }

    /// Says who holds the folder, for the one who finds it taken.
    pub(crate) fn describe(&self, what: &str) -> Result<()> {
        let mut lock = &self.lock;
        lock.set_len(0)?;
        lock.seek(SeekFrom::Start(0))?;
        let detail = if what.is_empty() { String::new() } else { format!(" ({what})") };
        writeln!(lock, "`{}` with process id {}{detail}", self.command, std::process::id())?;
        Ok(())
    }

    /// A folder or file inside.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Folder {
    /// Lets go at once: a child process that is just being started holds a copy of the file until it runs its program.
    fn drop(&mut self) {
        let _ = flock(&self.lock, FlockOperation::Unlock);
    }
}

/// Writes a file that nobody else may read, all of it or nothing.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let name = path.file_name().context("a file name")?.to_string_lossy().into_owned();
    let temporary = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_holds_it() {
        let place = tempfile::TempDir::new().unwrap();
        let path = place.path().join("data");
        let first = Folder::take(&path, "wharf up").unwrap();
        first.describe("API at https://127.0.0.1:6443").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        let error = Folder::take(&path, "wharf up").unwrap_err().to_string();
        assert!(error.contains(&format!("held by `wharf up` with process id {} (API at https://127.0.0.1:6443)", std::process::id())), "{error}");
        // As a child process has it between its birth and its program.
        let inherited = first.lock.try_clone().unwrap();
        drop(first);
        Folder::take(&path, "wharf up").unwrap();
        drop(inherited);
    }
}
