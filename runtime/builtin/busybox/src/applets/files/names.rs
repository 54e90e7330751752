//! Names and paths: `basename`, `dirname`, `readlink`, `realpath`, `which`.

use std::fs;
use std::path::Path;

use crate::context::{APPLET_FOLDERS, Context, Error, Result};

/// `basename FILE [SUFFIX]`, `basename [-a] [-s SUFFIX] FILE…`
pub async fn basename(cx: &mut Context) -> Result {
    let options = cx.options("+as:", &[("multiple", 'a'), ("suffix", 's')])?;
    let (files, suffix) = match options.operands.as_slice() {
        [] => return Err(Error::usage("usage: basename FILE [SUFFIX] | -a FILE... | -s SUFFIX FILE...")),
        files if options.has('a') || options.has('s') => (files, options.value('s').unwrap_or_default()),
        [file] => (std::slice::from_ref(file), ""),
        [_, suffix] => (&options.operands[..1], suffix.as_str()),
        _ => return Err(Error::usage("usage: basename FILE [SUFFIX]")),
    };
    for file in files {
        let trimmed = file.trim_end_matches('/');
        let name = if trimmed.is_empty() && !file.is_empty() { "/" } else { crate::applets::name_of(trimmed) };
        let short = name.strip_suffix(suffix).filter(|short| !short.is_empty()).unwrap_or(name);
        cx.stdout.write(format!("{short}\n")).await?;
    }
    Ok(0)
}

/// `dirname FILE`
pub async fn dirname(cx: &mut Context) -> Result {
    let options = cx.options("", &[])?;
    let [file] = options.operands.as_slice() else { return Err(Error::usage("usage: dirname FILENAME")) };
    let trimmed = file.trim_end_matches('/');
    let folder = match trimmed.rsplit_once('/') {
        _ if trimmed.is_empty() && !file.is_empty() => "/",
        None => ".",
        Some((folder, _)) => match folder.trim_end_matches('/') {
            "" => "/",
            folder => folder,
        },
    };
    cx.stdout.write(format!("{folder}\n")).await?;
    Ok(0)
}

/// `readlink [-fnv] FILE…`
pub async fn readlink(cx: &mut Context) -> Result {
    let options = cx.options("fnvqse", &[("canonicalize", 'f'), ("no-newline", 'n'), ("verbose", 'v')])?;
    if options.operands.is_empty() {
        return Err(Error::usage("usage: readlink [-fnv] FILE"));
    }
    let mut code = 0;
    for file in &options.operands {
        let target = if options.has('f') || options.has('e') {
            resolve(cx, file, options.has('f'))
        } else {
            fs::read_link(cx.path(file)).map(|target| target.to_string_lossy().into_owned())
        };
        match target {
            Ok(target) => cx.stdout.write(target + if options.has('n') { "" } else { "\n" }).await?,
            Err(error) => {
                if options.has('v') {
                    cx.warn(format!("{file}: {}", crate::io::reason(&error))).await;
                }
                code = 1;
            }
        }
    }
    Ok(code)
}

/// `realpath FILE…`
pub async fn realpath(cx: &mut Context) -> Result {
    let options = cx.options("emsq", &[])?;
    let operands = if options.operands.is_empty() { vec![".".to_string()] } else { options.operands.clone() };
    let mut code = 0;
    for file in &operands {
        match resolve(cx, file, true) {
            Ok(path) => cx.stdout.write(path + "\n").await?,
            Err(error) => {
                cx.warn(format!("{file}: {}", crate::io::reason(&error))).await;
                code = 1;
            }
        }
    }
    Ok(code)
}

/// The path without links, `.` and `..`; the last part need not be there when `last_may_miss`.
fn resolve(cx: &Context, file: &str, last_may_miss: bool) -> std::io::Result<String> {
    let path = cx.path(file);
    match fs::canonicalize(&path) {
        Ok(path) => Ok(path.to_string_lossy().into_owned()),
        Err(error) if last_may_miss && error.kind() == std::io::ErrorKind::NotFound => {
            let trimmed = path.to_string_lossy().trim_end_matches('/').to_string();
            let (folder, name) = trimmed.rsplit_once('/').unwrap_or(("", &trimmed));
            let folder = fs::canonicalize(Path::new(if folder.is_empty() { "/" } else { folder }))?;
            Ok(format!("{}/{name}", folder.to_string_lossy().trim_end_matches('/')))
        }
        Err(error) => Err(error),
    }
}

/// `which [-a] COMMAND…`
pub async fn which(cx: &mut Context) -> Result {
    let options = cx.options("a", &[])?;
    let mut code = 0;
    let path = cx.env.get("PATH").cloned().unwrap_or_else(|| crate::context::DEFAULT_PATH.into());
    for command in &options.operands {
        let mut found = false;
        let here = command.contains('/');
        for folder in path.split(':').take(if here { 1 } else { usize::MAX }) {
            let candidate = if here { command.clone() } else { format!("{}/{command}", folder.trim_end_matches('/')) };
            let is_applet = candidate.rsplit_once('/').is_some_and(|(folder, name)| APPLET_FOLDERS.contains(&folder) && crate::applets::find(name).is_some());
            if is_applet || fs::metadata(cx.path(&candidate)).is_ok_and(|metadata| metadata.is_file()) {
                cx.stdout.write(candidate + "\n").await?;
                found = true;
                if !options.has('a') {
                    break;
                }
            }
        }
        if !found {
            code = 1;
        }
    }
    Ok(code)
}
