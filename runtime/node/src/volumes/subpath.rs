//! `subPath`: a part of a volume, found without ever leaving the volume, whatever links its files hold.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, mkdirat, openat2};

/// A part of a volume; its path is good as long as this is held.
pub struct SubPath {
    file: File,
}

impl SubPath {
    /// A path for `open`, through the descriptor that was found.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
    }
}

/// Finds `path` below `volume`; folders that do not exist are made.
pub fn subpath(volume: &Path, path: &str) -> io::Result<SubPath> {
    let find = |dir: &File, path: &str| {
        let fd = openat2(dir, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS)?;
        Ok::<_, rustix::io::Errno>(File::from(fd))
    };
    let root = File::open(volume)?;
    match find(&root, path) {
        Ok(file) => return Ok(SubPath { file }),
        Err(rustix::io::Errno::NOENT) => {}
        Err(e) => return Err(e.into()),
    }
    let mut made = String::new();
    for part in path.split('/').filter(|p| !p.is_empty()) {
        let parent = if made.is_empty() { root.try_clone()? } else { find(&root, &made)? };
        match mkdirat(&parent, part, Mode::from(0o755)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(e) => return Err(e.into()),
        }
        if !made.is_empty() {
            made.push('/');
        }
        made.push_str(part);
    }
    Ok(SubPath { file: find(&root, &made)? })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn stays_in_its_volume() {
        let tmp = tempfile::tempdir().unwrap();
        let volume = tmp.path().join("v");
        std::fs::create_dir_all(volume.join("..1/k")).unwrap();
        std::fs::write(volume.join("..1/a"), "1").unwrap();
        symlink("..1", volume.join("..data")).unwrap();
        symlink("..data/a", volume.join("a")).unwrap();
        symlink("/etc", volume.join("out")).unwrap();
        symlink("..", volume.join("up")).unwrap();
        let found = subpath(&volume, "a").unwrap();
        assert_eq!(std::fs::read_to_string(found.path()).unwrap(), "1");
        assert!(subpath(&volume, "x/y").unwrap().path().is_dir());
        assert!(volume.join("x/y").is_dir());
        for bad in ["out", "out/passwd", "up", "../v", "up/v"] {
            assert!(subpath(&volume, bad).is_err(), "{bad}");
        }
    }
}
