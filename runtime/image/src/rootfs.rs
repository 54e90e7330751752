//! Looking files up in an image's unpacked tree, as a process that has it for `/` would.

use std::io::Read;
use std::path::{Component, Path, PathBuf};

use crate::image::ImageConfig;

/// A file of the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Its path in the image, links resolved, beginning with `/`.
    pub(crate) inside: String,
    /// Where it is on this machine.
    pub(crate) outside: PathBuf,
}

/// How many links are followed before giving up, as in Linux.
const MAX_LINKS: usize = 40;

/// Resolves `path` with `root` as `/`: links, also absolute ones, and `..` stay inside. `None` when it does not exist.
///
/// With `missing_tail`, components that do not exist are taken as they are (`..` then goes up lexically).
pub(crate) fn resolve(root: &Path, path: &Path, missing_tail: bool) -> Option<PathBuf> {
    let mut rest: Vec<PathBuf> = path.components().rev().map(|c| PathBuf::from(c.as_os_str())).collect();
    let mut inside = PathBuf::new();
    let mut links = 0;
    while let Some(part) = rest.pop() {
        match part.components().next()? {
            Component::RootDir | Component::Prefix(_) => inside = PathBuf::new(),
            Component::CurDir => {}
            Component::ParentDir => {
                inside.pop();
            }
            Component::Normal(name) => {
                let outside = root.join(&inside).join(name);
                match std::fs::symlink_metadata(&outside) {
                    Ok(meta) if meta.file_type().is_symlink() => {
                        links += 1;
                        if links > MAX_LINKS {
                            return None;
                        }
                        let target = std::fs::read_link(&outside).ok()?;
                        rest.extend(target.components().rev().map(|c| PathBuf::from(c.as_os_str())));
                    }
                    Ok(_) => inside.push(name),
                    Err(_) if missing_tail => inside.push(name),
                    Err(_) => return None,
                }
            }
        }
    }
    Some(inside)
}

/// The module that `argv[0]` names: a path (relative to WORKDIR), or a name looked for in the image's PATH, with or
/// without `.wasm`. Files that are not Wasm are no modules.
pub(crate) fn find_executable(root: &Path, config: &ImageConfig, name: &str) -> Option<Found> {
    if name.is_empty() || name.len() > 4096 || name.contains('\0') {
        return None;
    }
    let working_dir = if config.working_dir.is_empty() { "/" } else { &config.working_dir };
    let mut candidates = Vec::new();
    if name.contains('/') {
        candidates.push(Path::new("/").join(working_dir).join(name));
    } else {
        let path = config.env.iter().rev().find_map(|e| e.strip_prefix("PATH=")).unwrap_or("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        let folders = path.split(':').take(64).chain([working_dir, "/"]);
        candidates.extend(folders.map(|folder| Path::new("/").join(folder).join(name)));
    }
    candidates.iter().find_map(|path| found(root, path).or_else(|| found(root, &path.with_added_extension_wasm())))
}

/// The only module at the top of an image, for images that name none.
pub(crate) fn only_module(root: &Path) -> Option<Found> {
    let mut modules = std::fs::read_dir(root).ok()?.flatten().take(10_000).filter_map(|entry| {
        let name = entry.file_name();
        found(root, &Path::new("/").join(name))
    });
    let first = modules.next()?;
    modules.next().is_none().then_some(first)
}

fn found(root: &Path, path: &Path) -> Option<Found> {
    let inside = resolve(root, path, false)?;
    let outside = root.join(&inside);
    let is_file = std::fs::symlink_metadata(&outside).is_ok_and(|m| m.is_file());
    (is_file && is_wasm(&outside)).then(|| Found { inside: format!("/{}", inside.display()), outside })
}

fn is_wasm(path: &Path) -> bool {
    let mut magic = [0; 4];
    std::fs::File::open(path).and_then(|mut f| f.read_exact(&mut magic)).is_ok() && magic == *b"\0asm"
}

trait AddedExtension {
    fn with_added_extension_wasm(&self) -> PathBuf;
}

impl AddedExtension for PathBuf {
    fn with_added_extension_wasm(&self) -> PathBuf {
        let mut name = self.clone().into_os_string();
        name.push(".wasm");
        name.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_inside() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        std::fs::create_dir_all(root.join("usr/bin")).unwrap();
        std::fs::write(root.join("usr/bin/tool.wasm"), b"\0asm....").unwrap();
        std::fs::write(root.join("usr/bin/script"), b"#!/bin/sh").unwrap();
        std::os::unix::fs::symlink("/usr/bin", root.join("bin")).unwrap();
        std::os::unix::fs::symlink("../../../../etc/passwd", root.join("escape")).unwrap();
        std::os::unix::fs::symlink("loop", root.join("loop")).unwrap();
        let config = ImageConfig::default();
        let find = |name: &str| find_executable(root, &config, name).map(|f| f.inside);
        assert_eq!(find("tool.wasm").as_deref(), Some("/usr/bin/tool.wasm"));
        assert_eq!(find("tool").as_deref(), Some("/usr/bin/tool.wasm"));
        assert_eq!(find("/bin/tool").as_deref(), Some("/usr/bin/tool.wasm"));
        assert_eq!(find("./usr/../bin/tool.wasm").as_deref(), Some("/usr/bin/tool.wasm"));
        for name in ["script", "escape", "loop", "/etc/passwd", "", "a\0b", "../../../../../../bin/sh"] {
            assert_eq!(find(name), None, "{name}");
        }
        assert_eq!(resolve(root, Path::new("/escape"), true), Some(PathBuf::from("etc/passwd")));
    }
}
