//! `cd`.

use super::Done;
use crate::io::reason;
use crate::shell::state::{Fault, Flow, Shell};

/// `cd [-LP] [FOLDER]`
pub async fn cd(shell: &mut Shell, args: &[String]) -> Done {
    let (mut physical, mut rest) = (false, &args[1..]);
    while let Some((first, others)) = rest.split_first() {
        match first.as_str() {
            "-P" => physical = true,
            "-L" => physical = false,
            "--" => {
                rest = others;
                break;
            }
            _ => break,
        }
        rest = others;
    }
    let mut show = false;
    let target = match rest.first().map(String::as_str) {
        None => shell.get("HOME").filter(|home| !home.is_empty()).ok_or_else(|| Fault::fatal("HOME not set"))?.to_string(),
        Some("-") => {
            show = true;
            shell.get("OLDPWD").ok_or_else(|| Fault::new(1, "OLDPWD not set"))?.to_string()
        }
        Some(target) => target.to_string(),
    };
    let mut candidates = vec![target.clone()];
    let relative = !target.starts_with('/') && !matches!(target.split('/').next(), Some("." | ".."));
    if let Some(path) = shell.get("CDPATH").filter(|_| relative) {
        let folders = path.split(':').filter(|folder| !folder.is_empty() && *folder != ".");
        candidates.splice(0..0, folders.map(|folder| format!("{}/{target}", folder.trim_end_matches('/'))));
    }
    let mut error = None;
    for candidate in candidates {
        match enter(shell, &candidate, physical) {
            Ok(cwd) => {
                show |= candidate != target;
                let before = std::mem::replace(&mut shell.cx.cwd, cwd.clone());
                shell.set("OLDPWD", before)?;
                shell.set("PWD", cwd.clone())?;
                if show {
                    shell.print(format!("{cwd}\n")).await?;
                }
                return Ok((0, Flow::Next));
            }
            Err(why) => error = Some(why),
        }
    }
    let why = error.map_or_else(String::new, |error| reason(&error));
    Err(Fault::new(2, format!("can't cd to {target}: {why}")))
}

/// The folder's absolute path, without `.` and `..`.
fn enter(shell: &Shell, target: &str, physical: bool) -> std::io::Result<String> {
    let path = shell.cx.path(if target.is_empty() { "." } else { target });
    if physical {
        let path = std::fs::canonicalize(path)?;
        return if path.is_dir() { Ok(path.to_string_lossy().into_owned()) } else { Err(std::io::ErrorKind::NotADirectory.into()) };
    }
    let mut parts: Vec<String> = Vec::new();
    for part in path.to_string_lossy().split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part.into()),
        }
    }
    let logical = format!("/{}", parts.join("/"));
    let metadata = std::fs::metadata(&logical)?;
    if metadata.is_dir() { Ok(logical) } else { Err(std::io::ErrorKind::NotADirectory.into()) }
}
