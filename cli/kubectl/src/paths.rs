//! Paths, by their words alone: nothing is looked up.

use std::path::{Component, Path, PathBuf};

/// Without what says nothing: `a/./b/../c` is `a/c`.
pub fn cleaned(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match (part, plain.components().next_back()) {
            (Component::CurDir, _) | (Component::ParentDir, Some(Component::RootDir)) => {}
            (Component::ParentDir, Some(Component::Normal(_))) => drop(plain.pop()),
            (part, _) => plain.push(part),
        }
    }
    if plain.as_os_str().is_empty() { PathBuf::from(".") } else { plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned() {
        for (path, plain) in [("a/./b/../c", "a/c"), ("/../x/", "/x"), ("../x", "../x"), ("./", "."), ("a/..", ".")] {
            assert_eq!(cleaned(Path::new(path)), Path::new(plain), "{path}");
        }
    }
}
