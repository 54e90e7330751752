//! Request paths: decoded, and never above the root.

/// The decoded path without query, `.` and `..` resolved; `None` when it is not one (it climbs, or holds a NUL).
pub fn normalise(target: &str) -> Option<String> {
    let raw = target.split(['?', '#']).next().unwrap_or("");
    let decoded = decode(raw)?;
    if !decoded.starts_with('/') || decoded.contains('\0') {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in decoded.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    let folder = decoded.ends_with('/') || decoded.ends_with("/.") || decoded.ends_with("/..");
    let mut path = format!("/{}", parts.join("/"));
    if folder && path.len() > 1 {
        path.push('/');
    }
    Some(path)
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(b) = rest.next() {
        if b != b'%' {
            bytes.push(b);
            continue;
        }
        let digit = |b: Option<u8>| (b? as char).to_digit(16);
        bytes.push((digit(rest.next())? * 16 + digit(rest.next())?) as u8);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for (target, want) in [
            ("/", Some("/")),
            ("/a//b/./c?x=/../", Some("/a/b/c")),
            ("/a/../b/", Some("/b/")),
            ("/%61%20b", Some("/a b")),
            ("/a/..", Some("/")),
            ("/..", None),
            ("/%2e%2e/etc/passwd", None),
            ("/a%2f..%2f..%2fetc", None),
            ("/%00", None),
            ("/%zz", None),
            ("*", None),
        ] {
            assert_eq!(normalise(target).as_deref(), want, "{target}");
        }
    }
}
