//! `cp` and `mv`.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use crate::context::{Context, Error, Result};
use crate::disk::{self, Kind};
use crate::io::reason;
use crate::options::Options;

/// How deep folders are followed.
const DEEPEST: usize = 256;

/// `cp [-arPLHpfinlsTuv] [-t FOLDER] SOURCE… TARGET`
pub async fn cp(cx: &mut Context) -> Result {
    let long = [
        ("recursive", 'r'),
        ("archive", 'a'),
        ("force", 'f'),
        ("interactive", 'i'),
        ("no-clobber", 'n'),
        ("verbose", 'v'),
        ("update", 'u'),
        ("target-directory", 't'),
        ("no-target-directory", 'T'),
        ("symbolic-link", 's'),
        ("link", 'l'),
        ("dereference", 'L'),
        ("preserve", 'p'),
        ("parents", 'N'),
    ];
    let options = cx.options("arRPLHdpfinlsTuvt:N", &long)?;
    let (sources, target, into) = places(cx, &options)?;
    let mut code = 0;
    for source in sources {
        let to = if into { join(&target, &source, options.has('N')) } else { target.clone() };
        if options.has('N')
            && into
            && let Some((folder, _)) = to.rsplit_once('/')
        {
            fs::create_dir_all(cx.path(folder)).map_err(|error| Error::about(folder, &error))?;
        }
        if !copy(cx, &options, &source, &to).await? {
            code = 1;
        }
    }
    Ok(code)
}

/// `mv [-finTv] [-t FOLDER] SOURCE… TARGET`
pub async fn mv(cx: &mut Context) -> Result {
    let options = cx.options(
        "finTvut:",
        &[("force", 'f'), ("interactive", 'i'), ("no-clobber", 'n'), ("verbose", 'v'), ("target-directory", 't'), ("no-target-directory", 'T')],
    )?;
    let (sources, target, into) = places(cx, &options)?;
    let mut code = 0;
    for source in sources {
        let to = if into { join(&target, &source, false) } else { target.clone() };
        if !goes_ahead(cx, &options, &source, &to).await? {
            continue;
        }
        let (from_path, to_path) = (cx.path(source.trim_end_matches('/')), cx.path(&to));
        if let Err(error) = disk::stat(&from_path, false) {
            cx.warn(format!("can't rename '{source}': {}", reason(&error))).await;
            code = 1;
            continue;
        }
        match fs::rename(&from_path, &to_path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::CrossesDevices => {
                let all = Options::parse(&["-a".into(), "-f".into()], "af", &[])?;
                let moved = copy(cx, &all, &source, &to).await? && super::remove::tree(cx, &source).await.is_ok();
                code = if moved { code } else { 1 };
            }
            Err(error) => {
                cx.warn(format!("can't rename '{source}': {}", reason(&error))).await;
                code = 1;
                continue;
            }
        }
        if options.has('v') {
            cx.stdout.write(format!("'{source}' -> '{to}'\n")).await?;
        }
    }
    Ok(code)
}

/// Sources, the target, and whether it is a folder to put them in.
fn places(cx: &Context, options: &Options) -> Result<(Vec<String>, String, bool)> {
    let mut sources = options.operands.clone();
    if let Some(folder) = options.value('t') {
        return if sources.is_empty() { Err(Error::usage("missing operand")) } else { Ok((sources, folder.into(), true)) };
    }
    let target = sources.pop().filter(|_| !sources.is_empty()).ok_or_else(|| Error::usage(format!("usage: {} SOURCE... DEST", cx.name())))?;
    let is_folder = fs::metadata(cx.path(&target)).is_ok_and(|metadata| metadata.is_dir());
    if options.has('T') {
        return if sources.len() == 1 { Ok((sources, target, false)) } else { Err(Error::usage("-T needs one source")) };
    }
    if sources.len() > 1 && !is_folder {
        return Err(Error::new(format!("target '{target}' is not a directory")));
    }
    Ok((sources, target, is_folder))
}

fn join(folder: &str, source: &str, whole: bool) -> String {
    let source = source.trim_end_matches('/');
    let name = if whole { source.trim_start_matches('/') } else { crate::applets::name_of(source) };
    format!("{}/{name}", folder.trim_end_matches('/'))
}

/// Whether a target may be written, as `-n` and `-i` say.
async fn goes_ahead(cx: &Context, options: &Options, source: &str, to: &str) -> Result<bool> {
    let exists = disk::stat(&cx.path(to), false).is_ok();
    if !exists {
        return Ok(true);
    }
    if options.has('n') {
        return Ok(false);
    }
    if options.has('u') {
        let time = |path: &str| fs::metadata(cx.path(path)).and_then(|metadata| metadata.modified()).ok();
        if time(source) <= time(to) {
            return Ok(false);
        }
    }
    let last = options.all().filter(|(letter, _)| matches!(letter, 'i' | 'f')).last().map(|(letter, _)| letter);
    if last == Some('i') {
        cx.stderr.write_all(format!("{}: overwrite '{to}'? ", cx.name()).as_bytes()).await?;
        return confirmed(cx).await;
    }
    Ok(true)
}

