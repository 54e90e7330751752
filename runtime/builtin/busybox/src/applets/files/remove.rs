//! `rm`, `rmdir`, `unlink`.

use std::fs;
use std::io::ErrorKind;

use crate::context::{Context, Error, Result};
use crate::disk::{self, Kind};
use crate::io::reason;
use crate::rt;

/// How deep folders are followed.
const DEEPEST: usize = 1024;

/// `rm [-firR] FILE…`
pub async fn rm(cx: &mut Context) -> Result {
    let options = cx.options("firRdv", &[("force", 'f'), ("interactive", 'i'), ("recursive", 'r'), ("dir", 'd'), ("verbose", 'v')])?;
    let recursive = options.has('r') || options.has('R');
    let last = options.all().filter(|(letter, _)| matches!(letter, 'i' | 'f')).last().map(|(letter, _)| letter);
    let (force, asks) = (last == Some('f'), last == Some('i'));
    if options.operands.is_empty() && !force {
        return Err(Error::usage("usage: rm [-irf] FILE..."));
    }
    let mut code = 0;
    for operand in &options.operands {
        let name = operand.trim_end_matches('/');
        if matches!(crate::applets::name_of(name), "." | "..") || name.is_empty() {
            cx.warn(format!("can't remove '{operand}': {}", if name.is_empty() { "it is the root" } else { "it is '.' or '..'" })).await;
            code = 1;
            continue;
        }
        let stat = match disk::stat(&cx.path(name), false) {
            Ok(stat) => stat,
            Err(error) => {
                if !(force && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)) {
                    cx.warn(format!("can't remove '{operand}': {}", reason(&error))).await;
                    code = 1;
                }
                continue;
            }
        };
        if asks {
            cx.stderr.write_all(format!("rm: remove '{operand}'? ").as_bytes()).await?;
            if !super::copy::confirmed(cx).await? {
                continue;
            }
        }
        let removed = match stat.kind {
            Kind::Folder if recursive => tree(cx, name).await,
            Kind::Folder if options.has('d') => fs::remove_dir(cx.path(name)).map_err(|error| (operand.clone(), error)),
            Kind::Folder => {
                cx.warn(format!("'{operand}' is a directory")).await;
                code = 1;
                continue;
            }
            _ => fs::remove_file(cx.path(name)).map_err(|error| (operand.clone(), error)),
        };
        match removed {
            Ok(()) if options.has('v') => {
                cx.stdout.write(format!("removed '{operand}'\n")).await?;
            }
            Ok(()) => {}
            Err((path, error)) => {
                cx.warn(format!("can't remove '{path}': {}", reason(&error))).await;
                code = 1;
            }
        }
    }
    Ok(code)
}

/// Removes a file or a folder with all that is in it; what could not be removed first.
pub async fn tree(cx: &Context, path: &str) -> std::result::Result<(), (String, std::io::Error)> {
    let mut pending = vec![(path.to_string(), false)];
    let mut first_error = None;
    while let Some((path, emptied)) = pending.pop() {
        let full = cx.path(&path);
        let is_folder = disk::stat(&full, false).is_ok_and(|stat| stat.kind == Kind::Folder);
        let removed = if emptied {
            fs::remove_dir(&full)
        } else if !is_folder {
            fs::remove_file(&full)
        } else if pending.iter().filter(|(_, emptied)| *emptied).count() >= DEEPEST {
            Err(ErrorKind::InvalidFilename.into())
        } else {
            match fs::read_dir(&full) {
                Ok(entries) => {
                    pending.push((path.clone(), true));
                    pending.extend(entries.flatten().map(|entry| (format!("{path}/{}", entry.file_name().to_string_lossy()), false)));
                    rt::pause().await;
                    continue;
                }
                Err(error) => Err(error),
            }
        };
        if let Err(error) = removed {
            first_error.get_or_insert((path, error));
        }
    }
    first_error.map_or(Ok(()), Err)
}

/// `rmdir [-p] FOLDER…`
pub async fn rmdir(cx: &mut Context) -> Result {
    let options = cx.options("pv", &[("parents", 'p'), ("ignore-fail-on-non-empty", 'I')])?;
    if options.operands.is_empty() {
        return Err(Error::usage("usage: rmdir [-p] DIRECTORY..."));
    }
    let mut code = 0;
    for operand in &options.operands {
        let mut path = operand.trim_end_matches('/').to_string();
        loop {
            if let Err(error) = fs::remove_dir(cx.path(&path)) {
                cx.warn(format!("'{path}': {}", reason(&error))).await;
                code = 1;
                break;
            }
            match path.rsplit_once('/') {
                Some((parent, _)) if options.has('p') && !parent.is_empty() => path = parent.into(),
                _ => break,
            }
        }
    }
    Ok(code)
}

/// `unlink FILE`
pub async fn unlink(cx: &mut Context) -> Result {
    let options = cx.options("", &[])?;
    let [file] = options.operands.as_slice() else { return Err(Error::usage("usage: unlink FILE")) };
    fs::remove_file(cx.path(file)).map_err(|error| Error::about(format!("can't remove file '{file}'"), &error))?;
    Ok(0)
}
