//! File names that match a pattern.

use super::pattern::Pattern;
use crate::context::Context;

/// More names than this are not looked for.
const MOST: usize = 1 << 20;

/// The files that a pattern names, sorted; none where there are none.
pub fn files(cx: &Context, pattern: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut rest = pattern;
    while !rest.is_empty() {
        let slashes = rest.len() - rest.trim_start_matches('/').len();
        if slashes > 0 {
            found.iter_mut().for_each(|path| path.push_str(&rest[..slashes]));
            rest = &rest[slashes..];
            continue;
        }
        let length = rest.find('/').unwrap_or(rest.len());
        let (part, behind) = rest.split_at(length);
        rest = behind;
        found = found.into_iter().flat_map(|folder| in_folder(cx, &folder, part, !behind.is_empty())).take(MOST).collect();
    }
    found.retain(|path| !path.is_empty());
    found.sort();
    found
}

fn in_folder(cx: &Context, folder: &str, part: &str, is_folder: bool) -> Vec<String> {
    if let Some(name) = plain(part) {
        let path = format!("{folder}{name}");
        return if std::fs::symlink_metadata(cx.path(&path)).is_ok() { vec![path] } else { Vec::new() };
    }
    let pattern = Pattern::new(part);
    let hidden = part.starts_with('.') || part.starts_with("\\.");
    let place = if folder.is_empty() { "." } else { folder };
    let mut names: Vec<String> = Vec::new();
    if hidden {
        names.extend([".".into(), "..".into()]);
    }
    let entries = std::fs::read_dir(cx.path(place)).into_iter().flatten().flatten();
    names.extend(
        entries.filter(|entry| !is_folder || entry.file_type().is_ok_and(|kind| !kind.is_file())).map(|entry| entry.file_name().to_string_lossy().into_owned()),
    );
    names.retain(|name| (hidden || !name.starts_with('.')) && pattern.matches(name));
    names.into_iter().map(|name| format!("{folder}{name}")).collect()
}

/// The name that a part without special characters is.
fn plain(part: &str) -> Option<String> {
    let mut name = String::new();
    let mut characters = part.chars();
    while let Some(character) = characters.next() {
        match character {
            '*' | '?' | '[' => return None,
            '\\' => name.extend(characters.next()),
            other => name.push(other),
        }
    }
    Some(name)
}