/// Whether the answer on standard input begins with a `y`.
pub async fn confirmed(cx: &Context) -> Result<bool> {
    let line = cx.stdin.read_line().await?.unwrap_or_default();
    Ok(line.first().is_some_and(|first| matches!(first, b'y' | b'Y')))
}

/// Copies a file or a folder; false when something of it failed, which has been told then.
async fn copy(cx: &Context, options: &Options, source: &str, to: &str) -> Result<bool> {
    let recursive = options.has('r') || options.has('R') || options.has('a');
    let keeps_links = options.has('a') || options.has('P') || options.has('d') || recursive && !options.has('L') && !options.has('H');
    let keeps_times = options.has('p') || options.has('a');
    let mut whole = true;
    let mut pending = vec![(source.to_string(), to.to_string(), 0)];
    let mut folders: Vec<(PathBuf, disk::Stat)> = Vec::new();
    while let Some((from, to, depth)) = pending.pop() {
        let (from_path, to_path) = (cx.path(&from), cx.path(&to));
        let follow = !keeps_links || depth == 0 && options.has('H');
        // What is no file of the disk is read as one.
        if from.starts_with("/dev/") && disk::stat(&from_path, true).is_err() {
            whole &= file(cx, options, &from, &to).await?;
            continue;
        }
        let stat = match disk::stat(&from_path, follow) {
            Ok(stat) => stat,
            Err(error) => {
                cx.warn(format!("can't stat '{from}': {}", reason(&error))).await;
                whole = false;
                continue;
            }
        };
        if stat.kind == Kind::Folder {
            if !recursive {
                cx.warn(format!("omitting directory '{from}'")).await;
                whole = false;
                continue;
            }
            if depth >= DEEPEST || to_path.starts_with(&from_path) && depth == 0 && to_path != from_path {
                cx.warn(format!("recursion detected, omitting directory '{from}'")).await;
                whole = false;
                continue;
            }
            match fs::create_dir(&to_path) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists || !to_path.is_dir() => {
                    cx.warn(format!("can't create directory '{to}': {}", reason(&error))).await;
                    whole = false;
                    continue;
                }
                _ => {}
            }
            let entries = match fs::read_dir(&from_path) {
                Ok(entries) => entries,
                Err(error) => {
                    cx.warn(format!("can't open '{from}': {}", reason(&error))).await;
                    whole = false;
                    continue;
                }
            };
            for entry in entries.flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                pending.push((format!("{}/{name}", from.trim_end_matches('/')), format!("{}/{name}", to.trim_end_matches('/')), depth + 1));
            }
            folders.push((to_path, stat));
            continue;
        }
        if from_path == to_path
            || disk::stat(&to_path, true)
                .is_ok_and(|other| other.inode == stat.inode && other.kind == Kind::File && other.inode != 0 && stat.kind == Kind::File)
        {
            cx.warn(format!("'{from}' and '{to}' are the same file")).await;
            whole = false;
            continue;
        }
        if !goes_ahead(cx, options, &from, &to).await? {
            continue;
        }
        let done = if options.has('s') || options.has('l') || stat.kind == Kind::Link {
            if options.has('f') || options.has('a') {
                let _ = fs::remove_file(&to_path);
            }
            let made = match () {
                () if options.has('l') => fs::hard_link(&from_path, &to_path),
                () if options.has('s') => disk::symlink(&from, &to_path),
                () => fs::read_link(&from_path).and_then(|target| disk::symlink(&target.to_string_lossy(), &to_path)),
            };
            match made {
                Ok(()) => true,
                Err(error) => {
                    cx.warn(format!("can't create link '{to}': {}", reason(&error))).await;
                    false
                }
            }
        } else {
            let done = file(cx, options, &from, &to).await?;
            if done && keeps_times {
                let _ = disk::set_times(&to_path, true, Some(stat.accessed), Some(stat.modified));
            }
            done
        };
        whole &= done;
        if done && options.has('v') {
            cx.stdout.write(format!("'{from}' -> '{to}'\n")).await?;
        }
    }
    if keeps_times {
        for (path, stat) in folders.into_iter().rev() {
            let _ = disk::set_times(&path, true, Some(stat.accessed), Some(stat.modified));
        }
    }
    Ok(whole)
}

async fn file(cx: &Context, options: &Options, from: &str, to: &str) -> Result<bool> {
    let input = match cx.open(from) {
        Ok(input) => input,
        Err(error) => {
            cx.warn(format!("can't open '{from}': {}", reason(&error))).await;
            return Ok(false);
        }
    };
    let created = match cx.create(to, false) {
        Err(_) if options.has('f') => {
            let _ = fs::remove_file(cx.path(to));
            cx.create(to, false)
        }
        other => other,
    };
    let output = match created {
        Ok(output) => output,
        Err(error) => {
            cx.warn(format!("can't create '{to}': {}", reason(&error))).await;
            return Ok(false);
        }
    };
    loop {
        let bytes = input.read(64 << 10).await?;
        if bytes.is_empty() {
            return Ok(true);
        }
        output.write_all(&bytes).await?;
    }
}
